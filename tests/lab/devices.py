"""Inside the lab's virtual machine: soft-RoCE devices named as mlx5's, real traffic on them, faults.

`python3 -m tests.lab.devices up [COUNT]` makes them; tests use the functions. Everything here needs root, and is for
a machine that is thrown away.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

INJECT = Path("/sys/module/rdma_rxe/parameters/inject")
DEVICES = Path("/sys/class/infiniband")
SPEED_HDR, WIDTH_4X = 64, 2  # enum ib_port_speed and ib_port_width, include/rdma/ib_verbs.h
SUBNET = "10.8"
RDMA_PORT = 18515
"""What ib_write_bw listens on unless told otherwise."""
injected: set[tuple[str, str]] = set()
"""What this process has set on a device, by device and name."""
Clients = tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def netdev_of(number: int) -> str:
    """mlx5_0 and mlx5_1 sit on the two ends of a veth pair, all further ones on a dummy each."""
    return f"v{number}" if number < 2 else f"d{number}"


def up(count: int = 2) -> None:
    """mlx5_0 .. mlx5_<count - 1>, active, "200 Gb/sec (4X HDR)" where the kernel has the lab's module."""
    for module in ("ib_uverbs", "ib_umad", "rdma_ucm"):
        run("modprobe", module)
    run("modprobe", "rdma_rxe", *rxe_parameters())
    for number in range(count):
        netdev = netdev_of(number)
        if not Path("/sys/class/net", netdev).exists():
            make_netdev(netdev)
        run("ip", "address", "replace", f"{SUBNET}.{number}.1/24", "dev", netdev)
        run("ip", "link", "set", netdev, "mtu", "9000", "up")
    # both ends live in one network stack, which must take packets from its own addresses
    for netdev in ("all", *(netdev_of(number) for number in range(min(count, 2)))):
        for setting, value in (("accept_local", "1"), ("rp_filter", "0")):
            Path("/proc/sys/net/ipv4/conf", netdev, setting).write_text(value)
    for number in range(count):
        if not (DEVICES / f"mlx5_{number}").exists():
            add(f"mlx5_{number}", netdev_of(number))


def are_up(count: int = 2) -> bool:
    states = [DEVICES / f"mlx5_{number}" / "ports/1/state" for number in range(count)]
    return all(state.exists() and "ACTIVE" in state.read_text() for state in states)


def rxe_parameters() -> list[str]:
    known = run("modinfo", "-F", "parm", "rdma_rxe")
    return [f"force_speed={SPEED_HDR}", f"force_width={WIDTH_4X}"] if "force_speed" in known else []


def make_netdev(netdev: str) -> None:
    if netdev in ("v0", "v1"):
        run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    else:
        run("ip", "link", "add", netdev, "type", "dummy")


def add(device: str, netdev: str, kind: str = "rxe") -> None:
    run("rdma", "link", "add", device, "type", kind, "netdev", netdev)


def remove(device: str) -> None:
    run("rdma", "link", "delete", device)


def inject(device: str, name: str, value: int) -> None:
    """Set a counter, or one of the module's switches: speed, width, fail, hang (tests/lab/rxe_lab/rxe_lab.c)."""
    INJECT.write_text(f"{device} {name} {value}")
    injected.add((device, name))


def restore() -> None:
    """As if nothing had been injected: switches off, and the counters that were set at 0, as on a new device."""
    for device, name in sorted(injected):
        if (DEVICES / device).exists():
            INJECT.write_text(f"{device} {name} 0")
    injected.clear()


def counter(device: str, name: str, folder: str = "counters") -> int:
    return int((DEVICES / device / "ports/1" / folder / name).read_text())


@contextlib.contextmanager
def traffic(seconds: int = 600, size_bytes: int = 65536, cpu: int | None = None) -> Iterator[Clients]:
    """RDMA writes from mlx5_0 to mlx5_1 by ib_write_bw; yields server and client once bytes move.

    `cpu`: both on that one, so that their softirqs are not charged to a program that is measured on another.
    """
    pin = [] if cpu is None else ["taskset", "-c", str(cpu)]
    common = ["-x", "1", "-F", "-s", str(size_bytes), "-D", str(seconds), "-p", str(RDMA_PORT)]
    server = quiet(*pin, "ib_write_bw", "-d", "mlx5_1", *common)
    client = None
    try:
        until(lambda: is_listening(RDMA_PORT), "ib_write_bw listens")
        client = quiet(*pin, "ib_write_bw", "-d", "mlx5_0", *common, "127.0.0.1")
        until(are_bytes_moving, "bytes move on mlx5_0", poll_seconds=0.2)
        yield server, client
    finally:
        for process in (client, server):
            if process:
                process.kill()
                process.wait()


def quiet(*argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def is_listening(port: int) -> bool:
    """In state 0A, LISTEN, of /proc/net/tcp."""
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def sent_packets() -> int:
    return counter("mlx5_0", "sent_pkts", "hw_counters")


def are_bytes_moving() -> bool:
    """More than the handshake's few packets, which both stock and lab kernels count."""
    before = sent_packets()
    time.sleep(0.2)
    return sent_packets() - before > 20


def until(holds: Callable[[], object], what: str, seconds: float = 30, poll_seconds: float = 0.05) -> None:
    """Wait for something that is about to be true. Raises TimeoutError naming it."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(poll_seconds)


def main(argv: list[str]) -> int:
    if os.environ.get("RUN_IN_VM") is None:
        print("devices: only inside the lab's virtual machine (tests/lab/run-in-vm)", file=sys.stderr)
        return 2
    if not argv or argv[0] != "up":
        print("usage: python3 -m tests.lab.devices up [COUNT]", file=sys.stderr)
        return 2
    up(int(argv[1]) if len(argv) > 1 else 2)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
