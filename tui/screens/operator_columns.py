"""The columns of the Operator screen: components, and the matrix of nodes that are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diagnostics.cluster.operator.inventory import title_of
from diagnostics.model import Component
from diagnostics.natural import natural
from tui.operator_picture import HEALTH, OK, SEVERITY, Group
from tui.theme import HEALTH_ROLE, Theme
from tui.widgets.grid import Cell, Column
from tui.widgets.line import clean
from tui.widgets.values import UNKNOWN

SHORT = {
    "state-OFED": "DRIVER",
    "state-RDMA-device-plugin": "RDMA-DP",
    "state-SRIOV-device-plugin": "SRIOV-DP",
    "state-multus-cni": "MULTUS",
    "state-container-networking-plugins": "CNI",
    "state-ipoib-cni": "IPOIB",
    "state-ib-kubernetes": "IB-KUBE",
    "state-nv-ipam-cni": "NV-IPAM",
    "node-feature-discovery": "NFD",
    "network-operator": "OPERATOR",
    "nic-cluster-policy": "POLICY",
    "sriov-network-node-states": "SRIOV",
    "nic-devices": "NICS",
    "node-maintenances": "MAINT",
}
"""Heads of the matrix; others are named by their component, cut."""
CELL = 9


def short_title(component: str) -> str:
    return SHORT.get(component) or component.removeprefix("state-").upper()[:CELL]


def role_of(verdict: str) -> str:
    health = HEALTH.get(verdict, "unknown")
    return "dim" if health == "spare" else HEALTH_ROLE[health]


def version_text(component: Component) -> str:
    """`26.07-0.7.0.0` of `doca3.5.0-26.07-0.7.0.0-0-ubuntu22.04-amd64`; the release of the others."""
    version = component.version or ""
    if version.startswith("doca"):
        parts = version.split("-")
        return "-".join(parts[1:3]) or version
    return version.removeprefix("network-operator-")


def _title(row: Component, theme: Theme, _width: int) -> Cell:
    glyph = theme.glyphs.health(HEALTH[row.verdict])
    return ((f"{glyph} ", role_of(row.verdict)), (clean(title_of(row.component)), ""))


def _text(get: Callable[[Component], object]) -> Callable[[Component, Theme, int], Cell]:
    def cell(row: Component, _theme: Theme, _width: int) -> Cell:
        value = get(row)
        return ((UNKNOWN, "unknown"),) if value in (None, "") else ((clean(str(value)), ""),)

    return cell


def _is(row: Component, _theme: Theme, _width: int) -> Cell:
    return ((row.verdict, role_of(row.verdict) if row.verdict != "ok" else ""),)


def ready_text(row: Component) -> str:
    return UNKNOWN if row.desired is None or row.ready is None else f"{row.ready}/{row.desired}"


def _ready(row: Component, _theme: Theme, _width: int) -> Cell:
    text = ready_text(row)
    fewer = row.ready is not None and row.desired is not None and row.ready < row.desired
    return ((text, "unknown" if text == UNKNOWN else "warning" if fewer else ""),)


def failing_text(row: Component) -> str:
    names = row.nodes_failing
    return "" if not names else names[0] if len(names) == 1 else f"{len(names):,} nodes"


COMPONENT_COLUMNS: tuple[Column, ...] = (
    Column(
        "component",
        "COMPONENT",
        _title,
        12,
        frozen=True,
        letter="C",
        value=lambda r: title_of(r.component),
        measure=lambda r: f"x {title_of(r.component)}",
        what="part of the stack",
    ),
    Column("version", "VERSION", _text(version_text), 8, "<", 5, measure=version_text, what="that runs"),
    Column("says", "SAYS", _text(lambda r: r.operator_state), 8, "<", 7, what="what the operator says of it"),
    Column(
        "is",
        "IS",
        _is,
        9,
        "<",
        9,
        letter="I",
        value=lambda r: SEVERITY.get(r.verdict, 0),
        what="what is true of it",
    ),
    Column(
        "ready",
        "READY",
        _ready,
        7,
        ">",
        8,
        letter="R",
        value=lambda r: r.ready,
        measure=ready_text,
        what="pods ready of those wanted",
    ),
    Column("failing", "FAILING", _text(failing_text), 9, "<", 6, measure=failing_text, what="nodes on which it fails"),
    Column("message", "WHY", _text(lambda r: r.message), 24, "<", 3, grow=200, what="the reason of the verdict"),
)


def group_name(group: Group) -> str:
    """`gpu-017`, `2 nodes: gpu-001, gpu-002`, `62 nodes alike`."""
    nodes = group.nodes
    if len(nodes) == 1:
        return nodes[0]
    if len(nodes) == 2:
        return ", ".join(nodes)
    return f"{len(nodes):,} nodes alike"


def _group(row: Group, theme: Theme, _width: int) -> Cell:
    word = {5: "failed", 4: "warning", 3: "warning", 2: "unknown"}.get(row.severity, "healthy")
    return ((f"{theme.glyphs.health(word)} ", HEALTH_ROLE[word]), (clean(group_name(row)), ""))


def _state(component: str) -> Callable[[Group, Theme, int], Cell]:
    def cell(row: Group, _theme: Theme, _width: int) -> Cell:
        word = dict(row.states).get(component, OK)
        return ((word, "dim" if word == OK else role_of(word)),)

    return cell


def matrix_columns(components: Sequence[Component], troubled: set[str]) -> tuple[Column, ...]:
    """A column a component that is there; those of which nodes have something to tell are kept longest."""
    nodes = Column(
        "nodes", "NODES", _group, 16, frozen=True, letter="N", value=lambda r: natural(r.nodes[0]),
        measure=lambda r: f"x {group_name(r)}", what="nodes on which all components are in the same state",
    )  # fmt: skip
    found = tuple(
        Column(
            each.component, short_title(each.component), _state(each.component), CELL, "<",
            9 if each.component in troubled else 5, what=title_of(each.component),
        )
        for each in components
    )  # fmt: skip
    return (nodes, *found)
