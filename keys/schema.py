"""Changes of the schema that a portal at work does not notice."""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db.migrations import AddIndex


class AddIndexMeanwhile(AddIndexConcurrently):
    """Add an index while others write: PostgreSQL lets them; SQLite needs moments.

    In a migration that is not `atomic`. One that was cut off leaves an index that is not valid:
    drop it, and migrate again.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        self._operation(schema_editor).database_forwards(self, app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        self._operation(schema_editor).database_backwards(self, app_label, schema_editor, *states)

    @staticmethod
    def _operation(schema_editor: Any) -> type[AddIndex]:
        is_concurrent = schema_editor.connection.vendor == "postgresql"
        return AddIndexConcurrently if is_concurrent else AddIndex
