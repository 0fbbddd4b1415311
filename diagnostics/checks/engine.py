"""The judge: a snapshot and its history in, the same snapshot with expectations, findings and health out.

    judge = Judge(manifest)
    snapshot, events = judge.step(snapshot, history)

One instance per node. It keeps what must outlast a sample; `export` and `restore` carry it over a restart.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from diagnostics.checks import REGISTRY
from diagnostics.checks.base import Check, Raised, State, Unjudged
from diagnostics.checks.benchmarks import key_of
from diagnostics.checks.expectations import Expectation, expectations
from diagnostics.checks.lifecycle import Lifecycle
from diagnostics.checks.manifest import Manifest
from diagnostics.checks.memory import LOSS_COUNTERS, Memory
from diagnostics.checks.order import counts, health_of, linked, ordered
from diagnostics.model import Event, Finding, Node, NodeSnapshot, Port, Problem
from diagnostics.windows import Windows

if TYPE_CHECKING:
    from diagnostics.kernel_log import LogEvent

WATCHED = frozenset(name for check in REGISTRY.values() for name in check.counters) | frozenset(LOSS_COUNTERS)
"""Counters whose movement is looked for in each sample."""


class Judge:
    """Judges one node, sample by sample."""

    def __init__(
        self,
        manifest: Manifest | None = None,
        *,
        capabilities: frozenset[str] = frozenset(),
    ) -> None:
        self.manifest = manifest or Manifest()
        self.capabilities = capabilities
        """`store`: there is a state directory; `cluster`: the snapshot came through the API server."""
        self.kernel_log: Sequence[LogEvent] = ()
        self.kernel_log_unread: str | None = "it was not asked for"
        """Why there is no kernel log; None where it is read. Set by whoever reads it, as `kernel_log` is."""
        self.store_problem: str | None = None
        self.unjudged: dict[str, list[Unjudged]] = {}
        """Check -> why it said nothing, of the last step."""
        self.memory = Memory(WATCHED)
        self._checks = list(REGISTRY.values())
        self._lifecycle = Lifecycle(self._acknowledged)
        self._acknowledged_before: frozenset[str] = frozenset()
        self._runs_seen: set[str] = set()
        self._pending_runs: dict[str, list[float]] = {}

    def __call__(self, snapshot: NodeSnapshot, windows: Windows | None) -> tuple[tuple[Finding, ...], list[Event]]:
        """`step` for a caller that keeps its own snapshot."""
        judged, events = self.step(snapshot, windows)
        return judged.findings, events

    def observe(self, snapshot: NodeSnapshot, now: float | None = None, clock: float | None = None) -> None:
        """Take a reading in without judging it: the earlier one of a pair."""
        now = time.time() if now is None else now
        self.memory.observe(snapshot, now, now if clock is None else clock)

    def step(
        self, snapshot: NodeSnapshot, windows: Windows | None, now: float | None = None, clock: float | None = None
    ) -> tuple[NodeSnapshot, list[Event]]:
        """Judge a sample. `now` is wall time, `clock` monotonic; both default to this moment.

        `windows` None means a single reading: states are judged, counters are not.
        """
        clock = (time.monotonic() if now is None else now) if clock is None else clock
        now = time.time() if now is None else now
        self.memory.observe(snapshot, now, clock)
        self.memory.standing = self._lifecycle.keys()
        expected = expectations(snapshot, self.manifest, self.memory)
        state = State(
            snapshot,
            windows,
            now=now,
            memory=self.memory,
            expectations=expected,
            kernel_log=self.kernel_log,
            kernel_log_unread=self.kernel_log_unread,
            manifest=self.manifest,
            store_problem=self.store_problem,
            capabilities=self.capabilities,
        )
        raised, crashed = self._raise_all(state)
        stepped = self._lifecycle.step(snapshot.node.node, raised, now, clock, keep=crashed.keys())
        self._remember_runs(snapshot)
        findings = ordered(linked(stepped.standing, REGISTRY.__getitem__))
        if self._acknowledged_before:
            findings, more = self._acknowledge_again(findings, now)
            stepped.events.extend(more)
        return _filled(_with_crashes(snapshot, crashed), expected, findings), stepped.events

    def _raise_all(self, state: State) -> tuple[list[tuple[Check, Raised]], dict[str, str]]:
        """What was raised, and check -> why, of the checks that crashed."""
        raised: list[tuple[Check, Raised]] = []
        crashed: dict[str, str] = {}
        self.unjudged = {}
        for check in self._checks:
            state.check_id = check.id
            try:
                for each in check.judge(state):
                    if isinstance(each, Unjudged):
                        self.unjudged.setdefault(check.id, []).append(each)
                    else:
                        raised.append((check, each))
            except Exception as error:  # noqa: BLE001  one broken check never hides the others
                crashed[check.id] = f"the check failed: {error!r}"
                self.unjudged.setdefault(check.id, []).append(Unjudged("unknown", crashed[check.id]))
        return raised, crashed

    def acknowledge(self, finding_id: str, now: float | None = None) -> Event | None:
        """A person has seen a finding; None for an id that does not stand."""
        return self._lifecycle.acknowledge(finding_id, time.time() if now is None else now)

    def _acknowledged(self, finding: Finding) -> None:
        if finding.check in ("link-flap", "link-drop") and finding.device is not None and finding.port is not None:
            self.memory.forget_losses(finding.device, finding.port)
        if finding.check == "link-slow" and finding.device is not None and finding.port is not None:
            self.memory.forget_rate(finding.device, finding.port)
        if finding.check == "device-missing" and finding.device is not None:
            self.memory.forget_device(finding.device)

    def acknowledged_before(self, ids: Iterable[str]) -> None:
        """Acknowledgements from the store: applied when their findings come up again after a restart."""
        self._acknowledged_before = frozenset(ids)

    def _acknowledge_again(self, findings: tuple[Finding, ...], now: float) -> tuple[tuple[Finding, ...], list[Event]]:
        events = []
        for finding in findings:
            if finding.id in self._acknowledged_before and not finding.acknowledged:
                event = self.acknowledge(finding.id, now)
                if event is not None:
                    events.append(event)
        if not events:
            return findings, []
        return tuple(
            msgspec.structs.replace(each, acknowledged=True) if each.id in self._acknowledged_before else each
            for each in findings
        ), events

    def _remember_runs(self, snapshot: NodeSnapshot) -> None:
        """The best bandwidth of comparable runs, without the last one: it is judged against those before it."""
        running = {benchmark.id for benchmark in snapshot.benchmarks if benchmark.state == "done"}
        for benchmark in snapshot.benchmarks:
            if (
                benchmark.state == "done"
                and benchmark.bandwidth_gbps is not None
                and benchmark.id not in self._runs_seen
            ):
                self._runs_seen.add(benchmark.id)
                self._pending_runs.setdefault(repr(key_of(benchmark)), []).append(benchmark.bandwidth_gbps)
        for key, values in self._pending_runs.items():
            if len(values) > 1:
                self.memory.best_runs[key] = max(self.memory.best_runs.get(key, 0.0), *values[:-1])
                del values[:-1]
        self._runs_seen &= running

    def export(self) -> dict[str, Any]:
        """Plain data for the store: msgspec can encode it."""
        return {"version": 1, "memory": self.memory.export(), "findings": self._lifecycle.export()}

    def restore(self, data: dict[str, Any], clock: float | None = None) -> None:
        """Take up where `export` left off; data of another version is left alone."""
        if data.get("version") != 1:
            return
        self.memory.restore(data["memory"])
        self._lifecycle.restore(data["findings"], REGISTRY.get, time.monotonic() if clock is None else clock)


def _with_crashes(snapshot: NodeSnapshot, crashed: dict[str, str]) -> NodeSnapshot:
    """Told beside the findings: without its check, a healthy answer is not known to be one."""
    if not crashed:
        return snapshot
    told = tuple(
        Problem(
            source=f"check/{check}", message=why, hint="report it; what the check found before stands until it runs"
        )
        for check, why in crashed.items()
    )
    sources = {each.source for each in told}
    others = tuple(each for each in snapshot.errors if each.source not in sources)
    return msgspec.structs.replace(snapshot, errors=others + told)


def _filled(
    snapshot: NodeSnapshot, expected: dict[tuple[str, int], Expectation], findings: tuple[Finding, ...]
) -> NodeSnapshot:
    """The snapshot with what was concluded."""
    by_device: dict[str | None, list[Finding]] = {}
    for finding in findings:
        by_device.setdefault(finding.device, []).append(finding)
    ports = tuple(_port(port, expected, by_device) for port in snapshot.ports)
    return msgspec.structs.replace(snapshot, node=_node(snapshot.node, ports, findings), ports=ports, findings=findings)


def _port(port: Port, expected: dict[tuple[str, int], Expectation], by_device: dict[str | None, list[Finding]]) -> Port:
    expectation = expected.get((port.device, port.port))
    state = expectation.expected if expectation is not None else "unknown"
    rate = port.max_rate_gbps
    if expectation is not None and expectation.rate_sure and expectation.rate_gbps is not None:
        rate = max(rate or 0.0, expectation.rate_gbps)
    judged = port.state is not None and not (state != "up" and port.state != "ACTIVE")
    found = by_device.get(port.device)
    own = [finding for finding in found if finding.port in (port.port, None)] if found else []
    health = health_of(own, judged)
    if (port.expected, port.health, port.max_rate_gbps) == (state, health, rate):
        return port
    return msgspec.structs.replace(port, expected=state, health=health, max_rate_gbps=rate)


def _node(node: Node, ports: tuple[Port, ...], findings: tuple[Finding, ...]) -> Node:
    wanted = [port for port in ports if port.expected == "up"]
    rates = [port.max_rate_gbps if port.state != "ACTIVE" and port.max_rate_gbps else port.rate_gbps for port in wanted]
    known = [rate for rate in rates if rate is not None]
    return msgspec.structs.replace(
        node,
        health=health_of(findings, any(port.state is not None for port in ports)),
        ports_up=sum(1 for port in wanted if port.state == "ACTIVE"),
        ports_expected=len(wanted),
        rate_gbps=sum(known) if known else None,
        findings=counts(findings),
    )
