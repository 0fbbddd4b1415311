"""All checks, ordered by layer: `REGISTRY[id]`.

A check is a function in its layer's file with a `check(...)` row above it; importing the file registers it.
"""

from collections.abc import Mapping

from diagnostics.checks import (
    agent,
    benchmarks,
    congestion,
    errors,
    fleet,
    host,
    link,
    link_devices,
    link_losses,
    link_setup,
    operator,
    pcie,
    receiving,
    transport,
)
from diagnostics.checks.base import Check, registered

REGISTRY: Mapping[str, Check] = registered()

THRESHOLDS: frozenset[str] = frozenset(f"{row.id}.{each.name}" for row in REGISTRY.values() for each in row.thresholds)
"""What a manifest may override: `symbol-errors.per_hour`."""

__all__ = [
    "REGISTRY",
    "THRESHOLDS",
    "agent",
    "benchmarks",
    "congestion",
    "errors",
    "fleet",
    "host",
    "link",
    "link_devices",
    "link_losses",
    "link_setup",
    "operator",
    "pcie",
    "receiving",
    "transport",
]
