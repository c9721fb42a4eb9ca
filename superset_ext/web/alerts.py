"""`/alerts`: the rules of alerts, and the alerts."""

from __future__ import annotations

from copy import copy
from typing import Any

from flask import Response
from marshmallow import fields
from pydantic import BaseModel, ConfigDict, create_model

from superset_ext.monitor.alerts import rules
from superset_ext.monitor.alerts.evaluate import recent
from superset_ext.monitor.alerts.rules import AlertError, AlertRule
from superset_ext.package import package
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route


def _optional(field: Any) -> Any:
    """A field that may be left out."""
    other = copy(field)
    other.default = None
    return other


_FIELDS: dict[str, Any] = {name: (field.annotation, _optional(field)) for name, field in AlertRule.model_fields.items()}
AlertRuleChange = create_model(
    "AlertRuleChange", __config__=ConfigDict(extra="forbid"), __doc__="Some fields of a rule.", **_FIELDS
)


class AlertRuleWritten(Answer):
    """A rule as it is now."""

    name = fields.String()
    metric_type = fields.String()
    subject = fields.String(allow_none=True, metadata={"description": "The only subject that it watches"})
    comparison_operator = fields.String()
    threshold_value = fields.Float()
    clear_value = fields.Float(allow_none=True, metadata={"description": "An alert ends past this"})
    window_minutes = fields.Integer()
    min_occurrences = fields.Integer()
    severity = fields.String()
    cooldown_minutes = fields.Integer()
    enabled = fields.Boolean()


class AlertRuleListed(AlertRuleWritten):
    """A rule, and how many of its alerts last."""

    id = fields.Integer()
    builtin = fields.Boolean()
    open = fields.Integer(metadata={"description": "Alerts that last"})


class PerformanceAlert(Answer):
    """An alert."""

    id = fields.Integer()
    rule_id = fields.Integer()
    name = fields.String(metadata={"description": "Of the rule"})
    metric_type = fields.String()
    severity = fields.String()
    subject = fields.String()
    fired_at = fields.DateTime()
    resolved_at = fields.DateTime(allow_none=True)
    value = fields.Float(allow_none=True, metadata={"description": "The metric when it fired"})
    worst = fields.Float(allow_none=True, metadata={"description": "The metric at its worst"})
    threshold_value = fields.Float()
    confidence = fields.Float(allow_none=True, metadata={"description": "Of an anomaly"})
    message = fields.String(metadata={"description": "The alert in a sentence"})
    notified_at = fields.DateTime(allow_none=True)
    resolved_notified_at = fields.DateTime(allow_none=True)
    error = fields.String(allow_none=True, metadata={"description": "Why a notice did not arrive"})


class PerformanceAlerts(Answer):
    """Rules and alerts."""

    rules = fields.List(fields.Nested(AlertRuleListed))
    alerts = fields.List(fields.Nested(PerformanceAlert))


class AlertRuleAdded(Answer):
    """A new rule."""

    id = fields.Integer()


class AlertRuleRemoved(Answer):
    """What became of a rule."""

    result = fields.String(metadata={"description": "removed; or switched off, where it is a built-in one"})


class AlertsApi(Resource):
    """Alerts and their rules."""

    @route("/alerts", "GET", answer=PerformanceAlerts)
    def alerts(self) -> dict[str, Any]:
        """The alert rules, and the alerts of the last 30 days."""
        log = package().log()
        return {"rules": rules.rules(log), "alerts": recent(log)}

    @route("/alerts", "POST", body=AlertRule, answer=AlertRuleAdded, code=201)
    def add_alert(self, body: AlertRule) -> dict[str, Any]:
        """Add an alert rule."""
        return {"id": rules.add(package().log(), body)}

    @route("/alerts/<int:number>", "PUT", body=AlertRuleChange, answer=AlertRuleWritten)
    def change_alert(self, number: int, body: BaseModel) -> dict[str, Any]:
        """Change some fields of an alert rule."""
        return rules.change(package().log(), number, body.model_dump(exclude_unset=True)).model_dump()

    @route("/alerts/<int:number>", "DELETE", answer=AlertRuleRemoved, errors={404: "There is no such rule"})
    def remove_alert(self, number: int) -> dict[str, Any] | Response:
        """Remove an alert rule; a built-in one is switched off."""
        try:
            return {"result": rules.remove(package().log(), number)}
        except AlertError:
            return self.response_404()  # type: ignore[no-any-return]
