"""Layer fleet: does a rail, or a whole node, differ from its peers on the other nodes?

No single node can say so: the functions registered here skip, and `judge_fleet` judges many readings at once.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from diagnostics.checks.base import Check, Judgement, Raised, State, Threshold, Unjudged, check, fact, label, row_of
from diagnostics.checks.errors import OURS
from diagnostics.checks.lifecycle import finding_id
from diagnostics.model import Finding, NodeSnapshot, Port

ALONE = "judged where a cluster is asked: one node has no peers on other nodes"

PEERS = Threshold("peers", 3, "other nodes", None, OURS)
SHARE = Threshold("share", 75, "% of the peers alike", None, OURS)
BENCH = Threshold("benchmark_points", 10, "points of percent under the median of the peers", None, OURS)
ERRORS = Threshold("errors_per_minute", 60, "errors a minute, and ten times the median of the peers", None, OURS)


@check(
    "rail-outlier",
    layer="fleet",
    title="A port differs from the same rail on other nodes",
    hint="compare cable, module, switch port and firmware of this port with those of the same rail on another node",
    thresholds=(PEERS, SHARE),
)
def rail_outlier(state: State) -> Judgement:  # noqa: ARG001
    """Meaning: the same port of the same card on most other nodes is up, faster, of another link layer or has another
    MTU. Collectives run at the pace of the slowest rail, and no counter says so.

    Evidence: the value here, that of the peers, and how many they are.

    Next: the cable and the switch port of this rail; `rdmatop get ports -o wide` over the cluster.
    """
    yield Unjudged("skip", ALONE)


@check(
    "node-outlier",
    layer="fleet",
    title="A node differs from its peers",
    hint="rdmatop get nodes -o wide; rdmatop get devices on this node and on a peer",
    thresholds=(PEERS, SHARE, BENCH, ERRORS),
)
def node_outlier(state: State) -> Judgement:  # noqa: ARG001
    """Meaning: nodes with the same card have more ports, another driver, a better loopback, or far fewer errors.

    Evidence: the value here, that of the peers, and how many they are.

    Next: what was changed on this node, or was not changed with the others.
    """
    yield Unjudged("skip", ALONE)


class Judgements(NamedTuple):
    """What the checks of this layer say of a node."""

    findings: tuple[Finding, ...]
    unjudged: Mapping[str, Sequence[Unjudged]]


class _Outlier(NamedTuple):
    check: str
    raised: Raised


def judge_fleet(snapshots: Iterable[NodeSnapshot], since: str) -> dict[str, Judgements]:
    """Node -> findings of this layer; `since` is the time they get."""
    nodes = list(snapshots)
    found: dict[str, list[_Outlier]] = defaultdict(list)
    judged: dict[str, set[str]] = defaultdict(set)
    _judge_rails(nodes, found, judged)
    _judge_nodes(nodes, found, judged)
    return {
        each.node.node: Judgements(
            tuple(_finding(each.node.node, outlier, since) for outlier in found[each.node.node]),
            {name: (_few(),) for name in ("rail-outlier", "node-outlier") if name not in judged[each.node.node]},
        )
        for each in nodes
    }


def _few() -> Unjudged:
    return Unjudged("skip", f"fewer than {PEERS.value:g} other nodes have the same card")


# Rails


def _judge_rails(nodes: list[NodeSnapshot], found: dict[str, list[_Outlier]], judged: dict[str, set[str]]) -> None:
    """A rail is a port of the same name and number on the same card; nodes of several generations do not mix."""
    rails: dict[tuple[str, int, str | None], list[Port]] = defaultdict(list)
    for node in nodes:
        cards = {device.device: device.card for device in node.devices}
        for port in node.ports:
            if port.gone_since is None and port.state is not None:
                rails[port.device, port.port, cards.get(port.device)].append(port)
    for ports in rails.values():
        if len(ports) <= PEERS.value:
            continue
        for port in ports:
            judged[port.node].add("rail-outlier")
        for raised, port in _rail(ports):
            found[port.node].append(_Outlier("rail-outlier", raised))


def _rail(ports: list[Port]) -> Iterable[tuple[Raised, Port]]:
    up = [port for port in ports if port.state == "ACTIVE"]
    if len(up) < len(ports) and len(up) >= _majority(len(ports)):
        for port in ports:
            # Where the node itself expects the port up, link-down has said so.
            if port.state != "ACTIVE" and port.expected != "up":
                text = f"{label(port.device, port.port)} is {port.state}; the same rail is up on {len(up)} other nodes"
                yield _raised("warning", text, port, "nodes with this rail up", len(up), len(ports)), port
    for name, words in (("rate_gbps", "Gb/s"), ("link_layer", ""), ("mtu_bytes", "bytes MTU")):
        usual, count = _usual([getattr(port, name) for port in up])
        if usual is None:
            continue
        for port in up:
            value = getattr(port, name)
            if value is None or value == usual:
                continue
            faster = name == "rate_gbps" and value > usual
            text = (
                f"{label(port.device, port.port)}: {_said(value, words)}; the same rail on {count} other nodes: "
                f"{_said(usual, words)}"
            )
            yield _raised("info" if faster else "warning", text, port, name, value, usual), port


def _raised(severity: Any, text: str, port: Port, name: str, value: Any, usual: Any) -> Raised:
    evidence = (fact(name, _number(value), against=_number(usual), source="the peers"),)
    return Raised(severity, text, port.device, port.port, evidence=evidence, key=name)


# Nodes


def _judge_nodes(nodes: list[NodeSnapshot], found: dict[str, list[_Outlier]], judged: dict[str, set[str]]) -> None:
    groups: dict[str, list[NodeSnapshot]] = defaultdict(list)
    for node in nodes:
        cards = Tally(device.card for device in node.devices if device.card is not None and device.function != "vf")
        if cards:
            groups[cards.most_common(1)[0][0]].append(node)
    for peers in groups.values():
        if len(peers) <= PEERS.value:
            continue
        for node in peers:
            judged[node.node.node].add("node-outlier")
        for raised, name in _node(peers):
            found[name].append(_Outlier("node-outlier", raised))


def _node(peers: list[NodeSnapshot]) -> Iterable[tuple[Raised, str]]:
    rows = [each.node for each in peers]
    usual, count = _usual([row.ports_expected for row in rows])
    for row in rows:
        if usual is not None and row.ports_expected < usual:
            text = f"{row.ports_expected} ports are expected here; {count} nodes with the same card have {usual}"
            yield _differs("warning", text, "ports expected", row.ports_expected, usual), row.node
    driver, count = _usual([row.driver_version for row in rows])
    for row in rows:
        if driver is not None and row.driver_version not in (None, driver):
            text = f"driver {row.driver_version} here; {count} nodes with the same card have {driver}"
            yield _differs("info", text, f"driver {row.driver_version}", None, None), row.node
    yield from _measured(rows)


def _measured(rows: list[Any]) -> Iterable[tuple[Raised, str]]:
    known = [row.benchmark for row in rows if row.benchmark is not None]
    if len(known) > PEERS.value:
        middle = _median(known)
        for row in rows:
            if row.benchmark is not None and row.benchmark < middle - BENCH.value:
                text = f"its loopback reaches {row.benchmark:.0f} %; the median of {len(known)} nodes is {middle:.0f} %"
                yield _differs("warning", text, "loopback of expected, %", row.benchmark, middle), row.node
    errors = [row.errors_per_minute for row in rows if row.errors_per_minute is not None]
    if len(errors) > PEERS.value:
        middle = _median(errors)
        for row in rows:
            value = row.errors_per_minute
            if value is not None and value > ERRORS.value and value > 10 * middle:
                text = f"{value:,.0f} errors a minute; the median of {len(errors)} nodes is {middle:,.0f}"
                yield _differs("warning", text, "errors a minute", value, middle), row.node


def _differs(severity: Any, text: str, name: str, value: float | None, usual: float | None) -> Raised:
    return Raised(severity, text, evidence=(fact(name, value, against=usual, source="the peers"),), key=name)


# What both use


def _usual(values: list[Any]) -> tuple[Any, int]:
    """The value that most have, and how many; None where they are few or not of one mind."""
    known = [value for value in values if value is not None]
    if len(known) <= PEERS.value:
        return None, 0
    value, count = Tally(known).most_common(1)[0]
    return (value, count) if count >= _majority(len(known)) else (None, 0)


def _median(values: list[float]) -> float:
    """`statistics` costs every command 15 ms of import."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _majority(count: int) -> float:
    """Of `count` with the outlier among them."""
    return SHARE.value / 100 * count


def _said(value: Any, unit: str) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".rstrip()


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _finding(node: str, outlier: _Outlier, since: str) -> Finding:
    row, raised = row_of(outlier.check), outlier.raised
    return finding_of(node, row, raised, since)


def finding_of(node: str, row: Check, raised: Raised, since: str) -> Finding:
    """A finding of the whole picture; the same each time it is looked at, since nobody remembers its beginning."""
    return Finding(
        id=finding_id(node, (row.id, raised.device, raised.port, raised.key), 1),
        node=node,
        device=raised.device,
        port=raised.port,
        component=None,
        check=row.id,
        layer=row.layer,
        severity=raised.severity,
        message=raised.message,
        evidence=raised.evidence,
        since=since,
        hint=raised.hint or row.hint,
        follows=None,
        acknowledged=False,
        unread=raised.unread,
    )
