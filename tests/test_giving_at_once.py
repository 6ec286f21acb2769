"""A role that gains a scope while somebody is let in with it gives that to nobody unseen.

On PostgreSQL both are at work at the same moment; SQLite has one writer at a time.
"""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, transaction

from keys import services
from keys.models import Invitation, Role, Scope
from tests.test_deleting_at_once import meanwhile  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer."),
]


@pytest.fixture
def clerk(acme, owner):
    return services.create_role(actor=owner, organization=acme, name="clerk")


@pytest.fixture
def invitation(acme, owner, stranger, clerk):
    """That the stranger is asked to join as a clerk."""
    [invitation] = services.invite(
        actor=owner, organization=acme, emails=[stranger.email], role=clerk
    )
    return invitation


@pytest.fixture(params=["add", "change", "invite", "ask again", "accept"])
def give(request, acme, owner, viewer, stranger, clerk):
    """How somebody comes to hold the role."""
    match request.param:
        case "add":
            return lambda: services.add_member(
                actor=owner, organization=acme, user=stranger, role=clerk
            )
        case "change":
            membership = acme.memberships.get(user=viewer)
            return lambda: services.update_member(actor=owner, membership=membership, role=clerk)
        case "invite":
            return lambda: services.invite(
                actor=owner, organization=acme, emails=["new@acme.example"], role=clerk
            )
    invited = request.getfixturevalue("invitation")
    if request.param == "accept":
        return lambda: services.accept_invitation(actor=stranger, invitation=invited)
    return lambda: services.resend_invitation(actor=owner, invitation=invited)


def test_a_role_gains_manage_at_that_moment_and_takes_two_people(
    acme,
    owner,
    admin,
    clerk,
    give,
    meanwhile,  # noqa: F811
):
    services.update_policy(actor=owner, organization=acme, two_person_rule=True)
    sent = list(acme.audit_events.filter(action__startswith="invitation."))
    manage = Scope.objects.filter(organization=None, code="MANAGE")
    with transaction.atomic():
        services.update_role(actor=owner, role=clerk, scopes=manage)
        gift = meanwhile(give)
    with pytest.raises((PermissionDenied, ValidationError)):
        gift.result()
    assert not clerk.memberships.exists()
    assert list(acme.audit_events.filter(action__startswith="invitation.")) == sent


def just_before(table: str, action):
    """Do something when a row of this table is about to be locked."""
    done = []

    def run(execute, sql, params, many, context):
        if not done and f'FROM "{table}"' in sql and " FOR " in sql and "UPDATE" in sql:
            done.append(True)
            action()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(run)


@pytest.mark.parametrize(
    ("answer", "table"),
    [
        ("accept", "keys_role"),
        ("ask again", "keys_audithead"),
        ("ask as another", "keys_audithead"),
        ("take back", "keys_audithead"),
    ],
)
def test_a_role_is_deleted_while_its_invitation_is_answered(
    acme,
    owner,
    stranger,
    clerk,
    invitation,
    answer,
    table,
    meanwhile,  # noqa: F811
):
    calls = {
        "accept": lambda: services.accept_invitation(actor=stranger, invitation=invitation),
        "ask again": lambda: services.resend_invitation(actor=owner, invitation=invitation),
        "ask as another": lambda: services.invite(
            actor=owner,
            organization=acme,
            emails=[invitation.email],
            role=Role.objects.get(organization=None, name="readonly"),
        ),
        "take back": lambda: services.revoke_invitation(actor=owner, invitation=invitation),
    }
    deletions = []

    def delete():
        deletions.append(meanwhile(lambda: services.delete_role(actor=owner, role=clerk)))

    with just_before(table, delete):
        try:
            calls[answer]()
        except (Invitation.DoesNotExist, ValidationError):
            assert not acme.invitations.exists()
    [deletion] = deletions
    assert deletion.result() is None
    assert not Role.objects.filter(pk=clerk.pk).exists()
    assert not acme.memberships.filter(user=stranger).exists()
