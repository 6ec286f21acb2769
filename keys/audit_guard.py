"""What keeps the database itself from altering audit events: triggers, made after each migration.

They stop mistakes and injected SQL. Whoever owns the database can drop them; that what such
a person alters is found is the business of the chain (audit_chain.py). An event may be
removed once the signed head of its chain says that it is no longer kept.

SQLite loses triggers whenever a migration writes a table anew, so they are no migration.
"""

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

_NAME = "keys_auditevent_guard"
_NEVER = "Audit events are never altered"

_POSTGRESQL_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {_NAME}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.sequence IS NULL THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' AND OLD.sequence <= (
        SELECT anchor_sequence FROM keys_audithead WHERE chain = COALESCE(OLD.organization_id, 0)
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '{_NEVER}';
END $$
"""  # noqa: S608 - all of it is written here
_POSTGRESQL_TRIGGER = (
    f"CREATE TRIGGER {_NAME} BEFORE UPDATE OR DELETE ON keys_auditevent "
    f"FOR EACH ROW EXECUTE FUNCTION {_NAME}()"
)
_SQLITE_TRIGGERS = {
    f"{_NAME}_update": (
        f"CREATE TRIGGER {_NAME}_update BEFORE UPDATE ON keys_auditevent "
        f"WHEN OLD.sequence IS NOT NULL BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END"
    ),
    f"{_NAME}_delete": (
        f"CREATE TRIGGER {_NAME}_delete BEFORE DELETE ON keys_auditevent "  # noqa: S608
        "WHEN OLD.sequence IS NULL OR OLD.sequence > COALESCE((SELECT anchor_sequence "
        "FROM keys_audithead WHERE chain = COALESCE(OLD.organization_id, 0)), 0) "
        f"BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END"
    ),
}


def prepare(*, using: str = DEFAULT_DB_ALIAS, **kwargs) -> None:
    """Make the triggers, where they are missing. Runs after each migration."""
    database = connections[using]
    # Migrated back, there are no chains.
    if "keys_audithead" in database.introspection.table_names() and not _is_there(database):
        with transaction.atomic(using=using), database.cursor() as cursor:
            for statement in _statements(database):
                cursor.execute(statement)


def remove(database: BaseDatabaseWrapper) -> None:
    """Take the triggers away, before the columns that they look at."""
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            cursor.execute(f"DROP TRIGGER IF EXISTS {_NAME} ON keys_auditevent")
            cursor.execute(f"DROP FUNCTION IF EXISTS {_NAME}()")
        else:
            for name in _SQLITE_TRIGGERS:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")


def _is_there(database: BaseDatabaseWrapper) -> bool:
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            cursor.execute(
                "SELECT count(*) FROM pg_trigger "
                "WHERE tgname = %s AND tgrelid = 'keys_auditevent'::regclass",
                [_NAME],
            )
            return cursor.fetchone()[0] == 1
        cursor.execute(
            "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name IN (%s, %s)",
            list(_SQLITE_TRIGGERS),
        )
        return cursor.fetchone()[0] == len(_SQLITE_TRIGGERS)


def _statements(database: BaseDatabaseWrapper) -> list[str]:
    if database.vendor == "postgresql":
        return [_POSTGRESQL_FUNCTION, _POSTGRESQL_TRIGGER]
    drops = [f"DROP TRIGGER IF EXISTS {name}" for name in _SQLITE_TRIGGERS]
    return [*drops, *_SQLITE_TRIGGERS.values()]
