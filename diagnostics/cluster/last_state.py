"""What is still known of a node whose agent does not answer: its RdmaNode as the reading that it was made from."""

from __future__ import annotations

from diagnostics.cluster.fleet import FleetRow
from diagnostics.cluster.rdmanode import DeviceStatus, FindingStatus, RdmaNodeStatus
from diagnostics.model import Device, Finding, Host, NodeSnapshot, Port, PortBrief
from diagnostics.timing import rfc3339

FROM = "last state (RdmaNode)"


def last_snapshot(row: FleetRow, status: RdmaNodeStatus | None, layer_of: dict[str, str] | None = None) -> NodeSnapshot:
    """The last state in the shape of a reading; what an RdmaNode does not hold is None or empty."""
    layers = layer_of or {}
    name = row.name
    return NodeSnapshot(
        node=row.item,
        time=status.time if status is not None and status.time else rfc3339(row.seen or 0.0),
        sequence=0,
        boot_id=row.boot_id,
        interval_s=None,
        host=Host(kernel=row.item.kernel, driver_version=row.item.driver_version),
        devices=tuple(_device(name, each, row.ports) for each in status.devices) if status is not None else (),
        ports=tuple(_port(name, each) for each in row.ports),
        gids=(),
        counters=(),
        processes=(),
        findings=tuple(_finding(name, each, layers) for each in row.findings),
        # Their size and queue pairs are not in an RdmaNode: what was measured is then not known.
        benchmarks=(),
        unread=(),
        errors=(),
        source=FROM,
    )


def _device(node: str, device: DeviceStatus, ports: tuple[PortBrief, ...]) -> Device:
    return Device(
        node=node, device=device.name, driver=None, node_guid=None, sys_image_guid=None, card=device.card,
        hca_type=None, board_id=None, firmware=device.firmware, function=device.function,  # type: ignore[arg-type]
        pci_address=device.pci_address, numa_node=None, pcie=None,
        ports=sum(1 for port in ports if port.device == device.name), gone_since=device.gone_since,
    )  # fmt: skip


def _port(node: str, port: PortBrief) -> Port:
    return Port(
        node=node, device=port.device, port=port.port, link_layer=port.link_layer, state=port.state,
        phys_state=port.phys_state, rate_gbps=port.rate_gbps, lanes=None, speed=None, lid=None, sm_lid=None,
        mtu_bytes=None, netdev=port.netdev, netdev_state=None, gid=None, max_rate_gbps=None, expected=port.expected,
        health=port.health, tx_gbps=None, rx_gbps=None, rate_quality="stale",
    )  # fmt: skip


def _finding(node: str, finding: FindingStatus, layers: dict[str, str]) -> Finding:
    return Finding(
        id=finding.id, node=node, device=finding.device, port=finding.port, component=None, check=finding.check,
        layer=layers.get(finding.check, "agent"), severity=finding.severity,  # type: ignore[arg-type]
        message=finding.message, evidence=(), since=finding.since, hint=None, follows=finding.follows,
        acknowledged=finding.acknowledged, unread=("evidence: the agent does not answer",),
    )  # fmt: skip
