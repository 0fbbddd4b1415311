"""Layer link: devices that should be here and are not."""

from __future__ import annotations

from collections.abc import Iterator

from diagnostics.checks.base import (
    Judgement,
    Raised,
    State,
    Unjudged,
    check,
    fact,
)
from diagnostics.model import Device, PciFunction


@check(
    "device-missing",
    layer="link",
    title="An RDMA device is missing",
    hint="see which driver holds the function (lspci -k), modprobe mlx5_ib, and dmesg for why it failed",
    follows=("kernel-log",),
)
def device_missing(state: State) -> Judgement:
    """Meaning: a PCI function of an RDMA card has no RDMA device, a device that was here is gone, or there are fewer
    devices or ports than the manifest or the peers have. The driver is not loaded, or failed, or the card is gone.

    Evidence: the PCI functions of the card families, their drivers and RDMA devices. Functions given to a guest
    (vfio-pci), virtual functions, the second function of a bond and devices moved into a pod's namespace (exclusive
    mode) are not missing.

    Next: lspci -k -s ADDRESS; dmesg; the driver pod's log.
    """
    yield from _gone(state)
    yield from _functions_without(state)
    wanted = state.manifest.devices
    present = sum(1 for device in state.snapshot.devices if device.gone_since is None)
    if wanted is not None and present < wanted:
        yield Raised(
            "critical",
            f"{present} RDMA devices of the {wanted} that the manifest names",
            key="manifest",
            evidence=(fact("devices", float(present), against=float(wanted), source="manifest"),),
        )
    yield from _fewer_ports(state)
    if not state.snapshot.devices and not state.snapshot.host.pci_functions and not state.memory.devices:
        yield Unjudged("unknown", "there is no RDMA device, and no PCI function of an RDMA card was found")


def _gone(state: State) -> Iterator[Raised]:
    now_here = {device.device for device in state.snapshot.devices if device.gone_since is None}
    by_name = {device.device: device for device in state.snapshot.devices}
    for name in state.memory.devices:
        if name in now_here:
            continue
        device = by_name.get(name)
        software = device is not None and device.function == "virtual"
        exclusive = state.snapshot.host.netns_mode == "exclusive"
        yield Raised(
            "info" if exclusive else "warning" if software else "critical",
            f"{name} is gone" + (": perhaps in a pod, the RDMA namespace mode is exclusive" if exclusive else ""),
            name,
            evidence=(fact(f"pci_address {device.pci_address}", None),)
            if device is not None and device.pci_address
            else (),
        )


def _functions_without(state: State) -> Iterator[Raised]:
    functions = [each for each in state.snapshot.host.pci_functions if each.function != "vf"]
    if not functions:
        return
    lacking = [each for each in functions if _lacks_device(state, each)]
    with_device = len(functions) - len([each for each in functions if each.rdma is None])
    if lacking and not state.snapshot.devices:
        first = lacking[0]
        drivers = ", ".join(sorted({each.driver or "none" for each in lacking}))
        yield Raised(
            "critical",
            f"no RDMA device, though {len(lacking)} PCI function{'s' if len(lacking) > 1 else ''} could carry one: "
            f"{first.address} {first.card or first.device_id}, driver {drivers}",
            evidence=(fact("PCI functions", float(len(functions))), fact("RDMA devices", 0.0)),
            hint="modprobe mlx5_ib, or see why the driver pod failed",
        )
        return
    for each in lacking:
        peers = [other for other in functions if other.device_id == each.device_id and other.rdma]
        yield Raised(
            "warning" if peers else "info",
            f"{each.address} ({each.card or each.device_id}, driver {each.driver or 'none'}) has no RDMA device"
            + (f"; {len(peers)} of its kind have one" if peers else ""),
            key=each.address,
            evidence=(fact("functions with an RDMA device", float(with_device), against=float(len(functions))),),
        )


def _lacks_device(state: State, function: PciFunction) -> bool:
    if function.rdma is not None or (function.driver or "").startswith("vfio") or function.driver == "pci-stub":
        return False
    if state.snapshot.host.netns_mode == "exclusive":
        return False
    slot = function.address.rpartition(".")[0]
    for device in state.snapshot.devices:
        if device.slave == function.address:
            return False
        if device.bond and (device.pci_address or "").rpartition(".")[0] == slot:
            return False
        if device.pci_address == function.address:
            return False
    return True


def _fewer_ports(state: State) -> Iterator[Raised]:
    by_type: dict[str, list[Device]] = {}
    for device in state.snapshot.devices:
        if device.hca_type and device.gone_since is None and device.function == "pf":
            by_type.setdefault(f"{device.hca_type} {device.board_id}", []).append(device)
    for devices in by_type.values():
        most = max(device.ports for device in devices)
        alike = sum(1 for device in devices if device.ports == most)
        for device in devices:
            if device.ports < most and alike >= 2:
                yield Raised(
                    "warning",
                    f"{device.device} has {device.ports} ports, its peers have {most}",
                    device.device,
                    key="ports",
                    evidence=(fact("ports", float(device.ports), against=float(most), source="peers"),),
                )
