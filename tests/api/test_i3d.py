"""i3D.net's wire, byte by byte, with Django's client."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from keys import policy, services
from keys.api.dialects import i3d
from keys.models import AllowedIP, APIKey, AuditEvent, KeySecret, Role

KEYS = "/v3/account/apiKey"
FIELDS = {"id", "category", "key", "note", "assignOdpServerIps", "used", "expiresAt"}
ENTRY = {"id", "ipStart", "ipEnd", "ipRange", "comments", "active", "updatedAt"}
IN_2033 = 2_000_000_000
NOT_FOUND = {"errorCode": 10001, "errorMessage": "Entity not found", "errors": []}
FORBIDDEN = {"errorCode": 10403, "errorMessage": "Invalid credentials", "errors": []}


@pytest.fixture
def call(ask):
    """Ask with a secret as PRIVATE-TOKEN: `call("post", path, secret, body)`."""

    def call(method, path, secret=None, body=None, **headers):
        if secret is not None:
            headers["PRIVATE-TOKEN"] = secret
        return ask(method, path, None, body, headers=headers)

    return call


@pytest.fixture
def create(call, manage_key):
    """Create a key over the wire and return it as the reply shows it."""

    def create(**body):
        response = call("post", KEYS, manage_key.secret, body)
        assert response.status_code == 200, response.content
        (row,) = response.json()
        return row

    return create


@pytest.fixture
def change(call, manage_key):
    """Change a key over the wire and return it as the reply shows it."""

    def change(key_id, **body):
        response = call("put", f"{KEYS}/{key_id}", manage_key.secret, body)
        assert response.status_code == 200, response.content
        (row,) = response.json()
        return row

    return change


@pytest.fixture
def listed(call, manage_key):
    """List keys, by default all, and return the reply's rows."""

    def listed(secret=manage_key.secret, **headers):
        response = call("get", KEYS, secret, **headers)
        assert response.status_code == 200, response.content
        return response.json()

    return listed


def wrong(response) -> dict[str, str]:
    """Return {property: message} of a 422, having checked its envelope."""
    body = response.json()
    assert response.status_code == 422, response.content
    assert set(body) == {"errorCode", "errorMessage", "errors"}
    assert body["errorCode"] == 10422
    assert body["errorMessage"]
    return {each["property"]: each["message"] for each in body["errors"]}


def custom_role(organization, number, codes=(), name="ops") -> Role:
    """Return a role of the organization's own, with scopes of its own."""
    scopes = [
        services.create_scope(actor=policy.OPERATOR, organization=organization, code=code)
        for code in codes
    ]
    return services.create_role(
        actor=policy.OPERATOR, organization=organization, name=name, number=number, scopes=scopes
    )


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


# Lists


@pytest.fixture
def eight(acme, manage_key):
    """Return the ids of eight keys, the manage key's among them, ascending."""
    made = [
        services.issue_key(actor=policy.OPERATOR, organization=acme, name=f"Key {number}")
        for number in range(7)
    ]
    return [manage_key.pk, *(key.pk for key in made)]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("start=0,results=25", slice(0, 8)),
        ("start=2,results=3", slice(2, 5)),
        ("results=3,start=2", slice(2, 5)),
        (" start = 2 , results = 3 ", slice(2, 5)),
        ("results=7", slice(0, 7)),
        ("start=5", slice(5, 8)),
        ("start=8,results=5", slice(0, 0)),
        ("start=999999999999999,results=999999999999999", slice(0, 0)),
        ("results=0", slice(0, 0)),
        ("", slice(0, 8)),
        ("nonsense", slice(0, 8)),
        ("start=x,results=2", slice(0, 2)),
        ("start=-1,results=2", slice(0, 2)),
        ("start=1.5", slice(0, 8)),
        ("start=３", slice(0, 8)),
        ("restart=3", slice(0, 8)),
        ("start=" + "9" * 5000, slice(0, 8)),
    ],
)
@pytest.mark.wide
def test_ranged_data_selects_by_position(header, expected, eight, listed):
    header = header.encode().decode("latin-1")
    assert [row["id"] for row in listed(**{"RANGED-DATA": header})] == eight[expected]


def test_without_ranged_data_there_are_25(acme, manage_key, listed):
    for number in range(30):
        services.issue_key(actor=policy.OPERATOR, organization=acme, name=f"Key {number}")
    rows = listed()
    assert len(rows) == 25
    assert rows == sorted(rows, key=lambda row: row["id"])
    assert len(listed(**{"RANGED-DATA": "start=25"})) == 6


