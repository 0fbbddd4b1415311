"""Tests on real devices, seen from this machine: one boot runs them all, and each reports here as its own.

The guest's half writes every report as a JSON line into a folder that both see; this half waits for the lines of the
test whose turn it is. The boot starts when tests are collected and goes on beside the tests of this machine.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import places
from tests.lab.missing import must_run

TIME_LIMIT_S = 1200
REPORTS = "RDMATOP_LAB_REPORTS"
"""Environment variable of the guest: the file its reports go to."""


class Guest:
    """The virtual machine with the tests in it."""

    def __init__(self, config: pytest.Config, nodeids: list[str]) -> None:
        self.config = config
        self.folder = tempfile.TemporaryDirectory(prefix="rdmatop-lab-")
        self.path = Path(self.folder.name) / "reports"
        self.path.touch()
        self.output = Path(self.folder.name) / "output"
        self.started: str | None = None
        self.reports: dict[str, list[Any]] = {}
        self.finished: set[str] = set()
        self.read_bytes = 0
        arguments = Path(self.folder.name) / "tests"
        arguments.write_text("\n".join(nodeids))
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command(arguments), cwd=places.PROJECT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def command(self, arguments: Path) -> list[str]:
        # the plugins that a test needs by name: autoloading the others costs the guest 10 s
        plugins = ["-p", "pytest_asyncio.plugin", "-p", "tests.lab.relay_guest", "-p", "no:cacheprovider"]
        return [
            *(sys.executable, "-m", "tests.lab.vm", "--timeout", str(TIME_LIMIT_S), "--rw", self.folder.name),
            *("--env", f"{REPORTS}={self.path}", "--env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"),
            *("--env", "PYTHONDONTWRITEBYTECODE=1", "--", sys.executable, "-m", "pytest", *plugins, f"@{arguments}"),
        ]

    def poll(self) -> None:
        """Take in what the guest has reported since."""
        with self.path.open("rb") as file:
            file.seek(self.read_bytes)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.read_bytes += len(whole)
        for line in whole.splitlines():
            entry = json.loads(line)
            if "started" in entry:
                self.started = entry["started"]
            elif "finished" in entry:
                self.finished.add(entry["finished"])
            else:
                report = self.config.hook.pytest_report_from_serializable(config=self.config, data=entry)
                if isinstance(report.longrepr, list):
                    # of a skip: JSON has no tuples, and pytest insists on one
                    report.longrepr = tuple(report.longrepr)
                self.reports.setdefault(report.nodeid, []).append(report)

    def reports_of(self, item: pytest.Item) -> Iterator[Any]:
        """The reports of one test as they come, or one that says why there are none."""
        while item.nodeid not in self.finished:
            ended = self.process.poll() is not None
            self.poll()
            if item.nodeid in self.finished:
                break
            if ended:
                yield lost(item, self.why_ended(item))
                return
            time.sleep(0.1)
        yield from self.reports.pop(item.nodeid, [])

    def why_ended(self, item: pytest.Item) -> str:
        during = "during" if self.started == item.nodeid else "before"
        tail = self.output.read_text(errors="replace")[-4000:]
        return f"the virtual machine ended (exit {self.process.returncode}) {during} this test\n{tail}"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        self.folder.cleanup()


def lost(item: pytest.Item, reason: str, *, skipped: bool = False) -> pytest.TestReport:
    """A report for a test that did not run."""
    path, line, name = item.location
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="skipped" if skipped else "failed",
        longrepr=(str(path), line or 0, reason) if skipped else f"{name}: {reason}",
        when="setup",
    )


class Relay:
    """The pytest plugin of this machine's half."""

    def __init__(self) -> None:
        self.guest: Guest | None = None
        self.missing: str | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        items = [item for item in session.items if is_for_guest(item)]
        if not items or session.config.option.collectonly:
            return
        session.items[:] = [item for item in session.items if not is_for_guest(item)] + items
        self.missing = what_is_missing()
        if self.missing is None:
            self.guest = Guest(session.config, [item.nodeid for item in items])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not is_for_guest(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        if self.guest is None:
            reason = self.missing or "the virtual machine was not started"
            reports: Iterator[Any] = iter([lost(item, reason, skipped=not must_run())])
        else:
            reports = self.guest.reports_of(item)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_sessionfinish(self) -> None:
        if self.guest is not None:
            self.guest.close()


def is_for_guest(item: pytest.Item) -> bool:
    return item.get_closest_marker("vm") is not None


def what_is_missing() -> str | None:
    """Asks the runner itself, which boots nothing for it."""
    check = [sys.executable, "-m", "tests.lab.vm", "--check"]
    done = subprocess.run(check, cwd=places.PROJECT, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip()


def is_inside() -> bool:
    return os.environ.get("RUN_IN_VM") is not None
