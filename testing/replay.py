"""A week of requests and changes, replayed hour by hour through the log and tuning's turns.

The requests are made up, the cache is a model of one (an entry lives as long as `cache.tuned` says, and goes when a
change is told), and everything else is the real thing: the log's tables, tuning's turns, one an hour, and what they
set.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from superset_ext.cache import tuned
from superset_ext.cache.tags import object_tag, table_tag
from superset_ext.compat import UTC
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.advice import overrides
from superset_ext.monitor.advice.told import told
from superset_ext.monitor.advice.tune import Done, tune
from superset_ext.settings import Settings, load
from superset_ext.sqltables.table import Table

HOUR = 3600.0
WRITTEN_EVERY = 900.0  # seconds of one row of the log
CHARTS, KEYS = 4, 6  # of a dataset; keys of a chart
COUNTS = ("cache_hits", "stale_hits", "miss_cold", "miss_expired", "miss_invalidated", "saved_ms", "response_ms_sum")
_INSERT = f"""
INSERT INTO superset_ext.cache_performance_log (created_at, window_seconds, host, pid, batch, cache_type, dataset_id,
    chart_id, dashboard_id, channel, cache_misses, response_count, {", ".join(COUNTS)}) VALUES %s
"""
_ROW = "(%s, 900, 'bench', 1, gen_random_uuid(), 'chart_data', %s, %s, 1, 'web', %s, %s" + ", %s" * len(COUNTS) + ")"
_REQUEST = """
INSERT INTO superset_ext.cache_request (fingerprint, kind, path, args, body, is_form, replayable, dashboard_id,
    chart_id, dataset_id, database_id, queries, uses, used_at, hours, first_seen, last_seen, tags)
VALUES (%s, 'data', '/api/v1/chart/data', '', '{"queries": []}', false, true, 1, %s, %s, 1, 1, 1, now(), '{}', now(),
    now(), %s)
"""
_CHANGE = """
INSERT INTO superset_ext.cache_invalidation_log (created_at, source, operation, tags)
VALUES (%s, 'webhook', 'data_update', %s)
"""
_PARTITION = "SELECT superset_ext.create_day_partition('cache_performance_log', %s)"


def tuning(**knobs: Any) -> Settings:
    """The default settings with tuning switched on, and some that are not the default."""
    plain = load({"SUPERSET_EXT_BROKER_URL": "memory://"}).model_dump()
    return Settings.model_validate(plain | {"auto_apply": True} | knobs)


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset, and how it is used.

    Attributes:
        reports_changes: whether a job tells when it changes.
        changes: times a day that it does.
        cost: seconds that an answer costs.
        rate: uses of a key an hour, while people work.
    """

    id: int
    reports_changes: bool
    changes: float
    cost: float
    rate: float

    @property
    def tags(self) -> list[str]:
        """What its answers carry."""
        return ["all", object_tag("dataset", self.id), table_tag(1, Table("public", f"t{self.id}"))]


# Loaded at night, some times a day, every ten minutes; a third of them told by nobody.
SOURCES = tuple(
    Source(number, number % 3 != 0, (1.0, 4.0, 144.0, 1.0)[number % 4], (0.4, 2.0, 6.0)[number % 3], rate)
    for number, rate in enumerate((8.0, 1.2, 16.0, 4.0, 2.8, 6.0, 10.0, 2.0, 4.8, 12.0, 3.2, 7.2), start=1)
)


@dataclass(slots=True)
class Totals:
    """A week, in database seconds: asked for, and spent; requests, those of which got what was not so any more."""

    demanded: float = 0.0
    spent: float = 0.0
    requests: int = 0
    outdated: int = 0
    done: list[Done] = field(default_factory=list)

    @property
    def saved(self) -> float:
        """Database seconds that the cache spared."""
        return self.demanded - self.spent


@dataclass(slots=True)
class _Entry:
    stored: float
    fresh_until: float
    grace_until: float


