"""The verbs client and those who do not wait for it to the end."""

import asyncio
import contextlib
import os
import pathlib

import pytest

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


LIFE = """
import os, socket, sys, time
from agent.verbs.protocol import MAX_REQUEST_BYTES, VERSION, AskDevices, Deframer, Devices, Hello
from agent.verbs.protocol import decode_request, encode

stream = socket.socket(fileno=int(sys.argv[2]))
deframer = Deframer(MAX_REQUEST_BYTES)
first = not os.path.exists(os.environ["LIVES"])
with open(os.environ["LIVES"], "a") as lives:
    lives.write(f"{os.getpid()}\\n")
if os.environ.get("MUTE"):
    time.sleep(600)
stream.sendall(encode(Hello(version=VERSION, state="ok", pid=os.getpid())))
while data := stream.recv(65536):
    for body in deframer.feed(data):
        question = decode_request(body)
        if isinstance(question, AskDevices):
            if first:
                stream.close()
                time.sleep(0.6)
                sys.exit(7)
            time.sleep(0.8)
            stream.sendall(encode(Devices(id=question.id, devices=())))
"""
"""A worker that closes the connection when it is asked, and ends later; in its next life it answers."""


@pytest.fixture
def lives(tmp_path):
    """The environment in which a child is the worker above, and the file that tells which children there were."""
    for package in ("agent", "agent/verbs"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(
            "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n"
        )
    (tmp_path / "agent/verbs/worker.py").write_text(LIFE)
    root = str(pathlib.Path(__file__).parents[2])
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}", "LIVES": str(tmp_path / "lives")}


async def test_the_death_of_one_worker_is_not_told_of_the_next(lives):
    client = await VerbsClient.start_child(lives)
    try:
        first = asyncio.create_task(client.devices())
        await asyncio.sleep(0.3)  # the first worker has closed the connection, and has not ended yet
        assert await client.devices() == ()
        assert client.state == "ok"
        assert await first == ()
    finally:
        await client.close()


async def test_a_child_that_never_greets_is_ended(lives, monkeypatch):
    monkeypatch.setattr("agent.verbs.client.GREETING_S", 1.0)
    client = await VerbsClient.start_child({**lives, "MUTE": "1"})
    try:
        assert "no answer in 1 s" in client.state
        with pytest.raises(ProcessLookupError):
            os.kill(_first(lives), 0)
        assert client._writer is None
    finally:
        await client.close()


def _first(lives) -> int:
    """The process id of the first child."""
    return int(pathlib.Path(lives["LIVES"]).read_text().split()[0])
