"""One job from opening the device to the verdict on its bytes; runs in a process of its own."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable

from agent.verbs.bandwidth import pump, send_singles
from agent.verbs.binding import Binding
from agent.verbs.errors import JobError
from agent.verbs.latency import measure
from agent.verbs.loop import Loop
from agent.verbs.memory import difference, fresh_pattern
from agent.verbs.protocol import Job, Progress, Result
from agent.verbs.watch import Stopped, Watch


def run(verbs: Binding, job: Job, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Result:
    """Carries a job out. Never raises for what a device or a user can do wrong: a failure is a Result too."""
    memory = settle_near(job.device)
    try:
        loop = Loop(verbs, job)
    except JobError as failed:
        return _failure(job, failed)
    try:
        return _measured(loop, report, is_cancelled, memory)
    except JobError as failed:
        return _failure(job, failed)
    except Stopped:
        return Result(id=job.id, outcome="cancelled")
    except verbs.error as failed:
        return _failure(job, _post_error(loop, failed))
    finally:
        loop.close()


def _failure(job: Job, failed: JobError) -> Result:
    return Result(
        id=job.id, outcome="failed", error=failed.message, hint=failed.hint or None, port_down=failed.port_down
    )


def _post_error(loop: Loop, failed: Exception) -> JobError:
    """Posting or polling was refused: most often the device is gone, which is said first."""
    try:
        loop.require_present()
    except JobError as gone:
        return gone
    code = getattr(failed, "error_code", None)
    reason = f" ({os.strerror(code)})" if isinstance(code, int) and code > 0 else ""
    return JobError(f"{loop.where}: {failed}{reason}", "look at the kernel log")


def _measured(loop: Loop, report: Callable[[Progress], None], is_cancelled: Callable[[], bool], memory: str) -> Result:
    job = loop.job
    bits = job.size_bytes * loop.chain * 8

    def tell(fraction: float, done: int, elapsed_ns: int) -> None:
        gbps = None if job.latency else done * bits / max(1, elapsed_ns)
        units = done * (1 if job.latency else loop.chain)
        report(Progress(id=job.id, fraction=fraction, messages=units, elapsed_s=elapsed_ns / 1e9, bandwidth_gbps=gbps))

    watch = Watch(job.silence_s, is_cancelled, tell, loop.require_present)
    _lay_out(loop)
    send_singles(loop, watch)
    _require_equal(loop)
    _lay_out(loop)
    duration_ns = None if job.iterations else int(job.duration_s * 1e9)
    cpu = _cpu_s()
    started = time.monotonic()
    if job.latency:
        samples = measure(loop, watch, duration_ns, job.iterations)
        elapsed_ns, count, messages = samples.elapsed_ns, len(samples.sorted_ns), len(samples.sorted_ns)
        latency, by = samples.summary_us(), samples.by
    else:
        lanes_one_way = len(loop.lanes)
        chains = -(-job.iterations // loop.chain) * (2 if job.bidirectional else 1) if job.iterations else None
        done, elapsed_ns = pump(loop, watch, duration_ns, chains)
        count, messages = done * bits, done * loop.chain
        latency = by = None
        # a lane that a short run never reached has nothing to compare
        loop.lanes = loop.lanes[: min(lanes_one_way, done)]
    cpu = _cpu_s() - cpu
    wall = max(1e-9, time.monotonic() - started)
    wrong = None if watch.cancelled else _first_difference(loop)
    outcome = "cancelled" if watch.cancelled else "failed" if wrong else "done"
    return Result(
        id=job.id,
        outcome=outcome,
        error=wrong,
        hint="memory, PCIe or the device corrupts data: take it out of service" if wrong else None,
        messages=messages,
        elapsed_s=elapsed_ns / 1e9,
        bandwidth_gbps=None if job.latency or not messages else count / elapsed_ns,
        messages_per_s=None if job.latency or not messages else messages * 1e9 / elapsed_ns,
        latency_us=latency,
        latency_by=by,
        verified=None if watch.cancelled else wrong is None,
        cpu_percent=round(100 * cpu / wall, 1),
        qps=loop.qps,
        chain=loop.chain,
        mtu_bytes=loop.mtu_bytes,
        gid_index=loop.gid.index if loop.gid else None,
        gid=loop.gid.gid if loop.gid else None,
        memory=memory,
    )


def _lay_out(loop: Loop) -> None:
    """New random bytes to send, zeros where they will arrive."""
    for side in (loop.near, loop.far):
        side.source()[:] = fresh_pattern(loop.job.size_bytes)
    for lane in loop.lanes:
        lane.sink[:] = bytes(loop.job.size_bytes)


def _first_difference(loop: Loop) -> str | None:
    """The arrived bytes of every queue pair against those that were sent."""
    for number, lane in enumerate(loop.lanes):
        wrong = difference(bytes(lane.source), lane.sink)
        if wrong:
            return f"{loop.where}: queue pair {number}: the data arrived changed: {wrong}"
    return None


def _require_equal(loop: Loop) -> None:
    wrong = _first_difference(loop)
    if wrong:
        raise JobError(wrong, "memory, PCIe or the device corrupts data: take it out of service")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def settle_near(device: str) -> str:
    """Moves this process to the CPUs of the device's NUMA node, so that its memory comes from there too.

    Returns what the result says of the memory: `host memory, NUMA 0`.
    """
    folder = f"/sys/class/infiniband/{device}/device"
    node = _text(f"{folder}/numa_node")
    cpus = _cpu_set(_text(f"{folder}/local_cpulist") or "")
    if node is None or not node.isdigit():
        return "host memory"
    allowed = cpus & os.sched_getaffinity(0)
    if not allowed:
        return "host memory"
    try:
        os.sched_setaffinity(0, allowed)
    except OSError:
        return "host memory"
    return f"host memory, NUMA {node}"


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _cpu_set(text: str) -> set[int]:
    """`0-3,8` -> {0, 1, 2, 3, 8}; what is not a list of CPUs gives none."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last.isdigit() or not last):
            cpus.update(range(int(first), int(last or first) + 1))
    return cpus
