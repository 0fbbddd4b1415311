"""From a process's cgroup to its pod, in every form a kubelet makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.readers.netlink import QueuePair
from agent.readers.processes import Owner, count, parse_cgroup

UID = "0f6a1f2c-8f0a-4a5e-9c3c-6a1b2c3d4e5f"
ID = "9a" * 32
STATIC = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"0::/kubepods/burstable/pod{UID}/{ID}\n", Owner(UID, ID)),
        (f"0::/kubepods/pod{UID}/{ID}\n", Owner(UID, ID)),
        (
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope\n",  # noqa: E501
            Owner(UID, ID),
        ),
        (f"0::/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/crio-{ID}.scope/container\n", Owner(UID, ID)),
        (f"0::/../../pod{UID}/{ID}\n", Owner(UID, ID)),
        (f"0::/../../kubepods-besteffort-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope\n", Owner(UID, ID)),
        (f"0::/../{ID}\n", Owner(None, ID)),
        (
            f"12:pids:/kubepods/besteffort/pod{UID}/{ID}\n11:memory:/kubepods/besteffort/pod{UID}/{ID}\n0::/system.slice/containerd.service\n",
            Owner(UID, ID),
        ),
        (f"0::/kubepods/burstable/pod{STATIC}/{ID}\n", Owner(STATIC, ID)),
        (f"0::/system.slice/docker-{ID}.scope\n", Owner(None, ID)),
        (f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd:{ID}\n", Owner(UID, ID)),  # noqa: E501
        ("0::/user.slice/user-0.slice/session-3.scope\n", Owner(None, None)),
        ("0::/\n", Owner(None, None)),
        ("0::/podman.slice/pod-of-whales/x\n", Owner(None, None)),
        ("", Owner(None, None)),
    ],
)  # fmt: skip
def test_cgroup_paths(content: str, expected: Owner) -> None:
    assert parse_cgroup(content) == expected


@given(st.text(max_size=300))
def test_any_text_is_an_owner_or_none(content: str) -> None:
    owner = parse_cgroup(content)
    assert owner.pod_uid is None or len(owner.pod_uid) in (32, 36)
    assert owner.container_id is None or len(owner.container_id) == 64


def test_queue_pairs_are_counted_by_owner_port_and_type() -> None:
    pairs = [QueuePair(1, n, "RC", 41233, None) for n in range(510)]
    pairs += [
        QueuePair(1, 600, "UD", 41233, None),
        QueuePair(1, 1, "GSI", None, "ib_core"),
        QueuePair(2, 1, "GSI", 0, "x"),
    ]
    assert count(pairs) == {
        (1, 41233, None): {"RC": 510, "UD": 1},
        (1, None, "ib_core"): {"GSI": 1},
        (2, None, "x"): {"GSI": 1},
    }
