"""XyraPanel's wire, byte by byte, with Django's client."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from keys import policy, services
from keys.models import APIKey, AuditEvent, KeySecret, Role
from tests.conftest import join, make_person

KEYS = "/api/account/api-keys"
ADMIN = "/api/admin/api-keys"
HOST = "http://testserver"
ROW = {"identifier", "description", "allowed_ips", "last_used_at", "created_at"}
ADMIN_ROW = {"id", "identifier", "memo", "lastUsedAt", "expiresAt", "createdAt"}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def call(ask):
    """Ask with a secret as x-api-key: `call("post", path, secret, body)`."""

    def call(method, path, secret=None, body=None, **headers):
        if secret is not None:
            headers["x-api-key"] = secret
        return ask(method, path, None, body, headers=headers)

    return call


@pytest.fixture
def create(call, manage_key):
    """Create a key over the wire and return the reply's body."""

    def create(secret=manage_key.secret, **body):
        response = call("post", KEYS, secret, body)
        assert response.status_code == 200, response.content
        return response.json()

    return create


@pytest.fixture
def listed(call, manage_key):
    """List keys and return the reply's body."""

    def listed(query="", secret=manage_key.secret):
        response = call("get", f"{KEYS}{query}", secret)
        assert response.status_code == 200, response.content
        return response.json()

    return listed


def error(path, status, title, message) -> dict:
    """Return an error as the panel's server words it."""
    return {
        "error": True,
        "url": HOST + path,
        "statusCode": status,
        "statusMessage": title,
        "message": message,
    }


def check(response, expected) -> None:
    """Hold an error against the expected one, to the letter and to the space."""
    assert response.status_code == expected["statusCode"], response.content
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-cache"
    assert response.content.decode() == json.dumps(expected, indent=2)


def invalid(path=KEYS, **problems) -> dict:
    """Return the error for a body with these problems, by field."""
    errors = [{"field": field, "message": message} for field, message in problems.items()]
    message = "Request body validation failed"
    return error(path, 400, "Validation Error", message) | {
        "data": {"message": message, "statusCode": 400, "data": {"errors": errors}}
    }


def not_found(path) -> dict:
    return error(path, 404, "Server Error", "API key not found")


def no_route(path) -> dict:
    sentence = f"Cannot find any path matching {path}."
    return error(path, 404, sentence, sentence)


# Replies


def test_a_new_key_is_told_with_its_secret_once(create, call, listed):
    """T40: what creation returns is accepted, and nothing returns it again."""
    body = create(memo="Development API Key", allowedIps=["127.0.0.1"])
    assert set(body) == {"data", "meta"}
    assert set(body["data"]) == ROW
    assert re.fullmatch(r"xyp_[0-9A-Za-z]{47}", body["meta"]["secret_token"])
    assert list(body["meta"]) == ["secret_token"]
    assert call("get", KEYS, body["meta"]["secret_token"]).status_code == 200
    shown = listed()["data"][0]
    assert {**shown, "last_used_at": None} == body["data"]
    assert body["meta"]["secret_token"] not in json.dumps(listed())


@pytest.mark.parametrize("body", [{}, {"memo": None, "allowedIps": None, "expiresAt": None}])
def test_what_is_left_out_or_null_is_nothing(body, create):
    row = create(**body)["data"]
    assert (row["description"], row["allowed_ips"], row["last_used_at"]) == (None, [], None)
    key = APIKey.objects.get(identifier=row["identifier"])
    assert (key.name, key.expires_at, key.dialect) == ("XyraPanel key", None, "xyra")


def test_instants_are_iso_with_milliseconds_and_z(create, listed):
    with time_machine.travel(datetime(2030, 1, 2, 3, 4, 5, 6789, tzinfo=UTC), tick=False):
        secret = create()["meta"]["secret_token"]
        row = listed(secret=secret)["data"][0]
    assert row["created_at"] == row["last_used_at"] == "2030-01-02T03:04:05.006Z"


