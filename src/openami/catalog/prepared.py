"""Statements that are made once and run as often as anybody asks.

To build a statement costs SQLAlchemy five times what SQLite takes to run it, and to run one that
is built three times. So what every listing needs is built when its module is read, with `IDS`
where the ids go, is compiled when it is first run, and then goes to the driver as it is, in the
transaction that was opened as all are.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final

from sqlalchemy import BindParameter, Dialect, Row, Select, bindparam

from openami.catalog.catalog import Transaction

IDS: Final[BindParameter[Any]] = bindparam("ids", expanding=True)
_AT_ONCE: Final = 500  # SQL engines limit the values of one IN
_IDS: Final = "ids"

_Processor = Callable[[Any], Any]


class Prepared:
    """A SELECT. Each of its rows has its columns as attributes, in their order, as SQLAlchemy's do.

    What is bound when it is run is text; what is bound in the statement itself may be anything.
    Errors are the driver's own.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        self._statement = statement
        # By dialect and number of ids, of which `_rounded` leaves ten.
        self._forms: dict[tuple[str, int], _Form] = {}

    def rows(self, tx: Transaction, **values: str) -> list[Any]:
        return self._run(tx, values, ())

    def rows_of(self, tx: Transaction, ids: Iterable[str], **values: str) -> Iterator[Any]:
        """Of a statement that has `in_(IDS)`: its rows for all of `ids`."""
        for part in parts(ids):
            yield from self._run(tx, values, _rounded(part))

    def _run(self, tx: Transaction, values: Mapping[str, str], ids: Sequence[str]) -> list[Any]:
        form = self._form(tx.dialect, values, ids)
        cursor = tx.connection.cursor()
        try:
            cursor.execute(form.sql, form.bound(values, ids))
            found = cursor.fetchall()
        finally:
            cursor.close()
        return [self._row(row, form.processors) for row in found]

    def _row(self, row: Sequence[Any], processors: Sequence[tuple[int, _Processor]]) -> Any:
        fields = list(row)
        for place, processor in processors:
            fields[place] = processor(fields[place])
        return self._make(fields)

    @cached_property
    def _make(self) -> Callable[[Iterable[Any]], Any]:
        names = [str(column.key) for column in self._statement.selected_columns]
        return namedtuple("Found", names)._make  # pyright: ignore[reportUntypedNamedTuple]

    def _form(self, dialect: Dialect, values: Mapping[str, str], ids: Sequence[str]) -> "_Form":
        key = (dialect.name, len(ids))
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = _compiled(self._statement, dialect, values, ids)
        return form


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """A statement as a driver takes it.

    `names` are those of its values in their order, where they have one; `constants` are bound in
    the statement itself, `ids` are the names of the ids. `processors` make a column's value, by
    its place, what SQLAlchemy would.
    """

    sql: str
    names: Sequence[str] | None
    constants: Mapping[str, Any]
    ids: Sequence[str]
    processors: Sequence[tuple[int, _Processor]]

    def bound(self, values: Mapping[str, str], ids: Sequence[str]) -> Any:
        named = {**self.constants, **values, **dict(zip(self.ids, ids, strict=True))}
        return named if self.names is None else [named[name] for name in self.names]


def _compiled(
    statement: Select[*tuple[Any, ...]],
    dialect: Dialect,
    values: Mapping[str, str],
    ids: Sequence[str],
) -> _Form:
    bound = {**values, **({_IDS: ids} if ids else {})}
    expanded = statement.compile(dialect=dialect).construct_expanded_state(bound)
    names = expanded.parameter_expansion.get(_IDS, [])
    constants = {
        name: _processed(expanded.processors.get(name), value)
        for name, value in expanded.parameters.items()
        if name not in bound and name not in names
    }
    made = [
        column.type.dialect_impl(dialect).result_processor(dialect, None)
        for column in statement.selected_columns
    ]
    return _Form(
        sql=expanded.statement,
        names=expanded.positiontup,
        constants=constants,
        ids=names,
        processors=[(place, each) for place, each in enumerate(made) if each is not None],
    )


def _processed(processor: _Processor | None, value: Any) -> Any:
    return value if processor is None else processor(value)


def _rounded(ids: Sequence[str]) -> Sequence[str]:
    """The last one again, up to a power of two: it changes nothing of what an IN finds, and who
    asks for one, two, three … ids has not a form made for each number."""
    return [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))]


def parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """As many at a time as may be in one statement."""
    wanted = iter(ids)
    while part := list(islice(wanted, _AT_ONCE)):
        yield part


def fields(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """Column name → value. The public method has a name that no column can have."""
    return row._asdict()  # pyright: ignore[reportPrivateUsage]
