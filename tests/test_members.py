"""Who belongs to an organization, and who says so."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from keys import policy, services
from keys.models import Membership, Role
from keys.networks import parse_address
from keys.verification import Code
from tests.conftest import join


def role(name: str) -> Role:
    return Role.objects.get(organization=None, name=name)


def member(organization, person) -> Membership:
    return organization.memberships.get(user=person)


def test_an_admin_adds_moves_and_removes_people(acme, admin, stranger):
    added = services.add_member(
        actor=admin, organization=acme, user=stranger, role=role("readonly")
    )
    moved = services.update_member(actor=admin, membership=added, role=role("developer"))
    assert moved.role.name == "developer"
    services.remove_member(actor=admin, membership=moved)
    assert not acme.memberships.filter(user=stranger).exists()


@pytest.mark.parametrize("name", ["developer", "viewer", "stranger", "staff"])
def test_nobody_else_does(acme, owner, viewer, name, request):
    actor = request.getfixturevalue(name)
    newcomer = request.getfixturevalue("superuser")
    for attempt in (
        lambda: services.add_member(
            actor=actor, organization=acme, user=newcomer, role=role("readonly")
        ),
        lambda: services.update_member(
            actor=actor, membership=member(acme, viewer), role=role("readonly")
        ),
        lambda: services.remove_member(actor=actor, membership=member(acme, viewer)),
    ):
        with pytest.raises(PermissionDenied):
            attempt()


def test_only_owners_say_who_owns(acme, owner, admin, developer):
    with pytest.raises(PermissionDenied):
        services.update_member(actor=admin, membership=member(acme, developer), is_owner=True)
    with pytest.raises(PermissionDenied):
        services.update_member(actor=admin, membership=member(acme, admin), is_owner=True)
    second = services.update_member(actor=owner, membership=member(acme, admin), is_owner=True)
    assert second.is_owner


def test_an_admin_does_not_touch_owners(acme, owner, admin):
    for attempt in (
        lambda: services.update_member(
            actor=admin, membership=member(acme, owner), role=role("readonly")
        ),
        lambda: services.update_member(actor=admin, membership=member(acme, owner), is_owner=False),
        lambda: services.remove_member(actor=admin, membership=member(acme, owner)),
    ):
        with pytest.raises(PermissionDenied):
            attempt()


def test_a_managing_key_owns_nothing(acme, owner, manage_key, stranger):
    with pytest.raises(PermissionDenied):
        services.add_member(
            actor=manage_key, organization=acme, user=stranger, role=role("admin"), is_owner=True
        )
    with pytest.raises(PermissionDenied):
        services.remove_member(actor=manage_key, membership=member(acme, owner))


def test_the_last_owner_stays(acme, owner, superuser):
    for actor in (owner, superuser):
        with pytest.raises(ValidationError, match="at least one owner"):
            services.remove_member(actor=actor, membership=member(acme, owner))
        with pytest.raises(ValidationError, match="at least one owner"):
            services.update_member(actor=actor, membership=member(acme, owner), is_owner=False)
    assert member(acme, owner).is_owner


def test_one_of_two_owners_may_go(acme, owner, admin):
    services.update_member(actor=owner, membership=member(acme, admin), is_owner=True)
    services.remove_member(actor=admin, membership=member(acme, owner))
    assert list(acme.memberships.filter(is_owner=True)) == [member(acme, admin)]


def test_a_change_that_is_refused_changes_nothing(acme, owner):
    with pytest.raises(ValidationError):
        services.update_member(
            actor=owner, membership=member(acme, owner), role=role("readonly"), is_owner=False
        )
    assert member(acme, owner).role.name == "admin"


def test_a_member_of_two_organizations_is_two_things(acme, other, stranger, owner):
    """T11: an admin there is a viewer here."""
    join(acme, stranger, "readonly")
    with pytest.raises(PermissionDenied):
        services.remove_member(actor=stranger, membership=member(acme, owner))


class TestTransfer:
    """An owner hands over what they are, as one act."""

    def test_makes_another_the_owner_and_oneself_none(self, acme, owner, developer):
        services.transfer_ownership(actor=owner, membership=member(acme, developer))
        assert [row.user for row in acme.memberships.filter(is_owner=True)] == [developer]
        assert member(acme, developer).role == role("developer")
        assert acme.audit_events.filter(action="membership.updated").count() == 2

    @pytest.mark.parametrize("name", ["admin", "developer", "stranger", "staff", "superuser"])
    def test_is_for_owners_only(self, acme, owner, viewer, name, request):
        actor = request.getfixturevalue(name)
        with pytest.raises(PermissionDenied):
            services.transfer_ownership(actor=actor, membership=member(acme, viewer))
        assert [row.user for row in acme.memberships.filter(is_owner=True)] == [owner]

    def test_is_not_to_oneself_nor_to_who_cannot_sign_in(self, acme, owner, viewer):
        services.update_person(actor=policy.OPERATOR, person=viewer, is_active=False)
        for person in (owner, viewer):
            with pytest.raises(ValidationError, match="another member who can sign in"):
                services.transfer_ownership(actor=owner, membership=member(acme, person))
        assert member(acme, owner).is_owner


class TestKeysOfWhoIsGone:
    """They stop, and stay stopped until somebody decides otherwise."""

    def test_do_not_come_back_with_the_person(self, acme, owner, developer, key):
        [stopped] = services.remove_member(actor=owner, membership=member(acme, developer))
        assert stopped == key
        ask = {"secret": key.secret, "address": parse_address("192.0.2.7")}
        assert services.verify_key(**ask).code is Code.OWNER_GONE
        join(acme, developer, "developer", is_told=True)
        assert services.verify_key(**ask).code is Code.DISABLED
        services.enable_key(actor=owner, key=key)
        assert services.verify_key(**ask).code is Code.VALID

    def test_say_in_the_trail_why_they_stopped(self, acme, developer, key, read_only_key):
        services.disable_key(actor=developer, key=read_only_key)
        services.leave_organization(actor=developer, organization=acme)
        event = acme.audit_events.get(action="apikey.disabled", object_id=str(key.pk))
        assert event.changes == {"disabled": [False, True], "reason": "its owner left"}
        assert acme.audit_events.filter(action="apikey.disabled").count() == 2

    def test_and_those_of_colleagues_go_on(self, acme, owner, developer, manage_key):
        services.remove_member(actor=owner, membership=member(acme, developer))
        verdict = services.verify_key(secret=manage_key.secret, address=parse_address("192.0.2.7"))
        assert verdict.code is Code.VALID


class TestLeaving:
    """Whoever belongs to an organization may stop doing so."""

    @pytest.mark.parametrize("name", ["admin", "developer", "viewer"])
    def test_every_member_leaves_by_themselves_and_their_keys_stop(self, acme, name, request):
        person = request.getfixturevalue(name)
        services.leave_organization(actor=person, organization=acme)
        assert not acme.memberships.filter(user=person).exists()
        event = acme.audit_events.first()
        assert (event.action, event.actor_user) == ("membership.deleted", person)

    def test_a_key_of_who_left_is_refused(self, acme, developer, key):
        services.leave_organization(actor=developer, organization=acme)
        verdict = services.verify_key(secret=key.secret, address=parse_address("192.0.2.7"))
        assert verdict.code is Code.OWNER_GONE

    def test_the_last_owner_stays(self, acme, owner, admin):
        with pytest.raises(ValidationError, match="at least one owner"):
            services.leave_organization(actor=owner, organization=acme)
        services.update_member(actor=owner, membership=member(acme, admin), is_owner=True)
        services.leave_organization(actor=owner, organization=acme)
        assert [row.user for row in acme.memberships.filter(is_owner=True)] == [admin]

    @pytest.mark.parametrize("name", ["stranger", "staff", "superuser"])
    def test_who_does_not_belong_does_not_leave(self, acme, name, request):
        with pytest.raises(PermissionDenied):
            services.leave_organization(actor=request.getfixturevalue(name), organization=acme)
