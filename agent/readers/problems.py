"""What went wrong, in words: what, where, since when, and what to do."""

from __future__ import annotations

import errno

from agent.readers.device import CLASS
from agent.readers.root import Root
from agent.readers.watched import Watched
from agent.readers.worker import Worker
from diagnostics.model import Host, Problem


def of_device(watched: Watched) -> list[Problem]:
    """Of a device that hangs, or whose reader failed."""
    name, condition = f"devices/{watched.reader.name}", watched.condition
    if condition.stale_since is not None:
        where = watched.reader.doing or "its files"
        return [
            Problem(
                source=name,
                message=f"a read of {where} hangs since {condition.stale_since}; values are from before",
                hint="firmware that does not answer: see the kernel log; a reset of the device ends it",
            )
        ]
    return of_worker(name, watched.worker, float("inf"))


def of_worker(source: str, worker: Worker, patience_s: float) -> list[Problem]:
    """Of the host's or the processes' reader."""
    if worker.hangs(patience_s):
        return [Problem(source=source, message="a read hangs; what is shown is from before")]
    if worker.error is not None:
        return [Problem(source=source, message=f"could not be read: {type(worker.error).__name__}: {worker.error}")]
    return []


def not_listed(error: OSError) -> Problem:
    """Which devices there are cannot be known now."""
    hint = "run as root" if error.errno in (errno.EACCES, errno.EPERM) else "see the kernel log and `ulimit -n`"
    return Problem(
        source="devices",
        message=f"/{CLASS} cannot be listed: {error.strerror}; devices that came or went since are not known",
        hint=hint,
    )


def no_device(node: str, root: Root, host: Host, *, listed: bool) -> Problem:
    """Why there is no RDMA device, and what to do. `listed`: the class folder is there, and empty."""
    missing = f"/{CLASS} is empty" if listed else f"/{CLASS} is missing: no RDMA driver is loaded"
    cards = [function for function in host.pci_functions if function.rdma is None]
    if not cards:
        seen = "" if root.live else "; the capture holds no PCI function of an RDMA card either"
        return Problem(
            source="devices",
            message=f"no RDMA device on {node}: {missing}{seen}",
            hint="load the card's driver (modprobe mlx5_ib), or see whether the card is there: lspci -d 15b3:",
        )
    first = cards[0]
    many = "s" if len(cards) > 1 else ""
    return Problem(
        source="devices",
        message=(
            f"no RDMA device on {node}: {missing}; {len(cards)} PCI function{many} of an RDMA card: {first.address} "
            f"{first.card or first.device_id}, driver {first.driver or 'none'}"
        ),
        hint="modprobe mlx5_ib, or see why the driver failed: rdmatop explain device-missing",
    )
