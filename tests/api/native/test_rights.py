"""What a caller of the native dialect may do, and to whose keys."""

import re

import pytest

from keys import policy, services
from keys.models import AllowedIP, APIKey, AuditEvent, Organization, ServerAddress
from keys.roles import Permission
from tests.api.native.wire import FUTURE, KEYS, NOT_FOUND, path_of, refused, told


@pytest.mark.parametrize("member", ["organization_id", "owner_id", "user", "owner", "workspaceID"])
def test_nobody_without_a_credential_creates_a_key(ask, body, owner, member):
    """T1: whatever the body says about whose key it is to be."""
    assert ask("post", KEYS, body={**body, member: owner.pk}).status_code == 401
    assert not APIKey.objects.exists()


def test_another_organization_is_refused_alike_whether_it_exists_or_not(
    ask, manage_key, body, other
):
    """T1."""
    before = APIKey.objects.count()
    theirs = ask("post", KEYS, manage_key.secret, {**body, "organization_id": other.pk})
    nobodys = ask("post", KEYS, manage_key.secret, {**body, "organization_id": 10**30})
    refused(theirs, 403)
    assert nobodys.status_code == 403
    assert theirs.json() == nobodys.json()
    assert ask("get", f"{KEYS}?organization_id=x", manage_key.secret).status_code == 400
    assert APIKey.objects.count() == before


def test_nobody_issues_a_key_in_somebody_elses_name(ask, owners_key, body, developer, stranger):
    """T1, T7: members, people of other organizations and nobody at all are refused alike."""
    before = APIKey.objects.count()
    replies = [
        ask("post", KEYS, owners_key.secret, {**body, "owner_id": person})
        for person in (developer.pk, stranger.pk, 10**9, 10**30)
    ]
    assert {reply.status_code for reply in replies} == {403}
    assert len({reply.content for reply in replies}) == 1
    assert APIKey.objects.count() == before


@pytest.mark.parametrize("member", ["user", "owner_email", "workspaceID", "creator", "is_staff"])
def test_a_member_that_is_not_known_is_refused_by_name(ask, manage_key, body, member):
    """T1: nothing is silently taken or dropped."""
    before = APIKey.objects.count()
    errors = refused(ask("post", KEYS, manage_key.secret, {**body, member: 1}), 400)
    assert errors == {member: ["Unknown field."]}
    assert APIKey.objects.count() == before


def test_a_manager_may_issue_for_the_organization_a_developer_may_not(
    ask, owners_key, key, body, owner
):
    made = told(ask("post", KEYS, owners_key.secret, {**body, "owner_id": None}), 201)
    assert made["owner"] is None
    refused(ask("post", KEYS, key.secret, {**body, "owner_id": None}), 403)
    own = told(ask("post", KEYS, owners_key.secret, {**body, "owner_id": owner.pk}), 201)
    assert own["owner_id"] == owner.pk


def test_nobody_gives_more_than_they_hold(ask, key, body):
    before = APIKey.objects.count()
    for grant in ({"key_scope": ["MANAGE"]}, {"key_scope": [], "role": "admin"}):
        answer = ask("post", KEYS, key.secret, {**body, **grant})
        refused(answer, 403)
        assert "MANAGE" in answer.json()["message"]
    assert APIKey.objects.count() == before


ODD_GRANTS = [
    None, [], "", "*", ["*"], ["READ", "READ"], ["read"], ["Manage"], [" MANAGE"], "READ, MANAGE",
    ["READ,MANAGE"], ["MANAGE\u200b"], ["ＭＡＮＡＧＥ"], [["MANAGE"]], {"MANAGE": True},
    ["orders:*"], ["orders:read"], ["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"], [0], [None],
    "READ",
]  # fmt: skip


