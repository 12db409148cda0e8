"""How each record class goes into its table and comes out of it: SQL compiled once, and the two conversions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar, get_type_hints

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from yurt.outbound.store.tables import METADATA, TABLES

R = TypeVar("R")
Row = tuple[Any, ...]

_DIALECT = sqlite.dialect(paramstyle="qmark")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement as text, and the names of its parameters in their order."""

    sql: str
    names: tuple[str, ...]
    fixed: dict[str, Any]

    def bind(self, **values: object) -> tuple[object, ...]:
        """The parameters in order: `values`, and what was fixed when the statement was written."""
        return tuple(values.get(name, self.fixed.get(name)) for name in self.names)


def compile_query(statement: sa.sql.ClauseElement) -> Query:
    """Turn a statement of SQLAlchemy into what `sqlite3` takes."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return Query(str(compiled), tuple(getattr(compiled, "positiontup", None) or ()), dict(compiled.params))


@dataclass(frozen=True, slots=True)
class Shape(Generic[R]):
    """One record class and its table.

    Args:
        values: a record as a row.
        make: a row as a record.
        save: inserts a row, or replaces the one with its key.
        insert: inserts a row.
        remove: deletes by key.
        get: selects by key.
    """

    table: sa.Table
    values: Callable[[R], Row]
    make: Callable[[Row], R]
    save: str
    insert: str
    remove: str
    get: str


def _shape(kind: type[Any], table: sa.Table) -> Shape[Any]:
    key = list(table.primary_key.columns)
    by_key = sa.and_(*(column == sa.bindparam(f"key_{column.name}") for column in key))
    return Shape(
        table=table,
        values=attrgetter(*(field.name for field in fields(kind))),
        make=_maker(kind),
        save=compile_query(_upsert(table)).sql,
        insert=compile_query(sqlite.insert(table)).sql,
        remove=compile_query(sa.delete(table).where(by_key)).sql,
        get=compile_query(sa.select(table).where(by_key)).sql,
    )


def _upsert(table: sa.Table) -> sqlite.Insert:
    insert = sqlite.insert(table)
    rest = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=rest)


def _maker(kind: type[R]) -> Callable[[Row], R]:
    """Booleans are stored as 0 and 1, and are the only values that do not come back as they went in."""
    hints = get_type_hints(kind)
    flags = {place for place, name in enumerate(hints) if hints[name] is bool}
    if not flags:
        return lambda row: kind(*row)
    return lambda row: kind(*(bool(value) if place in flags else value for place, value in enumerate(row)))


Test = Literal["equals", "is_set", "is_not_set"]


def find_tests(where: Mapping[str, object]) -> tuple[tuple[str, Test], ...]:
    """What `Records.find` is asked, without the values: a field and its test each."""
    return tuple(_test(name, value) for name, value in where.items())


def _test(name: str, value: object) -> tuple[str, Test]:
    field, suffix, _ = name.partition("__set")
    if suffix:
        return field, "is_set" if value else "is_not_set"
    return field, "is_not_set" if value is None else "equals"


_SHAPES = {kind: _shape(kind, table) for kind, table in TABLES.items()}


def shape_of(kind: type[R]) -> Shape[R]:
    """The shape of a record class."""
    return _SHAPES[kind]


@cache
def find_query(table_name: str, tests: tuple[tuple[str, Test], ...], *, paged: bool, limited: bool) -> Query:
    """The statement of `Records.find` for one form of question; there are as many as places in the code that ask.

    Args:
        table_name: the record's table.
        tests: what `find_tests` made of the question.
        paged: whether there is a cursor.
        limited: whether there is a limit.

    Raises:
        KeyError: the record has no such field.
    """
    table = METADATA.tables[table_name]
    key = list(table.primary_key.columns)
    query = sa.select(table).order_by(*(column.desc() for column in key))
    query = query.where(*(_condition(table.c[field], test) for field, test in tests))
    if paged:
        cursor = sa.tuple_(*(sa.bindparam(f"before_{place}", type_=column.type) for place, column in enumerate(key)))
        query = query.where(sa.tuple_(*key) < cursor)
    if limited:
        query = query.limit(sa.bindparam("limit_rows"))
    return compile_query(query)


def _condition(column: sa.Column[Any], test: Test) -> sa.ColumnElement[bool]:
    if test == "equals":
        return column == sa.bindparam(column.name)
    return column.is_not(None) if test == "is_set" else column.is_(None)
