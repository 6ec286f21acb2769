"""The native dialect's wire: keys as the seed has them, and what the core offers beyond."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from keys import policy, secrets, services
from keys.models import (
    AllowedIP,
    APIKey,
    AuditEvent,
    KeySecret,
    KeyUsage,
    Membership,
    Organization,
    Role,
    Scope,
    ServerAddress,
    User,
    Workspace,
)
from keys.roles import Permission

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


@pytest.fixture
def body(acme) -> dict:
    """What the seed's create asks for, and nothing else."""
    return {"key_name": "Backend API Key", "key_scope": ["READ"], "organization_id": acme.pk}


@pytest.fixture
def owners_key(acme, owner) -> APIKey:
    """A key of the owner's own with every built-in scope."""
    return services.issue_key(
        actor=owner,
        organization=acme,
        name="Owner's",
        scopes=["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"],
    )


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


# The seed's four operations


def test_creating_takes_the_seeds_three_members_and_shows_the_key_once(ask, key, body, acme):
    """T40: the reply to a create has a key that verifies; nothing shows it again."""
    made = told(ask("post", KEYS, key.secret, body), 201)
    assert set(made) == ROW
    assert made["key_name"] == "Backend API Key"
    assert made["key_scope"] == ["READ"]
    assert made["organization_id"] == acme.pk
    assert secrets.find_format(made["api_key"]).prefix == "kh_"
    assert services.authenticate_key(secret=made["api_key"], address=None).is_valid
    again = told(ask("get", f"{KEYS}/{made['id']}", key.secret))
    assert again["api_key"] == secrets.label(made["api_key"])
    rows = told(ask("get", KEYS, key.secret))
    assert made["api_key"] not in json.dumps(rows)


def test_the_seeds_own_sample_is_understood(ask, manage_key, acme):
    sample = {
        "key_name": "Backend API Key",
        "key_scope": "READ,CREATE,UPDATE,DELETE,MANAGE",
        "organization_id": str(acme.pk),
    }
    made = told(ask("post", KEYS, manage_key.secret, sample), 201)
    assert sorted(made["key_scope"]) == ["CREATE", "DELETE", "MANAGE", "READ", "UPDATE"]
    assert made["organization_id"] == acme.pk


def test_listing_answers_a_bare_array_newest_first(ask, key, read_only_key):
    rows = told(ask("get", KEYS, key.secret))
    assert [row["key_name"] for row in rows] == ["Dashboard", "Backend"]
    assert set(rows[0]) == ROW


def test_reading_one_key_tells_its_settings(ask, key, developer):
    row = told(ask("get", path_of(key), key.secret))
    assert row["api_key"] == key.label
    assert row["owner"] == {
        "id": developer.pk,
        "email": "developer@acme.example",
        "name": "developer@acme.example",
    }
    assert row["status"] == "active"
    assert row["allowed_ips"] == []


def test_deleting_revokes_and_answers_204_without_body(ask, key, read_only_key):
    response = ask("delete", path_of(read_only_key), key.secret)
    assert response.status_code == 204
    assert response.content == b""
    assert "Content-Type" not in response.headers
    read_only_key.refresh_from_db()
    assert read_only_key.revoked_at is not None
    assert ask("get", path_of(read_only_key), key.secret).json() == NOT_FOUND
    assert ask("delete", path_of(read_only_key), key.secret).status_code == 404
    assert ask("get", KEYS, read_only_key.secret).status_code == 401


@pytest.mark.parametrize("path", [KEYS, f"{KEYS}/", f"/native{KEYS}", f"/native{KEYS}/"])
def test_every_path_works_with_and_without_slash_and_under_the_prefix(ask, key, body, path):
    assert ask("post", path, key.secret, body).status_code == 201
    assert ask("get", path, key.secret).status_code == 200


# Credentials


@pytest.mark.parametrize(
    "headers",
    [
        lambda secret: {"Authorization": f"Bearer {secret}"},
        lambda secret: {"Authorization": f"bearer  {secret}"},
        lambda secret: {"X-API-Key": secret},
        lambda secret: {"PRIVATE-TOKEN": secret},
    ],
    ids=["bearer", "lower case", "x-api-key", "private-token"],
)
def test_a_key_decides_the_same_however_it_is_presented(ask, read_only_key, body, headers):
    """T19, T32."""
    presented = headers(read_only_key.secret)
    assert ask("get", KEYS, headers=presented).status_code == 200
    assert ask("post", KEYS, body=body, headers=presented).status_code == 403
    assert ask("get", KEYS, headers=headers(read_only_key.secret + "x")).status_code == 401


