"""The guest's first file system: busybox, the modules that reach this machine's files, and the job to run."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.lab.vm.kernel import Kernel, modules_in_order, unpacked_image

HERE = Path(__file__).resolve().parent
FIRST_MODULES = (
    "virtio_mmio",
    "virtio_pci",
    "virtio_console",
    "9pnet_virtio",
    "9p",
    "overlay",
    "virtio_net",
)
DIRECTORY, PROGRAM, FILE = 0o040755, 0o100755, 0o100644


class Entry(NamedTuple):
    name: str
    mode: int
    data: bytes = b""


class BootFiles(NamedTuple):
    image: Path
    initramfs: Path


def cpio(entries: Iterable[Entry]) -> bytes:
    """An archive in the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    out = bytearray()
    for inode, (name, mode, data) in enumerate([*entries, Entry("TRAILER!!!", 0)], 1):
        path = name.encode() + b"\0"
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + path
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def write_atomic(path: Path, data: bytes) -> None:
    """Two that prepare the same file at once must not meet a half of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def prepare(kernel: Kernel, cache: Path) -> BootFiles:
    """The image and the base of the initramfs, made once a kernel and version of the init scripts."""
    cache.mkdir(parents=True, exist_ok=True)
    image = cache / f"vmlinux-{kernel.release}"
    if not image.exists():
        packed = kernel.image.read_bytes()
        write_atomic(image, unpacked_image(packed) or packed)
    scripts = [(HERE / name).read_bytes() for name in ("init.sh", "stage2.sh")]
    stamp = f"{FIRST_MODULES} {kernel.image.stat().st_mtime_ns}".encode()
    base = cache / f"initramfs-{hashlib.sha256(b''.join([*scripts, stamp])).hexdigest()[:16]}"
    if not base.exists():
        write_atomic(base, cpio(base_entries(kernel, *scripts)))
    return BootFiles(image, base)


def base_entries(kernel: Kernel, init: bytes, stage2: bytes) -> list[Entry]:
    busybox = shutil.which("busybox")
    assert busybox is not None, "the command line checks for it"
    modules = modules_in_order(kernel, FIRST_MODULES)
    return [
        *(Entry(name, DIRECTORY) for name in ("bin", "mods", "job", "dev")),
        Entry("bin/busybox", PROGRAM, Path(busybox).read_bytes()),
        Entry("init", PROGRAM, init),
        Entry("stage2", PROGRAM, stage2),
        *(Entry(f"mods/{name}", FILE, data) for name, data in modules),
        Entry("mods/order", FILE, "\n".join(name for name, _ in modules).encode()),
    ]


def job_entries(script: str, variables: Mapping[str, str], stdin: bytes | None) -> list[Entry]:
    """What differs from one run to the next, as an archive of its own behind the base; values are quoted already."""
    entries = [
        Entry("job/run", FILE, script.encode()),
        Entry("job/vars", FILE, "".join(f"{name}={value}\n" for name, value in variables.items()).encode()),
    ]
    return entries if stdin is None else [*entries, Entry("job/stdin", FILE, stdin)]
