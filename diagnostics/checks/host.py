"""Layer host: driver, firmware and settings of the node that RDMA depends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from diagnostics.checks.base import Judgement, Raised, State, Threshold, Unjudged, check, fact, number, row_of, span
from diagnostics.checks.errors import OURS
from diagnostics.model import Device, Evidence

if TYPE_CHECKING:
    from diagnostics.kernel_log import LogEvent

DRIVER_MODULES = ("mlx5_core", "mlx5_ib", "mlx4_core", "mlx4_ib", "ib_core", "ib_uverbs")


@check(
    "driver-mismatch",
    layer="host",
    title="RDMA modules of different releases are loaded",
    hint="reload the driver (openibd restart, or the driver pod) so that all modules come from one release",
)
def driver_mismatch(state: State) -> Judgement:
    """Meaning: the modules of a packaged driver (DOCA-OFED, MLNX_OFED) belong together. After a half-done upgrade, old
    and new ones are loaded side by side, and symbols or structures do not fit.

    Evidence: the versions of the loaded modules. Inbox modules have no version: they are the kernel's.

    Next: modinfo mlx5_core; the log of the driver pod.
    """
    modules = state.snapshot.host.modules
    loaded = {name: modules[name] for name in DRIVER_MODULES if name in modules}
    if not loaded:
        yield Unjudged("unknown", "no RDMA module is known to be loaded")
        return
    versions = {name: version for name, version in loaded.items() if version}
    if len(set(versions.values())) > 1:
        said = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield Raised(
            "warning",
            f"RDMA modules of different releases are loaded: {said}",
            evidence=(fact("releases", float(len(set(versions.values()))), against=1.0, source="loaded modules"),),
        )


@check(
    "firmware-mixed",
    layer="host",
    title="Equal cards run different firmware",
    hint="update the odd one (mstflint, or the NIC configuration operator) when the node is drained",
)
def firmware_mixed(state: State) -> Judgement:
    """Meaning: cards of one product (equal PSID) on this node have different firmware. They may behave differently
    under congestion and be hard to compare; it is no fault by itself, so a note.

    Evidence: `fw_ver` and `board_id`.

    Next: mstflint -d ADDRESS query.
    """
    by_board: dict[str, list[Device]] = {}
    for device in state.snapshot.devices:
        if (
            device.board_id
            and device.firmware
            and device.function not in ("vf", "sf", "virtual")
            and device.gone_since is None
        ):
            by_board.setdefault(f"{device.board_id} {device.hca_type}", []).append(device)
    if not by_board:
        yield Unjudged(
            "unknown" if state.snapshot.devices else "skip",
            "no device says its PSID and firmware" if state.snapshot.devices else "there is no device",
        )
        return
    for devices in by_board.values():
        versions: dict[str, list[str]] = {}
        for device in devices:
            versions.setdefault(device.firmware or "", []).append(device.device)
        if len(versions) > 1:
            said = "; ".join(f"{version} on {', '.join(names)}" for version, names in sorted(versions.items()))
            first = devices[0]
            yield Raised(
                "info",
                f"{first.card or first.board_id} with different firmware: {said}",
                key=first.board_id or "",
                evidence=(fact("firmware versions", float(len(versions)), against=1.0, source="cards of one PSID"),),
            )


@check(
    "memlock",
    layer="host",
    title="The limit on locked memory is low",
    hint="raise it for jobs: LimitMEMLOCK=infinity for containerd and kubelet, ulimit -l unlimited, IPC_LOCK for pods",
    thresholds=(
        Threshold(
            "bytes",
            8 * 1024**2,
            "bytes",
            None,
            "Linux's default RLIMIT_MEMLOCK; UCX, NCCL and perftest manuals ask for unlimited",
        ),
    ),
)
def memlock(state: State) -> Judgement:
    """Meaning: RDMA locks the memory that it registers. With a low limit registration fails (ENOMEM, or NCCL falls back
    to sockets). What is read here is the limit of this process; a job may have another one, so it is a note.

    Evidence: RLIMIT_MEMLOCK of rdmatop itself.

    Next: ulimit -l in the job.
    """
    host = state.snapshot.host
    if host.memlock_unlimited is None and host.memlock_bytes is None:
        yield Unjudged("unknown", "the limit on locked memory is not known here")
        return
    limit = state.threshold(row_of("memlock"), "bytes")
    if not host.memlock_unlimited and host.memlock_bytes is not None and host.memlock_bytes <= limit.value:
        yield Raised(
            "info",
            f"locked memory of this process is limited to {number(host.memlock_bytes / 1024)} KiB; a job's may differ",
            evidence=(
                fact("RLIMIT_MEMLOCK", float(host.memlock_bytes), "bytes", against=limit.value, source=limit.publisher),
            ),
        )


@check(
    "iommu",
    layer="host",
    title="The IOMMU translates every DMA",
    hint="boot with iommu=pt (and intel_iommu=on or amd_iommu=on) where no guest needs translation",
)
def iommu(state: State) -> Judgement:
    """Meaning: with translation on, each DMA of the NIC goes through the IOMMU: small messages get slower, and traffic
    between GPU and NIC goes up to the root complex and back. Passthrough (iommu=pt) keeps the protection for guests
    without that. With GPUs it is a warning, else a note.

    Evidence: the type of the IOMMU groups of the RDMA functions.

    Next: /proc/cmdline; NVIDIA's GPUDirect RDMA documentation on IOMMU.
    """
    mode = state.snapshot.host.iommu
    if mode is None:
        yield Unjudged("unknown", "the IOMMU's mode could not be read")
    elif mode == "translated":
        gpus = state.snapshot.host.gpus
        yield Raised(
            "warning" if gpus else "info",
            "the IOMMU translates the DMA of the RDMA devices" + (f", on a node with {gpus} GPUs" if gpus else ""),
            evidence=(
                fact("iommu translated", None, source="NVIDIA GPUDirect RDMA documentation: IOMMU off or passthrough"),
            ),
        )


@check(
    "netns-mode",
    layer="host",
    title="The RDMA namespace mode is exclusive",
    hint="rdma system set netns shared, unless the RDMA CNI of the SR-IOV operator is meant to be used",
)
def netns_mode(state: State) -> Judgement:
    """Meaning: in exclusive mode a device belongs to one network namespace: the host loses it while a pod has it, and
    the shared device plugin refuses to work. The RDMA CNI needs this mode, so it is a note.

    Evidence: `rdma system`.

    Next: decide for one of the two plugins.
    """
    mode = state.snapshot.host.netns_mode
    if mode is None:
        yield Unjudged("unknown", "the mode could not be asked of the kernel")
    elif mode == "exclusive":
        yield Raised(
            "info",
            "the RDMA namespace mode is exclusive: devices leave the host while pods hold them",
            evidence=(fact("netns exclusive", None, source="rdma system"),),
        )


@check(
    "kernel-log",
    layer="host",
    title="The kernel complains about an RDMA device",
    hint="dmesg | grep mlx5; send it to the vendor together with mstdump",
    thresholds=(Threshold("recent", 3600, "s", None, OURS + ": a line is shown for an hour"),),
    sticky=True,
)
def kernel_log(state: State) -> Judgement:
    """Meaning: the driver or the PCI core logged something that points at broken hardware: firmware health, cable or
    module, temperature, slot power, PCIe errors, commands that failed. The rules are rows with their publishers.

    Evidence: the line, how often it came, and its rule's publisher. Repeats are counted into one finding.

    Next: what the rule says.
    """
    if state.kernel_log_unread is not None:
        yield Unjudged("unknown", f"the kernel log cannot be read: {state.kernel_log_unread}")
        return
    keep = state.threshold(row_of("kernel-log"), "recent").value
    by_pci = {device.pci_address: device.device for device in state.snapshot.devices if device.pci_address}
    for event in state.kernel_log:
        if state.now - event.last <= keep:
            yield _logged(state, event, by_pci)


def _logged(state: State, event: LogEvent, by_pci: dict[str, str]) -> Raised:
    from diagnostics.kernel_log import RULE  # 4 ms of patterns, for whoever has a log at all

    rule = RULE[event.rule]
    device = by_pci.get(event.pci or "")
    where = device or event.netdev or event.pci or "this node"
    severity = event.severity
    if event.rule == "cable-unplugged" and device is not None and any(
        state.expectation(port).expected == "up" and port.device == device for port in state.ports
    ):  # fmt: skip
        severity = "warning"
    times = "" if event.repeats == 1 else f", {event.repeats} times in {span(max(event.last - event.first, 1.0))}"
    return Raised(
        severity,
        f"{where}: {rule.meaning}{times}: “{event.text[:160]}”",
        device,
        evidence=(
            Evidence(
                name=event.rule,
                value=float(event.repeats),
                unit="lines",
                window_s=max(event.last - event.first, 1.0),
                threshold=0.0,
                source=rule.publisher,
            ),
        ),
        hint=rule.next,
        key=f"{event.rule} {event.pci or event.netdev or ''}",
    )


DMABUF_KERNEL = (5, 12)
"""First kernel whose RDMA core takes dma-buf memory regions (commit bfe0cc6eb249)."""


@check(
    "gpudirect",
    layer="host",
    title="GPUs and NICs do not reach each other directly",
    hint="modprobe nvidia_peermem, or a kernel and GPU driver with dma-buf; nvidia-smi topo -m for the PCIe distance",
    follows=("iommu",),
)
def gpudirect(state: State) -> Judgement:
    """Meaning: GPUDirect RDMA lets the NIC read and write GPU memory. It needs nvidia_peermem loaded, or dma-buf
    support in kernel, driver and library; the IOMMU must not translate; and GPU and NIC should share a PCIe
    switch without ACS redirection. Without it NCCL copies through host memory.

    Evidence: GPUs on the PCI bus, loaded peer memory module, kernel version, IOMMU mode.

    Next: NCCL_DEBUG=INFO says `GDRDMA` in the job's log when it is used.
    """
    host = state.snapshot.host
    if not host.gpus:
        yield Unjudged("unknown", "there is no GPU here" if host.gpus == 0 else "whether there is a GPU is not known")
        return
    yield from _gpudirect(state)


def _gpudirect(state: State) -> Iterator[Raised | Unjudged]:
    host = state.snapshot.host
    unread = ("the PCIe switches between GPU and NIC and their ACS settings",)
    gpus = fact("GPUs", float(host.gpus or 0))
    if host.peer_memory is None:
        kernel = _kernel_version(host.kernel)
        if kernel is not None and kernel < DMABUF_KERNEL:
            yield Raised(
                "warning",
                f"{host.gpus} GPUs, no peer memory module, and kernel {host.kernel} has no dma-buf: no GPUDirect RDMA",
                evidence=(
                    gpus,
                    fact("kernel", kernel[0] + kernel[1] / 100, against=5.12, source="kernel commit bfe0cc6eb249"),
                ),
                unread=unread,
            )
        else:
            yield Raised(
                "info",
                f"{host.gpus} GPUs and no peer memory module: GPUDirect RDMA then needs dma-buf in driver and library",
                evidence=(gpus,),
                unread=(*unread, "whether the GPU driver exports dma-buf"),
            )
    elif host.iommu == "translated":
        yield Raised(
            "warning",
            f"{host.gpus} GPUs with {host.peer_memory}, but the IOMMU translates: GPUDirect RDMA is slow or fails",
            evidence=(gpus,),
            unread=unread,
        )


def _kernel_version(kernel: str | None) -> tuple[int, int] | None:
    parts = (kernel or "").split(".")
    if len(parts) < 2 or not parts[0].isdigit():
        return None
    minor = "".join(letter for letter in parts[1][:4] if letter.isdigit())
    return (int(parts[0]), int(minor)) if minor else None