@pytest.mark.parametrize("held", [["CREATE"], ["READ", "CREATE"], ["CREATE", "orders:read"]])
@pytest.mark.wide
def test_whatever_is_asked_for_a_new_key_holds_a_part_of_what_its_maker_holds(
    ask, acme, owner, body, held
):
    """T2: empty, missing, everything, twice, in other letters: a subset, or refused."""
    services.create_scope(actor=owner, organization=acme, code="orders:read")
    maker = services.issue_key(
        actor=owner, organization=acme, name="Maker", owner=None, scopes=held
    )
    asked = [{"key_scope": grant} for grant in ODD_GRANTS]
    asked += [{"role": role} for role in (None, "readonly", "developer", "admin")]
    asked += [{"role": "admin", "key_scope": grant} for grant in (None, [], ["READ"])]
    del body["key_scope"]
    for grant in asked:
        before = APIKey.objects.count()
        answer = ask("post", KEYS, maker.secret, {**body, **grant})
        if answer.status_code == 201:
            made = APIKey.objects.with_details().get(pk=answer.json()["id"])
            assert set(made.scope_codes) <= set(held), grant
            assert policy.held_scopes(made, acme) <= set(held)
        else:
            assert answer.status_code in (400, 403), grant
            assert APIKey.objects.count() == before


def test_a_key_does_not_widen_itself(ask, manage_key, read_only_key):
    """T3."""
    refused(ask("patch", path_of(manage_key), manage_key.secret, {"expires_at": FUTURE}), 403)
    refused(ask("patch", path_of(read_only_key), read_only_key.secret, {"key_scope": []}), 403)
    row = told(ask("patch", path_of(manage_key), manage_key.secret, {"key_name": "Renamed"}))
    assert row["key_name"] == "Renamed"


def test_keys_of_other_owners_are_not_there(ask, read_only_key, owners_key, manage_key):
    """T6: without MANAGE one sees the keys of the same owner."""
    names = [row["key_name"] for row in told(ask("get", KEYS, read_only_key.secret))]
    assert names == ["Dashboard"]
    assert ask("get", path_of(owners_key), read_only_key.secret).json() == NOT_FOUND
    everything = [row["key_name"] for row in told(ask("get", KEYS, manage_key.secret))]
    assert sorted(everything) == ["Dashboard", "Management", "Owner's"]


def foreign_paths(key: APIKey) -> list[tuple[str, str, dict | None]]:
    """Every operation on a key, its parts and its organization."""
    entry = AllowedIP.objects.get(key=key)
    organization = f"/v1/organizations/{key.organization_id}"
    server = ServerAddress.objects.get(organization=key.organization)
    return [
        ("get", path_of(key), None),
        ("patch", path_of(key), {"key_name": "Mine now"}),
        ("delete", path_of(key), None),
        ("post", path_of(key, "/rotate"), {}),
        ("post", path_of(key, "/disable"), {}),
        ("post", path_of(key, "/enable"), {}),
        ("get", path_of(key, "/allowed-ips"), None),
        ("post", path_of(key, "/allowed-ips"), {"network": "10.0.0.1"}),
        ("get", path_of(key, f"/allowed-ips/{entry.pk}"), None),
        ("patch", path_of(key, f"/allowed-ips/{entry.pk}"), {"active": False}),
        ("delete", path_of(key, f"/allowed-ips/{entry.pk}"), None),
        ("get", path_of(key, "/secrets"), None),
        ("delete", path_of(key, f"/secrets/{key.secrets.get().pk}"), None),
        ("get", organization, None),
        ("patch", organization, {"name": "Mine now"}),
        ("get", f"{organization}/server-addresses", None),
        ("post", f"{organization}/server-addresses", {"network": "10.0.0.1"}),
        ("get", f"{organization}/server-addresses/{server.pk}", None),
        ("delete", f"{organization}/server-addresses/{server.pk}", None),
        ("get", f"/v1/workspaces/{key.workspace_id}", None),
        ("patch", f"/v1/workspaces/{key.workspace_id}", {"name": "Mine now"}),
        ("delete", f"/v1/workspaces/{key.workspace_id}", None),
        *[
            (method, f"/v1/scopes/{key.organization.scopes.get().pk}", body)
            for method, body in (("get", None), ("patch", {"description": ""}), ("delete", None))
        ],
        *[
            (method, f"/v1/roles/{key.organization.roles.get().pk}", body)
            for method, body in (("get", None), ("patch", {"description": ""}), ("delete", None))
        ],
        *[
            (method, f"/v1/members/{key.organization.memberships.get().pk}", body)
            for method, body in (("get", None), ("patch", {"role": "admin"}), ("delete", None))
        ],
        ("get", f"/v1/audit-events/{key.organization.audit_events.first().pk}", None),
    ]