@pytest.mark.parametrize("path", [KEYS, f"{KEYS}/", f"/xyra{KEYS}", f"/xyra{KEYS}/"])
def test_every_spelling_of_the_path_answers_without_a_redirect(path, call, manage_key):
    assert call("get", path, manage_key.secret).status_code == 200
    assert call("post", path, manage_key.secret, {"memo": "n"}).status_code == 200


def test_good_replies_are_neither_indented_nor_cached(call, manage_key):
    response = call("get", KEYS, manage_key.secret)
    assert b"\n" not in response.content
    assert response["Cache-Control"] == "no-store"


def test_no_reply_holds_a_secret_or_a_digest(create, call, manage_key):
    """T6, T21."""
    made = create(memo="n")
    path = f"{KEYS}/{made['data']['identifier']}"
    replies = [
        call("get", KEYS, manage_key.secret),
        call("get", ADMIN, manage_key.secret),
        call("get", KEYS, made["meta"]["secret_token"]),
        call("delete", path, manage_key.secret),
        call("delete", path, manage_key.secret),
    ]
    hidden = [made["meta"]["secret_token"], manage_key.secret]
    hidden += KeySecret.objects.values_list("digest", flat=True)
    for response in replies:
        assert not any(each in response.content.decode() for each in hidden)


# Lists


@pytest.fixture
def seven(acme, manage_key):
    """Return the identifiers of seven keys, the manage key's among them, newest first."""
    made = [
        services.issue_key(actor=policy.OPERATOR, organization=acme, name=f"Key {number}")
        for number in range(6)
    ]
    return [key.identifier for key in reversed([manage_key, *made])]


