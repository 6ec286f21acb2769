"""Many rows inserted, or added to those that are there, in one statement.

The names of tables and columns are the models'; nothing of what is written is in the SQL.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import Any

from django.db import connection, models

Rows = Sequence[tuple]

# What a column of whole numbers holds.
MOST = models.BigIntegerField.MAX_BIGINT


def upsert(
    model: type[models.Model],
    fields: Sequence[str],
    rows: Rows,
    *,
    same: int,
    changes: Mapping[str, str],
) -> None:
    """Insert rows, each the values of these fields; change the ones that are there already.

    The first `same` fields are those of a unique constraint. A change is the SQL of a new
    value, in which {old.requests} and {new.requests} stand for such values.
    """
    if not rows:
        return
    unique = ", ".join(column(model, name) for name in fields[:same])
    old, new = _Columns(model, table(model)), _Columns(model, "excluded")
    sets = ", ".join(
        f"{column(model, name)} = {change.format(old=old, new=new)}"
        for name, change in changes.items()
    )
    sql = f"{_insert(model, fields)} ON CONFLICT ({unique}) DO UPDATE SET {sets}"
    execute_for(sql, model, fields, rows)


def insert(model: type[models.Model], fields: Sequence[str], rows: Rows) -> None:
    """Insert rows, each the values of these fields, as the database keeps them."""
    execute_for(_insert(model, fields), model, fields, rows)


def insert_all(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """Insert new rows of a model, whose numbers were drawn before (`next_numbers`).

    What `bulk_create` takes to prepare values one by one is most of its time. Here each is
    written as the row has it: with no default of the database, no moment set, nobody told.
    """
    if rows:
        names, values_of = _reading(model)
        insert(model, names, [values_of(row) for row in rows])
        for row in rows:
            row._state.adding, row._state.db = False, connection.alias


def next_numbers(model: type[models.Model], count: int) -> list[int]:
    """Return the numbers of so many rows that are about to be inserted, in a transaction."""
    name, key = model._meta.db_table, model._meta.pk.column
    with connection.cursor() as cursor:
        if is_postgresql():
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)",
                [table(model), key, count],
            )
            return [number for (number,) in cursor.fetchall()]
        # Nobody else writes meanwhile: a transaction of ours begins as a writer.
        cursor.execute(
            f"SELECT 1 + max(coalesce((SELECT max({key}) FROM {table(model)}), 0), coalesce("  # noqa: S608
            "(SELECT seq FROM sqlite_sequence WHERE name = %s), 0))",
            [name],
        )
        first = cursor.fetchone()[0]
        return list(range(first, first + count))


def execute_for(sql: str, model: type[models.Model], fields: Sequence[str], rows: Rows) -> None:
    """Execute a statement for rows of values: once with rows_of(), elsewhere for each."""
    if not rows:
        return
    with connection.cursor() as cursor:
        if is_postgresql():
            cursor.execute(sql, [_as_json(fields, rows)])
        else:
            cursor.executemany(sql, _adapted(model, fields, rows))


def rows_of(model: type[models.Model], fields: Sequence[str], name: str) -> str:
    """Return what stands for the rows in the FROM of a statement for PostgreSQL."""
    columns = (f'"{field}" {_field(model, field).cast_db_type(connection)}' for field in fields)
    return f"json_to_recordset(%s::json) AS {name}({', '.join(columns)})"


@cache
def table(model: type[models.Model]) -> str:
    """Return the quoted name of a model's table."""
    return connection.ops.quote_name(model._meta.db_table)


@cache
def column(model: type[models.Model], field: str) -> str:
    """Return the quoted name of a field's column."""
    return connection.ops.quote_name(_field(model, field).column)


def sums(*fields: str) -> dict[str, str]:
    """Return the changes that add to these fields."""
    return {name: f"{{old.{name}}} + {{new.{name}}}" for name in fields}


def capped_sums(*fields: str) -> dict[str, str]:
    """Return the changes that add to these fields, up to MOST; what is added is no more."""
    return {
        name: f"CASE WHEN {{old.{name}}} > {MOST} - {{new.{name}}} THEN {MOST} "
        f"ELSE {{old.{name}}} + {{new.{name}}} END"
        for name in fields
    }


def latest(*fields: str) -> dict[str, str]:
    """Return the changes that never set a moment back."""
    return {
        name: f"CASE WHEN {{old.{name}}} IS NULL OR {{old.{name}}} < {{new.{name}}} "
        f"THEN {{new.{name}}} ELSE {{old.{name}}} END"
        for name in fields
    }


def is_postgresql() -> bool:
    """Say which of the two databases this is."""
    return connection.vendor == "postgresql"


class _Columns:
    """The columns of one row, by the names of their fields."""

    def __init__(self, model: type[models.Model], row: str) -> None:
        self._model, self._row = model, row

    def __getattr__(self, field: str) -> str:
        return f"{self._row}.{column(self._model, field)}"


@cache
def _reading(model: type[models.Model]) -> tuple[list[str], Callable[[Any], tuple]]:
    """Return the names of a model's fields, and what returns their values of a row."""
    fields = model._meta.concrete_fields
    values_of = attrgetter(*(each.attname for each in fields))
    kept_otherwise = [(index, each) for index, each in enumerate(fields) if _is_prepared(each)]

    def prepared(row: Any) -> tuple:
        values = list(values_of(row))
        for index, field in kept_otherwise:
            # A zero, too: that of an amount may have places.
            if values[index] is not None:
                values[index] = field.get_db_prep_save(values[index], connection)
        return tuple(values)

    return [each.name for each in fields], prepared


def _is_prepared(field: Any) -> bool:
    """Say whether some database keeps the field's values otherwise than Python has them."""
    kind = getattr(field, "target_field", field)
    # Amounts are whole millionths, and SQLite has no UUIDs.
    is_amount = isinstance(kind, models.BigIntegerField) and not isinstance(kind, models.AutoField)
    return is_amount or isinstance(kind, models.UUIDField)


def _insert(model: type[models.Model], fields: Sequence[str]) -> str:
    columns = ", ".join(column(model, name) for name in fields)
    values = (
        f"SELECT * FROM {rows_of(model, fields, 'given')}"  # noqa: S608
        if is_postgresql()
        else f"VALUES ({', '.join(['%s'] * len(fields))})"
    )
    return f"INSERT INTO {table(model)} ({columns}) {values}"


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.get_field(name)


def _as_json(fields: Sequence[str], rows: Rows) -> str:
    return json.dumps([dict(zip(fields, row, strict=True)) for row in rows], default=str)


def _adapted(model: type[models.Model], fields: Sequence[str], rows: Rows) -> Rows:
    """Return the rows as SQLite keeps them."""
    columns = list(zip(*rows, strict=True))
    for index, name in enumerate(fields):
        if isinstance(_field(model, name), models.DateTimeField):
            columns[index] = tuple(map(_adapted_moment, columns[index]))
        elif isinstance(_field(model, name), models.JSONField):
            columns[index] = tuple(map(json.dumps, columns[index]))
    return list(zip(*columns, strict=True))


def _adapted_moment(moment: datetime | None) -> Any:
    if moment is None:
        return None
    if moment.tzinfo is UTC:
        # As below, in a tenth of the time.
        return moment.isoformat(" ")[: -len("+00:00")]
    return connection.ops.adapt_datetimefield_value(moment)