def test_without_a_credential_the_answer_is_401_and_says_how(ask, acme):
    response = ask("get", KEYS)
    assert refused(response, 401) == {}
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_session_is_no_credential_here(client, owner, acme):
    client.force_login(owner)
    assert client.get(KEYS).status_code == 401


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key, owner: services.disable_key(actor=owner, key=key),
        lambda key, owner: services.revoke_key(actor=owner, key=key),
        lambda key, owner: Membership.objects.filter(user=key.owner).delete(),
        lambda key, owner: APIKey.objects.filter(pk=key.pk).update(expires_at=timezone.now()),
        lambda key, owner: services.add_allowed_ip(actor=owner, key=key, network="10.0.0.1"),
        lambda key, owner: services.suspend_organization(
            actor=policy.OPERATOR, organization=key.organization
        ),
    ],
    ids=["disabled", "revoked", "owner gone", "expired", "elsewhere", "suspended"],
)
def test_a_key_that_is_not_good_any_more_is_refused_at_its_next_use(ask, key, owner, spoil):
    """T22: each with the same words, which tell nothing to whoever found the key."""
    assert ask("get", KEYS, key.secret).status_code == 200
    spoil(key, owner)
    answer = ask("get", KEYS, key.secret)
    assert refused(answer, 401) == {}
    assert answer.json()["message"] == "This API key is not valid."


# Who may: T1, T6, T8, T10, T11, T20


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


@pytest.fixture
def strangers_things(strangers_key, other, stranger) -> APIKey:
    """The stranger's key, in an organization that has one of everything."""
    services.add_allowed_ip(actor=stranger, key=strangers_key, network="192.0.2.7")
    services.add_server_address(actor=stranger, organization=other, network="192.0.2.8")
    services.create_scope(actor=stranger, organization=other, code="orders:read")
    services.create_role(actor=stranger, organization=other, name="clerk")
    return strangers_key


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


# Beyond the seed


def test_everything_a_key_can_have_is_said_in_one_create(ask, manage_key, body, acme):
    services.create_scope(actor=policy.OPERATOR, organization=acme, code="orders:read")
    workspace = services.create_workspace(actor=policy.OPERATOR, organization=acme, name="Lab")
    made = told(
        ask(
            "post",
            KEYS,
            manage_key.secret,
            {
                **body,
                "slug": "ci",
                "description": "For the tests.",
                "workspace_id": str(workspace.pk),
                "not_before": "2098-01-01T00:00:00+02:00",
                "expires_at": FUTURE,
                "limit": 12.5,
                "limit_reset": "monthly",
                "include_byok_in_limit": True,
                "assign_server_ips": True,
                "allowed_ips": ["192.0.2.0/24", {"network": "192.0.2.7", "deny": True}],
                "disabled": True,
                "external_user": "u-1",
            },
        ),
        201,
    )
    assert made["slug"] == "ci"
    assert made["workspace_id"] == str(workspace.pk)
    assert made["not_before"] == "2097-12-31T22:00:00Z"
    assert made["expires_at"] == FUTURE
    assert (made["limit"], made["limit_remaining"], made["limit_reset"]) == (12.5, 12.5, "monthly")
    assert made["limit_resets_at"] > timezone.now().isoformat()
    assert [(row["network"], row["deny"]) for row in made["allowed_ips"]] == [
        ("192.0.2.0/24", False),
        ("192.0.2.7", True),
    ]
    assert made["status"] == "disabled"
    assert made["usage"] == {"requests": 0, "refused": 0, "cost": 0, "byok_cost": 0}


def test_a_patch_changes_what_it_names_and_nothing_else(ask, key, read_only_key):
    """T37, T38: neither secret, id, hash, creation nor owner."""
    before = told(ask("get", path_of(read_only_key), key.secret))
    after = told(ask("patch", path_of(read_only_key), key.secret, {"description": "New"}))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"description", "updated_at"}


