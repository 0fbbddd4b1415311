"""`make image`: build/rdmatop.oci without Docker, under the name that deploy/daemonset.yaml has.

mmdebstrap makes a bare Debian 12, the install script beside this file does in it what it does for the Dockerfile, and
the result becomes an archive of one layer. Needs root. The part that comes from Debian is kept in the user's cache;
`--fresh` makes it anew, with Debian's latest security updates.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.image import oci

PROJECT = Path(__file__).resolve().parents[2]
ARCHIVE = PROJECT / "build" / "rdmatop.oci"
INSTALL = "deploy/image/install"
PARTS = ("agent", "diagnostics", "tui", "pyproject.toml", "README.md", "LICENSE", "requirements.lock", "deploy/image")
"""What the image is made from; nothing else of the checkout is looked at."""
SUITE = "bookworm"
FROM_HOST = ("PIP_CERT", "PIP_FIND_LINKS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Variables that name a file or folder of this machine, which pip needs inside as well."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make image", description=__doc__)
    parser.add_argument("--out", type=Path, default=ARCHIVE)
    parser.add_argument("--fresh", action="store_true", help="with Debian's packages as they are now")
    options = parser.parse_args()
    try:
        build(options.out, fresh=options.fresh)
    except (OSError, subprocess.CalledProcessError) as failed:
        print(f"image: {failed}", file=sys.stderr)
        return 1
    print(f"{options.out}: {image_name()}, {options.out.stat().st_size / 1e6:.0f} MB")
    return 0


def build(out: Path, *, fresh: bool = False) -> None:
    """Nothing is done where `out` is made of the same files. Raises CalledProcessError, OSError."""
    made_of, stamp = key_of_sources(), out.with_suffix(".key")
    if not fresh and out.exists() and stamp.exists() and stamp.read_text() == made_of:
        return
    if os.geteuid():
        raise PermissionError(errno.EPERM, "an image is made by root, who may be in another root file system")
    run(str(PROJECT / "tests/lab/apt-install"), "mmdebstrap", "tar")
    out.parent.mkdir(parents=True, exist_ok=True)
    epoch = source_epoch()
    with unpacked(libraries(fresh)) as root, tempfile.TemporaryDirectory(prefix="rdmatop-layer-") as folder:
        layer = Path(folder) / "layer"
        install(root, "project", "clean")
        pack(root, layer, epoch)
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
        labels = {"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.title": "rdmatop"}
        oci.write(oci.Image(image_name(), entrypoint=["rdmatop"], labels=labels, created=created), layer, out)
    stamp.write_text(made_of)


def key_of_sources() -> str:
    """Changes with every file that goes into the image."""
    digest = hashlib.sha256(image_name().encode())
    for part in PARTS:
        path = PROJECT / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(PROJECT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def image_name() -> str:
    """The one reference that the manifest has."""
    names: set[str] = set(re.findall(r"(?m)^\s+image: (\S+)$", (PROJECT / "deploy/base/daemonset.yaml").read_text()))
    (name,) = names
    return name


def source_epoch() -> int:
    """Of the last commit: the same checkout gives the same times."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    argv = ["git", "-C", str(PROJECT), "log", "-1", "--format=%ct"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return int(given or done.stdout.strip() or 0)


def cached(name: str, parts: bytes, fresh: bool, make: Callable[[Path], None]) -> Path:
    """A tar in the user's cache under the hash of what it is made of; `make` makes it where it is missing."""
    folder = (
        os.environ.get("RDMATOP_LAB") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rdmatop"
    )
    kept = Path(folder) / "image" / f"{name}-{hashlib.sha256(parts).hexdigest()[:12]}.tar"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if fresh or not kept.exists():
            part = kept.with_suffix(".part")
            make(part)
            part.replace(kept)
            for old in kept.parent.glob(f"{name}-*.tar"):
                if old != kept:
                    old.unlink()
    return kept


def phase(name: str) -> bytes:
    """What the install script does in it, and what is set for all phases."""
    script = (PROJECT / INSTALL).read_bytes()
    head = script.partition(b"\nsystem() {")[0]
    return head + script.partition(f"\n{name}() {{".encode())[2].partition(b"\n}")[0]


def debian(fresh: bool) -> Path:
    """Debian with the packages that the install script names."""

    def make(out: Path) -> None:
        run(
            "mmdebstrap", "--quiet", "--format=tar", "--variant=apt", '--aptopt=Apt::Install-Recommends "false"',
            f"--customize-hook=copy-in {PROJECT / INSTALL} /tmp",
            '--customize-hook=chroot "$1" /tmp/install system', "--customize-hook=rm $1/tmp/install",
            SUITE, str(out),
        )  # fmt: skip

    return cached("debian", phase("system"), fresh, make)


def libraries(fresh: bool) -> Path:
    """The same with what the lock file names: only the project itself is missing."""

    def make(out: Path) -> None:
        with unpacked(debian(fresh)) as root:
            install(root, "libraries")
            run("tar", "-C", str(root), "--sort=name", "-cf", str(out), ".")

    made_of = phase("system") + phase("libraries") + (PROJECT / "requirements.lock").read_bytes()
    return cached("libraries", made_of, fresh, make)


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rdmatop-image-") as folder:
        run("tar", "-xf", str(archive), "-C", folder, "--exclude=./dev/*")
        yield Path(folder)


def install(root: Path, *phases: str) -> None:
    """Run the install script inside `root`, with the checkout and what pip needs of this machine below /source."""
    source = root / "source"
    for part in PARTS:
        (source / part).parent.mkdir(parents=True, exist_ok=True)
        copy(PROJECT / part, source / part)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    environment = {
        name: value for name, value in os.environ.items() if name.startswith("PIP_") or "PROXY" in name.upper()
    }
    environment |= {"PATH": oci.PATH.partition("=")[2], "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": str(source_epoch())}
    binds = [f"mount -t tmpfs tmpfs {root}/dev", *(device(root, name) for name in ("null", "urandom"))]
    for number, name in enumerate(FROM_HOST):
        path = os.environ.get(name, "")
        if os.path.exists(path):
            target = source / f"host-{number}"
            target.mkdir() if os.path.isdir(path) else target.touch()
            binds.append(f"mount --bind {path} {target}")
            environment[name] = f"/source/host-{number}"
    script = " && ".join([*binds, f"exec chroot {root} /source/{INSTALL} {' '.join(phases)}"])
    run("unshare", "--mount", "sh", "-c", script, environment=environment)
    shutil.rmtree(source)
    (root / "etc/resolv.conf").unlink()


def device(root: Path, name: str) -> str:
    return f"touch {root}/dev/{name} && mount --bind /dev/{name} {root}/dev/{name}"


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    else:
        shutil.copy(source, target)


def pack(root: Path, layer: Path, epoch: int) -> None:
    """Sorted, with no time later than the checkout's and no names of users."""
    run(
        "tar", "-C", str(root), "--format=posix", "--sort=name", f"--mtime=@{epoch}", "--clamp-mtime",
        "--numeric-owner", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
        "-cf", str(layer), ".",
    )  # fmt: skip


def run(*argv: str, environment: dict[str, str] | None = None) -> None:
    subprocess.run(argv, check=True, env=environment, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
