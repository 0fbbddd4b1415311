"""Benchmarks without an agent: an interrupt loses nothing that was measured."""

import asyncio
import os
import signal

from agent.benchmarks import local
from diagnostics.model import BenchmarkRequest


class Slow:
    """Runs until it is cancelled, and takes a moment to say what was measured."""

    def __init__(self, *_):
        self.begun = asyncio.Event()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await asyncio.sleep(0.1)

    async def run(self, request):
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.2)
            return ("measured",), True


def test_a_second_interrupt_does_not_lose_what_was_measured(monkeypatch):
    monkeypatch.setattr(local, "_Local", Slow)
    outcome = local.run_all((BenchmarkRequest(),))
    assert outcome == (("measured",), (), True)
