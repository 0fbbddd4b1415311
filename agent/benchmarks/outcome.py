"""From what was measured to a result: counters that moved, what it should have been, the verdict and its reason."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from agent.verbs.protocol import Result
from diagnostics.checks.benchmarks import best_of, is_error
from diagnostics.counters import spec_of
from diagnostics.links import (
    BASELINE_SHARE,
    JUDGED_BYTES,
    Rate,
    benchmark_verdict,
    data_gbps,
    expected_benchmark,
)
from diagnostics.model import (
    Benchmark,
    BenchmarkState,
    BenchmarkVerdict,
    Counter,
    CounterSource,
    Device,
    Latency,
    NodeSnapshot,
    Port,
)

STATES: dict[str, BenchmarkState] = {"done": "done", "cancelled": "cancelled", "failed": "failed"}


def finish(
    item: Benchmark,
    result: Result,
    before: NodeSnapshot | None,
    after: NodeSnapshot | None,
    earlier: Iterable[Benchmark] = (),
) -> Benchmark:
    """The item with everything that the run gave, and judged, by this node's `earlier` runs too."""
    low_p50_p99_high = result.latency_us
    increases = moved(item, before, after)
    measured = replace(
        item,
        state=STATES.get(result.outcome, "failed"),
        progress=None,
        error=result.error,
        duration_s=result.elapsed_s,
        bandwidth_gbps=result.bandwidth_gbps,
        messages_per_s=result.messages_per_s,
        latency_us=Latency(**dict(zip(("min", "p50", "p99", "max"), low_p50_p99_high, strict=True)))
        if low_p50_p99_high
        else None,
        latency_by=result.latency_by,
        verified=result.verified,
        counters=_by_name(increases),
        cpu_percent=result.cpu_percent,
        memory=result.memory,
        qps=result.qps or item.qps,
        chain=result.chain or item.chain,
        mtu_bytes=result.mtu_bytes,
        gid_index=result.gid_index if result.gid_index is not None else item.gid_index,
        gid=result.gid,
    )
    return judge(measured, result, before or after, errors_moved(increases), earlier)


def judge(
    item: Benchmark,
    result: Result,
    snapshot: NodeSnapshot | None,
    errors: str = "",
    earlier: Iterable[Benchmark] = (),
) -> Benchmark:
    """Adds expectation, verdict and a sentence."""
    port, device = _of(item, snapshot)
    expectation = _expectation(item, port, device)
    item = replace(item, expected_gbps=expectation[0], limited_by=expectation[1])
    if result.outcome == "failed":
        hint = f" ({result.hint})" if result.hint else ""
        # a port that is down and bytes that changed are answers; whatever else stopped the run says nothing of the port
        bad = result.port_down or result.verified is False
        return replace(item, verdict="fail" if bad else "unknown", reason=f"{result.error}{hint}")
    if result.outcome == "cancelled":
        return replace(item, verdict="unknown", reason="cancelled: what was measured until then")
    held = item.latency_us is None and not is_software(device)
    best = best_of(item, earlier) if held else None
    verdict = benchmark_verdict(item.bandwidth_gbps, item.expected_gbps, best)
    return replace(item, verdict=verdict, reason=_reason(item, verdict, device, best) + errors)


def _expectation(item: Benchmark, port: Port | None, device: Device | None) -> tuple[float | None, str | None]:
    if item.latency_us is not None or port is None or port.rate_gbps is None:
        return None, None
    link = data_gbps(Rate(port.rate_gbps, port.lanes, port.speed), port.link_layer)
    pcie = device.pcie.limit_gbps if device and device.pcie else None
    return expected_benchmark(
        link,
        pcie,
        item.bidirectional,
        item.size_bytes,
        qps=item.qps,
        loopback=True,
        software=is_software(device),
    )


def is_software(device: Device | None) -> bool:
    """soft-RoCE and siw: their rate says nothing of a wire."""
    return device is not None and device.function == "virtual"


