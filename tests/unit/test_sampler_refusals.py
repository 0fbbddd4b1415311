"""What the kernel refuses, once or for good: a device that is not listed is not gone, and one failure hides none."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator

import pytest

from agent.readers.ethtool import CapturedStatistics
from agent.readers.netlink import QueuePair, Rdma
from agent.sampler import Sampler
from diagnostics.model import Counter, NodeSnapshot
from tests.made_tree import MadeTree

DEADLINE_S = 0.3


@pytest.fixture
def sampler(made: MadeTree) -> Iterator[Sampler]:
    made.device("mlx5_0")
    made.device("mlx5_1")
    sampler = Sampler(str(made.path), "node-a", deadline_s=DEADLINE_S)
    yield sampler
    sampler.close()


def counter(snapshot: NodeSnapshot, name: str, which: str, source: str = "counters") -> Counter:
    return next(c for c in snapshot.counters if (c.device, c.name, c.source) == (name, which, source))


def look(sampler: Sampler) -> NodeSnapshot:
    """A sample; never within the millisecond in which two readings are one."""
    time.sleep(0.002)
    sampler.tick()
    return sampler.snapshot()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_devices_that_cannot_be_listed_are_not_gone(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    look(sampler)
    real = os.listdir

    def refuses(path: str) -> list[str]:
        if str(path).endswith(("/sys/class/infiniband", "/ports")):
            raise OSError(code, os.strerror(code), path)
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuses)
        sampler.refresh()
        found = look(sampler)
    assert [each.gone_since for each in found.devices] == [None, None]
    assert [(each.device, each.port) for each in found.ports] == [("mlx5_0", 1), ("mlx5_1", 1)]
    assert counter(found, "mlx5_0", "port_xmit_data").quality == "ok"
    assert [(each.source, os.strerror(code) in each.message) for each in found.errors] == [("devices", True)]
    assert look(sampler).errors == ()
    shutil.rmtree(sampler.root.path + "/sys/class/infiniband")
    assert all(each.gone_since for each in look(sampler).devices)


def test_a_folder_that_cannot_be_looked_at_is_not_a_device_that_is_gone(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(sampler)
    real = os.stat

    def refuses(path: object, **given: object) -> os.stat_result:
        if str(path).endswith("infiniband/mlx5_0"):
            raise OSError(errno.EIO, "Input/output error", path)
        return real(path, **given)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuses)
        assert [each.gone_since for each in look(sampler).devices] == [None, None]


@pytest.mark.parametrize(
    ("code", "asked_again"), [(errno.EAGAIN, True), (errno.EBUSY, True), (errno.EOPNOTSUPP, False)]
)
def test_statistics_that_fail_at_first_sight_are_asked_again_unless_there_are_none(
    sampler: Sampler, made: MadeTree, monkeypatch: pytest.MonkeyPatch, code: int, asked_again: bool
) -> None:
    made.write("sys/class/net/eth0/operstate", "up")
    made.write("sys/class/infiniband/mlx5_0/device/net/eth0/address", "aa")
    made.write("ethtool/eth0.txt", "NIC statistics:\n     rx_discards_phy: 4\n")

    def fails(_: CapturedStatistics) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(CapturedStatistics, "read", fails)
        sampler.refresh()
        look(sampler)
    groups = [group for group in sampler._watched["mlx5_0"].reader.groups if group.source == "ethtool"]
    assert len(groups) == asked_again
    for group in groups:
        group._retry = (time.monotonic(), 1.5)
    values = [each.value for each in look(sampler).counters if each.name == "rx_discards_phy"]
    assert values == ([4] if asked_again else [])


class FakeNetlink:
    """Two devices; the first one's dump fails while `failing`."""

    failing = True

    def devices(self) -> list[Rdma]:
        return [Rdma(0, "mlx5_0"), Rdma(1, "mlx5_1")]

    def queue_pairs(self, device: int) -> list[QueuePair]:
        if device == 0 and self.failing:
            raise OSError(errno.EIO, "Input/output error")
        return [QueuePair(1, 7, "RC", None, "nvme_rdma")]

    def close(self) -> None: ...


def test_one_device_whose_queue_pairs_cannot_be_listed_hides_no_other(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.readers.processes.Netlink", FakeNetlink)
    look(sampler)
    sampler._read_processes()
    found = sampler.snapshot()
    assert [each.device for each in found.processes] == ["mlx5_1"]
    assert [(each.source, each.message) for each in found.errors] == [
        ("processes", "the kernel does not list the queue pairs of mlx5_0: Input/output error")
    ]
    monkeypatch.setattr(FakeNetlink, "failing", False)
    sampler._read_processes()
    assert [each.device for each in sampler.snapshot().processes] == ["mlx5_0", "mlx5_1"]
    assert sampler.snapshot().errors == ()


def test_a_problem_of_before_does_not_outlive_the_kernels_rdma(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    look(sampler)
    monkeypatch.setattr("agent.readers.processes.Netlink", FakeNetlink)
    sampler._read_processes()
    monkeypatch.setattr("agent.readers.processes.Netlink", absent)
    sampler._read_processes()
    assert (sampler.snapshot().processes, sampler.snapshot().errors) == ((), ())