def test_no_more_are_given_than_one_reply_should_hold(eight, listed, monkeypatch):
    monkeypatch.setattr(i3d, "MAX_RESULTS", 4)
    assert len(listed(**{"RANGED-DATA": "results=1000000"})) == 4


def test_a_list_takes_as_many_queries_whatever_its_length(acme, manage_key, listed, journal):
    def issue_keys(count):
        for number in range(count):
            services.issue_key(
                actor=policy.OPERATOR,
                organization=acme,
                name=f"Key {number}",
                scopes=["READ", "CREATE"] if number % 2 else [],
                role=None if number % 2 else Role.objects.get(number=2),
                allowed_ips=["192.0.2.1"],
            )

    issue_keys(2)
    listed()
    with CaptureQueriesContext(connection) as few:
        assert len(listed()) == 3
    issue_keys(20)
    with CaptureQueriesContext(connection) as many:
        assert len(listed()) == 23
    assert len(many) == len(few) <= 20


def test_everybody_sees_what_is_theirs(key, read_only_key, manage_key, strangers_key, listed):
    own = [key.pk, read_only_key.pk]
    assert [row["id"] for row in listed(key.secret)] == own
    assert [row["id"] for row in listed(read_only_key.secret)] == own
    assert [row["id"] for row in listed()] == [*own, manage_key.pk]
    assert [row["id"] for row in listed(strangers_key.secret)] == [strangers_key.pk]


def test_revoked_keys_are_gone_and_disabled_ones_are_not(key, manage_key, listed):
    services.disable_key(actor=policy.OPERATOR, key=key)
    assert [row["id"] for row in listed()] == [key.pk, manage_key.pk]
    services.revoke_key(actor=policy.OPERATOR, key=key)
    assert [row["id"] for row in listed()] == [manage_key.pk]


# Categories


@pytest.mark.parametrize("body", [{}, {"category": 0}, {"category": 3}])
def test_a_key_without_a_category_is_read_only(body, create):
    row = create(**body)
    assert row["category"] == 3
    assert APIKey.objects.get(pk=row["id"]).role.name == "readonly"


def test_a_category_is_the_number_of_a_role(acme, manage_key, create, change):
    role = custom_role(acme, 40, ["orders:read"])
    services.update_key(
        actor=policy.OPERATOR,
        key=manage_key,
        scopes=["READ", "CREATE", "UPDATE", "DELETE", "MANAGE", "orders:read"],
    )
    row = create(category=40)
    assert row["category"] == 40
    assert APIKey.objects.get(pk=row["id"]).role == role
    assert change(row["id"], category=2)["category"] == 2
    assert change(row["id"], category=0)["category"] == 3


def test_an_unknown_category_is_refused_with_the_valid_ones(acme, other, call, manage_key):
    custom_role(acme, 40, ["orders:read"])
    custom_role(other, 41, ["orders:read"])
    for number in (41, 999, -1, 10**30):  # another organization's number is nobody's here
        problems = wrong(call("post", KEYS, manage_key.secret, {"category": number}))
        assert problems == {
            "category": "No role has this number; choose one of "
            "1 (admin), 2 (developer), 3 (readonly), 40 (ops)."
        }


@pytest.mark.parametrize(
    ("scopes", "category"),
    [
        (["READ"], 3),
        (["READ", "CREATE", "UPDATE", "DELETE"], 2),
        (["orders:read"], 44),
        (["READ", "CREATE"], 0),
        ([], 0),
    ],
)
def test_listed_scopes_are_shown_as_a_category(acme, manage_key, listed, scopes, category):
    custom_role(acme, 50, ["orders:read"], "fifty")
    custom_role(acme, 44, name="forty-four").scopes.set(Role.objects.get(number=50).scopes.all())
    key = services.issue_key(actor=policy.OPERATOR, organization=acme, name="Lists", scopes=scopes)
    assert next(row for row in listed() if row["id"] == key.pk)["category"] == category


def test_nobody_gives_a_category_beyond_their_own(key, read_only_key, call):
    keys = APIKey.objects.count()
    response = call("post", KEYS, key.secret, {"category": 1})
    assert response.status_code == 403
    assert "MANAGE" in response.json()["errorMessage"]
    assert call("post", KEYS, read_only_key.secret, {"category": 3}).status_code == 403
    assert APIKey.objects.count() == keys
    assert call("post", KEYS, key.secret, {"category": 2}).status_code == 200


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
def whitelist(call, key, manage_key):
    """Ask about the whitelist of `key`: `whitelist("post", body)`."""

    def whitelist(method, body=None, below="", secret=manage_key.secret, **headers):
        return call(method, f"{KEYS}/{key.pk}/whitelist{below}", secret, body, **headers)

    return whitelist


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
