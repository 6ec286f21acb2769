"""Writing very many rows of a model past it: what a benchmark's ground is made with."""

from collections.abc import Mapping

from django.core.management.color import no_style
from django.db import connection
from django.db.models import Model


def multiply(model: type[Model], copies: int, changes: Mapping[str, str], where: str) -> None:
    """Insert copies of the rows that fulfil a condition in SQL, numbered `n` from 1.

    `changes` says in SQL which columns of a copy are otherwise. The database does it alone:
    a million rows take seconds.
    """
    quote = connection.ops.quote_name
    columns = [each.column for each in model._meta.concrete_fields]
    if model._meta.pk.column not in changes:
        columns.remove(model._meta.pk.column)
    values = ", ".join(changes.get(each, quote(each)) for each in columns)
    names = ", ".join(map(quote, columns))
    table = quote(model._meta.db_table)
    numbers = f"numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {copies})"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) WITH RECURSIVE {numbers} "  # noqa: S608
            f"SELECT {values} FROM {table} CROSS JOIN numbers WHERE {where}"
        )
        for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
            cursor.execute(statement)


def numbered(column: str, kept: int, digits: int) -> str:
    """Return, in SQL, the first characters of a text column and then `n` in so many digits."""
    if connection.vendor == "postgresql":
        return f"substr({column}, 1, {kept}) || lpad(n::text, {digits}, '0')"
    return f"substr({column}, 1, {kept}) || printf('%0{digits}d', n)"


def settle() -> None:
    """Let PostgreSQL do at once what its autovacuum does by itself within minutes."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
