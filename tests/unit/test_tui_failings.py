"""What a user of the other RDMA top meets and must not meet here: one test each, on the frames themselves."""

from __future__ import annotations

import msgspec
import pytest

from tests.frames.play import played, press, text
from tests.frames.scripted import counter, device, down, faulty, no_device, port, snapshot
from tui.sources.base import Outage
from tui.theme import ASCII, MONOCHROME, Theme
from tui.widgets.line import Line


def row_of(frame: str, name: str) -> str:
    found = [line for line in frame.split("\n") if line.startswith(f" {name}")]
    assert found, f"no row of {name} in:\n{frame}"
    return found[0]


def roles(lines: list[Line], word: str) -> set[str]:
    return {role for line in lines for text_, role in line if word in text_}


async def test_01_errors_discards_ecn_and_pfc_are_on_the_first_screen_with_rate_and_total() -> None:
    busy = port(errors_per_minute=5400.0, discards_per_second=17.0, ecn_per_second=2100.0, pause_per_second=3912.0)
    counters = (
        counter("roce_adp_retrans", "error", 48_331, 90.0, device="mlx5_0"),
        counter("rx_prio3_pause", "congestion", 8_812_331, 3912.0, device="mlx5_0"),
        counter("rx_discards_phy", "congestion", 12, 17.0, device="mlx5_0"),
    )
    frame = text(await played([snapshot(0, ports=(busy,), devices=(device(),), counters=counters)]))
    assert row_of(frame, "mlx5_0/1").split()[-5:] == ["5,400", "17", "2,100", "3,912", "0"]
    totals = next(line for line in frame.split("\n") if "in total" in line)
    assert totals.split("in total")[1].split() == [
        "errors", "48,331", "discards", "12", "ECN", "-", "PFC", "8,812,331", "CNP", "-",
    ]  # fmt: skip


async def test_02_colour_is_the_verdict_and_full_use_of_a_link_is_good() -> None:
    full = port(tx_gbps=388.0, rx_gbps=391.0)
    sick = port("mlx5_1", health="warning", errors_per_minute=124.0)
    session = await played([snapshot(0, ports=(full, sick), devices=(device(), device("mlx5_1")))])
    lines = session.lines()
    assert roles(lines, "388.0") <= {"", "cursor+"}
    assert "warning" in {r.removeprefix("cursor+") for r in roles(lines, "▲ ")}
    assert not {"ok", "warning", "failed"} & {r.removeprefix("cursor+") for r in roles(lines, "124")}


async def test_03_state_is_a_glyph_and_a_word_without_colour_too() -> None:
    for theme in (Theme(), Theme(looks=MONOCHROME), Theme(ASCII, MONOCHROME)):
        frame = text(await played([faulty()], theme=theme))
        assert f"{theme.glyphs.failed} down" in row_of(frame, "mlx5_3/1")
        assert f"{theme.glyphs.ok} active" in row_of(frame, "mlx5_0/1")
        assert f"{theme.glyphs.warning} active" in row_of(frame, "mlx5_1/1")


async def test_04_a_device_that_appears_has_no_rate_yet() -> None:
    fresh = port("mlx5_9", tx_gbps=None, rx_gbps=None, rate_quality="first")
    session = await played([snapshot(0)])
    session.apply(snapshot(1, ports=(*snapshot().ports, fresh), devices=(*snapshot().devices, device("mlx5_9"))))
    assert row_of(text(session), "mlx5_9/1").split().count("first") == 2


@pytest.mark.parametrize("forgets", [False, True], ids=["the source marks it", "the source forgets it"])
async def test_05_a_device_that_goes_keeps_its_row_and_the_cursor_its_place(forgets: bool) -> None:
    session = await played([snapshot(0)], ("down", "down"))
    assert session.screen.listing.cursor == ("gpu-017", "mlx5_2", "1")  # type: ignore[attr-defined]
    await press(session, "enter")
    ports, devices = snapshot().ports, snapshot().devices
    if forgets:
        gone = snapshot(271, ports=ports[:2] + ports[3:], devices=devices[:2] + devices[3:])
    else:
        lost = msgspec.structs.replace(ports[2], gone_since=snapshot(271).time)
        gone = snapshot(271, ports=(*ports[:2], lost, *ports[3:]))
    session.apply(gone)
    session.apply(snapshot(272, ports=gone.ports, devices=gone.devices))
    opened = text(session)
    assert "mlx5_2/1" in opened.split("\n")[0]
    assert "gone since 12:04:31" in opened.split("\n")[0]
    await press(session, "escape")
    frame = text(session)
    assert "✗ gone since 12:04:31" in row_of(frame, "mlx5_2/1")
    assert session.screen.listing.cursor == ("gpu-017", "mlx5_2", "1")  # type: ignore[attr-defined]
    await press(session, "7")
    assert "mlx5_2/1: active, now gone" in text(session)


