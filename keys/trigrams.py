"""Which rows hold a text somewhere in a column: found by its trigrams, not by reading them all.

PostgreSQL has indexes for that, which `icontains` uses by itself. SQLite has tables of its
full-text search, which triggers keep up to date. Both are made after each migration, where
they are missing: SQLite loses triggers whenever a migration writes a table anew.
"""

from django.apps import apps as installed_apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, ProgrammingError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from keys.models import APIKey, KeySecret

# Shorter texts have no trigram.
SHORTEST = 3

# Model -> the columns that are looked through.
_COLUMNS: dict[type[Model], tuple[str, ...]] = {
    APIKey: ("name", "slug"),
    KeySecret: ("label",),
}


def find(model: type[Model], text: str, *, most: int) -> list[int] | None:
    """Return the numbers of the rows that may hold the text, none left out; None: over `most`.

    Texts are compared without regard to case. One query, with PostgreSQL one for each column.
    """
    if len(text) < SHORTEST:
        return None
    if connection.vendor == "sqlite":
        found = _match(model, text, most)
        return found if len(found) <= most else None
    numbers: set[int] = set()
    # Apart: PostgreSQL looks all of a text's trigrams up, however few rows it is asked for.
    for column in _COLUMNS[model]:
        rows = model._default_manager.filter(**{f"{column}__icontains": text}).order_by()
        numbers.update(rows.values_list("pk", flat=True)[: most + 1])
        if len(numbers) > most:
            return None
    return sorted(numbers)


def prepare(*, using: str = DEFAULT_DB_ALIAS, apps=installed_apps, **kwargs) -> None:
    """Make what finds texts, where it is missing. Runs after each migration.

    Raises ImproperlyConfigured where PostgreSQL does not let us.
    """
    database = connections[using]
    tables = database.introspection.table_names()
    for model, columns in _COLUMNS.items():
        if model._meta.db_table not in tables:  # migrated back to nothing
            continue
        if database.vendor == "postgresql":
            _index(database, model._meta.db_table, columns)
        else:
            _keep_table(database, model._meta.db_table, columns)


def tables() -> set[str]:
    """Return the names of SQLite's tables of texts, and of those that it keeps beside them."""
    parts = ("", "_config", "_data", "_docsize", "_idx")
    return {f"{model._meta.db_table}_trigrams{part}" for model in _COLUMNS for part in parts}


def _match(model: type[Model], text: str, most: int) -> list[int]:
    table = f"{model._meta.db_table}_trigrams"
    phrase = '"{}"'.format(text.replace('"', '""'))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT rowid FROM {table} WHERE {table} MATCH %s LIMIT %s",  # noqa: S608
            [phrase, most + 1],
        )
        return [number for (number,) in cursor.fetchall()]


def _index(database: BaseDatabaseWrapper, table: str, columns: tuple[str, ...]) -> None:
    with database.cursor() as cursor:
        try:
            with transaction.atomic(using=database.alias):
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except ProgrammingError as error:
            raise ImproperlyConfigured(
                "Searching needs PostgreSQL's extension pg_trgm, which could not be made: "
                f"{error}. Let the owner of the database run CREATE EXTENSION pg_trgm, then "
                "migrate again."
            ) from error
        for column in columns:
            index = f"{table}_{column}_trigrams"
            # Asked first: even one that is there is not made after changes of this transaction.
            cursor.execute("SELECT to_regclass(%s) IS NULL", [index])
            if cursor.fetchone()[0]:
                cursor.execute(
                    f"CREATE INDEX {index} ON {table} USING gin (upper({column}) gin_trgm_ops)"
                )


def _keep_table(database: BaseDatabaseWrapper, table: str, columns: tuple[str, ...]) -> None:
    words = f"{table}_trigrams"
    names = ", ".join(columns)
    triggers = _triggers(table, words, columns)
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        marks = ", ".join(["%s"] * len(triggers))
        cursor.execute(
            f"SELECT COUNT(*) FROM sqlite_master WHERE name IN (%s, {marks})",  # noqa: S608
            [words, *triggers],
        )
        if cursor.fetchone()[0] == 1 + len(triggers):
            return
        for trigger in triggers:
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        cursor.execute(f"DROP TABLE IF EXISTS {words}")
        cursor.execute(
            f"CREATE VIRTUAL TABLE {words} USING fts5("
            f"{names}, content='{table}', content_rowid='id', tokenize='trigram')"
        )
        for statement in triggers.values():
            cursor.execute(statement)
        cursor.execute(f"INSERT INTO {words}({words}) VALUES ('rebuild')")  # noqa: S608


def _triggers(table: str, words: str, columns: tuple[str, ...]) -> dict[str, str]:
    """Return {name: statement} of what keeps the words as the table is."""
    names = ", ".join(columns)
    new = ", ".join(f"new.{each}" for each in columns)
    old = ", ".join(f"old.{each}" for each in columns)
    add = f"INSERT INTO {words}(rowid, {names}) VALUES (new.id, {new});"  # noqa: S608
    drop = (
        f"INSERT INTO {words}({words}, rowid, {names}) "  # noqa: S608
        f"VALUES ('delete', old.id, {old});"
    )
    events = {
        "added": f"AFTER INSERT ON {table} BEGIN {add} END",
        "deleted": f"AFTER DELETE ON {table} BEGIN {drop} END",
        "changed": f"AFTER UPDATE OF {names} ON {table} BEGIN {drop} {add} END",
    }
    return {
        f"{words}_{name}": f"CREATE TRIGGER {words}_{name} {event}"
        for name, event in events.items()
    }
