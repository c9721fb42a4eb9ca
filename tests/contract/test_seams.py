"""What the package takes for granted in Superset 6.1.0; a failure says what moved and who relies on it."""

from __future__ import annotations

import ast
import hashlib
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.pool import Pool

from superset_ext.host.scope import FETCHES
from superset_ext.host.seams import SEAMS

SUPERSET = Path(str(find_spec("superset").origin)).parent  # type: ignore[union-attr]


def function(file: str, owner: str, name: str) -> ast.FunctionDef:
    """A method, or, without an owner, a function of the module or one that it imports by its name."""
    body = ast.parse((SUPERSET / file).read_text()).body
    if owner:
        body = [
            member for node in body if isinstance(node, ast.ClassDef) and node.name == owner for member in node.body
        ]
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
        if not owner and isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return function(f"{str(node.module).removeprefix('superset.').replace('.', '/')}.py", owner, name)
    raise AssertionError(f"{owner}.{name} is gone from superset/{file}")


def fingerprint(node: ast.FunctionDef) -> str:
    """A hash of the code as it runs: comments, docstring and layout aside."""
    node.body = [b for b in node.body if not (isinstance(b, ast.Expr) and isinstance(b.value, ast.Constant))]
    return hashlib.sha256(ast.unparse(node).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("file", "owner", "name", "known", "relied_on"),
    [
        (
            "common/query_context_processor.py",
            "QueryContextProcessor",
            "get_df_payload",
            "6ee6538289a7cd75",
            "chart_queries.of_context",
        ),
        ("viz.py", "BaseViz", "get_df_payload", "8af622c4b91bbe62", "chart_queries.of_viz"),
        (
            "common/utils/query_cache_manager.py",
            "QueryCacheManager",
            "get",
            "7e11b57d46080e94",
            "forced queries, truthy filter columns",
        ),
        (
            "common/utils/query_cache_manager.py",
            "QueryCacheManager",
            "set_query_result",
            "1f219a79781726d0",
            "the codec's chart values",
        ),
        ("models/core.py", "Database", "get_df", "058ae06991f50d9e", "source_queries.of_database"),
        (
            "models/core.py",
            "Database",
            "_get_sqla_engine",
            "a2c85d89602d73f8",
            "engines.made: the URL is final",
        ),
        (
            "models/core.py",
            "Database",
            "get_raw_connection",
            "5975a42476ce7833",
            "engines: prequeries",
        ),
        (
            "models/core.py",
            "Database",
            "_execute_sql_with_mutation_and_logging",
            "f11dade3d41cdb1f",
            "source_queries: get_df sends by its spec's execute",
        ),
        ("db_engine_specs/base.py", "BaseEngineSpec", "execute", "e53619d82dafd523", "source_queries.of_spec"),
        ("db_engine_specs/impala.py", "ImpalaEngineSpec", "execute", "5af29957d201f6e2", "source_queries.of_spec"),
        ("db_engine_specs/hive.py", "HiveEngineSpec", "execute", "b36451b39cd38f89", "source_queries.of_static_spec"),
        (
            "utils/log.py",
            "AbstractEventLogger",
            "log_with_context",
            "917998cc8d519025",
            "granting.logged: every record passes self.log",
        ),
        (
            "models/helpers.py",
            "AuditMixinNullable",
            "_format_time_humanized",
            "3c228b4b8599f449",
            "documents.clocked: all that documents say of the clock, by the moment alone",
        ),
        ("utils/log.py", "DBEventLogger", "log", "74e9b8f1b70811de", "log_rows: the rows of a record"),
        ("jinja_context.py", "", "dataset_macro", "9156ccbc355a1a9d", "chart_queries.dataset_macro"),
        ("jinja_context.py", "", "metric_macro", "2115eaf869682b87", "chart_queries.metric_macro"),
        (
            "common/query_context_processor.py",
            "QueryContextProcessor",
            "query_cache_key",
            "a0963f7d0d3d65de",
            "sharing.annotation_keys",
        ),
        (
            "common/query_context_processor.py",
            "QueryContextProcessor",
            "get_viz_annotation_data",
            "2b82ba17fc8891b4",
            "sharing: which rows an annotation chart shows",
        ),
        ("connectors/sqla/models.py", "SqlaTable", "get_extra_cache_keys", "604df124f45015f1", "sharing.dataset_keys"),
        ("models/sql_lab.py", "Query", "get_extra_cache_keys", "2095500e3b3693bf", "sharing.dataset_keys"),
        ("models/helpers.py", "ExploreMixin", "get_query_str_extended", "7954f052e54f73ba", "sharing: the SQL to run"),
        ("security/manager.py", "SupersetSecurityManager", "can_access_database", "a12b3ca546d39873", "reserved.right"),
        ("security/manager.py", "SupersetSecurityManager", "can_access_schema", "e99ea0aca5aaa37f", "reserved.right"),
        ("security/manager.py", "SupersetSecurityManager", "raise_for_access", "554a99c9640761d2", "reserved.access"),
        ("charts/filters.py", "ChartFilter", "apply", "330947a10f01b181", "reserved.listed"),
        ("views/base.py", "DatasourceFilter", "apply", "7a5a4e0d29056154", "reserved.listed"),
        ("databases/filters.py", "DatabaseFilter", "apply", "0ef6a6c4f1413f3a", "reserved.listed"),
        ("dashboards/filters.py", "DashboardAccessFilter", "apply", "7ac4629967148df8", "reserved.reached"),
        (
            "sql_lab.py",
            "",
            "execute_sql_statements",
            "00ca7861d9ac50a5",
            "monitor.sqllab: what was sent, and when it ended",
        ),
        ("sql_lab.py", "", "handle_query_error", "2d2bb3bc28dddcdc", "monitor.sqllab: the class of an error"),
        ("models/helpers.py", "ExploreMixin", "get_sqla_query", "2a02b8ebefbb339b", "nested.template_arguments"),
        (
            "models/helpers.py",
            "ExploreMixin",
            "get_from_clause",
            "5a50373f07e8333f",
            "nested: which rules go into a dataset's SQL",
        ),
        ("models/helpers.py", "ExploreMixin", "get_rendered_sql", "4302667844cec35a", "nested.rendered"),
        (
            "connectors/sqla/models.py",
            "SqlaTable",
            "get_sqla_table",
            "269401f3498eae01",
            "nested: how the SQL names a physical dataset",
        ),
        (
            "connectors/sqla/models.py",
            "BaseDatasource",
            "get_sqla_row_level_filters",
            "4ee6ad2948c94b2c",
            "nested.row_level",
        ),
        ("models/helpers.py", "ExploreMixin", "get_sqla_row_level_filters", "9c07dfe5cff27c71", "nested.row_level"),
        ("utils/rls.py", "", "apply_rls", "8538387e5160e1d7", "nested.predicates"),
        ("utils/rls.py", "", "get_predicates_for_table", "11a277c9c02cd720", "rights.predicates_once"),
        ("security/manager.py", "SupersetSecurityManager", "get_rls_filters", "6fda69a76fa434a2", "rights.rules_once"),
        (
            "security/manager.py",
            "SupersetSecurityManager",
            "user_view_menu_names",
            "ff3be1ca7d3af759",
            "rights.names_once",
        ),
        ("security/manager.py", "SupersetSecurityManager", "can_access", "d36368e49eef299c", "moment.rights_once"),
        (
            "common/query_context_processor.py",
            "QueryContextProcessor",
            "raise_for_access",
            "4df53b2f829d1b6a",
            "moment.keep_rights",
        ),
        ("models/core.py", "Database", "get_default_schema", "dbf6cf2e3fb8499b", "remembered.default_schema"),
        (
            "db_engine_specs/base.py",
            "BaseEngineSpec",
            "get_default_schema",
            "5df3c39a558ebb92",
            "remembered.default_schema",
        ),
        (
            "jinja_context.py",
            "BaseTemplateProcessor",
            "process_template",
            "080ebd2e249a66e5",
            "remembered.compiled_once",
        ),
        ("sql/parse.py", "SQLStatement", "_parse", "7d2a08065bc9ebae", "remembered.parsed_once"),
        ("daos/base.py", "BaseDAO", "find_by_id", "06df0e0490a0f878", "moment.once"),
        ("daos/datasource.py", "DatasourceDAO", "get_datasource", "a8fc2ff7802939fa", "moment.once"),
        ("utils/dates.py", "", "now_as_float", "9715b9c7a86a6fad", "monitor.sqllab: times are milliseconds"),
    ],
)
def test_the_wrapped_code_is_the_code_we_know(file: str, owner: str, name: str, known: str, relied_on: str) -> None:
    """Intent: an upgrade that changes a function under a seam is seen before its effects are."""
    actual = fingerprint(function(file, owner, name))
    assert actual == known, f"superset/{file}: {owner}.{name} has changed ({actual}); read it again for {relied_on}"


