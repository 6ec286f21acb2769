"""An organization and what it has, over the native dialect."""

from datetime import timedelta

from django.utils import timezone

from keys import services
from keys.models import AuditEvent, Scope, Workspace
from tests.api.native.wire import KEYS, LISTS, refused, told, walk


def test_a_credential_sees_its_one_organization_and_renames_it(ask, manage_key, acme, other):
    assert [row["slug"] for row in told(ask("get", "/v1/organizations", manage_key.secret))] == [
        "acme"
    ]
    path = f"/v1/organizations/{acme.pk}"
    assert told(ask("patch", path, manage_key.secret, {"name": "ACME"}))["name"] == "ACME"
    assert told(ask("get", path, manage_key.secret))["name"] == "ACME"
    event = AuditEvent.objects.first()
    assert (event.action, event.actor_key, event.door) == (
        "organization.updated",
        manage_key,
        "api",
    )


def test_a_reader_sees_the_organization_and_changes_nothing(ask, read_only_key, acme, viewer):
    """403: visible, not permitted. The audit trail is for those who manage."""
    for path in LISTS[:-1]:
        told(ask("get", path, read_only_key.secret))
    events = AuditEvent.objects.count()
    member = acme.memberships.get(user=viewer)
    workspace = acme.workspaces.get()
    for method, path, body in (
        ("get", "/v1/audit-events", None),
        ("patch", f"/v1/organizations/{acme.pk}", {"name": "Mine"}),
        ("post", f"/v1/organizations/{acme.pk}/server-addresses", {"network": "192.0.2.1"}),
        ("post", "/v1/workspaces", {"name": "Lab"}),
        ("patch", f"/v1/workspaces/{workspace.pk}", {"name": "Lab"}),
        ("delete", f"/v1/workspaces/{workspace.pk}", None),
        ("post", "/v1/scopes", {"code": "orders:read"}),
        ("post", "/v1/roles", {"name": "clerk"}),
        ("patch", f"/v1/members/{member.pk}", {"role": "admin"}),
        ("delete", f"/v1/members/{member.pk}", None),
    ):
        refused(ask(method, path, read_only_key.secret, body), 403)
    assert AuditEvent.objects.count() == events


def test_workspaces_come_and_go(ask, manage_key, acme):
    made = told(ask("post", "/v1/workspaces", manage_key.secret, {"name": "Lab"}), 201)
    path = f"/v1/workspaces/{made['id']}"
    assert told(ask("patch", path, manage_key.secret, {"name": "Labs"}))["name"] == "Labs"
    assert [row["name"] for row in walk(ask, "/v1/workspaces?limit=1", manage_key.secret)] == [
        "Default",
        "Labs",
    ]
    assert ask("delete", path, manage_key.secret).status_code == 204
    assert not Workspace.objects.filter(name="Labs").exists()
    default = acme.workspaces.get()
    assert refused(ask("delete", f"/v1/workspaces/{default.pk}", manage_key.secret), 400) == {}
    refused(ask("post", "/v1/workspaces", manage_key.secret, {"name": "Default"}), 400)


def test_scopes_of_the_organization_come_and_go(ask, manage_key, body):
    scope = {"code": "orders:read", "description": "Read orders"}
    made = told(ask("post", "/v1/scopes", manage_key.secret, scope), 201)
    path = f"/v1/scopes/{made['id']}"
    assert told(ask("get", path, manage_key.secret))["is_built_in"] is False
    told(ask("patch", path, manage_key.secret, {"description": "Orders"}))
    assert "code" in refused(ask("patch", path, manage_key.secret, {"code": "orders:write"}), 400)
    for code in ("ORDERS", "orders", "orders:", "a" * 101, 5, "a\x00:b", ""):
        assert "code" in refused(ask("post", "/v1/scopes", manage_key.secret, {"code": code}), 400)
    assert ask("delete", path, manage_key.secret).status_code == 204
    built_in = Scope.objects.get(code="READ")
    refused(ask("delete", f"/v1/scopes/{built_in.pk}", manage_key.secret), 403)
    refused(ask("patch", f"/v1/scopes/{built_in.pk}", manage_key.secret, {"description": ""}), 403)


