"""Somebody goes while what they asked for is decided: one comes after the other.

On PostgreSQL both are at work at the same moment; SQLite has one writer at a time.
"""

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from keys import services
from keys.models import ApprovalRequest, Role
from tests.key_pages import fill, listing, sign_in, words_of
from tests.test_deleting_at_once import meanwhile  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer."),
]


@pytest.fixture
def asked(acme, owner, admin, developer) -> ApprovalRequest:
    """An admin's request that a developer becomes one too."""
    services.update_policy(actor=owner, organization=acme, two_person_rule=True)
    return services.request_role(
        actor=admin,
        membership=acme.memberships.get(user=developer),
        role=Role.objects.get(organization=None, name="admin"),
        reason="She helps out.",
    )


def just_before_locking_the_organization(action):
    done = []

    def run(execute, sql, params, many, context):
        is_lock = 'FROM "keys_organization"' in sql and "FOR NO KEY UPDATE" in sql
        if is_lock and not done:
            done.append(True)
            action()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(run)


def test_who_goes_waits_for_what_is_being_approved(
    acme,
    owner,
    admin,
    developer,
    asked,
    meanwhile,  # noqa: F811
):
    membership, removals = acme.memberships.get(user=admin), []

    def remove():
        arguments = {"actor": owner, "membership": membership}
        removals.append(meanwhile(lambda: services.remove_member(**arguments)))

    with just_before_locking_the_organization(remove):
        services.approve_request(actor=owner, request=asked)
    [removal] = removals
    removal.result()
    asked.refresh_from_db()
    assert asked.status == "done"
    assert acme.memberships.get(user=developer).role.name == "admin"
    assert not acme.memberships.filter(user=admin).exists()


def test_what_is_approved_while_they_go_is_withdrawn(
    acme,
    owner,
    admin,
    developer,
    asked,
    meanwhile,  # noqa: F811
):
    with transaction.atomic():
        services.remove_member(actor=owner, membership=acme.memberships.get(user=admin))
        approval = meanwhile(lambda: services.approve_request(actor=owner, request=asked))
    with pytest.raises(ValidationError, match="over: Withdrawn"):
        approval.result()
    asked.refresh_from_db()
    assert asked.status == "withdrawn"
    assert acme.memberships.get(user=developer).role.name == "developer"


def once_the_trail_is_held(action):
    """Do something when the organization is read after the first event was recorded."""
    seen = []

    def run(execute, sql, params, many, context):
        if sql.startswith('INSERT INTO "keys_auditevent"'):
            seen.append("recorded")
        elif seen == ["recorded"] and 'FROM "keys_organization"' in sql:
            seen.append("done")
            action()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(run)


def test_who_goes_waits_for_a_key_that_is_issued_with_its_shared_secret(
    acme,
    owner,
    developer,
    meanwhile,  # noqa: F811
):
    services.reveal_shared_secret(actor=owner, organization=acme)
    browser, membership = sign_in(owner), acme.memberships.get(user=developer)
    form, removals = fill(browser, acme, dialect="netography"), []

    def remove():
        arguments = {"actor": owner, "membership": membership}
        removals.append(meanwhile(lambda: services.remove_member(**arguments)))

    with once_the_trail_is_held(remove):
        answer = browser.post(listing(acme, "create"), form)
    [removal] = removals
    removal.result()
    assert "NETOSECRET" in words_of(answer)
    assert acme.api_keys.count() == 1
    assert not acme.memberships.filter(user=developer).exists()
