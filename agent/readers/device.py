"""One RDMA device: its identity, its ports and its counters, read in its own thread and published piece by piece.

Every attribute without underscore is replaced whole, never changed in place, so that another thread may take what is
there while a read hangs.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

from agent.readers import gids, netdevs, pci, ports
from agent.readers.counters import Aer, Ethtool, Folder, Group, PortStatistics, Selected, counter_names, has_counters
from agent.readers.ethtool import LASTING
from agent.readers.files import Attributes, Failure, Vanished, error_name
from agent.readers.identity import Identity, read_identity
from agent.readers.netlink import Netlink
from agent.readers.root import GONE, Root
from diagnostics.links import traffic_ceiling_gbps
from diagnostics.model import CounterSource
from diagnostics.timing import now

Old = dict[tuple[int | None, CounterSource], Group]
"""Groups of the layout before, by port and source: what is still right is kept, with its last reading."""

CLASS = "sys/class/infiniband"


class PortState(NamedTuple):
    """A port as last read."""

    number: int
    link: ports.Link
    facts: ports.PortFacts
    netdev: netdevs.Netdev | None
    gids: tuple[gids.Entry, ...]
    gids_whole: bool
    """Whether the table was read to its end, or only to the default GID."""
    mtu_bytes: int | None


class VerbsPortFacts(NamedTuple):
    """What the verbs worker says of a port: its GIDs and MTU, in our terms."""

    gids: tuple[gids.Entry, ...]
    mtu_bytes: int | None


class Watch(NamedTuple):
    """The descriptors of a port's state and its netdev's, and what they last said."""

    files: Attributes | None = None
    data: tuple[bytes | None, ...] = ()
    netdev_files: Attributes | None = None
    netdev_data: tuple[bytes | None, ...] = ()


def _mtu(netdev: netdevs.Netdev | None) -> int | None:
    return netdev.mtu if netdev is not None else None


class DeviceReader:
    """Reads one device. `inventory` and `tick` run in the device's thread, never two at once."""

    def __init__(self, root: Root, name: str) -> None:
        self.root = root
        self.name = name
        self.folder = f"{CLASS}/{name}"
        self.identity: Identity | None = None
        self.ports: Mapping[int, PortState] = {}
        self.groups: tuple[Group, ...] = ()
        self.missing: Mapping[tuple[int, str], Failure] = {}
        """(port, what) -> why a live host gives none of it: `counters` outside the first network namespace."""
        self.doing = ""
        """What is being read: of a device that hangs, where."""
        self.vanished = False
        """Its descriptors said ENODEV: read everything anew."""
        self._netlink: Netlink | None = None
        self._index: int | None = None
        self._pkeys: dict[int, tuple[str, ...] | None] = {}
        self._stamps: tuple[object, ...] = ()
        self._watches: dict[int, Watch] = {}

    def sample(self, verbs: Mapping[int, VerbsPortFacts], *, counters: bool) -> None:
        """A tick; of a device not read yet, or made anew since, an inventory before it."""
        for _ in range(2):
            if self.identity is None or self.vanished:
                self.vanished = False
                self.inventory(verbs, deep=False, gids_changed=True)
            if not self.vanished:
                self.tick(counters=counters)
            if not self.vanished or not self.exists():
                return

    def exists(self) -> bool:
        """False only where the kernel says that it is not there; no answer is no news."""
        try:
            return stat.S_ISDIR(os.stat(self.root.real(self.folder)).st_mode)
        except OSError as error:
            return error.errno not in GONE and error.errno != errno.ELOOP

    def inventory(self, verbs: Mapping[int, VerbsPortFacts], *, deep: bool, gids_changed: bool) -> None:
        """Who it is and what its ports are. `deep` also reads whole GID tables (where they may have changed) and
        P_Keys; otherwise only what a port's line needs."""
        try:
            self._inventory(verbs, deep=deep, gids_changed=gids_changed)
        except Vanished:
            self.vanished = True
            self.close()

    def _inventory(self, verbs: Mapping[int, VerbsPortFacts], *, deep: bool, gids_changed: bool) -> None:
        self.doing = "its identity"
        if self.root.live and self._index is None:
            self._find_index()
        self.identity = read_identity(self.root, self.folder)
        found = {}
        for number in ports.port_numbers(self.root, self.folder):
            found[number] = self._read_port(number, verbs.get(number), deep=deep, gids_changed=gids_changed)
            self.ports = {**self.ports, number: found[number]}
        self.ports = found
        slave = self._bond_slave(found)
        if slave is not None or any(state.netdev and self._is_bond(state.netdev.name) for state in found.values()):
            self.identity = self.identity._replace(bond=True, slave=slave or self.identity.slave)
        self.doing = ""

    def tick(self, *, counters: bool) -> None:
        """States, then counters. Raises nothing for a device that vanishes meanwhile: `vanished` says so, and what it
        has next is read anew."""
        try:
            for number, state in self.ports.items():
                self.doing = f"ports/{number}/state"
                self._refresh_state(number, state)
            if counters:
                self.doing = "its counters"
                self._refresh_groups()
                for group in self.groups:
                    self.doing = f"{'the device' if group.port is None else f'ports/{group.port}'}/{group.source}"
                    group.update(self._ceiling(group.port))
                    if self.missing:
                        self._note_found(group)
                    self.root.reads += 1
            self.doing = ""
        except Vanished:
            self.vanished = True
            self.close()

    def close(self) -> None:
        """Give all descriptors back; the next tick opens them anew."""
        groups, self.groups, self._stamps = self.groups, (), ()
        for group in groups:
            group.reader.close()
        for watch in self._watches.values():
            for files in (watch.files, watch.netdev_files):
                if files is not None:
                    files.close()
        self._watches.clear()
        if self._netlink is not None:
            self._netlink.close()
        self._netlink = self._index = None
        self._pkeys.clear()

    # Ports

    def _read_port(self, number: int, verbs: VerbsPortFacts | None, *, deep: bool, gids_changed: bool) -> PortState:
        folder = f"{self.folder}/ports/{number}"
        self.doing = f"ports/{number}"
        before = self.ports.get(number)
        if deep and number not in self._pkeys:
            self._pkeys[number] = ports.read_pkeys(self.root, folder)
        facts = ports.read_facts(self.root, folder, self._pkeys.get(number))
        kept = before is not None and before.gids_whole and not gids_changed and facts.link_layer == "Ethernet"
        if verbs is not None:
            entries, whole = verbs.gids, True
        elif before is not None and kept:
            entries, whole = before.gids, True
        else:
            self.doing = f"ports/{number}/gids"
            found = gids.read_gids(self.root, folder, facts.link_layer, until_default=not deep)
            entries, whole = found or (), deep and found is not None
        netdev = self._find_netdev(number, entries)
        mtu = verbs.mtu_bytes if verbs is not None else None
        if before is None:
            state = PortState(number, ports.Link(), facts, None, entries, whole, mtu)
        else:
            mtu = mtu or before.mtu_bytes
            state = before._replace(facts=facts, gids=entries, gids_whole=whole, mtu_bytes=mtu)
        return self._refreshed(state, netdev)

    def _find_netdev(self, number: int, entries: tuple[gids.Entry, ...]) -> str | None:
        told = None
        if self._netlink is not None and self._index is not None:
            try:
                told = self._netlink.netdev(self._index, number)
            except OSError:
                told = None
        of_gid = next((entry.netdev for entry in entries if entry.netdev), None)
        name = netdevs.choose(self.root, self.folder, number, told, of_gid)
        return name if name and "/" not in name and name not in (".", "..") else None

    def _refreshed(self, state: PortState, netdev: str | None) -> PortState:
        """The port with its state and its netdev as they are now. Raises Vanished."""
        folder = f"{self.folder}/ports/{state.number}"
        watch = self._watches.get(state.number) or Watch()
        files, data = watch.files or Attributes(self.root, folder, ports.LINK_FILES), watch.data
        fresh = files.read()
        link = state.link if fresh == data and state.link.state else ports.parse_link(files, fresh)
        facts = state.facts
        if link.state != state.link.state and state.link.state is not None:
            facts = ports.read_facts(self.root, folder, facts.pkeys)
        self._watches[state.number] = watch = watch._replace(files=files, data=fresh)
        found = self._refreshed_netdev(state, watch, netdev)
        mtu = state.mtu_bytes
        if facts.link_layer == "Ethernet" and found is not None and (mtu is None or found.mtu != _mtu(state.netdev)):
            mtu = ports.roce_mtu(found.mtu) or mtu
        return state._replace(link=link, facts=facts, netdev=found, mtu_bytes=mtu)

    def _refreshed_netdev(self, state: PortState, watch: Watch, name: str | None) -> netdevs.Netdev | None:
        if name is None:
            return None
        folder = netdevs.folder_of(self.root, name, self.folder)
        files = watch.netdev_files
        if files is None or files.folder != folder:
            if files is not None:
                files.close()
            files = Attributes(self.root, folder, netdevs.FILES)
        try:
            fresh = files.read()
        except Vanished:
            fresh = (None,) * len(netdevs.FILES)  # renamed or gone: opened by its name the next time
        self._watches[state.number] = watch._replace(netdev_files=files, netdev_data=fresh)
        before = state.netdev
        if before is not None and before.name == name and fresh == watch.netdev_data:
            return before
        return netdevs.parse_netdev(self.root, name, files, fresh, before)

    def _refresh_state(self, number: int, state: PortState) -> None:
        fresh = self._refreshed(state, state.netdev.name if state.netdev else None)
        if fresh != state:
            self.ports = {**self.ports, number: fresh}

    def _ceiling(self, port: int | None) -> float | None:
        """The most the port's counters can move at; a software device's rate says nothing of that."""
        state = self.ports.get(port) if port is not None else None
        identity = self.identity
        if state is None or identity is None or identity.function == "virtual":
            return None
        pcie = identity.pcie.limit_gbps if identity.pcie is not None else None
        return traffic_ceiling_gbps(state.link.rate, pcie, state.facts.link_layer)

    # Bonds

    def _is_bond(self, netdev: str) -> bool:
        return bool(netdevs.bond_slaves(self.root, netdev))

    def _bond_slave(self, found: Mapping[int, PortState]) -> str | None:
        """PCI address of the second function under a bond: the one whose netdev is a member and not our own."""
        own = set(netdevs.own_netdevs(self.root, self.folder))
        for state in found.values():
            for member in netdevs.bond_slaves(self.root, state.netdev.name) if state.netdev else ():
                if member not in own and (folder := pci.pci_folder(self.root, f"sys/class/net/{member}")):
                    return folder.rpartition("/")[2]
        return None

    # Netlink

    def _find_index(self) -> None:
        try:
            if self._netlink is None:
                self._netlink = Netlink()
            for found in self._netlink.devices():
                if found.name == self.name:
                    self._index = found.number
                    return
        except OSError:
            if self._netlink is not None:
                self._netlink.close()
            self._netlink = None

    # Groups of counters

    def _refresh_groups(self) -> None:
        """Make the groups anew when a port, a counter folder or a netdev has come or gone."""
        layout = tuple((number, state.netdev and state.netdev.name) for number, state in self.ports.items())
        present = tuple(
            os.path.exists(f"{self.root.path}/{name}")
            for number, netdev in layout
            for name in self._places(number, netdev)
        )
        stamps = (layout, present)
        if stamps == self._stamps:
            return
        old: Old = {(group.port, group.source): group for group in self.groups}
        self.missing = {}
        groups: list[Group] = []
        for number, _ in layout:
            groups += self._port_groups(number, old)
        groups += self._device_groups(old)
        for group in old.values():
            group.reader.close()
        self.groups = tuple(groups)
        self._stamps = stamps

    def _places(self, number: int, netdev: str | None) -> list[str]:
        """What decides which groups a port has."""
        folder = f"{self.folder}/ports/{number}"
        captured = [] if self.root.live or netdev is None else [f"ethtool/{netdev}.txt"]
        return [f"{folder}/counters", f"{folder}/hw_counters", *captured]

    def _port_groups(self, number: int, old: Old) -> list[Group]:
        groups = []
        folder = f"{self.folder}/ports/{number}"
        if has_counters(self.root, f"{folder}/counters"):
            groups.append(_take(old, number, "counters") or self._folder_group(number, "counters"))
        else:
            self._miss(number, "counters", "ENOENT")
        groups += self._hardware_groups(number, folder, old)
        state = self.ports[number]
        netdev = netdevs.statistics_netdev(self.root, self.folder, state.netdev.name if state.netdev else None)
        if netdev is not None:
            groups += self._ethtool_group(number, netdev)
        return groups

    def _folder_group(self, number: int | None, source: CounterSource) -> Group:
        folder = self.folder if number is None else f"{self.folder}/ports/{number}"
        return Group(number, source, Folder(self.root, f"{folder}/{source}"))

    def _hardware_groups(self, number: int, folder: str, old: Old) -> list[Group]:
        """By netlink where the kernel answers with all that the folder has, else by the folder's files."""
        statistics = self._statistics(number)
        names = counter_names(self.root, f"{folder}/hw_counters")
        if statistics is not None and set(names) <= set(statistics.names):
            groups = [Group(number, "hw_counters", Selected(statistics, names, inside=True))]
            groups.append(Group(number, "netlink", Selected(statistics, names, inside=False)))
            return groups
        if not names:
            return []
        return [_take(old, number, "hw_counters") or self._folder_group(number, "hw_counters")]

    def _statistics(self, number: int) -> PortStatistics | None:
        if self._netlink is None or self._index is None:
            return None
        statistics = PortStatistics(self._netlink, self._index, number)
        try:
            statistics.refresh()
        except OSError:
            return None
        return statistics if statistics.names else None

    def _miss(self, number: int, what: str, reason: str, *, lasting: bool = True) -> None:
        if self.root.live:
            self.missing = {**self.missing, (number, what): Failure(reason, now(), lasting)}

    def _note_found(self, group: Group) -> None:
        """What could not be read at first sight is no longer missing once it could."""
        if group.source == "ethtool" and group.reader.names and not group.reader.failures:
            self.missing = {
                (number, what): failure
                for (number, what), failure in self.missing.items()
                if failure.lasting or number != group.port or not what.startswith("ethtool ")
            }

    def _ethtool_group(self, number: int, netdev: str) -> list[Group]:
        reader = Ethtool(self.root, netdev)
        try:
            reader.read()
        except OSError as error:
            lasting = error.errno in LASTING
            self._miss(number, f"ethtool {netdev}", error_name(error), lasting=lasting)
            if lasting:
                reader.close()
                return []
        return [Group(number, "ethtool", reader)]

    def _device_groups(self, old: Old) -> list[Group]:
        groups = []
        if has_counters(self.root, f"{self.folder}/hw_counters"):
            groups.append(_take(old, None, "hw_counters") or self._folder_group(None, "hw_counters"))
        function = self.identity.pci_folder if self.identity is not None else None
        if function is not None and pci.has_aer(self.root, function):
            groups.append(_take(old, None, "pci") or Group(None, "pci", Aer(self.root, function)))
        return groups


def _take(old: Old, port: int | None, source: CounterSource) -> Group | None:
    """The group of the layout before; not one that asked netlink, whose socket may be another now."""
    group = old.get((port, source))
    return old.pop((port, source)) if group is not None and not isinstance(group.reader, Selected) else None
