"""When each part of a node is read, and the picture that results: slow loop, fast loop, snapshot.

Each device has its own thread and a deadline. A read that hangs makes that device stale and nothing else; a device that
vanishes keeps its row, marked gone, until it is back or a day has passed.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Literal

from agent.history import History
from agent.readers import assemble, gids, host, problems
from agent.readers.addresses import fingerprint
from agent.readers.assemble import Condition
from agent.readers.device import CLASS, DeviceReader, VerbsPortFacts
from agent.readers.files import allow_descriptors
from agent.readers.pci import Buses, scan
from agent.readers.processes import Resolver, Users, read_all
from agent.readers.root import Root
from agent.readers.uevents import Uevents
from agent.readers.watched import Watched
from agent.readers.worker import Worker
from diagnostics.model import Counter, Host, NodeSnapshot, Port, Problem, Process, Unread
from diagnostics.natural import natural
from diagnostics.timing import now

if TYPE_CHECKING:
    from agent.verbs.protocol import VerbsFacts

DEADLINE_S = 1.0
AHEAD_S = 0.02
"""A port's 60 counters take 0.2 ms, or some milliseconds where each is a firmware command."""
FIRST_S = 30.0
"""The first inventory may take so long while it makes progress: tables of 1,024 GIDs, and 128 firmware commands."""
KEEP_GONE_S = 24 * 3600.0
DEVICES = 1024
DESCRIPTORS = 80
"""Kept of a device: 21 counters, up to 40 hw_counters, state and netdev files, sockets."""

Choice = Literal["all", "none"] | frozenset[tuple[str, int | None]]
"""Which ports' counters a snapshot holds: (device, port), port None for the device's own."""


