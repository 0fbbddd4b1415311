"""run-in-vm [options] [--] CMD [ARG...]

Boot a kernel that has RDMA in QEMU, with this machine's whole file system as the guest's root (9p, read-only,
under an overlay in memory), run CMD there as root, copy its stdout and stderr here as they come, and exit with
its exit code. /tmp and /run are empty in the guest; the working folder is there all the same.

Own exit codes: 124 time limit passed, 125 the guest died or never came up, 126 something is missing here.
"""

import argparse
import os
import platform
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

from tests.lab import places
from tests.lab.vm import accelerator, guest
from tests.lab.vm.initramfs import BootFiles, prepare
from tests.lab.vm.kernel import newest
from tests.lab.vm.qemu import Hardware

TIME_LIMIT, DIED, MISSING = 124, 125, 126


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="run-in-vm", usage="run-in-vm [options] [--] CMD [ARG...]", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = made.add_argument
    add("--kernel-dir", type=Path, help="an unpacked kernel package; else the one `make lab` made")
    add("--accel", choices=["auto", "kvm", "tcg"], default=os.environ.get("RDMATOP_LAB_ACCEL", "auto"))
    add("--kvm-boot-limit", type=float, default=15, help="seconds KVM has to come up before TCG is used")
    add("--boot-limit", type=float, default=120)
    add("--timeout", type=float, default=600)
    add("--cpus", type=int, default=2)
    add("--mem", type=int, default=2048, help="MiB")
    add("--machine", default="microvm")
    add("--append", default="", help="more words for the kernel's command line")
    add("--qemu", default="", metavar="WORDS", help="more words for QEMU's command line: disks, network cards")
    add("--rw", action="append", default=[], metavar="DIR", help="host folder the guest may write to, same path")
    add("--show", action="append", default=[], metavar="DIR", help="host folder under /tmp or /run to be seen too")
    add("--host-tmp", action="store_true", help="the host's /tmp, writes forgotten, in place of an empty one")
    add("--env", action="append", default=[], metavar="K=V")
    add("--forward", action="append", default=[], metavar="HOST:GUEST", help="loopback port -> port of 10.0.2.15")
    add("--cwd", default=os.getcwd())
    add("--stdin", action="store_true", help="read stdin to its end and give it to CMD")
    add("--console", type=Path, help="keep the guest's serial console in this file")
    add("--marks", action="store_true", help="print the times of the boot phases at the end")
    add("-v", "--verbose", action="store_true")
    add("--check", action="store_true", help="boot nothing, only say what is missing (exit 126)")
    add("cmd", nargs=argparse.REMAINDER)
    return made


def what_is_missing() -> str | None:
    if platform.machine() != "x86_64":
        return f"the lab's virtual machine is x86_64, this machine {platform.machine()}"
    absent = [name for name in ("qemu-system-x86_64", "busybox") if not shutil.which(name)]
    return f"not installed: {', '.join(absent)} (`make lab` does it)" if absent else None


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    command = options.cmd[1:] if options.cmd[:1] == ["--"] else options.cmd
    if not command and not options.check:
        parser().error("no command")
    try:
        if missing := what_is_missing():
            raise places.Missing(missing)
        root = options.kernel_dir or places.kernel_dir()
        kernel = newest(root)
        files = prepare(kernel, root / "boot-files")
    except (places.Missing, OSError) as error:
        print(f"run-in-vm: {error}", file=sys.stderr)
        return MISSING
    if options.check:
        return 0
    hardware = Hardware(
        options.cpus,
        options.mem,
        options.machine,
        tuple(os.path.abspath(folder) for folder in options.rw),
        tuple((int(host), int(inside)) for host, _, inside in (pair.partition(":") for pair in options.forward)),
        options.append,
        tuple(shlex.split(options.qemu)),
    )
    job = guest.Job(
        tuple(command),
        os.path.abspath(options.cwd),
        root.resolve(),
        dict(pair.split("=", 1) for pair in options.env),
        tuple(os.path.abspath(folder) for folder in options.show),
        options.host_tmp,
        sys.stdin.buffer.read() if options.stdin else None,
        options.boot_limit,
        time.monotonic() + options.timeout,
        options.console,
        options.verbose,
    )
    return boot(job, hardware, options, root / "boot-files", files)


def boot(job: guest.Job, hardware: Hardware, options: argparse.Namespace, cache: Path, files: BootFiles) -> int:
    """KVM where it works, else TCG; the exit code."""
    tries = accelerator.candidates(options.accel, cache)
    for accel in tries:
        is_last = accel == tries[-1]
        limited = job if is_last else job._replace(boot_limit_s=options.kvm_boot_limit)
        outcome = guest.run(limited, hardware, accel, files)
        if options.marks:
            print(
                "run-in-vm:", accel, *(" ".join(map(str, mark)) for mark in outcome.marks), sep="\n  ", file=sys.stderr
            )
        if outcome.came_up or outcome.timed_out or is_last:
            break
        accelerator.remember_failure(cache)
        print("run-in-vm: KVM did not come up, going on with TCG", file=sys.stderr)
    if outcome.timed_out:
        print(f"run-in-vm: time limit of {options.timeout:g} s passed", file=sys.stderr)
        return TIME_LIMIT
    return DIED if outcome.code is None else outcome.code


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
