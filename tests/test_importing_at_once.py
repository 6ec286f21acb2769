"""A large file of keys is imported for long; others of the organization go on meanwhile.

On PostgreSQL, that is; SQLite has one writer at a time.
"""

# ruff: noqa: F811 (fixtures of a neighbour's, which tests have as arguments)

import json

import pytest
from django.db import connection

from keys import policy, services
from keys.moves.columns import Format
from keys.services.importing import importer
from tests.test_deleting_at_once import clerk, meanwhile, orders  # noqa: F401

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer."),
]


@pytest.fixture
def import_with(acme, orders, clerk, monkeypatch):
    """Import two keys by the batch, and do something when the first of them is written."""
    monkeypatch.setattr(importer, "BATCH", 1)
    rows = [
        {"name": "One", "secret": "tok-0123456789abcdef", "scopes": orders.code},
        {"name": "Two", "secret": "tok-fedcba9876543210", "role": clerk.name},
    ]

    def perform(action):
        done = []

        def progress(_rows):
            if connection.in_atomic_block and not done:
                done.append(action())

        report = services.import_keys(
            actor=policy.OPERATOR,
            organization=acme,
            source=lambda: [json.dumps(row).encode() + b"\n" for row in rows],
            options=services.ImportOptions(Format.PLAIN),
            progress=progress,
        )
        assert (report.imported, report.problems) == (2, [])
        return done[0]

    return perform


def test_others_go_on_while_a_file_is_imported(acme, owner, import_with, meanwhile):
    def issue():
        future = meanwhile(lambda: services.issue_key(actor=owner, organization=acme, name="New"))
        return future.done()

    assert import_with(issue)
    story = acme.audit_events.filter(object_type="apikey").order_by("sequence")
    assert [(event.action, event.object_label) for event in story] == [
        ("apikey.issued", "New"),
        ("apikey.imported", "One"),
        ("apikey.imported", "Two"),
    ]


def test_a_role_may_change_while_its_keys_are_imported(
    acme, owner, orders, clerk, import_with, meanwhile
):
    change = import_with(
        lambda: meanwhile(lambda: services.update_role(actor=owner, role=clerk, scopes=[orders]))
    )
    assert change.result().scopes.get() == orders
    assert acme.audit_events.filter(action="role.updated").count() == 1
