"""Organizations, their members, roles and scopes at the staff door."""

import pytest
from django.utils import timezone

from keys import policy, services
from keys.models import AuditEvent, Invitation, Membership, Organization, Role, Scope
from tests.conftest import join, make_person
from tests.staff_pages import act, errors, page, press


class TestOrganizations:
    def members(self, organization, *changes, initial: int) -> dict:
        """Return the form of the members with these rows."""
        data = {
            "name": organization.name,
            "slug": organization.slug,
            "memberships-TOTAL_FORMS": len(changes),
            "memberships-INITIAL_FORMS": initial,
        }
        for number, row in enumerate(changes):
            for field, value in row.items():
                data[f"memberships-{number}-{field}"] = value
        for prefix in ("workspaces", "server_addresses"):
            data |= {f"{prefix}-TOTAL_FORMS": 0, f"{prefix}-INITIAL_FORMS": 0}
        return data

    def row(self, membership, **changes) -> dict:
        """Return one member's row of that form as it is, with changes."""
        row = {"id": membership.pk, "role": membership.role_id}
        if membership.is_owner:
            row["is_owner"] = "on"
        return {name: value for name, value in {**row, **changes}.items() if value is not None}

    def test_staff_see_an_organization_and_change_nothing(self, as_staff, acme):
        assert as_staff.get(page("organization_change", acme.pk)).status_code == 200
        assert as_staff.get(page("organization_add")).status_code == 403
        refused = as_staff.post(
            page("organization_change", acme.pk), {"name": "Mine", "slug": "mine"}
        )
        assert refused.status_code == 403

    def test_somebody_who_is_a_member_already_is_told_above_the_table(
        self, as_superuser, acme, developer
    ):
        role = Role.objects.get(organization=None, name="readonly")
        data = self.members(acme, {"user": developer.email, "role": role.pk}, initial=0)
        response = as_superuser.post(page("organization_change", acme.pk), data)
        assert response.status_code == 200
        assert "This person is a member already." in errors(response)
        assert acme.memberships.get(user=developer).role.name == "developer"

    def test_staff_suspend_and_resume_it(self, as_staff, acme, key):
        question = as_staff.get(page("organization_press", acme.pk, "suspend"))
        assert "Suspend “Acme”?" in question.text
        assert services.verify_key(secret=key.secret, address=None).is_valid

        press(as_staff, acme, "suspend")
        verdict = services.verify_key(secret=key.secret, address=None)
        assert verdict.code == "ORGANIZATION_SUSPENDED"

        assert "Let the keys of 1 organization work again?" in (
            act(as_staff, "organization", "resume", acme).text
        )
        act(as_staff, "organization", "resume", acme, post="yes")
        assert services.verify_key(secret=key.secret, address=None).is_valid

    def test_a_superuser_creates_one_with_its_owner(self, as_superuser, db):
        founder = make_person("Founder@new.example")

        as_superuser.post(
            page("organization_add"),
            {"name": "New", "slug": "new", "owner": "founder@NEW.example"},
        )

        created = Organization.objects.get(slug="new")
        assert created.memberships.get().user == founder
        assert created.memberships.get().is_owner
        assert created.workspaces.get().is_default
        event = AuditEvent.objects.get(action="organization.created", organization=created)
        assert (event.actor_label, event.door) == ("root@keyhaven.example", "admin")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"owner": "ghost@new.example"}, "Nobody here has this email address."),
            ({"slug": "acme"}, "already exists"),
            ({"slug": "No Slug"}, "Use lower-case letters"),
            ({"name": ""}, "This field is required."),
        ],
    )
    def test_nonsense_is_answered_beside_the_field(self, as_superuser, acme, changes, words):
        data = {"name": "New", "slug": "new", "owner": "owner@acme.example", **changes}

        response = as_superuser.post(page("organization_add"), data)

        assert words in errors(response)
        assert list(Organization.objects.all()) == [acme]

    def test_it_is_never_deleted(self, as_superuser, acme):
        address = page("organization_delete", acme.pk)
        assert as_superuser.post(address, {"post": "yes"}).status_code == 403
        act(as_superuser, "organization", "delete_selected", acme, post="yes")
        assert Organization.objects.filter(pk=acme.pk).exists()

    def test_a_superuser_renames_it_and_names_members(self, as_superuser, acme):
        newcomer = make_person("newcomer@acme.example")
        owner = acme.memberships.get()
        developer = Role.objects.get(organization=None, name="developer")
        new_row = {"user": newcomer.email, "role": developer.pk}

        data = self.members(acme, self.row(owner), new_row, initial=1) | {"name": "Acme Inc"}
        as_superuser.post(page("organization_change", acme.pk), data)

        acme.refresh_from_db()
        assert acme.name == "Acme Inc"
        assert acme.memberships.get(user=newcomer).role == developer
        actions = AuditEvent.objects.filter(door="admin").values_list("action", flat=True)
        assert set(actions) == {"organization.updated", "membership.created"}

    def test_members_change_role_and_leave(self, as_superuser, acme, developer, viewer):
        owner, first, second = acme.memberships.order_by("user_id")
        admin_role = Role.objects.get(organization=None, name="admin")

        as_superuser.post(
            page("organization_change", acme.pk),
            self.members(
                acme,
                self.row(owner),
                self.row(first, role=admin_role.pk),
                self.row(second, DELETE="on"),
                initial=3,
            ),
        )

        assert {member.user for member in acme.memberships.all()} == {owner.user, first.user}
        assert acme.memberships.get(pk=first.pk).role == admin_role

    def test_the_page_says_what_the_organization_demands(self, as_staff, owner, acme):
        services.update_policy(actor=owner, organization=acme, person_key_days=90)
        shown = as_staff.get(page("organization_change", acme.pk)).text
        assert "Keys of people live at most 90 days." in shown

    def test_manage_that_takes_two_people_is_given_by_nobody_alone(
        self, as_superuser, owner, admin, acme, developer
    ):
        services.update_policy(actor=owner, organization=acme, two_person_rule=True)
        *managers, last = acme.memberships.order_by("user_id")
        admin_role = Role.objects.get(organization=None, name="admin")
        rows = [*map(self.row, managers), self.row(last, role=admin_role.pk)]

        response = as_superuser.post(
            page("organization_change", acme.pk), self.members(acme, *rows, initial=3)
        )

        assert "takes two people" in response.text
        assert acme.memberships.get(pk=last.pk).role != admin_role

    def test_ownership_is_handed_over_in_one_step(self, as_superuser, acme, admin):
        owner, successor = acme.memberships.order_by("user_id")

        as_superuser.post(
            page("organization_change", acme.pk),
            self.members(
                acme,
                self.row(owner, is_owner=None),
                self.row(successor, is_owner="on"),
                initial=2,
            ),
        )

        assert [member.user for member in acme.memberships.filter(is_owner=True)] == [admin]

    def test_the_last_owner_stays(self, as_superuser, acme):
        row = self.row(acme.memberships.get(), DELETE="on")

        response = as_superuser.post(
            page("organization_change", acme.pk), self.members(acme, row, initial=1)
        )

        assert "keeps at least one owner" in errors(response)
        assert acme.memberships.count() == 1
        # The page that says so was looked at, and nothing else was done.
        done = AuditEvent.objects.filter(door="admin").values_list("action", flat=True)
        assert list(done) == ["organization.read"]

    def test_a_role_of_another_organization_is_no_choice(self, as_superuser, acme, other):
        foreign = services.create_role(actor=policy.OPERATOR, organization=other, name="theirs")
        newcomer = make_person("newcomer@acme.example")
        new_row = {"user": newcomer.email, "role": foreign.pk}

        response = as_superuser.post(
            page("organization_change", acme.pk),
            self.members(acme, self.row(acme.memberships.get()), new_row, initial=1),
        )

        assert "Select a valid choice" in errors(response)
        assert not Membership.objects.filter(user=newcomer).exists()

    def test_staff_who_manage_an_organization_manage_its_members_here_too(
        self, as_staff, staff, acme, other
    ):
        """One policy: what a role grants on the pages it grants here."""
        join(acme, staff, "admin")
        newcomer = make_person("newcomer@acme.example")
        role = Role.objects.get(organization=None, name="readonly")
        rows = [self.row(each) for each in acme.memberships.order_by("user_id")]
        new_row = {"user": newcomer.email, "role": role.pk}

        # The first row is the owner's, which only owners may touch; it stays as it is.
        as_staff.post(
            page("organization_change", acme.pk), self.members(acme, *rows, new_row, initial=2)
        )
        refused = as_staff.post(page("organization_change", other.pk), {"name": "Mine"})

        assert acme.memberships.filter(user=newcomer).exists()
        assert refused.status_code == 403


