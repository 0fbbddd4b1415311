"""The tree that is read: nothing leads out of it, and nothing that comes out of it can do harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.readers.root import Root, clean_lines, natural, number
from diagnostics.errors import EXIT_USAGE, UserError
from tests.made_tree import MadeTree


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../../../../../../etc/passwd", "../../outside"])
def test_a_link_that_leaves_the_tree_reads_as_nothing(made: MadeTree, target: str) -> None:
    (made.path.parent / "outside").write_text("secret\n")
    made.link("sys/leaves", target)
    root = Root(str(made.path))
    assert root.read_text("sys/leaves") is None
    with pytest.raises(OSError, match="leads out"):
        root.open("sys/leaves")


def test_a_folder_that_leaves_the_tree_is_empty_and_its_files_are_not_there(made: MadeTree) -> None:
    outside = made.path.parent / "elsewhere/mlx5_9"
    outside.mkdir(parents=True)
    (outside / "fw_ver").write_text("1.2.3\n")
    made.link("sys/class/infiniband/mlx5_9", "../../../../elsewhere/mlx5_9")
    root = Root(str(made.path))
    assert root.names("sys/class/infiniband/mlx5_9") == []
    assert root.read_text("sys/class/infiniband/mlx5_9/fw_ver") is None


def test_a_link_inside_the_tree_is_followed(made: MadeTree) -> None:
    made.write("sys/devices/x/value", 7)
    made.link("sys/class/x", "../devices/x")
    assert Root(str(made.path)).read_int("sys/class/x/value") == 7


def test_a_link_put_in_place_of_a_folder_later_is_seen_once_told_to_forget(made: MadeTree) -> None:
    made.write("sys/a/value", 1)
    root = Root(str(made.path))
    assert root.read_int("sys/a/value") == 1
    made.remove("sys/a")
    made.link("sys/a", "/etc")
    root.forget()
    assert root.read_text("sys/a/hostname") is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"5: LinkUp\n", "5: LinkUp"),
        (b"no newline", "no newline"),
        (b"", None),
        (b"\n \n", None),
        (b"\x1b[31mred\x07\n", "[31mred"),
        (b"\xff\xfe\x00", "\ufffd\ufffd"),
        (b"x" * 5000, "x" * 4096),
    ],
)
def test_text_is_clean_and_bounded(made: MadeTree, content: bytes, expected: str | None) -> None:
    made.write("sys/file", content)
    assert Root(str(made.path)).read_text("sys/file") == expected


def test_a_file_that_holds_its_own_name_is_a_placeholder(made: MadeTree) -> None:
    made.write("sys/lid", "lid")
    made.write("sys/other", "lid")
    root = Root(str(made.path))
    assert root.read_fact("sys/lid") is None
    assert root.read_fact("sys/other") == "lid"


def test_a_folder_in_a_files_place_and_a_forbidden_file_read_as_nothing(made: MadeTree) -> None:
    made.write("sys/folder/x", 1)
    root = Root(str(made.path))
    assert root.read_text("sys/folder") is None
    assert root.find("sys/folder/x") is None


@given(st.binary(max_size=200))
def test_whatever_a_file_holds_comes_out_printable(data: bytes) -> None:
    text = clean_lines(data)
    assert all(line.isprintable() for line in text.split("\n"))


@given(st.text(max_size=40))
def test_a_number_is_one_or_none(text: str) -> None:
    found = number(text)
    assert found is None or isinstance(found, int)


@pytest.mark.parametrize(("text", "expected"), [("0x3e", 62), ("62", 62), ("-1", -1), ("1_0", None), ("lid", None)])
def test_numbers(text: str, expected: int | None) -> None:
    assert number(text) == expected


def test_names_sort_as_people_count() -> None:
    names = ["mlx5_10", "mlx5_9", "bnxt_re0", "mlx5_2", "mlx5"]
    assert sorted(names, key=natural) == ["bnxt_re0", "mlx5", "mlx5_2", "mlx5_9", "mlx5_10"]


def test_unprintable_names_are_not_listed(made: MadeTree) -> None:
    made.write("sys/good", 1)
    Path(os.fsdecode(bytes(made.path) + b"/sys/bad\xff\x1b")).write_text("1")
    assert Root(str(made.path)).names("sys") == ["class", "good"]


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (lambda path: None, "does not exist", "captured node"),
        (lambda path: path.write_text("x"), "is not a folder", "captured node"),
        (lambda path: path.mkdir(), "no sys/ folder", "holds sys/"),
        (lambda path: (path / "before/sys").mkdir(parents=True), "no sys/ folder", "it holds before"),
    ],
)
def test_what_is_no_tree_is_said_with_what_to_do(tmp_path: Path, make: object, message: str, hint: str) -> None:
    path = tmp_path / "tree"
    make(path)  # type: ignore[operator]
    with pytest.raises(UserError) as raised:
        Root(str(path)).check()
    assert message in raised.value.message
    assert str(path) in raised.value.message
    assert hint in raised.value.hint
    assert raised.value.code == EXIT_USAGE
