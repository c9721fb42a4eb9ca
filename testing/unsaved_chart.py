"""A chart that was made without Explore, as Superset's examples are: Superset has no query of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from testing.in_process import InProcess


@contextmanager
def unsaved_chart(app: InProcess, dataset: int, name: str, kind: str) -> Iterator[int]:
    """Its id; it is gone afterwards.

    Args:
        dataset: the id of what it is on.
        kind: of visualization.
    """
    from superset.extensions import db
    from superset.models.slice import Slice

    with app.app.app_context():
        made = Slice(slice_name=name, datasource_id=dataset, datasource_type="table", params="{}", viz_type=kind)
        db.session.add(made)
        db.session.commit()
        number = int(made.id)
    yield number
    with app.app.app_context():
        db.session.delete(db.session.get(Slice, number))
        db.session.commit()
