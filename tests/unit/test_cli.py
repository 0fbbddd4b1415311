"""The command line itself: what it accepts, how it answers what is wrong, and what it leaves unimported."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from diagnostics import kinds, model
from diagnostics.errors import UserError
from tests.unit.fake_node import struct
from tui import cli
from tui.commands import bench, get, output
from tui.options import Options, seconds
from tui.sources.once import Ran

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a script runs it: no terminal, its own process."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("RDMATOP", "LC_", "LANG", "COLUMNS"))
    }
    return subprocess.run(
        [sys.executable, "-m", "tui.cli", *words],
        cwd=ROOT, env=kept | environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("command", [command.name for command in cli.COMMANDS])
def test_every_command_teaches_by_example_and_names_its_exit_codes(command: str) -> None:
    helped = run(command, "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith(f"usage: rdmatop {command}")
    assert f"examples:\n  rdmatop {command}" in helped.stdout.replace('eval "$(', "").replace('zsh)"', "")
    assert "exit codes:\n  0" in helped.stdout
    assert run("help", command).stdout == helped.stdout


def test_help_lists_every_command() -> None:
    for words in ((), ("--help",), ("help",)):
        text = run(*words or ("-h",)).stdout
        assert all(f"\n  {command.name} " in text for command in cli.COMMANDS)
        assert "130 interrupted" in text


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["gett", "ports"], 2, "did you mean get?"),
        (["get", "prots"], 2, "did you mean ports?"),
        (["get"], 2, "see: rdmatop get --help"),
        (["get", "ports", "-o", "xml"], 2, "invalid choice: 'xml'"),
        (["get", "ports", "--sort-by", "spede"], 2, "did you mean speed?"),
        (["get", "ports", "--watsh"], 2, "unrecognized arguments: --watsh"),
        (["get", "ports", "--interval", "0.01"], 2, "choose between 0.2 and 60 seconds"),
        (["get", "ports", "--interval", "nan"], 2, "not a time"),
        (["get", "ports", "--request-timeout", "soon"], 2, "not a time"),
        (["get", "ports", "--fingerprint", "abc"], 2, "64 hexadecimal digits"),
        (["get", "workloads"], 3, "needs a cluster"),
        (["get", "nodes", "-l", "a=b"], 3, "no cluster: no kubeconfig"),
        (["get", "ports", "-A"], 3, "run with --local"),
        (["get", "ports", "--kubeconfig", "/x"], 3, "nothing at /x"),
        (["bench", "pair", "a", "b"], 3, "needs a cluster"),
        (["bench", "lopback"], 2, "did you mean loopback?"),
        (["bench", "loopback", "--size", "3G"], 2, "not a size"),
        (["bench", "loopback", "--size", "1"], 2, "out of range"),
        (["bench", "loopback", "--size", "16M"], 2, "out of range"),
        (["bench", "loopback", "mlx5_0/x"], 2, "write DEVICE or DEVICE/PORT"),
        (["bench", "loopback", "--qps", "0"], 2, "at least 1"),
        (["bench", "loopback", "--latency", "--bidirectional"], 2, "choose one"),
        (["explain", "port_xmit_wiat"], 3, "did you mean port_xmit_wait?"),
        (["schema", "prots"], 2, "did you mean ports?"),
        (["completion", "tcsh"], 2, "there are: bash, zsh, fish"),
        (["get", "ports", "--root", "/nowhere"], 3, "does not exist"),
        (["get", "ports", "--root", "/etc/passwd"], 3, "is not a directory"),
        (["get", "ports", "--root", str(ROOT)], 3, "not a captured tree"),
        (["get", "ports", "--socket", "/nowhere.sock"], 3, "rdmatop agent --socket /nowhere.sock"),
        (["get", "ports", "--agent", "https://127.0.0.1:1"], 3, "is the agent running"),
        (["get", "ports", "--agent", "ftp://x"], 2, "write https://HOST:9879"),
        (["get", "ports", "--agent", "https://x:99999999"], 2, "write https://HOST:9879"),
        (["get", "ports", "--agent", "https://x", "--token-file", "/nowhere"], 2, "--token-file /nowhere"),
        (["get", "ports", "--agent", "http://x", "--token-file", "/dev/null"], 2, "would travel readable"),
        (["agent", "--interval", "0"], 2, "0.2 to 60 seconds"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_code_and_no_traceback(words: list[str], code: int, says: str) -> None:
    ended = run(*words)
    assert ended.returncode == code, ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) <= 3


def test_a_script_that_asks_nobody_gets_an_envelope_that_says_so() -> None:
    ended = run("get", "ports", "-o", "json", "--socket", "/nowhere.sock")
    answer = msgspec.json.decode(ended.stdout)
    assert ended.returncode == 3
    assert (answer["kind"], answer["items"]) == ("PortList", [])
    assert answer["errors"][0]["message"] in ended.stderr


def test_the_plugin_is_called_as_kubectl_calls_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubectl-rdmatop"])
    assert cli.main(["get", "--help"]) == 0
    assert "usage: kubectl rdmatop get" in capfd.readouterr().out
    assert cli.main(["gett"]) == 2
    assert capfd.readouterr().err.startswith("kubectl rdmatop: ")


def test_options_may_stand_before_and_after_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []
    monkeypatch.setattr(get, "run", lambda _, options: seen.append(options) or 0)
    monkeypatch.setenv("RDMATOP_SOCKET", "/env.sock")
    assert cli.main(["--root", "/a", "--interval", "2", "get", "ports", "--node-name", "n"]) == 0
    assert cli.main(["--root", "/a", "get", "ports", "--root", "/b"]) == 0
    assert cli.main(["get", "ports", "--socket", "/c"]) == 0
    assert (seen[0].root, seen[0].interval_s, seen[0].node_name, seen[0].local) == ("/a", 2.0, "n", True)
    assert seen[1].root == "/b"
    assert (seen[0].socket, seen[2].socket, seen[2].local) == ("/env.sock", "/c", False)


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10.0), ("500ms", 0.5), ("1m", 60.0), ("2h", 7200.0), ("1.5s", 1.5), (None, 7.0)]
)
def test_times_are_written_as_kubectl_writes_them(text: str | None, value: float) -> None:
    assert seconds(text, "--x", 7.0) == value


@pytest.mark.parametrize("text", ["", "s", "-1", "inf", "nan", "1d", "0"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        seconds(text, "--x", 7.0)


@pytest.mark.parametrize("word", ["ports", "port", "PortList", "PORTS"])
def test_a_kind_has_many_spellings(word: str) -> None:
    assert get.kind_named(word) == "ports"
    assert get.kind_named("process") == get.kind_named("ProcessList") == "processes"


def test_sorting_largest_first_is_one_word() -> None:
    assert cli.joined(["ports", "--sort-by", "-tx"]) == ["ports", "--sort-by=-tx"]
    assert cli.joined(["ports", "--sort-by"]) == ["ports", "--sort-by"]


# What the terminal can show


@pytest.mark.parametrize(
    ("environment", "terminal", "colour"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "0"}, False, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(environment: dict[str, str], terminal: bool, colour: bool) -> None:
    assert output.wants_colour(environment, terminal) is colour


@pytest.mark.parametrize(
    ("environment", "encoding", "ascii_only"),
    [
        ({"LANG": "de_DE.UTF-8"}, "utf-8", False),
        ({}, "utf-8", False),
        ({"LC_CTYPE": "C.UTF-8"}, "utf-8", False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "C"}, "utf-8", True),
        ({"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "C.utf8"}, "utf-8", False),
        ({"LANG": "de_DE.UTF-8"}, "iso-8859-1", True),
        ({"LANG": "de_DE.ISO-8859-1"}, "utf-8", True),
    ],
)
def test_glyphs_are_for_terminals_that_have_them(environment: dict[str, str], encoding: str, ascii_only: bool) -> None:
    assert output.is_ascii(environment, encoding) is ascii_only


# The other commands


def test_a_counter_is_explained_with_its_source() -> None:
    text = run("explain", "port_rcv_data").stdout
    assert text.startswith("port_rcv_data\n  ")
    assert "counts 4 of them" in text
    assert "traffic" in text
    family = run("explain", "rx_prio3_pause").stdout
    assert "congestion" in family


def test_without_a_name_every_counter_is_listed() -> None:
    text = run("explain").stdout
    assert "port_xmit_wait" in text
    assert max(map(len, text.splitlines())) <= 80


def test_schema_of_a_kind_holds_for_what_the_types_encode() -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    schema = msgspec.json.decode(run("schema", "gids").stdout)
    gid = model.Gid(node="n", device="d", port=1, index=0, gid="fe80::1", type=None, netdev=None)
    whole = model.Envelope(kind="GidList", time="t", items=(gid,))
    validator = jsonschema.validator_for(schema)
    assert validator.is_valid(msgspec.to_builtins(whole))
    assert not validator.is_valid(msgspec.to_builtins(whole) | {"kind": "PortList"})
    assert not validator.is_valid(msgspec.to_builtins(whole) | {"items": [{"node": "n"}]})


def test_schema_of_everything_defines_every_kind() -> None:
    defined = msgspec.json.decode(run("schema").stdout)["$defs"]
    assert set(kinds.LIST_KINDS.values()) | {"NodeSnapshot", "BenchmarkRequest"} <= set(defined)


def test_version_as_data() -> None:
    from diagnostics.version import VERSION

    assert msgspec.json.decode(run("version", "-o", "json").stdout)["version"] == VERSION
    assert run("--version").stdout.startswith(f"rdmatop {VERSION} ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_code_names_both_commands(shell: str) -> None:
    code = run("completion", shell).stdout
    assert "rdmatop" in code
    assert "kubectl-rdmatop" in code


def test_the_shell_is_told_devices_of_the_root_that_is_asked(tmp_path: Path) -> None:
    for device in ("mlx5_0", "mlx5_1"):
        (tmp_path / "sys/class/infiniband" / device / "ports/1").mkdir(parents=True)
    assert asked(f"rdmatop --root {tmp_path} get ports mlx5_0") == ["mlx5_0", "mlx5_0/1"]
    assert asked("rdmatop get po") == ["ports"]
    assert asked("rdmatop bench loop") == ["loopback"]
    assert {"get", "explain", "version"} <= set(asked("rdmatop "))


def asked(line: str) -> list[str]:
    """What argcomplete answers on descriptor 8, as the shell's function reads it."""
    environment = os.environ | {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "_ARGCOMPLETE_SHELL": "bash",
    }  # fmt: skip
    command = f"{sys.executable} -m tui.cli 8>&1 9>/dev/null 1>/dev/null 2>/dev/null"
    done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    return [word.strip() for word in done.stdout.split("\n") if word.strip()]