class Sampler:
    """Reads one node, live or captured. `refresh`, `tick` and `snapshot` are called from one thread and never raise;
    the constructor raises UserError for a root that is no tree."""

    def __init__(
        self,
        root: str = "/",
        node: str | None = None,
        *,
        verbs: Mapping[str, VerbsFacts] | None = None,
        history_s: int = 600,
        deadline_s: float = DEADLINE_S,
        resolve: Resolver | None = None,
    ) -> None:
        self.root = Root(root)
        self.root.check()
        self.node = host.node_name(self.root, node)
        self.history = History(history_s)
        self.verbs = verbs
        """What the verbs worker says, by device; may be set anew at any time."""
        self.resolve = resolve
        """Names pods, where somebody can."""
        self.interval_s: float | None = None
        """Between samples, as whoever calls `tick` intends; None for a single reading."""
        self._deadline_s = deadline_s
        self._watched: dict[str, Watched] = {}
        self._sequence = 0
        self._time = now()
        self._host = Host()
        self._host_worker = Worker("rdmatop-host")
        self._process_worker = Worker("rdmatop-processes")
        self._processes: tuple[Process, ...] = ()
        self._process_problems: tuple[Problem, ...] = ()
        self._cpu: host.CpuTimes | None = None
        self.boot_id = host.read_boot_id(self.root)
        self.baseline = now()
        """Since when counters' rises are summed; whoever restores earlier ones (`history.restore`) sets it back."""
        self._users = Users()
        self._addresses: int | None = None
        self._class_found = False
        self._list_problem: Problem | None = None

    # The two loops

    def refresh(self, *, deep: bool = True) -> None:
        """The slow loop: who the devices are, their ports' lasting facts, the host and the processes.

        With `deep` off, only what a single look at devices, ports and counters needs: GID tables up to the default
        GID, no P_Keys, no host, no processes.
        """
        addresses = fingerprint() if self.root.live and deep else None
        changed = addresses is None or addresses != self._addresses
        self._addresses = addresses
        self._look_round()
        begun = [
            watched
            for watched in self._present()
            if watched.start(self._inventory(watched, deep=deep, gids_changed=changed), AHEAD_S)
        ]
        first = any(watched.reader.identity is None for watched in begun)
        self._settle(begun, FIRST_S if first else self._deadline_s)
        if deep or not self._watched:
            self._host_worker.start(self._read_host)
            self._host_worker.wait(time.monotonic() + self._deadline_s)
        if deep:
            self.refresh_processes()

    def refresh_processes(self) -> None:
        """Who holds queue pairs; on a live host alone. Each queue pair may cost a command to the firmware."""
        if self.root.live:
            self._process_worker.start(self._read_processes)
            self._process_worker.wait(time.monotonic() + self._deadline_s)

    def tick(self, counters: bool = True) -> None:
        """The fast loop: states, and counters unless told not to. Takes at most the deadline."""
        end = time.monotonic() + self._deadline_s
        self._sequence += 1
        self._look_round()
        waiting = self._present()
        while waiting:
            begun = [watched for watched in waiting if watched.start(self._sample(watched, counters=counters), AHEAD_S)]
            late = [watched for watched in waiting if watched not in begun and not watched.condition.stale_since]
            self._settle([*begun, *late], max(0.0, end - time.monotonic()))
            # one that was still at its inventory may yet be in time
            waiting = [watched for watched in late if watched.worker.idle()] if time.monotonic() < end else []
        self._time = now()
        for watched in self._present():
            if watched.worker.idle() and watched.reader.vanished and not watched.reader.exists():
                self._lose(watched)
        if counters:
            self._remember()

    def close(self) -> None:
        """Give threads and descriptors back; a thread that hangs is left to itself."""
        for watched in self._watched.values():
            if watched.worker.idle():
                watched.reader.close()
            watched.worker.close()
        self._host_worker.close()
        self._process_worker.close()

    def open_uevents(self) -> Uevents | None:
        """A socket to select on, which is readable when a device came or went; None in a capture, or if refused."""
        if not self.root.live:
            return None
        try:
            return Uevents()
        except OSError:
            return None

    # Jobs, each run in a device's thread

    def _inventory(self, watched: Watched, *, deep: bool, gids_changed: bool) -> Callable[[], None]:
        reader, verbs = watched.reader, self._verbs_of(watched.reader.name)
        return lambda: reader.inventory(verbs, deep=deep, gids_changed=gids_changed)

    def _sample(self, watched: Watched, *, counters: bool) -> Callable[[], None]:
        reader, verbs = watched.reader, self._verbs_of(watched.reader.name)
        return lambda: reader.sample(verbs, counters=counters)

    def _verbs_of(self, device: str) -> dict[int, VerbsPortFacts]:
        facts = (self.verbs or {}).get(device)
        if facts is None or not facts.opened or not self.root.live:
            return {}
        names = self._netdev_names() if any(gid.ifindex for gid in facts.gids) else {}
        return {
            port.port: VerbsPortFacts(
                tuple(
                    gids.Entry(gid.index, gid.gid, gid.type, names.get(gid.ifindex) if gid.ifindex else None)
                    for gid in facts.gids
                    if gid.port == port.port
                ),
                port.active_mtu_bytes,
            )
            for port in facts.ports
        }

    def _netdev_names(self) -> dict[int, str]:
        import socket

        return dict(socket.if_nameindex())

    def _read_host(self) -> None:
        folders = [
            identity.pci_folder for each in self._readers() if (identity := each.identity) and identity.pci_folder
        ]
        rdma = {folder.rpartition("/")[2]: "" for folder in folders}
        for reader in self._readers():
            if reader.identity is not None and reader.identity.pci_address and not reader.vanished:
                rdma[reader.identity.pci_address] = reader.name
        buses: Buses = scan(self.root, rdma)
        cpu = host.read_cpu(self.root)
        percent = host.cpu_percent(self._cpu, cpu)
        self._cpu = cpu
        self._host = host.read_host(self.root, buses, folders, percent)

    def _read_processes(self) -> None:
        self._processes, self._process_problems = read_all(self.root, self.node, self._users, self.resolve)

    # Coming and going

    def _look_round(self) -> None:
        """Match what is watched with what is listed."""
        self.root.forget()
        names = self._listed()
        if names is None:
            return
        fresh = [name for name in names if name not in self._watched]
        if fresh:
            allow_descriptors(DESCRIPTORS * (len(self._watched) + len(fresh)))
        for name in fresh:
            self._watched[name] = Watched(self.root, name, self.node)
        for name, watched in list(self._watched.items()):
            there = name in names and (watched.reader.exists() or not watched.was_there)
            if there:
                watched.was_there = watched.was_there or watched.reader.exists()
                if watched.condition.gone_since and watched.worker.idle():
                    self._find_again(watched)
            elif not watched.condition.gone_since:
                self._lose(watched)
            elif time.monotonic() - watched.gone_at > KEEP_GONE_S and watched.worker.idle():
                watched.worker.close()
                del self._watched[name]

    def _listed(self) -> list[str] | None:
        """The devices there are; None where that cannot be known now: then what is watched stays as it is."""
        self._list_problem = None
        try:
            names = self.root.listed(CLASS)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                self._list_problem = problems.not_listed(error)
                return None
            names, self._class_found = [], False
        else:
            self._class_found = True
        return names[:DEVICES]

    def _lose(self, watched: Watched) -> None:
        watched.condition = Condition(gone_since=now())
        watched.gone_at = time.monotonic()

    def _find_again(self, watched: Watched) -> None:
        """Back, or another one of its name: nothing read before may be compared with what it says now."""
        watched.retire()
        watched.reader.vanished = True
        watched.reader.identity = None
        watched.reader.ports = {}
        watched.condition = Condition()

    def _present(self) -> list[Watched]:
        return [watched for watched in self._watched.values() if not watched.condition.gone_since]

    def _settle(self, begun: list[Watched], patience_s: float) -> None:
        """Wait for these devices' jobs. At the sampler's deadline, one that has read nothing for the last while hangs,
        and is stale until its job ends; one that goes on reading is slow, and is waited for as long as `patience_s`.
        One known to hang is not among `begun` and is not waited for."""
        instant = time.monotonic()
        half_s = min(self._deadline_s, patience_s) / 2
        silent_s = max(half_s * 0.8, self._deadline_s * 0.3)
        judged, deadline = instant + min(self._deadline_s, patience_s) * 0.9, instant + patience_s
        pending = begun
        while pending:
            until = min(time.monotonic() + half_s, deadline)
            pending = [watched for watched in pending if not watched.worker.wait(until)]
            silent = [watched for watched in pending if watched.hangs(silent_s)]
            if time.monotonic() < judged:
                continue
            for watched in silent:
                if watched.condition.stale_since is None:
                    watched.condition = watched.condition._replace(stale_since=now())
            in_time = time.monotonic() < deadline
            pending = [watched for watched in pending if watched not in silent] if in_time else []
        for watched in self._watched.values():
            self._recover(watched)

    def _recover(self, watched: Watched) -> None:
        if not watched.worker.idle():
            return
        if watched.condition.gone_since:
            if watched.reader.groups:
                watched.retire()
        elif watched.condition.stale_since:
            watched.condition = Condition()

    def _remember(self) -> None:
        keys = []
        for watched in self._present():
            for group in watched.reader.groups:
                key = (watched.reader.name, group.port, group.source)
                keys.append(key)
                if group.reading is not None:
                    self.history.add(key, group.reading)
        if self._sequence % 600 == 0:
            self.history.forget(keys)

    # The picture

    def snapshot(self, counters: Choice = "all") -> NodeSnapshot:
        """What is known now. `counters` chooses whose counters it holds: making those costs most."""
        ports = self._ports()
        verbs = self.verbs
        present = {watched.reader.name for watched in self._present()}
        return NodeSnapshot(
            node=assemble.node_item(self.node, ports, self._host),
            time=self._time,
            sequence=self._sequence,
            boot_id=self.boot_id,
            interval_s=self.interval_s,
            host=self._host,
            devices=tuple(
                assemble.device_item(
                    self.node,
                    each.reader,
                    each.condition,
                    facts.opened if verbs and (facts := verbs.get(each.reader.name)) else None,
                )
                for each in self._sorted()
            ),
            ports=ports,
            gids=tuple(gid for each in self._sorted_present() for gid in assemble.gid_items(self.node, each.reader)),
            counters=self._counters(counters),
            processes=tuple(each for each in self._processes if each.device in present),
            findings=(),
            benchmarks=(),
            unread=self._unread(),
            errors=self._errors(),
            source="this host" if self.root.live else f"capture {self.root.given}",
            baseline=self.baseline,
        )

    def _readers(self) -> list[DeviceReader]:
        return [watched.reader for watched in list(self._watched.values())]

    def _sorted(self) -> list[Watched]:
        return [self._watched[name] for name in sorted(self._watched, key=natural)]

    def _sorted_present(self) -> list[Watched]:
        return [watched for watched in self._sorted() if not watched.condition.gone_since]

    def _ports(self) -> tuple[Port, ...]:
        cards = assemble.card_ports(self._readers())
        return tuple(
            assemble.port_item(self.node, each.reader, state, each.condition, self.history, cards)
            for each in self._sorted()
            for state in each.reader.ports.values()
        )

    def _counters(self, choice: Choice) -> tuple[Counter, ...]:
        if choice == "none":
            return ()
        chosen: Collection[tuple[str, int | None]] | None = None if choice == "all" else frozenset(choice)
        found: list[Counter] = []
        for each in self._sorted_present():
            ports = None if chosen is None else frozenset(port for name, port in chosen if name == each.reader.name)
            found += each.shown.items(self.history, each.condition.stale_since, ports)
        return tuple(found)

    def _unread(self) -> tuple[Unread, ...]:
        return tuple(
            item for each in self._sorted_present() for item in assemble.unread_items(each.reader, each.condition)
        )

    def _errors(self) -> tuple[Problem, ...]:
        found = [problem for each in self._sorted() for problem in problems.of_device(each)]
        found += self._process_problems
        found += problems.of_worker("host", self._host_worker, self._deadline_s)
        found += problems.of_worker("processes", self._process_worker, self._deadline_s)
        if self._list_problem is not None:
            found.append(self._list_problem)
        elif not self._watched:
            found.append(problems.no_device(self.node, self.root, self._host, listed=self._class_found))
        return tuple(found)
