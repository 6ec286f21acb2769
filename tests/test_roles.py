"""The vocabulary: permissions, scopes, roles and what grants what."""

import pytest

from keys import roles
from keys.roles import BuiltInScope, Permission, Reach


def test_permissions_are_django_code_names():
    assert Permission.VIEW_APIKEY.value == "keys.view_apikey"
    assert Permission.VIEW_APIKEY.codename == "view_apikey"
    assert all(permission.value.startswith("keys.") for permission in Permission)


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (roles.ADMIN, {"READ", "CREATE", "UPDATE", "DELETE", "MANAGE"}),
        (roles.DEVELOPER, {"READ", "CREATE", "UPDATE", "DELETE"}),
        (roles.READONLY, {"READ"}),
    ],
)
def test_the_built_in_roles(role, scopes):
    assert role.scopes == scopes


def test_the_built_in_roles_have_the_numbers_that_other_systems_know():
    assert [(role.number, role.name) for role in roles.BUILT_IN_ROLES] == [
        (1, "admin"),
        (2, "developer"),
        (3, "readonly"),
    ]
    assert max(role.number for role in roles.BUILT_IN_ROLES) < roles.FIRST_CUSTOM_ROLE_NUMBER


@pytest.mark.parametrize("permission", Permission)
def test_every_permission_is_granted_by_something(permission):
    granted = roles.scopes_granting(permission, Reach.OWN)
    beyond_scopes = roles.MEMBER_PERMISSIONS | roles.OWNER_PERMISSIONS | roles.STAFF_PERMISSIONS
    assert granted or permission in beyond_scopes


@pytest.mark.parametrize("permission", Permission)
def test_a_farther_reach_is_granted_by_fewer_scopes(permission):
    own, shared, everything = (roles.scopes_granting(permission, reach) for reach in Reach)
    assert own >= shared >= everything


def test_no_scope_lets_a_key_own_or_leave_an_organization_or_lock_keys():
    for permission in (
        Permission.OWN_ORGANIZATION,
        Permission.LEAVE_ORGANIZATION,
        Permission.LOCK_APIKEY,
    ):
        assert not roles.scopes_granting(permission, Reach.OWN)


def test_only_manage_reaches_other_peoples_keys():
    for permission in (
        Permission.VIEW_APIKEY,
        Permission.CHANGE_APIKEY,
        Permission.DELETE_APIKEY,
        Permission.ADD_APIKEY,
    ):
        assert roles.scopes_granting(permission, Reach.ORGANIZATION) == {"MANAGE"}


def test_nothing_lets_anybody_take_over_another_persons_key():
    """T7: a rotation shows the new secret to whoever asks for it."""
    assert roles.scopes_granting(Permission.ROTATE_APIKEY, Reach.ORGANIZATION) == set()


def test_staff_only_look_stop_and_revoke():
    change = {
        permission
        for permission in roles.STAFF_PERMISSIONS
        if not permission.codename.startswith("view_")
    }
    assert change == {Permission.LOCK_APIKEY, Permission.DELETE_APIKEY}


def test_every_built_in_scope_is_described():
    assert set(roles.SCOPE_DESCRIPTIONS) == set(BuiltInScope)


@pytest.mark.parametrize("code", ["orders:read", "a:b", "crm.orders:read.all", "a-b:c_d:e", "x:*"])
def test_an_organizations_scope_names_a_resource_and_an_action(code):
    assert roles.CUSTOM_SCOPE_PATTERN.fullmatch(code)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "READ",
        "read",
        "*",
        ":",
        "orders:",
        ":read",
        "Orders:read",
        "orders:READ",
        "*:read",
        "orders :read",
        "orders:read\n",
        "orders:réad",
        "1st:read",
        "orders:read\x00",
    ],
)
def test_nothing_else_is_an_organizations_scope(code):
    """T2: above all nothing that could pose as a built-in scope, or as all of them."""
    assert not roles.CUSTOM_SCOPE_PATTERN.fullmatch(code)


@pytest.mark.parametrize(
    ("permission", "held", "reach", "scope"),
    [
        (Permission.VIEW_APIKEY, {"READ", "MANAGE"}, Reach.OWN, "READ"),
        (Permission.VIEW_APIKEY, {"READ", "MANAGE"}, Reach.ORGANIZATION, "MANAGE"),
        (Permission.VIEW_WORKSPACE, {"READ", "MANAGE"}, Reach.ORGANIZATION, "READ"),
        (Permission.VIEW_APIKEY, {"READ"}, Reach.ORGANIZATION, None),
        (Permission.ADD_ROLE, {"CREATE", "MANAGE", "orders:read"}, Reach.OWN, "MANAGE"),
        (Permission.ADD_APIKEY, {"orders:read"}, Reach.OWN, None),
        (Permission.LOCK_APIKEY, set(roles.BuiltInScope), Reach.OWN, None),
    ],
)
def test_of_the_scopes_that_grant_something_the_narrowest_counts(permission, held, reach, scope):
    assert roles.narrowest_scope(permission, held, reach) == scope


@pytest.mark.parametrize(
    ("text", "is_scope"),
    [
        ("a:" + "b" * 98, True),
        ("a:" + "b" * 99, False),
        ("READ", True),
        ("orders:read", True),
        ("read", False),
        ("READ ", False),
        ("", False),
        ("kh_0123456789", False),
    ],
)
def test_the_codes_of_scopes_are_known_by_their_form(text, is_scope):
    assert roles.is_scope_code(text) is is_scope
