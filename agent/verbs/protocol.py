"""What the agent and the verbs worker say to each other: frames of msgpack over a Unix socket.

A frame is four bytes of length, most significant first, and one tagged msgpack map. The first frame each way is a
`Hello`; another version is answered with a `Refused` and the end of the connection. Everything that comes in is bounded
twice: the frame by its length, each field by its type, so that a hostile peer costs one refused connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from diagnostics.messages import LARGEST_BYTES, OPERATIONS, SMALLEST_BYTES

VERSION = 1
MAX_REQUEST_BYTES = 16 * 1024
"""A job is about 300 bytes; a client that announces more is not one of ours."""
MAX_REPLY_BYTES = 4 * 1024 * 1024
"""Sixteen devices with GID tables of 1,024 filled entries are about 2 MiB."""
HEAD_BYTES = 4
MIN_SIZE_BYTES, MAX_SIZE_BYTES = SMALLEST_BYTES, LARGEST_BYTES
MAX_QPS = 128
MAX_CHAIN = 256
MAX_DURATION_S = 600.0
MAX_ITERATIONS = 1_000_000_000

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:\-]{1,63}\Z")]
"""Of an RDMA device: IB_DEVICE_NAME_MAX is 64 with the final zero (include/rdma/ib_verbs.h)."""
JobId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.\-]{1,64}\Z")]
Text = Annotated[str, Meta(max_length=4096)]


class ProtocolError(Exception):
    """The peer does not speak this protocol; the connection is of no more use."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="is"):
    """Base of everything that is said."""


class Hello(Frame, frozen=True, kw_only=True, tag="hello"):
    """The first word of both sides."""

    version: int
    state: Text = "ok"
    """Of the worker: `ok`, or why it has no verbs."""
    hint: Text = ""
    pyverbs: Text | None = None
    """Where pyverbs was found."""
    pid: int | None = None


class AskDevices(Frame, frozen=True, kw_only=True, tag="ask-devices"):
    """Enumerate now; answered by `Devices` or `Refused` of the same id."""

    id: JobId


class Job(Frame, frozen=True, kw_only=True, tag="job"):
    """One loopback run of one port at one size; answered by any number of `Progress` and one `Result`."""

    id: JobId
    device: Name
    port: Annotated[int, Meta(ge=1, le=255)] = 1
    operation: Annotated[str, Meta(pattern=rf"^({'|'.join(OPERATIONS)})\Z")] = "write"
    size_bytes: Annotated[int, Meta(ge=MIN_SIZE_BYTES, le=MAX_SIZE_BYTES)] = 65536
    qps: Annotated[int, Meta(ge=1, le=MAX_QPS)] = 1
    chain: Annotated[int, Meta(ge=1, le=MAX_CHAIN)] = 128
    duration_s: Annotated[float, Meta(gt=0, le=MAX_DURATION_S)] = 5.0
    iterations: Annotated[int, Meta(ge=1, le=MAX_ITERATIONS)] | None = None
    """Messages in each direction in place of a duration, rounded up to whole chains; the duration then is no bound."""
    latency: bool = False
    bidirectional: bool = False
    gid_index: Annotated[int, Meta(ge=0, le=65535)] | None = None
    mtu_bytes: Annotated[int, Meta(ge=256, le=4096)] | None = None
    """Path MTU; the port's active MTU when None."""
    silence_s: Annotated[float, Meta(gt=0, le=120)] = 20.0
    """Without a completion for so long the run has failed. Seven retries of 1.07 s (timeout 18) are 8.6 s."""


class Cancel(Frame, frozen=True, kw_only=True, tag="cancel"):
    """End a job of this connection; its `Result` says what was measured until then."""

    id: JobId


class VerbsGid(msgspec.Struct, frozen=True, kw_only=True):
    """A filled entry of a GID table, as libibverbs gives it."""

    port: int
    index: int
    gid: str
    """As sysfs writes it: eight groups of four digits."""
    type: str | None
    """`IB`, `RoCEv1`, `RoCEv2`."""
    ifindex: int | None
    """Of the netdev; None for InfiniBand."""


class VerbsPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port, as ibv_query_port gives it."""

    port: int
    state: str | None
    """`ACTIVE`, `INIT`, `ARMED`, `DOWN`."""
    phys_state: int | None
    link_layer: str | None
    lid: int | None
    sm_lid: int | None
    active_mtu_bytes: int | None
    max_mtu_bytes: int | None
    max_msg_bytes: int | None


class VerbsFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the verbs say of one device; of one that cannot be opened only the name, the error and the hint."""

    name: str
    opened: bool
    error: str | None = None
    hint: str | None = None
    node_guid: str | None = None
    sys_image_guid: str | None = None
    firmware: str | None = None
    vendor_id: int | None = None
    vendor_part_id: int | None = None
    max_qp: int | None = None
    max_qp_wr: int | None = None
    max_cqe: int | None = None
    max_rd_atomic: int | None = None
    max_msg_bytes: int | None = None
    """The smallest of its ports."""
    ports: tuple[VerbsPort, ...] = ()
    gids: tuple[VerbsGid, ...] = ()


class Devices(Frame, frozen=True, kw_only=True, tag="devices"):
    id: JobId
    devices: tuple[VerbsFacts, ...]


class Progress(Frame, frozen=True, kw_only=True, tag="progress"):
    """Several times a second while a job runs."""

    id: JobId
    fraction: float
    """0 to 1."""
    messages: int
    elapsed_s: float
    bandwidth_gbps: float | None
    """Average so far; None for a latency run."""


class Result(Frame, frozen=True, kw_only=True, tag="result"):
    """The end of a job. A failed or cancelled one carries what was measured until then, as far as there is any."""

    id: JobId
    outcome: str
    """`done`, `cancelled` or `failed`."""
    error: str | None = None
    hint: str | None = None
    port_down: bool = False
    """The port was found down: an answer about the port, not about the run."""
    messages: int = 0
    elapsed_s: float | None = None
    bandwidth_gbps: float | None = None
    """Average, 10^9 bit/s of payload; both directions added."""
    messages_per_s: float | None = None
    latency_us: tuple[float, float, float, float] | None = None
    """min, p50, p99, max."""
    latency_by: str | None = None
    """`memory`: half a round trip, the last byte polled. `completion`: by the completion queue; half a round trip for
    a send, the whole operation for a read."""
    verified: bool | None = None
    cpu_percent: float | None = None
    qps: int | None = None
    chain: int | None = None
    """As run: long messages go in shorter chains."""
    mtu_bytes: int | None = None
    gid_index: int | None = None
    gid: str | None = None
    memory: str | None = None


class Refused(Frame, frozen=True, kw_only=True, tag="refused"):
    """A request that was not carried out, or the reason why the connection ends (`id` None)."""

    id: str | None
    message: str
    hint: str = ""


Request = Hello | AskDevices | Job | Cancel
Reply = Hello | Devices | Progress | Result | Refused

_encode = msgspec.msgpack.Encoder().encode
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(frame: Frame) -> bytes:
    """The frame with its length before it."""
    body = _encode(frame)
    return len(body).to_bytes(HEAD_BYTES, "big") + body


def decode_request(body: bytes) -> Request:
    """What a client said. Raises ProtocolError for anything that is not a request within its bounds."""
    try:
        return _requests.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as wrong:
        raise ProtocolError(f"not a request of version {VERSION}: {wrong}") from None


def decode_reply(body: bytes) -> Reply:
    """What the worker said. Raises ProtocolError."""
    try:
        return _replies.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as wrong:
        raise ProtocolError(f"not a reply of version {VERSION}: {wrong}") from None


class Deframer:
    """Cuts a stream of bytes into frames; holds at most one frame and what one read brought."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are whole now. Raises ProtocolError for a length that is zero or above the bound."""
        self._buffer += data
        while len(self._buffer) >= HEAD_BYTES:
            length = int.from_bytes(self._buffer[:HEAD_BYTES], "big")
            if not 0 < length <= self._max_bytes:
                raise ProtocolError(f"a frame of {length} bytes; 1 to {self._max_bytes} are allowed")
            if len(self._buffer) < HEAD_BYTES + length:
                return
            body = bytes(self._buffer[HEAD_BYTES : HEAD_BYTES + length])
            del self._buffer[: HEAD_BYTES + length]
            yield body
