"""The expectation ladder: should this port be up, and at what rate?

The first rung that can answer does: the manifest; what the port itself was before; how it is set up (switched off,
a virtual function of somebody else, without a netdev of ours); its peers on the node; its own card. What no rung can
answer is `unknown`, and nobody is alarmed about it.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Mapping
from typing import NamedTuple

from diagnostics.checks.manifest import Manifest
from diagnostics.checks.memory import Memory
from diagnostics.links import card_max_gbps
from diagnostics.model import Device, Expected, NodeSnapshot, Port
from diagnostics.natural import natural

PortKey = tuple[str, int]


class Expectation(NamedTuple):
    """What one port should be, and why we think so."""

    expected: Expected
    why: str
    rate_gbps: float | None = None
    """None: no rung knows a rate above the one it runs at."""
    rate_why: str | None = None
    rate_sure: bool = False
    """Whether missing the rate is a fault, or only worth a note."""


NOTHING_EXPECTED = Expectation("unknown", "nothing is known of it")

FALSE_SWITCH = ("Disabled", "Sleep")
VIRTUAL_DRIVERS = ("rxe", "siw", "rdma_rxe")


class _Node:
    """The ports of one node, grouped as the rungs need them."""

    def __init__(self, snapshot: NodeSnapshot, memory: Memory | None) -> None:
        self.devices = {device.device: device for device in snapshot.devices}
        self.ports = [port for port in snapshot.ports if port.gone_since is None]
        self.memory = memory
        self.addressed = {(gid.device, gid.port) for gid in snapshot.gids if not gid.gid.startswith("fe80")}
        self.with_gids = {(gid.device, gid.port) for gid in snapshot.gids}
        self.any_netdev = any(port.netdev for port in self.ports)
        self.any_up = any(port.state == "ACTIVE" and not self.is_virtual(port) for port in self.ports)
        self.cards: dict[str, list[Port]] = {}
        for port in sorted(self.ports, key=lambda each: (natural(each.device), each.port)):
            self.cards.setdefault(self.card(port), []).append(port)
        self.kinds: dict[object, list[Port]] = {}
        for port in self.ports:
            self.kinds.setdefault(self.kind(port), []).append(port)

    def is_virtual(self, port: Port) -> bool:
        device = self.devices.get(port.device)
        return device is not None and (device.function == "virtual" or device.driver in VIRTUAL_DRIVERS)

    def identity(self, port: Port) -> str | None:
        """What the card is; None where nothing says."""
        device = self.devices.get(port.device)
        return (device.hca_type or device.board_id or device.card) if device is not None else None

    def kind(self, port: Port) -> tuple[str | None, str | None, str | None]:
        """Ports that are alike: these are its peers."""
        device = self.devices.get(port.device)
        function = device.function if device is not None else None
        return (port.link_layer, self.identity(port), "vf" if function in ("vf", "sf") else None)

    def card(self, port: Port) -> str:
        """Functions of one card share its system image GUID, else their PCI slot."""
        device = self.devices.get(port.device)
        if device is None:
            return port.device
        if device.sys_image_guid and ":" in device.sys_image_guid and device.function not in ("vf", "sf"):
            return device.sys_image_guid
        return device.pci_address.rpartition(".")[0] if device.pci_address else port.device

    def siblings(self, port: Port) -> list[Port]:
        return [other for other in self.cards[self.card(port)] if other is not port]

    def position(self, port: Port) -> int:
        """First or second port of its card."""
        return self.cards[self.card(port)].index(port)

    def is_in_use(self, port: Port) -> bool:
        """Up, and where GIDs are known of a RoCE port, with an address: a netdev without one carries no traffic."""
        if port.state != "ACTIVE":
            return False
        key = (port.device, port.port)
        return port.link_layer != "Ethernet" or key not in self.with_gids or key in self.addressed

    def peers(self, port: Port) -> list[Port]:
        return [other for other in self.kinds[self.kind(port)] if other is not port]


def expectations(
    snapshot: NodeSnapshot, manifest: Manifest | None = None, memory: Memory | None = None
) -> dict[PortKey, Expectation]:
    """What each port of a node should be. `memory` adds what was seen before; without it, one reading decides."""
    node = _Node(snapshot, memory)
    wanted = manifest or Manifest()
    return {(port.device, port.port): _expect(node, port, wanted) for port in node.ports}


def _expect(node: _Node, port: Port, manifest: Manifest) -> Expectation:
    expected, why = _expect_state(node, port, manifest)
    said = manifest.port(port.device, port.port)
    if said is not None and said.rate_gbps is not None:
        return Expectation(expected, why, said.rate_gbps, "the manifest says so", True)
    if port.state != "ACTIVE" or port.rate_gbps is None:
        return Expectation(expected, why)
    before = _rate_of_before(node, port, port.rate_gbps)
    if before is not None or node.is_virtual(port):
        return Expectation(expected, why, *(before or ()))
    for rung in (_rate_of_peers, _rate_of_netdev, _rate_of_card):
        found = rung(node, port, port.rate_gbps)
        if found is not None:
            return Expectation(expected, why, *found)
    return Expectation(expected, why)


# Up, spare or unknown

Answer = tuple[Expected, str]
Rung = Callable[[_Node, Port, Device], Answer | None]


def _expect_state(node: _Node, port: Port, manifest: Manifest) -> tuple[Expected, str]:
    said = manifest.port(port.device, port.port)
    if said is not None:
        return said.expected, "the manifest says so"
    if port.state == "ACTIVE":
        return "up", "it is up"
    device = node.devices.get(port.device)
    if port.state is None or device is None:
        return "unknown", "its state cannot be read"
    for rung in RUNGS:
        answer = rung(node, port, device)
        if answer is not None:
            return answer
    return "unknown", "nothing says whether it should be up"


def _someone_elses(node: _Node, port: Port, device: Device) -> Answer | None:
    """A virtual function of another pod. In a guest (no `physfn`) it is ours, and missed once it was up."""
    if device.function not in ("vf", "sf") or port.phys_state not in FALSE_SWITCH:
        return None
    in_guest = device.function == "vf" and device.physfn is None
    return None if in_guest and _was_up(node, port, device) else ("spare", "a virtual function that nobody uses")


def _was_up(node: _Node, port: Port, _device: Device) -> Answer | None:
    memory = node.memory.port(port) if node.memory is not None else None
    return ("up", "it was up before") if memory is not None and memory.was_active else None


def _cabled(node: _Node, port: Port, device: Device) -> Answer | None:
    """The link is there and nobody has set the port up; only a BlueField's own port may be meant to be so."""
    if port.phys_state != "LinkUp":
        return None
    others_up = any(other.state == "ACTIVE" for other in node.ports)
    if device.bluefield and (others_up or port.state == "DOWN"):
        return "unknown", "a port of a BlueField, which may be for management"
    same_fabric = any(other.state == "ACTIVE" and other.link_layer == port.link_layer for other in node.ports)
    if same_fabric and not any(other.state == "ACTIVE" for other in node.peers(port)):
        return "unknown", "an auxiliary port: the node's other ports are up and are of another kind"
    return "up", "its cable has a link"


