"""What the whole node has: kernel, modules and their versions, settings that RDMA depends on. Slow loop only."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

from agent.readers.netlink import Netlink
from agent.readers.pci import Buses
from agent.readers.root import Root
from diagnostics.model import Host

MODULES = (
    "ib_core", "ib_uverbs", "ib_umad", "ib_ipoib", "rdma_cm", "rdma_ucm",
    "mlx5_core", "mlx5_ib", "mlx4_core", "mlx4_ib", "irdma", "bnxt_re", "efa", "hfi1", "ib_qib", "hns_roce_hw_v2",
    "ionic_rdma", "erdma", "mana_ib", "iw_cxgb4", "qedr", "rdma_rxe", "siw",
    "nvidia", "nvidia_peermem", "nv_peer_mem", "gdrdrv", "amdgpu",
)  # fmt: skip
PEER_MEMORY = ("nvidia_peermem", "nv_peer_mem")
LIBVERBS_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib", "lib64")
IOMMU_TYPES = {"identity": "passthrough", "DMA": "translated", "DMA-FQ": "translated"}
"""/sys/kernel/iommu_groups/N/type (Documentation/ABI/testing/sysfs-kernel-iommu_groups)."""


NetnsMode = Literal["shared", "exclusive"]


class CpuTimes(NamedTuple):
    """Of /proc/stat, in ticks since boot."""

    busy: int
    total: int


def read_host(root: Root, buses: Buses, functions: list[str], cpu_percent: float | None) -> Host:
    """`functions` are the PCI folders of the RDMA devices. Facts of the running system alone are None in a capture."""
    modules = read_modules(root)
    doca = modules.get("mlx5_core")
    memory = read_memory(root)
    soft_limit, unlimited = read_memlock() if root.live else (None, None)
    return Host(
        kernel=read_kernel(root),
        driver_version=doca,
        driver_kind=("doca" if doca else "inbox") if "mlx5_core" in modules else None,
        modules=modules,
        rdma_core=read_rdma_core(root),
        netns_mode=read_netns_mode() if root.live else None,
        memlock_bytes=soft_limit,
        memlock_unlimited=unlimited,
        iommu=read_iommu(root, functions),
        peer_memory=next((name for name in PEER_MEMORY if name in modules), None),
        cpu_percent=cpu_percent,
        memory_bytes=memory.get("MemTotal"),
        memory_available_bytes=memory.get("MemAvailable"),
        gpus=buses.gpus,
        pci_functions=buses.functions,
    )


def read_kernel(root: Root) -> str | None:
    if root.live:
        return os.uname().release
    release = root.read_fact("proc/sys/kernel/osrelease")
    if release:
        return release
    words = (root.read_fact("proc/version") or "").split()
    return words[2] if len(words) > 2 and words[:2] == ["Linux", "version"] else None


def read_modules(root: Root) -> dict[str, str | None]:
    """Loaded RDMA and GPU modules. Only packaged drivers (DOCA, MOFED) have a version; inbox ones are the kernel's."""
    loaded = {line.split(" ", 1)[0] for line in (root.read_text("proc/modules", 1 << 18) or "").splitlines()}
    found = {}
    for name in MODULES:
        version = root.read_fact(f"sys/module/{name}/version")
        if version or name in loaded or root.is_dir(f"sys/module/{name}"):
            found[name] = version
    return found


def read_rdma_core(root: Root) -> str | None:
    """`44.0` of the file that libibverbs.so.1 points to: libibverbs.so.1.14.44.0."""
    for folder in LIBVERBS_FOLDERS:
        target = root.link(f"{folder}/libibverbs.so.1") or ""
        numbers = target.partition(".so.")[2].split(".")
        if len(numbers) == 4:
            return ".".join(numbers[2:])
    return None


def read_netns_mode() -> NetnsMode | None:
    """How RDMA devices are shared between network namespaces, as netlink tells."""
    try:
        netlink = Netlink()
    except OSError:
        return None
    try:
        return netlink.netns_mode()
    except OSError:
        return None
    finally:
        netlink.close()


def read_memlock() -> tuple[int | None, bool]:
    """(soft limit of this process in bytes, unlimited)."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    unlimited = soft in (resource.RLIM_INFINITY, -1)
    return (None if unlimited else soft), unlimited


def read_iommu(root: Root, functions: list[str]) -> str | None:
    """How the RDMA functions' DMA is translated; `off` where the kernel has no IOMMU group at all."""
    kinds = {IOMMU_TYPES.get(root.read_fact(f"{folder}/iommu_group/type") or "") for folder in functions}
    for kind in ("translated", "passthrough"):
        if kind in kinds:
            return kind
    groups = root.find("sys/kernel/iommu_groups")
    return "off" if groups == [] and root.live else None


def read_memory(root: Root) -> dict[str, int]:
    """Name -> bytes, of /proc/meminfo."""
    found = {}
    for line in (root.read_text("proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            found[name] = int(words[0]) * 1024
    return found


def read_cpu(root: Root) -> CpuTimes | None:
    """The first line of /proc/stat: user nice system idle iowait irq softirq steal."""
    words = (root.read_text("proc/stat") or "").partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu" or not all(word.isdigit() for word in words[1:9]):
        return None
    times = [int(word) for word in words[1:9]]
    return CpuTimes(sum(times) - times[3] - times[4], sum(times))


def cpu_percent(before: CpuTimes | None, after: CpuTimes | None) -> float | None:
    if before is None or after is None or after.total <= before.total:
        return None
    return round(100.0 * (after.busy - before.busy) / (after.total - before.total), 1)


def node_name(root: Root, given: str | None) -> str:
    """Given, else the tree's etc/hostname, else (of a capture) the last part of its path, else this host's name."""
    if given:
        return given
    if root.live:
        return os.environ.get("NODE_NAME") or os.uname().nodename
    told = root.read_fact("etc/hostname") if root.is_file("etc/hostname") else None
    return told or os.path.basename(root.path) or "capture"


def read_boot_id(root: Root) -> str | None:
    name = "proc/sys/kernel/random/boot_id"
    return root.read_fact(name) if root.is_file(name) else None
