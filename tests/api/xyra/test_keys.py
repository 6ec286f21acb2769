"""Keys over XyraPanel's wire, byte by byte."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from keys import policy, services
from keys.models import APIKey, AuditEvent, KeySecret, Role
from tests.api.xyra.wire import ADMIN, KEYS, ROW, check, error, invalid, not_found

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
