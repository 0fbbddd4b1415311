"""A list that is looked at: order that does not jump, a cursor that stays on its row, filter, sort, faults only."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Traits(NamedTuple):
    """How a list sees its items."""

    identity: Callable[[Any], Hashable]
    severity: Callable[[Any], int]
    """Greater is worse; 2 and less is no fault."""
    name: Callable[[Any], Any]
    """The order among equals."""
    text: Callable[[Any], str]
    """What the filter looks at, lower case."""
    fault_from: int = 3


class Listing(Generic[T]):
    """Items by identity; ordered anew on a key, or when an item comes, goes or changes its severity."""

    def __init__(self, traits: Traits) -> None:
        self.traits = traits
        self.items: dict[Hashable, T] = {}
        self.order: list[Hashable] = []
        self.cursor: Hashable = None
        self.top = 0
        """The first line on the screen."""
        self.filter = ""
        self.faults_only = False
        self.version = 0
        """Rises when the order is made anew."""
        self.sort: tuple[str, Callable[[T], Any], bool] | None = None
        """Column key, value, descending; None: by severity."""
        self._severities: dict[Hashable, int] = {}
        self._index = 0
        self._all: list[Hashable] = []

    def update(self, items: Iterable[T]) -> None:
        identity, severity = self.traits.identity, self.traits.severity
        self.items = {identity(item): item for item in items}
        now = {key: severity(item) for key, item in self.items.items()}
        if now != self._severities:
            self._severities = now
            self.resort()
        elif self.filter:
            self._choose()

    def resort(self) -> None:
        """Orders all items: by the column asked for, unknown values last; else the worst first, then by name."""
        keys = list(self.items)
        keys.sort(key=lambda key: self.traits.name(self.items[key]))
        if self.sort is None:
            keys.sort(key=lambda key: -self._severities[key])
        else:
            _, value, descending = self.sort
            known = [key for key in keys if value(self.items[key]) is not None]
            known.sort(key=lambda key: value(self.items[key]), reverse=descending)
            found = set(known)
            keys = known + [key for key in keys if key not in found]
        self._all = keys
        self._choose()

    def _choose(self) -> None:
        words = self.filter.lower().split()
        text, severities = self.traits.text, self._severities
        order = self._all
        if self.faults_only:
            order = [key for key in order if severities[key] >= self.traits.fault_from]
        if words:
            texts = {key: text(self.items[key]) for key in order}
            order = [key for key in order if all(word in texts[key] for word in words)]
        self.order = list(order)
        self.version += 1
        self._settle()

    def _settle(self) -> None:
        """Keeps the cursor on its row; where that is hidden, on the one that took its place."""
        if self.cursor in self.items and self.cursor in set(self.order):
            self._index = self.order.index(self.cursor)
        elif self.order:
            self._index = min(self._index, len(self.order) - 1)
            self.cursor = self.order[self._index]

    def set_filter(self, text: str) -> None:
        self.filter = text
        self._choose()

    def toggle_faults(self) -> None:
        self.faults_only = not self.faults_only
        self._choose()

    def sort_by(self, key: str, value: Callable[[T], Any] | None) -> None:
        """Sorts by a column, greatest first; asked again, smallest first. None: by severity."""
        if value is None:
            self.sort = None
        else:
            again = self.sort is not None and self.sort[0] == key and self.sort[2]
            self.sort = (key, value, not again)
        self.resort()

    def move(self, by: int) -> None:
        if self.order:
            self._index = max(0, min(len(self.order) - 1, self._index + by))
            self.cursor = self.order[self._index]

    def move_to(self, index: int) -> None:
        self.move(index - self._index)

    @property
    def index(self) -> int:
        return self._index

    @property
    def selected(self) -> T | None:
        return self.items.get(self.cursor) if self.order else None

    def shown(self) -> list[T]:
        return [self.items[key] for key in self.order]

    def window(self, height: int) -> range:
        """The indices on a screen of `height` rows, scrolled just so far that the cursor is on it."""
        if height <= 0:
            return range(0)
        self.top = max(min(self.top, self._index, len(self.order) - height), self._index - height + 1, 0)
        return range(self.top, min(len(self.order), self.top + height))

    def scroll(self, by: int, height: int) -> None:
        """Moves the window, and the cursor no farther than needed."""
        last = max(0, len(self.order) - height)
        self.top = max(0, min(last, self.top + by))
        self.move_to(max(self.top, min(self.top + height - 1, self._index)))
