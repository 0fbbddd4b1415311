"""What `rdmatop get` prints of captured trees, byte for byte: RDMATOP_UPDATE_GOLDEN=1 writes what it prints now."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest

from diagnostics import kinds
from diagnostics.version import VERSION
from tui import cli

GOLDEN = Path(__file__).resolve().parents[1] / "golden_cli"
KINDS = ("nodes", "devices", "ports", "gids", "counters")
"""Findings are sentences of the checks, and held by their tests."""
TREES = ("gpud-h100-ndr", "gcm-a100-hdr", "derived-cx4lx-roce-4port", "derived-cx6-hdr-down-port", "constructed-vf")
ALL_TREES = (*TREES, "constructed-efa", "derived-rxe-veth", "derived-telegraf-mlx5-bond", "hwloc-mlx4-pci")


def printed(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(words) == 0
    return capfd.readouterr().out


def held(name: str, text: str) -> None:
    golden = GOLDEN / name
    if os.environ.get("RDMATOP_UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_bytes(text.encode())
    assert text == golden.read_bytes().decode(), f"{golden} differs: RDMATOP_UPDATE_GOLDEN=1 if that is meant"


@pytest.mark.parametrize("form", ["table", "wide", "name"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tree", TREES)
def test_tables(trees: Path, capfd: pytest.CaptureFixture[str], tree: str, kind: str, form: str) -> None:
    held(f"{tree}/{kind}.{form}", timeless(printed(capfd, "get", kind, "--root", str(trees / tree), "-o", form)))


@pytest.mark.parametrize("kind", ["nodes", "devices", "ports"])
@pytest.mark.parametrize("tree", TREES[:3])
def test_yaml(trees: Path, capfd: pytest.CaptureFixture[str], tree: str, kind: str) -> None:
    held(f"{tree}/{kind}.yaml", timeless(printed(capfd, "get", kind, "--root", str(trees / tree), "-o", "yaml")))


def timeless(text: str) -> str:
    """Without the moment of the reading, and our version."""
    return re.sub(r"^time: .*$", "time: NOW", text, flags=re.MULTILINE).replace(VERSION, "0.0.0")


@pytest.mark.parametrize("tree", ALL_TREES)
def test_ports_fit_80_columns(trees: Path, capfd: pytest.CaptureFixture[str], tree: str) -> None:
    text = printed(capfd, "get", "ports", "--root", str(trees / tree))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("kind", ["nodes", "devices", "ports", "gids", "counters"])
@pytest.mark.parametrize("tree", ALL_TREES)
def test_json_has_every_field_of_the_contract(
    trees: Path, capfd: pytest.CaptureFixture[str], tree: str, kind: str
) -> None:
    answer = msgspec.json.decode(printed(capfd, "get", kind, "--root", str(trees / tree), "-o", "json"))
    assert (answer["schema"], answer["kind"]) == ("rdmatop.dev/v1", kinds.LIST_KINDS[kind])
    fields = set(kinds.KINDS[kind].__struct_encode_fields__)
    assert all(set(item) == fields for item in answer["items"])
    assert answer["errors"] == []


def test_names_choose_and_unknown_ones_are_told(trees: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(trees / "gpud-h100-ndr")]
    assert printed(capfd, "get", "ports", "mlx5_0/1", "mlx5_4", "-o", "name", *root) == "mlx5_0/1\nmlx5_4/1\n"
    assert printed(capfd, "get", "counters", *root, "mlx5_0", "link_downed", "-o", "name") == "mlx5_0/1/link_downed\n"
    assert cli.main(["get", "ports", "mlx5_0", "mlx9", *root]) == 0
    assert "ports/mlx9: nothing of that name" in capfd.readouterr().err
    assert cli.main(["get", "ports", "mlx9", "-o", "json", *root]) == 3
    told = capfd.readouterr()
    assert "there are: mlx5_0, mlx5_0/1" in told.err
    assert msgspec.json.decode(told.out)["errors"][0]["source"] == "ports/mlx9"


def test_sorting_holds_for_every_format(trees: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(trees / "gpud-h100-ndr"), "-o", "name"]
    names = printed(capfd, "get", "devices", *root).splitlines()
    assert printed(capfd, "get", "devices", "--sort-by", "-device", *root).splitlines() == names[::-1]
    assert (
        printed(capfd, "get", "counters", "mlx5_0", "--sort-by", "-value", *root).splitlines()[0]
        == (max(values(capfd, root), key=lambda pair: pair[1])[0])
    )


def values(capfd: pytest.CaptureFixture[str], root: list[str]) -> list[tuple[str, int]]:
    answer = msgspec.json.decode(printed(capfd, "get", "counters", "mlx5_0", *root[:2], "-o", "json"))
    return [
        (f"{item['device']}/{item['port']}/{item['name']}", item["value"])
        for item in answer["items"]
        if item["value"] is not None
    ]


def test_a_tree_without_a_device_says_so_in_every_format(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sys/class").mkdir(parents=True)
    for form in ("table", "wide", "json", "yaml", "name"):
        assert cli.main(["get", "ports", "--root", str(tmp_path), "-o", form]) == 3
        told = capfd.readouterr()
        assert "no RDMA device" in told.err
        assert (told.out == "") == (form in ("table", "wide", "name"))
    assert cli.main(["get", "nodes", "--root", str(tmp_path)]) == 0