@pytest.mark.parametrize("seam", SEAMS, ids=lambda s: f"{s[1]}.{s[2]}")
def test_each_seam_names_the_parameters_of_its_function(seam: tuple[str, str, str, tuple[str, ...], object]) -> None:
    """Intent: a seam steps aside where the parameters differ, so here they must not."""
    module, owner, name, parameters, _ = seam
    if name == "create_engine":  # SQLAlchemy's, as Superset's module has it
        assert tuple(signature(sqlalchemy.create_engine).parameters) == parameters
        return
    file = module.removeprefix("superset.").replace(".", "/") + ".py"
    arguments = function(file, owner, name).args
    names = [a.arg for a in arguments.args] + [a.arg for a in (arguments.vararg, arguments.kwarg) if a]
    assert tuple(names) == parameters


def test_no_other_engine_spec_sends_past_those_that_are_wrapped() -> None:
    """Intent: a spec of Superset's own with an `execute` of its own would send SQL that nobody notes."""
    wrapped = {(seam[0], seam[1]) for seam in SEAMS if seam[2] == "execute"}
    own = set()
    for path in (SUPERSET / "db_engine_specs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            members = node.body if isinstance(node, ast.ClassDef) else []
            if any(isinstance(member, ast.FunctionDef) and member.name == "execute" for member in members):
                own.add((f"superset.db_engine_specs.{path.stem}", node.name))  # type: ignore[attr-defined]
    assert own == wrapped


@pytest.mark.parametrize("endpoint", sorted(FETCHES))
def test_the_fetches_of_asynchronous_charts_are_where_we_look(endpoint: str) -> None:
    """Intent: an asynchronous chart's last read is known by its endpoint."""
    file = {"ChartDataRestApi": "charts/data/api.py", "Superset": "views/core.py"}[endpoint.split(".")[0]]
    assert function(file, *endpoint.split("."))


def test_listeners_of_all_pools_can_be_seen() -> None:
    """Intent: `sources.engines` keeps no connection where somebody listens to each; SQLAlchemy tells that to nobody."""
    assert not Pool.dispatch.connect._clslevel.get(Pool)

    def listener(*_: object) -> None:
        """Nothing."""

    sqlalchemy.event.listen(Pool, "connect", listener)
    try:
        assert list(Pool.dispatch.connect._clslevel[Pool]) == [listener]
    finally:
        sqlalchemy.event.remove(Pool, "connect", listener)


def test_superset_makes_engines_for_databases_in_one_place() -> None:
    """Intent: no engine of a source is made past `host.engines`."""
    text = (SUPERSET / "models/core.py").read_text()
    assert text.count("create_engine(") == 1
