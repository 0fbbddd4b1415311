"""One boot: start QEMU, hand the job's output on as it comes, learn its exit code."""

import ctypes
import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.lab.vm.initramfs import BootFiles, Entry, cpio, job_entries
from tests.lab.vm.qemu import Accelerator, Hardware, arguments

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TERM", "PYTHONPATH", "PYTEST_ADDOPTS", "VIRTUAL_ENV", "CI")
EMPTY_IN_GUEST = ("/tmp/", "/run/")
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Job(NamedTuple):
    """What runs in the guest, and where."""

    command: tuple[str, ...]
    cwd: str
    kernel: Path
    environment: Mapping[str, str] = {}
    show: tuple[str, ...] = ()
    """Host folders needed though they lie under /tmp or /run, which are empty in the guest."""
    host_tmp: bool = False
    stdin: bytes | None = None
    boot_limit_s: float = 120
    deadline: float = float("inf")
    """Of time.monotonic()."""
    console: Path | None = None
    verbose: bool = False


class Mark(NamedTuple):
    """A phase of the boot was reached: up (kernel), run (job starts), rc (job ended), end."""

    at_s: float
    phase: str
    detail: str


class Outcome(NamedTuple):
    """`code` is None when the job reported none: the guest never came up, or died."""

    code: int | None
    marks: list[Mark]
    timed_out: bool = False

    @property
    def came_up(self) -> bool:
        return any(mark.phase == "up" for mark in self.marks)


def run(job: Job, hardware: Hardware, accelerator: Accelerator, files: BootFiles) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="run-in-vm.") as folder:
        scratch = Path(folder)
        initramfs = scratch / "initramfs"
        initramfs.write_bytes(files.initramfs.read_bytes() + cpio(job_archive(job, hardware, accelerator)))
        console = job.console or scratch / "console"
        pipes = {name: os.pipe() for name in ("ctl", "out", "err")}
        ends = {name: write for name, (_, write) in pipes.items()}
        argv = arguments(hardware, accelerator, files.image, initramfs, console, ends, verbose=job.verbose)
        if job.verbose:
            print("run-in-vm:", shlex.join(argv), file=sys.stderr)
        with (scratch / "qemu").open("w") as log:
            qemu = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=list(ends.values()),
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        try:
            for write in ends.values():
                os.close(write)
            outcome = relay({name: read for name, (read, _) in pipes.items()}, job)
            if outcome.code is None and not outcome.timed_out:
                explain_death(scratch / "qemu", console)
            return outcome
        finally:
            qemu.kill()
            qemu.wait()


def die_with_parent() -> None:
    """In the child before exec: a killed run-in-vm leaves no guest behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def job_archive(job: Job, hardware: Hardware, accelerator: Accelerator) -> list[Entry]:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"RUN_IN_VM": accelerator, **job.environment}
    script = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    script += f"cd {shlex.quote(job.cwd)} || exit 126\nexec {shlex.join(job.command)}\n"
    show = [path for path in (job.cwd, *job.show) if path.startswith(EMPTY_IN_GUEST) and not job.host_tmp]
    variables = {
        "JOB_EPOCH": str(int(time.time())),
        "JOB_KERNEL": shlex.quote(str(job.kernel)),
        "JOB_SHOW": shlex.quote(" ".join(dict.fromkeys(show))),
        "JOB_RW": shlex.quote(" ".join(hardware.writable)),
        "JOB_HOST_TMP": str(int(job.host_tmp)),
    }
    return job_entries(script, variables, job.stdin)


def relay(pipes: dict[str, int], job: Job) -> Outcome:
    """Copy out and err to ours until the guest closes them; the guest's init reports its phases on ctl."""
    started = time.monotonic()
    marks: list[Mark] = []
    code, control = None, b""
    with selectors.DefaultSelector() as selector:
        for name, descriptor in pipes.items():
            selector.register(descriptor, selectors.EVENT_READ, name)
        while selector.get_map():
            now = time.monotonic()
            if now > job.deadline:
                return Outcome(None, marks, timed_out=True)
            if not marks and now - started > job.boot_limit_s:
                return Outcome(None, marks)
            for key, _ in selector.select(0.25):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                elif key.data == "ctl":
                    *lines, control = (control + data).split(b"\n")
                    for line in lines:
                        phase, _, detail = line.decode().partition(" ")
                        marks.append(Mark(round(time.monotonic() - started, 2), phase, detail))
                        code = int(detail.split()[0]) if phase == "rc" else code
                else:
                    stream = sys.stdout.buffer if key.data == "out" else sys.stderr.buffer
                    stream.write(data)
                    stream.flush()
    marks.append(Mark(round(time.monotonic() - started, 2), "end", ""))
    return Outcome(code, marks)


def explain_death(log: Path, console: Path) -> None:
    sys.stderr.write(log.read_text()[-2000:])
    if console.exists():
        sys.stderr.write(console.read_text(errors="replace")[-3000:])
