"""The staff door: what staff see and do, through the same policy and services as everybody."""

import json
import re

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from keys import policy, services
from keys.models import APIKey, AuditEvent, Membership, Organization, Role, Scope, User
from tests.conftest import join, make_person

PASSWORD = "correct horse battery staple"


def page(name: str, *args) -> str:
    return reverse(f"admin:keys_{name}", args=args)


def press(client, obj, button: str):
    """Post what a button on the page of `obj` posts."""
    return client.post(page(f"{obj._meta.model_name}_press", obj.pk, button))


def act(client, name: str, action: str, *rows, **more):
    """Run an action of the list on the selected rows."""
    chosen = [row.pk for row in rows]
    return client.post(
        page(f"{name}_changelist"), {"action": action, "_selected_action": chosen, **more}
    )


def errors(response) -> str:
    """Return the texts of the errors on a page with forms."""
    listed = re.findall(r'class="errorlist[^>]*>(.*?)</ul>', response.text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", each) for each in listed)


@pytest.fixture
def as_staff(client, staff):
    client.force_login(staff)
    return client


@pytest.fixture
def as_superuser(client, superuser):
    client.force_login(superuser)
    return client


class TestTheDoor:
    def test_anonymous_people_are_sent_to_the_one_sign_in_page(self, client, db):
        response = client.get("/admin/", follow=True)

        assert response.redirect_chain[-1][0].startswith("/accounts/login/")

    def test_members_who_are_not_staff_do_not_come_in(self, client, owner, acme):
        client.force_login(owner)

        assert client.get("/admin/", follow=True).status_code == 403
        assert client.get(page("apikey_changelist"), follow=True).status_code == 403

    def test_ones_own_password_is_changed_on_the_accounts_pages(self, as_staff):
        response = as_staff.get(reverse("admin:password_change"))

        assert response.url == reverse("account_change_password")

    def test_staff_see_every_list_but_peoples_accounts(self, as_staff, key, strangers_key):
        for name in ("organization", "apikey", "role", "scope", "auditevent"):
            assert as_staff.get(page(f"{name}_changelist")).status_code == 200
        assert as_staff.get(page("user_changelist")).status_code == 403

    def test_each_list_costs_a_constant_number_of_queries(
        self, as_staff, acme, owner, key, django_assert_max_num_queries
    ):
        for number in range(12):
            services.issue_key(actor=owner, organization=acme, name=f"Key {number}")
        for name in ("organization", "apikey", "role", "scope", "auditevent"):
            with django_assert_max_num_queries(30):
                as_staff.get(page(f"{name}_changelist"))

    def test_no_page_has_inline_styles_or_scripts(self, as_superuser, key, acme, developer):
        addresses = [
            "/admin/",
            page("apikey_changelist"),
            page("apikey_change", key.pk),
            page("apikey_delete", key.pk),
            page("organization_changelist"),
            page("organization_change", acme.pk),
            page("organization_add"),
            page("user_change", developer.pk),
            page("user_add"),
            page("role_add"),
            page("auditevent_changelist"),
        ]
        for address in addresses:
            text = as_superuser.get(address).text
            assert "<style" not in text
            assert not re.search(r'\sstyle="', text)
            assert not re.search(r"<script(?![^>]*\bsrc=)", text)


@pytest.mark.parametrize(
    "address",
    [
        "organization_changelist?sealed_shared_secret__startswith=g",
        "auditevent_changelist?organization__sealed_shared_secret__startswith=g",
        "apikey_changelist?name__regex=(a",
        "apikey_changelist?name=%00",
        "apikey_changelist?dialect__exact=%00",
        "auditevent_changelist?address=nowhere",
        "auditevent_changelist?object_id=%00",
        "user_changelist?password__startswith=a",
    ],
)
def test_no_list_is_narrowed_by_what_no_page_offers(as_superuser, db, address):
    name, _sign, query = address.partition("?")
    assert as_superuser.get(f"{page(name)}?{query}").status_code == 400


def test_lists_are_narrowed_by_what_their_pages_offer(as_superuser, acme, key):
    for address in (
        f"apikey_changelist?organization__id__exact={acme.pk}&dialect__exact=native",
        "apikey_changelist?status=active",
        "apikey_changelist?organization__id__exact=nonsense",
        f"auditevent_changelist?object_type=apikey&object_id={key.pk}",
        "auditevent_changelist?door__exact=api",
        "role_changelist?organization__isnull=True",
        "user_changelist?is_staff__exact=1",
    ):
        name, _sign, query = address.partition("?")
        response = as_superuser.get(f"{page(name)}?{query}", follow=True)
        assert response.status_code == 200, address


class TestKeys:
    def test_the_key_page_shows_the_mask_and_never_a_secret_or_digest(self, as_staff, key):
        text = as_staff.get(page("apikey_change", key.pk)).text

        assert key.label in text
        assert key.secret not in text
        assert key.secrets.get().digest not in text

    def test_staff_cannot_issue_or_change_keys(self, as_staff, key):
        assert as_staff.get("/admin/keys/apikey/add/").status_code == 403
        assert as_staff.post(page("apikey_change", key.pk), {"name": "Mine"}).status_code == 403
        key.refresh_from_db()
        assert key.name == "Backend"

    def test_superusers_cannot_either(self, as_superuser, key):
        assert as_superuser.get("/admin/keys/apikey/add/").status_code == 403
        assert as_superuser.post(page("apikey_change", key.pk), {"name": "Mine"}).status_code == 403

    def test_a_locked_key_stops_and_an_unlocked_one_works_again(self, as_staff, key):
        press(as_staff, key, "lock")
        assert services.verify_key(secret=key.secret, address=None).code == "LOCKED"

        press(as_staff, key, "unlock")
        assert services.verify_key(secret=key.secret, address=None).is_valid
        trail = AuditEvent.objects.filter(object_id=str(key.pk), door="admin")
        assert [event.action for event in trail] == ["apikey.unlocked", "apikey.locked"]

    def test_the_page_offers_what_applies(self, as_staff, key):
        text = as_staff.get(page("apikey_change", key.pk)).text

        assert page("apikey_press", key.pk, "lock") in text
        assert page("apikey_press", key.pk, "unlock") not in text
        assert page("apikey_delete", key.pk) in text

    def test_buttons_are_posted_not_linked(self, as_staff, key):
        assert as_staff.get(page("apikey_press", key.pk, "lock")).status_code == 405
        assert press(as_staff, key, "explode").status_code == 404

    def test_deleting_a_key_revokes_it(self, as_staff, key):
        """Nothing is ever removed, and what happened stays known."""
        confirmation = as_staff.get(page("apikey_delete", key.pk)).text
        assert "stops working at once, for good" in confirmation

        response = as_staff.post(page("apikey_delete", key.pk), {"post": "yes"}, follow=True)

        key.refresh_from_db()
        assert key.revoked_at is not None
        assert "Revoked Backend." in response.text
        assert AuditEvent.objects.filter(action="apikey.revoked", door="admin").count() == 1
        assert LogEntry.objects.get().change_message == "Revoked."

    def test_delete_selected_revokes_through_the_service(
        self, as_staff, key, read_only_key, manage_key
    ):
        asked = act(as_staff, "apikey", "delete_selected", key, read_only_key)
        assert "for good" in asked.text
        assert not APIKey.objects.exclude(revoked_at=None).exists()

        act(as_staff, "apikey", "delete_selected", key, read_only_key, post="yes")

        assert set(APIKey.objects.exclude(revoked_at=None)) == {key, read_only_key}
        assert APIKey.objects.count() == 3
        assert AuditEvent.objects.filter(action="apikey.revoked").count() == 2

    def test_a_revoked_key_is_not_revoked_again(self, as_staff, staff, key):
        services.revoke_key(actor=staff, key=key)

        assert as_staff.post(page("apikey_delete", key.pk), {"post": "yes"}).status_code == 403
        act(as_staff, "apikey", "delete_selected", key, post="yes")
        act(as_staff, "apikey", "lock", key)
        assert AuditEvent.objects.filter(action="apikey.revoked").count() == 1
        assert not AuditEvent.objects.filter(action="apikey.locked").exists()

    def test_locking_a_key_that_was_revoked_meanwhile_is_said_not_failed(
        self, as_staff, staff, key
    ):
        services.revoke_key(actor=staff, key=key)

        response = as_staff.post(page("apikey_press", key.pk, "lock"), follow=True)

        assert response.status_code == 200
        assert "gone meanwhile" in response.text

    def test_many_keys_are_locked_from_the_list(self, as_staff, key, manage_key):
        act(as_staff, "apikey", "lock", key, manage_key)

        assert APIKey.objects.exclude(locked_at=None).count() == 2

    @pytest.mark.parametrize(
        "term",
        [
            lambda key: key.identifier,
            lambda key: key.hash,
            lambda key: key.name,
            lambda key: key.slug,
            lambda key: key.label,
            lambda key: "developer@acme.example",
            lambda key: "acme",
        ],
    )
    def test_a_key_is_found_by_every_name_it_has(self, as_staff, key, strangers_key, term):
        text = as_staff.get(page("apikey_changelist"), {"q": term(key)}).text

        assert page("apikey_change", key.pk) in text
        assert page("apikey_change", strangers_key.pk) not in text

    def test_a_key_is_found_by_its_number(self, as_staff, key):
        # Others may be found too: a digit occurs in many a name.
        assert (
            page("apikey_change", key.pk)
            in as_staff.get(page("apikey_changelist"), {"q": key.pk}).text
        )

    @pytest.mark.parametrize("term", ["nothing like it", "9" * 40, "%", "🗝"])
    def test_a_search_for_nonsense_finds_nothing_and_never_fails(self, as_staff, key, term):
        response = as_staff.get(page("apikey_changelist"), {"q": term})

        assert response.status_code == 200
        assert page("apikey_change", key.pk) not in response.text

    def test_a_search_with_a_nul_byte_never_fails(self, as_staff, key):
        assert as_staff.get(page("apikey_changelist"), {"q": "\x00"}).status_code == 200

    def test_a_whole_key_in_the_search_box_is_refused_and_leaves_the_address(self, as_staff, key):
        response = as_staff.get(page("apikey_changelist"), {"q": key.secret}, follow=True)

        assert response.redirect_chain == [(page("apikey_changelist"), 302)]
        assert "Consider rotating it" in response.text
        assert key.secret not in response.text

    def test_a_presented_key_is_found_by_its_digest(self, as_staff, key):
        response = as_staff.post(page("apikey_find"), {"secret": f" {key.secret}\n"})

        assert response.url == page("apikey_change", key.pk)

    @pytest.mark.parametrize("secret", ["", "kh_nonsense", "\x00", "🗝" * 50])
    def test_a_secret_of_no_key_is_said_to_be_none(self, as_staff, key, secret):
        response = as_staff.post(page("apikey_find"), {"secret": secret}, follow=True)

        assert "No key has this secret." in response.text

    def test_secrets_are_looked_for_by_post_only(self, as_staff):
        assert as_staff.get(page("apikey_find")).status_code == 405

    @pytest.mark.parametrize(
        ("status", "is_listed"), [("locked", True), ("active", False), ("no-such", True)]
    )
    def test_keys_are_filtered_by_status(self, as_staff, staff, key, status, is_listed):
        services.lock_key(actor=staff, key=key)

        text = as_staff.get(page("apikey_changelist"), {"status": status}).text

        assert (page("apikey_change", key.pk) in text) is is_listed


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
        press(as_staff, acme, "suspend")
        verdict = services.verify_key(secret=key.secret, address=None)
        assert verdict.code == "ORGANIZATION_SUSPENDED"

        act(as_staff, "organization", "resume", acme)
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
            ({"owner": "ghost@new.example"}, "Nobody here has this e-mail address."),
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
        assert not AuditEvent.objects.filter(door="admin").exists()

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


class TestAuditEvents:
    def test_staff_read_them(self, as_staff, key):
        event = AuditEvent.objects.get(action="apikey.issued")

        text = as_staff.get(page("auditevent_change", event.pk)).text

        assert "developer@acme.example" in text
        assert "CREATE, DELETE, READ, UPDATE" in text

    def test_nobody_alters_them(self, as_superuser, key):
        event = AuditEvent.objects.first()

        assert as_superuser.get(page("auditevent_add")).status_code == 403
        for address in (
            page("auditevent_change", event.pk),
            page("auditevent_delete", event.pk),
        ):
            assert as_superuser.post(address, {"post": "yes"}).status_code == 403
        act(as_superuser, "auditevent", "delete_selected", event, post="yes")
        assert AuditEvent.objects.filter(pk=event.pk).exists()

    def test_a_change_shows_the_old_and_the_new_value(self, as_staff, key, developer):
        services.update_key(actor=developer, key=key, name="Front")
        event = AuditEvent.objects.get(action="apikey.updated")

        assert "Backend → Front" in as_staff.get(page("auditevent_change", event.pk)).text


class TestPeople:
    NEW = {
        "email": "New@acme.example",
        "first_name": "Nina",
        "last_name": "",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
    }

    def test_a_superuser_creates_an_account(self, as_superuser):
        as_superuser.post(page("user_add"), self.NEW)

        person = User.objects.get(email="New@acme.example")
        assert person.check_password(PASSWORD)
        event = AuditEvent.objects.get(action="user.created")
        assert event.object_label == "New@acme.example"
        assert PASSWORD not in json.dumps(event.changes)

    def test_a_password_of_nobody_is_not_changed(self, as_superuser):
        for nobody in ("abc", "999999", "_00", "9" * 30):
            path = reverse("admin:auth_user_password_change", args=[nobody])
            assert as_superuser.get(path).status_code in (302, 404)

    def test_an_account_without_a_password_waits_for_its_person_to_set_one(self, as_superuser):
        as_superuser.post(
            page("user_add"), {"email": "later@acme.example", "usable_password": "false"}
        )

        assert not User.objects.get(email="later@acme.example").has_usable_password()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"email": "OWNER@acme.example"}, "exists already"),
            ({"email": "nonsense"}, "valid email address"),
            ({"password2": "another one entirely"}, "match"),
            ({"password1": "short", "password2": "short"}, "too short"),
        ],
    )
    def test_nonsense_is_answered_beside_the_field(self, as_superuser, owner, changes, words):
        response = as_superuser.post(page("user_add"), {**self.NEW, **changes})

        assert words in errors(response)
        assert User.objects.count() == 2

    def test_a_superuser_makes_staff_and_deactivates(self, as_superuser, owner):
        as_superuser.post(page("user_change", owner.pk), {"first_name": "Olivia", "is_staff": "on"})

        owner.refresh_from_db()
        assert (owner.first_name, owner.is_staff, owner.is_active) == ("Olivia", True, False)
        changes = AuditEvent.objects.get(action="user.updated").changes
        assert changes["is_staff"] == [False, True]

    def test_a_superuser_does_not_shut_themselves_out(self, as_superuser, superuser):
        response = as_superuser.post(page("user_change", superuser.pk), {"is_active": "on"})

        assert "Somebody else has to take this from you." in errors(response)
        superuser.refresh_from_db()
        assert superuser.is_superuser

    def test_the_hash_of_a_password_is_neither_shown_nor_editable(self, as_superuser, owner):
        before = owner.password
        data = {"first_name": "", "is_active": "on", "password": "forged"}

        text = as_superuser.get(page("user_change", owner.pk)).text
        as_superuser.post(page("user_change", owner.pk), data)

        owner.refresh_from_db()
        assert before not in text
        assert owner.password == before

    def test_another_password_is_given_and_audited(self, as_superuser, owner):
        address = reverse("admin:auth_user_password_change", args=[owner.pk])
        new = "a new one of some length"

        as_superuser.post(address, {"usable_password": "true", "password1": new, "password2": new})

        owner.refresh_from_db()
        assert owner.check_password(new)
        assert AuditEvent.objects.get(action="user.password_changed").object_id == str(owner.pk)

    def test_accounts_are_never_deleted(self, as_superuser, owner):
        address = page("user_delete", owner.pk)
        assert as_superuser.post(address, {"post": "yes"}).status_code == 403
        act(as_superuser, "user", "delete_selected", owner, post="yes")
        assert User.objects.filter(pk=owner.pk).exists()

    def test_staff_do_not_see_accounts(self, as_staff, owner):
        assert as_staff.get(page("user_change", owner.pk)).status_code == 403
        assert as_staff.post(page("user_add"), self.NEW).status_code == 403