def _no_alarm(node: _Node, port: Port, device: Device) -> Answer | None:
    """Ports that are down on purpose."""
    if port.netdev_admin_up is False:
        return "spare", f"its netdev {port.netdev} is switched off"
    if device.function == "sf" or device.bluefield:
        return "spare", "a sub-function or a management function"
    if node.is_virtual(port):
        return "unknown", "a software device that was never up"
    if port.phys_state in FALSE_SWITCH and port.link_layer != "Ethernet":
        return "spare", "the port is disabled"
    if port.link_layer == "Ethernet" and node.any_netdev and not port.netdev:
        return "spare", "its netdev is not here"
    return None


def _provisioned(node: _Node, port: Port, _device: Device) -> Answer | None:
    if port.link_layer == "Ethernet" and (port.device, port.port) in node.addressed:
        return "up", f"its netdev {port.netdev or ''} has an address".replace("  ", " ")
    return None


def _peers(node: _Node, port: Port, _device: Device) -> Answer | None:
    """Most of its kind are in use: those in the same place on their card, and all of them."""
    peers = node.peers(port)
    place = node.position(port)
    alike = [peer for peer in peers if node.position(peer) == place]
    has_others = any(node.card(peer) != node.card(port) for peer in peers)
    used, down = _count(node, peers)
    alike_used, alike_down = _count(node, alike)
    if has_others and used > down + 1 and alike_used > alike_down:
        return "up", f"{used} of its {len(peers)} peers are up"
    active, alike_active = (sum(1 for each in ports if each.state == "ACTIVE") for ports in (peers, alike))
    if has_others and active > down + 1 and alike_active > alike_down:
        return "unknown", f"{active} of its {len(peers)} peers are up, but nothing says that this one is used"
    if any(sibling.state == "ACTIVE" for sibling in node.siblings(port)):
        return "spare", "the other port of its card is up, and nothing says that both are used"
    if down and used <= down + 1 and node.any_up:
        return "spare", "most of its kind are down while the node's other ports are up"
    return None