def test_a_key_can_be_sent_back_as_it_was_read(ask, owners_key, acme, owner):
    """Read-only members are ignored, the same owner and organization are no change."""
    key = services.issue_key(
        actor=owner,
        organization=acme,
        name="Deploy",
        role=Role.objects.get(organization=None, name="developer"),
        allowed_ips=["127.0.0.1", "10.0.0.0/8"],
    )
    services.change_allowed_ip(
        actor=owner, allowed_ip=key.allowed_ips.last(), active=False, comment="old office"
    )
    before = told(ask("get", path_of(key), owners_key.secret))
    events = AuditEvent.objects.count()
    after = told(ask("patch", path_of(key), owners_key.secret, before))
    assert {name for name in before if before[name] != after[name]} <= {"updated_at"}
    assert AuditEvent.objects.count() == events


def test_owner_and_organization_of_a_key_never_change(ask, owners_key, key, other, owner):
    """T38."""
    refused(ask("patch", path_of(key), owners_key.secret, {"organization_id": other.pk}), 403)
    errors = refused(ask("patch", path_of(key), owners_key.secret, {"owner_id": owner.pk}), 400)
    assert set(errors) == {"owner_id"}
    key.refresh_from_db()
    assert key.owner != owner


def test_a_role_replaces_scopes_and_scopes_a_role(ask, key, read_only_key):
    row = told(ask("patch", path_of(read_only_key), key.secret, {"role": "readonly"}))
    assert (row["role"], row["key_scope"]) == ("readonly", ["READ"])
    row = told(ask("patch", path_of(read_only_key), key.secret, {"key_scope": "CREATE"}))
    assert (row["role"], row["key_scope"]) == (None, ["CREATE"])
    both = {"role": "readonly", "key_scope": ["CREATE"]}
    assert "key_scope" in refused(ask("patch", path_of(read_only_key), key.secret, both), 400)


def test_rotation_shows_the_new_key_once_and_keeps_the_old_for_the_overlap(ask, key, read_only_key):
    """T33, T34."""
    old = read_only_key.secret
    row = told(ask("post", path_of(read_only_key, "/rotate"), key.secret, {"overlap": 3600}))
    assert row["id"] == read_only_key.pk
    assert row["api_key"] not in (old, read_only_key.label)
    for secret in (old, row["api_key"]):
        assert ask("get", KEYS, secret).status_code == 200
    rows = told(ask("get", path_of(read_only_key, "/secrets"), key.secret))
    assert [bool(each["retires_at"]) for each in rows] == [False, True]
    ended = ask("delete", path_of(read_only_key, f"/secrets/{rows[1]['id']}"), key.secret)
    assert ended.status_code == 204
    assert ask("get", KEYS, old).status_code == 401
    assert ask("get", KEYS, row["api_key"]).status_code == 200
    current = ask("delete", path_of(read_only_key, f"/secrets/{rows[0]['id']}"), key.secret)
    assert refused(current, 400) == {}


def test_rotation_without_overlap_ends_the_old_key_at_once(ask, key, read_only_key):
    told(ask("post", path_of(read_only_key, "/rotate"), key.secret))
    assert ask("get", KEYS, read_only_key.secret).status_code == 401


def test_rotation_can_end_the_old_key_once_it_is_quiet(ask, key, read_only_key):
    old = read_only_key.secret
    told(ask("post", path_of(read_only_key, "/rotate"), key.secret, {"quiet_hours": 12}))
    assert ask("get", KEYS, old).status_code == 200
    replaced = told(ask("get", path_of(read_only_key, "/secrets"), key.secret))[1]
    assert replaced["quiet_hours"] == 12
    assert replaced["last_used_at"] < replaced["ends_at"] < replaced["retires_at"]


@pytest.mark.parametrize("hours", [0, 721, 1.5, "soon"])
def test_odd_quiet_hours_are_refused_and_change_nothing(ask, key, read_only_key, hours):
    answer = ask("post", path_of(read_only_key, "/rotate"), key.secret, {"quiet_hours": hours})
    assert "quiet_hours" in refused(answer, 400)
    assert ask("get", KEYS, read_only_key.secret).status_code == 200


@pytest.mark.parametrize("overlap", [-1, "soon", 10**30, 31 * 86400, True, [60]])
def test_a_bad_overlap_is_refused_and_changes_nothing(ask, key, read_only_key, overlap):
    answer = ask("post", path_of(read_only_key, "/rotate"), key.secret, {"overlap": overlap})
    assert "overlap" in refused(answer, 400)
    assert ask("get", KEYS, read_only_key.secret).status_code == 200


