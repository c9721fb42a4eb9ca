"""What a dashboard has for its documents, who may read them, and where each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from testing.grants import World

PERMISSIONS = (
    ("can_read", "Dashboard"), ("can_read", "Dataset"), ("can_read", "Database"), ("can_read", "CssTemplate"),
    ("can_get_drill_info", "Dataset"), ("can_drill", "Dashboard"), ("can_read", "EmbeddedDashboard"),
    ("can_write", "Dashboard"),
)  # fmt: skip
KINDS = (
    "dashboard", "charts", "datasets", "tabs", "dashboard favourite", "chart favourite", "drill_info", "databases",
    "upload", "css", "embedded",
)  # fmt: skip


def paths(world: World, board: int | None = None) -> dict[str, str]:
    """The path of each kind of document, of one dashboard."""
    board, chart, dataset = board or world.board_id, world.chart_id, world.datasets["t"]
    return {
        "dashboard": f"/api/v1/dashboard/{board}",
        "charts": f"/api/v1/dashboard/{board}/charts",
        "datasets": f"/api/v1/dashboard/{board}/datasets",
        "tabs": f"/api/v1/dashboard/{board}/tabs",
        "dashboard favourite": f"/api/v1/dashboard/favorite_status/?q=!({board})",
        "chart favourite": f"/api/v1/chart/favorite_status/?q=!({chart})",
        "drill_info": f"/api/v1/dataset/{dataset}/drill_info/?q=(dashboard_id:{board})",
        "databases": "/api/v1/database/?q=(filters:!((col:database_name,opr:neq,value:examples)))",
        "upload": "/api/v1/database/?q=(filters:!((col:allow_file_upload,opr:upload_is_enabled,value:!t)))",
        "css": "/api/v1/css_template/?q=(columns:!(template_name,css,id))",
        "embedded": f"/api/v1/embedded_dashboard/{world.embedded_id}",
    }


def prepare(world: World, people: Sequence[str] = ("p1", "p2")) -> None:
    """Give people what the pages of a dashboard need, and the dashboard what its documents may say."""
    from superset.extensions import db, security_manager
    from superset.models.core import CssTemplate, Theme
    from superset.models.dashboard import Dashboard
    from superset.tags.models import Tag, TaggedObject

    # The models say of each kind of tagged object that it is every kind; Superset's migrations do not.
    for (name,) in world.sql("SELECT conname FROM pg_constraint WHERE conname LIKE 'tagged_object_object_id%%'"):
        world.sql(f"ALTER TABLE tagged_object DROP CONSTRAINT {name}")
    with world.app.app_context():
        perms = [security_manager.add_permission_view_menu(*pair) for pair in PERMISSIONS]
        for name in ("guests", *(f"of {one}" for one in people)):
            role = security_manager.find_role(name)
            role.permissions = [*role.permissions, *perms]
        board = db.session.get(Dashboard, world.board_id)
        board.owners = [security_manager.find_user("p3")]
        board.theme = Theme(theme_name="plain", json_data="{}")
        tag = Tag(name="old", type="custom")
        db.session.add_all([CssTemplate(template_name="red", css=".a {}"), tag])
        db.session.flush()
        db.session.add(TaggedObject(tag_id=tag.id, object_id=board.id, object_type="dashboard"))
        db.session.commit()
    age(world)


def age(world: World) -> None:
    """Have everything be as long ago as it will be said to be for hours to come, whenever this runs."""
    long_ago = datetime.now() - timedelta(hours=30)
    for table in ("dashboards", "tables", "dbs", "slices", "css_templates", "embedded_dashboards"):
        world.sql(f"UPDATE {table} SET changed_on = %s, created_on = %s", long_ago, long_ago)
