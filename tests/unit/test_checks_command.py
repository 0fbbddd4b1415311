"""`rdmatop check` as it is typed: text, JSON, exit codes, two captures, a manifest."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diagnostics.checks import REGISTRY
from diagnostics.errors import UserError
from tui.commands import check
from tui.options import add_common, options_of

ROOT = Path(__file__).resolve().parents[2]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    add_common(parser)
    found = parser.parse_args(list(words))
    code = check.run(found, options_of(found))
    return code, capsys.readouterr().out


def report(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code, text = run(capsys, *words, "-o", "json")
    return code, json.loads(text)


@pytest.mark.parametrize(
    ("tree", "options", "code"),
    [
        ("gcm-a100-hdr", (), 0),
        ("gcm-a100-edr-rate", (), 0),
        ("gcm-a100-edr-rate", ("--strict",), 1),
        ("gpud-h100-ndr", ("--strict",), 0),
    ],
)
def test_exit_codes(
    trees: Path, capsys: pytest.CaptureFixture[str], tree: str, options: tuple[str, ...], code: int
) -> None:
    assert run(capsys, "--root", str(trees / tree), *options)[0] == code


def test_report_has_the_contracts_fields(trees: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, made = report(capsys, "--root", str(trees / "gcm-a100-edr-rate"), "--node-name", "a100")
    assert code == 0
    assert list(made) == ["schema", "kind", "time", "passed", "health", "checks", "findings", "errors"]
    assert (made["schema"], made["kind"], made["passed"], made["health"]) == (
        "rdmatop.dev/v1",
        "CheckReport",
        True,
        {"a100": "warning"},
    )
    assert [each["check"] for each in made["checks"]] == list(REGISTRY)
    assert {tuple(each) for each in made["checks"]} == {("check", "layer", "node", "status", "reason")}
    status = {each["check"]: each["status"] for each in made["checks"]}
    assert (status["link-slow"], status["link-down"], status["symbol-errors"], status["gid-missing"]) == (
        "warn",
        "pass",
        "unknown",
        "skip",
    )
    assert all(each["reason"] for each in made["checks"] if each["status"] in ("warn", "fail", "skip", "unknown"))
    assert {each["node"] for each in made["findings"]} == {"a100"}


def test_two_captures_are_two_readings(trees: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = trees / "derived-cx5-cx6-roce-rnr"
    words = ("--root", str(tree / "after"), "--since-root", str(tree / "before"), "--interval", "10")
    code, made = report(capsys, *words, "--strict")
    assert code == 1 and made["passed"] is False
    first, second = made["findings"][:2]
    assert (first["check"], first["device"], first["severity"]) == ("rnr", "rocep1s0f0", "warning")
    assert {each["name"]: (each["value"], each["window_s"]) for each in first["evidence"]} == {
        "req_rnr_retries_exceeded": (1.0, 10.0),
        "rnr_nak_retry_err": (1.0, 10.0),
    }
    assert second["follows"] == first["id"]


def test_one_of_the_two_alone_judges_no_counter(trees: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, made = report(capsys, "--root", str(trees / "derived-cx5-cx6-roce-rnr/after"))
    assert made["findings"] == []


def test_text_puts_the_cause_first_and_sums_up(trees: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = trees / "derived-cx5-cx6-roce-rnr"
    _, text = run(capsys, "--root", str(tree / "after"), "--since-root", str(tree / "before"), "--interval", "10")
    lines = text.splitlines()
    assert lines[0].startswith("▲ rnr  rocep1s0f0/1") and "next:" in text
    assert "  · remote-errors" in text and "(follows from the above)" in text
    assert lines[-1].startswith("passed: 0 critical, 1 warnings")


def test_manifest_on_the_command_line(trees: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wanted = tmp_path / "manifest.yaml"
    wanted.write_text("devices: 9\nports: {mlx5_0/1: {rate_gbps: 400}}\n")
    code, made = report(capsys, "--root", str(trees / "gcm-a100-hdr"), "--manifest", str(wanted))
    assert code == 1
    assert {(each["check"], each["device"]) for each in made["findings"]} == {
        ("device-missing", None),
        ("link-slow", "mlx5_0"),
    }


def test_what_cannot_be_meant(trees: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tree = str(trees / "gcm-a100-hdr")
    for words in (
        ("--since-root", tree),
        ("--root", tree, "--since-root", tree, "-w"),
        ("--root", tree, "--manifest", "/no/such"),
        ("--root", tree, "--interval", "-1", "--since-root", tree),
    ):
        with pytest.raises(UserError) as refused:
            run(capsys, *words)
        assert refused.value.code == 2


def test_tree_that_is_none_is_out_of_reach_and_says_so_in_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, made = report(capsys, "--root", str(tmp_path / "nothing"))
    assert (code, made["passed"], made["checks"]) == (3, False, []) and made["errors"][0]["source"] == "check"


def test_tree_without_a_device_is_out_of_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sys/class/net").mkdir(parents=True)
    code, made = report(capsys, "--root", str(tmp_path))
    assert (code, made["findings"]) == (3, []) and made["errors"]


def test_a_node_may_be_named(trees: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "a100", "--node-name", "a100", "--root", str(trees / "gcm-a100-hdr"))[0] == 0


def test_another_node_needs_a_cluster(trees: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, made = report(capsys, "gpu-999", "--root", str(trees / "gcm-a100-hdr"))
    assert code == 3 and "gpu-999" in made["errors"][0]["message"]


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_failed_verdict_fails_though_nobody_reads_it(tmp_path: Path, form: str) -> None:
    """`rdmatop check | head -1`: the reader may have left before the first line."""
    (tmp_path / "sys/class/infiniband").mkdir(parents=True)
    wanted = tmp_path / "manifest.yaml"
    wanted.write_text("devices: 9\n")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "tui.cli", "check", "--root", str(tmp_path)]
    with os.fdopen(write, "wb") as nobody:
        words = [*command, "--manifest", str(wanted), "-o", form]
        done = subprocess.run(words, cwd=ROOT, stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
