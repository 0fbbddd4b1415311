"""The counter catalogue: what every counter that a node may show means, counts in, and does at its top.

A row is found by name and source. Families (`rx_prio3_pause`, `rx17_packets`) have one row, whose name holds `{n}` for
the number. A name without a row is shown all the same, with class `info`, no unit and no meaning.
"""

from functools import cache
from importlib import import_module
from typing import NamedTuple

from diagnostics.catalogue.group import Group
from diagnostics.model import CounterClass, CounterSource


class CounterSpec(NamedTuple):
    """One row of the catalogue."""

    name: str
    source: CounterSource
    unit: str
    """What `value * scale` counts; "" where nobody has said."""
    scale: int
    """`port_*_data` count words of 4 octets."""
    bits: int
    """Width of the counter in the device, whatever the width of the kernel's number."""
    limit: str | None
    """At all ones: `clamp` sticks there and is blind, `wrap` starts again at 0, None is too wide to reach it.
    `gauge` is no count: it says how things are now, and has no rate."""
    cls: CounterClass
    """`error` is what feeds errors a minute: lost, refused or broken, as does not happen in sound operation."""
    meaning: str | None
    origin: str
    """Where width, behaviour and meaning are known from."""


NOT_COUNTERS = frozenset({"lifespan", "clear_diag", "PortSelect", "CounterSelect", "CounterSelect2"})
"""Files and fields beside the counters that hold a setting (`lifespan`: cache time in ms) or act when written."""

_FILES: dict[str, tuple[str, ...]] = {
    "counters": ("pma",),
    "hw_counters": ("mlx5_hw", "hw_other", "hw_vendors"),
    "netlink": ("mlx5_hw", "hw_other", "hw_vendors"),
    "ethtool": ("ethtool", "ethtool_other"),
    "pci": ("pci",),
}
"""The files of `diagnostics.catalogue` that hold the rows of a source, likeliest first.

They are imported when a name is first asked for: all of them cost 3 ms, the two that a plain mlx5 port needs 0.3 ms.
netlink's STAT_GET answers the same counters as the hw_counters folder, and some that have no file.
"""

_DIGITS = str.maketrans("0123456789", "##########")


def _pattern(name: str) -> str:
    """The name with every number, and every `{n}`, written as `#`."""
    key = name.replace("{n}", "#").translate(_DIGITS)
    while "##" in key:
        key = key.replace("##", "#")
    return key


@cache
def _rows(file: str) -> tuple[CounterSpec, ...]:
    groups: tuple[Group, ...] = import_module(f"diagnostics.catalogue.{file}").GROUPS
    return tuple(
        CounterSpec(name, group.source, unit, group.scale, group.bits, group.limit, cls, meaning, group.origin)
        for group in groups
        for name, unit, cls, meaning in group.rows
    )


@cache
def _index(file: str) -> dict[str, CounterSpec]:
    """Rows by name, and those of families by pattern too."""
    index = {_pattern(spec.name): spec for spec in _rows(file) if "{n}" in spec.name}
    index.update((spec.name, spec) for spec in _rows(file))
    return index


def _row(name: str, source: CounterSource) -> CounterSpec | None:
    for file in _FILES[source]:
        index = _index(file)
        found = index.get(name) or index.get(_pattern(name))
        if found is not None:
            return found
    return None


def _look_up(name: str, source: CounterSource) -> CounterSpec | None:
    found = _row(_canonical(name, source), source)
    if found is None and name.startswith("vport_"):
        # mlx5 puts this before the Q counters of a representor's vport (switchdev).
        found = _row(name[len("vport_") :], source)
    return found


def _canonical(name: str, source: CounterSource) -> str:
    """The catalogue's name: perfquery's registers and AER lines have several spellings."""
    if source == "counters" and not name.islower():
        from diagnostics.catalogue.pma import ALIASES

        return ALIASES.get(name, name)
    if source == "pci":
        from diagnostics.catalogue.pci import canonical

        return canonical(name)
    return name


@cache
def spec_of(name: str, source: CounterSource) -> CounterSpec:
    """The row of a counter as the kernel names it, with this name and source in it; the same object every time."""
    found = _look_up(name, source)
    if found is None:
        return CounterSpec(name, source, "", 1, 64, None, "info", None, "")
    return found._replace(name=name, source=source)


@cache
def catalogue() -> tuple[CounterSpec, ...]:
    """Every row, by source and file."""
    files = dict.fromkeys(file for files in _FILES.values() for file in files)
    return tuple(spec for file in files for spec in _rows(file))


def find(name: str) -> list[CounterSpec]:
    """Every row, of any source, that a counter of this name has; [] for a name nobody has described.

    `rx_prio3_pause`, `rx_prioN_pause` and `rx_prio{n}_pause` find the family; perfquery's names find the sysfs row.
    """
    wanted = {name, name.replace("N_", "{n}_"), _canonical(name, "counters"), _canonical(name, "pci")}
    exact = [spec for spec in catalogue() if spec.name in wanted]
    patterns = {_pattern(each) for each in wanted}
    return exact or [spec for spec in catalogue() if "{n}" in spec.name and _pattern(spec.name) in patterns]


def __getattr__(name: str) -> tuple[CounterSpec, ...]:
    if name == "CATALOGUE":
        return catalogue()
    raise AttributeError(name)
