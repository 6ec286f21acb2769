"""Credentials and allowed addresses over i3D.net's wire, byte by byte."""

import pytest

from keys import policy, services
from keys.models import AllowedIP, APIKey, AuditEvent
from tests.api.i3d.wire import ENTRY, FORBIDDEN, KEYS, NOT_FOUND, wrong

# Credentials


@pytest.mark.parametrize("header", ["PRIVATE-TOKEN", "X-API-Key", "Authorization", "private-token"])
def test_however_a_key_is_presented_it_may_the_same(header, ask, read_only_key):
    """T19, T32: one authenticator decides for every header."""
    value = f"Bearer {read_only_key.secret}" if header == "Authorization" else read_only_key.secret
    headers = {header: value}
    assert ask("get", KEYS, headers=headers).status_code == 200
    assert ask("post", KEYS, body={"category": 3}, headers=headers).status_code == 403
    assert APIKey.objects.count() == 1


@pytest.mark.parametrize("how", ["disabled", "revoked", "suspended", "gone", "elsewhere"])
def test_a_key_that_is_no_good_is_refused_in_the_same_words(how, call, key, acme, developer):
    match how:
        case "disabled":
            services.disable_key(actor=policy.OPERATOR, key=key)
        case "revoked":
            services.revoke_key(actor=policy.OPERATOR, key=key)
        case "suspended":
            services.suspend_organization(actor=policy.OPERATOR, organization=acme)
        case "gone":
            membership = developer.memberships.get()
            services.remove_member(actor=policy.OPERATOR, membership=membership)
        case "elsewhere":
            services.update_key(actor=policy.OPERATOR, key=key, allowed_ips=["192.0.2.1"])
    response = call("get", KEYS, key.secret)
    assert (response.status_code, response.json()) == (403, FORBIDDEN)


def test_a_key_in_the_url_or_a_password_is_none(ask, key):
    assert ask("get", f"{KEYS}?PRIVATE-TOKEN={key.secret}").status_code == 403
    assert ask("get", KEYS, headers={"Authorization": f"Basic {key.secret}"}).status_code == 403


# The whitelist


@pytest.fixture
def allow(whitelist):
    """Add an entry and return it as the reply shows it."""

    def allow(**body):
        response = whitelist("post", body)
        assert response.status_code == 200, response.content
        (entry,) = response.json()
        assert set(entry) == ENTRY
        return entry

    return allow


@pytest.mark.parametrize(
    ("body", "start", "end", "cidr"),
    [
        ({"ipRange": "10.0.0.0/24"}, "10.0.0.0", "10.0.0.255", "10.0.0.0/24"),
        ({"ipRange": "192.0.2.7"}, "192.0.2.7", "192.0.2.7", "192.0.2.7/32"),
        ({"ipStart": "192.0.2.7"}, "192.0.2.7", "192.0.2.7", "192.0.2.7/32"),
        ({"ipStart": "192.0.2.7", "ipEnd": ""}, "192.0.2.7", "192.0.2.7", "192.0.2.7/32"),
        (
            {"ipStart": "10.0.0.0", "ipEnd": "10.0.0.255", "ipRange": None},
            "10.0.0.0", "10.0.0.255", "10.0.0.0/24",
        ),
        (
            {"ipStart": "10.0.0.0", "ipEnd": "10.0.0.255", "ipRange": "10.0.0.0/24"},
            "10.0.0.0", "10.0.0.255", "10.0.0.0/24",
        ),
        (
            {"ipStart": "2001:db8::", "ipEnd": "2001:db8::ffff"},
            "2001:db8::", "2001:db8::ffff", "2001:db8::/112",
        ),
        ({"ipStart": "::ffff:10.1.2.3"}, "10.1.2.3", "10.1.2.3", "10.1.2.3/32"),
        ({"ipStart": "::", "ipEnd": f"{'ffff:' * 7}ffff"}, "::", f"{'ffff:' * 7}ffff", "::/0"),
    ],
)  # fmt: skip
def test_an_address_is_told_by_its_ends_or_as_a_range(body, start, end, cidr, allow):
    entry = allow(**body)
    assert (entry["ipStart"], entry["ipEnd"], entry["ipRange"]) == (start, end, cidr)
    assert (entry["comments"], entry["active"]) == (None, 1)


