"""The captured trees against what their READMEs say, and command outputs of the same and other machines as trees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.sampler import Sampler
from diagnostics.checks.engine import Judge
from diagnostics.model import Finding, NodeSnapshot
from diagnostics.windows import PairWindows
from tests.shared import ROOT, shared_path
from tests.unit.made_node import device, down, port, roce, snapshot

EXPECTED: dict[str, dict[str, Any]] = msgspec.yaml.decode((ROOT / "tests/trees/expected.yaml").read_bytes())


def read(root: Path) -> NodeSnapshot:
    sampler = Sampler(str(root), "node")
    try:
        sampler.refresh()
        sampler.tick()
        return sampler.snapshot()
    finally:
        sampler.close()


def judged(root: Path) -> NodeSnapshot:
    judge = Judge()
    if (root / "before").is_dir():
        before, after = read(root / "before"), read(root / "after")
        judge.observe(before, 1000.0, 1000.0)
        found = judge.step(after, PairWindows(before, after, 10.0), 1010.0, 1010.0)[0]
    else:
        found = judge.step(read(root), None, 1000.0, 1000.0)[0]
    failures = [each for reasons in judge.unjudged.values() for each in reasons if "the check failed" in each.reason]
    assert not failures
    return found


def named(finding: Finding) -> str:
    where = (
        "" if finding.device is None else finding.device if finding.port is None else f"{finding.device}/{finding.port}"
    )
    return f"{finding.severity} {finding.check} {where}".rstrip()


@pytest.mark.parametrize("tree", EXPECTED)
def test_captured_tree(trees: Path, tree: str) -> None:
    want = EXPECTED[tree]
    found = judged(trees / tree)
    assert found.node.health == want["health"]
    assert [named(each) for each in found.findings if each.severity != "info"] == want.get("findings", [])
    notes = {named(each).removeprefix("info ") for each in found.findings if each.severity == "info"}
    assert set(want.get("notes", [])) <= notes
    for expected in ("up", "spare", "unknown"):
        for name in want.get(expected, []):
            assert {f"{each.device}/{each.port}": each.expected for each in found.ports}[name] == expected, name


def test_every_tree_has_an_expectation(trees: Path) -> None:
    assert {each.name for each in trees.iterdir() if each.is_dir()} == set(EXPECTED)


def test_link_down_is_the_first_note_of_the_tree_with_a_port_down(trees: Path) -> None:
    assert named(judged(trees / "derived-cx4lx-roce-4port").findings[0]) == "info link-down mlx5_1/1"


# Other machines, from the output of ibstat


def from_ibstat(text: str) -> NodeSnapshot:
    """The node that an output of ibstat describes."""
    ports, devices, now = [], [], {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(":")
        if line.startswith("CA "):
            now = {"name": line.split("'")[1]}
        now[key] = value.strip()
        if key == "Link layer":
            hca_type = now["CA type"] or None
            vf = hca_type == "MT4126"
            devices.append(
                device(
                    now["name"],
                    hca_type=hca_type,
                    board_id=None,
                    firmware=now["Firmware version"] or None,
                    sys_image_guid=now["System image GUID"],
                    card=None,
                    pcie=None,
                    pci_address=None,
                    function="vf" if vf else "pf" if hca_type else "virtual",
                    bluefield=hca_type == "MT41692",
                    bond="_bond_" in now["name"] or None,
                )
            )
            made = port if now["Link layer"] == "InfiniBand" else roce
            ports.append(
                made(
                    now["name"],
                    state=now["State"].upper(),
                    phys_state=now["Physical state"],
                    lanes=None,
                    speed=None,
                    rate_gbps=float(now["Rate"].split()[0]),
                    mtu_bytes=None,
                    netdev=None,
                    netdev_admin_up=None,
                    netdev_mtu_bytes=None,
                )
            )
    return snapshot(ports, devices)


IBSTAT = (
    "4-eth-8-ib-3-down",
    "a100-8-ib-1-eth-active",
    "h100-12-roce-active",
    "h100-8-ndr-bf3-bond",
    "mooncake-h100-roce",
    "rxe-two-devices",
)


@pytest.mark.parametrize("name", IBSTAT)
def test_healthy_machines_of_captured_ibstat_are_silent(name: str) -> None:
    """The three ports that are down in the first one are spare: most of their kind are down while all others are up."""
    node = from_ibstat(shared_path(f"data/captures/ibstat/{name}.txt").read_text())
    found = Judge().step(node, None, 1000.0, 1000.0)[0]
    assert [named(each) for each in found.findings if each.severity != "info"] == []
    assert found.node.health == "healthy"


@pytest.mark.parametrize("name", ["4-eth-8-ib-3-down", "h100-8-ndr-bf3-bond", "h100-12-roce-active"])
def test_one_of_eight_ports_polling_is_found_on_the_same_machines(name: str) -> None:
    node = from_ibstat(shared_path(f"data/captures/ibstat/{name}.txt").read_text())
    sick = tuple(down(each) if each.device == "mlx5_9" else each for each in node.ports)
    found = Judge().step(msgspec.structs.replace(node, ports=sick), None, 1000.0, 1000.0)[0]
    assert [named(each) for each in found.findings if each.severity != "info"] == ["critical link-down mlx5_9/1"]
    assert found.node.health == "failed"


def test_same_machine_by_command_output_and_by_tree(trees: Path) -> None:
    """`ibstatus` of the SR-IOV pod shows ten devices, three of them active: so does its tree."""
    text = shared_path("data/captures/ibstatus/sriov-server-pod.txt").read_text()
    active = text.count("state:\t\t 4: ACTIVE")
    found = judged(trees / "derived-openshift-sriov-server-pod")
    assert (len(found.ports), found.node.ports_up) == (text.count("Infiniband device"), active)
