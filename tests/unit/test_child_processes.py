"""The agent's own child processes take no module from the folder that the agent was started in."""

import pytest

from agent.server.certificate import make_pair
from agent.verbs.client import VerbsClient

NAMES = ("selectors", "ipaddress", "socket", "argparse", "msgspec", "struct", "agent", "diagnostics", "pyverbs")


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A working directory full of hostile modules; each leaves this file when it is imported."""
    found = tmp_path / "was-imported"
    folder = tmp_path / "cwd"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(found)!r}, 'a').write({name!r})\nraise SystemExit(3)\n")
    monkeypatch.chdir(folder)
    return found


@pytest.mark.parametrize("path", [None, "", "."])
def test_a_certificate_is_made_without_them(marker, monkeypatch, path):
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    assert make_pair("node-7").certificate.startswith(b"-----BEGIN")
    assert not marker.exists()


async def test_the_verbs_worker_starts_without_them(marker):
    client = await VerbsClient.start_child()
    try:
        assert client.pid is not None, client.state
        assert not marker.exists()
    finally:
        await client.close()
