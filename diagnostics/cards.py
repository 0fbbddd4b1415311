"""Card families by PCI device id, which `hca_type` repeats in decimal (`MT4129` is 0x1021)."""

from typing import NamedTuple


class Card(NamedTuple):
    name: str
    port_gbps: float | None
    """The fastest product of the family; slower ones share its id. None where the id says too little."""
    two_ports_gbps: float | None = None
    """The same of its two-port products, where they are slower."""


_CX3 = Card("ConnectX-3", 56)
_CX3_PRO = Card("ConnectX-3 Pro", 56)
_CONNECT_IB = Card("Connect-IB", 56)
_CX4 = Card("ConnectX-4", 100)
_CX4_LX = Card("ConnectX-4 Lx", 50, 25)
_CX5 = Card("ConnectX-5", 100)
_CX5_EX = Card("ConnectX-5 Ex", 100)
_CX6 = Card("ConnectX-6", 200)
_CX6_DX = Card("ConnectX-6 Dx", 200, 100)
_CX6_LX = Card("ConnectX-6 Lx", 50, 25)
_CX7 = Card("ConnectX-7", 400, 200)
_CX8 = Card("ConnectX-8", 800, 400)
_BF1 = Card("BlueField", 100)
_BF2 = Card("BlueField-2", 200, 100)
_BF3 = Card("BlueField-3", 400)
_BF4 = Card("BlueField-4", None)
_ANY_VF = Card("ConnectX-6 Dx or later", None)

CARDS: dict[int, Card] = {
    0x1002: Card("ConnectX-2", 40),  # virtual function
    0x673C: Card("ConnectX-2", 40),
    0x1003: _CX3,
    0x1004: _CX3,  # virtual function, of the Pro too
    0x1007: _CX3_PRO,
    0x1011: _CONNECT_IB,
    0x1012: _CONNECT_IB,  # virtual function
    0x1013: _CX4,
    0x1014: _CX4,  # virtual function
    0x1015: _CX4_LX,
    0x1016: _CX4_LX,  # virtual function
    0x1017: _CX5,
    0x1018: _CX5,  # virtual function
    0x1019: _CX5_EX,
    0x101A: _CX5_EX,  # virtual function
    0x101B: _CX6,
    0x101C: _CX6,  # virtual function
    0x101D: _CX6_DX,
    0x101E: _ANY_VF,
    0x101F: _CX6_LX,
    0x1021: _CX7,
    0x1023: _CX8,
    0x1025: Card("ConnectX-9", None),
    0xA2D2: _BF1,
    0xA2D3: _BF1,  # virtual function
    0xA2D6: _BF2,
    0xA2DC: _BF3,
    0xA2DF: _BF4,
}
"""Of vendor 0x15b3 (pci.ids; kernel mlx5/core/main.c `mlx5_core_pci_table`, mlx4/main.c)."""

VF_IDS = frozenset({0x1002, 0x1004, 0x1012, 0x1014, 0x1016, 0x1018, 0x101A, 0x101C, 0x101E, 0xA2D3})

BY_FIRMWARE: dict[str, Card] = {
    "10": _CONNECT_IB,
    "12": _CX4,
    "14": _CX4_LX,
    "16": _CX5,
    "18": _BF1,
    "20": _CX6,
    "22": _CX6_DX,
    "24": _BF2,
    "26": _CX6_LX,
    "28": _CX7,
    "32": _BF3,
    "40": _CX8,
}
"""First number of the firmware's version -> family: what a virtual function of the shared id is part of."""


def device_id(card: int | str | None) -> int | None:
    """PCI device id of `MT4129`, `4129`, `0x1021` or the number itself; None for anything else."""
    if isinstance(card, int) or card is None:
        return card
    text = card.strip()
    try:
        return int(text, 16) if text.lower().startswith("0x") else int(text.upper().removeprefix("MT"))
    except ValueError:
        return None


def find_card(card: int | str | None, firmware: str | None = None) -> Card | None:
    """The family of a PCI device id or `hca_type`; `firmware` tells what a shared virtual function id leaves open."""
    number = device_id(card)
    found = CARDS.get(number) if number is not None else None
    if found is _ANY_VF and firmware:
        return BY_FIRMWARE.get(firmware.partition(".")[0], found)
    return found
