"""Who a device is: names, GUIDs, card, function and its place on the PCI bus (drivers/infiniband/core/sysfs.c)."""

from __future__ import annotations

from typing import NamedTuple

from agent.readers import pci
from agent.readers.root import Root
from diagnostics.cards import BY_FIRMWARE, VF_IDS
from diagnostics.links import card_name
from diagnostics.model import Function, Pcie

SOFTWARE_FIRMWARE = "0.0.0"
"""What soft-RoCE and siw say where a card has its firmware."""


class Identity(NamedTuple):
    driver: str | None
    node_guid: str | None
    sys_image_guid: str | None
    card: str | None
    hca_type: str | None
    board_id: str | None
    firmware: str | None
    function: Function | None
    pci_address: str | None
    pci_folder: str | None
    numa_node: int | None
    pcie: Pcie | None
    bond: bool | None
    bluefield: bool | None
    physfn: str | None
    slave: str | None
    device_id: int | None
    """PCI device id."""


def read_identity(root: Root, folder: str) -> Identity:
    function_folder = pci.pci_folder(root, folder)
    hca_type = hca_type_of(root, folder)
    device_id = root.read_int(f"{function_folder}/device") if function_folder else None
    if device_id is None:
        device_id = number_of(hca_type)
    firmware = root.read_fact(f"{folder}/fw_ver")
    board = root.read_fact(f"{folder}/board_id")
    card = card_name(hca_type, firmware) or card_name(device_id, firmware)
    if card is None and device_id is None and root.read_text(f"{folder}/hca_type"):
        # a capture that lost the number; only mlx cards have this file, and their firmware's first number is the family
        card = getattr(BY_FIRMWARE.get((firmware or "").partition(".")[0]), "name", None)
    numa = root.read_int(f"{function_folder}/numa_node") if function_folder else None
    name = folder.rpartition("/")[2]
    return Identity(
        driver=(root.link(f"{function_folder}/driver") if function_folder else software_driver(root, folder))
        or driver_of(hca_type),
        node_guid=guid(root.read_fact(f"{folder}/node_guid")),
        sys_image_guid=guid(root.read_fact(f"{folder}/sys_image_guid")),
        card=card,
        hca_type=hca_type,
        board_id=board,
        firmware=firmware,
        function=function_of(root, folder, function_folder, device_id, firmware),
        pci_address=function_folder.rpartition("/")[2] if function_folder else None,
        pci_folder=function_folder,
        numa_node=numa if numa is not None and numa >= 0 else None,
        pcie=pci.read_pcie(root, function_folder) if function_folder else None,
        bond=True if "_bond_" in name else None,  # mlx5_bond_0: the driver itself names a LAG device so
        bluefield=card.startswith("BlueField") if card else None,
        physfn=root.link(f"{function_folder}/physfn") if function_folder else None,
        slave=bond_sibling(root, function_folder) if "_bond_" in name and function_folder else None,
        device_id=device_id,
    )


def hca_type_of(root: Root, folder: str) -> str | None:
    text = root.read_fact(f"{folder}/hca_type")
    return text if number_of(text) is not None else None


def number_of(hca_type: str | None) -> int | None:
    """`MT4129` -> 4129, the PCI device id."""
    digits = (hca_type or "").removeprefix("MT")
    return int(digits) if hca_type and digits.isascii() and digits.isdigit() and len(digits) < 7 else None


def guid(text: str | None) -> str | None:
    """As sysfs writes it, `b83f:d203:0092:dd30`; anything else is a placeholder."""
    groups = (text or "").split(":")
    return text if len(groups) == 4 and all(len(g) == 4 and not g.strip("0123456789abcdef") for g in groups) else None


def driver_of(hca_type: str | None) -> str | None:
    """In a capture without the driver's link the card's number tells: mlx5 begins with Connect-IB (4113) and has the
    BlueFields (above 41680); ConnectX-2 and -3 are mlx4."""
    number = number_of(hca_type)
    if number is None:
        return None
    if 4113 <= number < 4200 or 41680 <= number < 41800:
        return "mlx5_core"
    return "mlx4_core" if 4096 <= number < 4113 or 25408 <= number < 26500 else None


def software_driver(root: Root, folder: str) -> str | None:
    """Soft-RoCE and siw alone have a `parent` file; siw is an RNIC (iWARP)."""
    if root.read_fact(f"{folder}/parent") is None:
        return None
    return "siw" if (root.read_fact(f"{folder}/node_type") or "").startswith("4") else "rdma_rxe"


def function_of(
    root: Root, folder: str, function_folder: str | None, device_id: int | None, firmware: str | None
) -> Function | None:
    device = root.resolved(f"{folder}/device") or ""
    if ".sf." in device.rpartition("/")[2]:
        return "sf"
    if function_folder is not None:
        return pci.function_of(root, function_folder, device_id)
    if device_id is not None:
        return "vf" if device_id in VF_IDS else "pf"
    place = root.resolved(folder) or ""
    without_parent = place.startswith("sys/devices/") or firmware == SOFTWARE_FIRMWARE
    return "virtual" if without_parent else None


def bond_sibling(root: Root, function_folder: str) -> str | None:
    """The other function of the card under a LAG: it has a netdev but no RDMA device of its own."""
    parent, _, address = function_folder.rpartition("/")
    slot = address.rpartition(".")[0]
    for name in root.names(parent):
        other = name != address and name.startswith(f"{slot}.")
        if other and root.names(f"{parent}/{name}/net") and not root.names(f"{parent}/{name}/infiniband"):
            return name
    return None
