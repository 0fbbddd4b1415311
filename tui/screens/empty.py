"""What stands where there is nothing to show: what is missing and what to do."""

from __future__ import annotations

from diagnostics.model import NodeSnapshot
from tui.fleet_view import FleetView
from tui.store import Store
from tui.widgets.line import Line, wrap
from tui.widgets.values import clock


def _paragraph(text: str, width: int, indent: int = 1, role: str = "") -> list[Line]:
    return [((" " * indent, ""), (line, role)) for line in wrap(text, max(1, width - indent - 1))]


def waiting(store: Store, width: int) -> list[Line]:
    """Before the first snapshot: what is waited for, or why nothing comes."""
    if store.outage is None:
        return [(), *_paragraph(f"Waiting for the first reading: {store.label}.", width)]
    lines = [(), *_paragraph(f"No answer from {store.label} since {clock(store.outage.since)}.", width, role="title")]
    lines += _paragraph(store.outage.reason, width, 3)
    if store.outage.hint:
        lines += _paragraph(f"next  {store.outage.hint}", width, 3)
    return lines


def waiting_fleet(view: FleetView, width: int) -> list[Line]:
    """Before the first picture of a cluster."""
    if view.outage is None:
        return [(), *_paragraph(f"Asking {view.label} for its nodes.", width)]
    lines = [(), *_paragraph(f"No answer from {view.label} since {clock(view.outage.since)}.", width, role="title")]
    lines += _paragraph(view.outage.reason, width, 3)
    if view.outage.hint:
        lines += _paragraph(f"next  {view.outage.hint}", width, 3)
    return [*lines, *_paragraph("or read this host:  rdmatop --local", width, 9)]


def no_fleet(view: FleetView, width: int) -> list[Line]:
    """A cluster of which no node is known: not yet, not allowed, or none that could carry an agent."""
    fleet = view.fleet
    if fleet is None or not fleet.complete:
        return [(), *_paragraph(f"Reading the nodes of {view.label}.", width)]
    lines: list[Line] = [(), *_paragraph(f"No node of {view.label} is known.", width, role="title")]
    for notice in fleet.notices:
        lines += _paragraph(f"{notice.source}: {notice.message}", width, 3)
    if any(notice.state == "forbidden" for notice in fleet.notices):
        lines += _paragraph("next  ask for the cluster role rdmatop-viewer, or choose another context:  :ctx", width, 3)
    return lines


def no_device(snapshot: NodeSnapshot, width: int) -> list[Line]:
    """No RDMA device: what the host has instead."""
    node, host = snapshot.node.node, snapshot.host
    lines: list[Line] = [(), *_paragraph(f"No RDMA device on {node}.", width, role="title")]
    for problem in snapshot.errors:
        lines += _paragraph(f"{problem.source}: {problem.message}", width, 3)
        if problem.hint:
            lines += _paragraph(f"next  {problem.hint}", width, 3)
    if not snapshot.errors:
        lines += _paragraph(_modules(host.modules), width, 3)
    functions = host.pci_functions
    if functions:
        names = ", ".join(f"{f.address} {f.card or f.device_id}, driver {f.driver or 'none'}" for f in functions)
        are = (
            "function of a card that can do RDMA is"
            if len(functions) == 1
            else "functions of cards that can do RDMA are"
        )
        lines += _paragraph(f"{len(functions)} PCI {are} there: {names}.", width, 3)
        lines += _paragraph(
            "next  modprobe mlx5_ib, or see why the driver pod failed:  rdmatop explain device-missing", width, 3
        )
    else:
        lines += _paragraph("No PCI function of a card that can do RDMA was found.", width, 3)
        lines += _paragraph(
            "next  look for the card with lspci -nn; in a VM or a pod ask who passes it through", width, 3
        )
        lines += _paragraph(
            "to try it without hardware:  modprobe rdma_rxe; rdma link add rxe0 type rxe netdev eth0", width, 9
        )
    return lines


def _modules(modules: dict[str, str | None]) -> str:
    loaded = ", ".join(sorted(modules))
    if not loaded:
        return "/sys/class/infiniband has no device: no RDMA driver is loaded."
    return f"/sys/class/infiniband has no device, although these are loaded: {loaded}."
