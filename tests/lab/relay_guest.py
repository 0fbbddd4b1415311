"""The guest's half of tests/lab/relay.py: each report of pytest as a JSON line into the folder that both see."""

import json
import os
from typing import Any

import pytest

from tests.lab.relay import REPORTS


def pytest_configure(config: pytest.Config) -> None:
    if path := os.environ.get(REPORTS):
        config.pluginmanager.register(Writer(config, path))


class Writer:
    def __init__(self, config: pytest.Config, path: str) -> None:
        self.config = config
        self.file = open(path, "a", buffering=1)  # noqa: SIM115 - open as long as the session

    def write(self, entry: Any) -> None:
        self.file.write(json.dumps(entry) + "\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.write({"started": nodeid})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.write(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.write({"finished": nodeid})
