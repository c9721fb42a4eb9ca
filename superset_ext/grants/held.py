"""What held at a moment of the metadata database, so that what held then need not be asked about one by one.

**The argument.** Each mark that is remembered held at one of the moments at which a set was looked at, and between
these moments no row of a change became visible: all of them see the same rows. So a mark that saw all that matters to
it of one moment did of every other. A set goes on from a moment to a later one only where the server says that no row
is visible now that was not visible then, and that the triggers are still those of the set's marks. Threads that do so
at once share the set, in whatever order they end: whoever reads the set asks the server afterwards, and what the server
sees then includes all that was visible when any of its marks was added. Moments of one name see the same transactions,
and so the same rows: what holds at one of them is added to the set of the other.

Rows that are older than every grant are deleted. A moment is used for a minute only, so that no row can come and go in
between.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

SECONDS = 60.0  # for which a moment is used; a row lives for hours
_MOST = 10_000  # marks that are remembered

Asked = tuple[str, str, str | None]  # a snapshot, what names the triggers, and the dashboards that matter
# The same with no moment; or a moment and its triggers, for all that held then.
Question = tuple[str | None, str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Held:
    """The last moment that was looked at, and what held then.

    Attributes:
        moment: what names it; `None` where there is none.
        under: what names the triggers, of all that held.
    """

    moment: str | None = None
    under: str | None = None
    _asked: set[Asked] = field(default_factory=set)
    _until: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def __contains__(self, asked: Asked) -> bool:
        """Whether it held then, at a moment that may be used."""
        return asked in self._asked and self.is_usable(asked)

    @property
    def is_recent(self) -> bool:
        """Whether it can be asked if anything has changed since."""
        return self.moment is not None and time.monotonic() < self._until

    def is_usable(self, asked: Asked) -> bool:
        """The same, under the triggers that a mark names."""
        return self.under == asked[1] and self.is_recent

    def at(self, moment: str) -> Held:
        """The same at a later moment, since which nothing has changed."""
        return self if moment == self.moment else replace(self, moment=moment, _until=time.monotonic() + SECONDS)

    @property
    def still(self) -> Question:
        """Asks the server if all that held then holds."""
        return (None, self.under, None, self.moment)

    def add(self, asked: Asked) -> None:
        """Remember something else that holds; all others are forgotten where they are too many."""
        if len(self._asked) >= _MOST:
            self._asked.clear()
        self._asked.add(asked)


def asked_of(mark: tuple[str, str], dashboards: Sequence[int] | None) -> Asked:
    """What is asked of a mark, with the dashboards as PostgreSQL writes them; `None` stands for any."""
    return (*mark, None if dashboards is None else "{" + ",".join(map(str, dashboards)) + "}")
