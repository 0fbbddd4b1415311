"""Commands for a node from outside, as root in the node's own namespaces: a server in the guest, and its caller.

`python3 -m tests.lab.kube.shell` serves, one connection a command, standard library alone. For a guest that is thrown
away, on a network that ends in this machine.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import subprocess
from typing import NamedTuple

PORT = 7000
CONNECT_S = 5.0


class Done(NamedTuple):
    """A command that ended. Its errors are part of its output."""

    code: int
    output: str


def run(address: str, script: str, limit_s: float = 120.0) -> Done:
    """Run a shell script on a node; the caller is in the lab's network namespace. Code 124 after `limit_s`.

    Raises OSError where the node does not answer.
    """
    with contextlib.closing(socket.create_connection((address, PORT), CONNECT_S)) as stream:
        stream.settimeout(limit_s + CONNECT_S)
        stream.sendall(json.dumps({"script": script, "limit_s": limit_s}).encode() + b"\n")
        answer = json.loads(stream.makefile("rb").read())
    return Done(answer["code"], answer["output"])


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        try:
            done = subprocess.run(
                ["bash", "-c", asked["script"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=asked["limit_s"],
            )  # fmt: skip
            code, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            code, output = 124, late.stdout or b""
        answer = {"code": code, "output": output.decode(errors="replace")}
        self.wfile.write(json.dumps(answer).encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("", PORT), Handler) as server:
        server.serve_forever()
