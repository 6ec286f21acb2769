"""Indexes are made while a portal is at work, and anew where that was cut off."""

from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection, models

from keys.models import Scope
from keys.schema import AddIndexMeanwhile

NAME = "scope_cut_off"


@pytest.mark.django_db(transaction=True)
def test_an_index_that_was_cut_off_is_made_anew():
    """What was left has its name, and PostgreSQL makes no use of it."""
    table, state = Scope._meta.db_table, SimpleNamespace(apps=apps)
    operation = AddIndexMeanwhile("scope", models.Index(fields=["code", "id"], name=NAME))
    with connection.schema_editor(atomic=False) as editor:
        editor.execute(f"CREATE INDEX {NAME} ON {table} (id)")
        if connection.vendor == "postgresql":
            editor.execute(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [NAME]
            )
        operation.database_forwards("keys", editor, state, state)
    assert _index_of(table)["columns"] == ["code", "id"]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [NAME]
            )
            assert cursor.fetchone() == (True,)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_backwards("keys", editor, state, state)
    assert _index_of(table) is None


def _index_of(table):
    with connection.cursor() as cursor:
        return connection.introspection.get_constraints(cursor, table).get(NAME)
