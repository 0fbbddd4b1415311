"""The lab's own images, kept in the cache: the pods' sandbox, a Debian with RDMA tools, the RDMA device plugin."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.image import oci
from tests.lab import places
from tests.lab.kube import programs

PAUSE, JOB, PLUGIN = (f"localhost/lab/{name}:1" for name in ("pause", "debian-rdma", "rdma-shared-dp"))
JOB_PACKAGES = (
    "python3-minimal,python3,python3-pyverbs,ibverbs-providers,iproute2,perftest,rdmacm-utils,ibverbs-utils,procps"
)
PCI_IDS = Path("/usr/share/misc/pci.ids")
"""The device plugin ends at once without it."""
PAUSE_C = """\
/* the process that holds a pod's namespaces: waits, reaps, ends when told to */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { _exit(0); }
static void reap(int number) { while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }
"""


def folder() -> Path:
    return places.lab_dir() / "kube" / "images"


def prepare() -> list[Path]:
    """The archives of all, made where they are missing. Raises MissingProgram or CalledProcessError."""
    makers: dict[str, Callable[[Path, Path], None]] = {
        "pause-1": pause,
        "debian-rdma-1": job,
        "rdma-shared-dp-1": plugin,
    }
    folder().mkdir(parents=True, exist_ok=True)
    made = []
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, make in makers.items():
            archive = folder() / f"{name}.oci"
            made.append(archive)
            if not archive.exists():
                with tempfile.TemporaryDirectory(dir=folder()) as scratch:
                    make(Path(scratch), archive)
    return made


def pause(scratch: Path, out: Path) -> None:
    (scratch / "pause.c").write_text(PAUSE_C)
    run("gcc", "-Os", "-static", "-s", "-o", str(scratch / "pause"), str(scratch / "pause.c"))
    oci.layer_of({"pause": scratch / "pause"}, scratch / "layer")
    oci.write(oci.Image(PAUSE, command=["/pause"]), scratch / "layer", out)


def plugin(scratch: Path, out: Path) -> None:
    program = "bin/k8s-rdma-shared-dp"
    install("pci.ids")
    files = {program: Path(programs.find("k8s-rdma-shared-dp")), "usr/share/misc/pci.ids": PCI_IDS.resolve()}
    oci.layer_of(files, scratch / "layer")
    oci.write(oci.Image(PLUGIN, command=[f"/{program}"]), scratch / "layer", out)


def job(scratch: Path, out: Path) -> None:
    """What a user's RDMA job is made of; from the machine's own sources of packages."""
    install("mmdebstrap")
    without = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
    run(
        "mmdebstrap", "--quiet", "--format=tar", "--variant=essential", "--aptopt=Apt::Install-Recommends \"false\"",
        f"--include={JOB_PACKAGES}", *without, "bookworm", str(scratch / "root"),
    )  # fmt: skip
    drop_devices(scratch / "root", scratch / "layer")
    oci.write(oci.Image(JOB, command=["/bin/sleep", "infinity"]), scratch / "layer", out)


def drop_devices(source: Path, target: Path) -> None:
    """A container gets its /dev from the runtime."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
        for entry in old:
            if not entry.isdev() and not entry.name.startswith("./dev/"):
                new.addfile(entry, old.extractfile(entry) if entry.isreg() else None)


def install(*packages: str) -> None:
    run(str(places.HERE / "apt-install"), *packages)


def run(*argv: str) -> None:
    """Quiet unless it fails."""
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
