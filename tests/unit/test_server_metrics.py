"""The text of /metrics: valid, in base units, and silent about what is not known."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.server.metrics import exposition, metric_of
from diagnostics.counters import CATALOGUE, spec_of
from diagnostics.model import Counter, Finding
from tests.unit.fake_node import counter, snapshot, struct


def samples(node) -> dict[tuple[str, ...], float]:
    """(name, device, port) -> value; raises for text that Prometheus would not take, or a series told twice."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(exposition(node).decode()):
        for sample in family.samples:
            key = (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def of(node, name: str) -> dict[str, float]:
    return {" ".join(key[1:]): value for key, value in samples(node).items() if key[0] == name}


@pytest.mark.parametrize(
    ("name", "source", "metric", "factor"),
    [
        ("port_xmit_data", "counters", "rdmatop_port_xmit_data_bytes", 1),
        ("symbol_error", "counters", "rdmatop_symbol_error", 1),
        ("rx_prio3_pause_duration", "ethtool", "rdmatop_ethtool_rx_prio3_pause_duration_seconds", 1e-6),
        ("tx_bytes", "ethtool", "rdmatop_ethtool_tx_bytes", 1),
        ("nobody.knows-this", "hw_counters", "rdmatop_nobody_knows_this", 1),
    ],
)
def test_names_and_base_units(name, source, metric, factor):
    assert metric_of(spec_of(name, source)) == (metric, factor)


def test_no_two_counters_of_a_source_get_one_name():
    for source in ("counters", "hw_counters", "ethtool", "pci"):
        rows = {spec.name for spec in CATALOGUE if spec.source == source}
        assert len({metric_of(spec_of(name, source))[0] for name in rows}) == len(rows)


def test_what_is_unknown_is_absent_never_zero():
    node = snapshot(devices=2)
    assert not any("unreadable" in key[0] for key in samples(node))
    down = msgspec.structs.replace(node.ports[0], state="DOWN", rate_gbps=None, expected="unknown")
    dark = msgspec.structs.replace(node.ports[1], state=None)
    node = msgspec.structs.replace(node, ports=(down, dark))
    assert of(node, "rdmatop_port_up") == {"device=mlx5_0 port=1": 0}
    assert of(node, "rdmatop_port_rate_bytes_per_second") == {"device=mlx5_1 port=1": 50e9}
    assert of(node, "rdmatop_port_expected_up") == {"device=mlx5_1 port=1": 1}
    assert of(node, "rdmatop_port_transmit_bytes_per_second") == {}


def test_counters_are_totals_and_gauges_are_not():
    rows = (
        msgspec.structs.replace(counter("mlx5_0", 1, "port_rcv_data", 1 << 62), source="counters"),
        msgspec.structs.replace(counter("mlx5_0", None, "active_qps", 5), source="netlink"),
        counter("mlx5_0", 1, "link_downed", 3),
        msgspec.structs.replace(counter("mlx5_0", 1, "link_downed", 4), source="counters"),
    )
    node = msgspec.structs.replace(snapshot(), counters=rows)
    assert of(node, "rdmatop_port_rcv_data_bytes_total") == {"device=mlx5_0 port=1": float(1 << 62)}
    assert of(node, "rdmatop_active_qps") == {"device=mlx5_0 port=": 5}
    assert of(node, "rdmatop_link_downed_total") == {"device=mlx5_0 port=1": 3}


def test_findings_stand_once_each():
    row = struct(
        Finding, id="1", node="n1", device="mlx5_0", port=1, check="link-down", layer="link", severity="critical"
    )
    node = msgspec.structs.replace(snapshot(), findings=(row, msgspec.structs.replace(row, id="2")))
    labels = "check=link-down component= device=mlx5_0 layer=link port=1 severity=critical"
    assert of(node, "rdmatop_finding") == {labels: 1}


def test_hostile_names_stay_inside_their_labels():
    nasty = struct(
        Counter, node="n1", device='a"} 1\nb', port=1, name="x\n# y", source="hw_counters", value=1, quality="ok"
    )
    node = msgspec.structs.replace(snapshot(), counters=(nasty,))
    assert of(node, "rdmatop_x___y_total") == {'device=a"} 1\nb port=1': 1}


def test_before_the_first_sample_there_is_nothing():
    assert exposition(None) == b""
