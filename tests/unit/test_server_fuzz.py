"""The interface fuzzed against its own OpenAPI: every answer must be one that the description promises."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from tests.unit.live_agent import OPERATOR, live_agent

SECONDS = os.environ.get("RDMATOP_FUZZ_SECONDS", "25")


async def test_the_interface_keeps_its_own_description(tmp_path, caplog):
    """For `RDMATOP_FUZZ_SECONDS`; the endless stream is left out, `test_server_routes.py` reads it."""
    caplog.set_level("ERROR")
    async with live_agent(tmp_path) as agent:
        fuzzer = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"http://127.0.0.1:{agent.port}/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {OPERATOR}",
            "--exclude-path",
            "/v1/stream",
            "--exclude-checks",
            "use_after_free",  # a benchmark that was cancelled is still there to be read
            "--max-time",
            SECONDS,
            "--continue-on-failure",
            "--request-timeout",
            "5",
            "--generation-database",
            "none",
            "--seed",
            "1",
            "--no-color",
            "--warnings",
            "off",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        output, _ = await asyncio.wait_for(fuzzer.communicate(), float(SECONDS) + 120)
        if fuzzer.returncode != 0:
            pytest.fail(output.decode()[-20000:], pytrace=False)
        assert agent.monitor.missed <= 20
