"""`POST /v1/verify` and `GET /v1/auth`: is this key good, from there, for this?"""

import json
import random
import string
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import unquote

import pytest
import time_machine
from django.utils import timezone

from keys import policy, rates, secrets, services
from keys.api.dialects.native.verification import IDENTITY_HEADERS, header_text, refuse
from keys.models import APIKey, KeyUsage, Membership, Role, UsageBucket
from keys.verification import Code

VERIFY = "/v1/verify"
AUTH = "/v1/auth"
UNKNOWN = {"valid": False, "code": "NOT_FOUND"}
NOW = datetime(2026, 11, 19, 15, 30, tzinfo=UTC)


@pytest.fixture
def verify(ask, manage_key):
    """Ask about a secret as the organization's management key; return the reply's body."""

    def verify(secret: str, **question):
        response = ask("post", VERIFY, manage_key.secret, {"key": secret, **question})
        assert response.status_code == 200, response.content
        return response.json()

    return verify


@pytest.fixture
def auth(ask):
    """Present a secret at the door of forward authentication."""

    def auth(secret: str | None, query: str = "", **extra):
        return ask("get", f"{AUTH}?{query}" if query else AUTH, secret, **extra)

    return auth


def bucket(key: APIKey) -> dict[str, int]:
    """Return how often each outcome was counted."""
    rows = UsageBucket.objects.filter(key=key)
    return {row.outcome: row.requests for row in rows}


# Who asks, and what they are told


def test_the_answer_says_who_the_key_is(verify, read_only_key, developer, acme):
    assert verify(read_only_key.secret) == {
        "valid": True,
        "code": "VALID",
        "failed_checks": [],
        "missing_scopes": [],
        "key_id": read_only_key.pk,
        "key_name": "Dashboard",
        "key_scope": ["READ"],
        "label": read_only_key.label,
        "organization_id": acme.pk,
        "workspace_id": str(read_only_key.workspace_id),
        "role": None,
        "owner": {
            "id": developer.pk,
            "email": "developer@acme.example",
            "name": "developer@acme.example",
        },
        "external_user": None,
        "not_before": None,
        "expires_at": None,
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        "limit_resets_at": None,
        "rate_limits": [],
        "retry_after": None,
    }


def test_scopes_are_what_the_key_may_do_today(verify, key, acme, developer):
    """A key holds no more than its owner: the developer became a reader."""
    assert verify(key.secret)["key_scope"] == ["CREATE", "DELETE", "READ", "UPDATE"]
    membership = acme.memberships.get(user=developer)
    role = Role.objects.get(organization=None, name="readonly")
    services.update_member(actor=policy.OPERATOR, membership=membership, role=role)
    answer = verify(key.secret, scopes=["READ", "UPDATE", "orders:read"])
    assert (answer["code"], answer["valid"]) == ("INSUFFICIENT_SCOPES", False)
    assert answer["key_scope"] == ["READ"]
    assert answer["missing_scopes"] == ["UPDATE", "orders:read"]


def test_a_key_of_another_organization_is_like_one_that_never_was(verify, strangers_key, key):
    """T10, T20: the same body, and nothing is counted there."""
    foreign = verify(strangers_key.secret)
    assert foreign == UNKNOWN
    for nothing in ("kh_unknown", key.secret[:-1], key.secret[1:], key.secret.upper(), "x" * 1000):
        assert verify(nothing) == UNKNOWN
    assert bucket(strangers_key) == {}
    assert not KeyUsage.objects.get(key=strangers_key).requests


def test_asking_needs_read(ask, key, acme, owner):
    blind = services.issue_key(
        actor=owner, organization=acme, name="Blind", owner=None, scopes=["CREATE"]
    )
    assert ask("post", VERIFY, blind.secret, {"key": key.secret}).status_code == 403
    assert ask("post", VERIFY, body={"key": key.secret}).status_code == 401
    assert ask("post", VERIFY, "kh_bad", {"key": key.secret}).status_code == 401
    assert bucket(key) == {}


