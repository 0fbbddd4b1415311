"""Layer benchmarks: what was measured, against what it should be and against this node's own past."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import get_args

from diagnostics.checks.base import (
    Judgement,
    Raised,
    State,
    Threshold,
    Unjudged,
    check,
    fact,
    label,
    number,
    registered,
    row_of,
)
from diagnostics.counters import spec_of
from diagnostics.links import BASELINE_SHARE, NOTE, WARN
from diagnostics.model import Benchmark, CounterSource, Evidence, Severity

RATIO_SOURCE = "ngc_multinode_perf: 90 % of the rate; rdmatop warns under 90 %, fails under 80 %"
BITS = {"rx_bits_phy", "rx_corrected_bits_phy"}
"""Traffic, and what FEC is there for."""

Key = tuple[str | None, int | None, str, str, int, int, bool, float | None]


def key_of(benchmark: Benchmark) -> Key:
    """Runs that may be compared: same port, kind, operation, size, queue pairs, direction, and link and slot as before
    (the expectation): a port that was given a slower link on purpose is not slower than itself."""
    return (
        benchmark.device,
        benchmark.port,
        benchmark.kind,
        benchmark.operation,
        benchmark.size_bytes,
        benchmark.qps,
        benchmark.bidirectional,
        round(benchmark.expected_gbps, 1) if benchmark.expected_gbps is not None else None,
    )


def best_of(benchmark: Benchmark, earlier: Iterable[Benchmark]) -> float | None:
    """The most that a comparable run of this node moved before, Gb/s."""
    key = key_of(benchmark)
    return max(
        (
            run.bandwidth_gbps
            for run in earlier
            if run.id != benchmark.id
            and run.state == "done"
            and run.bandwidth_gbps is not None
            and run.latency_us is None
            and key_of(run) == key
        ),
        default=None,
    )


@cache
def is_error(name: str, source: CounterSource | None = None) -> bool:
    """Whether a run during which this counter rose was not clean: the catalogue calls it an error, or a check of the
    errors layer reads it. Without `source` (a result has names alone) any source's word counts."""
    sources = (source,) if source is not None else get_args(CounterSource)
    return name in _errors_layer() or any(spec_of(name, each).cls == "error" for each in sources)


@cache
def _errors_layer() -> frozenset[str]:
    return frozenset(name for row in registered().values() if row.layer == "errors" for name in row.counters) - BITS


def _latest(state: State) -> list[Benchmark]:
    """The last finished run of each port; the snapshot has the newest first."""
    last: dict[tuple[str | None, int | None, str], Benchmark] = {}
    for benchmark in sorted(state.snapshot.benchmarks, key=lambda each: each.started or "", reverse=True):
        if benchmark.state in ("done", "failed"):
            last.setdefault((benchmark.device, benchmark.port, benchmark.kind), benchmark)
    return list(last.values())


def _nothing(state: State) -> Iterator[Unjudged]:
    if not _latest(state):
        yield Unjudged("skip", "nothing was measured: rdmatop bench loopback")


@check(
    "benchmark-slow",
    layer="benchmarks",
    title="A port delivers less than it should",
    hint="see what the result was limited by; run it again on an idle port; compare with the other ports of this node",
    thresholds=(
        Threshold("warn", NOTE, "of what was expected", None, RATIO_SOURCE),
        Threshold("fail", WARN, "of what was expected", None, RATIO_SOURCE),
        Threshold(
            "baseline",
            BASELINE_SHARE,
            "of the earlier runs",
            None,
            "superbenchmark: not more than 5 % under the baseline",
        ),
    ),
    follows=(
        "link-down",
        "link-not-active",
        "link-slow",
        "pcie-slow",
        "link-flap",
        "congestion-host",
        "congestion-fabric",
    ),
)
def benchmark_slow(state: State) -> Judgement:
    """Meaning: the last run on this port moved less than link and PCIe allow, or less than this node itself did before.

    Evidence: the average bandwidth (never the peak), what was expected and which hop limits it, and the best earlier
    run of the same kind, size and queue pairs. A port that was down is an answer too.

    Next: `rdmatop get benchmarks -o wide`; slow PCIe or a slow link come first.
    """
    yield from _nothing(state)
    row = row_of("benchmark-slow")
    for benchmark in _latest(state):
        raised = _slow(benchmark, state.threshold(row, "warn"), state.threshold(row, "fail"))
        raised = raised or _under_baseline(state, benchmark, state.threshold(row, "baseline"))
        if raised is not None:
            yield raised


