"""The verbs client and those who do not wait for it to the end."""

import asyncio
import contextlib

from agent.verbs.client import VerbsClient
from diagnostics.errors import Unreachable


async def test_a_start_goes_on_when_the_first_to_ask_gives_up() -> None:
    client = VerbsClient()
    try:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(client.devices(), 0.01)
        assert client.pid is None, "the worker was there before anybody could give up"
        with contextlib.suppress(Unreachable):
            await client.devices()
        assert client.pid is not None
        assert client.state != "not started"
    finally:
        await client.close()
