"""A port's facts: what changes at any moment (state), and what changes only with the cable or the configuration."""

from __future__ import annotations

from typing import NamedTuple

from agent.readers.files import Attributes
from agent.readers.root import GONE, Root, number
from diagnostics.links import Rate, parse_rate

STATES = {0: "NOP", 1: "DOWN", 2: "INIT", 3: "ARMED", 4: "ACTIVE", 5: "ACTIVE_DEFER"}
"""enum ib_port_state."""
PHYS_STATES = {
    1: "Sleep", 2: "Polling", 3: "Disabled", 4: "PortConfigurationTraining", 5: "LinkUp", 6: "LinkErrorRecovery",
    7: "Phy Test",
}  # fmt: skip
"""enum ib_port_phys_state, in the words of core/sysfs.c."""
ROCE_OVERHEAD_BYTES = 96
"""What iboe_get_mtu takes off the netdev's MTU: GRH 40, UDP 8, BTH 12, XRC 4, atomic 28, ICRC 4 (ib_addr.h)."""
RDMA_MTUS = (4096, 2048, 1024, 512, 256)
PORTS = 1024
PKEYS = 256


class Link(NamedTuple):
    """What changes at any moment; read every tick."""

    state: str | None = None
    phys_state: str | None = None
    rate: Rate | None = None


class PortFacts(NamedTuple):
    """What is read when the port is first seen, in the slow loop, and when its state has changed."""

    link_layer: str | None = None
    lid: int | None = None
    sm_lid: int | None = None
    pkeys: tuple[str, ...] | None = None


def named(text: str | None, names: dict[int, str]) -> str | None:
    """`4: ACTIVE` -> `ACTIVE`, by its number; a number that has no name, or none, keeps the text."""
    if text is None:
        return None
    head, colon, rest = text.partition(":")
    if colon and head.strip().isdigit():
        return names.get(int(head[:9]), rest.strip() or text)
    return text


def port_numbers(root: Root, device: str) -> list[int]:
    """The ports a device has, from 1. Raises OSError where they are there and cannot be listed."""
    try:
        names = root.listed(f"{device}/ports")
    except OSError as error:
        if error.errno not in GONE:
            raise
        names = []
    numbers = (number(name) for name in names[:PORTS])
    return sorted(each for each in numbers if each is not None and each > 0)


LINK_FILES = ("state", "phys_state", "rate")
"""Three files, each a question to the port itself."""


def parse_link(files: Attributes, data: tuple[bytes | None, ...]) -> Link:
    """Of the contents of LINK_FILES."""
    state, phys_state, rate = (files.fact(name, each) for name, each in zip(LINK_FILES, data, strict=True))
    return Link(named(state, STATES), named(phys_state, PHYS_STATES), parse_rate(rate) if rate else None)


def read_facts(root: Root, folder: str, pkeys: tuple[str, ...] | None) -> PortFacts:
    layer = root.read_fact(f"{folder}/link_layer")
    return PortFacts(layer, root.read_int(f"{folder}/lid"), root.read_int(f"{folder}/sm_lid"), pkeys)


def read_pkeys(root: Root, folder: str) -> tuple[str, ...] | None:
    """The non-zero entries of the P_Key table; None where there is no table.

    Once a device: each of the 128 reads of an InfiniBand port is a command to the firmware.
    """
    names = root.find(f"{folder}/pkeys")
    if not names:
        return None
    found = (root.read_fact(f"{folder}/pkeys/{name}") for name in names[:PKEYS])
    return tuple(key for key in found if key and number(key))


def roce_mtu(netdev_mtu: int | None) -> int | None:
    """The RDMA MTU the kernel derives from a netdev's: 1500 -> 1024, 9000 -> 4096."""
    if netdev_mtu is None:
        return None
    return next((mtu for mtu in RDMA_MTUS if netdev_mtu - ROCE_OVERHEAD_BYTES >= mtu), None)
