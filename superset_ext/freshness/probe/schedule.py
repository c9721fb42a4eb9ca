"""Data updates found by asking: each probe asks its source on a schedule, and another answer means that data changed.

The same answer touches nothing. Another one is told (`stamp`) before it is kept, and what was read from the source
is always older than the stamp: a probe that dies between the two, or whose stamp fails, tells again next time.
What counts as another answer: the first one, since entries may be older; that of a probe that is set differently;
the first one after a failure that outlasted its patience.

A probe that fails says nothing about the data. For `patience` seconds that is borne; from then on its charts are told
that their data changed at each of its turns, so that they go to the database rather than show what may be old.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from flask import current_app

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.warn_once import warn
from superset_ext.errors import LogUnavailable, SupersetExtError
from superset_ext.freshness.probe import rows as rows
from superset_ext.freshness.probe.question import Probed
from superset_ext.freshness.probe.rows import Claim
from superset_ext.freshness.probe.source import Reply, known
from superset_ext.freshness.probe.threads import Threads
from superset_ext.settings import Probe, Probes

__all__ = ["Outcome", "Probe", "Probed", "Probes", "has_data_changed", "probe_now", "run_due", "status"]

logger = logging.getLogger(__name__)

SLICE_SECONDS = 30.0  # after which a run begins nothing more, so that it does not hold its worker
AGAIN_SECONDS = 10.0  # between two tries to tell
LATE_SECONDS = 60.0
State = Literal["unchanged", "changed", "untold", "failing", "unknown"]
Stamp = Callable[[Probed], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking a probe.

    Attributes:
        probe: which.
        state: `unchanged`; `changed`, and told; `untold`: changed, but telling failed; `failing`, which is borne for a
            while; `unknown`: failing for longer, and so told as if it had changed.
        told: whether charts were told.
        error: why not, or why it fails, one line without secrets.
    """

    probe: Probe
    state: State
    told: bool
    error: str | None


def run_due(database: LogDatabase, probes: Sequence[Probe], stamp: Stamp, now: datetime | None = None) -> list[Outcome]:
    """Ask the probes whose turn it is, and tell of those that changed; needs an app context of Superset.

    Any number of processes may do so at once: each probe is asked by one of them.

    Args:
        probes: all that are set.
        stamp: tells the caches; what it raises means that they were not told.
        now: the moment to take for now; the log database's own clock where not given.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`; after the patience of each probe its charts are told.
    """
    return _guarded(_Run(database, probes, stamp, now, whenever=False))


def probe_now(database: LogDatabase, probes: Sequence[Probe], stamp: Stamp, name: str | None = None) -> list[Outcome]:
    """As `run_due`, for all probes or those of a name, whenever their turn is.

    Raises:
        LogUnavailable: see `run_due`.
    """
    named = [probe for probe in probes if name in (None, probe.name)]
    return _guarded(_Run(database, probes, stamp, None, whenever=True, only=named))


def has_data_changed(database: LogDatabase, probe: Probe) -> bool | None:
    """Whether a source says something else than when it was last asked on schedule; `None` where it does not say.

    Nothing is told and nothing is kept. Needs an app context of Superset.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    threads = Threads(_app())
    reply = threads.start(probe)
    while reply is None:
        reply = next((reply for _, reply in threads.take()), None)
    return None if reply.answer is None else reply.answer != rows.answer_of(database, probe)


def status(database: LogDatabase, probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """Each probe: its name, when it answered, changed and is asked next, and its `problem`, `None` where all is well.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    found = rows.rows(database, probes)
    return [_described(probe, found.get(probe.key)) for probe in probes]


def _described(probe: Probe, row: dict[str, Any] | None) -> dict[str, Any]:
    shown = ("answered_at", "changed_at", "failed_since", "next_at", "database_id", "dataset_id", "error")
    return {
        "probe": probe.name, **{name: row[name] if row else None for name in shown},
        "every": probe.every, "problem": _problem(probe, row),
    }  # fmt: skip


def _problem(probe: Probe, row: dict[str, Any] | None) -> str | None:
    if row is None:
        return "it was never asked; see that Celery beat and a worker run"
    if float(row["late"]) > LATE_SECONDS:
        return f"its turn was {float(row['late']):.0f} s ago; see that Celery beat and a worker run"
    if row["failed_since"] is None:
        return None if row["error"] is None else str(row["error"])
    over = float(row["failing"]) >= probe.patience
    return f"it fails{', and its charts go to the database' if over else ''}: {row['error']}"


