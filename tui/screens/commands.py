"""What is typed after `:`: screens, keys by name, and what takes a name: another context, a node, a pod."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tui.keys import Command, commands
from tui.screens.overlays import Prompt

if TYPE_CHECKING:
    from tui.screens.session import Session

OFFERED = 40
"""Completions that are shown at most; more have no room on any line."""


class Named(NamedTuple):
    """A command with a name behind it."""

    name: str
    what: str
    words: Callable[[Session], Sequence[str]]
    """What it can be, as far as known."""
    run: Callable[[Session, str], None]
    """With "" where no name was given."""


NAMED = (
    Named("ctx", "another cluster of the kubeconfig", lambda s: s.places.context_names,
          lambda s, name: s.places.choose_context(name)),
    Named("ns", "only what belongs to pods of this namespace; -: all", lambda s: s.places.namespaces,
          lambda s, name: s.places.choose_namespace(name)),
    Named("node", "open a node", lambda s: s.places.node_names, lambda s, name: s.places.open_named_node(name)),
    Named("pod", "the queue pairs of a pod", lambda s: s.places.pod_names, lambda s, name: s.places.open_pod(name)),
)  # fmt: skip


def known(session: Session) -> list[Command]:
    return commands([(e.name, e.what) for e in session.scope.entries])


def named(session: Session) -> tuple[Named, ...]:
    """Those that mean something here: one host knows its own pods only."""
    return NAMED if session.cluster is not None else tuple(n for n in NAMED if n.name == "pod")


def prompt(session: Session) -> Prompt:
    def matches(text: str) -> list[str]:
        head, blank, rest = text.lstrip().partition(" ")
        if not blank:
            return [w for w in (*(c.name for c in known(session)), *(n.name for n in named(session)))
                    if w.startswith(head.lower())]  # fmt: skip
        command = _one(session, head.lower())
        if command is None:
            return []
        found: list[str] = []
        for word in command.words(session):
            if word.startswith(rest.strip()) or word.partition("/")[2].startswith(rest.strip()):
                found.append(f"{command.name} {word}")
                if len(found) == OFFERED:
                    break
        return found

    def typed(text: str) -> None:
        command = _one(session, text.lstrip().partition(" ")[0].lower()) if " " in text.lstrip() else None
        if command is not None:
            session.places.learn(command.name)

    return Prompt(session, ":", "", typed, lambda text: run(session, text), matches)


def _one(session: Session, word: str) -> Named | None:
    return next((n for n in named(session) if n.name == word), None)


def run(session: Session, text: str) -> None:
    """Does what was typed; a beginning that means one thing only is enough."""
    head, _, rest = text.strip().partition(" ")
    word = head.lower()
    if not word:
        return
    command = _one(session, word)
    if command is not None:
        command.run(session, rest.strip())
        return
    table = known(session)
    names = {c.name: c.action for c in table} | {n.name: "" for n in named(session)}
    found = [word] if word in names else [name for name in names if name.startswith(word)]
    if len(found) != 1:
        listed = ", ".join(found) or "help"
        session.notice(f"{word}: no such command; try {listed}" if not found else f"{word}: which one? {listed}")
    elif names[found[0]]:
        session.act(names[found[0]])
    else:
        run(session, f"{found[0]} {rest}")