class TestRolesAndScopes:
    def test_a_superuser_defines_a_scope_and_a_role(self, as_superuser, acme):
        as_superuser.post(
            page("scope_add"), {"organization": acme.pk, "code": "orders:read", "description": ""}
        )
        scope = Scope.objects.get(code="orders:read")
        as_superuser.post(
            page("role_add"),
            {"organization": acme.pk, "name": "clerk", "description": "", "scopes": [scope.pk]},
        )

        role = Role.objects.get(name="clerk")
        assert (role.organization, role.number) == (acme, 10)
        assert list(role.scopes.all()) == [scope]
        created = AuditEvent.objects.filter(door="admin").values_list("action", flat=True)
        assert list(created) == ["role.created", "scope.created"]

    def test_a_role_changes_its_scopes_through_the_service(self, as_superuser, acme):
        role = services.create_role(actor=policy.OPERATOR, organization=acme, name="clerk")
        read = Scope.objects.get(code="READ")

        as_superuser.post(
            page("role_change", role.pk),
            {"name": "clerk", "description": "Reads.", "scopes": [read.pk]},
        )

        role.refresh_from_db()
        assert (role.description, list(role.scopes.all())) == ("Reads.", [read])
        assert AuditEvent.objects.filter(action="role.updated", door="admin").count() == 2

    @pytest.mark.parametrize("code", ["READ", "orders", "Orders:Read", ""])
    def test_a_scope_that_poses_as_built_in_is_refused(self, as_superuser, acme, code):
        response = as_superuser.post(
            page("scope_add"), {"organization": acme.pk, "code": code, "description": ""}
        )

        assert errors(response)
        assert not acme.scopes.exists()

    def test_a_scope_of_another_organization_is_refused(self, as_superuser, acme, other):
        foreign = services.create_scope(actor=policy.OPERATOR, organization=other, code="their:own")

        response = as_superuser.post(
            page("role_add"),
            {"organization": acme.pk, "name": "x", "description": "", "scopes": [foreign.pk]},
        )

        assert "This organization has no such scope." in errors(response)
        assert not acme.roles.exists()

    def test_built_in_ones_are_not_changed_or_deleted_by_anybody(self, as_superuser, db):
        role = Role.objects.get(organization=None, name="admin")
        scope = Scope.objects.get(organization=None, code="READ")

        for name, row in (("role", role), ("scope", scope)):
            assert as_superuser.get(page(f"{name}_change", row.pk)).status_code == 200
            address = page(f"{name}_change", row.pk)
            assert as_superuser.post(address, {"description": "x"}).status_code == 403
            address = page(f"{name}_delete", row.pk)
            assert as_superuser.post(address, {"post": "yes"}).status_code == 403

    def test_an_unused_role_is_deleted_and_a_held_one_is_not(self, as_superuser, acme):
        role = services.create_role(actor=policy.OPERATOR, organization=acme, name="clerk")
        held = services.create_role(actor=policy.OPERATOR, organization=acme, name="porter")
        services.issue_key(actor=policy.OPERATOR, organization=acme, name="Door", role=held)

        for each in (role, held):
            as_superuser.post(page("role_delete", each.pk), {"post": "yes"})

        assert list(acme.roles.all()) == [held]
        assert AuditEvent.objects.get(action="role.deleted").object_label == "clerk"

    def test_a_scope_that_a_key_holds_is_not_deleted(self, as_superuser, acme):
        scope = services.create_scope(actor=policy.OPERATOR, organization=acme, code="orders:read")
        services.issue_key(actor=policy.OPERATOR, organization=acme, name="K", scopes=[scope])

        response = as_superuser.post(page("scope_delete", scope.pk), {"post": "yes"}, follow=True)

        assert "Keys or roles hold this scope" in response.text
        assert Scope.objects.filter(pk=scope.pk).exists()


