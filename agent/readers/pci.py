"""PCI functions: who they are, how wide the way to the root is, and what errors they count.

Files of drivers/pci/pci-sysfs.c and drivers/pci/pcie/aer.c.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from agent.readers.files import MAX_VALUE
from agent.readers.root import Root
from diagnostics.cards import VF_IDS
from diagnostics.links import card_name, parse_pcie_speed, pcie_limit_gbps
from diagnostics.model import Function, Pcie, PciFunction

MELLANOX, AMAZON, NVIDIA_GPU, AMD = "0x15b3", "0x1d0f", "0x10de", "0x1002"
EFA_IDS = ("0xefa0", "0xefa1", "0xefa2", "0xefa3")
GPU_CLASSES = {NVIDIA_GPU: ("0x03",), AMD: ("0x1200", "0x0380")}
"""Display controllers and, of AMD's Instinct cards, processing accelerators."""
AER_FILES = ("aer_dev_correctable", "aer_dev_nonfatal", "aer_dev_fatal")
SANE_WIDTHS = frozenset((1, 2, 4, 8, 12, 16, 32))
"""Other values (0, 63, 255) stand in registers that hold nothing."""
FUNCTIONS = 4096


Number = TypeVar("Number", int, float)


class Hop(NamedTuple):
    """The link above a function, as this end of it says."""

    address: str
    speed_gts: float | None
    width: int | None
    max_speed_gts: float | None
    max_width: int | None


def is_address(name: str) -> bool:
    """`0000:3b:00.0`; domains may have more than four digits."""
    domain, _, rest = name.partition(":")
    digits = "0123456789abcdefABCDEF"
    shape = len(rest) == 7 and rest[2] == ":" and rest[5] == "."
    return shape and len(domain) >= 4 and all(c in digits for c in domain + rest[:2] + rest[3:5] + rest[6])


def chain_of(path: str) -> list[str]:
    """The folders of the PCI functions on a resolved device path, the device's own first."""
    parts = path.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts) - 1, -1, -1) if is_address(parts[i])]


def pci_folder(root: Root, device: str) -> str | None:
    """Resolved folder of the PCI function under an RDMA device's folder; None for a software device.

    A subfunction's `device` is on the auxiliary bus: the function is then a folder above it.
    """
    for start in (f"{device}/device", device):
        resolved = root.resolved(start)
        folders = chain_of(resolved) if resolved else []
        if folders:
            return folders[0]
    return None


def read_hop(root: Root, folder: str) -> Hop:
    address = folder.rpartition("/")[2]
    own = _read_hop(root, folder, address)
    if own.speed_gts is not None or own.width is not None or root.live:
        return own
    # some captures hold the links of all functions by bus alone
    bus = address.rpartition(":")[0]
    return _read_hop(root, f"sys/class/pci_bus/{bus}/device/{address}", address)


def _read_hop(root: Root, folder: str, address: str) -> Hop:
    return Hop(
        address,
        parse_pcie_speed(root.read_fact(f"{folder}/current_link_speed") or ""),
        _width(root, f"{folder}/current_link_width"),
        parse_pcie_speed(root.read_fact(f"{folder}/max_link_speed") or ""),
        _width(root, f"{folder}/max_link_width"),
    )


def _width(root: Root, name: str) -> int | None:
    width = root.read_int(name)
    return width if width in SANE_WIDTHS else None


def read_pcie(root: Root, folder: str) -> Pcie | None:
    """The path from a function up to the root; None where nothing of it can be read.

    A virtual function has no link of its own: its physical function's is taken. A link could run as fast as the slower
    of its two ends: a Gen5 card in a Gen4 slot is no fault.
    """
    physical = root.resolved(f"{folder}/physfn") if root.link(f"{folder}/physfn") else None
    folders = chain_of(physical or folder)
    hops = [read_hop(root, each) for each in folders]
    if not hops:
        return None
    own, above = hops[0], hops[1] if len(hops) > 1 else Hop("", None, None, None, None)
    limit, narrowest = narrowest_hop(hops)
    pcie = Pcie(
        speed_gts=own.speed_gts if own.speed_gts is not None else above.speed_gts,
        width=own.width if own.width is not None else above.width,
        max_speed_gts=_least(own.max_speed_gts, above.max_speed_gts),
        max_width=_least(own.max_width, above.max_width),
        limit_gbps=None if limit is None else round(limit, 1),
        narrowest=narrowest,
    )
    known = (pcie.speed_gts, pcie.width, pcie.max_speed_gts, pcie.max_width)
    return pcie if any(value is not None for value in known) else None