def test_a_reader_may_ask_about_every_key_of_the_organization(ask, read_only_key, manage_key):
    answer = ask("post", VERIFY, read_only_key.secret, {"key": manage_key.secret})
    assert answer.json()["valid"] is True


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head", "options"])
def test_verify_is_asked_by_post_alone(ask, key, method):
    assert ask(method, VERIFY, key.secret).status_code == 405


# One judgement behind all doors: T19, T31, T32

STATES = {
    "good": ("VALID", 204, lambda key, owner: None),
    "revoked": ("REVOKED", 401, lambda key, owner: services.revoke_key(actor=owner, key=key)),
    "disabled": ("DISABLED", 401, lambda key, owner: services.disable_key(actor=owner, key=key)),
    "locked": ("LOCKED", 401, lambda key, owner: services.lock_key(actor=policy.OPERATOR, key=key)),
    "expired": ("EXPIRED", 401, lambda key, owner: _set(key, expires_at=timezone.now())),
    "pending": (
        "NOT_YET_VALID", 401, lambda key, owner: _set(key, not_before=timezone.now() + _HOUR)
    ),
    "rotated": (
        "SECRET_RETIRED", 401, lambda key, owner: services.rotate_key(actor=key.owner, key=key)
    ),
    "owner gone": (
        "OWNER_GONE", 401, lambda key, owner: Membership.objects.filter(user=key.owner).delete()
    ),
    "owner inactive": (
        "OWNER_GONE", 401, lambda key, owner: type(key.owner).objects.filter(pk=key.owner_id)
        .update(is_active=False)
    ),
    "suspended": (
        "ORGANIZATION_SUSPENDED", 401, lambda key, owner: services.suspend_organization(
            actor=policy.OPERATOR, organization=key.organization
        )
    ),
    "elsewhere": (
        "FORBIDDEN_ADDRESS", 403, lambda key, owner: services.add_allowed_ip(
            actor=owner, key=key, network="192.0.2.0/24"
        )
    ),
    "denied": (
        "FORBIDDEN_ADDRESS", 403, lambda key, owner: services.add_allowed_ip(
            actor=owner, key=key, network="127.0.0.0/8", deny=True
        )
    ),
    "empty pool": (
        "FORBIDDEN_ADDRESS", 403, lambda key, owner: _set(key, assign_server_ips=True)
    ),
    "used too often": ("RATE_LIMITED", 429, lambda key, owner: _use_up(key)),
    "spent": ("LIMIT_EXCEEDED", 429, lambda key, owner: _set(key, limit=Decimal("0.5"))),
}  # fmt: skip
_HOUR = timedelta(hours=1)


def _set(key: APIKey, **fields) -> None:
    APIKey.objects.filter(pk=key.pk).update(**fields)


def _use_up(key: APIKey) -> None:
    rate_limits = [{"amount": 1, "period": "day"}]
    services.update_key(actor=policy.OPERATOR, key=key, rate_limits=rate_limits)
    rates.take(services.rates_of(APIKey.objects.get(pk=key.pk)), "refuse")


@pytest.mark.parametrize("state", STATES)
def test_both_doors_decide_alike_whatever_became_of_a_key(ask, auth, key, owner, acme, state):
    """T22, T31: the answer to a question is what enforcement does."""
    code, status, happen = STATES[state]
    asker = services.issue_key(actor=policy.OPERATOR, organization=acme, name="Asker",
                               scopes=["READ"])  # fmt: skip
    assert auth(key.secret).status_code == 204
    happen(key, owner)
    if state == "suspended":
        # Its own keys cannot ask any more either.
        assert ask("post", VERIFY, asker.secret, {"key": key.secret}).status_code == 401
    else:
        question = {"key": key.secret, "ip": "127.0.0.1"}
        answer = ask("post", VERIFY, asker.secret, question).json()
        assert (answer["code"], answer["valid"]) == (code, code == "VALID")
        assert answer["failed_checks"] == ([] if code == "VALID" else [code])
        assert answer["key_id"] == key.pk
    response = auth(key.secret)
    assert response.status_code == status
    assert bucket(key)[code] >= 1
    answers = {"VALID": 200, "LIMIT_EXCEEDED": 200, "RATE_LIMITED": 429}
    assert ask("get", "/v1/api-keys", key.secret).status_code == answers.get(code, 401)


