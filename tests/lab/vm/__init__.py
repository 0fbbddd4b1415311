"""The throw-away virtual machine: this machine's file system under a kernel that has RDMA, in a few seconds.

Standard library alone, so that it runs before anything is installed. `python -m tests.lab.vm --help`, or
`tests/lab/run-in-vm`.
"""