async def test_06_a_counter_reset_is_said() -> None:
    session = await played([snapshot(0), snapshot(1)])
    fallen = port(tx_gbps=None, rx_gbps=None, rate_quality="reset")
    session.apply(snapshot(2, ports=(fallen, *snapshot().ports[1:])))
    assert row_of(text(session), "mlx5_0/1").split().count("reset") == 2
    await press(session, "7")
    assert "counters reset" in text(session)


async def test_07_without_a_device_it_says_what_is_missing_and_what_to_do() -> None:
    frame = text(await played([no_device()]))
    assert "No RDMA device on gpu-017." in frame
    assert "0000:3b:00.0 ConnectX-7" in frame
    assert "modprobe mlx5_ib" in frame
    assert "-0.00" not in frame
    assert "Gb" not in frame


async def test_08_a_device_without_counters_is_listed_and_unknown_is_not_zero() -> None:
    siw = port("siw0", tx_gbps=None, rx_gbps=None, rate_quality="unknown", errors_per_minute=None, cnp_per_second=None,
               pause_per_second=None, discards_per_second=None, ecn_per_second=None)  # fmt: skip
    bare = device("lone0", ports=0)
    frame = text(await played([snapshot(0, ports=(siw,), devices=(device("siw0"), bare))]))
    assert row_of(frame, "siw0/1").split()[4:] == ["-"] * 7
    assert "no port" in row_of(frame, "lone0")


async def test_09_keys_do_not_quit_unasked() -> None:
    session = await played([faulty()], ("escape", "escape", "x", "c", "enter", "escape"))
    assert session.exit_code is None
    await press(session, "ctrl+c")
    assert session.exit_code == 130
    again = await played([faulty()], ("q",))
    assert again.exit_code == 0


async def test_10_names_are_whole_and_stay_when_columns_scroll() -> None:
    names = ("rocep65s0f0", "rocep65s0f1")
    pair = snapshot(0, ports=tuple(port(n) for n in names), devices=tuple(device(n) for n in names))
    for width in (80, 40, 20):
        session = await played([pair], (), (width, 24))
        for _ in range(30):
            frame = text(session)
            assert "rocep65s0f0/1" in frame
            assert "rocep65s0f1/1" in frame
            await press(session, "right")
    session = await played([pair], ("right",) * 15, (80, 24))
    assert "ConnectX-7" in text(session)


async def test_11_one_unit_everywhere() -> None:
    session = await played([faulty()])
    assert "TX Gb" in text(session)
    await press(session, "down", "enter")
    frame = text(session)
    assert "148.2 Gb/s" in frame
    assert "MB/s" not in frame


async def test_12_sort_filter_pause_interval_and_a_sentence_for_an_error() -> None:
    session = await played([faulty(0)])
    await press(session, "X")
    assert text(session).split("\n")[3].split()[0] == "mlx5_0/1"
    await press(session, "/", *"bond", "enter")
    assert "mlx5_bond0/1" in text(session)
    assert "mlx5_0/1 " not in text(session)
    await press(session, "escape", "Z")
    before = text(session)
    session.apply(faulty(30, ports=(down("mlx5_0"),)))
    assert text(session) == before
    assert "paused at 12:00:00" in before
    await press(session, "Z", ">")
    assert "gone since 12:00:30" in text(session)
    assert ("interval", 0.5) in session.source.asked  # type: ignore[attr-defined]
    session.apply(Outage("agent at /run/x cannot be reached: Connection refused", faulty(31).time, "start one"))
    said = " ".join(text(session).split())
    assert "no data since 12:00:31: agent at /run/x cannot be reached: Connection refused" in said
    assert "mlx5_bond0/1" in said


@pytest.mark.parametrize("size", [(40, 12), (20, 10), (20, 5)], ids=str)
async def test_13_a_small_terminal_keeps_what_is_worth_most(size: tuple[int, int]) -> None:
    frame = text(await played([faulty()], (), size))
    lines = frame.split("\n")
    assert "✗ 1" in lines[0]
    assert "✗ down" in row_of(frame, "mlx5_3/1")
    assert any("✗" in line and "down" in line for line in lines[4:]), frame
    assert sum(1 for line in lines if line.startswith(" mlx5_")) >= min(3, size[1] - 3)