def test_every_check_that_refuses_is_named(verify, key, owner):
    """T31."""
    services.disable_key(actor=owner, key=key)
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.0/24")
    _set(key, expires_at=timezone.now())
    answer = verify(key.secret, scopes=["orders:read"], ip="198.51.100.1")
    assert answer["code"] == "DISABLED"
    assert answer["failed_checks"] == [
        "DISABLED",
        "EXPIRED",
        "FORBIDDEN_ADDRESS",
        "INSUFFICIENT_SCOPES",
    ]


@pytest.mark.parametrize(
    "headers",
    [
        lambda secret: {"Authorization": f"Bearer {secret}"},
        lambda secret: {"X-API-Key": secret},
        lambda secret: {"PRIVATE-TOKEN": secret},
    ],
    ids=["bearer", "x-api-key", "private-token"],
)
def test_forward_authentication_takes_every_way_of_presenting_a_key(auth, key, headers):
    """T19."""
    assert auth(None, headers=headers(key.secret)).status_code == 204
    assert auth(None, headers=headers(key.secret[:-1])).status_code == 401


# Where from: T24, T25, T29


def test_an_address_that_is_not_told_passes_no_list(verify, key, owner):
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.0/24")
    assert verify(key.secret)["code"] == "FORBIDDEN_ADDRESS"
    assert verify(key.secret, ip="192.0.2.77")["code"] == "VALID"
    assert verify(key.secret, ip="::ffff:192.0.2.77")["code"] == "VALID"
    assert verify(key.secret, ip="192.0.3.1")["code"] == "FORBIDDEN_ADDRESS"
    row = KeyUsage.objects.get(key=key)
    assert row.last_address == "192.0.2.77"


def test_the_address_of_the_question_is_not_the_askers(ask, key, manage_key, owner):
    """T25: nobody passes their own list by what they write into a body."""
    services.add_allowed_ip(actor=owner, key=manage_key, network="192.0.2.1")
    question = {"key": key.secret, "ip": "192.0.2.1"}
    assert ask("post", VERIFY, manage_key.secret, question).status_code == 401
    services.add_allowed_ip(actor=owner, key=key, network="127.0.0.1")
    asker = services.issue_key(
        actor=owner, organization=key.organization, name="Asker", scopes=["READ"]
    )
    answer = ask("post", VERIFY, asker.secret, {"key": key.secret})
    assert answer.json()["code"] == "FORBIDDEN_ADDRESS"


def test_forward_authentication_believes_configured_proxies_only(auth, key, owner, settings):
    """T24: 0, 1 and 2 trusted hops; forged, several and malformed headers."""
    services.add_allowed_ip(actor=owner, key=key, network="203.0.113.9")

    def status(**headers) -> int:
        return auth(key.secret, headers=headers).status_code

    honest = {"X-Forwarded-For": "203.0.113.9"}
    others = dict.fromkeys(("X-Real-IP", "X-Client-IP", "X-Originating-IP"), "203.0.113.9")
    assert status(**honest, **others, Forwarded="for=203.0.113.9") == 403
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    assert status(**honest) == 204
    assert status(**others, Forwarded="for=203.0.113.9") == 403
    assert status(**{"X-Forwarded-For": "203.0.113.9, 10.0.0.5"}) == 403
    assert status(**{"X-Forwarded-For": "1.2.3.4, 203.0.113.9"}) == 204
    settings.TRUSTED_PROXIES = ["127.0.0.1", "10.0.0.0/8"]
    assert status(**{"X-Forwarded-For": "203.0.113.9, 10.0.0.5"}) == 204
    assert status(**{"X-Forwarded-For": "203.0.113.9, 1.2.3.4, 10.0.0.5"}) == 403
    assert status(**{"X-Forwarded-For": "203.0.113.9, fe80::1%eth0, 10.0.0.5"}) == 403
    assert status(**{"X-Forwarded-For": "203.0.113.9, , 10.0.0.5"}) == 403