@pytest.mark.parametrize(
    ("query", "page", "limit"),
    [
        ("", 1, 50),
        ("?page=2&limit=3", 2, 3),
        ("?limit=3", 1, 3),
        ("?page=3&limit=3", 3, 3),
        ("?page=4&limit=3", 4, 3),
        ("?limit=100", 1, 100),
        ("?limit=101", 1, 50),
        ("?limit=500", 1, 50),
        ("?limit=0&page=0", 1, 50),
        ("?limit=-1&page=-1", 1, 50),
        ("?limit=x&page=2", 2, 50),
        ("?limit=2&page=x", 1, 2),
        ("?limit=2.5&page=1e1", 1, 50),
        ("?limit=&page=", 1, 50),
        ("?limit=%EF%BC%93", 1, 50),
        ("?page=999999999999", 999999999999, 50),
        ("?page=" + "9" * 5000, 1, 50),
        ("?page=%00", 1, 50),
        ("?unknown=1", 1, 50),
    ],
)
@pytest.mark.wide
def test_a_page_that_is_no_good_is_silently_the_default(query, page, limit, seven, listed):
    body = listed(query)
    assert body["pagination"] == {
        "page": page,
        "perPage": limit,
        "total": 7,
        "totalPages": -(-7 // limit),
    }
    start = (page - 1) * limit
    assert [row["identifier"] for row in body["data"]] == seven[start : start + limit]


def test_nothing_has_no_pages(call, acme, manage_key, developer):
    path = f"/api/admin/users/{developer.pk}/api-keys"
    assert call("get", path, manage_key.secret).json() == {
        "data": [],
        "pagination": {"page": 1, "perPage": 50, "total": 0, "totalPages": 0},
    }


@pytest.mark.parametrize("path", [f"{KEYS}?limit=100", ADMIN])
def test_a_list_takes_as_many_queries_whatever_its_length(path, acme, manage_key, call, journal):
    def issue_keys(count):
        for number in range(count):
            services.issue_key(
                actor=policy.OPERATOR,
                organization=acme,
                name=f"Key {number}",
                role=Role.objects.get(number=2),
                allowed_ips=["192.0.2.1"],
            )

    issue_keys(2)
    call("get", path, manage_key.secret)
    with CaptureQueriesContext(connection) as few:
        assert len(call("get", path, manage_key.secret).json()["data"]) == 3
    issue_keys(20)
    with CaptureQueriesContext(connection) as many:
        assert len(call("get", path, manage_key.secret).json()["data"]) == 23
    assert len(many) == len(few) <= 20


def test_everybody_sees_what_is_theirs(key, read_only_key, manage_key, strangers_key, listed):
    def seen(caller):
        return [row["identifier"] for row in listed(secret=caller.secret)["data"]]

    own = [read_only_key.identifier, key.identifier]
    assert seen(key) == seen(read_only_key) == own
    assert seen(manage_key) == [manage_key.identifier, *own]
    assert seen(strangers_key) == [strangers_key.identifier]


def test_only_addresses_that_let_in_are_listed(acme, manage_key, owner, listed):
    key = services.issue_key(actor=policy.OPERATOR, organization=acme, name="Walled")
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.0/24")
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.9", deny=True)
    services.add_allowed_ip(actor=owner, key=key, network="10.0.0.1", active=False)
    assert listed()["data"][0]["allowed_ips"] == ["192.0.2.0/24"]


# Create


@pytest.mark.parametrize(
    ("memo", "name"),
    [
        ("", "XyraPanel key"),
        ("Panel", "Panel"),
        ("Panel\nof acme", "Panel"),
        ("x" * 500, "x" * 200),
    ],
)
def test_the_first_line_of_a_memo_names_the_key(memo, name, create):
    row = create(memo=memo)["data"]
    key = APIKey.objects.get(identifier=row["identifier"])
    assert (key.name, key.description, row["description"]) == (name, memo, memo or None)


def test_a_new_key_holds_what_its_maker_holds(key, create, developer):
    """T2: and never more, today or later."""
    made = APIKey.objects.get(identifier=create(key.secret)["data"]["identifier"])
    assert set(made.scope_codes) == set(key.scope_codes)
    assert made.owner == developer
    services.update_key(
        actor=policy.OPERATOR, key=key, role=Role.objects.get(organization=None, name="admin")
    )
    made = APIKey.objects.get(identifier=create(key.secret)["data"]["identifier"])
    assert "MANAGE" not in made.scope_codes  # its owner does not hold it


def test_a_key_that_ends_makes_none_that_outlives_it(acme, developer, create, call):
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    short = services.issue_key(
        actor=developer,
        organization=acme,
        name="Short",
        scopes=["READ", "CREATE"],
        expires_at=expires_at,
    )
    for body in ({}, {"expiresAt": None}):
        made = create(short.secret, **body)["data"]
        assert APIKey.objects.get(identifier=made["identifier"]).expires_at == expires_at
    response = call("post", KEYS, short.secret, {"expiresAt": "2099-01-01T00:00:00Z"})
    assert response.status_code == 403
    assert "beyond its own expiry" in response.json()["message"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2099-12-31T23:59:59Z", datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2099-12-31T23:59:59.123Z", datetime(2099, 12, 31, 23, 59, 59, 123000, tzinfo=UTC)),
        ("2099-12-31T23:59:59.123456789Z", datetime(2099, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)),
        ("2099-12-31T23:59Z", datetime(2099, 12, 31, 23, 59, tzinfo=UTC)),
        ("2096-02-29T00:00:00Z", datetime(2096, 2, 29, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_any_future_is_an_expiry(text, expected, create):
    row = create(expiresAt=text)["data"]
    assert APIKey.objects.get(identifier=row["identifier"]).expires_at == expected


def test_a_key_ends_at_its_expiry(create, call):
    with time_machine.travel(datetime(2030, 1, 1, tzinfo=UTC), tick=False) as clock:
        secret = create(expiresAt="2030-01-01T00:00:01Z")["meta"]["secret_token"]
        assert call("get", KEYS, secret).status_code == 200
        clock.shift(timedelta(seconds=1))
        check(call("get", KEYS, secret), error(KEYS, 401, "Server Error", "Invalid API key"))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.0/8", "::ffff:127.0.0.1"])
def test_allowed_ips_are_enforced(address, create, call):
    assert (
        call("get", KEYS, create(allowedIps=[address])["meta"]["secret_token"]).status_code == 200
    )
    secret = create(allowedIps=["192.0.2.1", "2001:db8::1"])["meta"]["secret_token"]
    check(call("get", KEYS, secret), error(KEYS, 401, "Server Error", "Invalid API key"))


IP = "Invalid IP address format"
DATE = "Invalid ISO datetime"


def expected_string(received) -> str:
    return f"Invalid input: expected string, received {received}"


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({"memo": "x" * 501}, {"memo": "Description too long"}),
        ({"memo": 5}, {"memo": expected_string("number")}),
        ({"memo": True}, {"memo": expected_string("boolean")}),
        ({"memo": ["m"]}, {"memo": expected_string("array")}),
        ({"memo": {}}, {"memo": expected_string("object")}),
        ({"memo": "NUL \x00"}, {"memo": "Null characters are not allowed."}),
        ({"allowedIps": ["10.0.0.1", "x"]}, {"allowedIps.1": IP}),
        ({"allowedIps": ["010.1.2.3"]}, {"allowedIps.0": IP}),
        ({"allowedIps": ["10.0.0.1/24"]}, {"allowedIps.0": IP}),
        ({"allowedIps": ["fe80::1%eth0"]}, {"allowedIps.0": IP}),
        ({"allowedIps": ["10.1"]}, {"allowedIps.0": IP}),
        ({"allowedIps": ["0x7f.0.0.1"]}, {"allowedIps.0": IP}),
        ({"allowedIps": ["10.0.0.1:80"]}, {"allowedIps.0": IP}),
        ({"allowedIps": ["[::1]"]}, {"allowedIps.0": IP}),
        ({"allowedIps": ["１０.0.0.1"]}, {"allowedIps.0": IP}),
        ({"allowedIps": [""]}, {"allowedIps.0": IP}),
        ({"allowedIps": ["10.0.0.1\x00"]}, {"allowedIps.0": IP}),
        ({"allowedIps": ["1" * 5000]}, {"allowedIps.0": IP}),
        ({"allowedIps": [None]}, {"allowedIps.0": expected_string("null")}),
        ({"allowedIps": [5]}, {"allowedIps.0": expected_string("number")}),
        ({"allowedIps": "10.0.0.1"}, {"allowedIps": "Invalid input: expected array"}),
        ({"allowedIps": {"0": "10.0.0.1"}}, {"allowedIps": "Invalid input: expected array"}),
        ({"expiresAt": "2099-01-01T00:00:00+02:00"}, {"expiresAt": DATE}),
        ({"expiresAt": "2099-01-01T00:00:00+00:00"}, {"expiresAt": DATE}),
        ({"expiresAt": "2099-01-01T00:00:00"}, {"expiresAt": DATE}),
        ({"expiresAt": "2099-01-01"}, {"expiresAt": DATE}),
        ({"expiresAt": "2099-02-30T00:00:00Z"}, {"expiresAt": DATE}),
        ({"expiresAt": "2099-01-01T24:00:00Z"}, {"expiresAt": DATE}),
        ({"expiresAt": "2099-01-01t00:00:00z"}, {"expiresAt": DATE}),
        ({"expiresAt": "0000-01-01T00:00:00Z"}, {"expiresAt": DATE}),
        ({"expiresAt": "２０99-01-01T00:00:00Z"}, {"expiresAt": DATE}),
        ({"expiresAt": "tomorrow"}, {"expiresAt": DATE}),
        ({"expiresAt": ""}, {"expiresAt": DATE}),
        ({"expiresAt": 4070908800}, {"expiresAt": expected_string("number")}),
        (
            {"memo": 1, "allowedIps": ["x", "y"], "expiresAt": "z"},
            {
                "memo": expected_string("number"),
                "allowedIps.0": IP,
                "allowedIps.1": IP,
                "expiresAt": DATE,
            },
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_body_is_refused_in_the_nested_form(body, problems, call, manage_key):
    """T28 among them."""
    for path in (KEYS, ADMIN):
        check(call("post", path, manage_key.secret, body), invalid(path, **problems))
    assert APIKey.objects.count() == 1
    assert not AuditEvent.objects.filter(door="api").exists()


def test_more_addresses_than_a_key_has_are_refused(call, manage_key):
    many = [f"10.0.{number // 256}.{number % 256}" for number in range(1001)]
    problems = {"allowedIps": "A key has at most 1000 allowed IPs."}
    check(call("post", KEYS, manage_key.secret, {"allowedIps": many}), invalid(**problems))
    problems = {"allowedIps": "Too many IP addresses: at most 128"}
    response = call("post", ADMIN, manage_key.secret, {"allowedIps": many[:129]})
    check(response, invalid(ADMIN, **problems))


@pytest.mark.parametrize("text", ["2009-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_an_expiry_that_is_past_has_words_of_its_own(text, call, manage_key):
    expected = error(KEYS, 400, "Server Error", "expiresAt must be a valid future datetime")
    check(call("post", KEYS, manage_key.secret, {"expiresAt": text}), expected)
    assert APIKey.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Send a JSON object."),
        (b"[]", "Invalid input: expected object"),
        (b'"x"', "Invalid input: expected object"),
        (b"null", "No data provided"),
    ],
)
def test_what_is_no_object_makes_no_key(body, message, call, manage_key):
    check(call("post", KEYS, manage_key.secret, body), invalid(**{"": message}))
    assert APIKey.objects.count() == 1


@pytest.mark.parametrize("body", [b"{", b'{"memo": NaN}', b"\xff", b'{"memo": "\\ud800"}'])
def test_broken_json_is_a_bad_request(body, call, manage_key):
    expected = error(KEYS, 400, "Bad Request", "Invalid JSON body")
    check(call("post", KEYS, manage_key.secret, body), expected)


@pytest.mark.parametrize("field", ["user", "userId", "owner", "organization_id", "permissions"])
def test_nobody_makes_a_key_for_somebody_else(field, call, create, key, stranger, other, acme):
    """T1: naming an owner in the body gives a key to nobody but the caller."""
    body = {field: other.pk if "organization" in field else stranger.pk}
    for secret, message in [(None, "Authentication required."), ("xyp_x", "Invalid API key")]:
        check(call("post", KEYS, secret, body), error(KEYS, 401, "Server Error", message))
    assert not APIKey.objects.filter(dialect="xyra").exists()
    made = APIKey.objects.get(identifier=create(key.secret, **body)["data"]["identifier"])
    assert (made.owner, made.organization) == (key.owner, acme)
    assert set(made.scope_codes) == set(key.scope_codes)


# Delete


def test_a_deleted_key_is_refused_and_gone(create, call, manage_key, listed):
    made = create()
    path = f"{KEYS}/{made['data']['identifier']}"
    response = call("delete", path, manage_key.secret)
    assert (response.status_code, response.json()) == (200, {"success": True})
    expected = error(KEYS, 401, "Server Error", "Invalid API key")
    check(call("get", KEYS, made["meta"]["secret_token"]), expected)
    check(call("delete", path, manage_key.secret), not_found(path))
    assert listed()["pagination"]["total"] == 1


def test_other_peoples_keys_are_as_missing_ones(call, key, manage_key, strangers_key):
    """T10: whatever form an id has."""
    for secret, target in [(key.secret, manage_key), (manage_key.secret, strangers_key)]:
        ids = [target.identifier, target.pk, target.hash, target.name, target.slug, "x", "💥", "0"]
        for each in [*ids, "9" * 4000, "%F0%9F%92%A5", "a%2Fb%20c", "'--"]:
            response = call("delete", f"{KEYS}/{each}", secret)
            assert response.status_code == 404
        check(
            call("delete", f"{KEYS}/{target.identifier}", secret),
            not_found(f"{KEYS}/{target.identifier}"),
        )
        check(call("delete", f"{KEYS}/missing", secret), not_found(f"{KEYS}/missing"))
    assert call("delete", f"{KEYS}/%00", key.secret).status_code == 404
    assert APIKey.objects.live().count() == 3


def test_who_may_not_is_told_which_right_is_missing(read_only_key, call, key, acme):
    def refused(path, action):
        sentence = f"API key does not have {action} permission for api_keys"
        return error(path, 403, "Server Error", sentence)

    secret, path = read_only_key.secret, f"{KEYS}/{key.identifier}"
    check(call("post", KEYS, secret, {}), refused(KEYS, "write"))
    check(call("delete", path, secret), refused(path, "delete"))
    powerless = services.issue_key(actor=policy.OPERATOR, organization=acme, name="Powerless")
    check(call("get", KEYS, powerless.secret), refused(KEYS, "read"))
    assert APIKey.objects.live().count() == 3


# Errors around the routes


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", KEYS),
        ("patch", KEYS),
        ("options", KEYS),
        ("trace", KEYS),
        ("get", f"{KEYS}/someone"),
        ("patch", f"{KEYS}/someone"),
        ("get", f"{KEYS}/a/b"),
        ("get", "/api/account"),
        ("get", "/api/account/"),
        ("get", "/api/account/zip"),
        ("post", "/api/account/zip?a=1&b=%20"),
        ("get", "/api/admin/zip"),
        ("get", "/api/admin/users/x/api-keys"),
        ("patch", ADMIN),
    ],
)
def test_an_unknown_route_or_method_is_a_path_that_cannot_be_found(method, path, call, manage_key):
    check(call(method, path, manage_key.secret), no_route(path))


def test_a_large_body_is_told_its_size(call, manage_key):
    expected = error(
        KEYS,
        413,
        "Server Error",
        "Request body size (65537 bytes) exceeds the limit of 65536 bytes",
    )
    check(call("post", KEYS, manage_key.secret, b" " * 65537), expected)
    body = b'{"memo": "n"}' + b" " * (65536 - 13)
    assert call("post", KEYS, manage_key.secret, body).status_code == 200


def test_who_asks_too_often_hears_so(call, manage_key, settings):
    settings.API_RATE = "1/hour"
    replies = [call("get", KEYS, manage_key.secret) for _ in range(2)]
    check(replies[1], error(KEYS, 429, "Too Many Requests", "Too Many Requests"))
    assert int(replies[1]["Retry-After"]) > 0


def test_a_failure_of_ours_tells_nothing(call, client, manage_key, monkeypatch):
    def break_down(**arguments):
        raise RuntimeError("the password of the database")

    client.raise_request_exception = False
    monkeypatch.setattr(services, "issue_key", break_down)
    expected = error(KEYS, 500, "Server Error", "Server Error")
    check(call("post", KEYS, manage_key.secret, {}), expected)


def test_a_request_for_another_host_is_refused_in_the_same_envelope(ask, manage_key):
    response = ask("get", KEYS, manage_key.secret, headers={"Host": "elsewhere.example"})
    assert response.status_code == 400
    assert (response["Cache-Control"], response.json()["url"]) == ("no-cache", KEYS)


# Credentials


@pytest.mark.parametrize("header", ["x-api-key", "X-API-Key", "Authorization", "PRIVATE-TOKEN"])
def test_however_a_key_is_presented_it_may_the_same(header, ask, read_only_key):
    """T19, T32: one authenticator decides for every header."""
    value = f"Bearer {read_only_key.secret}" if header == "Authorization" else read_only_key.secret
    assert ask("get", KEYS, headers={header: value}).status_code == 200
    assert ask("post", KEYS, body={}, headers={header: value}).status_code == 403
    assert APIKey.objects.count() == 1


def test_x_api_key_comes_before_bearer(ask, key, read_only_key):
    headers = {"x-api-key": read_only_key.secret, "Authorization": f"Bearer {key.secret}"}
    assert ask("post", KEYS, body={}, headers=headers).status_code == 403
    headers = {"x-api-key": "xyp_wrong", "Authorization": f"Bearer {key.secret}"}
    assert ask("get", KEYS, headers=headers).status_code == 401


def test_a_session_is_no_credential_here(client, owner, acme):
    client.force_login(owner, backend="portal.accounts.SignInBackend")
    assert client.get(KEYS).status_code == 401


# Administration


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
