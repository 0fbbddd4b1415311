"""Who holds queue pairs: queue pair -> process -> cgroup -> pod, of any pod, whatever its network namespace."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from agent.readers.netlink import Netlink, QueuePair
from agent.readers.root import Root, clean
from diagnostics.model import Problem, Process
from diagnostics.natural import natural


class PodName(NamedTuple):
    """What the kubelet or the API server calls it."""

    namespace: str
    pod: str
    container: str | None


Resolver = Callable[[str, str | None], PodName | None]
"""(pod uid, container id) -> its name, where somebody knows it."""


class Owner(NamedTuple):
    """Of a cgroup path."""

    pod_uid: str | None
    container_id: str | None


HEX = frozenset("0123456789abcdef")
UID_SHAPE = (8, 4, 4, 4, 12)
SHORT_ID = 12
"""Of a container's id, as `crictl ps` shows it."""


def parse_cgroup(content: str) -> Owner:
    """The pod and container of a /proc/PID/cgroup, of v1 or v2.

    The kubelet makes the folders in one of two ways: cgroupfs, `kubepods/burstable/pod<uid>/<id>`, or systemd,
    `kubepods-burstable-pod<uid with _>.slice/cri-containerd-<id>.scope`. Seen from inside another container's cgroup
    namespace the path begins with `/../..` and may have lost everything above the pod.
    """
    pod = container = None
    for line in content.splitlines():
        path = line.split(":", 2)[-1]
        for part in path.split("/"):
            pod = pod or pod_uid_of(part)
            container = container_id_of(part) or container
        if pod:
            break
    return Owner(pod, container)


def pod_uid_of(part: str) -> str | None:
    """`pod<uid>`, `kubepods-besteffort-pod<uid with _>.slice`; a static pod's uid is 32 hex digits without dashes."""
    tail = part.removesuffix(".slice").rpartition("pod")[2]
    if part.removesuffix(".slice") == tail:
        return None
    uid = tail.replace("_", "-")
    groups = uid.split("-")
    whole = tuple(len(group) for group in groups) == UID_SHAPE or (len(groups) == 1 and len(uid) == 32)
    return uid if whole and not set(uid) - HEX - {"-"} else None


def container_id_of(part: str) -> str | None:
    """`<64 hex>`, `cri-containerd-<64 hex>.scope`, `crio-…`, `docker-…`, `libpod-…`."""
    tail = part.removesuffix(".scope").rpartition("-")[2].rpartition(":")[2]
    return tail if len(tail) == 64 and not set(tail) - HEX else None


class Users:
    """uid -> name, asked once each."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def name(self, uid: int) -> str:
        if uid not in self._names:
            import pwd

            try:
                self._names[uid] = pwd.getpwuid(uid).pw_name
            except KeyError:
                self._names[uid] = str(uid)
        return self._names[uid]


def count(queue_pairs: list[QueuePair]) -> dict[tuple[int | None, int | None, str | None], dict[str, int]]:
    """(port, pid, kernel module) -> queue pairs by type."""
    groups: dict[tuple[int | None, int | None, str | None], dict[str, int]] = {}
    for pair in queue_pairs:
        types = groups.setdefault((pair.port, pair.pid or None, pair.kernel), {})
        kind = pair.type or "unknown"
        types[kind] = types.get(kind, 0) + 1
    return groups


def read_all(
    root: Root, node: str, users: Users, resolve: Resolver | None
) -> tuple[tuple[Process, ...], tuple[Problem, ...]]:
    """The owners of every device's queue pairs; a device that does not tell hides no other."""
    found: list[Process] = []
    failed: list[Problem] = []
    try:
        netlink = Netlink()
    except OSError as error:
        # EPROTONOSUPPORT: no RDMA in this kernel, and no queue pairs either
        return (), () if error.errno == errno.EPROTONOSUPPORT else (no_queue_pairs(None, error),)
    try:
        for device in netlink.devices():
            try:
                found += read_processes(root, netlink, device.number, node, device.name, users, resolve)
            except OSError as error:
                failed.append(no_queue_pairs(device.name, error))
    except OSError as error:
        failed.append(no_queue_pairs(None, error))
    finally:
        netlink.close()
    found.sort(key=lambda each: (natural(each.device), each.port or 0, each.pid or 0, each.command or ""))
    return tuple(found), tuple(failed)


def no_queue_pairs(device: str | None, error: OSError) -> Problem:
    """Who uses a device, or all of them, cannot be known now."""
    return Problem(
        source="processes",
        message=f"the kernel does not list the queue pairs{f' of {device}' if device else ''}: {error.strerror}",
        hint="run as root in the host's network and PID namespaces",
    )


def read_processes(
    root: Root, netlink: Netlink, index: int, node: str, device: str, users: Users, resolve: Resolver | None
) -> list[Process]:
    """The owners of a device's queue pairs. Raises OSError where the kernel does not tell.

    From another PID namespace the kernel names no pid, and shows no queue pair but its own namespace's.
    """
    found = []
    for (port, pid, kernel), types in count(netlink.queue_pairs(index)).items():
        command, user, owner = (None, None, Owner(None, None)) if pid is None else _describe(root, pid, users)
        known = resolve(owner.pod_uid, owner.container_id) if resolve and owner.pod_uid else None
        short = owner.container_id[:SHORT_ID] if owner.container_id else None
        found.append(
            Process(
                node=node,
                pid=pid,
                command=f"[{kernel}]" if pid is None and kernel else command,
                user=user,
                device=device,
                port=port,
                qps=sum(types.values()),
                qp_types=dict(sorted(types.items())),
                namespace=known.namespace if known else None,
                pod=known.pod if known else None,
                container=(known.container if known else None) or short,
                pod_uid=owner.pod_uid,
            )
        )
    return found


def _describe(root: Root, pid: int, users: Users) -> tuple[str | None, str | None, Owner]:
    folder = f"proc/{pid}"
    try:
        user = users.name(os.stat(root.real(folder)).st_uid)
    except OSError:
        user = None
    command = root.read_text(f"{folder}/comm")
    owner = parse_cgroup(root.read_text(f"{folder}/cgroup") or "")
    return (clean(command) if command else None), user, owner
