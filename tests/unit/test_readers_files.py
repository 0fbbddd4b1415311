"""Kept descriptors: what fails is skipped or asked less often, what is replaced is followed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.readers import files
from agent.readers.counters import Folder
from agent.readers.files import CounterFiles, Vanished, parse
from agent.readers.root import Root
from tests.made_tree import MadeTree
from tests.shared import ROOT

FOLDER = "sys/counters"


@pytest.fixture
def folder(made: MadeTree) -> Iterator[Folder]:
    for name, value in {"a": 1, "b": 2, "lifespan": 10}.items():
        made.write(f"{FOLDER}/{name}", value)
    kept = Folder(Root(str(made.path)), FOLDER)
    yield kept
    kept.close()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(files, "time", made)
    return made


class Errors:
    """Makes chosen descriptors fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.by_fd: dict[int, int] = {}
        self.reads = 0
        real = os.pread

        def pread(fd: int, size: int, at: int) -> bytes:
            self.reads += 1
            if fd in self.by_fd:
                raise OSError(self.by_fd[fd], os.strerror(self.by_fd[fd]))
            return real(fd, size, at)

        monkeypatch.setattr(os, "pread", pread)


def test_values_in_the_order_of_names_without_what_is_no_counter(folder: Folder) -> None:
    assert folder.names == ("a", "b")
    assert folder.read() == [1, 2]


def test_a_value_that_changes_in_place_is_seen(folder: Folder, made: MadeTree) -> None:
    made.write(f"{FOLDER}/a", 5)
    assert folder.read() == [5, 2]


def test_a_file_that_is_replaced_is_followed_and_the_layout_stays(folder: Folder, made: MadeTree) -> None:
    names = folder.names
    made.write(f"{FOLDER}/new", 9)
    os.replace(made.path / FOLDER / "new", made.path / FOLDER / "a")
    assert folder.read() == [9, 2]
    assert folder.names is names


def test_a_file_that_comes_or_goes_makes_a_new_layout(folder: Folder, made: MadeTree) -> None:
    made.write(f"{FOLDER}/c", 3)
    assert folder.read() == [1, 2, 3]
    made.remove(f"{FOLDER}/a")
    assert folder.read() == [2, 3]
    assert folder.names == ("b", "c")


@pytest.mark.parametrize(
    ("content", "reason", "lasting"),
    [
        (b"N/A (no PMA)\n", "N/A (no PMA)", True),
        (b"", "empty", False),
        (b"\x00\xff\x1b[2J", "not a number", False),
        (b"-4\n", "not a number", False),
        (b"18446744073709551616\n", "not a number", False),
        (b"9" * 1_000_000, "not a number", False),
        (b"1_0\x00", "not a number", False),
    ],
)
def test_what_is_no_number_is_unknown_and_says_why(made: MadeTree, content: bytes, reason: str, lasting: bool) -> None:
    made.write(f"{FOLDER}/a", content)
    made.write(f"{FOLDER}/b", 2)
    kept = CounterFiles(Root(str(made.path)), FOLDER, ("a", "b"))
    assert kept.read() == [None, 2]
    assert kept.failures["a"].reason == reason
    assert kept.failures["a"].lasting is lasting
    kept.close()


def test_a_folder_in_a_files_place_fails_alone(made: MadeTree) -> None:
    made.write(f"{FOLDER}/a/x", 1)
    made.write(f"{FOLDER}/b", 2)
    kept = CounterFiles(Root(str(made.path)), FOLDER, ("a", "b"))
    assert kept.read() == [None, 2]
    assert kept.failures["a"].reason == "EISDIR"
    kept.close()


def test_a_link_that_leaves_the_tree_is_not_read(made: MadeTree) -> None:
    (made.path.parent / "secret").write_text("42")
    made.link(f"{FOLDER}/a", "../../../secret")
    kept = CounterFiles(Root(str(made.path)), FOLDER, ("a",))
    assert kept.read() == [None]
    assert kept.failures["a"].reason == "ELOOP"
    kept.close()


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENODATA])
def test_what_a_device_does_not_support_is_asked_once(
    made: MadeTree, monkeypatch: pytest.MonkeyPatch, clock: Clock, error: int
) -> None:
    made.write(f"{FOLDER}/a", 1)
    made.write(f"{FOLDER}/b", 2)
    kept = CounterFiles(Root(str(made.path)), FOLDER, ("a", "b"))
    errors = Errors(monkeypatch)
    errors.by_fd[kept._fds[0]] = error
    assert kept.read() == [None, 2]
    errors.reads = 0
    clock.now += 10_000
    assert kept.read() == [None, 2]
    assert errors.reads == 1
    assert kept.failures["a"].lasting
    kept.close()


def test_what_fails_for_a_while_is_asked_less_and_less_and_comes_back(
    made: MadeTree, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    made.write(f"{FOLDER}/a", 1)
    kept = CounterFiles(Root(str(made.path)), FOLDER, ("a",))
    errors = Errors(monkeypatch)
    bad = kept._fds[0]
    errors.by_fd[bad] = errno.EIO
    tries = []
    for second in range(60):
        before = errors.reads
        assert kept.read() == [None]
        if errors.reads > before:
            tries.append(second)
        clock.now += 1
    assert 4 <= len(tries) <= 8
    gaps = [b - a for a, b in pairwise(tries[1:])]
    assert gaps == sorted(gaps)
    assert kept.failures["a"].reason == "EIO"
    errors.by_fd.clear()
    clock.now += 1000
    assert kept.read() == [1]
    assert not kept.failures
    kept.close()


def test_a_device_that_is_gone_is_said_at_once(made: MadeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    made.write(f"{FOLDER}/a", 1)
    kept = CounterFiles(Root(str(made.path)), FOLDER, ("a",))
    Errors(monkeypatch).by_fd[kept._fds[0]] = errno.ENODEV
    with pytest.raises(Vanished):
        kept.read()
    kept.close()


def test_closing_gives_every_descriptor_back(made: MadeTree) -> None:
    for index in range(20):
        made.write(f"{FOLDER}/c{index}", index)
    before = len(os.listdir("/proc/self/fd"))
    kept = Folder(Root(str(made.path)), FOLDER)
    assert len(os.listdir("/proc/self/fd")) == before + 20
    made.write(f"{FOLDER}/more", 1)
    kept.read()
    kept.close()
    assert len(os.listdir("/proc/self/fd")) == before


@given(st.binary(max_size=40))
def test_any_bytes_are_a_64_bit_number_or_refused(data: bytes) -> None:
    try:
        value = parse(data)
    except ValueError:
        return
    assert 0 <= value < 1 << 64


def test_the_limit_of_open_files_is_raised_only_as_far_as_needed() -> None:
    program = (
        "import resource as r; from agent.readers.files import allow_descriptors as a;"
        "r.setrlimit(r.RLIMIT_NOFILE, (256, 2000)); a(0); print(r.getrlimit(r.RLIMIT_NOFILE)[0]);"
        "a(640); print(r.getrlimit(r.RLIMIT_NOFILE)[0]); a(10**6); print(r.getrlimit(r.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == ["512", "1152", "(2000, 2000)"]