# What it costs


def test_a_limit_is_charged_once_and_never_overspent(verify, auth, acme, owner):
    with time_machine.travel(NOW, tick=False):
        key = services.issue_key(
            actor=owner, organization=acme, name="Metered", scopes=["READ"],
            limit=Decimal(10), limit_reset="daily",
        )  # fmt: skip
        answer = verify(key.secret, cost=2.5, byok_cost=100)
        assert (answer["limit"], answer["limit_remaining"]) == (10, 7.5)
        assert answer["limit_resets_at"] == "2026-11-20T00:00:00Z"
        assert verify(key.secret)["limit_remaining"] == 6.5
        assert verify(key.secret, cost=0)["limit_remaining"] == 6.5
        assert auth(key.secret, "cost=6.5").status_code == 204
        answer = verify(key.secret, cost=0.000001)
        assert (answer["code"], answer["limit_remaining"]) == ("LIMIT_EXCEEDED", 0)
        spent = auth(key.secret)
        assert spent.status_code == 429
        assert spent["Retry-After"] == str(int(8.5 * 3600))
        assert auth(key.secret, "cost=0").status_code == 204
    with time_machine.travel(NOW + timedelta(hours=9), tick=False):
        assert auth(key.secret).status_code == 204
    assert key.totals.__class__.objects.get(key=key).byok_cost == 100


def test_a_limit_that_never_resets_promises_nothing(auth, key):
    _set(key, limit=Decimal(0))
    response = auth(key.secret)
    assert response.status_code == 429
    assert "Retry-After" not in response
    assert response.json() == {"message": "The limit of this API key is spent.", "errors": {}}


def test_a_refused_use_costs_nothing(verify, key):
    _set(key, limit=Decimal(1))
    assert verify(key.secret, scopes=["orders:read"], cost=1)["code"] == "INSUFFICIENT_SCOPES"
    assert verify(key.secret, cost=1)["code"] == "VALID"


def test_uses_are_remembered_with_agent_and_address(auth, key):
    auth(key.secret, headers={"User-Agent": "curl/8 \x00\x1b[31m ünï"})
    row = KeyUsage.objects.get(key=key)
    assert (row.requests, row.last_address) == (1, "127.0.0.1")
    assert row.last_user_agent.startswith("curl/8 [31m")
    assert row.last_used_at is not None
    assert bucket(key) == {"VALID": 1}


def test_neither_counts_as_a_management_call(verify, auth, ask, key, settings):
    settings.API_RATE = "2/minute"
    assert all(verify(key.secret)["valid"] for _ in range(5))
    assert all(auth(key.secret).status_code == 204 for _ in range(5))
    assert ask("get", "/v1/api-keys", key.secret).status_code == 200


# Forward authentication's replies


def test_a_good_key_passes_without_a_body(auth, key, acme):
    response = auth(key.secret)
    assert response.status_code == 204
    assert response.content == b""
    assert "Content-Type" not in response.headers
    assert response["X-Keyhaven-Key-Id"] == str(key.pk)
    assert response["X-Keyhaven-Key-Name"] == "Backend"
    assert response["X-Keyhaven-Organization"] == "acme"
    assert response["X-Keyhaven-Owner"] == "developer@acme.example"
    assert response["X-Keyhaven-Scopes"] == "CREATE DELETE READ UPDATE"
    assert response["X-Keyhaven-Workspace"] == str(key.workspace_id)
    assert response["Cache-Control"] == "no-store"


