"""The Network Operator's stack: what is deployed, what its policy says, and what is true per component and node.

`ClusterObjects` goes in (from `reader`, or from a test); `judge.judge_components` is a pure function of it, and
`judge.Judge` the same for a cluster that changes object by object.
"""