def test_a_key_is_switched_off_and_on(ask, key, read_only_key):
    row = told(ask("post", path_of(read_only_key, "/disable"), key.secret))
    assert (row["status"], row["disabled"]) == ("disabled", True)
    assert ask("get", KEYS, read_only_key.secret).status_code == 401
    row = told(ask("post", path_of(read_only_key, "/enable"), key.secret, {}))
    assert row["status"] == "active"
    assert ask("get", KEYS, read_only_key.secret).status_code == 200
    refused(ask("post", path_of(read_only_key, "/enable"), key.secret, {"until": "noon"}), 400)


def test_what_staff_locked_its_owner_neither_enables_nor_loosens(ask, key, read_only_key, acme):
    """T9."""
    services.add_allowed_ip(actor=policy.OPERATOR, key=read_only_key, network="192.0.2.1")
    services.disable_key(actor=policy.OPERATOR, key=read_only_key)
    services.lock_key(actor=policy.OPERATOR, key=read_only_key)
    entry = read_only_key.allowed_ips.get()
    for method, rest, body in (
        ("post", "/enable", {}),
        ("patch", "", {"disabled": False}),
        ("patch", "", {"allowed_ips": []}),
        ("patch", "", {"expires_at": FUTURE}),
        ("delete", f"/allowed-ips/{entry.pk}", None),
        ("patch", f"/allowed-ips/{entry.pk}", {"active": False}),
        ("post", "/rotate", {}),
    ):
        refused(ask(method, path_of(read_only_key, rest), key.secret, body), 403)
    assert told(ask("get", path_of(read_only_key), key.secret))["status"] == "locked"


def test_allowed_ips_are_kept_one_by_one(ask, key, read_only_key):
    base = path_of(read_only_key, "/allowed-ips")
    row = told(ask("post", base, key.secret, {"network": "::ffff:10.0.0.0/104"}), 201)
    assert (row["network"], row["deny"], row["active"]) == ("10.0.0.0/8", False, True)
    twice = ask("post", base, key.secret, {"network": "10.0.0.0/8"})
    assert refused(twice, 400) is not None
    told(ask("patch", f"{base}/{row['id']}", key.secret, {"comment": "office", "active": False}))
    assert told(ask("get", base, key.secret))[0]["comment"] == "office"
    assert told(ask("get", f"{base}/{row['id']}", key.secret))["active"] is False
    assert ask("delete", f"{base}/{row['id']}", key.secret).status_code == 204
    assert told(ask("get", base, key.secret)) == []


# Bad input

BAD_MEMBERS = [
    ("key_name", ""), ("key_name", None), ("key_name", 5), ("key_name", ["a"]),
    ("key_name", "x" * 201), ("key_name", "a\x00b"), ("key_name", {"a": 1}),
    ("key_scope", ["FLY"]), ("key_scope", ["read"]), ("key_scope", "READ,,CREATE"),
    ("key_scope", ""), ("key_scope", None), ("key_scope", 5), ("key_scope", [5]),
    ("key_scope", ["READ", None]), ("key_scope", {"READ": True}), ("key_scope", ["a\x00b"]),
    ("key_scope", ["*"]),
    ("organization_id", None), ("organization_id", "acme"), ("organization_id", True),
    ("organization_id", 1.5), ("organization_id", ["1"]), ("organization_id", "١"),
    ("slug", "a\x00b"), ("slug", ""), ("slug", "x" * 64), ("slug", None),
    ("description", "x" * 501), ("description", 7), ("description", "a\x00"),
    ("disabled", "yes"), ("disabled", 1), ("disabled", None),
    ("role", "emperor"), ("role", 1), ("role", {"name": "admin"}), ("role", "a\x00b"),
    ("workspace_id", "default"), ("workspace_id", 7),
    ("workspace_id", "00000000-0000-4000-8000-000000000000"), ("workspace_id", None),
    ("owner_id", "me"), ("owner_id", True), ("owner_id", 1.0),
    ("not_before", "tomorrow"), ("not_before", 5),
    ("expires_at", "2020-01-01T00:00:00Z"), ("expires_at", "2099-01-01T00:00:00"),
    ("expires_at", "2099-02-30T00:00:00Z"), ("expires_at", 4102444800), ("expires_at", "never"),
    ("expires_at", "0001-01-01T00:00:00+23:59"), ("expires_at", "٢٠٩٩-01-01T00:00:00Z"),
    ("limit", -1), ("limit", "5"), ("limit", True), ("limit", 1e300), ("limit", 10**40),
    ("limit", 0.0000001), ("limit", []),
    ("limit_reset", "hourly"), ("limit_reset", 1),
    ("include_byok_in_limit", "false"), ("assign_server_ips", 0),
    ("allowed_ips", "10.0.0.1"), ("allowed_ips", {"network": "10.0.0.1"}), ("allowed_ips", None),
    ("external_user", 5), ("external_user", "x" * 201),
]  # fmt: skip


