"""The kinds of `rdmatop get`: the plural that a user types, the type of an item, and the envelope's kind."""

from __future__ import annotations

from diagnostics.model import (
    Benchmark,
    Component,
    Counter,
    Device,
    Event,
    Finding,
    Gid,
    Node,
    Port,
    Process,
    Wire,
)

KINDS: dict[str, type[Wire]] = {
    "nodes": Node,
    "devices": Device,
    "ports": Port,
    "gids": Gid,
    "counters": Counter,
    "processes": Process,
    "findings": Finding,
    "events": Event,
    "benchmarks": Benchmark,
    "components": Component,
}
"""Plural -> the type of an item."""

LIST_KINDS = {
    plural: "ProcessList" if plural == "processes" else f"{item.__name__}List" for plural, item in KINDS.items()
}
"""`ports` -> `PortList`, the envelope's kind."""
