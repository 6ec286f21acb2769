"""What the wire of the native dialect looks like, for the tests of it."""

import re

from keys.models import APIKey

KEYS = "/v1/api-keys"
NOT_FOUND = {"message": "Not found.", "errors": {}}
FUTURE = "2099-01-01T00:00:00Z"
ROW = {
    "id", "key_name", "key_scope", "organization_id", "api_key", "created_at", "identifier", "hash",
    "slug", "description", "status", "disabled", "role", "workspace_id", "owner_id", "owner",
    "dialect", "not_before", "expires_at", "limit", "limit_remaining", "limit_reset",
    "limit_resets_at", "include_byok_in_limit", "assign_server_ips", "allowed_ips",
    "external_user", "rate_limits", "usage", "last_used_at", "last_used_from", "updated_at",
}  # fmt: skip


def path_of(key: APIKey, rest: str = "") -> str:
    return f"{KEYS}/{key.pk}{rest}"


def refused(response, status: int) -> dict:
    """Return the errors of a reply that refuses, having checked its envelope."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    told = response.json()
    assert set(told) == {"message", "errors"}
    assert told["message"]
    return told["errors"]


def told(response, status: int = 200):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    return response.json()


def walk(ask, path: str, secret: str) -> list[dict]:
    """Return all rows of a list, following its Link headers."""
    rows = []
    while path:
        response = ask("get", path, secret)
        rows += told(response)
        link = re.fullmatch(r'<http://testserver(.+)>; rel="next"', response.get("Link", ""))
        path = link[1] if link else None
    return rows


LISTS = ["/v1/api-keys", "/v1/organizations", "/v1/workspaces", "/v1/scopes", "/v1/roles",
         "/v1/members", "/v1/audit-events"]  # fmt: skip
