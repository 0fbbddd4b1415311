"""Why a run or a device failed, in words that say what to do: completion statuses, memlock, nodes and permissions."""

from __future__ import annotations

import errno
import os
import resource
from typing import NamedTuple


class JobError(Exception):
    """A run that cannot start or go on: what and where, and what to do next."""

    def __init__(self, message: str, hint: str = "", *, port_down: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.port_down = port_down
        """The port was found down: an answer about the port."""


class Status(NamedTuple):
    name: str
    meaning: str


STATUSES: dict[int, Status] = {
    0: Status("SUCCESS", "done"),
    1: Status("LOC_LEN_ERR", "the message does not fit the receive buffer or the device's largest message"),
    2: Status("LOC_QP_OP_ERR", "the queue pair cannot do this operation"),
    3: Status("LOC_EEC_OP_ERR", "the end-to-end context cannot do this operation"),
    4: Status("LOC_PROT_ERR", "the local memory is not registered for it"),
    5: Status("WR_FLUSH_ERR", "flushed: the queue pair had failed before or was taken down"),
    6: Status("MW_BIND_ERR", "the memory window could not be bound"),
    7: Status("BAD_RESP_ERR", "the responder's answer made no sense"),
    8: Status("LOC_ACCESS_ERR", "the local memory may not be written"),
    9: Status("REM_INV_REQ_ERR", "the responder refused the request as invalid: operation or length not allowed there"),
    10: Status("REM_ACCESS_ERR", "the responder refused access to its memory: wrong key, range or right"),
    11: Status("REM_OP_ERR", "the responder failed while it carried out the request"),
    12: Status("RETRY_EXC_ERR", "transport retries exceeded: nobody acknowledges; path, GID, MTU or peer is wrong"),
    13: Status("RNR_RETRY_EXC_ERR", "receiver not ready: it had no receive buffer posted for too long"),
    14: Status("LOC_RDD_VIOL_ERR", "the reliable datagram domains do not match"),
    15: Status("REM_INV_RD_REQ_ERR", "the responder refused the reliable datagram request"),
    16: Status("REM_ABORT_ERR", "the responder aborted"),
    17: Status("INV_EECN_ERR", "no such end-to-end context"),
    18: Status("INV_EEC_STATE_ERR", "the end-to-end context is in the wrong state"),
    19: Status("FATAL_ERR", "the device failed as a whole"),
    20: Status("RESP_TIMEOUT_ERR", "the responder did not answer in time"),
    21: Status("GENERAL_ERR", "a transport error without a name; see the vendor code"),
    22: Status("TM_ERR", "tag matching failed"),
    23: Status("TM_RNDV_INCOMPLETE", "the rendezvous was not completed"),
}
"""enum ibv_wc_status of infiniband/verbs.h; meanings after the InfiniBand specification, volume 1, 11.6.2."""

VENDOR_ERRORS = {
    0x81: "mlx5: the peer did not answer within all retries",
    0x87: "mlx5: receiver-not-ready retries used up",
    0x88: "mlx5: the peer refused the key or the address",
    0x8A: "mlx5: the peer refused the request",
}
"""Syndromes seen with ConnectX-5 and -6; the counters that rise with them are local_ack_timeout_err, rnr_nak_retry_err,
req_remote_access_errors and req_remote_invalid_request."""

HINTS = {
    5: "the first error of the queue pair is the one that counts; look at the kernel log and the port's counters",
    12: "compare local_ack_timeout_err before and after; check GID, MTU, PFC, link; try another --gid-index",
    13: "compare out_of_buffer and rnr_nak_retry_err",
    19: "look at the kernel log for the device's health",
}


def completion_error(status: int, vendor: int, operation: str) -> JobError:
    """A work completion that is not a success, named and explained."""
    name, meaning = STATUSES.get(status, Status(f"status {status}", "unknown completion status"))
    said = VENDOR_ERRORS.get(vendor)
    vendor_text = f"; vendor error {vendor:#x}{f' ({said})' if said else ''}" if vendor else ""
    return JobError(f"{operation} failed with {name} ({status}): {meaning}{vendor_text}", HINTS.get(status, ""))


def human_bytes(count: int) -> str:
    """`65536` -> `64 KiB`; exact numbers only, others stay bytes."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size and count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} B"


def memory_error(wanted_bytes: int, where: str) -> JobError:
    """ENOMEM while memory was registered: nearly always the limit on locked memory."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    limit = "unlimited" if soft == resource.RLIM_INFINITY else human_bytes(soft)
    return JobError(
        f"{where}: cannot lock {human_bytes(wanted_bytes)} of memory for the device; the memlock limit is {limit}",
        "raise it: `ulimit -l unlimited`, LimitMEMLOCK=infinity in the unit, or the capability IPC_LOCK in a container",
    )


def uverbs_node(device: str) -> str | None:
    """`mlx5_0` -> `/dev/infiniband/uverbs0`, by what the kernel says; None when it says nothing."""
    root = "/sys/class/infiniband_verbs"
    try:
        names = os.listdir(root)
    except OSError:
        return None
    for name in names:
        try:
            with open(f"{root}/{name}/ibdev", encoding="ascii", errors="replace") as file:
                if file.read().strip() == device:
                    return f"/dev/infiniband/{name}"
        except OSError:
            continue
    return None


def open_error(device: str, code: int | None) -> JobError:
    """Why a device cannot be opened. libibverbs says ENOENT for nearly everything, so the node itself is tried."""
    node = uverbs_node(device)
    if node is None:
        return JobError(f"{device} cannot be opened: {_errno_text(code)}", "is the device still there? `rdma link`")
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return JobError(
            f"{device} cannot be opened: there is no {node} here",
            "the container needs the device: an rdma/* resource, or privileged with the host's /dev/infiniband",
        )
    except PermissionError as denied:
        how = "the device cgroup refuses it" if denied.errno == errno.EPERM else "its mode does not allow it"
        return JobError(f"{device} cannot be opened: no permission for {node} ({how})", "run as root, or chmod 0666 it")
    except OSError as failed:
        return JobError(f"{device} cannot be opened: {node}: {failed.strerror}", "look at the kernel log")
    return JobError(
        f"{device} cannot be opened: {_errno_text(code)}",
        "is libibverbs' provider for it installed (package ibverbs-providers)?",
    )


def _errno_text(code: int | None) -> str:
    return os.strerror(code) if code and code > 0 else "the verbs library gives no reason"
