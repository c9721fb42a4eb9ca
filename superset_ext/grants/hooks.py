"""Where grants meet a request: before Superset's view runs, and after everything else has made its answer.

The hooks are Flask's own, so that whatever an administrator has put before a view (CSRF protection, rate limits) has
had its say, and whatever comes after an answer (headers, cookies) is added to a granted one as to any other. None of
them fails a request: where one cannot do its work, Superset answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flask import Flask, Response, g, request, session

from superset_ext.cache import used
from superset_ext.cache.used import Used
from superset_ext.core.signals import harmless
from superset_ext.core.warn_once import warn
from superset_ext.errors import StoreUnavailable, Unanswerable
from superset_ext.events import Asked, Outcome, Queried, asked, outcome, queried
from superset_ext.grants import documents, refusals
from superset_ext.grants.ages import ages_of
from superset_ext.grants.identity import Caller, caller, unknowable
from superset_ext.grants.judge import Grant, Judge
from superset_ext.grants.key import Keys
from superset_ext.grants.log_rows import LogRows
from superset_ext.grants.moving import cut, ranges_of
from superset_ext.grants.replayed import Replayed, tell_hits, tell_queries
from superset_ext.host.behind import behind
from superset_ext.host.granting import has_read_metadata
from superset_ext.host.people import know_identity
from superset_ext.host.scope import is_warming

# The endpoints that answer with chart data out of the cache, and how they are asked. `data_from_cache` is not among
# them: it fetches what an asynchronous worker has just made. Nor are filter values, which Superset never caches.
ENDPOINTS: Mapping[str, str] = {
    "ChartDataRestApi.data": "POST",
    "ChartDataRestApi.get_data": "GET",
    "Superset.explore_json": "POST",
}
_NAME = "superset_ext_grant"  # of the capture, in Flask's `g`
_OWED = "superset_ext_owed"  # what an answer that is given again owes, in `g`
_REFUSED = 10_000  # keys that a process remembers as refused
_REFUSED_SECONDS = 60.0


@dataclass(slots=True)
class Capture:
    """A request whose answer may be granted from now on.

    Attributes:
        mark: what rights and objects were as of, before Superset read any.
        session: what was in the session.
        plain: the body before it was compressed.
        lasting: why what was asked so far is not granted, whatever the answer.
        key_moves: see `Grant`.
    """

    key: str
    caller: Caller
    mark: tuple[str, str]
    session: Mapping[str, Any]
    used: Used
    plain: bytes = b""
    hits: list[Outcome] = field(default_factory=list)
    queries: list[Asked] = field(default_factory=list)
    lasting: str | None = None
    key_moves: bool = False
    is_document: bool = False


class Hooks:
    """The hooks of one app.

    Args:
        app: the Flask app.
        judge: gives and keeps what holds.
        keys: writes keys.
        logs: takes the rows of Superset's log.
        with_documents: whether documents are granted too (see `documents`).
    """

    def __init__(
        self, app: Flask, judge: Judge, keys: Callable[[], Keys], logs: LogRows, with_documents: bool = False
    ) -> None:
        self._app = app
        self._judge = judge
        self._make_keys = keys
        self._keys: Keys | None = None
        self._logs = logs
        self._with_documents = with_documents
        self._is_possible: bool | None = None
        self._refused: dict[str, float] = {}
        self.given = self.kept = 0
        self.refused: dict[str, int] = {}

    def install(self) -> None:
        """Work from now on."""
        self._app.before_request(self._before)
        self._app.after_request(self._plain)
        # Flask calls them in the reverse order: this one last, so that it sees what the client will get.
        self._app.after_request_funcs.setdefault(None, []).insert(0, self._after)
        self._app.teardown_request(lambda _: used.forget())
        outcome.connect(self._note_hit)
        asked.connect(self._note_asked)
        queried.connect(_note_queried)

    def _before(self) -> Response | None:
        if ENDPOINTS.get(request.endpoint or "") != request.method and not self._is_document():
            return None
        started = time.perf_counter()
        with harmless("giving an answer again"):
            if self._is_open():
                return self._answer(started)
        return None

    def _is_document(self) -> bool:
        return self._with_documents and request.method == "GET" and request.endpoint in documents.ENDPOINTS

    def _is_open(self) -> bool:
        """Whether anything is granted in this app, and Flask would call this view next."""
        if self._is_possible is None:
            self._is_possible = self.impossible() is None
            self._with_documents = self._with_documents and self._may_grant_documents()
        return self._is_possible and self._is_last() and not is_warming()

    def impossible(self) -> str | None:
        """Why nothing is granted in this app, whatever is asked; `None` where something may be."""
        return refusals.of_app(self._app) or unknowable(self._app)

    def _may_grant_documents(self) -> bool:
        why = documents.of_app(self._app)
        if why:
            warn("grants of documents", "no document is given again: %s", why)
        return why is None

    def _is_last(self) -> bool:
        """Whether no other hook would have its say after this one; it goes to the end if one would."""
        hooks = self._app.before_request_funcs
        if any(hooks.get(name) for name in request.blueprints):
            return False
        if hooks[None][-1] != self._before:
            hooks[None] = [hook for hook in hooks[None] if hook != self._before] + [self._before]
            return False
        return True

    def _answer(self, started: float) -> Response | None:
        if not self._judge.rights.ready():
            return None
        who = caller()
        if who is None:
            return None
        if self._keys is None:
            self._keys = self._make_keys()
        key = self._keys.key(who)
        # What was given before is none of what is surely refused: all that says so is in the key.
        if key is None or self._is_refused(key) or (not self._judge.gave(key) and refusals.is_hopeless()):
            return None
        try:
            granted = self._judge.granted(key, not self._is_document())
        except StoreUnavailable:
            self._refuse("Redis did not answer")
            return None
        if granted is None:
            self._begin(key, who)
            return None
        return self._given(*granted, who, started)

    def _begin(self, key: str, who: Caller) -> None:
        """Note what Superset will do from here on."""
        if has_read_metadata():
            self._refuse("something was read of the metadata database before")
            return
        mark = self._judge.mark()
        if mark is None:
            self._refuse("the metadata database does not tell of changes")
        else:
            is_document = self._is_document()
            watched = used.watch(self._logs.kept, with_statements=is_document)
            setattr(g, _NAME, Capture(key, who, mark, dict(session), watched, is_document=is_document))

    def _given(self, grant: Grant, body: bytes, who: Caller, started: float) -> Response:
        response = Response(body, content_type=grant.content_type)
        if grant.encoding is not None:
            response.headers["Content-Encoding"] = grant.encoding
        if grant.locale is not None:
            session["locale"] = grant.locale
        if grant.is_document:
            documents.tag(response, body)
        know_identity(who.identity)
        self._count(grant, started)
        self.given += 1
        return response

    def _count(self, grant: Grant, started: float) -> None:
        """Count the answer as one of Superset's: what needs no request, behind it."""
        queries, hits = grant.replayed
        referrer = request.environ.get("HTTP_REFERER", "")[:1000] or None
        with harmless("counting an answer that was given again"):
            tell_queries(queries)
            took = (time.perf_counter() - started) * 1000
            later = partial(self._tell_hits, hits, took, referrer)
            if self._logs.needs_no_request:
                setattr(g, _OWED, later)
            else:
                later()

    def _tell_hits(self, hits: str, took: float, referrer: str | None) -> None:
        self._logs.tell(tell_hits(hits, took), took, referrer)

    def _plain(self, response: Response) -> Response:
        capture: Capture | None = g.get(_NAME)
        if capture is not None and capture.used.spoiled is None and refusals.of_response(response) is None:
            capture.plain = response.get_data()
        return response

    def _after(self, response: Response) -> Response:
        if (owed := g.pop(_OWED, None)) is not None:
            behind(response, owed)
        capture: Capture | None = g.pop(_NAME, None)
        if capture is not None:
            used.forget()
            with harmless("keeping an answer"):
                self._keep(capture, response)
        return response

    def _keep(self, capture: Capture, response: Response) -> None:
        spoiled = capture.used.spoiled
        if spoiled:
            self._refuse(spoiled)
            return
        passing = refusals.of_response(response) or _of_person(capture)
        lasting = capture.used.spoiled or capture.lasting or _is_short(capture)
        if passing or lasting:
            # An error is of this moment: rights that are given back count at once.
            is_lasting = lasting and response.status_code == refusals.OK
            self._refuse(passing or lasting or "", capture.key if is_lasting else None)
            return
        try:
            grant = self._granted(capture, response)
        except Unanswerable as error:
            self._refuse(str(error))
            return
        if not grant.is_document:
            behind(response, lambda: self._store(capture, grant))
        elif self._store(capture, grant):
            documents.tag(response, response.get_data())

    def _store(self, capture: Capture, grant: Grant) -> bool:
        is_kept = self._judge.keep(capture.key, grant, capture.used.entries)
        if is_kept:
            self.kept += 1
        else:
            self._refuse("it could not be stored, or its entries tell too little")
        return is_kept

    def _granted(self, capture: Capture, response: Response) -> Grant:
        ranges = tuple(ranges_of(capture.used.queries))
        pieces = cut(capture.plain, ranges) if ranges else []
        moves = len(pieces) > 1
        body = pieces if moves else [response.get_data()]
        encoding = None if moves else response.headers.get("Content-Encoding")
        locale = session.get("locale") if "locale" not in capture.session else None
        replayed = _packed(Replayed(tuple(capture.hits), tuple(capture.queries), tuple(capture.used.records)))
        key_moves = bool(ranges) and capture.key_moves
        kind = response.headers["Content-Type"]
        ages = ages_of(capture.used.moments)
        lone, boards = capture.is_document, capture.used.dashboards
        return Grant(
            capture.mark, kind, encoding, tuple(body), ranges, key_moves, locale, replayed, lone, ages,
            None if boards is None else tuple(sorted(boards)),
        )  # fmt: skip

    def _is_refused(self, key: str) -> bool:
        until = self._refused.get(key)
        return until is not None and time.monotonic() < until

    def _refuse(self, why: str, key: str | None = None) -> None:
        """Count a refusal; with `key`, one that will be the same for a while."""
        self.refused[why] = self.refused.get(why, 0) + 1
        if key is not None:
            if len(self._refused) >= _REFUSED:
                self._refused.clear()
            self._refused[key] = time.monotonic() + _REFUSED_SECONDS

    def _note_hit(self, _region: str, event: Outcome) -> None:
        capture = _capture()
        if capture is not None and event.region == "chart_data" and event.result is None:
            capture.hits.append(event)

    def _note_asked(self, _channel: str, event: Asked) -> None:
        capture = _capture()
        if capture is not None:
            capture.queries.append(event)
            # Now, since Superset's log commits next, after which each of the dataset's columns would be read again.
            capture.lasting = "what it asks does not read"  # unless what follows succeeds
            capture.lasting, capture.key_moves = refusals.of_used(self._app, capture.used)
            if capture.lasting:
                capture.used.keep = lambda _: ()


def _capture() -> Capture | None:
    from flask import has_request_context

    return g.get(_NAME) if has_request_context() else None


def _packed(replayed: Replayed) -> tuple[str, str]:
    try:
        return replayed.packed()
    except (TypeError, ValueError) as error:
        raise Unanswerable("what was logged is more than JSON says") from error


def _note_queried(_source: str, event: Queried) -> None:
    used.spoil("a source was asked")


def _is_short(capture: Capture) -> str | None:
    """Why it is not known all that Superset did for an answer."""
    if capture.is_document:
        return documents.of_used(capture.used)
    if not capture.queries:
        return "no chart"
    return None if capture.used.records else "nothing of it was logged"


def _of_person(capture: Capture) -> str | None:
    """Why Superset's answer is not surely one to this caller alone."""
    if not capture.caller.is_current_user():
        return "Superset takes somebody else for who asks"
    now = dict(session)
    now.pop("locale", None)
    before = {name: value for name, value in capture.session.items() if name != "locale"}
    if now != before or capture.session.get("locale", session.get("locale")) != session.get("locale"):
        return "the session was changed"
    return None
