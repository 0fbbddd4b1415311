"""A snapshot as JSON, made once a sample for each selection of counters, however many ask for it."""

from __future__ import annotations

import msgspec

from diagnostics.model import NodeSnapshot


class UnknownSelection(ValueError):
    """Counters of a device or port were asked for that this node does not have."""


class Encodings:
    """The JSON of the latest snapshot by selection: `all`, `none`, `DEVICE` or `DEVICE/PORT`."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._snapshot: NodeSnapshot | None = None
        self._made: dict[str, bytes] = {}

    def of(self, snapshot: NodeSnapshot, selection: str) -> bytes:
        """UTF-8 JSON; raises UnknownSelection. At most one entry a port and device is kept, of one snapshot alone."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._made.clear()
        body = self._made.get(selection)
        if body is None:
            body = self._made[selection] = self._encoder.encode(select(snapshot, selection))
        return body


def select(snapshot: NodeSnapshot, selection: str) -> NodeSnapshot:
    """The snapshot with the counters of `selection` alone; a port's come with those of its whole device."""
    if selection == "all":
        return snapshot
    if selection == "none":
        return msgspec.structs.replace(snapshot, counters=())
    device, port = find(snapshot, selection)
    counters = tuple(
        row for row in snapshot.counters if row.device == device and (port is None or row.port in (None, port))
    )
    return msgspec.structs.replace(snapshot, counters=counters)


def find(snapshot: NodeSnapshot, name: str) -> tuple[str, int | None]:
    """`mlx5_0/1` -> its device and port, `mlx5_0` -> the device; raises UnknownSelection for what is not there."""
    for port in snapshot.ports:
        if name == f"{port.device}/{port.port}":
            return port.device, port.port
    for device in snapshot.devices:
        if name == device.device:
            return device.device, None
    raise UnknownSelection(f"this node has no {name}")
