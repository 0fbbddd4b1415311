"""Words of kubelets, containers and plugins whose cause is known: a row each, looked for in messages and logs."""

from __future__ import annotations

import re
from typing import NamedTuple


class Signature(NamedTuple):
    pattern: re.Pattern[str]
    says: str
    hint: str


def _row(pattern: str, says: str, hint: str) -> Signature:
    return Signature(re.compile(pattern, re.IGNORECASE), says, hint)


SIGNATURES: tuple[Signature, ...] = (
    _row(
        r"module \S+ is in use|is in use by|failed.*(openibd|unload)|(openibd|unload).*fail",
        "modules of the host hold the inbox RDMA stack, so the driver container cannot unload it",
        "ofedDriver.env UNLOAD_STORAGE_MODULES=true, UNLOAD_THIRD_PARTY_RDMA_MODULES=true; or blacklist them",
    ),
    _row(
        r"kernel[- ]headers|linux-headers|kernel-devel",
        "the driver cannot be built: the headers of the running kernel are not found",
        "give the container a repository that has them (ofedDriver.repoConfig), or use a precompiled driver",
    ),
    _row(
        r"incorrect RDMA subsystem network namespace",
        "the RDMA subsystem is in exclusive network-namespace mode, which the shared plugin refuses",
        "set ib_core netns_mode=1 and reboot, or use the SR-IOV plugin; not both models on one node",
    ),
    _row(
        r"missing RDMA device spec|RDMA device .* not found",
        "RDMA character devices of the HCA are missing",
        "modprobe rdma_ucm ib_umad; a plugin from 1.5.2 on needs no issm",
    ),
    _row(
        r"error getting pod: Unauthorized|Unauthorized",
        "the token in Multus' kubeconfig is not accepted any more",
        "restart kube-multus-ds; a version that renews its token does not come into this",
    ),
    _row(
        r"lockdown",
        "the kernel is locked down (secure boot), so firmware cannot be configured from the node",
        "set the firmware parameters out of band, or disable secure boot",
    ),
    _row(
        r"VF GUID is not valid|guid.*(zero|not valid|invalid)",
        "the virtual function has no valid GUID",
        "see IB Kubernetes and its connection to UFM; or write the GUID file of the SR-IOV operator",
    ),
    _row(
        r"exec format error",
        "the image is for another processor architecture",
        "use an image for this node's kubernetes.io/arch",
    ),
    _row(r"no space left on device", "the node's disk is full", "free space on the node"),
    _row(r"x509|certificate", "a certificate is not accepted", "see ofedDriver.certConfig and the registry's CA"),
    _row(
        r"not found|manifest unknown|no matching manifest",
        "the registry has no such image",
        "see the tag: does it exist for this OS and architecture?",
    ),
    _row(
        r"pull access denied|authentication required|denied|forbidden|unauthorized",
        "the registry refuses the credentials",
        "see imagePullSecrets of the component and the Secret it names",
    ),
)


def read(text: str) -> Signature | None:
    """The first row that knows such words."""
    return next((row for row in SIGNATURES if row.pattern.search(text)), None) if text else None
