"""Changes of the schema that a portal at work does not notice."""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db.migrations import AddIndex


class AddIndexMeanwhile(AddIndexConcurrently):
    """Add an index while others write: PostgreSQL lets them; SQLite needs moments.

    In a migration that is not `atomic`. One that was cut off can be run again: what it left, of
    which PostgreSQL may make no use, is made anew.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        drop = "DROP INDEX CONCURRENTLY" if _is_concurrent(schema_editor) else "DROP INDEX"
        schema_editor.execute(f"{drop} IF EXISTS {schema_editor.quote_name(self.index.name)}")
        operation = AddIndexConcurrently if _is_concurrent(schema_editor) else AddIndex
        operation.database_forwards(self, app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        operation = AddIndexConcurrently if _is_concurrent(schema_editor) else AddIndex
        operation.database_backwards(self, app_label, schema_editor, *states)


def _is_concurrent(schema_editor: Any) -> bool:
    return schema_editor.connection.vendor == "postgresql"
