"""What is taken out of an unpacked kernel package: the image that QEMU starts, and modules in loading order."""

import lzma
import os
import struct
import subprocess
import zlib
from pathlib import Path
from typing import NamedTuple


class Kernel(NamedTuple):
    """An unpacked kernel: `root` holds boot/ and lib/modules/."""

    root: Path
    release: str

    @property
    def image(self) -> Path:
        return self.root / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        return self.root / "lib" / "modules" / self.release


def newest(root: Path) -> Kernel:
    """The newest kernel below `root`. Raises FileNotFoundError when there is none."""
    images = sorted((root / "boot").glob("vmlinuz-*"))
    if not images:
        raise FileNotFoundError(f"no kernel under {root}/boot")
    return Kernel(root, images[-1].name.removeprefix("vmlinuz-"))


def unpacked_image(image: bytes) -> bytes | None:
    """The ELF inside a bzImage: QEMU starts it by PVH, and the guest need not unpack it, which takes TCG 10 s.

    Offsets are those of the x86 boot protocol (Documentation/arch/x86/boot.rst): setup_sects, payload_offset and
    payload_length. None for a compression that is not known.
    """
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1F1] or 4) + 1) * 512 + offset
    return decompressed(image[start : start + length])


def decompressed(packed: bytes) -> bytes | None:
    """xz, gzip or zstd by its magic number; ignores what follows the stream. None for anything else."""
    if packed.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(packed)
    if packed.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31).decompress(packed)
    if packed.startswith(b"\x28\xb5\x2f\xfd"):
        # zstd complains of the four bytes of length that the kernel's build appends, after it has written everything
        return subprocess.run(["zstd", "-dcq"], input=packed, capture_output=True, check=False).stdout or None
    return None


def modules_in_order(kernel: Kernel, wanted: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """(file name, uncompressed module), each after what it depends on; those built into the kernel are left out."""
    index = kernel.modules / "modules.dep"
    if not index.exists():
        subprocess.run(["depmod", "-b", str(kernel.root), kernel.release], check=True)
    files, needs = {}, {}
    for line in index.read_text().splitlines():
        file, _, rest = line.partition(":")
        name = os.path.basename(file).split(".ko")[0].replace("-", "_")
        files[name], needs[name] = file, rest.split()
    order: dict[str, None] = {}
    for name in wanted:
        if name in files:
            # modules.dep names the nearest need first
            order |= dict.fromkeys([*reversed(needs[name]), files[name]])
    return [(os.path.basename(file).split(".ko")[0] + ".ko", read_module(kernel.modules / file)) for file in order]


def read_module(path: Path) -> bytes:
    data = path.read_bytes()
    return data if path.suffix == ".ko" else decompressed(data) or data