def _slow(benchmark: Benchmark, warn: Threshold, fail: Threshold) -> Raised | None:
    name, measured, expected = (
        label(benchmark.device, benchmark.port),
        benchmark.bandwidth_gbps,
        benchmark.expected_gbps,
    )
    if benchmark.state == "failed":
        if benchmark.verdict != "fail":
            return None
        return Raised(
            "warning",
            f"{name}: {benchmark.kind} could not run: {benchmark.reason or benchmark.error}",
            benchmark.device,
            benchmark.port,
            key=benchmark.kind,
        )
    if measured is None or not expected:
        return None
    ratio = measured / expected
    if ratio >= warn.value:
        return None
    severity: Severity = "critical" if ratio < fail.value else "warning"
    limit = f", limited by {benchmark.limited_by}" if benchmark.limited_by else ""
    busy = f"; {benchmark.reason}" if benchmark.reason else ""
    return Raised(
        severity,
        f"{name}: {benchmark.kind} {benchmark.operation} of {benchmark.size_bytes:,} B moved {number(measured)} of "
        f"{number(expected)} Gb/s ({ratio:.0%}{limit}){busy}",
        benchmark.device,
        benchmark.port,
        (
            Evidence(
                name="bandwidth",
                value=measured,
                unit="Gb/s",
                window_s=benchmark.duration_s,
                threshold=expected * (fail.value if severity == "critical" else warn.value),
                source=warn.publisher,
            ),
        ),
        key=benchmark.kind,
    )


def _under_baseline(state: State, benchmark: Benchmark, limit: Threshold) -> Raised | None:
    measured = benchmark.bandwidth_gbps
    best = state.memory.best_runs.get(repr(key_of(benchmark)))
    if measured is None or best is None or measured >= best * limit.value or benchmark.state != "done":
        return None
    return Raised(
        "warning",
        f"{label(benchmark.device, benchmark.port)}: {benchmark.kind} {benchmark.operation} of "
        f"{benchmark.size_bytes:,} B moved {number(measured)} Gb/s, "
        f"{1 - measured / best:.0%} under this node's own {number(best)}",
        benchmark.device,
        benchmark.port,
        (
            Evidence(
                name="bandwidth",
                value=measured,
                unit="Gb/s",
                window_s=benchmark.duration_s,
                threshold=best * limit.value,
                source=limit.publisher,
            ),
        ),
        key=benchmark.kind,
    )


@check(
    "benchmark-errors",
    layer="benchmarks",
    title="Errors were counted during a benchmark",
    hint="the figures of that run cannot be trusted; see the errors layer for the port",
    follows=(
        "link-flap",
        "link-errors",
        "symbol-errors",
        "congestion-host",
        "congestion-fabric",
        "transport-retries",
        "rnr",
    ),
)
def benchmark_errors(state: State) -> Judgement:
    """Meaning: error counters of the port moved while the last benchmark ran, or the bytes did not arrive as sent: the
    run was not clean. Flush errors at the end of a run are not counted.

    Evidence: the counters read before and after the run.

    Next: run it again on an idle port; if the counters move again, they are the finding.
    """
    yield from _nothing(state)
    for benchmark in _latest(state):
        moved = {name: delta for name, delta in (benchmark.counters or {}).items() if delta > 0 and is_error(name)}
        name = label(benchmark.device, benchmark.port)
        if benchmark.verified is False:
            yield Raised(
                "critical",
                f"{name}: the bytes did not arrive as they were sent",
                benchmark.device,
                benchmark.port,
                (fact("bytes equal", 0.0, against=1.0),),
                key="bytes",
            )
        if moved:
            rises = ", ".join(f"{each} +{delta:,}" for each, delta in moved.items())
            yield Raised(
                "warning",
                f"{name}: {rises} during the last {benchmark.kind}",
                benchmark.device,
                benchmark.port,
                tuple(
                    Evidence(
                        name=each,
                        value=float(delta),
                        unit="",
                        window_s=benchmark.duration_s,
                        threshold=0.0,
                        source=None,
                    )
                    for each, delta in moved.items()
                ),
                key=benchmark.kind,
            )
