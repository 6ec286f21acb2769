"""Organizations, their workspaces, scopes, roles and server addresses."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from keys import policy, services
from keys.models import Organization, Role, Scope, Workspace


def test_an_organization_begins_with_a_workspace_and_an_owner(superuser, owner):
    made = services.create_organization(actor=superuser, name="New", slug="new", owner=owner)
    assert [(row.name, row.is_default) for row in made.workspaces.all()] == [("Default", True)]
    membership = made.memberships.get()
    assert (membership.user, membership.role.name, membership.is_owner) == (owner, "admin", True)


@pytest.mark.parametrize("name", ["owner", "admin", "staff", "manage_key"])
def test_only_superusers_and_the_operator_create_organizations(acme, owner, name, request):
    actor = request.getfixturevalue(name)
    with pytest.raises(PermissionDenied):
        services.create_organization(actor=actor, name="New", slug="new", owner=owner)
    assert services.create_organization(actor=policy.OPERATOR, name="New", slug="new", owner=owner)


def test_only_staff_suspend(acme, owner, manage_key, staff):
    for actor in (owner, manage_key):
        with pytest.raises(PermissionDenied):
            services.suspend_organization(actor=actor, organization=acme)
    assert services.suspend_organization(actor=staff, organization=acme).is_suspended
    with pytest.raises(PermissionDenied):
        services.resume_organization(actor=owner, organization=acme)
    assert not services.resume_organization(actor=staff, organization=acme).is_suspended


class TestWorkspaces:
    """Where keys are grouped."""

    def test_the_default_one_stays(self, acme, owner):
        with pytest.raises(ValidationError, match="default"):
            services.delete_workspace(actor=owner, workspace=acme.workspaces.get())

    def test_one_with_keys_stays_even_when_they_are_revoked(self, acme, owner):
        lab = services.create_workspace(actor=owner, organization=acme, name="Lab")
        key = services.issue_key(actor=owner, organization=acme, name="Key", workspace=lab)
        services.revoke_key(actor=owner, key=key)
        with pytest.raises(ValidationError, match="cannot be deleted"):
            services.delete_workspace(actor=owner, workspace=lab)
        assert Workspace.objects.filter(pk=lab.pk).exists()

    def test_an_empty_one_goes(self, acme, owner):
        lab = services.create_workspace(actor=owner, organization=acme, name="Lab")
        services.delete_workspace(actor=owner, workspace=lab)
        assert not Workspace.objects.filter(pk=lab.pk).exists()

    def test_a_developer_arranges_nothing(self, acme, owner, developer):
        lab = services.create_workspace(actor=owner, organization=acme, name="Lab")
        for attempt in (
            lambda: services.create_workspace(actor=developer, organization=acme, name="Mine"),
            lambda: services.update_workspace(actor=developer, workspace=lab, name="Mine"),
            lambda: services.delete_workspace(actor=developer, workspace=lab),
            lambda: services.delete_workspace(actor=developer, workspace=acme.workspaces.first()),
        ):
            with pytest.raises(PermissionDenied):
                attempt()


class TestScopesAndRoles:
    """What an organization defines for itself."""

    @pytest.fixture
    def orders(self, acme, owner) -> Scope:
        return services.create_scope(actor=owner, organization=acme, code="orders:read")

    def test_a_scope_in_use_stays(self, acme, owner, orders):
        clerk = services.create_role(actor=owner, organization=acme, name="clerk", scopes=[orders])
        with pytest.raises(ValidationError, match="hold this scope"):
            services.delete_scope(actor=owner, scope=orders)
        services.update_role(actor=owner, role=clerk, scopes=[])
        key = services.issue_key(
            actor=owner, organization=acme, name="Till", scopes=["orders:read"]
        )
        with pytest.raises(ValidationError, match="hold this scope"):
            services.delete_scope(actor=owner, scope=orders)
        services.revoke_key(actor=owner, key=key)
        services.delete_scope(actor=owner, scope=orders)
        assert not Scope.objects.filter(pk=orders.pk).exists()

    def test_a_role_in_use_stays(self, acme, owner):
        clerk = services.create_role(actor=owner, organization=acme, name="clerk")
        services.issue_key(actor=owner, organization=acme, name="Till", role=clerk)
        with pytest.raises(ValidationError, match="cannot be deleted"):
            services.delete_role(actor=owner, role=clerk)

    def test_nobody_changes_what_is_built_in(self, acme, owner, superuser):
        """T3: not even the operator, whose change would reach every organization."""
        scope, role = Scope.objects.get(code="READ"), Role.objects.get(name="readonly")
        for actor in (owner, superuser, policy.OPERATOR):
            for attempt in (
                lambda: services.update_scope(actor=actor, scope=scope, description="x"),  # noqa: B023
                lambda: services.delete_scope(actor=actor, scope=scope),  # noqa: B023
                lambda: services.update_role(actor=actor, role=role, scopes=[]),  # noqa: B023
                lambda: services.delete_role(actor=actor, role=role),  # noqa: B023
            ):
                with pytest.raises(PermissionDenied):
                    attempt()

    def test_roles_are_numbered_from_ten(self, acme, other, owner, stranger):
        numbers = [
            services.create_role(actor=owner, organization=acme, name=name).number
            for name in ("clerk", "teller")
        ]
        chosen = services.create_role(actor=owner, organization=acme, name="boss", number=40)
        after = services.create_role(actor=owner, organization=acme, name="next")
        assert [*numbers, chosen.number, after.number] == [10, 11, 40, 41]
        elsewhere = services.create_role(actor=stranger, organization=other, name="clerk")
        assert elsewhere.number == 10

    def test_a_role_gives_its_scopes_to_who_holds_it(self, acme, owner, developer, orders):
        clerk = services.create_role(actor=owner, organization=acme, name="clerk", scopes=[orders])
        services.update_member(
            actor=owner, membership=acme.memberships.get(user=developer), role=clerk
        )
        assert policy.held_scopes(developer, acme) == {"orders:read"}

    def test_built_in_rows_are_there_once(self, db):
        assert {scope.code for scope in Scope.objects.all()} == {
            "READ",
            "CREATE",
            "UPDATE",
            "DELETE",
            "MANAGE",
        }
        assert {role.number: role.name for role in Role.objects.all()} == {
            1: "admin",
            2: "developer",
            3: "readonly",
        }


def test_renaming_an_organization_keeps_everything_else(acme, owner):
    services.update_organization(actor=owner, organization=acme, name="ACME", slug="acme-2")
    renamed = Organization.objects.get(pk=acme.pk)
    assert (renamed.name, renamed.slug, renamed.created_at) == ("ACME", "acme-2", acme.created_at)


def test_a_stranger_arranges_nothing_here(acme, stranger, strangers_key):
    """T10, T11."""
    for actor in (stranger, strangers_key):
        for attempt in (
            lambda: services.update_organization(actor=actor, organization=acme, name="Mine"),  # noqa: B023
            lambda: services.create_workspace(actor=actor, organization=acme, name="Mine"),  # noqa: B023
            lambda: services.create_scope(actor=actor, organization=acme, code="mine:all"),  # noqa: B023
            lambda: services.create_role(actor=actor, organization=acme, name="mine"),  # noqa: B023
            lambda: services.add_server_address(actor=actor, organization=acme, network="::/0"),  # noqa: B023
        ):
            with pytest.raises(PermissionDenied):
                attempt()


@pytest.mark.parametrize("days", [1, 90, None])
def test_an_organization_says_how_old_its_secrets_get(acme, owner, days):
    assert acme.rotation_days == 365
    services.update_organization(actor=owner, organization=acme, rotation_days=days)
    acme.refresh_from_db()
    assert acme.rotation_days == days


@pytest.mark.parametrize("days", [0, -1, 40_000, "soon", ""])
def test_an_odd_age_of_secrets_is_refused(acme, owner, days):
    with pytest.raises(ValidationError) as refusal:
        services.update_organization(actor=owner, organization=acme, rotation_days=days)
    assert set(refusal.value.message_dict) == {"rotation_days"}
