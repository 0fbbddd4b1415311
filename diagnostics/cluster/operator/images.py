"""What a component runs against what its policy asks for."""

from __future__ import annotations

from diagnostics.cluster.operator.index import WorkloadRef
from diagnostics.cluster.operator.inventory import DRIVER, OPERATOR, Row
from diagnostics.cluster.operator.scene import Scene, part_at, tag_of
from diagnostics.cluster.operator.trouble import Cause, Trouble


def version_of(scene: Scene, row: Row, refs: list[WorkloadRef]) -> tuple[str | None, str | None]:
    """The tag that runs, and the one that is asked for."""
    runs = wanted = None
    for ref in refs:
        containers = {each.name: each.image for each in ref.object.spec.template.spec.containers}
        for container, path in row.images or tuple((name, "") for name in list(containers)[:1]):
            if container in containers and runs is None:
                runs = tag_of(containers[container]) or None
                wanted = _asked(scene, ref, path)[1] or None
    if wanted is None and row.component in scene.asked and row.images:
        part = part_at(scene.asked[row.component][0], row.images[0][1])
        wanted = part.get("version") or None
    return runs, wanted


def _asked(scene: Scene, ref: WorkloadRef, path: str) -> tuple[str, str]:
    """(repository/image, version) as the policy has it; "" where it does not say."""
    part, common = scene.parts_for(ref)
    here = part_at(part, path)
    image, repository = here.get("image") or "", here.get("repository") or common.get("repository") or ""
    version = here.get("version") or common.get("version") or ""
    return (f"{repository}/{image}" if image and repository else ""), str(version)


def image_troubles(scene: Scene, row: Row, ref: WorkloadRef) -> list[Trouble]:
    """A workload that is not what the policy asks for: the operator has not brought it there."""
    if row.component not in scene.asked:
        return []
    containers = {each.name: each.image for each in ref.object.spec.template.spec.containers}
    for container, path in row.images:
        image = containers.get(container)
        name, version = _asked(scene, ref, path)
        if image is None or not version:
            continue
        if not _is(image, name, version, prefix=row.component == DRIVER):
            return [
                Trouble(
                    "component-drift",
                    row.component,
                    f"{ref.name}.image",
                    "warning",
                    f"{row.title} runs {image}; the policy asks for {name + ':' if name else ''}{version}",
                    (),
                    f"see the operator's log: it has not brought {ref.place} to what is asked for",
                    (),
                    (Cause("component-", OPERATOR, False), Cause("component-failed", "nic-cluster-policy", False)),
                    verdict="drift",
                    commands=(f"kubectl get {ref.place} -n {ref.namespace} -o wide",),
                )
            ]
    return []


def _is(image: str, name: str, version: str, *, prefix: bool) -> bool:
    tag = tag_of(image)
    same = tag == version or (prefix and tag.startswith(f"{version}-"))
    if not same:
        return False
    base = image.partition("@")[0] if "@" in image else image[: -len(tag) - 1]
    return not name or base == name
