"""A list whose items unfold into rows of their own below them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from tui.widgets.listing import Listing, Traits


class Tree(Listing[Any]):
    """Items and, below those that are open, their parts; parts move with their item and are not filtered."""

    def __init__(self, traits: Traits, parts: Callable[[Any], Iterable[tuple[Hashable, Any]]]) -> None:
        """`parts` gives the keys and rows below an item."""
        super().__init__(traits)
        self._parts_of = parts
        self.open: set[Hashable] = set()
        self._parts: dict[Hashable, Any] = {}
        self._parent: dict[Hashable, Hashable] = {}
        self._below: dict[Hashable, list[Hashable]] = {}
        self._count = 0

    def update(self, items: Iterable[Any]) -> None:
        super().update(items)
        self.open &= self.items.keys()
        self._refresh(self.open)

    def change(self, items: dict[Hashable, Any], changed: Iterable[Any]) -> None:
        changed = list(changed)
        super().change(items, changed)
        if self.open:
            identity = self.traits.identity
            self._refresh(self.open.intersection(identity(item) for item in changed))

    def _refresh(self, keys: Iterable[Hashable]) -> None:
        """The parts of these items anew; the order too where parts came or went."""
        other = False
        for key in keys:
            before = self._below.get(key)
            self._take(key)
            other = other or before != self._below[key]
        if other:
            self._choose()

    def _take(self, key: Hashable) -> None:
        for part in self._below.get(key, ()):
            self._parts.pop(part, None)
            self._parent.pop(part, None)
        rows = dict(self._parts_of(self.items[key]))
        self._parts.update(rows)
        self._parent.update(dict.fromkeys(rows, key))
        self._below[key] = list(rows)

    def _unfolded(self, order: list[Hashable]) -> list[Hashable]:
        self._count = len(order)
        if not self.open:
            return list(order)
        out: list[Hashable] = []
        for key in order:
            out.append(key)
            if key in self.open:
                out += self._below.get(key, ())
        return out

    def get(self, key: Hashable) -> Any:
        return self.items[key] if key in self.items else self._parts[key]

    @property
    def selected(self) -> Any | None:
        if not self.order:
            return None
        return self.items.get(self.cursor) or self._parts.get(self.cursor)

    @property
    def hidden(self) -> int:
        return len(self.items) - self._count

    @property
    def item(self) -> Any | None:
        """The item that the cursor is on or below."""
        return self.items.get(self._parent.get(self.cursor, self.cursor)) if self.order else None

    def unfold(self) -> bool:
        """Shows the parts of the item under the cursor; false where it was open, or has none."""
        key = self.cursor
        if key not in self.items or key in self.open:
            return False
        self._take(key)
        if not self._below[key]:
            return False
        self.open.add(key)
        self._choose()
        return True

    def fold(self) -> bool:
        """Hides the parts of the item that the cursor is on or below; the cursor goes to the item."""
        key = self._parent.get(self.cursor, self.cursor)
        if key not in self.open:
            return False
        self.open.discard(key)
        self.cursor = key
        self._choose()
        return True