def _reason(item: Benchmark, verdict: BenchmarkVerdict, device: Device | None, best: float | None) -> str:
    if item.latency_us is not None:
        ended = "the last byte seen in memory" if item.latency_by == "memory" else "by completion"
        return f"median {item.latency_us.p50:.2f} us, {ended}; no published figure for a loopback to hold it against"
    gbps = item.bandwidth_gbps or 0.0
    own = f"{gbps / best:.0%} of this node's own best {best:.3g} Gb/s" if best else ""
    if item.expected_gbps is None:
        return f"{gbps:.3g} Gb/s{own and ', ' + own}; " + _unjudged(item, device)
    share = gbps / item.expected_gbps
    text = f"{gbps:.1f} of {item.expected_gbps:.1f} Gb/s expected ({100 * share:.0f} %), limited by the {_limit(item)}"
    if best and gbps < BASELINE_SHARE * best:
        text += f"; {own}"
    if verdict == "pass":
        return text
    return text + "; look at MTU, PCIe, NUMA and CPU frequency, and compare with the other ports"


def _limit(item: Benchmark) -> str:
    return {"link": "link", "pcie": "PCIe slot", "host": "host"}.get(item.limited_by or "", "link")


def _unjudged(item: Benchmark, device: Device | None) -> str:
    if is_software(device):
        return "a software device has no wire to hold it against"
    if item.limited_by is None:
        return "the port's rate is unknown, so there is nothing to hold it against"
    if item.size_bytes < JUDGED_BYTES:
        return "messages this small are bound by posting, not by the link"
    return f"{item.qps} queue pairs cannot surely fill this link with messages of this size; use more --qps"


Increases = dict[tuple[CounterSource, str], int]
"""(source, name) -> raw increase: two sources may count under one name what is not the same."""


def moved(item: Benchmark, before: NodeSnapshot | None, after: NodeSnapshot | None) -> Increases | None:
    """What this port and its device counted during the run; None without both readings."""
    if before is None or after is None:
        return None
    old = {(row.source, row.name, row.port): row.value for row in _own(item, before.counters)}
    increases: Increases = {}
    for row in _own(item, after.counters):
        earlier = old.get((row.source, row.name, row.port))
        if earlier is None or row.value is None:
            continue
        increase = _increase(row, earlier, row.value)
        if increase:
            increases[row.source, row.name] = increase
    return increases


def _by_name(increases: Increases | None) -> dict[str, int] | None:
    """As the wire has it; of two sources under one name the one that counted more."""
    if increases is None:
        return None
    named: dict[str, int] = {}
    for (_, name), count in increases.items():
        named[name] = max(count, named.get(name, 0))
    return named


def _own(item: Benchmark, counters: Iterable[Counter]) -> Iterable[Counter]:
    return (row for row in counters if row.device == item.device and row.port in (item.port, None))


def _increase(row: Counter, earlier: int, later: int) -> int | None:
    if later >= earlier:
        return later - earlier
    spec = spec_of(row.name, row.source)
    if spec.limit == "wrap":
        return later - earlier + (1 << spec.bits)
    return None


def errors_moved(increases: Increases | None) -> str:
    """`; error counters moved: symbol_error +3`, empty when the run was clean."""
    bad = {name: count for (source, name), count in (increases or {}).items() if is_error(name, source)}
    shown = ", ".join(f"{name} +{count}" for name, count in sorted(bad.items())[:6])
    return f"; error counters moved: {shown}" if shown else ""


def _of(item: Benchmark, snapshot: NodeSnapshot | None) -> tuple[Port | None, Device | None]:
    if snapshot is None:
        return None, None
    port = next((row for row in snapshot.ports if (row.device, row.port) == (item.device, item.port)), None)
    device = next((row for row in snapshot.devices if row.device == item.device), None)
    return port, device