@pytest.mark.parametrize("member", sorted({member for member, _value in BAD_MEMBERS}))
@pytest.mark.wide
def test_a_bad_value_is_refused_by_the_name_of_its_member(ask, manage_key, body, member):
    """No 500, nothing written, at creation and at change alike."""
    target = services.issue_key(actor=policy.OPERATOR, organization=manage_key.organization,
                                name="Target", scopes=["READ"])  # fmt: skip
    keys, events = APIKey.objects.count(), AuditEvent.objects.count()
    for value in [value for name, value in BAD_MEMBERS if name == member]:
        created = ask("post", KEYS, manage_key.secret, {**body, member: value})
        errors = refused(created, 400)
        assert member in {name.split(".")[0] for name in errors}
        assert created.json()["message"].startswith(member)
        changed = ask("patch", path_of(target), manage_key.secret, {member: value})
        refused(changed, 400)
        assert (APIKey.objects.count(), AuditEvent.objects.count()) == (keys, events)


@pytest.mark.parametrize(
    "network",
    [
        "10.0.0.1/8", "010.1.2.3", "10.1", "0x7f000001", "2130706433", "10.0.0.1:80", "[::1]",
        "fe80::1%eth0", "１０.0.0.1", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", "", " ",
        "localhost", "10.0.0.1, 10.0.0.2", "a\x00b", 5, None, True, {"net": "10.0.0.1"},
        {"network": "10.0.0.1", "deny": "no"}, {"network": "10.0.0.1", "comment": "x" * 201}, {},
    ],
)  # fmt: skip
def test_a_bad_address_is_refused_by_its_place_in_the_list(ask, manage_key, body, network):
    """T28."""
    keys = APIKey.objects.count()
    listed = {**body, "allowed_ips": ["192.0.2.1", network]}
    errors = refused(ask("post", KEYS, manage_key.secret, listed), 400)
    assert all(name.startswith("allowed_ips.1") for name in errors), errors
    assert errors
    assert APIKey.objects.count() == keys
    if not isinstance(network, dict):
        base = path_of(manage_key, "/allowed-ips")
        owner = services.issue_key(actor=policy.OPERATOR, organization=manage_key.organization,
                                   name="Second", scopes=["READ", "MANAGE"])  # fmt: skip
        assert "network" in refused(ask("post", base, owner.secret, {"network": network}), 400)


def test_a_host_bit_is_answered_with_the_likely_fix(ask, key, body):
    answer = ask("post", KEYS, key.secret, {**body, "allowed_ips": ["10.0.0.1/8"]})
    assert "10.0.0.0/8" in answer.json()["message"]


@pytest.mark.parametrize("missing", ["key_name", "key_scope", "organization_id"])
def test_the_seeds_required_members_are_required(ask, key, body, missing):
    del body[missing]
    assert refused(ask("post", KEYS, key.secret, body), 400) == {
        missing: ["This field is required."]
    }


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"{", 400), (b"", 400), (b"[]", 400), (b"null", 400), (b'"text"', 400), (b"5", 400),
        (b'{"key_name": NaN}', 400), (b"\xff\xfe", 400), (b'{"key_name": "\\ud800"}', 400),
        (b"[" * 50000, 400), (b'{"limit": ' + b"9" * 6000 + b"}", 400), (b"x" * 70000, 413),
        (b"x" * 10_000_000, 413),
    ],
    ids=["half", "none", "array", "null", "text", "number", "NaN", "not UTF-8", "surrogate", "deep",
         "huge number", "70 kB", "10 MB"],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(ask, key, sent, status):
    keys = APIKey.objects.count()
    refused(ask("post", KEYS, key.secret, sent), status)
    assert APIKey.objects.count() == keys


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/xml", "", "nonsense", "application/json2",
    ],
)  # fmt: skip
def test_another_content_type_is_415(ask, key, body, content_type):
    refused(ask("post", KEYS, key.secret, body, content_type=content_type), 415)


