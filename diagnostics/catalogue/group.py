"""The shape of a catalogue row: what many counters share stands once, in their group."""

from typing import NamedTuple

from diagnostics.model import CounterClass, CounterSource

Row = tuple[str, str, CounterClass, str]
"""Name (`{n}` stands for any number), unit, class, meaning."""


class Group(NamedTuple):
    """Counters of one source, width and behaviour, and where that is known from."""

    source: CounterSource
    bits: int
    limit: str | None
    origin: str
    rows: tuple[Row, ...]
    scale: int = 1
