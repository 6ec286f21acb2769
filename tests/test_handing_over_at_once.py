"""Somebody changes a key while it is handed over with others: both get what they asked for.

On PostgreSQL both are at work at the same moment; SQLite has one writer at a time.
"""

import pytest
from django.db import connection

from keys import services
from tests.test_deleting_at_once import meanwhile  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer."),
]


def just_before_locking(key, action):
    """Do something when the row of this key is about to be locked."""
    done = []

    def run(execute, sql, params, many, context):
        is_lock = 'FROM "keys_apikey"' in sql and "FOR NO KEY UPDATE" in sql
        if is_lock and key.pk in params and not done:
            done.append(True)
            action()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(run)


@pytest.mark.parametrize("place", [0, 1])
def test_nobody_is_stopped_by_whoever_hands_over_what_they_change(
    acme,
    admin,
    developer,
    key,
    read_only_key,
    place,
    meanwhile,  # noqa: F811
):
    wanted = [read_only_key, key]
    changed, changes = wanted[place], []

    def rename():
        arguments = {"actor": developer, "key": changed, "name": "Till"}
        changes.append(meanwhile(lambda: services.update_key(**arguments)))

    with just_before_locking(changed, rename):
        done = services.hand_over_keys(actor=admin, keys=wanted, owner=None)
    assert done.kept == []
    assert [each.pk for each in done.given] == [each.pk for each in wanted]
    [change] = changes
    assert change.result().name == "Till"
    changed.refresh_from_db()
    assert (changed.name, changed.owner) == ("Till", None)