@pytest.mark.parametrize("charset", ["utf-16", "zlib", "rot13", "nonsense", "idna"])
def test_json_is_utf8_whatever_its_content_type_says(ask, key, body, charset):
    sent = ask("post", KEYS, key.secret, body, content_type=f"application/json; charset={charset}")
    assert sent.status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [("put", KEYS), ("delete", KEYS), ("patch", KEYS), ("options", KEYS), ("trace", KEYS),
     ("put", f"{KEYS}/1"), ("post", f"{KEYS}/1"), ("get", f"{KEYS}/1/rotate"),
     ("post", "/v1/audit-events"), ("delete", "/v1/organizations/1"), ("post", "/v1/members")],
)  # fmt: skip
def test_a_method_that_is_not_there_is_405(ask, key, method, path):
    answer = ask(method, path, key.secret)
    refused(answer, 405)
    assert "GET" in answer["Allow"] or "POST" in answer["Allow"]
    assert ask(method, path).status_code == 401


@pytest.mark.parametrize("path", ["/v1/", "/v1/nothing", "/v1/api-keys/x/y", "/native/v1/nothing"])
def test_a_path_that_is_nothing_answers_in_the_envelope(ask, key, path):
    for secret in (None, key.secret):
        answer = ask("get", path, secret)
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


def test_an_error_of_ours_is_a_500_in_the_envelope(ask, key, monkeypatch, client):
    def fail(*args, **kwargs):
        raise RuntimeError("boom kh_secret")

    monkeypatch.setattr("keys.api.dialects.native.keys.with_lists", fail)
    client.raise_request_exception = False
    answer = ask("get", KEYS, key.secret)
    assert refused(answer, 500) == {}
    assert "boom" not in answer.content.decode()


def test_a_wrong_host_is_400_in_the_envelope(ask, key):
    refused(ask("get", KEYS, key.secret, headers={"Host": "evil.example"}), 400)


# Lists


@pytest.fixture
def many(acme, owner) -> list[APIKey]:
    """Seven more keys of the organization, with and without an expiry."""
    return [
        services.issue_key(
            actor=owner,
            organization=acme,
            name=f"Worker {number % 3}",
            owner=None,
            scopes=["READ"],
            expires_at=datetime(2090 + number, 1, 1, tzinfo=UTC) if number % 2 else None,
        )
        for number in range(7)
    ]


def walk(ask, path: str, secret: str) -> list[dict]:
    """Return all rows of a list, following its Link headers."""
    rows = []
    while path:
        response = ask("get", path, secret)
        rows += told(response)
        link = re.fullmatch(r'<http://testserver(.+)>; rel="next"', response.get("Link", ""))
        path = link[1] if link else None
    return rows


@pytest.mark.parametrize(
    "ordering",
    ["", "created_at", "-created_at", "key_name", "-key_name", "expires_at", "-expires_at",
     "last_used_at"],
)  # fmt: skip
@pytest.mark.wide
def test_pages_together_are_the_whole_list_in_order(ask, manage_key, many, ordering):
    told(ask("get", KEYS, many[2].secret))
    whole = walk(ask, f"{KEYS}?ordering={ordering}", manage_key.secret)
    assert len(whole) == 8
    for limit in (1, 3, 8):
        pages = walk(ask, f"{KEYS}?ordering={ordering}&limit={limit}", manage_key.secret)
        assert [row["id"] for row in pages] == [row["id"] for row in whole]
    if ordering == "key_name":
        assert [row["key_name"] for row in whole] == sorted(row["key_name"] for row in whole)


def test_a_row_revoked_between_two_pages_shifts_nothing(ask, manage_key, many, owner):
    first = ask("get", f"{KEYS}?limit=3", manage_key.secret)
    last = told(first)[-1]
    services.revoke_key(actor=owner, key=APIKey.objects.get(pk=last["id"]))
    rest = walk(ask, f"{KEYS}?limit=3&after={last['id']}", manage_key.secret)
    assert [row["id"] for row in rest] == [key.pk for key in reversed(many[:4])] + [manage_key.pk]


def test_no_list_is_unbounded(ask, manage_key, many, monkeypatch):
    monkeypatch.setattr("keys.api.dialects.native.dialect.DEFAULT_PAGE_SIZE", 2)
    assert len(told(ask("get", KEYS, manage_key.secret))) == 2


LISTS = ["/v1/api-keys", "/v1/organizations", "/v1/workspaces", "/v1/scopes", "/v1/roles",
         "/v1/members", "/v1/audit-events"]  # fmt: skip