def test_roles_of_the_organization_come_and_go(ask, manage_key, acme, strangers_things):
    role = {"name": "clerk", "key_scope": ["READ"], "description": "Reads"}
    made = told(ask("post", "/v1/roles", manage_key.secret, role), 201)
    assert (made["number"], made["key_scope"]) == (10, ["READ"])
    path = f"/v1/roles/{made['id']}"
    change = {**made, "name": "reader", "key_scope": ["READ", "CREATE"]}
    changed = told(ask("patch", path, manage_key.secret, change))
    assert (changed["name"], sorted(changed["key_scope"])) == ("reader", ["CREATE", "READ"])
    assert "number" in refused(ask("patch", path, manage_key.secret, {"number": 11}), 400)
    for bad in (["FLY"], ["orders:read"], "READ", [5], {"READ": 1}, None):
        sent = {"name": "other", "key_scope": bad}
        errors = refused(ask("post", "/v1/roles", manage_key.secret, sent), 400)
        assert {name.split(".")[0] for name in errors} == {"key_scope"}
    for number in (1, -1, 2**40, "x"):
        sent = {"name": "other", "number": number}
        refused(ask("post", "/v1/roles", manage_key.secret, sent), 400)
    assert ask("delete", path, manage_key.secret).status_code == 204


def test_nobody_makes_a_role_beyond_what_they_hold(ask, acme, owner):
    """T3: a key with MANAGE alone holds no DELETE to give."""
    key = services.issue_key(
        actor=owner, organization=acme, name="Manager", owner=None, scopes=["READ", "MANAGE"]
    )
    sent = {"name": "destroyer", "key_scope": ["DELETE"]}
    refused(ask("post", "/v1/roles", key.secret, sent), 403)
    assert not acme.roles.exists()


def test_members_change_role_and_leave(ask, manage_key, acme, viewer, owner):
    rows = told(ask("get", "/v1/members", manage_key.secret))
    assert [row["email"] for row in rows] == ["owner@acme.example", "viewer@acme.example"]
    path = f"/v1/members/{acme.memberships.get(user=viewer).pk}"
    assert told(ask("patch", path, manage_key.secret, {"role": "developer"}))["role"] == "developer"
    assert "role" in refused(ask("patch", path, manage_key.secret, {"role": "emperor"}), 400)
    assert ask("delete", path, manage_key.secret).status_code == 204
    owners = f"/v1/members/{acme.memberships.get(user=owner).pk}"
    refused(ask("delete", owners, manage_key.secret), 403)
    refused(ask("patch", owners, manage_key.secret, {"role": "readonly"}), 403)


def test_server_addresses_come_and_go(ask, manage_key, acme):
    base = f"/v1/organizations/{acme.pk}/server-addresses"
    made = told(ask("post", base, manage_key.secret, {"network": "192.0.2.0/24"}), 201)
    assert told(ask("get", f"{base}/{made['id']}", manage_key.secret)) == made
    assert told(ask("get", base, manage_key.secret)) == [made]
    assert "network" in refused(ask("post", base, manage_key.secret, {"network": "10.1"}), 400)
    refused(ask("post", base, manage_key.secret, {"network": "192.0.2.0/24"}), 400)
    assert ask("delete", f"{base}/{made['id']}", manage_key.secret).status_code == 204
    assert told(ask("get", base, manage_key.secret)) == []


def test_who_reads_the_trail_is_remembered_once_an_hour(ask, manage_key, read_only_key, acme):
    services.create_scope(actor=manage_key, organization=acme, code="orders:read")
    reads = acme.audit_events.filter(action="audit.read")
    refused(ask("get", "/v1/audit-events?door=window", manage_key.secret), 400)
    refused(ask("get", "/v1/audit-events", read_only_key.secret), 403)
    assert not reads.exists()
    number = told(ask("get", "/v1/audit-events", manage_key.secret))[0]["id"]
    told(ask("get", f"/v1/audit-events/{number}", manage_key.secret))
    event = reads.get()
    assert (event.actor_key, event.door) == (manage_key, "api")


def test_the_audit_trail_tells_who_did_what_from_where(ask, manage_key, body):
    made = told(ask("post", KEYS, manage_key.secret, body), 201)
    query = f"action=apikey.issued&object_type=apikey&object_id={made['id']}&door=api"
    (row,) = told(ask("get", f"/v1/audit-events?{query}", manage_key.secret))
    assert (row["actor_key_id"], row["address"]) == (manage_key.pk, "127.0.0.1")
    assert row["changes"]["scopes"] == ["READ"]
    assert told(ask("get", f"/v1/audit-events/{row['id']}", manage_key.secret)) == row
    since = timezone.now() + timedelta(hours=1)
    later = told(
        ask("get", f"/v1/audit-events?since={since:%Y-%m-%dT%H:%M:%SZ}", manage_key.secret)
    )
    assert later == []
    for name, value in (("since", "noon"), ("actor_key_id", "x"), ("actor_key_id", "9" * 30),
                        ("door", "window"), ("object_id", "%00")):  # fmt: skip
        answer = ask("get", f"/v1/audit-events?{name}={value}", manage_key.secret)
        assert set(refused(answer, 400)) == {name}
