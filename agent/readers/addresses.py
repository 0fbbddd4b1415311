"""The addresses of all netdevs, in one answer: while they stay the same, so do the GID tables made from them."""

from __future__ import annotations

import struct

from agent.readers.netlink import NLMSG_DONE, NLMSG_ERROR, attributes, messages

NETLINK_ROUTE = 0
RTM_GETADDR = 22
REQUEST_DUMP = 0x301
IFA_ADDRESS = 1
MESSAGE_BYTES = 1 << 16
TIMEOUT_S = 2.0
MESSAGES = 4096


def fingerprint() -> int | None:
    """Changes when an address of any netdev comes or goes; None where the kernel does not tell."""
    import socket

    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE) as asking:
            asking.settimeout(TIMEOUT_S)
            asking.bind((0, 0))
            asking.send(struct.pack("=IHHIIB7x", 24, RTM_GETADDR, REQUEST_DUMP, 1, 0, 0))
            found: list[bytes] = []
            for _ in range(MESSAGES):
                for kind, payload in messages(asking.recv(MESSAGE_BYTES), 1):
                    if kind == NLMSG_DONE:
                        return hash(tuple(found))
                    if kind == NLMSG_ERROR:
                        return None
                    found.append(identify(payload))
    except OSError:
        return None
    return None


def identify(payload: bytes) -> bytes:
    """Of struct ifaddrmsg and its attributes, the interface and the address: lifetimes count down and are left out."""
    head = payload[0:1] + payload[4:8]
    return head + b"".join(payload[at:end] for kind, at, end in attributes(payload, 8) if kind == IFA_ADDRESS)
