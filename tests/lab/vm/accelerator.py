"""Whether KVM is worth a try. It often is not: absent, not permitted, or an emulation that cannot run the guest."""

import os
from pathlib import Path

from tests.lab.vm.initramfs import write_atomic
from tests.lab.vm.qemu import Accelerator

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def candidates(wanted: str, cache: Path) -> list[Accelerator]:
    """In the order to be tried. `wanted`: auto, kvm or tcg."""
    if wanted == "kvm":
        return ["kvm"]
    if wanted == "tcg" or not is_kvm_usable() or has_failed(cache):
        return ["tcg"]
    return ["kvm", "tcg"]


def is_kvm_usable() -> bool:
    """kvm_pvm opens like KVM, but dies in the guest's first `lock cmpxchg16b`."""
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and not os.path.isdir("/sys/module/kvm_pvm")


def has_failed(cache: Path) -> bool:
    """Whether KVM failed before, since this machine was booted."""
    verdict = cache / "kvm-failed"
    return verdict.exists() and verdict.read_text() == BOOT_ID.read_text()


def remember_failure(cache: Path) -> None:
    write_atomic(cache / "kvm-failed", BOOT_ID.read_bytes())
