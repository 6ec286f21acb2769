"""One deletes what another is just about to use: one of them is told, nothing is lost.

On PostgreSQL both are at work at the same moment; SQLite has one writer at a time.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic, sleep

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from keys import policy, services
from keys.models import Role, WebhookDelivery
from keys.rules import RoleTerms
from keys.services import webhook_sending
from tests.test_receivers import receiver, say, url_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer."),
]


@pytest.fixture
def orders(acme, owner):
    return services.create_scope(actor=owner, organization=acme, code="orders:read")


@pytest.fixture
def clerk(acme, owner):
    return services.create_role(actor=owner, organization=acme, name="clerk")


@pytest.fixture
def lab(acme, owner):
    return services.create_workspace(actor=owner, organization=acme, name="Lab")


@pytest.fixture
def moved(acme, owner):
    return services.issue_key(actor=owner, organization=acme, name="Moved", owner=None)


@pytest.fixture(params=["scope", "role", "workspace"])
def deleted(request, owner, orders, clerk, lab):
    """What is deleted: its field on a key, the value of that, and how it is deleted."""
    delete, field, value = {
        "scope": (lambda: services.delete_scope(actor=owner, scope=orders), "scopes", [orders]),
        "role": (lambda: services.delete_role(actor=owner, role=clerk), "role", clerk),
        "workspace": (
            lambda: services.delete_workspace(actor=owner, workspace=lab),
            "workspace",
            lab,
        ),
    }[request.param]
    return delete, field, value


@pytest.fixture(params=["issue", "update"])
def use(request, acme, owner, moved):
    """How a key comes to refer to something: it is issued so, or changed."""
    if request.param == "issue":
        return lambda **fields: services.issue_key(
            actor=owner, organization=acme, name="New", **fields
        )
    return lambda **fields: services.update_key(actor=owner, key=moved, **fields)


@pytest.fixture
def meanwhile():
    """Do something in another thread while a transaction of this one is open."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield lambda action: _start(pool, action)


def _start(pool, action) -> Future:
    def perform():
        try:
            return action()
        finally:
            connection.close()

    before = _waiting()
    future = pool.submit(perform)
    deadline = monotonic() + 10
    while not future.done() and _waiting() == before:
        assert monotonic() < deadline
        sleep(0.005)
    return future


def _waiting() -> int:
    """Return how many wait for a row that another has."""
    with connection.cursor() as cursor:
        # Inside of a transaction the statistics stand still unless asked anew.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0]


def test_what_a_key_comes_to_use_meanwhile_is_not_deleted(deleted, use, meanwhile):
    delete, field, value = deleted
    with transaction.atomic():
        key = use(**{field: value})
        deletion = meanwhile(delete)
    with pytest.raises(ValidationError, match=r"cannot be deleted|hold this scope"):
        deletion.result()
    key.refresh_from_db()
    assert (list(key.scopes.all()) if field == "scopes" else getattr(key, field)) == value


def test_a_key_does_not_come_to_use_what_is_deleted_meanwhile(deleted, use, meanwhile):
    delete, field, value = deleted
    with transaction.atomic():
        delete()
        change = meanwhile(lambda: use(**{field: value}))
    with pytest.raises(ValidationError) as refusal:
        change.result()
    assert set(refusal.value.message_dict) == {field}


def test_a_role_that_somebody_gets_meanwhile_is_not_deleted(acme, owner, viewer, clerk, meanwhile):
    membership = acme.memberships.get(user=viewer)
    with transaction.atomic():
        services.update_member(actor=owner, membership=membership, role=clerk)
        deletion = meanwhile(lambda: services.delete_role(actor=owner, role=clerk))
    with pytest.raises(ValidationError, match="cannot be deleted"):
        deletion.result()
    membership.refresh_from_db()
    assert membership.role == clerk


@pytest.mark.parametrize("is_new", [True, False])
def test_nobody_gets_a_role_that_is_deleted_meanwhile(
    acme, owner, viewer, stranger, clerk, is_new, meanwhile
):
    membership = acme.memberships.get(user=viewer)

    def give():
        if is_new:
            services.add_member(actor=owner, organization=acme, user=stranger, role=clerk)
        else:
            services.update_member(actor=owner, membership=membership, role=clerk)

    with transaction.atomic():
        services.delete_role(actor=owner, role=clerk)
        gift = meanwhile(give)
    with pytest.raises(ValidationError) as refusal:
        gift.result()
    assert set(refusal.value.message_dict) == {"role"}
    assert not acme.memberships.filter(user=stranger).exists()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_role_does_not_get_a_scope_that_is_deleted_meanwhile(
    acme, owner, orders, clerk, is_new, meanwhile
):
    def give():
        if is_new:
            services.create_role(actor=owner, organization=acme, name="new", scopes=[orders])
        else:
            services.update_role(actor=owner, role=clerk, scopes=[orders])

    with transaction.atomic():
        services.delete_scope(actor=owner, scope=orders)
        gift = meanwhile(give)
    with pytest.raises(ValidationError) as refusal:
        gift.result()
    assert set(refusal.value.message_dict) == {"scopes"}


def test_what_is_deleted_twice_at_once_is_deleted_and_recorded_once(acme, owner, clerk, meanwhile):
    with transaction.atomic():
        services.delete_role(actor=owner, role=clerk)
        second = meanwhile(lambda: services.delete_role(actor=policy.OPERATOR, role=clerk))
    with pytest.raises(Role.DoesNotExist):
        second.result()
    assert acme.audit_events.filter(action="role.deleted").count() == 1


@pytest.fixture
def hook(acme, owner, settings):
    """A webhook of acme's, and what receives its messages."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with receiver(say(204)) as server:
        webhook, _secret = services.create_webhook(
            actor=owner, organization=acme, url=url_of(server)
        )
        yield webhook


def test_a_webhook_that_somebody_tells_something_is_deleted_after_it(acme, owner, hook, meanwhile):
    with transaction.atomic():
        services.issue_key(actor=owner, organization=acme, name="New")
        deletion = meanwhile(lambda: services.delete_webhook(actor=owner, webhook=hook))
    assert deletion.result() is None
    assert acme.api_keys.exists()
    assert not acme.webhooks.exists()


def test_a_role_that_the_policy_comes_to_name_is_deleted_after_it(acme, owner, clerk, meanwhile):
    with transaction.atomic():
        terms = [RoleTerms(clerk, approval_days=30)]
        services.update_policy(actor=owner, organization=acme, roles=terms)
        deletion = meanwhile(lambda: services.delete_role(actor=owner, role=clerk))
    assert deletion.result() is None
    assert not Role.objects.filter(pk=clerk.pk).exists()


def test_a_webhook_that_is_just_being_told_something_is_deleted(acme, owner, hook, meanwhile):
    delivery = services.test_webhook(actor=owner, webhook=hook)
    with transaction.atomic():
        services.create_workspace(actor=owner, organization=acme, name="Lab")
        deletion = meanwhile(lambda: services.delete_webhook(actor=owner, webhook=hook))
        sending = meanwhile(lambda: webhook_sending.attempt(delivery))
    assert deletion.result() is None
    assert sending.result() is None
    assert not WebhookDelivery.objects.exists()