def test_every_identity_header_is_always_there(auth, manage_key):
    """T26: a proxy that copies them overwrites what the client sent under these names."""
    forged = dict.fromkeys(IDENTITY_HEADERS, "root")
    response = auth(manage_key.secret, headers=forged)
    assert response.status_code == 204
    for name in IDENTITY_HEADERS:
        assert name in response
        assert response[name] != "root"
    assert response["X-Keyhaven-Owner"] == ""


@pytest.mark.parametrize(
    "name",
    ["Größe 100 %", "a\r\nX-Keyhaven-Owner: root", "名前", "tab\there", "🔑", "  spaces  ", "%41"],
)
def test_names_are_safe_header_text(auth, key, name):
    _set(key, name=name)
    response = auth(key.secret)
    assert response.status_code == 204
    value = response["X-Keyhaven-Key-Name"]
    assert value.isascii()
    assert value.isprintable()
    assert unquote(value) == name.strip(" ")


def test_header_text_is_reversible_for_every_character():
    everything = "".join(map(chr, range(1, 0x250)))
    assert unquote(header_text(everything)) == everything
    assert header_text('plain (text), as is; "q"') == 'plain (text), as is; "q"'


@pytest.mark.parametrize("method", ["get", "head", "post", "put", "patch", "delete", "options"])
def test_a_proxy_may_ask_with_any_method(ask, key, method):
    assert ask(method, AUTH, key.secret).status_code == 204
    assert ask(f"{method}", f"{AUTH}/", key.secret).status_code == 204
    assert ask(method, f"/native{AUTH}", key.secret).status_code == 204
    refused = ask(method, AUTH, "kh_bad")
    assert refused.status_code == 401
    assert refused["WWW-Authenticate"].startswith("Bearer")
    huge = ask(method, AUTH, key.secret, body=b"x" * 200_000, content_type="video/mp4")
    assert huge.status_code == 204


def test_a_refusal_says_so_in_the_native_words(auth, key, owner):
    assert auth(None).json() == {
        "message": "Authentication credentials were not provided.",
        "errors": {},
    }
    for secret in ("kh_bad", key.secret[:-1]):
        response = auth(secret)
        assert response.status_code == 401
        assert response.json() == {"message": "This API key is not valid.", "errors": {}}
    response = auth(key.secret, "scope=orders:read")
    assert response.status_code == 403
    assert "scope" in response.json()["message"]
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.1")
    assert "address" in auth(key.secret).json()["message"]
    assert not any(name in response for name in IDENTITY_HEADERS)


def test_all_scopes_that_are_asked_for_count(auth, key):
    assert auth(key.secret, "scope=READ&scope=UPDATE").status_code == 204
    assert auth(key.secret, "scope=READ&scope=MANAGE").status_code == 403
    for odd in ("scope=", "scope=read", "scope=READ,UPDATE", "scope=READ%00", "scope=%FF"):
        assert auth(key.secret, odd).status_code == 403


@pytest.mark.parametrize(
    "query", ["scopes=READ", "Scope=READ", "ip=127.0.0.1", "x=", "scope[]=READ"]
)
def test_a_check_that_nobody_would_make_is_refused(auth, key, query):
    """A misspelt parameter must not let requests pass unchecked; no caller says an address."""
    response = auth(key.secret, query)
    assert response.status_code == 400
    assert set(response.json()["errors"]) == {query.partition("=")[0]}


COSTS = ["-1", "", "much", "NaN", "Infinity", "1e99", "0.0000001", "1_0", "１", "9" * 5000, "%00"]


