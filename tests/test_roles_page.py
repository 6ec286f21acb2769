"""The page of roles and scopes, and what it changes."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from keys import policy, roles, services
from keys.models import Role, Scope, ScopeUse
from keys.templatetags.grants import _WORDS, grants
from tests.conftest import join, make_person


def page(name: str, *more) -> str:
    return reverse(f"keys:{name}", args=["acme", *more])


@pytest.fixture
def orders(acme, owner) -> Scope:
    return services.create_scope(
        actor=owner, organization=acme, code="orders:read", description="See orders"
    )


@pytest.fixture
def bills(acme, owner) -> Scope:
    return services.create_scope(actor=owner, organization=acme, code="bills:pay")


@pytest.fixture
def clerk(acme, owner, orders, bills) -> Role:
    return services.create_role(
        actor=owner, organization=acme, name="clerk", scopes=[orders, bills]
    )


@pytest.fixture
def till(acme, owner, clerk):
    """A key that follows the role of clerks."""
    return services.issue_key(actor=owner, organization=acme, name="Till", owner=None, role=clerk)


@pytest.fixture
def clara(acme, clerk):
    """A clerk, who owns a key that lists a scope of theirs."""
    clara = make_person("clara@acme.example")
    membership = join(acme, clara, "readonly")
    services.update_member(actor=acme.memberships.first().user, membership=membership, role=clerk)
    return clara


@pytest.fixture
def claras_key(acme, clara, owner):
    return services.issue_key(
        actor=policy.OPERATOR, organization=acme, name="Abacus", owner=clara, scopes=["bills:pay"]
    )


class TestTheList:
    """What there is, and who holds it."""

    def test_shows_roles_with_scopes_and_how_many_follow_them(
        self, client, admin, clerk, till, clara
    ):
        client.force_login(admin)
        text = client.get(page("roles")).text
        row = text[text.index("<b>clerk</b>") :]
        row = row[: row.index("</tr>")]
        assert "Number 10" in row
        assert "orders:read" in row
        assert row.count('<td role="cell" class="number"') == 2
        assert 'data-label="People">1<' in row
        assert re.search(r'data-label="Keys"><a href="[^"]+/keys/\?role=\d+">1<', row)

    def test_says_how_many_keys_and_roles_hold_a_scope_and_leads_to_the_keys(
        self, client, admin, acme, orders, clerk, till
    ):
        services.issue_key(actor=admin, organization=acme, name="Own", scopes=["orders:read"])
        client.force_login(admin)
        text = client.get(page("roles")).text
        row = text[text.index("<code>orders:read</code>") :]
        row = row[: row.index("</tr>")]
        assert 'data-label="Roles">1<' in row
        assert "?scope=orders%3Aread" in row
        assert ">2<span" in row

    def test_counts_no_key_that_the_person_does_not_see(self, client, developer, till):
        client.force_login(developer)
        text = client.get(page("roles")).text
        row = text[text.index("<b>clerk</b>") :]
        assert 'data-label="Keys">0<' in row[: row.index("</tr>")]

    def test_without_scopes_of_its_own_says_what_they_are_for(self, client, admin, acme):
        client.force_login(admin)
        text = client.get(page("roles")).text
        assert "No scopes of your own yet" in text
        assert "Define the first scope" in text

    def test_offers_a_developer_nothing_to_change(self, client, developer, clerk):
        client.force_login(developer)
        text = client.get(page("roles")).text
        assert "clerk" in text
        for offer in ("New role", "New scope", "Delete…", "role-edit", "/edit/"):
            assert offer not in text

    def test_offers_nobody_to_change_what_is_built_in(self, client, owner, acme):
        client.force_login(owner)
        text = client.get(page("roles")).text
        assert "/edit/" not in text
        built_in = Role.objects.get(organization=None, name="admin")
        for name in ("role-edit", "role-delete"):
            assert client.get(page(name, built_in.pk)).status_code == 403

    def test_asks_the_database_equally_often_however_much_there_is(
        self, client, admin, acme, owner, clerk, till, django_assert_max_num_queries
    ):
        client.force_login(admin)
        for number in range(30):
            services.create_role(actor=owner, organization=acme, name=f"role {number}")
            services.create_scope(actor=owner, organization=acme, code=f"thing{number}:read")
        with django_assert_max_num_queries(12):
            text = client.get(page("roles")).text
        assert "Page 1 of 2" in text
        assert "thing9:read" in client.get(page("roles"), {"page": "2"}).text
        assert client.get(page("roles"), {"page": "nonsense"}).status_code == 200

    def test_shows_no_other_organizations_roles(self, client, stranger, other, acme, clerk):
        client.force_login(stranger)
        text = client.get(reverse("keys:roles", args=[other.slug])).text
        assert "clerk" not in text
        assert "bills:pay" not in text
        for name in ("role-edit", "role-delete"):
            assert (
                client.get(reverse(f"keys:{name}", args=[other.slug, clerk.pk])).status_code == 404
            )


GROUPS = [group for words in _WORDS.values() for group in words]


class TestTheMatrix:
    """What the built-in scopes allow, as the grant table says."""

    def test_has_a_place_for_every_permission_that_a_scope_grants(self):
        shown = [permission for group in GROUPS for permission in group]
        granted = {permission for grants in roles.GRANTS.values() for permission in grants}
        assert len(shown) == len(set(shown))
        assert set(shown) == granted

    def test_says_yes_where_the_grant_table_does_and_how_far(self):
        rows = [row for _resource, rows in grants("x")["resources"] for row in rows]
        for group, row in zip(GROUPS, rows, strict=True):
            for scope, word in row.cells:
                assert len({roles.GRANTS[scope].get(permission) for permission in group}) == 1
                assert bool(word) == (group[0] in roles.GRANTS[scope]), (group, scope)
        seen = dict(rows[GROUPS.index((roles.Permission.VIEW_APIKEY,))].cells)
        assert (str(seen["READ"]), str(seen["MANAGE"])) == ("own", "all")


class TestRoles:
    """A role is defined, changed and deleted."""

    def test_an_admin_defines_one_and_is_told_its_number(self, client, admin, acme, orders):
        client.force_login(admin)
        reply = client.post(
            page("role-create"),
            {"name": "clerk", "description": "At the till", "scopes": ["READ", "orders:read"]},
            follow=True,
        )
        assert "The role “clerk” has the number 10." in reply.text
        role = acme.roles.get()
        assert role.description == "At the till"
        assert {scope.code for scope in role.scopes.all()} == {"READ", "orders:read"}

    @pytest.mark.parametrize(
        ("typed", "problem"),
        [
            ({"name": ""}, "required"),
            ({"name": "admin"}, "other than the built-in roles"),
            ({"name": "clerk"}, "has a role of that name"),
            ({"name": "x" * 61}, "at most 60 characters"),
            ({"name": "new", "scopes": ["nothing:here"]}, "not one of the available choices"),
            ({"name": "new\x00"}, "Null characters"),
        ],
    )
    def test_what_is_wrong_is_named_and_what_was_typed_stays(
        self, client, admin, acme, clerk, typed, problem
    ):
        client.force_login(admin)
        reply = client.post(page("role-create"), {"description": "Typed already", **typed})
        assert reply.status_code == 200
        assert problem in reply.text
        assert "Typed already" in reply.text
        assert acme.roles.count() == 1

    def test_nobody_gives_a_role_what_they_do_not_hold(self, client, acme, owner):
        """T3: offered neither, nor taken when sent by hand."""
        helper = services.create_role(
            actor=owner,
            organization=acme,
            name="helper",
            scopes=Scope.objects.filter(code__in=["READ", "MANAGE"]),
        )
        person = make_person("helper@acme.example")
        membership = join(acme, person, "readonly")
        services.update_member(actor=owner, membership=membership, role=helper)
        client.force_login(person)
        assert 'value="DELETE"' not in client.get(page("role-create")).text
        reply = client.post(page("role-create"), {"name": "strong", "scopes": ["DELETE"]})
        assert "not one of the available choices" in reply.text
        assert not acme.roles.filter(name="strong").exists()

    def test_a_change_of_the_name_is_not_asked_about(self, client, admin, clerk, till):
        client.force_login(admin)
        reply = client.post(
            page("role-edit", clerk.pk),
            {"name": "cashier", "scopes": ["orders:read", "bills:pay"]},
            follow=True,
        )
        assert "The role “cashier” was saved." in reply.text

    def test_a_change_of_scopes_says_first_whom_it_reaches(
        self, client, admin, clerk, till, clara, claras_key
    ):
        now = timezone.now()
        ScopeUse.objects.create(key=till, code="bills:pay", requests=9, last_used_at=now)
        ScopeUse.objects.create(
            key=claras_key, code="bills:pay", requests=1, last_used_at=now - timedelta(days=40)
        )
        client.force_login(admin)
        typed = {"name": "clerk", "description": "Typed", "scopes": ["orders:read", "READ"]}
        reply = client.post(page("role-edit", clerk.pk), typed)
        change = reply.context["form"].change
        assert (change.lost, change.gained) == (["bills:pay"], ["READ"])
        assert {key.name for key in change.keys.rows} == {"Till", "Abacus"}
        assert [member.user for member in change.people.rows] == [clara]
        assert [use.key for use in change.missed.rows] == [till]
        assert "2 keys change at once." in reply.text
        assert "What 1 person may do changes at once." in reply.text
        assert "In use: these will be refused" in reply.text
        assert "Typed" in reply.text
        assert {scope.code for scope in clerk.scopes.all()} == {"orders:read", "bills:pay"}

        reply = client.post(page("role-edit", clerk.pk), {**typed, "agreed": change.mark})
        assert reply.status_code == 302
        assert {scope.code for scope in clerk.scopes.all()} == {"orders:read", "READ"}

    def test_agreement_to_one_change_is_none_to_another(self, client, admin, clerk, till):
        client.force_login(admin)
        reply = client.post(
            page("role-edit", clerk.pk), {"name": "clerk", "scopes": [], "agreed": "-bills:pay"}
        )
        assert "tick that you mean it" in reply.text
        assert clerk.scopes.count() == 2

    def test_losing_manage_takes_the_organizations_scopes_with_it(
        self, client, owner, acme, orders
    ):
        boss = services.create_role(
            actor=owner,
            organization=acme,
            name="boss",
            scopes=Scope.objects.filter(code__in=["READ", "CREATE", "MANAGE"]),
        )
        person = make_person("boss@acme.example")
        services.update_member(actor=owner, membership=join(acme, person, "readonly"), role=boss)
        services.issue_key(actor=person, organization=acme, name="Orders", scopes=["orders:read"])
        client.force_login(owner)
        reply = client.post(
            page("role-edit", boss.pk), {"name": "boss", "scopes": ["READ", "CREATE"]}
        )
        change = reply.context["form"].change
        assert change.lost == ["MANAGE"]
        assert [key.name for key in change.keys.rows] == ["Orders"]

    def test_a_role_that_nobody_holds_is_deleted(self, client, admin, acme, clerk):
        client.force_login(admin)
        assert "Delete the role “clerk”?" in client.get(page("role-delete", clerk.pk)).text
        assert acme.roles.exists()
        reply = client.post(page("role-delete", clerk.pk), follow=True)
        assert "The role “clerk” is deleted." in reply.text
        assert not acme.roles.exists()
        assert client.post(page("role-delete", clerk.pk)).status_code == 404

    def test_a_role_in_use_is_not_and_the_page_says_why(self, client, admin, clerk, till, clara):
        client.force_login(admin)
        text = client.get(page("role-delete", clerk.pk)).text
        assert "People or keys hold this role" in text
        assert "1 person holds it." in text
        assert 'type="submit">Delete' not in text
        reply = client.post(page("role-delete", clerk.pk), follow=True)
        assert "cannot be deleted before they have another" in reply.text
        assert Role.objects.filter(pk=clerk.pk).exists()


class TestScopes:
    """A scope is defined, described and deleted."""

    def test_an_admin_defines_one(self, client, admin, acme):
        client.force_login(admin)
        reply = client.post(
            page("scope-create"), {"code": "orders:read", "description": "See"}, follow=True
        )
        assert "may now be given orders:read" in reply.text
        assert acme.scopes.get().description == "See"

    @pytest.mark.parametrize(
        ("code", "problem"),
        [
            ("", "required"),
            ("Orders:Read", "did you mean orders:read?"),
            ("orders : read", "did you mean orders:read?"),
            ("READ", "a resource and an action"),
            ("orders", "a resource and an action"),
            ("orders:write", "has a scope of that code"),
            ("a:" + "b" * 99, "at most 100 characters"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_fix(self, client, admin, acme, code, problem):
        services.create_scope(actor=admin, organization=acme, code="orders:write")
        client.force_login(admin)
        reply = client.post(page("scope-create"), {"code": code, "description": "Typed already"})
        assert problem in reply.text
        assert "Typed already" in reply.text
        assert acme.scopes.count() == 1

    def test_its_description_changes_and_its_code_does_not(self, client, admin, orders):
        client.force_login(admin)
        client.post(page("scope-edit", orders.pk), {"code": "mine:all", "description": "New"})
        orders.refresh_from_db()
        assert (orders.code, orders.description) == ("orders:read", "New")

    def test_one_that_is_held_stays_and_the_page_says_why(self, client, admin, orders, clerk):
        client.force_login(admin)
        assert "take it off them first" in client.get(page("scope-delete", orders.pk)).text
        reply = client.post(page("scope-delete", orders.pk), follow=True)
        assert "take it off them first" in reply.text
        assert Scope.objects.filter(pk=orders.pk).exists()

    def test_one_that_nothing_holds_goes(self, client, admin, orders):
        client.force_login(admin)
        reply = client.post(page("scope-delete", orders.pk), follow=True)
        assert "The scope orders:read is deleted." in reply.text
        assert not Scope.objects.filter(pk=orders.pk).exists()