def test_another_organizations_things_are_like_missing_ones(ask, manage_key, strangers_things):
    """T10, T11, T20: the right action on the wrong object, by every method."""
    before = AuditEvent.objects.count()
    for method, path, body in foreign_paths(strangers_things):
        answer = ask(method, path, manage_key.secret, body)
        missing = re.sub(
            r"/[0-9a-f-]+(?=$|/allowed|/server|/secrets|/rotate|/dis|/en)", _absent, path
        )
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND), (method, path)
        absent = ask(method, missing, manage_key.secret, body)
        assert (absent.status_code, absent.content) == (404, answer.content), (method, missing)
    assert AuditEvent.objects.count() == before


def _absent(match: re.Match) -> str:
    is_uuid = len(match[0]) == 37
    return "/00000000-0000-4000-8000-000000000000" if is_uuid else "/9223372036854775806"


def test_other_ways_to_name_a_key_lead_nowhere(ask, manage_key, strangers_key):
    """T10: this dialect knows keys by number alone."""
    for name in (strangers_key.hash, strangers_key.identifier, strangers_key.slug, "9" * 30, "-1"):
        for method in ("get", "patch", "delete"):
            answer = ask(method, f"{KEYS}/{name}", manage_key.secret)
            assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


ACTIONS = [
    ("get", "", None, Permission.VIEW_APIKEY),
    ("patch", "", {"description": "changed"}, Permission.CHANGE_APIKEY),
    ("post", "/disable", {}, Permission.CHANGE_APIKEY),
    ("post", "/enable", {}, Permission.CHANGE_APIKEY),
    ("post", "/allowed-ips", {"network": "192.0.2.1"}, Permission.CHANGE_APIKEY),
    ("get", "/allowed-ips", None, Permission.VIEW_APIKEY),
    ("get", "/secrets", None, Permission.VIEW_APIKEY),
    ("post", "/rotate", {"overlap": 60}, Permission.ROTATE_APIKEY),
    ("delete", "", None, Permission.DELETE_APIKEY),
]


@pytest.mark.parametrize("holder", ["owner", "admin", "developer", "viewer", "organization"])
@pytest.mark.parametrize("target", ["owner", "developer", "organization", "stranger"])
@pytest.mark.wide
def test_the_wire_agrees_with_the_policy_cell_by_cell(
    ask, acme, owner, admin, developer, viewer, strangers_key, holder, target
):
    """T8: each credential × action × key; 404 when not visible, 403 when not permitted."""
    people = {"owner": owner, "admin": admin, "developer": developer, "viewer": viewer}
    actor = _key_of(acme, people.get(holder), owner)
    key = strangers_key if target == "stranger" else _key_of(acme, people.get(target), owner)
    for method, rest, body, permission in ACTIONS:
        visible = policy.visible(actor, APIKey.objects.filter(pk=key.pk)).exists()
        somewhere = policy.allows(actor, permission, acme)
        allowed = policy.allows(actor, permission, key)
        answer = ask(method, path_of(key, rest), actor.secret, body)
        if not somewhere:
            expected = {403}
        elif not visible:
            expected = {404}
        else:
            expected = {200, 201, 204} if allowed else {403}
        assert answer.status_code in expected, (method, rest, answer.content)


def _key_of(acme: Organization, person, owner) -> APIKey:
    if person is None:
        scopes = ["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"]
        return services.issue_key(
            actor=owner, organization=acme, name="Shared", owner=None, scopes=scopes
        )
    key = services.issue_key(actor=policy.OPERATOR, organization=acme, name="Own", owner=person)
    secret = key.secret
    role = acme.memberships.get(user=person).role
    services.update_key(actor=policy.OPERATOR, key=key, role=role)
    key = APIKey.objects.with_details().get(pk=key.pk)
    key.secret = secret
    return key
