"""Fetch the lab: tools by apt, a kernel with RDMA unpacked into the cache, and on Debian 12 the mlx5-like module.

`python -m tests.lab.install`: nothing is done, or asked of the network, when all is there. Nothing goes to /boot.
"""

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.lab import places
from tests.lab.distribution import TOOLS, Distribution, this_distribution
from tests.lab.rxe_lab.patch import patch

RXE_ONLY = "soft-RoCE as the kernel has it: no byte counters, no link rate of choice, no injection of faults"


def main() -> int:
    try:
        kernel = install()
    except (places.Missing, OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"lab: {reason(error)}", file=sys.stderr)
        return 1
    if not places.is_mlx5_like(kernel):
        print(f"lab: this distribution gets {RXE_ONLY}", file=sys.stderr)
    return 0


def reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        output = (error.stderr or b"").decode(errors="replace").strip()
        return f"{' '.join(map(str, error.cmd))[:200]} failed: {output[-500:] or error.returncode}"
    return str(error)


def install() -> Path:
    """The kernel folder, ready to boot. Raises `Missing`, or the error of the step that failed."""
    here = this_distribution()
    if here is None or platform.machine() != "x86_64":
        raise places.Missing("the lab's virtual machine is made of Debian's or Ubuntu's packages, on x86_64")
    run(str(places.HERE / "apt-install"), *TOOLS)
    folder = places.lab_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # two checkouts may set up at once: the second finds the work done
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not places.kernels():
            build_kernel(here, folder)
    return places.kernel_dir()


def build_kernel(here: Distribution, folder: Path) -> None:
    """Made beside its place and renamed into it, so that an interrupted one is never taken for whole."""
    release = newest_release(here)
    key = places.module_key() if here.is_mlx5_like else "stock"
    print(f"lab: fetching Linux {release} into {folder}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder, prefix="part-") as part:
        root = Path(part) / "kernel"
        for package in [f"linux-image-{release}", *(f"{name}{release}" for name in here.companions)]:
            unpack(package, root)
        if not (root / "lib").exists():
            # packages of a merged /usr; depmod and modprobe look below lib/
            (root / "lib").symlink_to("usr/lib")
        if here.is_mlx5_like:
            build_modules(release, root / "lib/modules" / release / "updates", Path(part))
        run("depmod", "-b", str(root), release)
        (root / "ready").touch()
        target = folder / f"kernel-{release}-{key}"
        shutil.rmtree(target, ignore_errors=True)
        root.rename(target)


def newest_release(here: Distribution) -> str:
    """`6.1.0-56-amd64`: it changes with each security update, so the meta package is asked."""
    command = ["apt-cache", "depends", "--no-recommends", "--no-suggests", here.kernel]
    depends = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Depends: linux-image-(?:unsigned-)?(\d\S*)", depends)
    if not found:
        raise places.Missing(f"apt knows no {here.kernel}: `apt-get update` as root, then again")
    return found[1]


def unpack(package: str, root: Path) -> None:
    """Download and unpack without installing; needs no root."""
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package, cwd=folder)
        run("dpkg", "-x", str(next(Path(folder).glob("*.deb"))), str(root))


def build_modules(release: str, target: Path, scratch: Path) -> None:
    """rdma_rxe.ko with the lab's additions, and siw.ko, which Debian leaves out, from Debian's own kernel source."""
    run(str(places.HERE / "apt-install"), f"linux-headers-{release}", "make", "gcc", "xz-utils")
    version = ".".join(release.split(".")[:2])
    unpack(f"linux-source-{version}", scratch / "source")
    archive = scratch / f"source/usr/src/linux-source-{version}.tar.xz"
    drivers = f"linux-source-{version}/drivers/infiniband/sw"
    run("tar", "-xJf", str(archive), "-C", str(scratch), f"{drivers}/rxe", f"{drivers}/siw")
    patch(scratch / drivers / "rxe")
    target.mkdir(parents=True)
    for folder, option in (("rxe", "CONFIG_RDMA_RXE"), ("siw", "CONFIG_RDMA_SIW")):
        source = scratch / drivers / folder
        tree = f"/usr/src/linux-headers-{release}"
        run("make", "-s", "-C", tree, f"M={source}", f"{option}=m", "modules", f"-j{os.cpu_count()}")
        for module in source.glob("*.ko"):
            run("strip", "-g", str(module))
            shutil.copy(module, target)


def run(*argv: str, cwd: str | None = None) -> None:
    """Quiet unless it fails."""
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
