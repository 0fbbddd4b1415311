"""The QEMU command line of one guest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

Accelerator = Literal["kvm", "tcg"]


class Hardware(NamedTuple):
    """What the guest has, and what of the host it sees."""

    cpus: int = 2
    memory_mib: int = 2048
    machine: str = "microvm"
    writable: tuple[str, ...] = ()
    """Host folders mounted read-write at the same path."""
    forward: tuple[tuple[int, int], ...] = ()
    """(port of the host's loopback, port of the guest)."""
    append: str = ""
    extra: tuple[str, ...] = ()
    """Further words for QEMU: disks, network cards."""


def arguments(
    hardware: Hardware,
    accelerator: Accelerator,
    image: Path,
    initramfs: Path,
    console: Path,
    pipes: Mapping[str, int],
    *,
    verbose: bool = False,
) -> list[str]:
    """`pipes`: virtio-serial port name -> the descriptor that its bytes go to."""
    bus = "device" if hardware.machine == "microvm" else "pci"
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    argv += ["-M", hardware.machine, "-smp", str(hardware.cpus), "-m", str(hardware.memory_mib)]
    if accelerator == "kvm":
        argv += ["-accel", "kvm", "-cpu", "host,arch-capabilities=off"]
    else:
        argv += ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off"]
    argv += ["-kernel", str(image), "-initrd", str(initramfs)]
    argv += ["-append", kernel_line(hardware.append, accelerator, verbose)]
    argv += ["-chardev", f"file,id=console,path={console}", "-serial", "chardev:console"]
    argv += ["-device", f"virtio-serial-{bus}"]
    for number, (name, descriptor) in enumerate(pipes.items(), 1):
        argv += ["-add-fd", f"fd={descriptor},set={number}"]
        argv += ["-chardev", f"file,id={name},path=/dev/fdset/{number},append=on"]
        argv += ["-device", f"virtserialport,chardev={name},name={name}"]
    argv += shared_folder("root", "/", "rootfs", bus, ",readonly=on")
    for number, folder in enumerate(hardware.writable):
        argv += shared_folder(f"rw{number}", folder, f"rw{number}", bus)
    if hardware.forward:
        rules = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{guest}" for host, guest in hardware.forward)
        argv += ["-netdev", f"user,id=net,restrict=on{rules}", "-device", f"virtio-net-{bus},netdev=net"]
    return [*argv, *hardware.extra]


def shared_folder(name: str, path: str, tag: str, bus: str, options: str = "") -> list[str]:
    where = f"local,id={name},path={path.replace(',', ',,')},security_model=none,multidevs=remap{options}"
    return ["-fsdev", where, "-device", f"virtio-9p-{bus},fsdev={name},mount_tag={tag}"]


def kernel_line(append: str, accelerator: Accelerator, verbose: bool) -> str:
    words = ["console=ttyS0 panic=-1 reboot=t mitigations=off nokaslr random.trust_cpu=on tsc=reliable"]
    words += ["no_timer_check audit=0 selinux=0 apparmor=0 nowatchdog cryptomgr.notests"]
    words += [] if verbose else ["quiet loglevel=3"]
    if accelerator == "tcg" and (khz := host_tsc_khz()):
        # TCG hands the host's TSC on; the guest would measure it against the PIT, and hang when the host is busy
        words.append(f"tsc_early_khz={khz}")
    return " ".join([*words, append])


def host_tsc_khz() -> int | None:
    """From bogomips, which on x86 is twice the TSC's MHz; None where the kernel does not say."""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("bogomips"):
                return int(float(line.split(":")[1]) * 500)
    return None
