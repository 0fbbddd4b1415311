"""Snapshots made by hand, for tests of what goes through the cluster."""

from __future__ import annotations

from typing import Any

import msgspec

from diagnostics.model import Device, Finding, FindingCounts, Host, Node, NodeSnapshot, Port, Severity


def a_port(node: str, device: str, **changes: Any) -> Port:
    port = Port(
        node=node, device=device, port=1, link_layer="InfiniBand", state="ACTIVE", phys_state="LinkUp", rate_gbps=400.0,
        lanes=4, speed="NDR", lid=1, sm_lid=1, mtu_bytes=4096, netdev="ib0", netdev_state="up", gid=None,
        max_rate_gbps=400.0, expected="up", health="healthy", tx_gbps=1.0, rx_gbps=1.0, rate_quality="ok",
    )  # fmt: skip
    return msgspec.structs.replace(port, **changes)


def a_device(node: str, device: str) -> Device:
    return Device(
        node=node, device=device, driver="mlx5_core", node_guid=None, sys_image_guid=None, card="ConnectX-7",
        hca_type="MT4129", board_id="MT_0000000838", firmware="28.39.2048", function="pf", pci_address=None,
        numa_node=0, pcie=None, ports=1,
    )  # fmt: skip


def a_finding(severity: Severity, message: str = "mlx5_1/1 is down", number: int = 1) -> Finding:
    return Finding(
        id=f"link-down.mlx5_{number}.1", node="n", device=f"mlx5_{number}", port=1, component=None, check="link-down",
        layer="link", severity=severity, message=message, evidence=(), since="2026-01-01T00:00:00.000Z", hint=None,
        follows=None, acknowledged=False, unread=(),
    )  # fmt: skip


def a_snapshot(
    node: str, *, findings: tuple[Finding, ...] = (), health: str | None = None, tx_gbps: float = 12.34
) -> NodeSnapshot:
    counts = {each: sum(one.severity == each for one in findings) for each in ("critical", "warning", "info")}
    health = health or ("failed" if counts["critical"] else "warning" if counts["warning"] else "healthy")
    return NodeSnapshot(
        node=Node(
            node=node, health=health, ports_up=1, ports_expected=2, rate_gbps=400.0, tx_gbps=tx_gbps, rx_gbps=0.0,
            errors_per_minute=0.0, cnp_per_second=0.0, driver_version="24.10-0.7.0", kernel="6.8.0", age_s=0.0,
            findings=FindingCounts(**counts), benchmark=None, agent_version="0.1.0",
        ),
        time="2026-01-01T00:00:00.000Z", sequence=1, boot_id="b", interval_s=1.0, host=Host(), devices=(), gids=(),
        ports=(a_port(node, "mlx5_0"), a_port(node, "mlx5_1", state="DOWN", health="failed")),
        counters=(), processes=(), findings=findings, benchmarks=(), unread=(), errors=(),
    )  # fmt: skip
