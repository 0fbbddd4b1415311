"""Every key of the program, one row each: the footer, the help, the `:` command and the dispatch all read this."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

EVERYWHERE = "*"


class Key(NamedTuple):
    """A thing one can do: on which screens, by which keys, and how it is called."""

    action: str
    """Calls `do_<action>` of the screen, else of the session."""
    keys: tuple[str, ...]
    """Characters, or names of keys that have none."""
    shown: str
    label: str
    """One or two words, for the footer; empty: help only."""
    help: str
    where: tuple[str, ...] = (EVERYWHERE,)
    command: str = ""
    """Its name after `:`."""
    worth: int = 5
    """9 is the last to leave a narrow footer."""


LISTS = ("fabric", "nodes", "findings", "processes", "benchmarks", "runs", "events", "choices")
NARROWED = (*LISTS, "operator")
ONE_HOST_LISTS = tuple(name for name in LISTS if name != "nodes")

KEYS: tuple[Key, ...] = (
    Key(
        "open",
        ("enter",),
        "enter",
        "open",
        "open what the cursor is on",
        ("fabric", "nodes", "processes", "runs"),
        worth=8,
    ),
    Key("open", ("enter",), "enter", "choose", "take what the cursor is on", ("choices",), worth=9),
    Key("open", ("enter",), "enter", "evidence", "pods, events, what to type", ("operator",), worth=8),
    Key("section", ("tab",), "tab", "nodes", "from the components to the nodes, and back", ("operator",), worth=7),
    Key("log", ("l",), "l", "log", "the last lines of its failing pod", ("operator",), "log", 7),
    Key("yaml", ("o",), "o", "objects", "its objects as YAML", ("operator",), "yaml", 6),
    Key("copy", ("y",), "y", "copy command", "what to type next, to the clipboard", ("operator",), worth=7),
    Key(
        "unfold",
        ("right", "l", "space"),
        "space",
        "ports",
        "show the node's ports; again: hide them",
        ("nodes",),
        worth=7,
    ),
    Key("fold", ("left", "h"), "left h", "", "hide the node's ports", ("nodes",)),
    Key("open", ("enter",), "enter", "details", "all details of the benchmark", ("benchmarks",), worth=6),
    Key("open", ("enter",), "enter", "explain", "what the finding means and what to do next", ("findings",), worth=6),
    Key("back", ("escape",), "esc", "back", "leave, or clear the filter", (EVERYWHERE,), "back", 0),
    Key("back", ("escape",), "esc", "back", "back to the list", ("port", "benchmark"), worth=9),
    Key("section", ("tab",), "tab", "section", "unfold and fold the next class of counters", ("port",), "section", 7),
    Key(
        "benchmark",
        ("b",),
        "b",
        "benchmark",
        "measure a port with a loopback RDMA run",
        ("fabric", "nodes", "port"),
        "benchmark",
        7,
    ),
    Key("benchmark", ("b",), "b", "new", "measure a port with a loopback RDMA run", ("benchmarks",), worth=9),
    Key("cancel", ("c",), "c", "cancel", "cancel the running benchmark", ("benchmarks", "benchmark"), "cancel", 8),
    Key("check", ("x",), "x", "check", "judge everything now", ("fabric", "findings", "port"), "check", 6),
    Key(
        "explain",
        ("e",),
        "e",
        "explain",
        "what the worst finding here means, and what to do next",
        ("fabric", "nodes", "port", "findings", "operator"),
        "explain",
        6,
    ),
    Key("acknowledge", ("a",), "a", "acknowledge", "mark the finding as seen", ("findings",), "acknowledge", 7),
    Key("filter", ("/",), "/", "filter", "show only rows that contain every word", NARROWED, "filter", 6),
    Key("faults", ("ctrl+z",), "ctrl+z", "faults only", "show only rows with a fault", NARROWED, "faults", 2),
    Key("slower", ("<",), "<>", "interval", "read less often", (EVERYWHERE,), "slower", 4),
    Key("faster", (">",), ">", "", "read more often", (EVERYWHERE,), "faster"),
    Key("pause", ("Z",), "Z", "pause", "hold the picture; what comes is still collected", (EVERYWHERE,), "pause", 5),
    Key("copy", ("y",), "y", "copy", "the command that gives the same, to the clipboard", (EVERYWHERE,), "copy", 3),
    Key("save", ("ctrl+s",), "ctrl+s", "", "save this screen as text", (EVERYWHERE,), "save"),
    Key("command", (":",), ":", "command", "type a command", (EVERYWHERE,), "", 1),
    Key("help", ("?", "f1"), "?", "help", "this help", (EVERYWHERE,), "help", 9),
    Key("quit", ("q", "ctrl+q"), "q", "quit", "quit", (EVERYWHERE,), "quit", 3),
    Key("interrupt", ("ctrl+c",), "ctrl+c", "", "quit at once, exit code 130", (EVERYWHERE,)),
    Key("up", ("up", "k"), "up k", "", "one row up", (EVERYWHERE,)),
    Key("down", ("down", "j"), "down j", "", "one row down", (EVERYWHERE,)),
    Key("page_up", ("pageup", "ctrl+b"), "pgup", "", "one screen up", (EVERYWHERE,)),
    Key("page_down", ("pagedown", "ctrl+f"), "pgdn", "", "one screen down", ("nodes",)),
    Key("page_down", ("pagedown", "space", "ctrl+f"), "pgdn", "", "one screen down", (EVERYWHERE,)),
    Key("home", ("home", "g"), "home g", "", "first row", (EVERYWHERE,)),
    Key("end", ("end", "G"), "end G", "", "last row", (EVERYWHERE,)),
    Key("right", ("right", "l"), "right l", "", "columns that have no room", ONE_HOST_LISTS),
    Key("left", ("left", "h"), "left h", "", "columns back", ONE_HOST_LISTS),
    Key("right", ("]", "right"), "]", "", "columns that have no room", ("operator",)),
    Key("left", ("[", "left"), "[", "", "columns back", ("operator",)),
    Key("right", ("]",), "]", "", "columns that have no room", ("nodes",)),
    Key("left", ("[",), "[", "", "columns back", ("nodes",)),
    Key("sort_severity", ("S",), "S", "", "sort by severity, then by name", NARROWED, "sort"),
)

INTERVALS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@lru_cache(32)
def keys_of(screen: str) -> tuple[Key, ...]:
    """The rows that hold on `screen`; a row of the screen itself hides one that holds everywhere."""
    own = [k for k in KEYS if screen in k.where]
    taken = {k.action for k in own}
    return (*own, *(k for k in KEYS if EVERYWHERE in k.where and k.action not in taken))


def action_of(screen: str, key: str) -> str | None:
    return next((k.action for k in keys_of(screen) if key in k.keys), None)


def step_interval(now: float, by: int) -> float:
    """The next shorter (-1) or longer (+1) interval."""
    if by > 0:
        return next((s for s in INTERVALS_S if s > now), INTERVALS_S[-1])
    return next((s for s in reversed(INTERVALS_S) if s < now), INTERVALS_S[0])


class Command(NamedTuple):
    name: str
    action: str
    help: str


def commands(screens: Sequence[tuple[str, str]]) -> list[Command]:
    """What can be typed after `:`: the screens by name, and the keys' actions."""
    out = [Command(name, f"go_{name}", help_) for name, help_ in screens]
    seen = {c.name for c in out}
    for key in KEYS:
        if key.command and key.command not in seen:
            seen.add(key.command)
            out.append(Command(key.command, key.action, key.help))
    return out
