"""Layer link: whether a port is set up to be used: netdev, GIDs, MTU."""

from __future__ import annotations

from collections.abc import Iterator

from diagnostics.checks.base import (
    Judgement,
    Raised,
    State,
    Unjudged,
    check,
    fact,
    label,
)
from diagnostics.checks.link import ROCE
from diagnostics.model import Gid, Port, Severity


@check(
    "netdev-down",
    layer="link",
    title="The netdev of a port is down",
    hint="ip link set NETDEV up; see what manages the netdev (netplan, NetworkManager, the SR-IOV operator)",
    follows=("link-not-active", "link-down"),
)
def netdev_down(state: State) -> Judgement:
    """Meaning: the network device that belongs to the port is down, so RoCE (or IPoIB) cannot be used. Where the port
    itself is down or not active, this follows from it; where the netdev was switched off, the port follows from this.

    Evidence: `operstate` and the flags of the netdev. An IPoIB netdev that was never used on an active port is no
    fault.

    Next: ip -d link show NETDEV.
    """
    with_netdev = [port for port in state.ports if port.netdev]
    if not with_netdev:
        yield Unjudged("skip", "no port has a netdev here")
        return
    for port in with_netdev:
        if port.netdev_state not in ("down", "lowerlayerdown") or state.expectation(port).expected != "up":
            continue
        if port.link_layer != ROCE and port.state == "ACTIVE":
            continue
        off = port.netdev_admin_up is False
        yield Raised(
            "warning",
            f"{port.netdev} of {label(port.device, port.port)} is {'switched off' if off else 'down'}",
            port.device,
            port.port,
            (fact(f"operstate {port.netdev_state}", None),),
            causes=() if off else None,
        )


@check(
    "gid-missing",
    layer="link",
    title="A RoCE port has no GID to route by",
    hint="give the netdev an address (ip addr add); in Kubernetes the address may come with a pod's claim",
    follows=("netdev-down", "link-down"),
)
def gid_missing(state: State) -> Judgement:
    """Meaning: RoCE v2 is routed by IP addresses, each of which becomes a GID. Without a RoCE v2 GID with an address,
    connections fail with completion status 12 (vendor error 129). A port with link-local GIDs alone has a netdev
    without an address: a note, since an address may come with a pod's claim; a warning when there was one before.

    Evidence: the GID table. A port whose netdev is not in this namespace has none to show and is left alone.

    Next: ip addr show NETDEV; rdmatop get gids.
    """
    roce = [port for port in state.ports if port.link_layer == ROCE and port.state == "ACTIVE"]
    if not roce:
        yield Unjudged("skip", "no RoCE port is active")
        return
    readable = [port for port in roce if (port.device, port.port) in state.gids or port.gid_count is not None]
    if not readable:
        yield Unjudged("unknown", "no GID table could be read")
        return
    for port in readable:
        if port.netdev:
            yield from _no_gid(state, port, state.gids.get((port.device, port.port), []))


def _no_gid(state: State, port: Port, gids: list[Gid]) -> Iterator[Raised]:
    usable = [gid for gid in gids if gid.type != "RoCEv1" and not gid.gid.startswith("fe80")]
    if usable:
        return
    memory = state.memory.port(port)
    had_one = memory is not None and memory.address_seen
    software = (device := state.devices.get(port.device)) is not None and device.function == "virtual"
    none_at_all = not any(gid.type != "RoCEv1" for gid in gids)
    severity: Severity = "warning" if had_one or (none_at_all and not software) else "info"
    what = "no RoCE v2 GID" if none_at_all else "link-local GIDs alone"
    yield Raised(
        severity,
        f"{label(port.device, port.port)} has {what}: {port.netdev} has no address"
        + (", and had one before" if had_one else ""),
        port.device,
        port.port,
        (fact("RoCE v2 GIDs with an address", 0.0, against=1.0), fact("GIDs", float(len(gids)))),
    )


ROCE_MTUS = (4096, 2048, 1024, 512, 256)
ROCE_OVERHEAD = 96
"""Largest header of a RoCE packet: GRH 40, UDP 8, BTH 12, XRC and atomic extensions 32, ICRC 4 (rdma/ib_addr.h)."""


@check(
    "mtu-mismatch",
    layer="link",
    title="A port's MTU differs from its peers' or its netdev's",
    hint="set the same MTU on all netdevs and switch ports of the fabric (9000 or 4200 for an RDMA MTU of 4096)",
)
def mtu_mismatch(state: State) -> Judgement:
    """Meaning: both ends and every port between must agree. A port with a smaller MTU than its peers makes connections
    fail or run with small packets; an RDMA MTU below what the netdev's allows means that it was raised too late.

    Evidence: the active RDMA MTU and the netdev's MTU, against ports of the same kind.

    Next: ip link show; ibv_devinfo | grep mtu.
    """
    active = [port for port in state.ports if port.state == "ACTIVE" and (port.mtu_bytes or port.netdev_mtu_bytes)]
    if not active:
        yield Unjudged(
            "unknown" if state.ports else "skip", "no active port says its MTU" if state.ports else "there is no port"
        )
        return
    for port in active:
        found = _mtu_of_netdev(port) or _mtu_of_peers(state, port, active)
        if found is not None:
            yield found


def _mtu_of_netdev(port: Port) -> Raised | None:
    if port.link_layer != ROCE or port.mtu_bytes is None or port.netdev_mtu_bytes is None:
        return None
    fits = next((mtu for mtu in ROCE_MTUS if mtu <= port.netdev_mtu_bytes - ROCE_OVERHEAD), None)
    if fits is None or port.mtu_bytes >= fits:
        return None
    return Raised(
        "warning",
        f"{label(port.device, port.port)} has an RDMA MTU of {port.mtu_bytes}, "
        f"though {port.netdev} (MTU {port.netdev_mtu_bytes}) allows {fits}",
        port.device,
        port.port,
        (fact("active_mtu", float(port.mtu_bytes), "bytes", against=float(fits), source="kernel iboe_get_mtu"),),
    )


def _mtu_of_peers(state: State, port: Port, active: list[Port]) -> Raised | None:
    device = state.devices.get(port.device)
    kind = (port.link_layer, port.rate_gbps, device.hca_type if device is not None else None)
    mtus = [
        _mtu(other)
        for other in active
        if other is not port
        and _mtu(other) is not None
        and (other.link_layer, other.rate_gbps, peer.hca_type if (peer := state.devices.get(other.device)) else None)
        == kind
    ]
    own = _mtu(port)
    if own is None or len(mtus) < 3:
        return None
    usual = max(set(mtus), key=mtus.count)
    if usual is None or mtus.count(usual) < len(mtus) or usual == own:
        return None
    return Raised(
        "warning",
        f"{label(port.device, port.port)} has MTU {own}, its {len(mtus)} peers {usual}",
        port.device,
        port.port,
        (fact("mtu", float(own), "bytes", against=float(usual), source="peers on this node"),),
    )


def _mtu(port: Port) -> int | None:
    return port.netdev_mtu_bytes if port.link_layer == ROCE and port.netdev_mtu_bytes else port.mtu_bytes