def _least(one: Number | None, other: Number | None) -> Number | None:
    """The smaller of the known ones."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def narrowest_hop(hops: list[Hop]) -> tuple[float | None, str | None]:
    """(usable Gb/s, address) of the hop that carries least; the one nearest to the device among equals."""
    limit, address = None, None
    for hop in hops:
        carries = pcie_limit_gbps(hop.speed_gts, hop.width) if hop.speed_gts and hop.width else None
        if carries is not None and (limit is None or carries < limit):
            limit, address = carries, hop.address
    return limit, address


def function_of(root: Root, folder: str, device_id: int | None) -> Function | None:
    """pf or vf. In a guest a VF has no `physfn`: only its device id tells, and without one nothing does."""
    if root.link(f"{folder}/physfn"):
        return "vf"
    if device_id in VF_IDS:
        return "vf"
    if device_id is not None or root.read_int(f"{folder}/sriov_totalvfs") is not None:
        return "pf"
    return None


def has_aer(root: Root, folder: str) -> bool:
    return root.read_text(f"{folder}/{AER_FILES[0]}") is not None


def read_aer(root: Root, folder: str) -> dict[str, int]:
    """`aer_dev_correctable.BadTLP` -> count, of the three AER files of a function."""
    found: dict[str, int] = {}
    for name in AER_FILES:
        for line in (root.read_text(f"{folder}/{name}") or "").splitlines():
            label, _, value = line.rpartition(" ")
            if label.isidentifier() and value.isascii() and value.isdigit() and int(value[:24]) <= MAX_VALUE:
                found[f"{name}.{label}"] = int(value[:24])
    return found


class Buses(NamedTuple):
    """What a scan of all PCI functions found."""

    functions: tuple[PciFunction, ...]
    gpus: int | None


def scan(root: Root, rdma: dict[str, str]) -> Buses:
    """PCI functions of the RDMA card families, and how many GPUs there are.

    `rdma` is PCI address -> RDMA device. No GPU in a capture is not known to be none: it may hold the NICs alone.
    """
    functions, gpus, seen = [], 0, False
    for address in root.names("sys/bus/pci/devices")[:FUNCTIONS]:
        folder = f"sys/bus/pci/devices/{address}"
        vendor = root.read_fact(f"{folder}/vendor")
        if vendor is None or not is_address(address):
            continue
        seen = True
        kind = root.read_fact(f"{folder}/class") if vendor in (MELLANOX, NVIDIA_GPU, AMD) else None
        if kind and kind.startswith(GPU_CLASSES.get(vendor, ())):
            gpus += 1
        elif (vendor == MELLANOX and (kind or "0x02").startswith("0x02")) or (
            vendor == AMAZON and root.read_fact(f"{folder}/device") in EFA_IDS
        ):
            functions.append(_function(root, folder, address, vendor, rdma))
    return Buses(tuple(functions), gpus if gpus or (seen and root.live) else None)


def _function(root: Root, folder: str, address: str, vendor: str, rdma: dict[str, str]) -> PciFunction:
    device_id = root.read_fact(f"{folder}/device")
    number = root.read_int(f"{folder}/device")
    netdevs = root.names(f"{folder}/net")
    device = rdma.get(address) or next(iter(root.names(f"{folder}/infiniband")), None)
    return PciFunction(
        address=address,
        vendor=vendor.removeprefix("0x"),
        device_id=(device_id or "").removeprefix("0x"),
        card=card_name(number) if number is not None else None,
        driver=root.link(f"{folder}/driver"),
        function=function_of(root, folder, number),
        rdma=device,
        netdev=netdevs[0] if netdevs else None,
    )
