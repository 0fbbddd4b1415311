"""Which GID a run uses, and the words for what went wrong."""

from __future__ import annotations

import pytest

from agent.verbs.errors import STATUSES, completion_error, human_bytes
from agent.verbs.facts import guid_text, mtu_bytes, mtu_code
from agent.verbs.gids import pick
from agent.verbs.memory import difference, fresh_pattern
from agent.verbs.protocol import VerbsGid

LOCAL, IPV4, IPV6 = "fe80:0000:0000:0000:0000:0000:0000:0001", "0000:0000:0000:0000:0000:ffff:0a00:0001", "2001:0db8::1"


def table(*rows: tuple[int, str, str]) -> list[VerbsGid]:
    return [VerbsGid(port=1, index=index, gid=gid, type=kind, ifindex=1) for index, kind, gid in rows]


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([(0, "RoCEv1", LOCAL), (1, "RoCEv2", LOCAL), (2, "RoCEv1", IPV4), (3, "RoCEv2", IPV4)], 3),
        ([(0, "RoCEv2", LOCAL), (1, "RoCEv2", IPV4)], 1),
        ([(4, "RoCEv2", IPV6), (5, "RoCEv2", IPV4), (7, "RoCEv2", IPV4)], 5),
        ([(0, "RoCEv2", LOCAL), (3, "RoCEv2", IPV6)], 3),
        ([(0, "RoCEv1", LOCAL), (2, "RoCEv1", IPV4), (1, "RoCEv2", LOCAL)], 0),
        ([(2, "RoCEv1", IPV4), (1, "RoCEv2", LOCAL)], 2),
        ([(0, "RoCEv1", LOCAL), (1, "RoCEv2", LOCAL)], 0),
        ([(3, "RoCEv2", IPV6), (5, "RoCEv2", IPV4)], 5),
        ([(0, "RoCEv1", LOCAL)], 0),
    ],
)
def test_by_type_and_address_and_never_by_index(rows: list[tuple[int, str, str]], chosen: int) -> None:
    found = pick(table(*rows), 1, roce=True)
    assert found is not None
    assert found.index == chosen


def test_infiniband_takes_its_first_entry_and_another_port_has_none() -> None:
    gids = table((1, "IB", IPV6), (0, "IB", LOCAL))
    found = pick(gids, 1, roce=False)
    assert found is not None
    assert found.index == 0
    assert pick(gids, 2, roce=False) is None


def test_every_status_of_verbs_h_has_a_name_and_a_meaning() -> None:
    assert sorted(STATUSES) == list(range(24))
    assert str(completion_error(10, 0x88, "RDMA write")) == (
        "RDMA write failed with REM_ACCESS_ERR (10): the responder refused access to its memory: wrong key, range or "
        "right; vendor error 0x88 (mlx5: the peer refused the key or the address)"
    )
    assert "status 99" in str(completion_error(99, 0, "x"))


def test_units() -> None:
    assert [human_bytes(n) for n in (1, 1024, 1000, 8 << 20, 3 << 30)] == ["1 B", "1 KiB", "1000 B", "8 MiB", "3 GiB"]
    assert [mtu_bytes(code) for code in (0, 1, 5, 6)] == [None, 256, 4096, None]
    assert [mtu_code(size) for size in (100, 256, 1500, 4096, 9000)] == [1, 1, 3, 5, 5]
    assert guid_text(int.from_bytes(bytes.fromhex("b83fd2030092dd30"), "little")) == "b83f:d203:0092:dd30"


@pytest.mark.parametrize("size", [2, 64, 65_536, 65_537, 1 << 20, (8 << 20) - 1])
def test_patterns_are_new_and_every_byte_counts(size: int) -> None:
    first = fresh_pattern(size)
    assert len(first) == size
    if size > 2:
        assert first != fresh_pattern(size)
    for at in {0, size // 2, size - 1}:
        changed = bytearray(first)
        changed[at] ^= 1
        assert (difference(first, memoryview(changed)) or "").startswith(f"byte {at} is ")
    assert difference(first, memoryview(bytearray(first))) is None


def test_a_misplaced_block_shows() -> None:
    whole = fresh_pattern(4 * 65_536)
    swapped = bytearray(whole[65_536 : 2 * 65_536] + whole[:65_536] + whole[2 * 65_536 :])
    assert difference(whole, memoryview(swapped)) is not None
