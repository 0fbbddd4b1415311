"""What differs between the distributions that the lab runs on: a row each."""

import platform
from typing import NamedTuple

TOOLS = (
    "qemu-system-x86",
    "busybox-static",
    "kmod",
    "zstd",
    "iproute2",
    "rdma-core",
    "ibverbs-providers",
    "ibverbs-utils",
    "perftest",
    "rdmacm-utils",
    "infiniband-diags",
    "ibsim-utils",
    "opensm",
    "gcc",
    "libc6-dev",
    "libibverbs-dev",
    "tmux",
)
"""Of the virtual machine, of traffic in it, of the simulated InfiniBand fabric, and of the fake verbs library."""


class Distribution(NamedTuple):
    """Where a distribution keeps its newest kernel, and whether the lab's module fits it."""

    id: str
    version: str
    """A prefix of VERSION_ID; "" is any."""
    kernel: str
    """The package that always depends on the newest kernel."""
    is_mlx5_like: bool
    companions: tuple[str, ...] = ()
    """Packages beside linux-image-RELEASE that hold its modules."""


ROWS = (
    Distribution("debian", "12", "linux-image-amd64", is_mlx5_like=True),
    Distribution("debian", "", "linux-image-amd64", is_mlx5_like=False),
    Distribution("ubuntu", "", "linux-image-generic", False, ("linux-modules-", "linux-modules-extra-")),
)


def this_distribution() -> Distribution | None:
    """The row of this machine; None for one that the lab does not know."""
    try:
        facts = platform.freedesktop_os_release()
    except OSError:
        return None
    version = facts.get("VERSION_ID", "")
    names = [facts.get("ID", ""), *facts.get("ID_LIKE", "").split()]
    return next((row for name in names for row in ROWS if row.id == name and version.startswith(row.version)), None)
