"""Names of tables as people write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from superset_ext.freshness.resolve import Names, TableName

_CLOSES: Mapping[str, str] = {'"': '"', "`": "`", "[": "]"}


def table_named(text: str) -> TableName:
    """The table that DATABASE.SCHEMA.TABLE or DATABASE.TABLE stands for.

    A part may stand in the quotes of SQL ("…", `…` or […], a quote within it twice), and must where it has a dot.

    Raises:
        ValueError: the text is no such name; the message says why.
    """
    parts = list(_parts(text))
    if len(parts) not in (2, 3) or not all(parts):
        hint = "; a part that has a dot itself stands in quotes: '\"my.database\".public.orders'"
        raise ValueError(f"{text!r} is not a table; write DATABASE.SCHEMA.TABLE{hint if len(parts) > 3 else ''}")
    return TableName(parts[0], parts[-1], parts[1] if len(parts) == 3 else None)


def _parts(text: str) -> Iterator[str]:
    rest = text
    while True:
        part, rest = _quoted(text, rest) if rest[:1] in _CLOSES else _plain(rest)
        yield part
        if not rest:
            return
        if rest[0] != ".":
            raise ValueError(f"{text!r} is not a table: after the quoted {part!r} comes {rest!r}")
        rest = rest[1:]


def _plain(text: str) -> tuple[str, str]:
    part, dot, rest = text.partition(".")
    return part, dot + rest


def _quoted(whole: str, text: str) -> tuple[str, str]:
    """A part in quotes without them, and what comes after it."""
    close, at, part = _CLOSES[text[0]], 1, ""
    while (end := text.find(close, at)) >= 0:
        part += text[at:end]
        if text[end + 1 : end + 2] != close:
            return part, text[end + 1 :]
        part, at = part + close, end + 2
    raise ValueError(f"{whole!r} is not a table: a quote is not closed")


def in_words(names: Names) -> str:
    """What a person has named, as they named it."""
    if names.everything:
        return "everything"
    parts = [f"table {table} of {table.database}" for table in names.tables]
    parts += [f"all of database {name}" for name in names.databases]
    for kind, ids in (("dataset", names.datasets), ("chart", names.charts), ("dashboard", names.dashboards)):
        parts += [f"{kind} {number}" for number in ids]
    return ", ".join(parts)
