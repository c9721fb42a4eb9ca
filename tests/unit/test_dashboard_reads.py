"""Which dashboards a request has read: what cannot be noted fails nobody, and counts as all of them."""

from __future__ import annotations

from superset_ext.cache import used
from superset_ext.host import dashboard_reads


def test_what_cannot_be_noted_counts_as_every_dashboard() -> None:
    """Intent: a listener of SQLAlchemy that raises would fail the page that somebody reads."""
    noted = used.watch(lambda _: ())
    try:
        dashboard_reads._made(object())
    finally:
        used.forget()
    assert noted.dashboards is None


def test_text_that_reads_contents_counts_as_every_dashboard() -> None:
    """Intent: no object is made of what such a statement returns, so that nothing tells which rows it read."""
    noted = used.watch(lambda _: ())
    try:
        dashboard_reads._sent(None, None, "SELECT d.css AS d_css FROM dashboards d", None, None, False)
    finally:
        used.forget()
    assert noted.dashboards is None
