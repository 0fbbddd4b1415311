"""Tables, order and choice, from hand-made items whose right answer is seen at a glance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from diagnostics import columns, kinds, model, report, selection
from diagnostics.columns import COLUMNS, NAMES, Column
from diagnostics.report import Look

PORT = model.Port(
    node="gpu-1",
    device="mlx5_2",
    port=1,
    link_layer="InfiniBand",
    state="ACTIVE",
    phys_state="LinkUp",
    rate_gbps=400.0,
    lanes=4,
    speed="NDR",
    lid=7,
    sm_lid=1,
    mtu_bytes=4096,
    netdev="ib0",
    netdev_state="up",
    gid="fe80:0000:0000:0000:b83f:d203:0092:dd30",
    max_rate_gbps=400.0,
    expected="up",
    health="healthy",
    tx_gbps=None,
    rx_gbps=None,
    rate_quality="first",
)


def port(**changes: Any) -> model.Port:
    return msgspec.structs.replace(PORT, **changes)


def lines(kind: str, items: list[Any], look: Look = Look()) -> list[str]:  # noqa: B008
    return report.table(items, [column for column in COLUMNS[kind] if not column.wide], look).splitlines()


def test_numbers_stand_right_and_unknown_is_a_dash() -> None:
    head, first, second = lines("ports", [port(), port(device="mlx5_10", tx_gbps=2741.25, rx_gbps=0.0)])
    assert head == "PORT       HEALTH     STATE   LINK  RATE  TX Gb/s  RX Gb/s  ERR/m  NETDEV"
    assert first == "mlx5_2/1   ✓ healthy  ACTIVE  IB     400        -        -      -  ib0"
    assert second == "mlx5_10/1  ✓ healthy  ACTIVE  IB     400  2,741.2      0.0      -  ib0"


def test_a_port_that_is_not_up_says_what_its_cable_side_does() -> None:
    down = port(state="DOWN", phys_state="Polling", health="failed")
    assert lines("ports", [down])[1].startswith("mlx5_2/1  ✗ failed  DOWN Polling")
    assert "gone" in lines("ports", [port(gone_since="2026-11-24T12:00:00Z")])[1]


def test_without_utf8_the_same_words_have_ascii_marks() -> None:
    rows = [port(health=health) for health in ("healthy", "warning", "failed", "unknown")]
    text = report.table(rows, COLUMNS["ports"][:2], Look(ascii=True))
    assert text.isascii()
    assert [line[10:] for line in text.splitlines()] == ["HEALTH", "  healthy", "! warning", "X failed", ". unknown"]


def test_colour_changes_nothing_but_escapes() -> None:
    rows = [port(), port(health="failed")]
    plain, coloured = lines("ports", rows), lines("ports", rows, Look(colour=True))
    assert "\x1b[31m✗ failed \x1b[0m" in coloured[2]
    assert "\x1b" not in coloured[0]
    stripped = [line.replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[0m", "") for line in coloured]
    assert stripped == plain


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_columns_leave_by_worth_until_the_row_fits(width: int) -> None:
    rows = [port(device="rocep59s0f0", netdev="enp59s0f0np0", tx_gbps=1.0, rx_gbps=1.0, health="unknown")]
    head, row = lines("ports", rows, Look(width=width))
    assert max(len(head), len(row)) <= max(width, len("rocep59s0f0/1  · unknown  ACTIVE"))
    assert head.split()[:3] == ["PORT", "HEALTH", "STATE"]
    assert ("NETDEV" in head) == (width == 200 or len(head) > 74)


def test_a_repainted_line_is_cut_at_the_edge_and_prose_wraps_elsewhere() -> None:
    event = model.Event(
        node="n", time="2026-11-24T12:04:31.000Z", check="link-down", device="mlx5_3", port=1, kind="started",
        message="mlx5_3/1 is down, no carrier on ens3f0: cable, module or switch port",
    )  # fmt: skip
    cut = lines("events", [event], Look(width=60, cut=True))
    assert [len(line) <= 60 for line in cut] == [True, True]
    assert cut[1].endswith("…")
    assert lines("events", [event], Look(width=60))[1].endswith("switch port")


def test_control_characters_of_a_process_name_do_not_reach_the_terminal() -> None:
    process = model.Process(
        node="n", pid=7, command="a\x1b[2Jb\n", user=None, device="mlx5_0", port=1, qps=1, qp_types={"RC": 1},
        namespace=None, pod=None, container=None,
    )  # fmt: skip
    assert lines("processes", [process])[1].startswith("  7  a?[2Jb?")


def test_every_column_reads_a_field_of_its_kind_or_computes_it() -> None:
    for kind, row in COLUMNS.items():
        fields = kinds.KINDS[kind].__struct_encode_fields__
        for column in row:
            assert column.key.split(".")[0] in fields or column.value is not None, (kind, column.title)
        assert sum(column.wide for column in row) < len(row)
        assert len({column.heading for column in row}) == len(row)


def test_every_kind_of_one_node_has_columns_and_names() -> None:
    assert set(COLUMNS) == set(NAMES) == set(kinds.KINDS) - {"components"}


def test_natural_order() -> None:
    names = ["mlx5_10", "mlx5_2", "mlx5_bond0", "mlx5_1", "", "eth2a10", "eth2a9"]
    assert sorted(names, key=selection.natural) == [
        "",
        "eth2a9",
        "eth2a10",
        "mlx5_1",
        "mlx5_2",
        "mlx5_10",
        "mlx5_bond0",
    ]


def test_items_stand_by_node_device_port_name() -> None:
    rows = [port(device="mlx5_10"), port(port=2), port(), port(node="gpu-0", device="mlx5_9")]
    order = [(row.node, row.device, row.port) for row in selection.in_order("ports", rows)]
    assert order == [("gpu-0", "mlx5_9", 1), ("gpu-1", "mlx5_2", 1), ("gpu-1", "mlx5_2", 2), ("gpu-1", "mlx5_10", 1)]


@pytest.mark.parametrize(("descending", "order"), [(False, [1, 3, 5]), (True, [5, 3, 1])])
def test_unknown_values_come_last_either_way(descending: bool, order: list[int]) -> None:
    rows = [SimpleNamespace(x=value) for value in (3, None, 5, 1, None)]
    assert [row.x for row in selection.sorted_by(rows, Column("X", "x"), descending)] == [*order, None, None]


def test_names_of_one_kind_widen_and_of_two_narrow() -> None:
    counters = [SimpleNamespace(device=device, port=1, name=name) for device in ("a", "b", "c") for name in ("x", "y")]

    def choose(*names: str) -> tuple[list[str], list[str]]:
        items, missing = selection.chosen("counters", counters, names)
        return [f"{item.device}{item.name}" for item in items], missing

    assert choose("a", "b") == (["ax", "ay", "bx", "by"], [])
    assert choose("a/1", "b", "y") == (["ay", "by"], [])
    assert choose("x", "nothing") == ([], ["nothing"]), "a name that is mistyped never widens the answer"
    assert choose("nothing") == ([], ["nothing"])
    assert selection.known_names("counters", counters, most=3) == "a, a/1, x and 5 more"


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (columns.rounded, 0.3, "0.3"),
        (columns.rounded, 3.0, "3"),
        (columns.rounded, 812.4, "812"),
        (columns.rounded, 1902118.0, "1,902,118"),
        (columns.short, 2.5, "2.5"),
        (columns.short, 400.0, "400"),
        (columns.size, 65536, "64 Ki"),
        (columns.size, 1 << 20, "1 Mi"),
        (columns.size, 1000, "1000"),
        (columns.age, 59.0, "59s"),
        (columns.age, 372.0, "6m"),
        (columns.clock, "2026-11-24T12:04:31.250Z", "11-24 12:04:31"),
        (columns.counts, {"RC": 1510, "UD": 2}, "RC 1,510, UD 2"),
    ],
)
def test_values_become_text(show: Any, value: Any, text: str) -> None:
    assert show(value) == text


def test_json_and_yaml_say_the_same() -> None:
    import yaml

    whole = report.envelope("ports", [PORT], [model.Problem(source="ports/x", message="m")], "2026-11-24T12:00:00.000Z")
    decoded = msgspec.json.decode(report.as_json(whole))
    assert yaml.safe_load(report.as_yaml(whole)) == decoded == msgspec.json.decode(report.as_line(whole))
    assert decoded["kind"] == "PortList"
    assert decoded["items"][0]["tx_gbps"] is None
    assert report.as_line(whole).count(b"\n") == 1
