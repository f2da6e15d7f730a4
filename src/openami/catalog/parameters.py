"""SSM parameters in SQL: each is a row, each of its versions another, and its labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Select, and_, delete, exists, false, func, insert, or_, select
from sqlalchemy import update as sql_update

from openami.catalog.catalog import Transaction
from openami.catalog.schema import accounts, parameter_labels, parameter_versions, parameters, tags
from openami.domain.caller import Caller
from openami.domain.filter import Page
from openami.domain.parameter import (
    IMAGE_TYPE,
    PUBLIC_PREFIX,
    Parameter,
    ParameterNotFound,
    ParameterVersionNotFound,
    Pointer,
)

P, V, L = parameters.c, parameter_versions.c, parameter_labels.c

_COLUMNS: Final[tuple[Any, ...]] = (
    *(P.id, P.region, P.owner, P.name, P.type, V.version, V.value, V.data_type),
    *(V.description, V.allowed_pattern, V.modified_at),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A filter of SSM's: what it looks at, how it compares, with what."""

    key: str
    option: str
    values: tuple[str, ...]


def add(tx: Transaction, parameter: Parameter) -> None:
    """A parameter that is new, or the next version of one."""
    if parameter.version == 1:
        tx.execute(
            insert(parameters).values(
                id=parameter.id,
                region=parameter.region,
                owner=parameter.owner,
                name=parameter.name,
                type=parameter.type,
                version=1,
            )
        )
    else:
        newer = sql_update(parameters).where(P.id == parameter.id)
        tx.execute(newer.values(version=parameter.version))
    tx.execute(
        insert(parameter_versions).values(
            parameter_id=parameter.id,
            version=parameter.version,
            value=parameter.value,
            data_type=parameter.data_type,
            description=parameter.description,
            allowed_pattern=parameter.allowed_pattern,
            modified_at=parameter.modified_at,
            image_id=parameter.value if parameter.data_type == IMAGE_TYPE else None,
        )
    )


def remove(tx: Transaction, parameter_id: str) -> None:
    tx.execute(delete(parameter_labels).where(L.parameter_id == parameter_id))
    tx.execute(delete(parameter_versions).where(V.parameter_id == parameter_id))
    tx.execute(delete(parameters).where(P.id == parameter_id))


def remove_version(tx: Transaction, parameter_id: str, version: int) -> None:
    tx.execute(
        delete(parameter_versions).where(V.parameter_id == parameter_id, V.version == version)
    )


def count(tx: Transaction, caller: Caller) -> int:
    return tx.scalar(select(func.count()).select_from(parameters).where(_owned(caller))) or 0


def find_owned(tx: Transaction, caller: Caller, name: str) -> Parameter | None:
    """The newest version of the caller's own parameter."""
    return _first(tx, _newest().where(_owned(caller), P.name == name))


def fetch_owned(tx: Transaction, caller: Caller, name: str) -> Parameter:
    """Raises ParameterNotFound."""
    found = find_owned(tx, caller, name)
    if found is None:
        raise ParameterNotFound(name)
    return found


def fetch(tx: Transaction, caller: Caller, pointer: Pointer) -> Parameter:
    """What `pointer` names: the caller's own, or of the public ones.

    Raises ParameterNotFound, ParameterVersionNotFound.
    """
    named = and_(_readable(caller, pointer.name), P.name == pointer.name)
    newest = _first(tx, _newest().where(named))
    if newest is None:
        raise ParameterNotFound(pointer.name)
    if not pointer.selector:
        return newest
    version = pointer.version
    if version is None:
        labelled = select(L.version).where(L.parameter_id == newest.id, L.label == pointer.label)
        version = tx.scalar(labelled)
    found = None if version is None else fetch_version(tx, newest.id, version)
    if found is None:
        raise ParameterVersionNotFound(pointer)
    return found


def fetch_version(tx: Transaction, parameter_id: str, version: int) -> Parameter | None:
    return _first(tx, _all().where(P.id == parameter_id, V.version == version))


def versions(tx: Transaction, parameter_id: str, page: Page) -> list[Parameter]:
    """All that are kept, from the oldest on; `page.after` is a version's number."""
    query = _all().where(P.id == parameter_id)
    if page.after is not None:
        query = query.where(V.version > int(page.after))
    return _found(tx, query.order_by(V.version).limit(page.limit))


def under(
    tx: Transaction,
    caller: Caller,
    path: str,
    recursive: bool,
    conditions: Sequence[Condition],
    page: Page,
) -> list[Parameter]:
    """The parameters below a path, by name, as their newest version, or the one of a label."""
    labels = [each for each in conditions if each.key == "Label"]
    query = _newest()
    if labels:
        query = _all().where(
            exists(
                select(1).where(
                    L.parameter_id == P.id, L.version == V.version, _texts(L.label, labels[0])
                )
            )
        )
    query = query.where(
        _readable(caller, path.rstrip("/") + "/"),
        _below(path, recursive),
        *(_condition(each) for each in conditions if each.key != "Label"),
    )
    return _found(tx, _from(query, page))