BAD_PARAMETERS = [
    ("limit", "0"), ("limit", "1001"), ("limit", "ten"), ("limit", ""), ("limit", "-1"),
    ("limit", "9" * 5000), ("after", "nobody"), ("after", ""), ("after", "999999"),
    ("after", "9" * 400), ("after", "%00"), ("colour", "red"),
]  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
def test_a_bad_parameter_of_a_list_is_refused_by_name(ask, manage_key, path):
    for name, value in BAD_PARAMETERS:
        answer = ask("get", f"{path}?{name}={value}", manage_key.secret)
        assert set(refused(answer, 400)) == {name}, value


def test_the_place_of_a_page_cannot_be_a_row_that_is_not_visible(ask, read_only_key, strangers_key):
    answer = ask("get", f"{KEYS}?after={strangers_key.pk}", read_only_key.secret)
    assert "after" in refused(answer, 400)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("search=BACK", ["Backend"]), ("search=nothing", []), ("key_name=Dashboard", ["Dashboard"]),
        ("key_scope=MANAGE", ["Management"]), ("status=active", ["Backend", "Management"]),
        ("status=disabled", ["Dashboard"]), ("owner=organization", ["Management"]),
        ("owner=mine", ["Management"]), ("unused=false", ["Management"]),
        ("unused=true", ["Backend", "Dashboard"]), ("unrestricted=false", ["Backend"]),
        ("dialect=native&search=dashboard", ["Dashboard"]), ("role=admin", []),
        ("workspace_id=00000000-0000-4000-8000-000000000000", []),
    ],
)  # fmt: skip
def test_a_list_is_narrowed_under_the_wires_names(
    ask, manage_key, key, read_only_key, owner, query, names
):
    services.disable_key(actor=owner, key=read_only_key)
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.1")
    rows = told(ask("get", f"{KEYS}?ordering=key_name&{query}", manage_key.secret))
    assert [row["key_name"] for row in rows] == names


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "revoked"), ("status", "stauts"), ("owner", "somebody"), ("dialect", "latin"),
     ("workspace_id", "default"), ("unused", "perhaps"), ("expiring", "1"), ("ordering", "name"),
     ("ordering", "-secret"), ("search", "x" * 300), ("search", "a%00b"), ("key_scope", "%00"),
     ("scope", "READ")],
)  # fmt: skip
def test_a_bad_filter_value_is_refused_by_name(ask, manage_key, name, value):
    assert set(refused(ask("get", f"{KEYS}?{name}={value}", manage_key.secret), 400)) == {name}


# Organizations and what they have


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


# Secrets, addresses, cost


def test_no_reply_but_the_first_holds_a_secret(ask, manage_key, key, strangers_things, body, acme):
    """T21: every GET of the dialect, scanned for secrets, digests and peppers."""
    secrets_made = [manage_key.secret, key.secret]
    rotated = told(ask("post", path_of(key, "/rotate"), _own(key), {"overlap": 60}))
    secrets_made += [
        rotated["api_key"],
        told(ask("post", KEYS, manage_key.secret, body), 201)["api_key"],
    ]
    digests = [row.digest for each in APIKey.objects.all() for row in each.secrets.all()]
    paths = [*LISTS, path_of(key), path_of(key, "/secrets"), path_of(key, "/allowed-ips"),
             f"/v1/organizations/{acme.pk}/server-addresses"]  # fmt: skip
    for path in paths:
        text = ask("get", path, manage_key.secret).content.decode()
        assert not any(secret in text for secret in [*secrets_made, *digests]), path
        assert not any(secrets.find_format(word) for word in re.findall(r"[\w-]+", text)), path
        assert "pepper" not in text
        assert "password" not in text


def _own(key: APIKey) -> str:
    # A key may not rotate itself, so another one of the same owner does.
    return services.issue_key(
        actor=key.owner, organization=key.organization, name="Sibling", scopes=key.scope_codes
    ).secret


def test_replies_are_not_stored_on_the_way(ask, key):
    assert ask("get", KEYS, key.secret)["Cache-Control"] == "no-store"
    assert ask("get", "/v1/nothing")["Cache-Control"] == "no-store"


