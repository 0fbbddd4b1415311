"""Opening the two listening sockets, and saying clearly why one cannot be."""

from __future__ import annotations

import contextlib
import os
import socket
import stat

from agent.config import Address
from diagnostics.errors import Unreachable, UserError

BACKLOG = 128


def open_tcp(address: Address) -> socket.socket:
    """A listening socket; of an empty host, one for IPv6 and IPv4 together where there is IPv6."""
    try:
        if address.host == "" and socket.has_dualstack_ipv6():
            return socket.create_server(
                ("::", address.port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
            )
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as error:
        hint = f"another program may listen there: ss -ltnp 'sport = :{address.port}'"
        raise Unreachable(f"cannot listen on {address}: {error.strerror or error}", hint) from None


def open_unix(path: str) -> socket.socket:
    """A listening socket of mode 0600; a file that a dead agent left is replaced, a living agent is not."""
    _make_room(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # nobody else may connect in the time before a chmod
    try:
        listening.bind(path)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _not_here(path, error.strerror or str(error)) from None
    finally:
        os.umask(mask)
    return listening


def identity(path: str) -> tuple[int, int] | None:
    """Device and inode of the file, to know it again."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def remove_unix(path: str, made: tuple[int, int] | None) -> None:
    """Takes our file away, unless another agent has replaced it."""
    if made is not None and identity(path) == made:
        with contextlib.suppress(OSError):  # the next agent finds nobody listening, and replaces it
            os.unlink(path)


def _make_room(path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _not_here(path, error.strerror) from None
    if not stat.S_ISSOCK(mode):
        raise UserError(f"{path} is there, and is no socket", "give another path with --socket, or remove it")
    if _answers(path):
        raise UserError(f"another agent is running on {path}", "ask it, stop it, or give this one another --socket")
    try:
        os.unlink(path)
    except OSError as error:
        raise _not_here(path, error.strerror) from None


def _answers(path: str) -> bool:
    """Whether a process listens there; one whose queue is full, or who is not for us, does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True


def _not_here(path: str, why: str | None) -> Unreachable:
    hint = "run it as root, or give a path of your own: --socket $XDG_RUNTIME_DIR/rdmatop.sock"
    return Unreachable(f"cannot make the socket {path}: {why}", hint)