def _count(node: _Node, ports: list[Port]) -> tuple[int, int]:
    """(in use, down)."""
    used = sum(1 for each in ports if node.is_in_use(each))
    return used, sum(1 for each in ports if each.state != "ACTIVE")


RUNGS: tuple[Rung, ...] = (_someone_elses, _was_up, _cabled, _no_alarm, _provisioned, _peers)

# At what rate

RATE_SLACK = 1.01
"""Rates are nominal: only a whole step counts."""

CARD_BY_PSID: Mapping[str, float] = {
    "MT_0000000222": 100.0,  # MCX653105A-ECA: ConnectX-6 VPI, HDR100
    "MT_0000000224": 100.0,  # MCX653106A-ECA
    "MT_0000000223": 200.0,  # MCX653105A-HDA: ConnectX-6 VPI, HDR
    "MT_0000000225": 200.0,  # MCX653106A-HDA
    "MT_0000000838": 400.0,  # MCX75310AAS-NEA: ConnectX-7, NDR
}
"""Cards whose PSID leaves no doubt (NVIDIA firmware download pages); a device ID alone covers slower variants too."""

RateRung = tuple[float, str, bool]


def _rate_of_before(node: _Node, port: Port, rate: float) -> RateRung | None:
    """It ran faster itself."""
    memory = node.memory.port(port) if node.memory is not None else None
    if memory is None or memory.best_rate_gbps <= rate * RATE_SLACK:
        return None
    return memory.best_rate_gbps, f"it ran at {memory.best_rate_gbps:g} before", True


def _rate_of_peers(node: _Node, port: Port, rate: float) -> RateRung | None:
    """Most of its kind run faster."""
    if node.identity(port) is None:
        return None
    rates = [peer.rate_gbps for peer in node.peers(port) if peer.state == "ACTIVE" and peer.rate_gbps is not None]
    if not rates:
        return None
    usual, count = Tally(rates).most_common(1)[0]
    if count >= 2 and count > (len(rates) + 1) / 2 and usual > rate * RATE_SLACK:
        return usual, f"{count} of its {len(rates)} peers run at {usual:g}", True
    return None


def _rate_of_netdev(node: _Node, port: Port, rate: float) -> RateRung | None:
    """The netdev of the port says more than the port: not for a bond, whose netdev adds up its members."""
    device = node.devices.get(port.device)
    speed = port.netdev_speed_gbps
    if speed is None or device is None or device.bond or device.function in ("vf", "sf"):
        return None
    return (speed, f"its netdev {port.netdev} says {speed:g}", True) if speed > rate * RATE_SLACK else None


def _rate_of_card(node: _Node, port: Port, rate: float) -> RateRung | None:
    """The card can do more: sure where the PSID names one product, else a note, since slower products share the ID.

    RoCE is left out: an Ethernet switch of a lower rate is a choice that many sites make.
    """
    device = node.devices.get(port.device)
    if device is None or port.link_layer != "InfiniBand" or device.function in ("vf", "sf"):
        return None
    exact = CARD_BY_PSID.get(device.board_id or "")
    if exact is not None:
        return (
            (exact, f"the card (PSID {device.board_id}) can do {exact:g}", True) if exact > rate * RATE_SLACK else None
        )
    most = card_max_gbps(device.hca_type or "", device.ports)
    if most is not None and most > rate * RATE_SLACK:
        return most, f"a {device.card or device.hca_type} can do {most:g}; slower products share its ID", False
    return None
