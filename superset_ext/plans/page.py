"""The plans of a statement as a page to read, on a wide screen and on a phone. It has no script, and no value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from superset_ext.compat import UTC
from superset_ext.plans.case import Finding
from superset_ext.plans.draw import details, estimate, measured, times, title
from superset_ext.plans.review import Review, review_of
from superset_ext.plans.tree import Node

# Nothing is loaded from anywhere, and nothing runs.
CONTENT_SECURITY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'"
_HOT = 0.3  # of the plan, from which on a step stands out
_STYLE = Markup("""
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 1100px; padding: 16px; overflow-wrap: anywhere; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin-top: 32px; } h3 { font-size: 15px; margin-bottom: 4px; }
pre { white-space: pre-wrap; background: #8881; padding: 8px; border-radius: 4px; }
ul { list-style: none; margin: 0; padding: 0 0 0 18px; border-left: 1px solid #8886; }
ul.tree { padding: 0; border: 0; } li { margin: 6px 0; }
.step { padding: 4px 8px; border-radius: 4px; }
.step { background: linear-gradient(90deg, #20a7c933 var(--share), #8881 var(--share)); }
.step.hot { background: linear-gradient(90deg, #e0435533 var(--share), #8881 var(--share)); }
.few { color: #777; font-size: 13px; } .more { margin: 2px 0 0 8px; }
.finding { border-left: 3px solid #e04355; padding-left: 8px; }
code { font-size: 13px; }
@media (max-width: 700px) { body { padding: 10px; } ul { padding-left: 8px; } .few { font-size: 12px; } }
""")


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page of a statement's kept plans (rows of `kept.plans_of`), the latest first."""
    first = rows[0]
    parts = [Markup("<h1>Plan of a slow query</h1>")]
    if first["sql"]:
        parts.append(Markup("<pre>{}</pre>").format(first["sql"]))
    parts += [part for row in rows for part in _plan(row)]
    head = Markup(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Plan of a slow query</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><style>{}</style></head><body>'
    ).format(_STYLE)
    return str(head + Markup("").join(parts) + Markup("</body></html>"))


def _plan(row: Mapping[str, Any]) -> Iterator[Markup]:
    review = review_of(row)
    when = f"{row['taken_at'].astimezone(UTC):%Y-%m-%d %H:%M} UTC, {row['duration_ms']:,.0f} ms"
    yield Markup("<h2>{}</h2>").format(when)
    yield from _findings(review)
    yield Markup('<ul class="tree">{}</ul>').format(_node(review, review.plan.root))
    yield Markup('<p class="few">{}</p>').format("; ".join(times(review.plan)))


def _findings(review: Review) -> Iterator[Markup]:
    if not review.verdicts.findings:
        yield Markup("<p>Nothing in this plan asks for a change.</p>")
    for finding in review.verdicts.findings:
        yield Markup(
            '<div class="finding"><h3>{}</h3><div>{}</div><div class="few">{}</div><code>{}</code></div>'
        ).format(finding.evidence, finding.advice, _gain(finding), finding.next_step)


def _gain(finding: Finding) -> str:
    place = f", at step {finding.node}" if finding.node else ""
    gain = f"up to {finding.gain:.0%} of the query" if finding.gain >= 0.01 else "a better plan"
    return f"{finding.kind}{place}: {gain} ({finding.sure})"


def _node(review: Review, node: Node) -> Markup:
    share = min(max(review.plan.share(node), 0.0), 1.0)
    step = Markup('<div class="step{}" style="--share: {}%"><b>{}. {}</b> <span class="few">{}</span>{}</div>').format(
        " hot" if share >= _HOT else "", round(share * 100), node.number, title(node),
        f"{estimate(node)}{measured(node)}, {share:.0%}",
        Markup("").join(Markup('<div class="few more">{}</div>').format(line) for line in details(node)),
    )  # fmt: skip
    below = Markup("").join(_node(review, child) for child in node.children)
    return Markup("<li>{}{}</li>").format(step, Markup("<ul>{}</ul>").format(below) if node.children else escape(""))
