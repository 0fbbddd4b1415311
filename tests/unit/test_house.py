"""The house rules that no other test would see broken: layers, cost of import, sizes, the lock, what must not leak."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES, MAX_TEST_LINES = 400, 500
TABLES = {"diagnostics/model.py"}
"""One idea, however long: the wire types in one place."""
THIS_FILE = "tests/unit/test_house.py"


def tracked(*patterns: str) -> list[str]:
    """The files of the repository; in a copy without git, all that match."""
    command = ["git", "ls-files", "--cached", "--", *patterns]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]
    return [
        str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.rglob(pattern) if ".venv" not in path.parts
    ]


def modules_after(program: str) -> set[str]:
    code = f"import sys\n{program}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_layers_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    assert command.exists(), "make setup installs it"
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_ports_are_listed_without_what_only_screens_clusters_and_servers_need(tmp_path: Path) -> None:
    (tmp_path / "sys/class/infiniband").mkdir(parents=True)
    program = "from tui.cli import main\n"
    program += f"main(['get', 'ports', '-o', 'json', '--root', {str(tmp_path)!r}])"
    assert not modules_after(program) & {"textual", "kubernetes", "aiohttp", "asyncio", "pyverbs"}


def test_the_agent_starts_without_pyverbs_and_kubernetes() -> None:
    loaded = modules_after("import agent.main, agent.monitor, agent.sampler, agent.server.service, agent.verbs.client")
    assert "aiohttp" in loaded
    assert not loaded & {"pyverbs", "kubernetes", "textual"}


def test_a_running_agent_has_neither_pyverbs_nor_kubernetes_nor_textual_in_its_process(tmp_path: Path) -> None:
    """pyverbs is looked up by name, which no rule about imports sees: so an agent runs, and tells what it has."""
    (tmp_path / "root/sys/class/infiniband").mkdir(parents=True)
    words = ["agent", "--root", str(tmp_path / "root"), "--socket", str(tmp_path / "s"), "--state-dir", str(tmp_path)]
    program = "import os, signal, threading, time\nfrom tui.cli import main\n"
    program += "def end():\n"
    program += f"    while not os.path.exists({str(tmp_path / 's')!r}): time.sleep(0.05)\n"
    program += "    time.sleep(1.0)\n    os.kill(os.getpid(), signal.SIGTERM)\n"
    program += f"threading.Thread(target=end, daemon=True).start()\nassert main({words!r}) in (0, 130)"
    loaded = modules_after(program)
    assert {"aiohttp", "agent"} <= loaded
    assert not loaded & {"pyverbs", "kubernetes", "textual"}


def test_no_file_holds_two_ideas() -> None:
    lines = {name: (ROOT / name).read_text().count("\n") for name in tracked("*.py")}
    assert lines
    long = {name: count for name, count in lines.items() if count > limit_of(name) and name not in TABLES}
    assert long == {}


def limit_of(name: str) -> int:
    return MAX_TEST_LINES if name.startswith("tests/") else MAX_LINES


def test_the_lock_has_a_hash_for_everything_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    pins = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^ *#.*\n", "", text).strip())
    assert len(pins) > 40
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin or "==" not in pin] == []
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links|\bfile:", text) == []


@pytest.mark.parametrize("command", ["run", "test", "setup", "bench", "lint", "help"])
def test_make_knows(command: str) -> None:
    done = subprocess.run(["make", "--dry-run", command], cwd=ROOT, capture_output=True, text=True, env=without_make())
    assert done.returncode == 0, done.stderr


def without_make() -> dict[str, str]:
    """Not the options of a `make test` that this test may run under."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def test_continuous_integration_runs_what_a_person_runs() -> None:
    lines = [line for line in (ROOT / ".ci/run").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.startswith("exec")] == ["exec make test"]
    assert lines[-1] == "exec make test"
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "make test" in (ROOT / "README.md").read_text()


def test_nothing_of_one_machine_or_unfinished_stands_in_a_file() -> None:
    forbidden = re.compile(r"(?<![\w.-])/(?:work|farm)/|/tmp/(?:w|trees)\b|\b(?:TODO|FIXME|XXX)\b|^<<<<<<< ")
    found = []
    for name in tracked("*.py", "*.md", "*.toml", "*.sh", "*.yaml", "*.lock", "Makefile", ".ci/run", "tests/lab/*"):
        path = ROOT / name
        if name == THIS_FILE or path.is_symlink() or b"\0" in path.read_bytes()[:1024]:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            found += [f"{name}:{number}: {match[0]}" for match in forbidden.finditer(line)]
    assert found == []


def test_licences_stand_where_they_hold() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    lab = ROOT / "tests/lab/rxe_lab"
    assert "GNU GENERAL PUBLIC LICENSE" in (lab / "LICENSE").read_text()
    for source in ("rxe_lab.c", "patch.py"):
        assert "SPDX-License-Identifier: GPL-2.0" in (lab / source).read_text().splitlines()[0]
    derived = [
        name for name in tracked("*.py", "*.c") if "SPDX-License-Identifier: GPL-2.0" in (ROOT / name).read_text()
    ]
    assert {Path(name).parts[:3] for name in derived if name != THIS_FILE} == {("tests", "lab", "rxe_lab")}
