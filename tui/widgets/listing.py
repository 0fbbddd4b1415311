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
    stable: bool = False
    """An item's name follows from its identity alone: the order of names is kept as long as none comes or goes."""


class Listing(Generic[T]):
    """Items by identity; ordered anew on a key, or when an item comes, goes or changes its severity.

    What sorting and filtering look at is kept for each item until that item changes: thousands of rows of which a few
    change cost what those few cost.
    """

    def __init__(self, traits: Traits) -> None:
        self.traits = traits
        self.items: dict[Hashable, T] = {}
        self.order: list[Hashable] = []
        self.cursor: Hashable = None
        self.top = 0
        """The first line on the screen."""
        self.filter = ""
        self.faults_only = False
        self.shape = 0
        """Rises when other rows are shown than before; a mere change of their order leaves it, where names are kept."""
        self.sort: tuple[str, Callable[[T], Any], bool] | None = None
        """Column key, value, descending; None: by severity."""
        self._worst_first: dict[Hashable, int] = {}
        """Key -> severity, negative."""
        self._by_name: list[Hashable] | None = None
        self._values: dict[Hashable, Any] = {}
        """Key -> what the column that is sorted by has."""
        self._texts: dict[Hashable, str] = {}
        self._index = 0
        self._all: list[Hashable] = []

    def update(self, items: Iterable[T]) -> None:
        """All items anew."""
        identity, severity = self.traits.identity, self.traits.severity
        before = self.items
        self.items = {identity(item): item for item in items}
        now = {key: -severity(item) for key, item in self.items.items()}
        self._values, self._texts = {}, {}
        if not self.traits.stable or self.items.keys() != before.keys():
            self._by_name = None
        if now != self._worst_first:
            self._worst_first = now
            self.resort()
        elif self.filter:
            self._choose()

    def change(self, items: dict[Hashable, T], changed: Iterable[T]) -> None:
        """The same rows as before, of which some have changed; only for a list whose names are stable."""
        identity, severity = self.traits.identity, self.traits.severity
        self.items = items
        value = self.sort[1] if self.sort is not None and self._values else None
        moved = False
        for item in changed:
            key, worth = identity(item), -severity(item)
            self._texts.pop(key, None)
            if value is not None:
                self._values[key] = value(item)
            if self._worst_first[key] != worth:
                self._worst_first[key] = worth
                moved = True
        if moved and self.sort is None:
            self.resort()
        elif self.filter or (moved and self.faults_only):
            self._choose()

    def get(self, key: Hashable) -> Any:
        return self.items[key]

    def resort(self) -> None:
        """Orders all items: by the column asked for, unknown values last; else the worst first, then by name."""
        same = self._by_name is not None
        if self._by_name is None or not self.traits.stable:
            name, items = self.traits.name, self.items
            self._by_name = sorted(items, key=lambda key: name(items[key]))
        if self.sort is None:
            self._all = sorted(self._by_name, key=self._worst_first.__getitem__)
        else:
            values = self._sort_values()
            known = [key for key in self._by_name if values[key] is not None]
            known.sort(key=values.__getitem__, reverse=self.sort[2])
            self._all = known + [key for key in self._by_name if values[key] is None]
        self._choose(same and self.traits.stable)

    def _sort_values(self) -> dict[Hashable, Any]:
        if not self._values and self.sort is not None:
            value = self.sort[1]
            self._values = {key: value(item) for key, item in self.items.items()}
        return self._values

    def _choose(self, same: bool = False) -> None:
        """Which of the items are shown; `same`: none has come or gone."""
        words = self.filter.lower().split()
        order, before = self._all, len(self.order)
        if self.faults_only:
            fault = -self.traits.fault_from
            order = [key for key in order if self._worst_first[key] <= fault]
        if words:
            texts = self._known_texts()
            order = [key for key in order if all(word in texts[key] for word in words)]
        self.order = self._unfolded(order)
        if not same or words or self.faults_only or len(self.order) != before:
            self.shape += 1
        self._settle()

    def _known_texts(self) -> dict[Hashable, str]:
        text, texts = self.traits.text, self._texts
        if len(texts) != len(self.items):
            for key, item in self.items.items():
                if key not in texts:
                    texts[key] = text(item)
        return texts

    def _unfolded(self, order: list[Hashable]) -> list[Hashable]:
        """Where items may have rows of their own below them."""
        return list(order)

    def _settle(self) -> None:
        """Keeps the cursor on its row, and that on its line of the screen; where it is hidden, on the one that follows.

        At the top nothing is held: what has become bad must come into sight.
        """
        try:
            index = self.order.index(self.cursor)
        except ValueError:
            if self.order:
                self._index = min(self._index, len(self.order) - 1)
                self.cursor = self.order[self._index]
            return
        if self.top:
            self.top = max(0, self.top + index - self._index)
        self._index = index

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
        self._values = {}
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

    @property
    def hidden(self) -> int:
        """How many items filter and faults-only leave out."""
        return len(self.items) - len(self.order)

    def shown(self) -> list[T]:
        return [self.get(key) for key in self.order]

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
