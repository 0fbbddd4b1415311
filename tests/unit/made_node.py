"""Snapshots made by hand, as the sampler makes them, for tests of what is concluded from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from diagnostics.counters import spec_of
from diagnostics.model import (
    Benchmark,
    Counter,
    Device,
    FindingCounts,
    Gid,
    Host,
    Node,
    NodeSnapshot,
    Pcie,
    Port,
)
from diagnostics.windows import Delta

NODE = "n1"
TIME = "2026-11-24T12:00:00.000Z"
ETHTOOL = (
    "rx_prio",
    "tx_prio",
    "rx_global",
    "tx_global",
    "rx_discards",
    "outbound",
    "rx_pcs",
    "rx_corrected",
    "rx_bits",
    "module_",
    "tx_pause_storm",
    "rx_pci",
    "tx_pci",
    "link_down_events",
)
PMA = frozenset(
    [
        "port_xmit_data",
        "port_rcv_data",
        "port_xmit_packets",
        "port_rcv_packets",
        "port_xmit_wait",
        "symbol_error",
        "link_error_recovery",
        "link_downed",
        "port_rcv_errors",
        "port_rcv_remote_physical_errors",
        "port_xmit_discards",
        "VL15_dropped",
        "local_link_integrity_errors",
        "excessive_buffer_overrun_errors",
        "port_xmit_constraint_errors",
    ]
)


def device(name: str = "mlx5_0", **changed: Any) -> Device:
    number = int("".join(filter(str.isdigit, name.rpartition("_")[2])) or 0)
    fields: dict[str, Any] = {
        "node": NODE,
        "device": name,
        "driver": "mlx5_core",
        "node_guid": f"b83f:d203:0092:{number:04x}",
        "sys_image_guid": f"b83f:d203:0092:{number:04x}",
        "card": "ConnectX-7",
        "hca_type": "MT4129",
        "board_id": "MT_X",
        "firmware": "28.41.1000",
        "function": "pf",
        "pci_address": f"0000:{number + 16:02x}:00.0",
        "numa_node": 0,
        "pcie": Pcie(speed_gts=32.0, width=16, max_speed_gts=32.0, max_width=16, limit_gbps=461.0, narrowest=None),
        "ports": 1,
    }
    return Device(**{**fields, **changed})


def port(name: str = "mlx5_0", number: int = 1, **changed: Any) -> Port:
    fields: dict[str, Any] = {
        "node": NODE,
        "device": name,
        "port": number,
        "link_layer": "InfiniBand",
        "state": "ACTIVE",
        "phys_state": "LinkUp",
        "rate_gbps": 400.0,
        "lanes": 4,
        "speed": "NDR",
        "lid": 7,
        "sm_lid": 1,
        "mtu_bytes": 4096,
        "netdev": None,
        "netdev_state": None,
        "gid": None,
        "max_rate_gbps": None,
        "expected": "unknown",
        "health": "unknown",
        "tx_gbps": None,
        "rx_gbps": None,
        "rate_quality": "ok",
    }
    return Port(**{**fields, **changed})


def roce(name: str = "mlx5_0", number: int = 1, **changed: Any) -> Port:
    fields: dict[str, Any] = {
        "link_layer": "Ethernet",
        "lid": 0,
        "sm_lid": 0,
        "netdev": "eth" + name.rpartition("_")[2],
        "netdev_state": "up",
        "netdev_admin_up": True,
        "carrier_changes": 2,
        "netdev_mtu_bytes": 9000,
    }
    return port(name, number, **{**fields, **changed})


def down(made: Port, phys_state: str | None = "Polling", **changed: Any) -> Port:
    """The same port without a link."""
    fields: dict[str, Any] = {"state": "DOWN", "phys_state": phys_state}
    if made.link_layer == "Ethernet" and made.netdev:
        fields["netdev_state"] = "down"
    return msgspec.structs.replace(made, **{**fields, **changed})


def gid(
    name: str = "mlx5_0", address: str = "0000:0000:0000:0000:0000:ffff:0a00:0001", index: int = 3, **changed: Any
) -> Gid:
    fields: dict[str, Any] = {
        "node": NODE,
        "device": name,
        "port": 1,
        "index": index,
        "gid": address,
        "type": "RoCEv2",
        "netdev": None,
    }
    return Gid(**{**fields, **changed})


def counters(name: str = "mlx5_0", number: int | None = 1, **values: int | None) -> tuple[Counter, ...]:
    """`counters(symbol_error=5)`; dots of AER names are written as two underscores."""
    return tuple(counter(name, number, key.replace("__", "."), value) for key, value in values.items())


def counter(name: str, number: int | None, key: str, value: int | None) -> Counter:
    source: Any = (
        "pci"
        if number is None
        else "counters"
        if key in PMA
        else "ethtool"
        if key.startswith(ETHTOOL)
        else "hw_counters"
    )
    spec = spec_of(key, source)
    return Counter(
        node=NODE,
        device=name,
        port=number,
        name=key,
        source=source,
        value=value,
        unit=spec.unit,
        class_=spec.cls,
        per_second=None,
        quality="ok" if value is not None else "unknown",
        meaning=None,
    )


def snapshot(
    ports: Iterable[Port] = (),
    devices: Iterable[Device] | None = None,
    counters: Iterable[Counter] = (),
    **changed: Any,
) -> NodeSnapshot:
    """A node; without `devices`, one for each port's."""
    ports = tuple(ports)
    if devices is None:
        devices = [device(name) for name in dict.fromkeys(each.device for each in ports)]
    node = Node(
        node=NODE,
        health="unknown",
        ports_up=0,
        ports_expected=0,
        rate_gbps=None,
        tx_gbps=None,
        rx_gbps=None,
        errors_per_minute=None,
        cnp_per_second=None,
        driver_version=None,
        kernel=None,
        findings=FindingCounts(),
        benchmark=None,
        agent_version=None,
        age_s=0.0,
    )
    fields: dict[str, Any] = {
        "node": node,
        "time": TIME,
        "sequence": 1,
        "boot_id": "b",
        "interval_s": 1.0,
        "host": Host(),
        "devices": tuple(devices),
        "ports": ports,
        "gids": (),
        "counters": tuple(counters),
        "processes": (),
        "findings": (),
        "benchmarks": (),
        "unread": (),
        "errors": (),
    }
    return NodeSnapshot(**{**fields, **changed})


