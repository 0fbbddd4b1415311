"""The nodes' disk: containerd's root with every image unpacked, so that an emulated node unpacks nothing.

A containerd on this machine fills it; no pod runs here. Kept in the cache under the digest of what is on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab import places
from tests.lab.kube import images, programs
from tests.lab.kube.control_plane import LabError

SIZE = "3G"
KEPT = 3
"""Disks of earlier images that stay: 300 MB each."""
START_S = 20.0


def prepare(more: tuple[Path, ...] = ()) -> Path:
    """The disk with the lab's images and `more`. Raises LabError, MissingProgram."""
    for program in ("containerd", "ctr", "kubelet", "runc"):
        programs.find(program)
    folder = places.lab_dir() / "kube" / "disks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            archives = [*images.prepare(), *more]
            disk = folder / f"{key(archives)}.img"
            if not disk.exists():
                build(archives, disk)
        except subprocess.CalledProcessError as error:
            output = (error.stderr or b"").decode(errors="replace").strip()
            raise LabError(f"{error.cmd[0]}: {output[-500:] or error.returncode}") from None
        os.utime(disk)
        drop_old(folder)
        return disk


def key(archives: list[Path]) -> str:
    digest = hashlib.sha256()
    for archive in archives:
        with archive.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()[:16]


def build(archives: list[Path], disk: Path) -> None:
    images.install("e2fsprogs")
    with tempfile.TemporaryDirectory(dir=disk.parent) as name:
        scratch = Path(name)
        with containerd(scratch) as ctr:
            for archive in archives:
                run(*ctr, "images", "import", "--snapshotter", "overlayfs", str(archive))
        (scratch / "tree").mkdir()
        (scratch / "root").rename(scratch / "tree" / "containerd")
        part = scratch / "disk"
        run("truncate", "-s", SIZE, str(part))
        run(
            "mkfs.ext4",
            "-q",
            "-F",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1",
            "-d",
            str(scratch / "tree"),
            str(part),
        )
        part.rename(disk)


@contextlib.contextmanager
def containerd(scratch: Path) -> Iterator[list[str]]:
    """Yields the words that `ctr` begins with. Without the kubelet's interface: nothing is to run."""
    (scratch / "config.toml").write_text(CONFIG.format(folder=scratch))
    with (scratch / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs.find("containerd"), "-c", str(scratch / "config.toml")], stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + START_S
        while not (scratch / "socket").exists():
            if server.poll() is not None or time.monotonic() > end:
                raise LabError(f"containerd does not start: {(scratch / 'log').read_text()[-500:]}")
            time.sleep(0.05)
        yield [programs.find("ctr"), "-a", str(scratch / "socket"), "-n", "k8s.io"]
    finally:
        server.terminate()
        server.wait()


def drop_old(folder: Path) -> None:
    disks = sorted(folder.glob("*.img"), key=lambda path: path.stat().st_mtime)
    for disk in disks[:-KEPT]:
        disk.unlink(missing_ok=True)
    for left in folder.glob("tmp*"):
        shutil.rmtree(left, ignore_errors=True)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


CONFIG = """\
version = 3
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
  address = "{folder}/socket"
"""