def test_a_client_cannot_say_where_it_comes_from(ask, key, owner, settings):
    """T24: the default believes no header; a trusted proxy's last foreign hop counts."""
    services.add_allowed_ip(actor=owner, key=key, network="203.0.113.9")
    claims = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "True-Client-IP": "203.0.113.9",
    }
    assert ask("get", KEYS, key.secret, headers=claims).status_code == 401
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    assert ask("get", KEYS, key.secret, headers=claims).status_code == 200
    for forged in ("203.0.113.9, 198.51.100.1", "203.0.113.9, nonsense", "nonsense"):
        spoofed = {"X-Forwarded-For": forged}
        assert ask("get", KEYS, key.secret, headers=spoofed).status_code == 401
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert ask("get", KEYS, key.secret, headers=claims).status_code == 401


def test_management_calls_are_limited_per_caller(ask, key, read_only_key, settings):
    settings.API_RATE = "3/minute"
    answers = [ask("get", KEYS, key.secret) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert refused(answers[-1], 429) == {}
    assert int(answers[-1]["Retry-After"]) > 0
    assert ask("get", KEYS, read_only_key.secret).status_code == 200


def _populate(acme: Organization, number: int) -> None:
    """Put that many more rows of everything straight into the database."""
    names = [f"thing {number} {index}" for index in range(number)]
    people = User.objects.bulk_create(
        User(email=f"{name.replace(' ', '.')}@acme.example") for name in names
    )
    developer = Role.objects.get(organization=None, name="developer")
    Membership.objects.bulk_create(
        Membership(organization=acme, user=person, role=developer) for person in people
    )
    Workspace.objects.bulk_create(Workspace(organization=acme, name=name) for name in names)
    Scope.objects.bulk_create(
        Scope(organization=acme, code=f"{name.replace(' ', '-')}:read") for name in names
    )
    first = 10 + acme.roles.count()
    roles = Role.objects.bulk_create(
        Role(organization=acme, name=name, number=first + index) for index, name in enumerate(names)
    )
    ServerAddress.objects.bulk_create(
        ServerAddress(organization=acme, network=f"10.{number}.0.{index}")
        for index in range(number)
    )
    AuditEvent.objects.bulk_create(
        AuditEvent(organization=acme, action="x", actor_key_id=index, object_id=index)
        for index in range(number)
    )
    default = acme.workspaces.get(is_default=True)
    keys = APIKey.objects.bulk_create(
        APIKey(organization=acme, workspace=default, name=name, slug=name, owner=person, role=role)
        for name, person, role in zip(names, people, [*roles[::2], *[None] * number], strict=False)
    )
    KeyUsage.objects.bulk_create(KeyUsage(key=key) for key in keys)
    AllowedIP.objects.bulk_create(
        AllowedIP(key=key, network=network)
        for key in keys
        for network in ("192.0.2.1", "192.0.2.2")
    )
    KeySecret.objects.bulk_create(
        KeySecret(key=key, digest=key.hash, pepper_id=1, label="kh_abc...xyz") for key in keys
    )
    read = Scope.objects.get(code="READ")
    APIKey.scopes.through.objects.bulk_create(
        APIKey.scopes.through(apikey=key, scope=read) for key in keys if key.role is None
    )


@pytest.mark.usefixtures("at_one_moment")
def test_every_list_takes_the_same_queries_for_ten_rows_and_a_hundred(
    ask, manage_key, acme, django_assert_max_num_queries
):
    paths = [*LISTS, f"/v1/organizations/{acme.pk}/server-addresses"]
    _populate(acme, 10)
    ask("get", KEYS, manage_key.secret)  # the first use of an hour opens its bucket
    few = {}
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            told(ask("get", path, manage_key.secret))
        few[path] = len(queries)
    _populate(acme, 90)
    for path in paths:
        with django_assert_max_num_queries(few[path]):
            rows = told(ask("get", path, manage_key.secret))
        assert len(rows) == 1 if path == "/v1/organizations" else len(rows) > 90
    assert max(few.values()) <= 26, few


def test_amounts_are_exact_to_the_millionth(ask, manage_key, body):
    made = told(ask("post", KEYS, manage_key.secret, {**body, "limit": 0.000001}), 201)
    assert APIKey.objects.get(pk=made["id"]).limit == Decimal("0.000001")
    assert made["limit"] == 0.000001


@pytest.mark.parametrize(
    ("since", "status"),
    [("3814-09-03T15:49:45-21:22", 200), ("0001-01-01T00:00:00%2B23:00", 400)],
)
def test_a_moment_is_understood_in_any_zone(since, status, ask, manage_key):
    answer = ask("get", f"/v1/audit-events?since={since}", manage_key.secret)
    assert answer.status_code == status
