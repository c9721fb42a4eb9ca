"""Which tables a piece of SQL reads; `None` where that cannot be known.

What Superset's own `.tables` gets wrong is done here: the scope of a CTE, `TABLE foo`, sources that are no tables.

Only a table that is left out is an error: one too many drops an entry too early, one too few makes a wrong chart.
So a name is taken for a CTE only where it surely is one, and the answer is `None` if the parser does not understand
something, or silently drops it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.dialects.dialect import Dialect, NormalizationStrategy
from sqlglot.dialects.hive import Hive
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.dialects.tsql import TSQL

from superset_ext.sqltables import lookups
from superset_ext.sqltables.statement import dialect_of, settled, statements, words_of
from superset_ext.sqltables.table import Table, Unknown, table_of

# Statements whose tables can be known; any other kind is not understood.
QUERIES = (exp.Query, exp.Values, exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.MultitableInserts, exp.Pivot,
            exp.Summarize)  # fmt: skip
CHANGING = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
# Sources that the server itself computes from their arguments, by the name in sqlglot or in SQL. A name that only
# some dialects know may be a user's own function in the others, and such a function may read anything.
_PURE = words_of(
    "unnest explodinggenerateseries generateseries jsontable xmltable json_each json_tree json_each_text jsonb_each "
    "jsonb_each_text json_array_elements jsonb_array_elements json_array_elements_text jsonb_array_elements_text "
    "json_object_keys jsonb_object_keys json_to_record jsonb_to_record json_to_recordset jsonb_to_recordset "
    "regexp_split_to_table string_to_table"
)
_PURE_OF: tuple[tuple[type[Dialect], frozenset[str]], ...] = (
    (Hive, words_of("explode explodeouter posexplode posexplodeouter inline json_tuple parse_url_tuple stack")),
    (Snowflake, words_of("explode flatten")),
    (TSQL, words_of("openjson string_split")),
    (ClickHouse, words_of("numbers numbers_mt zeros zeros_mt generaterandom")),
)
_SYSTEM = frozenset({"pg_catalog", "safe", "net", "keys", "aead", "hll_count", "kll_quantiles", "dbms_random"})
_BARE = (exp.Lock, exp.Hint, exp.Into)  # they repeat an alias, or name what is written


class Window(NamedTuple):
    """A name that says in which catalog its table is, or may be: another source may lie behind it.

    Attributes:
        catalog: in lower case; a link's begins with `@`.
        table: its name there.
    """

    catalog: str
    table: Table


class Reads(NamedTuple):
    """What a piece of SQL reads.

    Attributes:
        tables: all of them, without their catalogs; `None` where they cannot be known or there is none.
        windows: those of them whose names have a catalog.
        beyond: whether other databases may be read, where `tables` is `None`.
    """

    tables: frozenset[Table] | None
    windows: frozenset[Window] = frozenset()
    beyond: bool = False


def reads(sql: str, engine: str) -> Reads:
    """What SQL reads, its own database's tables and others; see `read_tables`."""
    try:
        return _read(sql, engine)
    except Exception:  # noqa: BLE001  (a parser may raise anything over what somebody typed)
        return Reads(None, beyond=lookups.may_reach_beyond(sql))


def read_tables(sql: str, engine: str) -> frozenset[Table] | None:
    """The tables that SQL reads, `None` where they cannot be known or there is none.

    Args:
        sql: one or several statements.
        engine: Superset's name of the engine, as in `database.db_engine_spec.engine`.
    """
    return reads(sql, engine).tables


def _read(sql: str, engine: str) -> Reads:
    tables: set[Table] = set()
    windows: set[Window] = set()
    moved = False
    dialect = dialect_of(engine)
    if dialect is None:
        raise Unknown(engine)
    for statement in statements(sql, dialect):
        moved |= statement.moves
        if not statement.is_session or statement.may_read:
            walk = Walk(statement.tree(), dialect)
            tables |= set(walk.sources())
            windows |= walk.windows
    return Reads(settled(tables, moved, least=1), frozenset(windows))


_Name = tuple[str, bool]
_Known = frozenset[_Name]


