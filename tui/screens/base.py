"""What a screen is: a pure painter of the body, and the things its keys do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.widgets.grid import Grid
from tui.widgets.line import Line, Span
from tui.widgets.listing import Listing

if TYPE_CHECKING:
    from tui.screens.session import Session


class Screen:
    """One screen. `do_<action>` methods answer the keys of tui/keys.py; the session has those every screen shares."""

    name = ""
    """As in the keys' `where` and after `:`."""
    title = ""
    digit = ""
    what = ""
    """For the help: what it shows."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def crumb(self) -> str:
        """What the head line adds to the node; empty on the first screen."""
        return self.title

    @property
    def right(self) -> list[Span]:
        """What the head line shows at the right in place of the tally."""
        return []

    @property
    def count(self) -> str:
        """A number behind the tab."""
        return ""

    @property
    def command(self) -> str:
        """The command line that gives the same."""
        return ""

    def entered(self) -> None:
        """It is looked at from now on."""

    def left(self) -> None:
        """Another one is looked at."""

    def updated(self) -> None:
        """The store has something new; called only for the screen that is looked at."""

    def body(self, width: int, height: int) -> list[Line]:
        raise NotImplementedError

    def click(self, x: int, y: int, double: bool) -> None:
        """A click on line `y` of the body."""

    def scroll(self, by: int) -> None:
        """The mouse wheel."""


class ListScreen(Screen):
    """A screen whose main part is one table."""

    listing: Listing[Any]
    grid: Grid
    offset = 0
    """The line of the body that the table's head is on."""

    def moved(self) -> None:
        """The cursor is on another row."""

    def do_up(self) -> None:
        self._move(-1)

    def do_down(self) -> None:
        self._move(1)

    def do_page_up(self) -> None:
        self._move(-max(1, self.grid.height))

    def do_page_down(self) -> None:
        self._move(max(1, self.grid.height))

    def do_home(self) -> None:
        self._move(-(1 << 30))

    def do_end(self) -> None:
        self._move(1 << 30)

    def _move(self, by: int) -> None:
        self.listing.move(by)
        self.moved()

    def do_left(self) -> None:
        self.grid.scroll_columns(-1)

    def do_right(self) -> None:
        self.grid.scroll_columns(1)

    def do_filter(self) -> None:
        self.session.ask_filter(self.listing)

    def do_faults(self) -> None:
        self.listing.toggle_faults()

    def do_sort_severity(self) -> None:
        self.listing.sort_by("", None)

    def sort_letter(self, letter: str) -> bool:
        """Sorts by the column of shift+letter; false if there is none."""
        for column in self.grid.columns:
            if column.letter == letter and column.value is not None:
                self.listing.sort_by(column.key, column.value)
                return True
        return False

    def leave(self) -> bool:
        """Clears what narrows the list; false if nothing did."""
        if not self.listing.filter and not self.listing.faults_only:
            return False
        self.listing.faults_only = False
        self.listing.set_filter("")
        return True

    def click(self, x: int, y: int, double: bool) -> None:
        line = y - self.offset
        if line == 0:
            column = self.grid.column_at(x)
            if column is not None and column.value is not None:
                self.listing.sort_by(column.key, column.value)
            return
        index = self.grid.row_at(line)
        if index is None:
            return
        self.listing.move_to(index)
        self.moved()
        if double:
            self.session.act("open")

    def scroll(self, by: int) -> None:
        self.listing.scroll(by, self.grid.height)
        self.moved()

    def narrowed(self) -> list[Span]:
        """What the list hides, for the line above or below it."""
        out: list[Span] = []
        if self.listing.filter:
            out.append((f" filter: {self.listing.filter} ", "banner"))
        if self.listing.faults_only:
            out.append((" faults only ", "banner"))
        if out:
            out.append((f" {self.listing.hidden:,} hidden, esc shows all", "dim"))
        return out
