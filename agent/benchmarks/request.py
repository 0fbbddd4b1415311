"""What was asked for, checked and turned into ports: everything that is wrong is said before anything runs."""

from __future__ import annotations

from typing import NamedTuple

from agent.verbs.protocol import MAX_CHAIN, MAX_DURATION_S, MAX_ITERATIONS, MAX_QPS, MAX_SIZE_BYTES, MIN_SIZE_BYTES
from diagnostics.errors import Unreachable, UserError
from diagnostics.messages import OPERATIONS
from diagnostics.model import BenchmarkRequest, Device, NodeSnapshot, Port

MAX_SIZES = 32


class Target(NamedTuple):
    """A port to be measured, and the HCA that may be in one benchmark at a time."""

    port: Port
    hca: str

    @property
    def where(self) -> str:
        return f"{self.port.device}/{self.port.port}"


def check(request: BenchmarkRequest) -> None:
    """Raises UserError for what no device could do."""
    if request.kind != "loopback":
        raise UserError(f"a {request.kind} benchmark needs two nodes", "this agent runs loopback on its own ports")
    if request.operation not in OPERATIONS:
        raise UserError(f"there is no operation {request.operation}", "write, read or send")
    if not 1 <= len(request.sizes) <= MAX_SIZES:
        raise UserError(f"{len(request.sizes)} sizes asked; 1 to {MAX_SIZES} are possible")
    for size in request.sizes:
        _within("size", size, MIN_SIZE_BYTES, MAX_SIZE_BYTES, "bytes")
    _within("qps", request.qps, 1, MAX_QPS, "queue pairs")
    _within("chain", request.chain, 1, MAX_CHAIN, "work requests")
    if request.iterations is not None:
        _within("iterations", request.iterations, 1, MAX_ITERATIONS, "messages")
    if not 0 < request.duration_s <= MAX_DURATION_S:
        raise UserError(f"duration {request.duration_s:g} s: more than 0, at most {MAX_DURATION_S:g} s")
    if request.gid_index is not None:
        _within("gid_index", request.gid_index, 0, 65535, "")


def _within(what: str, value: int, least: int, most: int, unit: str) -> None:
    if not least <= value <= most:
        raise UserError(f"{what} {value}: {least} to {most}{' ' + unit if unit else ''} are possible")


def targets(request: BenchmarkRequest, snapshot: NodeSnapshot) -> tuple[Target, ...]:
    """The ports that were meant; without a device every active one. Raises Unreachable, UserError."""
    present = [port for port in snapshot.ports if port.gone_since is None]
    if request.device is None:
        if request.port is not None:
            raise UserError(f"port {request.port} of which device?", "name the device too: mlx5_0/1")
        chosen = [port for port in present if port.state == "ACTIVE"] or present
        if not chosen:
            raise Unreachable("this node has no RDMA device", "`rdmatop check` says what is missing")
    else:
        chosen = _ports_of(request, present)
    hcas = {device.device: _hca(device) for device in snapshot.devices}
    return tuple(Target(port, hcas.get(port.device, port.device)) for port in chosen)


def _ports_of(request: BenchmarkRequest, present: list[Port]) -> list[Port]:
    own = [port for port in present if port.device == request.device]
    names = sorted({port.device for port in present})
    if not own:
        there = f"there are: {', '.join(names)}" if names else "this node has none"
        raise Unreachable(f"no RDMA device {request.device}", there)
    chosen = [port for port in own if request.port is None or port.port == request.port]
    if not chosen:
        numbers = ", ".join(str(port.port) for port in own)
        raise Unreachable(f"{request.device} has no port {request.port}", f"it has: {numbers}")
    return chosen


def _hca(device: Device) -> str:
    """Functions of one card share its PCIe slot and its image GUID, so they wait for one another."""
    guid = device.sys_image_guid
    return guid if guid and guid.strip("0:") else device.device
