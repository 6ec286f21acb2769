"""One story told in every dialect, ending in the same database and the same audit trail.

A dialect joins by one entry in WIRES. Where it cannot say what the others say, its entry
names the difference, and nothing else may differ.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from keys import services
from keys.api.urls import MODULES
from keys.models import APIKey, AuditEvent, UsageBucket
from keys.roles import BuiltInScope

AUTH = "/v1/auth"


@dataclass(frozen=True)
class Wire:
    """How one dialect tells the story."""

    collection: str
    # From the organization's number to the body that creates the key “worker”, which reads.
    create: Callable[[int], dict[str, Any]]
    # From the reply to a create to the secret; from the reply to a list to its rows.
    secret: Callable[[Any], str]
    rows: Callable[[Any], list]
    # What the dialect names a key by, in its path.
    named_by: str
    # The method and body that describe the key as “Night shift”; None: there is no update.
    change: tuple[str, dict[str, Any]] | None
    # A body that asks for MANAGE; None: it cannot be asked for.
    beyond: Callable[[int], dict[str, Any]] | None
    created_status: int = 201
    anonymous_status: int = 401
    # What becomes of the key where the dialect cannot say what the others say.
    state: dict[str, Any] = field(default_factory=dict)
    trail: dict[str, Any] = field(default_factory=dict)


WIRES = {
    "native": Wire(
        collection="/v1/api-keys",
        create=lambda organization: {
            "key_name": "worker",
            "key_scope": ["READ"],
            "organization_id": organization,
        },
        secret=lambda body: body["api_key"],
        rows=lambda body: body,
        named_by="pk",
        change=("patch", {"description": "Night shift"}),
        beyond=lambda organization: {
            "key_name": "worker",
            "key_scope": ["MANAGE"],
            "organization_id": organization,
        },
    ),
    "i3d": Wire(
        collection="/v3/account/apiKey",
        create=lambda organization: {"note": "worker", "category": 3},
        secret=lambda body: body[0]["key"],
        rows=lambda body: body,
        named_by="pk",
        change=("put", {"note": "worker\nNight shift"}),
        beyond=lambda organization: {"note": "worker", "category": 1},
        created_status=200,
        anonymous_status=403,
        # The note is name and description in one; a category is a role.
        state={"role": "readonly", "description": "worker\nNight shift"},
    ),
    "netography": Wire(
        collection="/api/v1/api-keys",
        create=lambda organization: {"appname": "worker", "roles": ["readonly"]},
        secret=lambda body: body["data"]["appkey"],
        rows=lambda body: body["data"],
        named_by="slug",
        change=("put", {"description": "Night shift", "roles": ["readonly"]}),
        beyond=lambda organization: {"appname": "worker", "roles": ["admin"]},
        state={"role": "readonly"},
    ),
    "openrouter": Wire(
        collection="/api/v1/keys",
        create=lambda organization: {"name": "worker"},
        secret=lambda body: body["key"],
        rows=lambda body: body["data"],
        named_by="hash",
        change=("patch", {"name": "Night shift"}),
        beyond=None,
        # Keys have no description, and are ordinary ones.
        state={"name": "Night shift", "description": "", "scopes": []},
        trail={"apikey.updated": {"name"}},
    ),
    "xyra": Wire(
        collection="/api/account/api-keys",
        create=lambda organization: {"memo": "worker"},
        secret=lambda body: body["meta"]["secret_token"],
        rows=lambda body: body["data"],
        named_by="identifier",
        change=None,
        beyond=None,
        created_status=200,
        # A key holds what its maker holds.
        state={"scopes": sorted(BuiltInScope), "description": "worker"},
    ),
}

DIALECTS = [module.DIALECT.dialect for module in MODULES]


def test_every_dialect_tells_the_story():
    assert set(DIALECTS) == set(WIRES)


def item(wire: Wire, key: APIKey) -> str:
    return f"{wire.collection}/{getattr(key, wire.named_by)}"


def state_of(key: APIKey) -> dict[str, Any]:
    """Return what the database holds of a key, but for what time and chance decide."""
    key = APIKey.objects.with_details().get(pk=key.pk)
    plain = ("name", "slug", "description", "dialect", "not_before", "expires_at", "disabled",
             "locked_at", "limit", "limit_reset", "include_byok_in_limit", "assign_server_ips",
             "external_user", "owner")  # fmt: skip
    return {name: getattr(key, name) for name in plain} | {
        "role": key.role.name if key.role else None,
        "scopes": sorted(key.scope_codes),
        "workspace": key.workspace.name,
        "organization": key.organization.slug,
        "is_revoked": key.revoked_at is not None,
        "secrets": key.secrets.count(),
        "allowed_ips": key.allowed_ips.count(),
        "uses": {row.outcome: row.requests for row in UsageBucket.objects.filter(key=key)},
        "totals": (key.totals.requests, key.totals.refused),
    }


SAME_END = {
    "name": "worker",
    "slug": "worker",
    "description": "Night shift",
    "not_before": None,
    "expires_at": None,
    "disabled": False,
    "locked_at": None,
    "limit": None,
    "limit_reset": None,
    "include_byok_in_limit": False,
    "assign_server_ips": False,
    "external_user": None,
    "owner": None,
    "role": None,
    "scopes": ["READ"],
    "workspace": "Default",
    "organization": "acme",
    "is_revoked": True,
    "secrets": 1,
    "allowed_ips": 0,
    "uses": {"VALID": 1, "REVOKED": 1},
    "totals": (1, 1),
}


@pytest.mark.parametrize("prefix", ["", "/prefix"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_key_is_made_used_changed_and_revoked(ask, manage_key, acme, dialect, prefix):
    """T23, T37, T40: shown once, every change audited, the life of a key the same everywhere."""
    wire = WIRES[dialect]
    at = f"/{dialect}" if prefix else ""
    before = AuditEvent.objects.count()

    made = ask("post", at + wire.collection, manage_key.secret, wire.create(acme.pk))
    assert made.status_code == wire.created_status, made.content
    secret = wire.secret(made.json())
    key = APIKey.objects.exclude(pk=manage_key.pk).get()

    assert ask("get", AUTH, secret).status_code == 204
    listed = ask("get", at + wire.collection, manage_key.secret)
    assert listed.status_code == 200
    assert len(wire.rows(listed.json())) in (1, 2)  # some list the management key as well
    assert secret not in listed.content.decode()

    if wire.change:
        method, body = wire.change
        changed = ask(method, at + item(wire, key), manage_key.secret, body)
        assert changed.status_code == 200, changed.content
        assert secret not in changed.content.decode()

    gone = ask("delete", at + item(wire, key), manage_key.secret)
    assert gone.status_code in (200, 204)
    assert ask("get", AUTH, secret).status_code == 401
    assert ask("delete", at + item(wire, key), manage_key.secret).status_code == 404

    assert state_of(key) == SAME_END | {"dialect": dialect} | wire.state
    events = list(AuditEvent.objects.order_by("pk")[before:])
    actions = ["apikey.issued", "apikey.updated", "apikey.revoked"]
    if wire.change is None:
        actions.remove("apikey.updated")
    assert [event.action for event in events] == actions
    for event in events:
        assert (event.actor_key, event.actor_label) == (manage_key, "Management")
        assert (event.object_type, event.object_id) == ("apikey", str(key.pk))
        assert (event.organization, event.door, event.address) == (acme, "api", "127.0.0.1")
        assert event.request_id
        assert secret not in str(event.changes)
        if event.action == "apikey.updated":
            assert set(event.changes) == wire.trail.get(event.action, {"description"})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nobody_without_a_credential_gets_anywhere(ask, key, acme, owner, dialect):
    """T1: whatever owner-like members the body has."""
    wire = WIRES[dialect]
    likes = {"user": owner.pk, "userId": owner.pk, "owner": owner.pk, "workspaceID": 1,
             "organization_id": acme.pk, "creator_user_id": str(owner.pk)}  # fmt: skip
    status = wire.anonymous_status
    keys, events = APIKey.objects.count(), AuditEvent.objects.count()
    sent = wire.create(acme.pk)
    for secret in (None, "nonsense", key.secret[:-1]):
        for body in (sent, sent | likes):
            assert ask("post", wire.collection, secret, body).status_code == status
        assert ask("get", wire.collection, secret).status_code == status
        assert ask("delete", item(wire, key), secret).status_code == status
    assert (APIKey.objects.count(), AuditEvent.objects.count()) == (keys, events)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_another_organizations_key_is_like_a_missing_one(ask, acme, key, other, stranger, dialect):
    """T10, T11, T20: whoever may do everything elsewhere finds nothing here."""
    wire = WIRES[dialect]
    everything = services.issue_key(
        actor=stranger, organization=other, name="All", owner=None, scopes=[*BuiltInScope]
    )
    missing = APIKey(pk=10**9, hash="0" * 64, identifier="a" * 24, slug="nobody")
    events = AuditEvent.objects.count()
    operations = [("delete", None), *([wire.change] if wire.change else [])]
    for method, body in operations:
        theirs = ask(method, item(wire, key), everything.secret, body)
        nobodys = ask(method, item(wire, missing), everything.secret, body)
        assert (theirs.status_code, nobodys.status_code) == (404, 404)
        # XyraPanel's words repeat the address.
        named = item(wire, key), item(wire, missing)
        assert theirs.content.decode().replace(*named) == nobodys.content.decode()
    rows = wire.rows(ask("get", wire.collection, everything.secret).json())
    assert "Backend" not in str(rows)
    assert AuditEvent.objects.count() == events
    key.refresh_from_db()
    assert key.revoked_at is None


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if WIRES[name].beyond])
def test_nobody_gives_more_than_they_hold(ask, key, acme, dialect):
    """T2, T4: a developer's key asks for MANAGE."""
    wire = WIRES[dialect]
    before = APIKey.objects.count()
    assert ask("post", wire.collection, key.secret, wire.beyond(acme.pk)).status_code == 403
    assert APIKey.objects.count() == before


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reader_makes_and_revokes_nothing(ask, read_only_key, key, acme, dialect):
    """T11: the right organization, the wrong action."""
    wire = WIRES[dialect]
    before = APIKey.objects.live().count()
    sent = wire.create(acme.pk)
    assert ask("post", wire.collection, read_only_key.secret, sent).status_code == 403
    # OpenRouter's clients know 401 for it.
    assert ask("delete", item(wire, key), read_only_key.secret).status_code in (401, 403)
    assert APIKey.objects.live().count() == before


@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize("born", DIALECTS)
@pytest.mark.wide
def test_a_key_of_any_dialect_speaks_every_dialect(ask, acme, owner, born, spoken):
    """T32: the credential is the portal's, the dialect is how one talks."""
    key = services.issue_key(
        actor=owner, organization=acme, name="Any", owner=None, dialect=born, scopes=[*BuiltInScope]
    )
    wire = WIRES[spoken]
    assert ask("get", wire.collection, key.secret).status_code == 200
    made = ask("post", wire.collection, key.secret, wire.create(acme.pk))
    assert made.status_code == wire.created_status
    assert APIKey.objects.first().dialect == spoken
