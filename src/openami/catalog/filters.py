"""Filters as SQL: a table from filter name to column, never a chain of ifs.

Each noun's module has such a table. What a filter compares is text, as the caller wrote
it: booleans are "true" and "false", instants are ISO 8601 with milliseconds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, String, and_, case, cast, exists, false, func, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from openami.catalog.schema import tags
from openami.domain.filter import Filter, as_like, is_wild, unknown_filter
from openami.domain.ids import AccountId
from openami.domain.tag import SHARED_PREFIX

Text: TypeAlias = ColumnElement[Any]
Condition: TypeAlias = Callable[[Sequence[str]], ColumnElement[bool]]


def matches(text: Text, values: Sequence[str]) -> ColumnElement[bool]:
    """Whether `text` is one of `values`, each of which may hold wildcards."""
    plain = [value for value in values if not is_wild(value)]
    conditions: list[ColumnElement[bool]] = []
    if plain:
        conditions.append(text.in_(plain))
    conditions += [text.like(as_like(value), escape="\\") for value in values if is_wild(value)]
    return or_(*conditions) if conditions else false()


def column(text: Text) -> Condition:
    """The condition on one column (or expression) of the noun's own table."""
    return lambda values: matches(_text(text), values)


def _text(value: Text) -> Text:
    """As text. What is text already is not cast: of a cast no index would help."""
    return value if isinstance(value.type, String) else cast(value, String)


def boolean(flag: ColumnElement[bool]) -> Condition:
    return column(case((flag, "true"), else_="false"))


def instant(moment: ColumnElement[Any]) -> Condition:
    return lambda values: matches(iso_instant(moment), values)


def child(link: ColumnElement[bool], text: ColumnElement[Any]) -> Condition:
    """The condition that some row of a child table, joined by `link`, matches."""
    return lambda values: exists(select(1).where(link, matches(_text(text), values)))


def child_instant(link: ColumnElement[bool], moment: ColumnElement[Any]) -> Condition:
    """As `child`, of an instant that is written with Z or with an offset and microseconds."""
    with_offset = func.replace(iso_instant(moment), "Z", "000+00:00")
    return lambda values: exists(
        select(1).where(
            link, or_(matches(iso_instant(moment), values), matches(with_offset, values))
        )
    )


def where(
    filters: Sequence[Filter],
    table: Mapping[str, Condition],
    resource_id: ColumnElement[str],
    account: AccountId,
    shared_by: ColumnElement[str] | None = None,
) -> ColumnElement[bool]:
    """All of `filters`, on the noun whose id column is `resource_id`, as `account` sees it.

    `shared_by` is the column of an owner whose shared tags count like the account's own.
    Raises InvalidParameterValue "The filter 'x' is invalid" for a name that `table` lacks.
    """
    seen = tags.c.account == account
    if shared_by is not None:
        shared = tags.c.key.startswith(SHARED_PREFIX, autoescape=True)
        seen = or_(seen, and_(tags.c.account == shared_by, shared))
    tag = and_(tags.c.resource_id == resource_id, seen)
    conditions = [_condition(each, table, tag) for each in filters]
    return and_(*conditions) if conditions else and_(True)


def _condition(
    each: Filter, table: Mapping[str, Condition], tag: ColumnElement[bool]
) -> ColumnElement[bool]:
    if each.name.startswith("tag:"):
        key = each.name.removeprefix("tag:")
        return exists(select(1).where(tag, tags.c.key == key, matches(tags.c.value, each.values)))
    if each.name in ("tag-key", "tag-value"):
        part = tags.c.key if each.name == "tag-key" else tags.c.value
        return exists(select(1).where(tag, matches(part, each.values)))
    known = table.get(each.name)
    if known is None:
        raise unknown_filter(each.name)
    return known(each.values)


class iso_instant(GenericFunction[str]):  # noqa: N801, SQL functions are written in lower case
    """An instant as EC2 writes it: 2024-01-31T12:00:00.000Z."""

    type = String()
    inherit_cache = True


@compiles(iso_instant, "sqlite")
def _iso_instant_sqlite(element: iso_instant, compiler: SQLCompiler, **how: Any) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', {compiler.process(element.clauses, **how)})"


@compiles(iso_instant, "postgresql")
def _iso_instant_postgresql(element: iso_instant, compiler: SQLCompiler, **how: Any) -> str:
    inner = compiler.process(element.clauses, **how)
    return f"""to_char({inner} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


def json_text(document: ColumnElement[Any], key: str) -> ColumnElement[Any]:
    """One member of a JSON column, for the rare filter on one. SQLite's spelling."""
    return func.json_extract(cast(document, String), f"$.{key}")
