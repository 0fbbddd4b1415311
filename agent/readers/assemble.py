"""From what the readers hold to the wire types; all pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agent.history import History
from agent.readers import gids
from agent.readers.counters import Group
from agent.readers.device import DeviceReader, PortState
from agent.readers.traffic import Traffic, plan_of, traffic_of
from diagnostics.links import card_max_gbps
from diagnostics.model import Device, FindingCounts, Gid, Host, Node, Port, Unread
from diagnostics.version import VERSION

MINUTE_S = 60.0


class Condition(NamedTuple):
    """Whether a device answers."""

    gone_since: str | None = None
    stale_since: str | None = None


def device_item(node: str, reader: DeviceReader, condition: Condition, verbs: bool | None) -> Device:
    identity = reader.identity
    facts = (
        {name: getattr(identity, name) for name in DEVICE_FACTS}
        if identity is not None
        else dict.fromkeys(DEVICE_FACTS)
    )
    return Device(
        node=node,
        device=reader.name,
        ports=len(reader.ports),
        verbs=verbs,
        gone_since=condition.gone_since,
        stale_since=condition.stale_since,
        **facts,
    )


DEVICE_FACTS = (
    "driver", "node_guid", "sys_image_guid", "card", "hca_type", "board_id", "firmware", "function", "pci_address",
    "numa_node", "pcie", "bond", "bluefield", "physfn", "slave",
)  # fmt: skip
"""Fields that Identity and Device share by name."""


def port_item(
    node: str, reader: DeviceReader, state: PortState, condition: Condition, history: History, cards: dict[str, int]
) -> Port:
    """A port that is gone says nothing of its state; one that hangs says its last, and no rate."""
    gone, stale = condition.gone_since is not None, condition.stale_since is not None
    groups = [group for group in reader.groups if group.port == state.number]
    traffic = Traffic() if gone else traffic_of(groups)
    if stale:
        traffic = Traffic(quality="stale")
    rate, default = state.link.rate, gids.default_gid(state.gids)
    active = state.link.state == "ACTIVE" and not gone
    netdev = state.netdev
    return Port(
        node=node,
        device=reader.name,
        port=state.number,
        link_layer=state.facts.link_layer,
        state=None if gone else state.link.state,
        phys_state=None if gone else state.link.phys_state,
        rate_gbps=rate.gbps if rate and not gone else None,
        lanes=rate.lanes if rate and not gone else None,
        speed=rate.speed if rate and not gone else None,
        lid=None if gone else state.facts.lid,
        sm_lid=None if gone else state.facts.sm_lid,
        mtu_bytes=None if gone else state.mtu_bytes,
        netdev=netdev.name if netdev else None,
        netdev_state=netdev.operstate if netdev and not gone else None,
        gid=default.gid if default and not gone else None,
        gid_index=default.row if default and not gone else None,
        max_rate_gbps=max_rate_gbps(reader, cards),
        expected="up" if active else "unknown",
        health="unknown",
        tx_gbps=traffic.tx_gbps,
        rx_gbps=traffic.rx_gbps,
        rate_quality=traffic.quality,
        errors_per_minute=None if gone or stale else errors_per_minute(reader.name, groups, history),
        cnp_per_second=traffic.sums.get("cnp_per_second"),
        pause_per_second=traffic.sums.get("pause_per_second"),
        discards_per_second=traffic.sums.get("discards_per_second"),
        ecn_per_second=traffic.sums.get("ecn_per_second"),
        pkeys=state.facts.pkeys,
        netdev_mtu_bytes=netdev.mtu if netdev and not gone else None,
        netdev_speed_gbps=netdev.speed_gbps if netdev and not gone else None,
        netdev_admin_up=netdev.admin_up if netdev and not gone else None,
        carrier_changes=netdev.carrier_changes if netdev and not gone else None,
        gid_count=len(state.gids) if state.gids_whole and not gone else None,
        gone_since=condition.gone_since,
        stale_since=condition.stale_since,
    )


def card_ports(readers: Iterable[DeviceReader]) -> dict[str, int]:
    """sys_image_guid -> ports of the card. mlx5 makes a device of each port; they share the card's GUID."""
    found: dict[str, int] = {}
    for reader in readers:
        identity = reader.identity
        if identity is not None and identity.sys_image_guid and identity.function not in ("vf", "sf"):
            found[identity.sys_image_guid] = found.get(identity.sys_image_guid, 0) + len(reader.ports)
    return found


def max_rate_gbps(reader: DeviceReader, cards: dict[str, int]) -> float | None:
    identity = reader.identity
    if identity is None:
        return None
    return as_float(card_max_gbps(identity.device_id, cards.get(identity.sys_image_guid or "", 0) or len(reader.ports)))


def as_float(value: float | None) -> float | None:
    return None if value is None else float(value)


def errors_per_minute(device: str, groups: Iterable[Group], history: History) -> float | None:
    """What the counters of class error rose by within the last minute, or for as long as they are watched."""
    total_risen: float | None = None
    seen: set[str] = set()
    for group in groups:
        reading = group.reading
        if reading is None:
            continue
        specs = reading.block.specs
        errors = plan_of(group.source, specs).errors
        places = [place for name, place in errors.items() if name not in seen]  # two folders may hold the same one
        seen.update(errors)
        risen = history.group_sum((device, group.port, group.source), specs, places, MINUTE_S)
        if risen is not None:
            total_risen = (total_risen or 0.0) + risen
    return total_risen


def gid_items(node: str, reader: DeviceReader) -> Iterator[Gid]:
    for state in reader.ports.values():
        for entry in state.gids:
            yield Gid(
                node=node,
                device=reader.name,
                port=state.number,
                index=entry.row,
                gid=entry.gid,
                type=entry.type,
                netdev=entry.netdev,
            )


def unread_items(reader: DeviceReader, condition: Condition) -> Iterator[Unread]:
    """Counters that this device does not give and is not asked for again; and where it hangs."""
    for group in reader.groups:
        for name, failure in list(group.reader.failures.items()):
            if failure.lasting:
                yield Unread(device=reader.name, port=group.port, name=name, reason=failure.reason, since=failure.since)
    for (port, what), failure in reader.missing.items():
        yield Unread(device=reader.name, port=port, name=what, reason=failure.reason, since=failure.since)
    if condition.stale_since is not None:
        yield Unread(
            device=reader.name,
            port=None,
            name=reader.doing or "its files",
            reason="hangs",
            since=condition.stale_since,
        )


def node_item(node: str, ports: Iterable[Port], host: Host) -> Node:
    """A node in one line, before any verdict."""
    here = [port for port in ports if port.gone_since is None]
    expected = [port for port in here if port.expected == "up"]
    return Node(
        node=node,
        health="unknown",
        ports_up=sum(port.state == "ACTIVE" and port.stale_since is None for port in here),
        ports_expected=len(expected),
        rate_gbps=total(port.rate_gbps for port in expected),
        tx_gbps=total(port.tx_gbps for port in here),
        rx_gbps=total(port.rx_gbps for port in here),
        errors_per_minute=total(port.errors_per_minute for port in here),
        cnp_per_second=total(port.cnp_per_second for port in here),
        driver_version=host.driver_version,
        kernel=host.kernel,
        findings=FindingCounts(),
        benchmark=None,
        agent_version=VERSION,
        age_s=0.0,
    )


def total(values: Iterable[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return round(sum(known), 6) if known else None
