"""The text of /metrics: base units, `_total`, labels device and port; what is unknown is absent, never 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from diagnostics.counters import CounterSpec, spec_of
from diagnostics.model import Counter, Device, Finding, NodeSnapshot, Port

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BYTES_PER_GBPS = 1e9 / 8
_PREFIX = {"ethtool": "ethtool_", "pci": "pci_"}
"""The netdev and the PCI function count under names that the RDMA device uses too."""
_TO_BASE = {"us": ("seconds", 1e-6), "bytes": ("bytes", 1.0), "seconds": ("seconds", 1.0)}


class Row(NamedTuple):
    """A gauge of one port."""

    name: str
    help: str
    value: Callable[[Port], float | None]


def _gbps(value: float | None) -> float | None:
    return None if value is None else value * BYTES_PER_GBPS


PORT_ROWS = (
    Row("port_up", "1 when the port is ACTIVE.", lambda port: None if port.state is None else port.state == "ACTIVE"),
    Row(
        "port_expected_up",
        "1 when the port should be up, 0 for a spare; absent where nobody can say.",
        lambda port: None if port.expected == "unknown" else port.expected == "up",
    ),
    Row("port_rate_bytes_per_second", "Signalling rate the kernel gives.", lambda port: _gbps(port.rate_gbps)),
    Row("port_transmit_bytes_per_second", "Sent over the last interval.", lambda port: _gbps(port.tx_gbps)),
    Row("port_receive_bytes_per_second", "Received over the last interval.", lambda port: _gbps(port.rx_gbps)),
    Row("port_mtu_bytes", "Active MTU.", lambda port: port.mtu_bytes),
    Row("port_lid", "Local identifier.", lambda port: port.lid),
)
_PORT_INFO = ("link_layer", "state", "phys_state", "speed", "netdev", "netdev_state", "gid", "health")
_DEVICE_INFO = ("card", "hca_type", "board_id", "firmware", "driver", "function", "pci_address", "node_guid")


class _Snapshot(Collector):
    """What prometheus_client asks for its samples."""

    def __init__(self, snapshot: NodeSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        yield from _node(snapshot)
        yield from _devices(snapshot.devices)
        yield from _ports(snapshot.ports)
        yield from _counters(snapshot.counters)
        yield _findings(snapshot.findings)


def exposition(snapshot: NodeSnapshot | None) -> bytes:
    """Prometheus text format 0.0.4 of a sample; before the first one, nothing but that the agent is up."""
    registry = CollectorRegistry(auto_describe=False)
    if snapshot is not None:
        registry.register(_Snapshot(snapshot))
    text: bytes = generate_latest(registry)
    return text


def _info(name: str, help_: str, labels: Iterable[str], rows: Iterable[object]) -> GaugeMetricFamily:
    """An info gauge, always 1: what is unknown has an empty label, which Prometheus takes as none."""
    labels = tuple(labels)
    family = GaugeMetricFamily(f"rdmatop_{name}", help_, labels=labels)
    for row in rows:
        family.add_metric(["" if (fact := getattr(row, label)) is None else str(fact) for label in labels], 1)
    return family


def _node(snapshot: NodeSnapshot) -> Iterator[Metric]:
    yield _info(
        "node_info", "Versions of the node.", ("node", "kernel", "driver_version", "agent_version"), (snapshot.node,)
    )
    if snapshot.agent is None:
        return
    agent = snapshot.agent
    yield CounterMetricFamily("rdmatop_agent_samples_missed", "Samples that were due and not taken.", agent.missed)
    yield GaugeMetricFamily("rdmatop_agent_interval_seconds", "Between samples.", agent.interval_s)
    yield GaugeMetricFamily("rdmatop_agent_verbs_up", "1 while the verbs worker answers.", agent.verbs == "ok")
    if agent.memory_bytes is not None:
        yield GaugeMetricFamily("rdmatop_agent_resident_bytes", "Memory of the agent itself.", agent.memory_bytes)


def _devices(devices: tuple[Device, ...]) -> Iterator[Metric]:
    yield _info("device_info", "Identity of the device.", ("device", *_DEVICE_INFO), devices)
    stale = GaugeMetricFamily("rdmatop_device_stale", "1 while a reading of the device hangs.", labels=("device",))
    for device in devices:
        stale.add_metric([device.device], device.stale_since is not None)
    yield stale


def _ports(ports: tuple[Port, ...]) -> Iterator[Metric]:
    yield _info("port_info", "State and identity of the port.", ("device", "port", *_PORT_INFO), ports)
    for row in PORT_ROWS:
        family = GaugeMetricFamily(f"rdmatop_{row.name}", row.help, labels=("device", "port"))
        for port in ports:
            value = row.value(port)
            if value is not None:
                family.add_metric([port.device, str(port.port)], value)
        yield family


def _counters(counters: tuple[Counter, ...]) -> Iterable[Metric]:
    """A family a counter name; of two with one name on a port (a folder and its newer copy), the first counts."""
    families: dict[str, Metric] = {}
    told: set[tuple[str, str, int | None]] = set()
    for counter in counters:
        if counter.value is None:
            continue
        spec = spec_of(counter.name, counter.source)
        name, factor = metric_of(spec)
        if (key := (name, counter.device, counter.port)) in told:
            continue
        told.add(key)
        family = families.get(name)
        if family is None:
            kind = GaugeMetricFamily if spec.limit == "gauge" else CounterMetricFamily
            family = families[name] = kind(name, spec.meaning or counter.name, labels=("device", "port"))
        family.add_metric(  # type: ignore[attr-defined]
            [counter.device, "" if counter.port is None else str(counter.port)], counter.value * factor
        )
    return families.values()


def metric_of(spec: CounterSpec) -> tuple[str, float]:
    """The metric's name, without `_total`, and what a value is to be multiplied by for its base unit."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in spec.name.lower())
    name = f"rdmatop_{_PREFIX.get(spec.source, '')}{name}"
    unit, factor = _TO_BASE.get(spec.unit, ("", 1.0))
    if unit and unit not in name.split("_"):
        name = f"{name}_{unit}"
    return name.removesuffix("_total"), int(factor) if factor == int(factor) else factor


def _findings(findings: tuple[Finding, ...]) -> GaugeMetricFamily:
    labels = ("check", "severity", "layer", "device", "port", "component")
    family = GaugeMetricFamily("rdmatop_finding", "1 for what is wrong now, by check.", labels=labels)
    for values in dict.fromkeys(
        tuple("" if (fact := getattr(finding, label)) is None else str(fact) for label in labels)
        for finding in findings
    ):
        family.add_metric(values, 1)
    return family
