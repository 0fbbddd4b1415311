"""What the judge remembers between samples: ports that were up, links that were lost, counters that moved.

One instance per node, changed by `observe` alone, once a sample, before the checks run. Wall times are kept for what
outlives a restart (losses within 24 h); the monotonic clock for what is measured between samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from diagnostics.counters import spec_of
from diagnostics.model import Counter, NodeSnapshot, Port

HOUR_S = 3600.0
DAY_S = 86400.0

MOST_LOSSES = 64
"""Kept of each port: a flap of more is a flap all the same."""

LOSS_COUNTERS = ("link_downed", "link_down_events_phy")
"""Each rises by one when the link is lost: IBTA PortCounters, mlx5 PPCNT."""

PortKey = tuple[str, int | None]


class PortMemory:
    """Of one port."""

    __slots__ = ("address_seen", "best_rate_gbps", "carrier_changes", "loss_counts", "losses", "state", "was_active")

    def __init__(self) -> None:
        self.state: str | None = None
        self.was_active = False
        """ACTIVE once: from then on it is expected up."""
        self.address_seen = False
        self.best_rate_gbps = 0.0
        """The fastest that it was ACTIVE at."""
        self.losses: list[float] = []
        """Wall times of losses of the link, oldest first."""
        self.carrier_changes: int | None = None
        self.loss_counts: dict[str, int] = {}


class _Layout:
    """Where in `snapshot.counters` the watched counters stand; the same for as long as the list is of one make."""

    __slots__ = ("clampable", "keys", "names", "places", "watched")

    def __init__(self, counters: tuple[Counter, ...], watch: frozenset[str]) -> None:
        self.keys = [(counter.device, counter.port, counter.name) for counter in counters]
        self.names: dict[PortKey, dict[str, int]] = {}
        self.watched: list[int] = []
        self.places: dict[tuple[PortKey, tuple[str, ...]], list[tuple[str, int]]] = {}
        self.clampable: list[tuple[int, int]] = []
        for index, counter in enumerate(counters):
            self.names.setdefault((counter.device, counter.port), {}).setdefault(counter.name, index)
            spec = spec_of(counter.name, counter.source)
            if counter.name in watch or counter.source == "pci":
                self.watched.append(index)
            if spec.limit == "clamp" and spec.bits <= 32:
                self.clampable.append((index, (1 << spec.bits) - 1))


class Memory:
    """Of one node."""

    def __init__(self, watch: Iterable[str] = ()) -> None:
        self._watch = frozenset(watch)
        self._layout: _Layout | None = None
        self._before: tuple[Counter, ...] = ()
        self._known: dict[tuple[str, int | None, str], int | None] = {}
        """The last values of counters that may come back: of a device that was away, or a port asked for again."""
        self.ports: dict[tuple[str, int], PortMemory] = {}
        self.moved: dict[PortKey, dict[str, float]] = {}
        """Port -> watched counter -> monotonic time of its last change; forgotten after an hour."""
        self.clamped: dict[tuple[str, int | None, str], float] = {}
        """Counter at its maximum -> wall time at which it was first seen there."""
        self.standing: set[tuple[str, str | None, int | None]] = set()
        """(check, device, port) of the findings that stand; the judge keeps it."""
        self.devices: dict[str, float] = {}
        """Hardware devices ever seen -> wall time of the last sight."""
        self.best_runs: dict[str, float] = {}
        """Key of comparable benchmark runs -> the best bandwidth before the last run, Gb/s; the judge keeps it."""
        self.samples = 0

    # What checks ask

    def port(self, port: Port) -> PortMemory | None:
        return self.ports.get((port.device, port.port))

    def counter(self, snapshot: NodeSnapshot, device: str, port: int | None, name: str) -> Counter | None:
        """The current reading of a counter; `snapshot` is the one observed last."""
        layout = self._layout
        if layout is None:
            return None
        index = layout.names.get((device, port), {}).get(name)
        return snapshot.counters[index] if index is not None and index < len(snapshot.counters) else None

    def places(self, names: tuple[str, ...], device: str, port: int | None) -> list[tuple[str, int]]:
        """Those of `names` that a port has, each with its place in the snapshot's counters."""
        if self._layout is None:
            return []
        key = ((device, port), names)
        found = self._layout.places.get(key)
        if found is None:
            own = self._layout.names.get((device, port), {})
            found = self._layout.places[key] = [(name, own[name]) for name in names if name in own]
        return found

    def names(self, device: str, port: int | None) -> Iterable[str]:
        """The counters that a port has."""
        return self._layout.names.get((device, port), {}) if self._layout is not None else ()

    def recent_losses(self, port: Port, now: float, window_s: float) -> int:
        """How often the link was lost within a window; a wall clock that was set back counts as no time."""
        memory = self.ports.get((port.device, port.port))
        return sum(1 for at in memory.losses if now - at <= window_s) if memory is not None else 0

    # What happens once a sample

    def observe(self, snapshot: NodeSnapshot, now: float, clock: float) -> None:
        """Take in a sample: `now` is wall time, `clock` monotonic."""
        self._observe_counters(snapshot.counters, now, clock)
        addressed = {(gid.device, gid.port) for gid in snapshot.gids if not gid.gid.startswith("fe80")}
        for port in snapshot.ports:
            if port.gone_since is None and port.stale_since is None:
                self._observe_port(snapshot, port, now, (port.device, port.port) in addressed)
        here = {device.device for device in snapshot.devices if device.gone_since is None}
        for key in [key for key in self.clamped if key[0] not in here]:
            del self.clamped[key]  # a device that comes back starts at 0, or is seen at its maximum again
        for device in snapshot.devices:
            if device.gone_since is None and device.function not in ("vf", "sf"):
                self.devices[device.device] = now
        self.samples += 1

    def _observe_counters(self, counters: tuple[Counter, ...], now: float, clock: float) -> None:
        layout = self._layout
        if layout is None or not _same_make(self._before, counters):
            self._known.update({(old.device, old.port, old.name): old.value for old in self._before})
            layout = self._layout = _Layout(counters, self._watch)
            before = [self._known.get(key) for key in layout.keys]
        else:
            before = [old.value for old in self._before]
        for index in layout.watched:
            old_value, new = before[index], counters[index]
            if old_value is not None and new.value != old_value and new.value is not None:
                self.moved.setdefault((new.device, new.port), {})[new.name] = clock
        for key in [key for key, names in self.moved.items() if any(clock - at > HOUR_S for at in names.values())]:
            self.moved[key] = {name: at for name, at in self.moved[key].items() if clock - at <= HOUR_S}
        for index, top in layout.clampable:
            counter = counters[index]
            key3 = layout.keys[index]
            if counter.value == top:
                self.clamped.setdefault(key3, now)
            elif key3 in self.clamped and counter.value is not None:
                del self.clamped[key3]
        self._before = counters

    def _observe_port(self, snapshot: NodeSnapshot, port: Port, now: float, addressed: bool) -> None:
        memory = self.ports.get((port.device, port.port))
        if memory is None:
            memory = self.ports[port.device, port.port] = PortMemory()
        lost = self._losses(snapshot, port, memory)
        if memory.was_active and lost:
            memory.losses.extend([now] * min(lost, MOST_LOSSES))
            del memory.losses[:-MOST_LOSSES]
        if memory.losses and now - memory.losses[0] > DAY_S:
            memory.losses = [at for at in memory.losses if now - at <= DAY_S]
        if port.state is not None:
            memory.state = port.state
        memory.was_active = memory.was_active or port.state == "ACTIVE"
        memory.address_seen = memory.address_seen or addressed
        if port.state == "ACTIVE" and port.rate_gbps is not None:
            memory.best_rate_gbps = max(memory.best_rate_gbps, port.rate_gbps)

    def _losses(self, snapshot: NodeSnapshot, port: Port, memory: PortMemory) -> int:
        """Losses of the link since the last sample, by whatever shows most of them."""
        was_up = memory.state == "ACTIVE"
        is_up = port.state == "ACTIVE" if port.state is not None else was_up
        lost = 1 if was_up and not is_up else 0
        for name in LOSS_COUNTERS:
            counter = self.counter(snapshot, port.device, port.port, name)
            value = counter.value if counter is not None else None
            old = memory.loss_counts.get(name)
            if value is not None:
                memory.loss_counts[name] = value
                if old is not None and value > old:
                    lost = max(lost, value - old)
        changes, old_changes = port.carrier_changes, memory.carrier_changes
        if changes is not None:
            memory.carrier_changes = changes
            if old_changes is not None and changes > old_changes:
                lost = max(lost, _carrier_losses(changes - old_changes, was_up, is_up))
        return lost

    def forget_losses(self, device: str, port: int) -> None:
        """A person has seen them."""
        memory = self.ports.get((device, port))
        if memory is not None:
            memory.losses.clear()

    def forget_rate(self, device: str, port: int) -> None:
        """A person has seen that it is slower than it was; what it runs at now is what it should."""
        memory = self.ports.get((device, port))
        if memory is not None:
            memory.best_rate_gbps = 0.0

    def forget_device(self, device: str) -> None:
        self.devices.pop(device, None)

    # Over a restart

    def export(self) -> dict[str, Any]:
        """Plain data for the store."""
        return {
            "ports": [
                [device, port, memory.was_active, memory.address_seen, memory.losses, memory.best_rate_gbps]
                for (device, port), memory in self.ports.items()
            ],
            "clamped": [[*key, at] for key, at in self.clamped.items()],
            "devices": self.devices,
            "best_runs": self.best_runs,
        }

    def restore(self, data: dict[str, Any]) -> None:
        for device, port, was_active, address_seen, losses, best_rate_gbps in data["ports"]:
            memory = self.ports[device, port] = PortMemory()
            memory.was_active, memory.address_seen = bool(was_active), bool(address_seen)
            memory.losses = list(losses)
            memory.best_rate_gbps = float(best_rate_gbps)
        for device, port, name, at in data["clamped"]:
            self.clamped[device, port, name] = at
        self.devices.update(data["devices"])
        self.best_runs.update(data["best_runs"])


def _same_make(before: tuple[Counter, ...], after: tuple[Counter, ...]) -> bool:
    """Whether two lists hold the same counters in the same order."""
    if len(before) != len(after):
        return False
    return all(
        old is new or (old.name == new.name and old.device == new.device and old.port == new.port)
        for old, new in zip(before, after, strict=True)
    )


def _carrier_losses(changes: int, was_up: bool, is_up: bool) -> int:
    """How many of the changes were falls: up to up is half of them, each end that is down shifts the count."""
    if was_up and not is_up:
        return (changes + 1) // 2
    if not was_up and is_up:
        return (changes - 1) // 2
    return changes // 2
