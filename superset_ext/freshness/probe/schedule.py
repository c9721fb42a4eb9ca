"""Asks the probes whose turn it is, and tells the caches of those whose data changed.

The caches are told before the answer is kept, and what was read from the source is always older than the stamp. So a
probe whose worker dies between the two, or whose stamp fails, tells again at its next turn. See `verdict` for what an
answer means.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.warn_once import warn
from superset_ext.errors import LogUnavailable, SupersetExtError
from superset_ext.freshness.probe import claims
from superset_ext.freshness.probe.ask import Reply, known
from superset_ext.freshness.probe.claims import Claim
from superset_ext.freshness.probe.subject import Probed
from superset_ext.freshness.probe.threads import Threads
from superset_ext.freshness.probe.verdict import State, kept_answer, seconds_to_next_turn, state_of
from superset_ext.package import this_app
from superset_ext.settings import Probe

logger = logging.getLogger(__name__)

SLICE_SECONDS = 30.0  # after which a run begins nothing more, so that it does not hold its worker
Stamp = Callable[[Probed], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking a probe.

    Attributes:
        probe: the probe.
        state: what its answer meant; see `verdict.State`.
        stamped: whether the caches were told of a change.
        error: why they were not, or why the probe fails: one line without secrets.
    """

    probe: Probe
    state: State
    stamped: bool
    error: str | None


def run_due(database: LogDatabase, probes: Sequence[Probe], stamp: Stamp, now: datetime | None = None) -> list[Outcome]:
    """Ask the probes whose turn it is, and tell of those that changed. Needs an app context.

    Any number of processes may do so at once: each probe is asked by one of them.

    Args:
        probes: all that are set.
        stamp: tells the caches; whatever it raises means that they were not told.
        now: the moment to take for now, or `None` for the log database's clock.

    Raises:
        LogUnavailable: the log database does not answer. The charts of a probe are told once that outlasts its
            patience.
    """
    return _guarded(_Run(database, probes, stamp, now, whenever=False))


def probe_now(database: LogDatabase, probes: Sequence[Probe], stamp: Stamp, name: str | None = None) -> list[Outcome]:
    """As `run_due`, for all probes or those of a name, whether it is their turn or not."""
    named = [probe for probe in probes if name in (None, probe.name)]
    return _guarded(_Run(database, probes, stamp, None, whenever=True, only=named))


def has_data_changed(database: LogDatabase, probe: Probe) -> bool | None:
    """Whether a source answers something else than on its last turn; `None` if it does not answer.

    Nobody is told, and nothing is kept. Needs an app context.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    threads = Threads(this_app())
    reply = threads.start(probe)
    while reply is None:
        reply = next((reply for _, reply in threads.take()), None)
    return None if reply.answer is None else reply.answer != claims.answer_of(database, probe)


class _Run:
    """One run over the probes whose turn it is.

    The calling thread claims, settles and tells; other threads ask.
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
        self._threads = Threads(this_app())
        self._claims: dict[str, Claim] = {}
        self._outcomes: list[Outcome] = []
        self._until = time.monotonic() + (math.inf if whenever else SLICE_SECONDS)

    def run(self) -> list[Outcome]:
        """Ask what is due.

        Raises:
            LogUnavailable: the log database does not answer; what was claimed is claimed again when its lease ends.
        """
        if self._waiting:
            claims.enrol(self._database, self.probes, self._now)
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
            claim = claims.claim(self._database, free, self._now, self._whenever)
            if claim is None:
                return
            del self._waiting[claim.probe.key]
            self._claims[claim.probe.key] = claim
            if reply := self._threads.start(claim.probe):
                self._settle(self._claims.pop(claim.probe.key), reply)

    def _settle(self, claim: Claim, reply: Reply) -> None:
        """Tell the caches, and only then keep the answer."""
        probed = reply.probed or claim.probed
        state = state_of(claim, reply)
        tells = state in ("changed", "unknown") and probed is not None
        refused = _refused(self.stamp, probed) if tells and probed else None
        state = "untold" if refused and state == "changed" else state
        error = _joined(reply.error, refused)
        claims.finish(
            self._database, claim, self._now, answered=reply.answer is not None, changed=state == "changed",
            answer=kept_answer(state, claim, reply), error=error, probed=probed,
            wait=seconds_to_next_turn(claim, state, refused is not None),
        )  # fmt: skip
        _report(claim, state, error)
        self._outcomes.append(Outcome(claim.probe, state, tells and refused is None, error))


def _refused(stamp: Stamp, probed: Probed) -> str | None:
    """Why the caches could not be told, or `None` if they were."""
    try:
        stamp(probed)
    except SupersetExtError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001  (whatever it is: the next turn must tell again)
        return type(error).__name__
    return None


def _joined(failed: str | None, refused: str | None) -> str | None:
    reasons = [reason for reason in (failed, refused and f"charts could not be told: {refused}") if reason]
    return "; ".join(reasons)[: claims.ERROR_CHARACTERS] or None


def _report(claim: Claim, state: State, error: str | None) -> None:
    name, kind = claim.probe.name, f"probe {claim.probe.key}"
    if state == "unknown":
        warn(kind, "the probe of %s fails, so its charts go to the database: %s", name, error)
    elif state == "untold":
        warn(kind, "the data of %s changed; %s", name, error)
    elif state == "changed" and claim.failing and claim.failing >= claim.probe.patience:
        logger.info("superset_ext: the probe of %s answers again; its charts were told once more", name)


_away_since: float | None = None  # since when this process has had no log database, by its monotonic clock


def _guarded(run: _Run) -> list[Outcome]:
    """A run. Without the log database no probe can be asked, which is tolerated as long as any other failure."""
    global _away_since
    try:
        outcomes = run.run()
    except LogUnavailable:
        _away_since = time.monotonic() if _away_since is None else _away_since
        _tell_unasked(run, time.monotonic() - _away_since)
        raise
    _away_since = None
    return outcomes


def _tell_unasked(run: _Run, seconds: float) -> None:
    impatient = [probe for probe in run.probes if seconds >= probe.patience]
    if impatient:
        warn("probe log", "no probe can be asked without the log database, so their charts go to the database")
    for probe in impatient:
        probed = known(probe)
        if probed is not None and (refused := _refused(run.stamp, probed)):
            warn("probe log told", "charts of %s could not be told: %s", probe.name, refused)
