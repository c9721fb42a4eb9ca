"""What users are answered in single cases, and while all of it changes in random order.

Runs where `testing/sharing.py` does.
"""

from __future__ import annotations

import json
import random
from typing import Any

from testing.sharing import OWN, PEOPLE, RULES, World, extra_keys, hit, owners, shown


def interleave(world: World, seed: int, steps: int) -> dict[str, Any]:
    """Ask and change at random; what differed from the oracle, and how many answers were hits.

    Returns:
        `asked`, `hits`, and `different`: seed, step, user, request, both answers.
    """
    rng, hits, asked, different = random.Random(seed), 0, 0, []
    errors: dict[str, str] = {}
    rule, sql = None, OWN
    oracle: dict[Any, Any] = {}  # rows do not change: the answer depends on nothing but what is in its key
    for step in range(steps):
        if rng.random() < 0.06:
            rule = rng.choice([None, *RULES])
            world.rule(rule)
        elif rng.random() < 0.02:
            sql = rng.choice([OWN, OWN + " AND v > 20", "SELECT owner, v, at FROM t"])
            world.edit("own", sql)
        user, name = rng.choice(PEOPLE), rng.choice(sorted(world.requests))
        answer = world.ask(user, name, force=rng.random() < 0.05)
        if (rule, sql, user, name) not in oracle:
            with world.no_cache():
                oracle[rule, sql, user, name] = world.ask(user, name)
        expected = oracle[rule, sql, user, name]
        asked += 1
        if isinstance(expected, str):
            errors[name] = expected
        hits += not isinstance(answer, str) and all(result["is_cached"] for result in answer)
        if shown(answer) != shown(expected):
            different.append([seed, step, user, name, shown(answer), shown(expected)])
    return {"asked": asked, "hits": hits, "different": different, "errors": errors}


def facts(world: World) -> dict[str, Any]:
    """What single cases come to; the tests say what is right."""
    cached: dict[str, Any] = {}
    world.rule(RULES[0])
    with world.mutator(None, "asked by {user}"):
        cached["comment"] = [hit(world.ask(user, "plain")) for user in ("u1", "u2", "u2")]
    with world.mutator("owner = '{user}'"):
        cached["predicate"] = [owners(world.ask(user, "plain")) for user in ("u1", "u2", "u1")]
    with world.mutator("owner <> '--{user}'"):
        cached["comment in a text"] = [hit(world.ask(user, "plain")) for user in ("u1", "u2", "u1")]
    cached["without jinja"] = [hit(world.ask(user, "plain")) for user in ("u1", "u2", "u3")]
    world.requests["subquery"] = world.body("plain", extras={"where": "owner IN (SELECT owner FROM t)"})
    cached["subquery"] = [owners(world.ask(user, "subquery")) for user in ("u1", "u2", "u3")]
    cached["limited"] = limited(world)
    cached["allowed"] = [owners(world.ask(user, "deep3")) for user in ("u3", "u1")]
    world.deny("deep1")
    cached["denied"] = [owners(world.ask(user, "deep2")) for user in ("u3", "u1", "u3")]
    cached["denied layer"] = [owners(world.ask(user, "by_depth")) for user in ("u3", "u1", "u3")]
    cached["clauses"] = clauses(world)
    cached["of sql lab"] = of_sql_lab(world)
    return cached


def clauses(world: World) -> list[Any]:
    """What two users are shown of a dataset over two tables, where each has one rule, of the same words, on another."""
    from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
    from superset.extensions import db, security_manager

    world.rule(None)
    world._dataset("third", table="third")
    world._dataset("pair", "SELECT a.owner, a.v FROM t AS a, third AS b")
    right = security_manager.add_permission_view_menu("datasource_access", db.session.query(SqlaTable).get(
        world.datasets["pair"]).perm)  # fmt: skip
    for user, table in (("u1", "ruled"), ("u2", "third")):
        role = security_manager.add_role(f"only {user}")
        role.permissions = [right]
        person = security_manager.find_user(user)
        person.roles = [*person.roles, role]
        rule = RowLevelSecurityFilter(name=user, filter_type="Regular", clause="v > 20", roles=[role])
        rule.tables = [db.session.query(SqlaTable).get(world.datasets[table])]
        db.session.add(rule)
    db.session.commit()
    shown_to = [shown(world.ask(user, "pair")) for user in ("u1", "u2")]
    with world.no_cache():
        return [shown_to, [shown(world.ask(user, "pair")) for user in ("u1", "u2")]]


def of_sql_lab(world: World) -> list[Any]:
    """What three users are shown of one query of SQL Lab over a table with a row-level rule, taken as a dataset."""
    from superset.extensions import db, security_manager
    from superset.models.core import Database
    from superset.models.sql_lab import Query

    world.rule(RULES[0])
    people, perm = security_manager.find_role("people"), db.session.query(Database).get(world.source_id).perm
    people.permissions = [*people.permissions, security_manager.add_permission_view_menu("database_access", perm)]
    sql = "SELECT owner, v FROM t"
    query = Query(
        client_id="a query", database_id=world.source_id, sql=sql, executed_sql=sql, schema="public", status="success",
        user_id=security_manager.find_user("u1").id, limit=1000,
        extra_json=json.dumps({"columns": [
            {"column_name": name, "name": name, "type": "TEXT", "is_dttm": False} for name in ("owner", "v")
        ]}),
    )  # fmt: skip
    db.session.add(query)
    db.session.commit()
    count = {"expressionType": "SQL", "sqlExpression": "count(*)", "label": "total"}
    world.datasets["lab"] = query.id
    world.requests["lab"] = world.body("lab", metrics=[count]) | {"datasource": {"id": query.id, "type": "query"}}
    return [owners(world.ask(user, "lab")) for user in PEOPLE]


def limited(world: World) -> list[bool]:
    """Whether users with the same SQL share the key of a limited series, where the engine can join and where not."""
    from superset.db_engine_specs.postgres import PostgresEngineSpec

    world.requests["limited"] = world.body("other", series_limit=2, series_columns=["owner"])
    share = []
    for joins in (True, False):
        PostgresEngineSpec.allows_joins = joins
        first, second = (extra_keys(world, user, ["limited"]) for user in ("u1", "u2"))
        share.append(first == second)
    PostgresEngineSpec.allows_joins = True
    return share