@pytest.mark.parametrize("cost", COSTS)
def test_a_cost_that_is_none_is_refused(auth, key, cost):
    response = auth(key.secret, f"cost={cost}")
    assert response.status_code == 400
    assert set(response.json()["errors"]) == {"cost"}
    assert bucket(key) == {}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("key", None), ("key", ""), ("key", 5), ("key", ["kh"]), ("key", "x" * 1001),
        ("key", "a\x00b"),
        ("scopes", "READ"), ("scopes", [5]), ("scopes", [None]), ("scopes", {}), ("scopes", None),
        ("scopes", ["x" * 101]), ("scopes", ["READ"] * 1001), ("scopes", [["READ"]]),
        ("ip", "010.1.2.3"), ("ip", "10.1"), ("ip", "0x7f.1"), ("ip", "10.0.0.0/8"), ("ip", 1),
        ("ip", "fe80::1%eth0"), ("ip", "[::1]"), ("ip", "1.2.3.4:80"), ("ip", ""), ("ip", None),
        ("ip", "１.2.3.4"), ("ip", "a\x00"), ("ip", ["1.2.3.4"]),
        ("cost", -1), ("cost", "1"), ("cost", True), ("cost", 1e300), ("cost", None),
        ("cost", 0.0000001), ("byok_cost", -1), ("byok_cost", {}),
        ("address", "1.2.3.4"), ("organization_id", 1),
    ],
)  # fmt: skip
def test_a_bad_question_is_refused_by_the_name_of_its_member(ask, manage_key, key, member, value):
    """T28."""
    sent = {"key": key.secret, member: value}
    response = ask("post", VERIFY, manage_key.secret, sent)
    assert response.status_code == 400, response.content
    assert {name.split(".")[0] for name in response.json()["errors"]} == {member}
    assert key.secret not in response.content.decode()
    assert bucket(key) == {}


def test_a_question_without_a_key_is_refused(ask, manage_key):
    response = ask("post", VERIFY, manage_key.secret, {})
    assert response.json()["errors"] == {"key": ["This field is required."]}


def test_no_answer_repeats_the_secret(verify, auth, key):
    """T21."""
    for reply in (json.dumps(verify(key.secret)), auth(key.secret).headers, auth("kh_x").content):
        assert key.secret not in str(reply)


@pytest.mark.usefixtures("at_one_moment")
def test_a_bad_key_costs_no_more_than_a_good_one(auth, key, django_assert_max_num_queries):
    """T14, T15: a typo asks the database nothing, an unknown key one indexed query."""
    # Which tells a process that nothing was imported, until something changes.
    auth("nonsense")
    with django_assert_max_num_queries(0):
        auth(key.secret[:-1])
        auth("nonsense")
        auth(None)
    with django_assert_max_num_queries(1):
        assert auth(secrets.generate("native")).status_code == 401
    auth(key.secret)  # the first use of an hour opens its bucket
    with django_assert_max_num_queries(16):
        assert auth(key.secret).status_code == 204


# Odd input: T27


def _odd_texts(source: random.Random) -> list[str]:
    latin = [chr(code) for code in range(1, 256) if chr(code) not in "\r\n"]
    return [
        "".join(source.choices(latin, k=source.randrange(1, 80))),
        "".join(source.choices(string.printable.replace("\n", "").replace("\r", ""), k=40)),
        "Bearer " * source.randrange(1, 5),
        "Bearer kh_" + "".join(source.choices(latin, k=47)),
        "é" * source.randrange(1, 600),
        "sessionid=" + "".join(source.choices(latin, k=30)) + "; csrftoken=\x7f",
        "=;=;,\"\\", "%00%ff%", "\x00", "", " ", "Basic !!!", "bytes=0-", "text/html;q=x",
        "application/json; charset=zlib", "application/json; charset=\xff", "multipart/form-data",
    ]  # fmt: skip