def benchmark(name: str = "mlx5_0", **changed: Any) -> Benchmark:
    fields: dict[str, Any] = {
        "id": "b1",
        "kind": "loopback",
        "state": "done",
        "verdict": "pass",
        "reason": None,
        "node": NODE,
        "device": name,
        "port": 1,
        "peer_node": None,
        "peer_device": None,
        "peer_port": None,
        "operation": "write",
        "size_bytes": 1048576,
        "qps": 2,
        "chain": 128,
        "duration_s": 5.0,
        "bandwidth_gbps": 390.0,
        "messages_per_s": None,
        "latency_us": None,
        "expected_gbps": 392.0,
        "limited_by": "link",
        "verified": True,
        "counters": {},
        "cpu_percent": None,
        "memory": None,
        "started": TIME,
        "error": None,
    }
    return Benchmark(**{**fields, **changed})


class Rises:
    """A history that answers what it was told: (device, port, counter) -> rise, all within `seconds`."""

    def __init__(self, rises: Mapping[tuple[str, int | None, str], float], seconds: float = 10.0) -> None:
        self.rises = dict(rises)
        self.seconds = seconds

    def delta(self, name: str, number: int | None, key: str, window_s: float) -> Delta | None:
        value = self.rises.get((name, number, key))
        return None if value is None else Delta(value, min(self.seconds, window_s), "ok")
