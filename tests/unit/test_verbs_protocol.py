"""Whatever comes in over the socket is a request within its bounds, or a ProtocolError."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.verbs.protocol import (
    HEAD_BYTES,
    MAX_REQUEST_BYTES,
    AskDevices,
    Cancel,
    Deframer,
    Hello,
    Job,
    ProtocolError,
    Refused,
    decode_reply,
    decode_request,
    encode,
)

JOB = Job(id="a-1", device="mlx5_0", size_bytes=4096, iterations=10)
REQUESTS = [Hello(version=1), AskDevices(id="x"), JOB, Cancel(id="x")]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda frame: type(frame).__name__)
def test_a_request_comes_back_as_it_was_sent(request_: object) -> None:
    assert decode_request(encode(request_)[HEAD_BYTES:]) == request_  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(REQUESTS), max_size=6), st.data())
def test_frames_survive_any_cut_of_the_stream(sent: list[Job], data: st.DataObject) -> None:
    stream = b"".join(encode(frame) for frame in sent)
    deframer, got = Deframer(MAX_REQUEST_BYTES), []
    while stream:
        length = data.draw(st.integers(1, len(stream)))
        got += [decode_request(body) for body in deframer.feed(stream[:length])]
        stream = stream[length:]
    assert got == sent
    assert not deframer.pending


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_wait_for_more(data: bytes) -> None:
    deframer = Deframer(MAX_REQUEST_BYTES)
    try:
        for body in deframer.feed(data):
            decode_request(body)
    except ProtocolError:
        return
    assert len(deframer._buffer) < HEAD_BYTES + MAX_REQUEST_BYTES


@given(st.binary(max_size=300))
def test_a_body_of_random_bytes_raises_nothing_else(body: bytes) -> None:
    for decode in (decode_request, decode_reply):
        try:
            decode(body)
        except ProtocolError as wrong:
            assert str(wrong)


SCALARS = st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20)


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )
)
def test_well_formed_nonsense_is_refused(value: object) -> None:
    with pytest.raises(ProtocolError):
        decode_request(msgspec.msgpack.encode(value))


@pytest.mark.parametrize(
    "change",
    [
        {"size_bytes": 1}, {"size_bytes": 9 << 20}, {"qps": 0}, {"qps": 10**9}, {"chain": 257}, {"duration_s": 0},
        {"duration_s": 1e9}, {"duration_s": float("nan")}, {"device": "../../etc"}, {"device": ""},
        {"operation": "atomic"}, {"port": 0}, {"gid_index": -1}, {"iterations": 0}, {"id": "x" * 65},
        {"silence_s": 1e6}, {"device": "a" * 64},
        {"id": "a b"}, {"device": "mlx5_0\n"}, {"operation": "write\n"}, {"id": "a\n"},
    ],
    ids=str,
)  # fmt: skip
def test_a_job_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    job = msgspec.msgpack.decode(encode(JOB)[HEAD_BYTES:])
    with pytest.raises(ProtocolError):
        decode_request(msgspec.msgpack.encode({**job, **change}))


@pytest.mark.parametrize("length", [0, MAX_REQUEST_BYTES + 1, 2**32 - 1])
def test_a_length_out_of_bounds_ends_the_stream_before_a_byte_is_kept(length: int) -> None:
    with pytest.raises(ProtocolError, match=str(length)):
        list(Deframer(MAX_REQUEST_BYTES).feed(length.to_bytes(HEAD_BYTES, "big")))


def test_fields_of_a_later_release_are_ignored() -> None:
    later = {**msgspec.msgpack.decode(encode(Refused(id=None, message="no"))[HEAD_BYTES:]), "more": 1}
    assert decode_reply(msgspec.msgpack.encode(later)) == Refused(id=None, message="no")