class Walk:
    """A walk through a tree that knows at each place which names are CTEs.

    It keeps its own stack: a UNION of a thousand SELECTs is a thousand deep.

    Attributes:
        windows: names with a catalog that it has come by.
    """

    def __init__(self, tree: exp.Expression, dialect: Dialect, known: _Known = frozenset()) -> None:
        if isinstance(tree, exp.Create) and tree.kind not in ("TABLE", "VIEW"):
            raise Unknown(tree.kind)
        if not isinstance(tree, (*QUERIES, exp.Create, exp.Set, exp.Declare, exp.Table)):
            raise Unknown(tree.key)
        self.windows: set[Window] = set()
        self._dialect = dialect
        self._stack: list[tuple[exp.Expression, _Known]] = [(tree, known)]

    def sources(self) -> Iterator[Table]:
        """The tables that are read.

        Raises:
            Unknown: something is read that is no table.
        """
        while self._stack:
            node, known = self._stack.pop()
            _check(node, self._dialect)
            if isinstance(node, exp.Table):
                yield from self._table(node, known)
            elif isinstance(node, exp.In):
                yield from self._in(node, known)
            self._descend(node, known)

    def _descend(self, node: exp.Expression, known: _Known) -> None:
        with_ = node.args.get("with_")
        inside = self._ctes(with_, known) if with_ else known
        target = node.args.get("this") if isinstance(node, (exp.Insert, exp.Create)) else None
        for child in node.iter_expressions():
            if child is not with_ and child is not target and not isinstance(child, _BARE):
                # The target is a table, even if a CTE has the same name.
                changed = isinstance(node, CHANGING) and child is node.this
                self._stack.append((child, frozenset() if changed else inside))

    def _ctes(self, with_: exp.With, known: _Known) -> _Known:
        """The names of CTEs that are known inside a query; a CTE sees those before it.

        Raises:
            Unknown: one of them is no query.
        """
        for cte in with_.expressions:
            name = self._name(cte.args["alias"].this)
            body, scalar = cte.this, cte.args.get("scalar")
            if not scalar and not isinstance(body, QUERIES):
                raise Unknown(body.key)
            if with_.recursive and isinstance(body, exp.SetOperation) and not body.args.get("with_"):
                self._stack += [(body.this, known), (body.expression, known | {name})]
            else:
                self._stack.append((body, known))
            if not scalar:  # ClickHouse's WITH (SELECT …) AS x is a value
                known |= {name}
        return known

    def _name(self, identifier: exp.Identifier) -> _Name:
        """A name as it is compared. Quoted and unquoted ones differ: how those compare is the server's business."""
        sensitive = self._dialect.normalization_strategy is NormalizationStrategy.CASE_SENSITIVE
        text = identifier.name if identifier.quoted or sensitive else identifier.name.casefold()
        return text, bool(identifier.quoted)

    def _table(self, node: exp.Table, known: _Known) -> Iterator[Table]:
        if not isinstance(node.this, (exp.Identifier, exp.Dot)):
            _check_source(node, self._dialect)
            return
        _check_alias(node)
        parts = parts_of(node)
        if len(parts) == 1 and self._name(parts[0]) in known:
            return
        if not parts[-1].quoted and parts[-1].name.upper() == "TABLE":
            raise Unknown("TABLE")  # the command, in a place where it was not expected
        yield (table := table_of([part.name for part in parts]))
        self._note(parts)
        if "$" in table.name:  # Trino's "orders$partitions"
            yield Table(table.schema, table.name.partition("$")[0] or table.name)

    def _note(self, parts: list[exp.Identifier]) -> None:
        """Keep a name that has a catalog, or a link behind an `@`, whose own name may have several parts."""
        names = [part.name for part in parts]
        linked = next((place for place, part in enumerate(parts) if "@" in part.name and not part.quoted), None)
        if linked is not None:
            name, _, link = ".".join(names[linked:]).partition("@")
            self.windows.add(Window(f"@{link}".casefold(), table_of([*names[:linked][-1:], name])))
        elif len(names) > 2:
            self.windows.add(Window(".".join(names[:-2]).casefold(), table_of(names[-2:])))

    def _in(self, node: exp.In, known: _Known) -> Iterator[Table]:
        """`x IN orders` of ClickHouse and SQLite."""
        right = node.args.get("field") or (node.expressions[0] if len(node.expressions) == 1 else None)
        if isinstance(right, exp.Anonymous):
            raise Unknown(right.name)
        if isinstance(right, exp.Column) and isinstance(right.this, exp.Identifier):
            parts = right.parts
            if len(parts) > 1 or self._name(parts[0]) not in known:
                yield table_of([part.name for part in parts])
                self._note(parts)


def parts_of(node: exp.Table) -> list[exp.Identifier]:
    """The parts of a table's name, outermost first.

    Raises:
        Unknown: one of them is a parameter or the like.
    """
    parts = [node.args.get("catalog"), node.args.get("db"), *_dotted(node.this)]
    while parts and parts[0] is None:
        parts.pop(0)
    named = [exp.to_identifier("") if part in (None, "") else part for part in parts]
    if not all(isinstance(part, exp.Identifier) for part in named):
        raise Unknown(node.sql())
    return named


def _dotted(node: Any) -> list[Any]:
    return [*_dotted(node.this), node.expression] if isinstance(node, exp.Dot) else [node]


def _check(node: exp.Expression, dialect: Dialect) -> None:
    """Refuse what may read a table without naming it.

    Raises:
        Unknown: it may.
    """
    if isinstance(node, lookups.FUNCTIONS):
        lookups.check(node)
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func) and node.this.name.lower() not in _SYSTEM:
        raise Unknown(node.sql())  # a function of a schema is somebody's own
    if isinstance(node, (exp.From, exp.Join, exp.Lateral, exp.TableFromRows)):
        _check_source(node, dialect)


def _check_alias(node: exp.Table) -> None:
    """Refuse a table whose alias is none.

    Raises:
        Unknown: sqlglot takes `dictionary('d')` for a table with columns, and `orders@server` for one with an alias.
    """
    alias = node.args.get("alias")
    if alias is not None and not isinstance(alias.this, exp.Identifier):
        raise Unknown(node.sql())


def _check_source(node: exp.Expression, dialect: Dialect) -> None:
    """Refuse a source that is neither a table nor a query, nor a function that reads none.

    Raises:
        Unknown: it is something else.
    """
    source = node.this
    if isinstance(source, (exp.Table, exp.Query, exp.Values, exp.Unnest, exp.Lateral, exp.TableFromRows, exp.Final)):
        return
    if isinstance(node, exp.Join) and node.args.get("kind") == "ARRAY":
        return
    name = (source.name if isinstance(source, exp.Anonymous) else source.key if source else "").lower()
    own = name in _PURE or any(name in names for kind, names in _PURE_OF if isinstance(dialect, kind))
    if not own or node.args.get("db"):
        raise Unknown(name)