@pytest.fixture
def invited(acme, owner):
    """Call with the name of an address to have it invited."""

    def invite(name):
        [sent] = services.invite(
            actor=owner,
            organization=acme,
            emails=[f"{name}@new.example"],
            role=Role.objects.get(organization=None, name="developer"),
        )
        return sent

    return invite


def test_staff_see_what_became_of_an_invitation(as_staff, owner, invited):
    person = make_person("declined@new.example")
    services.decline_invitation(actor=person, invitation=invited("declined"))
    services.revoke_invitation(actor=owner, invitation=invited("back"))
    late, joined, waiting = invited("late"), invited("joined"), invited("waiting")
    services.accept_invitation(actor=make_person("joined@new.example"), invitation=joined)
    Invitation.objects.filter(pk=late.pk).update(expires_at=timezone.now())
    wanted = {
        "declined": "Declined",
        "back": "Taken back",
        "late": "Expired",
        "joined": "Accepted",
        "waiting": "Open",
    }
    text = as_staff.get(page("invitation_changelist")).text
    for name, state in wanted.items():
        row = text.split(f"{name}@new.example")[1].split("</tr>")[0]
        assert f'<td class="field-state">{state}</td>' in row
    shown = as_staff.get(page("invitation_change", waiting.pk)).text
    assert "Open" in shown
    assert "Revoked" not in shown
