"""What the device plugins should have registered with the kubelet, and what of their configuration cannot work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from diagnostics.cluster.operator.inventory import DRIVER, RDMA_PLUGIN, SRIOV_PLUGIN
from diagnostics.cluster.operator.pods import PodCard, epoch
from diagnostics.cluster.operator.scene import Scene
from diagnostics.cluster.operator.trouble import Cause, Trouble, fact, named, sorted_nodes

PREFIX = {RDMA_PLUGIN: "rdma", SRIOV_PLUGIN: "intel.com"}
LISTS = {RDMA_PLUGIN: "configList", SRIOV_PLUGIN: "resourceList"}
NAME = re.compile(r"^[a-zA-Z0-9_]+$")
"""k8s-rdma-shared-dev-plugin, pkg/resources; the operator's webhook takes `-` and `.` too."""
SETTLES_S = 120.0
"""A plugin that just started has not registered yet: it looks for devices each 60 s."""


def resource_troubles(scene: Scene) -> Iterator[Trouble]:
    for component in (RDMA_PLUGIN, SRIOV_PLUGIN):
        entries, problems = _entries(scene, component)
        for kind, words in problems:
            yield Trouble(
                "component-degraded",
                component,
                f"config.{kind}",
                "warning",
                f"the configuration of {component} cannot work: {words}",
                (),
                "correct its config in the policy; the operator restarts the plugin",
                verdict="degraded",
            )
        if not scene.objects.hidden("nodes") and not scene.objects.hidden("pods"):
            for resource in entries:
                yield from _missing(scene, component, resource)


def _entries(scene: Scene, component: str) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """Resource -> its entry, of every configuration there is; and what is wrong with them."""
    texts = [part["config"] for part in scene.asked.get(component, ()) if isinstance(part.get("config"), str)]
    if component == RDMA_PLUGIN and not texts and scene.index.of(component):
        texts = [text for each in scene.objects.of("configmaps").values() for text in each.data.values()]
    found: dict[str, dict[str, Any]] = {}
    problems: list[tuple[str, str]] = []
    for text in texts:
        try:
            entries = msgspec.json.decode(text)[LISTS[component]]
        except (msgspec.MsgspecError, KeyError, TypeError) as error:
            problems.append(("json", f"not the JSON that it should be ({error})"))
            continue
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict):
                continue
            name = str(entry.get("resourceName", ""))
            problems += _lint(component, entry, name)
            found[f"{entry.get('resourcePrefix') or PREFIX[component]}/{name}"] = entry
    return found, problems


def _lint(component: str, entry: dict[str, Any], name: str) -> Iterator[tuple[str, str]]:
    if not NAME.match(name):
        yield f"name.{name}", f'resourceName "{name}" has characters that the plugin refuses'
    if component == RDMA_PLUGIN and entry.get("devices") and (entry.get("selectors") or {}).get("ifNames"):
        yield f"both.{name}", f"{name} has both devices and selectors.ifNames"


def _missing(scene: Scene, component: str, resource: str) -> Iterator[Trouble]:
    """Nodes where the plugin runs and the resource is 0 or not there; grouped by what it comes from."""
    lost: set[str] = set()
    none: set[str] = set()
    runs = 0
    for ref in scene.index.of(component):
        for card in scene.index.pods[ref.kind, ref.key].cards.values():
            node = scene.nodes.get(card.node)
            if card.phase != "ok" or node is None or card.node in scene.not_ready or card.node in scene.waiting:
                continue
            runs += 1
            if node.status.allocatable.get(resource, "0") not in ("0", ""):
                continue
            if _before_kubelet(scene, card):
                lost.add(card.node)
            elif (age := scene.age(card.started)) is None or age > SETTLES_S or resource in node.status.capacity:
                none.add(card.node)
    causes = (
        Cause("component-failed", component),
        Cause("component-degraded", component),
        Cause("component-failed", DRIVER),
    )
    if lost:
        yield Trouble(
            "resource-missing",
            component,
            f"kubelet.{resource}",
            "warning",
            f"{resource} is 0 on {named(lost)}: the plugin's pod there is older than the last start of the kubelet, "
            "and has not registered again",
            sorted_nodes(lost),
            "delete the plugin's pod on that node",
            (fact(f"nodes without {resource}", len(lost), "nodes"),),
            causes,
            layer="resources",
        )
    if none:
        everywhere = len(none) == runs and runs > 1
        why = (
            "its selectors match nothing anywhere"
            if everywhere
            else "its selectors match nothing there, or character devices are missing"
        )
        yield Trouble(
            "resource-missing",
            component,
            f"none.{resource}",
            "warning",
            f"{resource} is 0 on {named(none)}, where the plugin runs: {why}",
            sorted_nodes(none),
            "compare vendors, deviceIDs, drivers and ifNames with the node; modprobe rdma_ucm ib_umad",
            (fact(f"nodes without {resource}", len(none), "nodes"), fact("nodes where the plugin runs", runs, "nodes")),
            causes,
            layer="resources",
        )


def _before_kubelet(scene: Scene, card: PodCard) -> bool:
    ready = next((each for each in scene.nodes[card.node].status.conditions if each.type == "Ready"), None)
    since = epoch(ready.last_transition_time) if ready is not None else None
    return since is not None and card.started is not None and card.started < since - 1.0
