"""The administration's keys over XyraPanel's wire, byte by byte."""

import pytest

from keys import policy, services
from keys.models import APIKey
from tests.api.xyra.wire import ADMIN, ADMIN_ROW, INSTANT, check, error, invalid, not_found
from tests.conftest import join, make_person


def test_an_administrator_sees_all_keys_of_the_organization(
    call, key, read_only_key, manage_key, strangers_key
):
    rows = call("get", ADMIN, manage_key.secret).json()["data"]
    assert all(set(row) == ADMIN_ROW for row in rows)
    expected = [manage_key, read_only_key, key]
    assert [row["id"] for row in rows] == [each.identifier for each in expected]
    assert INSTANT.fullmatch(rows[0]["createdAt"])
    assert rows[1]["expiresAt"] is rows[1]["lastUsedAt"] is rows[1]["memo"] is None


def test_an_administrator_makes_and_ends_keys(call, manage_key):
    body = {"memo": "Ops", "allowedIps": ["127.0.0.1"], "expiresAt": "2099-01-01T00:00:00Z"}
    made = call("post", ADMIN, manage_key.secret, body).json()
    assert set(made["data"]) == {"id", "identifier", "apiKey", "memo", "createdAt"}
    secret, identifier = made["data"]["apiKey"], made["data"]["id"]
    assert call("get", ADMIN, secret).json()["data"][0]["expiresAt"] == "2099-01-01T00:00:00.000Z"
    response = call("delete", f"{ADMIN}/{identifier}", manage_key.secret)
    assert response.json() == {"data": {"success": True, "deletedId": identifier}}
    assert call("get", ADMIN, secret).status_code == 401
    path = f"{ADMIN}/{identifier}"
    check(call("delete", path, manage_key.secret), not_found(path))


def test_only_administrators_pass(call, key, read_only_key, developer):
    theirs = f"/api/admin/users/{developer.pk}/api-keys"
    for method, path in [
        ("get", ADMIN),
        ("post", ADMIN),
        ("delete", f"{ADMIN}/{key.identifier}"),
        ("get", theirs),
        ("delete", f"{theirs}/{key.identifier}"),
    ]:
        for each in (key, read_only_key):
            expected = error(path, 403, "Server Error", "Administrator privileges required")
            check(call(method, path, each.secret, {}), expected)
        assert call(method, path, None, {}).status_code == 401
    assert APIKey.objects.live().count() == 2


def test_permissions_are_the_organizations_own_scopes(acme, call, manage_key):
    for code in ("servers:read", "servers:write"):
        services.create_scope(actor=policy.OPERATOR, organization=acme, code=code)
    services.update_key(
        actor=policy.OPERATOR, key=manage_key, scopes=["MANAGE", "servers:read", "servers:write"]
    )
    body = {"permissions": {"servers": ["read", "write", "read"]}}
    made = call("post", ADMIN, manage_key.secret, body).json()["data"]
    key = APIKey.objects.get(identifier=made["id"])
    assert sorted(key.scope_codes) == ["servers:read", "servers:write"]


def test_no_permissions_are_none_and_unsaid_ones_the_makers(call, manage_key):
    """T2: an empty grant is not an unlimited one."""
    for body, scopes in [
        ({"permissions": {}}, set()),
        ({"permissions": {"servers": []}}, set()),
        ({}, set(manage_key.scope_codes)),
        ({"permissions": None}, set(manage_key.scope_codes)),
    ]:
        made = call("post", ADMIN, manage_key.secret, body).json()["data"]
        assert set(APIKey.objects.get(identifier=made["id"]).scope_codes) == scopes


@pytest.mark.parametrize(
    ("permissions", "field", "message"),
    [
        ({"servers": ["read"]}, "permissions", "Unknown scope: servers:read."),
        ({"databaseHosts": ["read"]}, "permissions", "Unknown scope: databaseHosts:read."),
        ({"*": ["read"]}, "permissions", "Invalid key in record"),
        ({"NUL\x00": ["read"]}, "permissions", "Invalid key in record"),
        (["servers"], "permissions", "Invalid input: expected record"),
        ("servers", "permissions", "Invalid input: expected record"),
        (
            {"servers": ["read", "fly"]},
            "permissions.servers.1",
            'Invalid option: expected one of "read"|"write"|"delete"',
        ),
    ],
    ids=str,
)
def test_permissions_that_no_scope_says_are_refused(permissions, field, message, call, manage_key):
    response = call("post", ADMIN, manage_key.secret, {"permissions": permissions})
    check(response, invalid(ADMIN, **{field: message}))
    assert APIKey.objects.count() == 1


def test_a_scope_that_the_administrator_lacks_is_refused(acme, call, manage_key):
    services.create_scope(actor=policy.OPERATOR, organization=acme, code="servers:read")
    response = call("post", ADMIN, manage_key.secret, {"permissions": {"servers": ["read"]}})
    assert response.status_code == 403
    assert "servers:read" in response.json()["message"]


def test_the_keys_of_one_person(call, key, read_only_key, manage_key, developer, viewer):
    path = f"/api/admin/users/{developer.pk}/api-keys"
    body = call("get", f"{path}?limit=1", manage_key.secret).json()
    assert [row["identifier"] for row in body["data"]] == [read_only_key.identifier]
    assert body["pagination"] == {"page": 1, "perPage": 1, "total": 2, "totalPages": 2}
    elsewhere = f"/api/admin/users/{viewer.pk}/api-keys/{key.identifier}"
    check(call("delete", elsewhere, manage_key.secret), not_found(elsewhere))
    response = call("delete", f"{path}/{key.identifier}", manage_key.secret)
    assert response.json() == {
        "data": {
            "success": True,
            "userId": str(developer.pk),
            "apiKeyIdentifier": key.identifier,
        }
    }
    assert APIKey.objects.live().filter(owner=developer).get() == read_only_key


def test_a_person_of_another_organization_is_nobody(call, manage_key, stranger, other):
    """T10, T11: even one who is a member of both has keys of each apart."""
    for number in (stranger.pk, 10**17, 0):
        path = f"/api/admin/users/{number}/api-keys"
        expected = error(path, 404, "Server Error", "User not found")
        check(call("get", path, manage_key.secret), expected)
    both = make_person("both@acme.example")
    join(other, both, "admin")
    join(manage_key.organization, both, "readonly")
    theirs = services.issue_key(actor=both, organization=other, name="Theirs", scopes=["READ"])
    path = f"/api/admin/users/{both.pk}/api-keys"
    assert call("get", path, manage_key.secret).json()["data"] == []
    path = f"{path}/{theirs.identifier}"
    check(call("delete", path, manage_key.secret), not_found(path))
