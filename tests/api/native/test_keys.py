"""Keys over the native dialect: as the seed has them, and what the core offers beyond."""

import json

import pytest
from django.utils import timezone

from keys import policy, secrets, services
from keys.models import AuditEvent, Role
from tests.api.native.wire import FUTURE, KEYS, NOT_FOUND, ROW, path_of, refused, told

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
