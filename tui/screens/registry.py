"""The screens, one row each: the digits, the tabs, the `:` command and the help all read this."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A screen that a digit opens; made when it is first looked at."""

    digit: str
    name: str
    title: str
    module: str
    made: str
    """The class in `module`."""
    what: str


SCREENS = (
    Entry(
        "1", "fabric", "Fabric", "tui.screens.fabric", "Fabric", "ports, rates, errors, congestion, the worst findings"
    ),
    Entry(
        "2",
        "findings",
        "Findings",
        "tui.screens.findings",
        "Findings",
        "what is wrong, worst first, causes before consequences",
    ),
    Entry("5", "processes", "Processes", "tui.screens.processes", "Processes", "who holds queue pairs"),
    Entry("6", "benchmarks", "Benchmarks", "tui.screens.benchmarks", "Benchmarks", "measure, watch, compare"),
    Entry("7", "events", "Events", "tui.screens.events", "Events", "what began, changed and ended"),
)
"""Of one node."""

FLEET_SCREENS = (
    Entry("1", "nodes", "Fabric", "tui.screens.fleet", "Nodes", "nodes, their ports, rates, the worst findings"),
    Entry(
        "2",
        "findings",
        "Findings",
        "tui.screens.fleet_findings",
        "FleetFindings",
        "what is wrong on which node, the worst check first",
    ),
    Entry(
        "3", "operator", "Operator", "tui.screens.operator", "Operator", "the Network Operator's parts, said and true"
    ),
    Entry("6", "runs", "Benchmarks", "tui.screens.fleet_runs", "Runs", "the last benchmarks of each node"),
    Entry("7", "events", "Events", "tui.screens.fleet_events", "FleetEvents", "what began, changed and ended"),
)
"""Of a cluster."""