HEADERS = [
    "HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_PRIVATE_TOKEN", "HTTP_COOKIE", "HTTP_USER_AGENT",
    "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_FORWARDED", "HTTP_ACCEPT", "HTTP_RANGE",
    "HTTP_ACCEPT_LANGUAGE", "HTTP_ACCEPT_ENCODING", "HTTP_IF_NONE_MATCH", "HTTP_REFERER",
    "HTTP_X_REQUEST_ID", "HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_ORIGINAL_URI", "CONTENT_TYPE",
    "HTTP_CONTENT_LENGTH", "HTTP_X_CSRFTOKEN", "HTTP_HX_REQUEST", "HTTP_HX_CURRENT_URL",
    "REMOTE_ADDR", "HTTP_TRANSFER_ENCODING", "QUERY_STRING", "HTTP_HOST", "CONTENT_LENGTH",
    "HTTP_IF_MODIFIED_SINCE", "HTTP_EXPECT", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.wide
def test_no_odd_header_passes_a_bad_key_or_breaks_the_door(client, key, settings, seed):
    """T27: hundreds of odd headers, cookies, encodings and queries: never 2xx, never 5xx."""
    source = random.Random(seed)  # noqa: S311
    settings.TRUSTED_PROXIES = ["127.0.0.1"] if seed % 2 else []
    for name in HEADERS:
        for value in _odd_texts(source):
            odd = {name: value}
            response = client.generic("GET", AUTH, **odd)
            assert 400 <= response.status_code < 500, (name, value)
    assert bucket(key) == {}


@pytest.mark.parametrize("seed", range(1))
@pytest.mark.wide
def test_no_odd_header_breaks_the_door_for_a_good_key(client, key, seed):
    """T27: and what passes carries the identity."""
    source = random.Random(100 + seed)  # noqa: S311
    for name in HEADERS:
        for value in _odd_texts(source):
            odd = {"HTTP_AUTHORIZATION": f"Bearer {key.secret}", name: value}
            response = client.generic("GET", AUTH, **odd)
            assert response.status_code < 500, (name, value)
            if response.status_code < 300:
                assert response["X-Keyhaven-Key-Id"] == str(key.pk)


def test_more_parameters_than_anybody_sends_are_refused(auth, key):
    assert auth(key.secret, "&".join(["scope=READ"] * 2000)).status_code in (204, 400)
    assert auth(key.secret, "&".join(f"scope{n}=READ" for n in range(2000))).status_code == 400


@pytest.mark.parametrize("path", [AUTH, VERIFY])
def test_an_error_of_ours_lets_nobody_pass(client, key, monkeypatch, path):
    """T27: whatever fails inside is never taken for yes."""

    def fail(*args, **kwargs):
        raise RuntimeError("boom")

    monkeypatch.setattr("keys.snapshots.find", fail)
    client.raise_request_exception = False
    for method in ("get", "post"):
        response = client.generic(
            method.upper(), path, headers={"Authorization": f"Bearer {key.secret}"}
        )
        assert response.status_code == 500
        assert response.json() == {"message": "Something went wrong on our side.", "errors": {}}
        assert not any(name in response for name in IDENTITY_HEADERS)


def test_every_outcome_has_its_status():
    """A new outcome that nobody thought of here is refused with 401, not let through."""
    for code in Code:
        if code is Code.VALID:
            refuse(services.Verdict(code))
        elif code is not Code.LIMIT_EXCEEDED:
            with pytest.raises(Exception, match="key"):
                refuse(services.Verdict(code))


def test_rotation_keeps_both_secrets_good_for_the_overlap(verify, auth, key):
    """T33: old and new until the moment T, then the new one only."""
    with time_machine.travel(NOW, tick=False):
        new = services.rotate_key(actor=key.owner, key=key, overlap=timedelta(hours=1)).secret
    for moment, good in ((3_599_999, True), (3_600_000, False), (3_600_001, False)):
        with time_machine.travel(NOW + timedelta(milliseconds=moment), tick=False):
            assert verify(key.secret)["valid"] is good
            assert auth(key.secret).status_code == (204 if good else 401)
            assert verify(new)["valid"] is True
