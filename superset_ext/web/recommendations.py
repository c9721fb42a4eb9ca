"""`GET /recommendations`."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from superset_ext.host.access import may_see
from superset_ext.host.explaining import may_ask
from superset_ext.package import package, this_app
from superset_ext.plans.everything import MOST, everything
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route


class Evidence(Answer):
    """What a recommendation stands on."""

    numbers = fields.Dict(metadata={"description": "The figures"})
    sql = fields.String(metadata={"description": "The query that gives them, as it runs in psql"})


class PerformanceRecommendation(Answer):
    """Something to set."""

    kind = fields.String()
    subject = fields.String(metadata={"description": "What it is about, as dataset:12"})
    name = fields.String(metadata={"description": "What people call the subject"})
    finding = fields.String(metadata={"description": "What was found, in a sentence"})
    evidence = fields.Nested(Evidence)
    set = fields.String(metadata={"description": "A setting with its value, or a command"})
    brings = fields.String(metadata={"description": "What it should bring, in words"})
    estimated_seconds_a_day = fields.Float(metadata={"description": "Database seconds that it should save"})


class SlowQueryFinding(Answer):
    """Something in the latest plan of a slow statement."""

    fingerprint = fields.String(metadata={"description": "Of the statement; its plans are under /plans/<fingerprint>"})
    taken_at = fields.DateTime()
    database_id = fields.Integer()
    database = fields.String()
    dataset = fields.String(metadata={"description": "That the statement took most time for"})
    chart = fields.String(metadata={"description": "That the statement took most time for"})
    kind = fields.String(metadata={"description": "The rule that says so"})
    evidence = fields.String(metadata={"description": "What was seen, in a sentence"})
    advice = fields.String(metadata={"description": "What to do"})
    next_step = fields.String(metadata={"description": "What to run or look at next"})
    gain = fields.Float(metadata={"description": "Share of the statement's time that it can save at most"})
    sure = fields.String(metadata={"description": "certain, likely or possible"})
    seconds = fields.Float(metadata={"description": "Of the statement in the last week"})
    seconds_at_most = fields.Float(metadata={"description": "Of these, that it can save at most"})


class UpkeepFinding(Answer):
    """Something that a source needs for itself."""

    database_id = fields.Integer()
    at = fields.DateTime(metadata={"description": "When it was looked at"})
    since = fields.DateTime(metadata={"description": "Since when it has been so"})
    kind = fields.String(metadata={"description": "The check that says so"})
    severity = fields.String(metadata={"description": "critical, warning or notice"})
    subject = fields.String()
    evidence = fields.String(metadata={"description": "What was seen, in a sentence"})
    numbers = fields.Dict(metadata={"description": "The figures of that sentence"})
    advice = fields.String(metadata={"description": "What to do"})
    command = fields.String(metadata={"description": "A statement for that, which nobody has run"})


class IndexAdvice(Answer):
    """An index that is advised for a source, or was built there as advised."""

    database_id = fields.Integer()
    database = fields.String()
    state = fields.String(metadata={"description": "proposed, building, tried, applied, brought or dropped"})
    reason = fields.String(metadata={"description": "Why it is in this state"})
    table_name = fields.String(metadata={"description": "That it is on, with its schema"})
    index_name = fields.String()
    command = fields.String(metadata={"description": "The statement that builds it"})
    drop_command = fields.String(metadata={"description": "The statement that takes it away"})
    seconds = fields.Float(
        allow_none=True, metadata={"description": "Of the log's last week, that it saves by the planner's costs"}
    )
    reach_seconds = fields.Float(
        allow_none=True, metadata={"description": "Of these, that the statements took which could use it"}
    )
    bytes = fields.Integer(metadata={"description": "Its size, estimated"})
    writes_a_day = fields.Float(allow_none=True, metadata={"description": "Rows that it has to follow"})
    wal_bytes_a_day = fields.Float(
        allow_none=True, metadata={"description": "That it adds to the write-ahead log, estimated"}
    )
    charts = fields.List(fields.Integer(), metadata={"description": "Ids of those that gain"})
    datasets = fields.List(fields.Integer(), metadata={"description": "Ids of those that gain"})
    chart_names = fields.String(allow_none=True)
    dataset_names = fields.String(allow_none=True)
    fingerprints = fields.List(fields.String(), metadata={"description": "Of the statements that could use it"})
    created_at = fields.DateTime(metadata={"description": "When it was first advised"})
    changed_at = fields.DateTime(metadata={"description": "When its state last changed"})


class RewriteAdvice(Answer):
    """A rule that writes a slow statement otherwise, with the same answer."""

    fingerprint = fields.String(metadata={"description": "Of the statement; its plans are under /plans/<fingerprint>"})
    taken_at = fields.DateTime(metadata={"description": "When it was looked at"})
    database_id = fields.Integer()
    database = fields.String()
    dataset = fields.String(metadata={"description": "That the statement took most time for"})
    chart = fields.String(metadata={"description": "That the statement took most time for"})
    rule = fields.String()
    automatic = fields.Boolean(metadata={"description": "Whether it always helps where it applies"})
    changed = fields.List(fields.String(), metadata={"description": "What it changes, without values"})
    times = fields.Float(metadata={"description": "How many times as fast the statement should be"})
    cost = fields.Float(metadata={"description": "The planner's, of the statement as it is"})
    cost_after = fields.Float(metadata={"description": "The planner's, with all rules that apply"})
    only_below_rows = fields.Integer(allow_none=True, metadata={"description": "Sure where fewer rows come back"})
    seconds = fields.Float(metadata={"description": "Of the statement in the last week"})
    next_step = fields.String(metadata={"description": "What to set, or the command that compares both texts"})


class SourceLook(Answer):
    """When a source was looked at."""

    database_id = fields.Integer()
    database = fields.String()
    topic = fields.String(metadata={"description": "indexes or upkeep"})
    looked_at = fields.DateTime(allow_none=True, metadata={"description": "None: not yet"})
    next_at = fields.DateTime(metadata={"description": "Before when it is not looked at again"})
    reason = fields.String(metadata={"description": "Why it could not be, or what was left out"})


class PerformanceRecommendations(Answer):
    """What to do about what is slow, all kinds of it; in each list what brings most, or is most urgent, is first."""

    result = fields.List(fields.Nested(PerformanceRecommendation), metadata={"description": "What to set otherwise"})
    findings = fields.List(fields.Nested(SlowQueryFinding), metadata={"description": "What plans of queries show"})
    indexes = fields.List(fields.Nested(IndexAdvice), metadata={"description": "Indexes, with their state"})
    rewrites = fields.List(fields.Nested(RewriteAdvice), metadata={"description": "Other texts of slow statements"})
    upkeep = fields.List(fields.Nested(UpkeepFinding), metadata={"description": "What sources need for themselves"})
    looks = fields.List(fields.Nested(SourceLook), metadata={"description": "When sources were looked at"})


class RecommendationsApi(Resource):
    """What to do about what is slow."""

    @route("/recommendations", "GET", answer=PerformanceRecommendations)
    def recommendations(self) -> dict[str, Any]:
        """What to set otherwise, which indexes and texts of statements would help, what slow queries show, and what
        sources need; each with its evidence.

        Nothing is asked of a source meanwhile. Of each list, there is what concerns databases that whoever asks has
        access to; of what to set otherwise, what concerns datasets, charts and dashboards that they may see.
        """
        return everything(this_app(), package(), MOST, may_ask, may_see)