@pytest.mark.parametrize(
    ("body", "name", "words"),
    [
        ({}, "ipRange", "Give an ipRange"),
        ({"ipRange": None, "ipStart": None, "ipEnd": None}, "ipRange", "Give an ipRange"),
        ({"ipEnd": "10.0.0.1"}, "ipStart", "first address"),
        ({"ipRange": "10.0.0.1/24"}, "ipRange", "did you mean 10.0.0.0/24"),
        ({"ipRange": "010.1.2.3"}, "ipRange", "octal"),
        ({"ipRange": "fe80::1%eth0"}, "ipRange", "zone"),
        ({"ipRange": "10.1"}, "ipRange", "not an IP address"),
        ({"ipRange": "10.0.0.1:80"}, "ipRange", "not an IP address"),
        ({"ipRange": "１０.0.0.1"}, "ipRange", "not an IP address"),
        ({"ipRange": "x" * 5000}, "ipRange", "not an IP address"),
        ({"ipRange": "10.0.0.0/24\x00"}, "ipRange", ""),
        ({"ipRange": 167772161}, "ipRange", "string"),
        ({"ipRange": ["10.0.0.1"]}, "ipRange", "string"),
        ({"ipStart": "10.0.0.0/24"}, "ipStart", "give one address"),
        ({"ipStart": "0x7f.1"}, "ipStart", "not an IP address"),
        ({"ipStart": "10.0.0.1", "ipEnd": "nowhere"}, "ipEnd", "not an IP address"),
        ({"ipStart": "10.0.0.9", "ipEnd": "10.0.0.1"}, "ipEnd", "No range goes from"),
        ({"ipStart": "10.0.0.1", "ipEnd": "::1"}, "ipEnd", "No range goes from"),
        ({"ipStart": "10.0.0.0", "ipEnd": "10.0.0.4"}, "ipEnd", "10.0.0.0/30, 10.0.0.4/32."),
        ({"ipStart": "10.0.0.0", "ipRange": "10.0.0.0/24"}, "ipRange", "not the range from"),
        ({"ipRange": "10.0.0.1", "active": 2}, "active", "0 or 1"),
        ({"ipRange": "10.0.0.1", "active": True}, "active", "integer"),
        ({"ipRange": "10.0.0.1", "active": None}, "active", "null"),
        ({"ipRange": "10.0.0.1", "comments": 5}, "comments", "string"),
        ({"ipRange": "10.0.0.1", "comments": "x" * 201}, "comments", "200"),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_a_bad_entry_is_refused_by_the_name_of_its_field(body, name, words, whitelist):
    """T28: what other software might read as another address is none here."""
    problems = wrong(whitelist("post", body))
    assert list(problems) == [name]
    assert words in problems[name]
    assert not AllowedIP.objects.exists()


def test_an_entry_twice_is_told_without_a_property(allow, whitelist):
    allow(ipRange="10.0.0.1")
    response = whitelist("post", {"ipStart": "::ffff:10.0.0.1"})
    assert wrong(response) == {}
    assert response.json()["errorMessage"] == "This address is listed already."


def test_entries_are_changed_in_place(allow, whitelist):
    entry = allow(ipRange="10.0.0.0/24", comments="Rotterdam")
    path = f"/{entry['id']}"

    def put(**body):
        response = whitelist("put", body, path)
        assert response.status_code == 200, response.content
        (changed,) = response.json()
        assert changed["id"] == entry["id"]
        return changed

    assert put()["ipRange"] == "10.0.0.0/24"
    assert put(active=0)["active"] == 0
    assert put(comments=None)["comments"] is None
    assert put(**{**entry, "ipRange": "10.0.1.0/24"})["ipEnd"] == "10.0.1.255"
    now = put(ipRange="10.0.0.0/24", active=1)
    assert put(**{**now, "ipEnd": "10.0.0.127"})["ipRange"] == "10.0.0.0/25"
    assert put(ipStart="10.0.0.0", ipEnd=None)["ipRange"] == "10.0.0.0/32"
    assert [row["id"] for row in whitelist("get").json()] == [entry["id"]]


def test_a_whitelist_is_enforced_while_it_is_active(allow, whitelist, call, key):
    entry = allow(ipRange="192.0.2.0/24")
    assert call("get", KEYS, key.secret).json() == FORBIDDEN
    local = allow(ipStart="127.0.0.1")
    assert call("get", KEYS, key.secret).status_code == 200
    whitelist("put", {"active": 0}, f"/{local['id']}")
    assert call("get", KEYS, key.secret).status_code == 403
    for each in (entry, local):
        response = whitelist("delete", below=f"/{each['id']}")
        assert (response.status_code, response.content) == (204, b"")
    assert call("get", KEYS, key.secret).status_code == 200
    assert whitelist("delete", below=f"/{local['id']}").json() == NOT_FOUND


def test_the_whitelist_is_what_other_doors_changed(key, whitelist):
    services.update_key(
        actor=policy.OPERATOR, key=key, allowed_ips=["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    )
    rows = whitelist("get").json()
    assert [row["ipStart"] for row in rows] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    services.update_key(actor=policy.OPERATOR, key=key, allowed_ips=["10.0.0.3", "10.0.0.1"])
    assert [row["id"] for row in whitelist("get").json()] == [rows[0]["id"], rows[2]["id"]]
    page = whitelist("get", **{"RANGED-DATA": "start=1,results=1"}).json()
    assert page == [rows[2]]


def test_addresses_to_refuse_are_none_of_a_whitelist(key, whitelist, owner):
    row = services.add_allowed_ip(actor=owner, key=key, network="192.0.2.1", deny=True)
    assert whitelist("get").json() == []
    for method in ("put", "delete"):
        assert whitelist(method, {}, f"/{row.pk}").json() == NOT_FOUND


def test_an_entry_of_another_key_is_not_there(key, manage_key, read_only_key, owner, call, allow):
    row = services.add_allowed_ip(actor=owner, key=read_only_key, network="192.0.2.1")
    for method in ("put", "delete"):
        response = call(method, f"{KEYS}/{key.pk}/whitelist/{row.pk}", manage_key.secret, {})
        assert response.json() == NOT_FOUND
    assert AllowedIP.objects.filter(pk=row.pk).exists()


def test_who_may_not_change_a_key_may_not_change_its_whitelist(
    read_only_key, strangers_key, whitelist, allow, key
):
    """T10; and no key loosens its own list."""
    entry = allow(ipRange="0.0.0.0/0")
    below = f"/{entry['id']}"
    assert whitelist("get", secret=read_only_key.secret).status_code == 200
    for secret, status in [
        (read_only_key.secret, 403), (key.secret, 403), (strangers_key.secret, 404), (None, 403)
    ]:  # fmt: skip
        added = whitelist("post", {"ipRange": "192.0.2.1"}, secret=secret)
        changed = whitelist("put", {"active": 0}, below, secret=secret)
        removed = whitelist("delete", below=below, secret=secret)
        assert {reply.status_code for reply in (added, changed, removed)} == {status}
    assert whitelist("get", secret=strangers_key.secret).json() == NOT_FOUND
    assert AllowedIP.objects.get().active


def test_changes_of_a_whitelist_are_in_the_audit_trail(allow, whitelist, key):
    entry = allow(ipRange="10.0.0.0/24")
    whitelist("put", {"active": 0}, f"/{entry['id']}")
    whitelist("delete", below=f"/{entry['id']}")
    events = AuditEvent.objects.filter(action="apikey.updated", object_id=str(key.pk))
    assert [event.changes["allowed_ips"] for event in events.order_by("pk")] == [
        [[], ["10.0.0.0/24"]],
        [["10.0.0.0/24"], ["10.0.0.0/24 (inactive)"]],
        [["10.0.0.0/24 (inactive)"], []],
    ]