class _Run:
    """One run over the probes whose turn it is.

    The calling thread does the bookkeeping and the telling; other threads ask.
    """

    def __init__(
        self,
        database: LogDatabase,
        probes: Sequence[Probe],
        stamp: Stamp,
        now: datetime | None,
        *,
        whenever: bool,
        only: Sequence[Probe] | None = None,
    ) -> None:
        self._database = database
        self.probes = probes
        self._waiting = {probe.key: probe for probe in (probes if only is None else only)}
        self.stamp = stamp
        self._now = now
        self._whenever = whenever
        self._threads = Threads(_app())
        self._claims: dict[str, Claim] = {}
        self._outcomes: list[Outcome] = []
        self._until = time.monotonic() + (math.inf if whenever else SLICE_SECONDS)

    def run(self) -> list[Outcome]:
        """Ask what is due.

        Raises:
            LogUnavailable: see `LogDatabase.transaction`; what was claimed is claimed again when its lease ends.
        """
        if self._waiting:
            rows.enrol(self._database, self.probes, self._now)
            self._start()
        while not self._threads.is_idle():
            if ended := self._threads.take():
                for probe, reply in ended:
                    self._settle(self._claims.pop(probe.key), reply)
                self._start()
        return self._outcomes

    def _start(self) -> None:
        """Claim and begin to ask, as long as there is room and something is due."""
        while not self._threads.is_full() and time.monotonic() < self._until:
            busy = self._threads.busy()
            free = [probe for probe in self._waiting.values() if probe.database not in busy]
            claim = rows.claim(self._database, free, self._now, self._whenever)
            if claim is None:
                return
            del self._waiting[claim.probe.key]
            self._claims[claim.probe.key] = claim
            if reply := self._threads.start(claim.probe):
                self._settle(self._claims.pop(claim.probe.key), reply)

    def _settle(self, claim: Claim, reply: Reply) -> None:
        """Tell, and only then keep the answer."""
        probed = reply.probed or claim.probed
        state = _state(claim, reply)
        tells = state in ("changed", "unknown") and probed is not None
        refused = _refused(self.stamp, probed) if tells and probed else None
        state = "untold" if refused and state == "changed" else state
        error = _joined(reply.error, refused)
        rows.finish(
            self._database, claim, self._now, answered=reply.answer is not None, changed=state == "changed",
            answer=_kept(state, claim, reply), error=error, wait=_wait(claim, state, refused), probed=probed,
        )  # fmt: skip
        _report(claim, state, error)
        self._outcomes.append(Outcome(claim.probe, state, tells and refused is None, error))


def _state(claim: Claim, reply: Reply) -> State:
    """What an answer means, or that there is none; before anybody is told."""
    if reply.answer is not None:
        return "unchanged" if reply.answer == claim.answer else "changed"
    # A change that could not be told, or that an earlier failure may hide, is not borne a second time.
    owed = claim.answer is None and claim.answered_at is not None
    return "unknown" if owed or claim.failing >= claim.probe.patience else "failing"


def _kept(state: State, claim: Claim, reply: Reply) -> str | None:
    """What the next answer is compared with; `None` where it counts as a change, whatever it is."""
    if state in ("unchanged", "changed"):
        return reply.answer
    return claim.answer if state == "failing" else None


def _wait(claim: Claim, state: State, refused: str | None) -> float:
    """Seconds to the next turn: sooner where telling failed, or where patience ends before it."""
    if refused:
        return min(claim.probe.every, AGAIN_SECONDS)
    left = claim.probe.patience - claim.failing
    return min(claim.probe.every, left) if state == "failing" else claim.probe.every


def _refused(stamp: Stamp, probed: Probed) -> str | None:
    """Why charts could not be told, `None` where they were."""
    try:
        stamp(probed)
    except SupersetExtError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001  (whatever it is: who was not told must be told again)
        return type(error).__name__
    return None


def _joined(failed: str | None, refused: str | None) -> str | None:
    said = [each for each in (failed, refused and f"charts could not be told: {refused}") if each]
    return "; ".join(said)[: rows.ERROR_CHARACTERS] or None


def _report(claim: Claim, state: State, error: str | None) -> None:
    name, kind = claim.probe.name, f"probe {claim.probe.key}"
    if state == "unknown":
        warn(kind, "the probe of %s fails, so its charts go to the database: %s", name, error)
    elif state == "untold":
        warn(kind, "the data of %s changed; %s", name, error)
    elif state == "changed" and claim.failing and claim.failing >= claim.probe.patience:
        logger.info("superset_ext: the probe of %s answers again; its charts were told once more", name)


def _app() -> Any:
    return current_app._get_current_object()  # type: ignore[attr-defined]


_away_since: float | None = None  # since when this process has had no log database, by its monotonic clock


def _guarded(run: _Run) -> list[Outcome]:
    """A run; without the log database nothing can be asked, which is borne as long as any other failure."""
    global _away_since
    try:
        outcomes = run.run()
    except LogUnavailable:
        _away_since = time.monotonic() if _away_since is None else _away_since
        _tell_blindly(run, time.monotonic() - _away_since)
        raise
    _away_since = None
    return outcomes


def _tell_blindly(run: _Run, seconds: float) -> None:
    impatient = [probe for probe in run.probes if seconds >= probe.patience]
    if impatient:
        warn("probe log", "no probe can be asked without the log database, so their charts go to the database")
    for probe in impatient:
        probed = known(probe)
        if probed is not None and (refused := _refused(run.stamp, probed)):
            warn("probe log told", "charts of %s could not be told: %s", probe.name, refused)
