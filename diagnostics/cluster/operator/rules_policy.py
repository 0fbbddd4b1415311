"""The policy itself, and drift: releases, CRDs, fields and images that do not belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from diagnostics.cluster.operator.inventory import DRIVER, OPERATOR, POLICY, POLICY_NAME, ROW, ROWS, STATE_LABEL
from diagnostics.cluster.operator.releases import FIELDS, KNOWN_SPEC, NODE_SPEC, RENDERED, field_release
from diagnostics.cluster.operator.scene import Scene, month, tag_of
from diagnostics.cluster.operator.trouble import Cause, Trouble, fact, named, sorted_nodes

POLICY_CRD = "nicclusterpolicies.mellanox.com"
GENERATOR = "controller-gen.kubebuilder.io/version"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def policy_troubles(scene: Scene) -> Iterator[Trouble]:
    for policy in scene.other_policies:
        alone = scene.policy is None
        yield Trouble(
            "component-failed" if alone else "component-drift",
            POLICY,
            f"name.{policy.metadata.name}",
            "critical" if alone else "warning",
            f"NicClusterPolicy {policy.metadata.name} is ignored: only one named {POLICY_NAME} is honoured",
            (),
            f"make it again under the name {POLICY_NAME}",
            verdict="failed" if alone else "drift",
            commands=(f"kubectl get nicclusterpolicy {policy.metadata.name} -o yaml",),
        )
    for kind, policies in (("NicClusterPolicy", [scene.policy]), ("NicNodePolicy", list(scene.node_policies.values()))):
        for each in policies:
            if each is None:
                continue
            if each.status.state == "error" or (each.status.reason and each.status.state not in ("ready", "")):
                yield Trouble(
                    "component-failed",
                    POLICY,
                    f"state.{each.metadata.name}",
                    "critical",
                    f"{kind} {each.metadata.name} says {each.status.state}: {each.status.reason or 'no reason given'}",
                    (),
                    f"kubectl describe {kind.lower()} {each.metadata.name}",
                    verdict="failed",
                )
            if each.metadata.deletion_timestamp is not None:
                yield Trouble(
                    "component-degraded",
                    POLICY,
                    f"deleting.{each.metadata.name}",
                    "warning",
                    f"{kind} {each.metadata.name} is being deleted since {each.metadata.deletion_timestamp}",
                    (),
                    "see the operator's log: its finalizer is not done",
                    (),
                    (Cause("component-failed", OPERATOR, False),),
                    verdict="degraded",
                )
    yield from _twice(scene)


def _twice(scene: Scene) -> Iterator[Trouble]:
    """A component in both a NicClusterPolicy and a NicNodePolicy is refused by the operator."""
    if scene.policy is None:
        return
    for name, policy in scene.node_policies.items():
        both = [row.title for row in ROWS if row.field and row.field in policy.spec and row.field in scene.policy.spec]
        if both:
            yield Trouble(
                "component-drift",
                POLICY,
                f"twice.{name}",
                "warning",
                f"{', '.join(both)}: asked for by {POLICY_NAME} and by NicNodePolicy {name}; only one of them may",
                (),
                "take it out of one of the two",
                verdict="drift",
            )


def drift_troubles(scene: Scene) -> Iterator[Trouble]:
    release = scene.release()
    yield from _stale_states(scene)
    yield from _fields(scene, release)
    yield from _crds(scene, release)
    if release is not None:
        yield from _components(scene, release)
    yield from _loaded(scene)


def _stale_states(scene: Scene) -> Iterator[Trouble]:
    """The operator never takes a state out of its status."""
    for component, (state, _) in scene.says.items():
        row = ROW.get(component)
        gone = row is not None and row.removed is not None
        if state != "ignore" and gone and component not in scene.asked and not scene.index.of(component):
            yield Trouble(
                "version-drift",
                component,
                "stale-state",
                "info",
                f"the policy's status still says {component} {state}: it went with release "
                f"{row.removed if row else '?'}, "
                "and nothing of it is there",
                (),
                "nothing to do: the status keeps names of removed states",
            )


def _fields(scene: Scene, release: str | None) -> Iterator[Trouble]:
    """Fields that the release no longer knows: silently dropped."""
    for policy in filter(None, (scene.policy, *scene.node_policies.values())):
        gone = sorted(_unknown(policy.spec, release) | _dropped(policy.metadata.annotations.get(APPLIED), policy.spec))
        if gone:
            told = ", ".join(f"{each}{FIELDS.get(each, '')}" for each in gone)
            yield Trouble(
                "version-drift",
                POLICY,
                f"fields.{policy.metadata.name}",
                "warning",
                f"{policy.metadata.name} asks for what this release does not know: {told}",
                (),
                "see the release notes; take the field out of your manifest",
                (fact("unknown fields", len(gone)),),
                (),
                commands=(f"kubectl get nicclusterpolicy {policy.metadata.name} -o yaml",),
            )


def _unknown(spec: dict[str, Any], release: str | None) -> set[str]:
    paths = {*spec, *(f"{top}.{name}" for top in ("secondaryNetwork",) for name in spec.get(top) or {})}
    now = month(release) if release else None
    found = set()
    for path in paths:
        removed = field_release(path)
        if (removed is not None and (now is None or now >= removed)) or (path not in KNOWN_SPEC and removed is None):
            found.add(path)
    return found


def _dropped(applied: str | None, spec: dict[str, Any]) -> set[str]:
    """What was applied and the API server has thrown away."""
    if not applied:
        return set()
    try:
        wanted = msgspec.json.decode(applied).get("spec") or {}
    except (msgspec.MsgspecError, AttributeError):
        return set()
    found = {name for name in wanted if name not in spec}
    for name, value in wanted.items():
        if isinstance(value, dict) and isinstance(spec.get(name), dict):
            found |= {f"{name}.{each}" for each in value if each not in spec[name]}
    return found


def _crds(scene: Scene, release: str | None) -> Iterator[Trouble]:
    crds = scene.objects.of("crds")
    groups: dict[str, dict[str, list[str]]] = {}
    for name, crd in crds.items():
        version = crd.metadata.annotations.get(GENERATOR)
        group = name.partition(".")[2]
        if version and group in OURS:
            groups.setdefault(group, {}).setdefault(version, []).append(name)
    for group, versions in groups.items():
        if len(versions) > 1:
            told = "; ".join(
                f"{version}: {', '.join(sorted(n.partition('.')[0] for n in names))}"
                for version, names in sorted(versions.items())
            )
            yield Trouble(
                "version-drift",
                OPERATOR if group == "mellanox.com" else "sriov-network-operator" if "sriov" in group else group,
                f"crds.{group}",
                "warning",
                f"CRDs of {group} are of two bundles ({told})",
                (),
                "apply the CRDs of one bundle: that of the chart which is installed",
                (fact("bundles", len(versions)),),
                commands=("kubectl get crds",),
            )
    policy = crds.get(POLICY_CRD)
    fields = {
        name
        for version in (policy.spec.versions if policy else ())
        if (spec := version.schema.open_api.properties.get("spec"))
        for name in spec.properties
    }
    now = month(release) if release else None
    if fields and now is not None:
        lacking = sorted(
            path
            for path, (added, removed) in KNOWN_SPEC.items()
            if "." not in path
            and path not in NODE_SPEC
            and added <= now
            and (removed is None or now < removed)
            and path not in fields
        )
        left = sorted(path for path in fields if (removed := field_release(path)) is not None and removed <= now)
        if lacking or left:
            what = f"lacks {', '.join(lacking)}" if lacking else f"still has {', '.join(left)}"
            yield Trouble(
                "version-drift",
                OPERATOR,
                "crd-old",
                "warning",
                f"the CRD {POLICY_CRD} {what}: it is older than the operator {release} (Helm does not raise CRDs)",
                (),
                "apply the chart's crds folder: helm show crds, or upgradeCRDs=true",
                commands=(f"kubectl get crd {POLICY_CRD} -o yaml",),
            )


OURS = frozenset(
    (
        "mellanox.com",
        "sriovnetwork.openshift.io",
        "configuration.net.nvidia.com",
        "nv-ipam.nvidia.com",
        "maintenance.nvidia.com",
    )
)


def _components(scene: Scene, release: str) -> Iterator[Trouble]:
    """Helm raises the operator and leaves the versions in the policy as they are."""
    now = month(release)
    behind: dict[str, list[str]] = {}
    for ref in scene.index.workloads.values():
        if STATE_LABEL not in ref.object.metadata.labels:
            continue
        for each in ref.object.spec.template.spec.containers:
            made_for = _release_of(ref.component, tag_of(each.image))
            if made_for is not None and month(made_for) != now:
                behind.setdefault(ref.component, []).append(made_for)
                break
            expected = RENDERED.get((release, each.image.partition("@")[0].rpartition("/")[2].partition(":")[0]))
            if expected is not None and made_for is None and not tag_of(each.image).startswith((expected, "sha256:")):
                behind.setdefault(ref.component, []).append(tag_of(each.image))
                break
    for component, tags in behind.items():
        row = ROW.get(component)
        yield Trouble(
            "version-drift",
            component,
            "release",
            "warning",
            f"{row.title if row else component} is of release {tags[0]}, the operator of {release}: "
            "a Helm upgrade does not raise versions in the policy",
            (),
            "raise the version in the policy to that of the operator's release",
            (),
            (Cause("component-drift", component, False),),
            commands=("kubectl edit nicclusterpolicy nic-cluster-policy",),
        )


def _release_of(component: str, tag: str) -> str | None:
    found = re.search(r"network-operator-v(\d{2}\.\d{1,2}\.\d+[-.\w]*)", tag)
    if found:
        return found.group(1)
    if component == DRIVER:
        built = re.search(r"(?:^|-)(\d{2}\.\d{2})-\d", tag)
        return built.group(1) if built else None
    return None


def _loaded(scene: Scene) -> Iterator[Trouble]:
    """The module that is really loaded, as the agent sees it, against the container that says it loaded it."""
    seen = scene.objects.of("rdmanodes")
    wrong: dict[tuple[str, str], set[str]] = {}
    for ref in scene.index.of(DRIVER):
        for card in scene.index.pods[ref.kind, ref.key].cards.values() if seen else ():
            agent = seen.get(card.node)
            tag = tag_of(dict(card.images).get("mofed-container", ""))
            loaded = agent.status.driver_version if agent is not None else None
            if card.phase == "ok" and loaded and tag and not tag.startswith("sha256:") and loaded not in tag:
                wrong.setdefault((loaded, tag), set()).add(card.node)
    for (loaded, tag), nodes in wrong.items():
        yield Trouble(
            "version-drift",
            DRIVER,
            f"loaded.{loaded}",
            "warning",
            f"{named(nodes)}: mlx5_core {loaded} is loaded, though the driver pod is {tag}",
            sorted_nodes(nodes),
            "the modules were not reloaded: see the driver's log; delete the driver pod",
            (fact("nodes", len(nodes), "nodes"),),
            (Cause("component-", DRIVER),),
        )
