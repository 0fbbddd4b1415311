"""Netlink answers: read right when well made, and never worse than nothing when not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.readers import addresses, netlink, uevents
from agent.readers.netlink import QueuePair, Statistics, attributes, counter_positions, messages, parse_device


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def statistics(counters: dict[str, int]) -> bytes:
    entries = b"".join(
        attribute(81, attribute(82, name.encode() + b"\0") + attribute(83, struct.pack("=Q", value)))
        for name, value in counters.items()
    )
    return attribute(1, struct.pack("=I", 3)) + attribute(3, struct.pack("=I", 1)) + attribute(80, entries)


names = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1, max_size=30)


@given(st.dictionaries(names, st.integers(0, (1 << 64) - 1), max_size=40), st.integers(0, (1 << 64) - 1))
def test_statistics_of_any_layout_and_again_with_other_values(counters: dict[str, int], other: int) -> None:
    reader = Statistics()
    assert reader.values(statistics(counters)) == tuple(counters.values())
    layout = reader.names
    assert layout == tuple(counters)
    assert reader.values(statistics(dict.fromkeys(counters, other))) == (other,) * len(counters)
    assert reader.names is layout


def test_another_counter_of_the_same_length_is_not_taken_for_it() -> None:
    reader = Statistics()
    reader.values(statistics({"cc_rx_ce_pkts": 1}))
    assert reader.values(statistics({"cc_tx_ce_pkts": 2})) == (2,)
    assert reader.names == ("cc_tx_ce_pkts",)


def test_queue_pairs() -> None:
    entry = b"".join(
        (
            attribute(3, struct.pack("=I", 1)),
            attribute(21, struct.pack("=I", 261)),
            attribute(26, b"\x02"),
            attribute(28, struct.pack("=I", 4711)),
        )
    )
    kernel = attribute(26, b"\x01") + attribute(29, b"ib_core\0")
    payload = attribute(1, struct.pack("=I", 0)) + attribute(19, attribute(20, entry) + attribute(20, kernel))
    assert netlink.parse_queue_pairs(payload) == [
        QueuePair(1, 261, "RC", 4711, None),
        QueuePair(None, None, "GSI", None, "ib_core"),
    ]


def test_devices() -> None:
    payload = attribute(1, struct.pack("=I", 4)) + attribute(2, b"mlx5_4\0")
    assert parse_device(payload) == netlink.Rdma(4, "mlx5_4")
    assert parse_device(attribute(2, b"mlx5_4\0")) is None


def test_only_answers_to_this_question_are_taken() -> None:
    def message(sequence: int, payload: bytes) -> bytes:
        return struct.pack("=IHHII", 16 + len(payload), 5, 0, sequence, 0) + payload + bytes(-len(payload) % 4)

    data = message(7, b"old!") + message(8, b"mine") + message(8, b"")
    assert list(messages(data, 8)) == [(5, b"mine"), (5, b"")]


@given(st.binary(max_size=400))
def test_no_bytes_break_the_parsers(data: bytes) -> None:
    for kind, at, end in attributes(data):
        assert 0 <= kind <= 0x3FFF
        assert 4 <= at <= end <= len(data)
    list(messages(data, 1))
    netlink.parse_queue_pairs(data)
    parse_device(data)
    addresses.identify(data)
    uevents.parse(data)
    for _, at in counter_positions(data):
        assert at + 8 <= len(data)
    values = Statistics().values(data)
    assert len(values) == len(counter_positions(data))


@given(st.dictionaries(names, st.integers(0, 1 << 63), max_size=10), st.integers(0, 400), st.binary(max_size=8))
def test_an_answer_with_damaged_bytes_breaks_nothing(counters: dict[str, int], place: int, patch: bytes) -> None:
    good = statistics(counters)
    reader = Statistics()
    reader.values(good)
    place = min(place, len(good))
    reader.values(good[:place] + patch + good[place + len(patch) :])
    assert reader.values(good) == tuple(counters.values())


def test_the_address_list_of_this_host_stays_the_same_while_nothing_changes() -> None:
    assert addresses.fingerprint() == addresses.fingerprint()


def test_lifetimes_of_addresses_are_no_change() -> None:
    head = struct.pack("=BBBBI", 2, 24, 0, 0, 3)
    one = head + attribute(1, bytes([10, 8, 0, 1])) + attribute(6, struct.pack("=IIII", 100, 200, 1, 1))
    two = head + attribute(1, bytes([10, 8, 0, 1])) + attribute(6, struct.pack("=IIII", 99, 199, 1, 1))
    other = head + attribute(1, bytes([10, 8, 0, 2]))
    assert addresses.identify(one) == addresses.identify(two) != addresses.identify(other)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            b"remove@/devices/x/infiniband/mlx5_1\0ACTION=remove\0DEVPATH=/devices/x/infiniband/mlx5_1\0SUBSYSTEM=infiniband\0",
            uevents.Uevent("remove", "infiniband", "/devices/x/infiniband/mlx5_1"),
        ),
        (b"add@/devices/y\0ACTION=add\0DEVPATH=/devices/y\0SUBSYSTEM=block\0", None),
        (b"libudev\0\xfe\xed\xca\xfe", None),
        (b"", None),
    ],
)
def test_uevents(message: bytes, expected: uevents.Uevent | None) -> None:
    assert uevents.parse(message) == expected


@pytest.mark.parametrize(
    ("event", "matters"),
    [
        (uevents.Uevent("add", "infiniband", "/devices/virtual/infiniband/rxe0"), True),
        (uevents.Uevent("add", "net", "/devices/pci0000:00/0000:3b:00.0/net/eth0"), True),
        (uevents.Uevent("add", "net", "/devices/virtual/net/veth1a2b"), False),
        (uevents.Uevent("move", "net", "/devices/virtual/net/eth0", "/devices/virtual/net/tmp1"), False),
        (uevents.Uevent("remove", "net", "/devices/virtual/net/bond0"), True),
        (uevents.Uevent("move", "net", "/devices/virtual/net/lag0", "/devices/virtual/net/bond0"), True),
    ],
)
def test_only_the_ports_own_virtual_netdevs_concern_us(event: uevents.Uevent, matters: bool) -> None:
    assert uevents.concerns(event, {"bond0"}) is matters
