"""Keys over i3D.net's wire, byte by byte."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from keys import policy, services
from keys.models import APIKey, AuditEvent, KeySecret
from tests.api.i3d.wire import FIELDS, FORBIDDEN, IN_2033, KEYS, NOT_FOUND, wrong

# Replies


def test_a_new_key_comes_in_an_array_with_its_secret_once(create, call, listed):
    """T40: what creation returns is accepted, and nothing returns it again."""
    row = create(note="Match server", category=2)
    assert set(row) == FIELDS
    assert re.fullmatch(r"i3d_[0-9A-Za-z]{47}", row["key"])
    assert call("get", KEYS, row["key"]).status_code == 200
    shown = next(each for each in listed() if each["id"] == row["id"])
    assert shown["key"] == f"{row['key'][:7]}...{row['key'][-3:]}"


def test_fields_are_of_the_vendors_types(create):
    row = create(note="n", assignOdpServerIps=1, expiresAt=IN_2033, category=3)
    assert {name: row[name] for name in FIELDS - {"id", "key"}} == {
        "category": 3,
        "note": "n",
        "assignOdpServerIps": 1,
        "used": 0,
        "expiresAt": IN_2033,
    }
    assert type(row["assignOdpServerIps"]) is int


def test_used_counts_what_was_accepted(create, call, listed):
    row = create(category=3)
    for _ in range(3):
        call("get", KEYS, row["key"])
    call("post", KEYS, row["key"], {})  # refused, but by a good key
    assert next(each for each in listed() if each["id"] == row["id"])["used"] == 4


def test_no_reply_holds_a_secret_or_a_digest(create, call, change, manage_key):
    """T6, T21."""
    row = create(note="n")
    replies = [
        call("get", KEYS, manage_key.secret),
        call("put", f"{KEYS}/{row['id']}", manage_key.secret, {"note": "m"}),
        call("get", KEYS, row["key"]),
        call("delete", f"{KEYS}/{row['id']}", manage_key.secret),
        call("delete", f"{KEYS}/{row['id']}", manage_key.secret),
    ]
    hidden = [row["key"], manage_key.secret]
    hidden += KeySecret.objects.values_list("digest", flat=True)
    for response in replies:
        assert not any(each in response.content.decode() for each in hidden)
    assert replies[3].content == b""
    assert "Content-Type" not in replies[3]


@pytest.mark.parametrize("path", [KEYS, f"{KEYS}/", f"/i3d{KEYS}", f"/i3d{KEYS}/"])
def test_every_spelling_of_the_path_answers_without_a_redirect(path, call, manage_key):
    assert call("get", path, manage_key.secret).status_code == 200
    assert call("post", path, manage_key.secret, {"note": "n"}).status_code == 200


# Create


def test_what_only_we_write_is_ignored_not_refused(create):
    row = create(id=0, key="chosen", used=99, category=3, assignOdpServerIps=0)
    assert row["id"] > 0
    assert row["key"].startswith("i3d_")
    assert row["used"] == 0


@pytest.mark.parametrize(
    ("note", "name"),
    [
        (None, "i3D key"),
        ("", "i3D key"),
        ("  \n ", "i3D key"),
        ("Match server", "Match server"),
        ("Match server\nof Rotterdam", "Match server"),
        ("\n  Second line  \nthird", "Second line"),
        ("x" * 500, "x" * 200),
    ],
)
def test_the_first_line_of_a_note_names_the_key(note, name, create):
    row = create(note=note)
    key = APIKey.objects.get(pk=row["id"])
    assert (key.name, key.description) == (name, note or "")
    assert row["note"] == (note or None)


def test_a_key_is_born_in_this_dialect_of_its_maker(key, call, developer):
    (row,) = call("post", KEYS, key.secret, {"note": "n"}).json()
    made = APIKey.objects.get(pk=row["id"])
    assert (made.dialect, made.owner, made.organization) == ("i3d", developer, key.organization)
    event = AuditEvent.objects.filter(action="apikey.issued").latest("pk")
    assert (event.actor_key, event.door, event.object_id) == (key, "api", str(made.pk))
    assert row["key"] not in str(event.changes)


BAD = [
    ({"category": "3"}, "category"),
    ({"category": True}, "category"),
    ({"category": None}, "category"),
    ({"category": 3.0}, "category"),
    ({"category": [3]}, "category"),
    ({"note": 5}, "note"),
    ({"note": True}, "note"),
    ({"note": ["n"]}, "note"),
    ({"note": {"n": 1}}, "note"),
    ({"note": "x" * 501}, "note"),
    ({"note": "NUL \x00"}, "note"),
    ({"assignOdpServerIps": 2}, "assignOdpServerIps"),
    ({"assignOdpServerIps": -1}, "assignOdpServerIps"),
    ({"assignOdpServerIps": True}, "assignOdpServerIps"),
    ({"assignOdpServerIps": "1"}, "assignOdpServerIps"),
    ({"assignOdpServerIps": 1.0}, "assignOdpServerIps"),
    ({"assignOdpServerIps": None}, "assignOdpServerIps"),
    ({"expiresAt": 0}, "expiresAt"),
    ({"expiresAt": 1}, "expiresAt"),
    ({"expiresAt": -1}, "expiresAt"),
    ({"expiresAt": True}, "expiresAt"),
    ({"expiresAt": "2033-05-18"}, "expiresAt"),
    ({"expiresAt": "2000000000"}, "expiresAt"),
    ({"expiresAt": 2_000_000_000.5}, "expiresAt"),
    ({"expiresAt": 2_000_000_000_000}, "expiresAt"),
    ({"expiresAt": 10**18}, "expiresAt"),
    ({"expiresAt": -(10**18)}, "expiresAt"),
    ({"expiresAt": 10**300}, "expiresAt"),
]


@pytest.mark.parametrize(("body", "name"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused_by_the_name_of_its_field(body, name, call, manage_key, create):
    row = create(note="before", expiresAt=IN_2033)
    state = (APIKey.objects.count(), AuditEvent.objects.count())
    assert list(wrong(call("post", KEYS, manage_key.secret, body))) == [name]
    assert list(wrong(call("put", f"{KEYS}/{row['id']}", manage_key.secret, body))) == [name]
    assert (APIKey.objects.count(), AuditEvent.objects.count()) == state


def test_everything_wrong_is_told_at_once(call, manage_key):
    body = {"category": 99, "note": 5, "assignOdpServerIps": 7, "expiresAt": "soon"}
    assert set(wrong(call("post", KEYS, manage_key.secret, body))) == set(body)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"[{}]", b'"x"', b"7"])
def test_what_is_no_object_makes_no_key(body, call, manage_key):
    assert wrong(call("post", KEYS, manage_key.secret, body)) == {}
    assert wrong(call("put", f"{KEYS}/{manage_key.pk}", manage_key.secret, body)) == {}
    assert APIKey.objects.count() == 1


@pytest.mark.parametrize("field", ["user", "owner", "owner_id", "userId", "organization_id"])
def test_nobody_makes_a_key_for_somebody_else(field, call, key, stranger, other, acme):
    """T1: naming an owner in the body gives a key to nobody but the caller."""
    body = {field: other.pk if "organization" in field else stranger.pk, "category": 3}
    assert call("post", KEYS, None, body).json() == FORBIDDEN
    assert call("post", KEYS, "i3d_unknown", body).json() == FORBIDDEN
    assert APIKey.objects.count() == 1
    (row,) = call("post", KEYS, key.secret, body).json()
    made = APIKey.objects.get(pk=row["id"])
    assert (made.owner, made.organization) == (key.owner, acme)


def test_assign_odp_server_ips_lets_the_pool_in(acme, owner, create, call, change):
    row = create(category=3, assignOdpServerIps=1)
    assert call("get", KEYS, row["key"]).json() == FORBIDDEN  # the pool is empty
    services.add_server_address(actor=owner, organization=acme, network="127.0.0.0/8")
    assert call("get", KEYS, row["key"]).status_code == 200
    services.remove_server_address(actor=owner, server_address=acme.server_addresses.get())
    assert call("get", KEYS, row["key"]).status_code == 403
    change(row["id"], assignOdpServerIps=0)
    assert call("get", KEYS, row["key"]).status_code == 200


def test_a_key_ends_at_its_second(create, call):
    with time_machine.travel(datetime(2033, 5, 18, 3, 33, 19, tzinfo=UTC), tick=False) as clock:
        row = create(expiresAt=IN_2033)
        assert call("get", KEYS, row["key"]).status_code == 200
        clock.shift(timedelta(seconds=1))
        assert call("get", KEYS, row["key"]).json() == FORBIDDEN


# Update


def test_what_a_put_leaves_out_stays(create, change):
    row = create(note="n", category=2, assignOdpServerIps=1, expiresAt=IN_2033)
    masked = {**row, "key": f"{row['key'][:7]}...{row['key'][-3:]}"}
    assert change(row["id"]) == masked
    assert change(row["id"], note="m") == {**masked, "note": "m"}
    assert change(row["id"], category=3) == {**masked, "note": "m", "category": 3}


def test_null_clears_the_note_and_the_expiry(create, change):
    row = create(note="n", expiresAt=IN_2033)
    changed = change(row["id"], note=None, expiresAt=None)
    assert changed["note"] is changed["expiresAt"] is None
    key = APIKey.objects.get(pk=row["id"])
    assert (key.description, key.name, key.expires_at) == ("", "i3D key", None)


def test_a_name_given_elsewhere_stays_when_the_note_changes(key, change):
    change(key.pk, note="Changed")
    key.refresh_from_db()
    assert (key.name, key.description) == ("Backend", "Changed")


def test_a_key_sent_back_as_it_was_read_does_not_change(acme, listed, change, manage_key):
    """Clients must send every required field: that must not cost a key its scopes or its end."""
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    key = services.issue_key(
        actor=policy.OPERATOR,
        organization=acme,
        name="Odd",
        scopes=["READ", "CREATE"],
        expires_at=expires_at,
    )
    row = next(each for each in listed() if each["id"] == key.pk)
    assert row["category"] == 0
    with time_machine.travel(expires_at + timedelta(days=1)):
        events = AuditEvent.objects.count()
        assert change(key.pk, **row) == row
        assert AuditEvent.objects.count() == events
        change(key.pk, **{**row, "note": "Found"})
    key.refresh_from_db()
    assert (key.description, key.expires_at) == ("Found", expires_at)
    assert sorted(key.scope_codes) == ["CREATE", "READ"]


def test_a_boolean_is_no_integer_even_where_nothing_changes(create, call, manage_key):
    row = create(assignOdpServerIps=1)
    body = {"assignOdpServerIps": True}
    assert wrong(call("put", f"{KEYS}/{row['id']}", manage_key.secret, body))


def test_an_update_changes_neither_secret_nor_id_nor_owner(key, change, call):
    """T37."""
    before = (key.pk, key.hash, key.owner, key.created_at, key.current_secret.digest)
    change(key.pk, id=999, key="chosen", used=7, note="n")
    fresh = APIKey.objects.get(pk=key.pk)
    assert before == (
        fresh.pk, fresh.hash, fresh.owner, fresh.created_at, fresh.current_secret.digest
    )  # fmt: skip
    assert call("get", KEYS, key.secret).status_code == 200


def test_no_key_widens_itself_or_a_sibling(key, read_only_key, manage_key, call):
    """T3."""
    for actor, target in [
        (key, key), (key, read_only_key), (read_only_key, read_only_key), (manage_key, manage_key)
    ]:  # fmt: skip
        body = {"category": 1, "assignOdpServerIps": 1}
        assert call("put", f"{KEYS}/{target.pk}", actor.secret, body).status_code == 403
    assert not APIKey.objects.exclude(role=None).exists()


def test_who_may_not_update_is_refused_and_who_may_not_see_finds_nothing(
    key, read_only_key, strangers_key, call
):
    path = f"{KEYS}/{key.pk}"
    assert call("put", path, read_only_key.secret, {"note": "n"}).status_code == 403
    assert call("delete", path, read_only_key.secret).status_code == 403
    assert call("put", path, strangers_key.secret, {"note": "n"}).json() == NOT_FOUND
    assert call("delete", path, strangers_key.secret).json() == NOT_FOUND
    assert APIKey.objects.live().filter(pk=key.pk, description="").exists()


# Delete


def test_a_deleted_key_is_refused_and_gone(create, call, manage_key):
    row = create(category=2)
    path = f"{KEYS}/{row['id']}"
    response = call("delete", path, manage_key.secret)
    assert (response.status_code, response.content) == (204, b"")
    assert call("get", KEYS, row["key"]).json() == FORBIDDEN
    for method in ("put", "delete"):
        assert call(method, path, manage_key.secret, {}).json() == NOT_FOUND


@pytest.mark.parametrize("method", ["put", "delete"])
def test_other_organizations_keys_are_as_missing_ones(method, call, manage_key, strangers_key):
    """T10: whatever form an id has."""
    ids = [
        strangers_key.pk, strangers_key.identifier, strangers_key.hash, strangers_key.name,
        strangers_key.slug, 0, 10**17, 10**40, "-1", "1.0", "x", "%00", "%F0%9F%92%A5", "1e3",
        f"{strangers_key.pk}/whitelist/1", f"{strangers_key.pk}/whitelist/{10**40}",
    ]  # fmt: skip
    for each in ids:
        response = call(method, f"{KEYS}/{each}", manage_key.secret, {})
        assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert APIKey.objects.live().count() == 2


def test_one_key_has_no_page_of_its_own(call, manage_key):
    response = call("get", f"{KEYS}/{manage_key.pk}", manage_key.secret)
    assert (response.status_code, response["Allow"]) == (405, "PUT, DELETE")
