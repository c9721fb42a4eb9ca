"""Where grants meet a request: before Superset's view runs, and after everything else has made its answer.

The hooks are Flask's own, so that whatever an administrator has put before a view (CSRF protection, rate limits) has
had its say, and whatever comes after an answer (headers, cookies) is added to a granted one as to any other. None of
them fails a request: where one cannot do its work, Superset answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from flask import Flask, Response, g, request, session

from superset_ext.cache import used
from superset_ext.core.signals import tell, unfailing
from superset_ext.core.warn_once import warn
from superset_ext.errors import StoreUnavailable, Unanswerable
from superset_ext.events import Asked, Outcome, Queried, asked, outcome, queried
from superset_ext.grants import capture as captures
from superset_ext.grants import colors, documents, refusals
from superset_ext.grants.capture import Capture
from superset_ext.grants.early import Early
from superset_ext.grants.identity import Caller, caller, unknowable
from superset_ext.grants.judge import Grant, Judge
from superset_ext.grants.key import Keys
from superset_ext.grants.log_rows import LogRows
from superset_ext.grants.replayed import queries_of, tell_hits
from superset_ext.host.behind import behind
from superset_ext.host.bodies import read
from superset_ext.host.given_again import GivenAgain, given_again
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
_OWED = "superset_ext_owed"  # what an answer that is given again owes, in `g`
_REFUSED = 10_000  # keys that a process remembers as refused
_REFUSED_SECONDS = 60.0


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
        self._is_giving = False
        self.given = self.kept = 0
        self.refused: dict[str, int] = {}

    def install(self) -> None:
        """Work from now on."""
        self._app.before_request(self._before)
        self._app.after_request(self._plain)
        # Flask calls them in the reverse order: this one last, so that it sees what the client will get.
        self._app.after_request_funcs.setdefault(None, []).insert(0, self._after)
        self._app.teardown_request(_forget)
        outcome.connect(self._note_hit)
        asked.connect(self._note_asked)
        queried.connect(_note_queried)

    @unfailing("giving an answer again")
    def _before(self) -> Response | None:
        if ENDPOINTS.get(request.endpoint or "") != request.method and not self._is_document():
            return None
        started = time.perf_counter()
        return self._answer(started) if self._is_open() else None

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
        """The answer that is given again, if one is.

        The metadata database is asked at once, unless the request before was not answered so: then this one will
        hardly be.
        """
        if not self._judge.rights.ready():
            return None
        early = self._judge.rights.begin() if self._is_giving else None
        try:
            response = self._granted(started, early)
        finally:
            if early is not None:
                early.drop()
        self._is_giving = response is not None
        return response

    def _granted(self, started: float, early: Early | None) -> Response | None:
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
            granted = self._judge.granted(key, not self._is_document(), early)
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
            captures.begin(Capture(key, who, mark, dict(session), watched, is_document=is_document))

    def _given(self, grant: Grant, body: bytes, who: Caller, started: float) -> Response:
        response = Response(body, content_type=grant.content_type)
        if grant.encoding is not None:
            response.headers["Content-Encoding"] = grant.encoding
        if grant.locale is not None:
            session["locale"] = grant.locale
        if grant.is_document:
            documents.tag(response, body)
        know_identity(who.identity)
        self._count(grant, who, started)
        self.given += 1
        return response

    @unfailing("counting an answer that was given again")
    def _count(self, grant: Grant, who: Caller, started: float) -> None:
        """Count the answer as one of Superset's: what needs no request, behind it."""
        took = (time.perf_counter() - started) * 1000
        again = GivenAgain(read(request._get_current_object()), who.identity, (), time.time())  # type: ignore[attr-defined]
        later = partial(self._tell, grant, again, took)
        if self._logs.needs_no_request:
            setattr(g, _OWED, later)
        else:
            later()

    @unfailing("counting an answer that was given again")
    def _tell(self, grant: Grant, again: GivenAgain, took: float) -> None:
        queries, hits = grant.replayed
        again.queries = queries_of(queries)
        tell(given_again, self._app, again)
        records, asked = tell_hits(hits, took), again.request.get_data()
        if grant.colors and grant.colors != colors.digest(asked):
            records = colors.renewed(records, asked)
        self._logs.tell(records, took, again.request.environ.get("HTTP_REFERER", "")[:1000] or None)

    @unfailing("reading an answer", otherwise=lambda _, response: response)
    def _plain(self, response: Response) -> Response:
        capture = captures.current()
        if capture is not None and capture.used.spoiled is None and refusals.of_response(response) is None:
            capture.plain = response.get_data()
        return response

    @unfailing("keeping an answer", otherwise=lambda _, response: response)
    def _after(self, response: Response) -> Response:
        if (owed := g.pop(_OWED, None)) is not None:
            behind(response, owed)
        capture = captures.end()
        if capture is not None:
            used.forget()
            self._keep(capture, response)
        return response

    def _keep(self, capture: Capture, response: Response) -> None:
        spoiled = capture.used.spoiled
        if spoiled:
            self._refuse(spoiled)
            return
        passing = refusals.of_response(response) or captures.why_other(capture)
        lasting = capture.used.spoiled or capture.lasting or captures.why_short(capture)
        if passing or lasting:
            # An error is of this moment: rights that are given back count at once.
            is_lasting = lasting and response.status_code == refusals.OK
            self._refuse(passing or lasting or "", capture.key if is_lasting else None)
            return
        try:
            grant = captures.granted(capture, response, self._colors())
        except Unanswerable as error:
            self._refuse(str(error))
            return
        if not grant.is_document:
            behind(response, lambda: self._store(capture, grant))
        elif self._store(capture, grant):
            documents.tag(response, response.get_data())

    def _store(self, capture: Capture, grant: Grant) -> bool:
        is_kept = self._judge.keep(capture.key, grant, capture.used.entries, capture.since)
        if is_kept:
            self.kept += 1
        else:
            self._refuse("it could not be stored, or its entries tell too little")
        return is_kept

    def _colors(self) -> str:
        """What stands for the colors that are not in the key of the current request.

        Raises:
            Unanswerable: something else is not in it either.
        """
        if self._keys is None or not self._keys.leaves_colors_out(request):
            return ""
        asked = request.get_data()
        if not colors.is_apart(asked):
            raise Unanswerable("label colors where a template may read them")
        return colors.digest(asked)

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
        capture = captures.current()
        if capture is not None and event.region == "chart_data" and event.result is None:
            capture.hits.append(event)

    def _note_asked(self, _channel: str, event: Asked) -> None:
        capture = captures.current()
        if capture is not None:
            capture.queries.append(event)
            # Now, since Superset's log commits next, after which each of the dataset's columns would be read again.
            capture.lasting = "what it asks does not read"  # unless what follows succeeds
            capture.lasting, capture.key_moves = refusals.of_used(self._app, capture.used)
            if capture.lasting:
                capture.used.keep = lambda _: ()


@unfailing("forgetting what an answer was made of")
def _forget(_: BaseException | None) -> None:
    used.forget()


def _note_queried(_source: str, event: Queried) -> None:
    used.spoil("a source was asked")