def describe(
    tx: Transaction, caller: Caller, conditions: Sequence[Condition], page: Page
) -> list[Parameter]:
    """The caller's own parameters, by name."""
    query = _newest().where(_owned(caller), *(_condition(each) for each in conditions))
    return _found(tx, _from(query, page))


def label(tx: Transaction, parameter_id: str, version: int, names: Sequence[str]) -> None:
    """Put the labels on the version, from wherever they were."""
    unlabel(tx, parameter_id, names)
    for name in names:
        tx.execute(
            insert(parameter_labels).values(parameter_id=parameter_id, label=name, version=version)
        )


def unlabel(tx: Transaction, parameter_id: str, names: Sequence[str]) -> None:
    tx.execute(
        delete(parameter_labels).where(L.parameter_id == parameter_id, L.label.in_(list(names)))
    )


def _owned(caller: Caller) -> ColumnElement[bool]:
    return and_(P.owner == caller.account, P.region == caller.region)


def _readable(caller: Caller, name: str) -> ColumnElement[bool]:
    """AWS's own paths are everybody's to read; they are those of the accounts with an alias."""
    if not name.startswith(PUBLIC_PREFIX):
        return _owned(caller)
    of_alias = exists(select(1).where(accounts.c.id == P.owner, accounts.c.alias.is_not(None)))
    return and_(P.region == caller.region, of_alias)


def _all() -> Select[Any]:
    query = select(*_COLUMNS).join(parameter_versions, V.parameter_id == P.id)
    return cast("Select[Any]", query)


def _newest() -> Select[Any]:
    return _all().where(V.version == P.version)


def _from(query: Select[Any], page: Page) -> Select[Any]:
    if page.after is not None:
        query = query.where(P.name > page.after)
    return query.order_by(P.name).limit(page.limit)


def _first(tx: Transaction, query: Select[Any]) -> Parameter | None:
    found = _found(tx, query.limit(1))
    return found[0] if found else None


def _found(tx: Transaction, query: Select[Any]) -> list[Parameter]:
    rows = tx.execute(query).mappings().all()
    labels: dict[tuple[str, int], list[str]] = {}
    wanted = [row[P.id] for row in rows]
    for start in range(0, len(wanted), 500):  # SQL engines limit the values of one IN
        part = wanted[start : start + 500]
        of_these = select(parameter_labels).where(L.parameter_id.in_(part)).order_by(L.label)
        for each in tx.execute(of_these):
            labels.setdefault((each.parameter_id, each.version), []).append(each.label)
    return [
        Parameter(
            **{str(name): value for name, value in row.items()},
            labels=tuple(labels.get((row[P.id], row[V.version]), ())),
        )
        for row in rows
    ]


def _below(path: str, recursive: bool) -> ColumnElement[bool]:
    prefix = path.rstrip("/") + "/"
    inside = P.name.startswith(prefix, autoescape=True)
    if recursive:
        return inside
    literal = "".join(f"\\{sign}" if sign in "%_\\" else sign for sign in prefix)
    return and_(inside, P.name.not_like(f"{literal}%/%", escape="\\"))


def _texts(text: ColumnElement[Any], condition: Condition) -> ColumnElement[bool]:
    match condition.option:
        case "BeginsWith":
            found = [text.startswith(value, autoescape=True) for value in condition.values]
        case "Contains":
            found = [text.contains(value, autoescape=True) for value in condition.values]
        case _:
            found = [text == value for value in condition.values]
    return or_(*found)


def _path(condition: Condition) -> ColumnElement[bool]:
    recursive = condition.option == "Recursive"
    return or_(*(_below(value, recursive) for value in condition.values))


def _tagged(condition: Condition) -> ColumnElement[bool]:
    key = condition.key.removeprefix("tag:")
    mine = and_(tags.c.resource_id == P.id, tags.c.account == P.owner, tags.c.key == key)
    values = [_texts(tags.c.value, condition)] if condition.values else []
    return exists(select(1).where(mine, *values))


_CONDITIONS: Final[Mapping[str, Callable[[Condition], ColumnElement[bool]]]] = {
    "Name": lambda each: _texts(P.name, each),
    "Type": lambda each: _texts(P.type, each),
    "DataType": lambda each: _texts(V.data_type, each),
    "Path": _path,
    # No parameter is encrypted, and every one is of the standard tier.
    "KeyId": lambda _: false(),
    "Tier": lambda each: and_(True) if "Standard" in each.values else false(),
}


def _condition(each: Condition) -> ColumnElement[bool]:
    return _tagged(each) if each.key.startswith("tag:") else _CONDITIONS[each.key](each)