# How it ends


def test_a_reader_that_leaves_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m tui.cli explain | head -1; echo ${{PIPESTATUS[0]}}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


def test_a_full_disk_is_said() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tui.cli", "explain"],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


# Benchmarks


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("64", (64,)),
        ("64,4K,1M", (64, 4096, 1 << 20)),
        ("64KiB, 64k", (65536,)),
        ("8M", (8 << 20,)),
        ("all", tuple(2**power for power in range(1, 24))),
    ],
)
def test_sizes(text: str, sizes: tuple[int, ...]) -> None:
    assert bench.sizes_of(text) == sizes


def benchmark(**given: Any) -> model.Benchmark:
    return struct(
        model.Benchmark, **{"id": "b", "kind": "loopback", "node": "n", "state": "done", "verdict": "pass"} | given
    )


@pytest.mark.parametrize(
    ("items", "more", "strict", "code"),
    [
        ([{"verdict": "pass"}, {"verdict": "note"}], {}, True, 0),
        ([{"verdict": "warn"}], {}, False, 0),
        ([{"verdict": "warn"}], {}, True, 1),
        ([{"verdict": "fail", "state": "failed"}], {}, False, 1),
        ([{"verdict": "unknown", "state": "failed"}], {}, False, 3),
        ([{"verdict": "pass"}, {"verdict": "unknown", "state": "failed"}], {}, False, 4),
        ([{"verdict": "fail"}, {"verdict": "unknown", "state": "failed"}], {}, False, 1),
        ([{"verdict": "pass"}], {"errors": (model.Problem(source="s", message="m"),)}, False, 4),
        ([{"verdict": "unknown", "state": "cancelled"}], {"interrupted": True}, False, 130),
        ([], {}, False, 3),
    ],
)
def test_exit_codes_of_benchmarks(items: list[dict[str, Any]], more: dict[str, Any], strict: bool, code: int) -> None:
    assert bench.exit_code(Ran(tuple(benchmark(**item) for item in items), **more), strict) == code


def test_an_interrupt_while_cancelling_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("agent.benchmarks.local.run_all", twice)
    assert cli.main(["bench", "loopback", "--local"]) == 130
