"""What a site says about its nodes: which ports must be up, at what rate, and thresholds of its own.

A mistake in it is refused loudly: an unknown key, check or threshold is an error, not a default.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from diagnostics.errors import UserError
from diagnostics.model import Expected


class PortManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is expected of one port."""

    expected: Expected = "up"
    rate_gbps: float | None = None
    """None: whatever the ladder finds."""


class ThresholdOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    value: float
    window_s: float | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    ports: dict[str, PortManifest] = {}
    """`mlx5_0/1`, or `mlx5_0` for every port of a device."""
    devices: int | None = None
    """RDMA devices that the node must have."""
    thresholds: dict[str, ThresholdOverride] = {}
    """`symbol-errors.per_hour`: the check's id and the threshold's name."""

    def port(self, device: str, port: int) -> PortManifest | None:
        return self.ports.get(f"{device}/{port}") or self.ports.get(device)


def parse_manifest(text: bytes, known_thresholds: Iterable[str], *, name: str = "manifest") -> Manifest:
    """Decode YAML or JSON; raises `UserError` that names the place of the mistake.

    `known_thresholds` are `CHECK.NAME` of all checks, so that a typing mistake does not quietly change nothing.
    """
    try:
        if text.lstrip()[:1] == b"{":
            manifest = msgspec.json.decode(text, type=Manifest)
        else:
            manifest = msgspec.yaml.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise UserError(f"{name}: {error}", "see docs/checks.md for what a manifest may hold") from error
    unknown = sorted(set(manifest.thresholds) - set(known_thresholds))
    if unknown:
        check_id = unknown[0].partition(".")[0]
        raise UserError(
            f"{name}: no threshold is named {', '.join(unknown)}",
            f"rdmatop explain {check_id} lists the check's thresholds",
        )
    return manifest