class Replay:
    """A week, hour by hour.

    Args:
        sources: the datasets.
        begin: its first moment.
        seed: of the requests and changes, which depend on nothing else.
    """

    def __init__(
        self, database: LogDatabase, settings: Settings, sources: Sequence[Source], begin: datetime, seed: int = 1
    ) -> None:
        self._database, self._settings, self._sources, self._begin = database, settings, sources, begin
        self._random = random.Random(seed)
        self._entries: dict[tuple[int, int], _Entry] = {}
        self._changed: dict[int, float] = {}
        self.now = 0.0
        self.totals = Totals()

    def prepare(self, days: int) -> None:
        """The tables; what the registry knows; and that jobs have told of changes in the days before."""
        self._database.apply_schema()
        with self._database.transaction(60.0) as cursor:
            for day in range(-1, days + 1):
                cursor.execute(_PARTITION, ((self._begin + timedelta(days=day)).date(),))
            for source in self._sources:
                for chart in range(CHARTS):
                    number = source.id * 100 + chart
                    cursor.execute(_REQUEST, (f"r{number}", number, source.id, source.tags))
                for day in range(1, 5):
                    self._tell(cursor, source, -day * 24 * HOUR)

    def _tell(self, cursor: Any, source: Source, at: float) -> None:
        if source.reports_changes:
            cursor.execute(_CHANGE, (self.moment(at), ["any", *source.tags[1:]]))

    def moment(self, at: float) -> datetime:
        """Seconds of the week as a time."""
        return self._begin + timedelta(seconds=at)

    def run(self, hours: int) -> Totals:
        """Go on for some hours."""
        for _ in range(hours):
            self._tune()
            self._hour()
            self.now += HOUR
        return self.totals

    def _tune(self) -> None:
        now, rows = self.moment(self.now), self._database.rows
        self.totals.done += tune(self._database, self._settings, now)
        heard = overrides.read(rows) if self._settings.auto_apply else {}
        tuned.put(heard, told(rows, now) if heard else ())

    def _hour(self) -> None:
        counts: dict[tuple[int, int, int], list[float]] = defaultdict(lambda: [0.0] * len(COUNTS))
        with self._database.transaction(60.0) as cursor:
            for at, source, key in sorted(self._events(), key=lambda event: event[0]):
                if key is None:
                    self._changed[source.id] = at
                    self._tell(cursor, source, at)
                else:
                    self._ask(at, source, key, counts[int(at // WRITTEN_EVERY), source.id, key // KEYS])
            self._write(cursor, counts)

    def _events(self) -> Iterator[tuple[float, Source, int | None]]:
        """Uses and changes of this hour, in no order; always as many draws, so that weeks are alike."""
        at = self._begin + timedelta(seconds=self.now)
        works = at.weekday() < 5 and 7 <= at.hour < 18
        for source in self._sources:
            if source.changes == 1.0:
                changes = [3.5 * HOUR - self.now % (24 * HOUR)] if at.hour == 3 else []
            else:
                changes = list(self._times(source.changes / 24))
            yield from ((self.now + moment, source, None) for moment in changes)
            for key in range(CHARTS * KEYS):
                rate = source.rate / (1 + key % KEYS) * (1.0 if works else 0.05)
                yield from ((self.now + moment, source, key) for moment in self._times(rate))

    def _times(self, rate: float) -> Iterator[float]:
        """Moments of a Poisson process in an hour."""
        at = self._random.expovariate(rate) * HOUR
        while at < HOUR:
            yield at
            at += self._random.expovariate(rate) * HOUR

    def _ask(self, at: float, source: Source, key: int, counts: list[float]) -> None:
        totals, entry = self.totals, self._entries.get((source.id, key))
        totals.requests, totals.demanded = totals.requests + 1, totals.demanded + source.cost
        changed = self._changed.get(source.id, float("-inf"))
        why = self._missed(at, source, entry, changed)
        if entry is not None and why is None:
            totals.outdated += changed > entry.stored
            counts[0], counts[5], counts[6] = counts[0] + 1, counts[5] + source.cost * 1000, counts[6] + 1
            if at <= entry.fresh_until:
                return
            counts[1] += 1  # an old answer, which is refreshed
        else:
            counts[COUNTS.index(why or "")] += 1
            counts[6] += source.cost * 1000
        totals.spent += source.cost
        self._store(at, source, key)

    @staticmethod
    def _missed(at: float, source: Source, entry: _Entry | None, changed: float) -> str | None:
        if entry is None:
            return "miss_cold"
        if source.reports_changes and changed >= entry.stored:
            return "miss_invalidated"
        return "miss_expired" if at > entry.grace_until else None

    def _store(self, at: float, source: Source, key: int) -> None:
        passed = self._settings.chart_data.timeout * 1000
        fresh, grace = tuned.lifetime(self._settings, source.id, source.tags, passed)
        self._entries[source.id, key] = _Entry(at, at + fresh / 1000, at + (fresh + grace) / 1000)

    def _write(self, cursor: Any, counts: dict[tuple[int, int, int], list[float]]) -> None:
        from psycopg2.extras import execute_values

        rows = []
        for (quarter, dataset, chart), numbers in counts.items():
            misses = sum(numbers[2:5])
            ended = self.moment((quarter + 1) * WRITTEN_EVERY - 1)
            rows.append((ended, dataset, dataset * 100 + chart, misses, numbers[0] + misses, *numbers))
        if rows:
            execute_values(cursor, _INSERT, rows, template=_ROW, page_size=1000)


def last_monday(weeks: int = 2) -> datetime:
    """The midnight, UTC, at which a week of the past began."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=today.weekday() + 7 * weeks)


def replayed(url: str, settings: Settings, days: int = 7, sources: Sequence[Source] = SOURCES) -> Totals:
    """A week on a database of its own."""
    database = LogDatabase(url)
    replay = Replay(database, settings, sources, last_monday())
    try:
        replay.prepare(days)
        return replay.run(days * 24)
    finally:
        tuned.put({})
        database.close()
