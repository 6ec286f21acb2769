"""Whatever goes wrong under a vendor's paths answers in that vendor's envelope.

A table of dialect × failure. A dialect joins it with a row in ENVELOPES, and one in
STATUSES for each failure that its vendor tells by another status.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings as portal
from django.urls import reverse

from keys import services
from keys.api.urls import MODULES
from keys.models import APIKey, AuditEvent

DIALECTS = [str(module.DIALECT.dialect) for module in MODULES]

# Dialect -> the members of its envelope, and where that repeats the status, if it does.
ENVELOPES: dict[str, tuple[set[str], Callable[[dict], int] | None]] = {
    "i3d": ({"errorCode", "errorMessage", "errors"}, None),
    "native": ({"message", "errors"}, None),
    "netography": ({"status", "name", "message"}, lambda body: body["status"]),
    "openrouter": ({"error"}, lambda body: body["error"]["code"]),
    "xyra": (
        {"error", "url", "statusCode", "statusMessage", "message"},
        lambda body: body["statusCode"],
    ),
}
# Members that an envelope may lack.
OPTIONAL = {"xyra": {"data"}}


@dataclass(frozen=True)
class Failure:
    """One way to fail at a dialect's collection of keys."""

    name: str
    status: int
    method: str = "GET"
    below: str = ""
    credential: str = "good"
    body: str | bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def malformed(name: str, body: str | bytes) -> Failure:
    return Failure(name, 400, "POST", body=body)


CASES = [
    Failure("no credential", 401, credential="none"),
    Failure("unknown credential", 401, credential="sk-or-v1-" + "0" * 64),
    Failure("nonsense for a credential", 401, credential="\t\x7f💥"),
    Failure("endless credential", 401, credential="x" * 6000),
    Failure("unknown path", 404, below="/no/such/path/below"),
    Failure("unknown path, without a credential", 404, below="/no/such/path", credential="none"),
    Failure("empty segments", 404, below="///"),
    Failure("method that the path has not", 405, "PATCH"),
    Failure("method that no path has", 405, "OPTIONS"),
    Failure("method that echoes", 405, "TRACE"),
    Failure("method that nobody knows", 405, "BREW"),
    malformed("broken JSON", "{"),
    malformed("two JSON values", "{}{}"),
    malformed("not a number", '{"name": NaN}'),
    malformed("infinite number", '{"name": -Infinity}'),
    malformed("endless number", '{"name": ' + "9" * 6000 + "}"),
    malformed("deep nesting", "[" * 30_000),
    malformed("deep nesting that ends", "[" * 15_000 + "]" * 15_000),
    malformed("half a surrogate pair", '{"name": "\\ud800"}'),
    malformed("half a surrogate pair for a name", '{"\\udfff": 1}'),
    malformed("no UTF-8", b'{"name": "\xff\xfe"}'),
    malformed("UTF-16", '{"name": "x"}'.encode("utf-16")),
    malformed("NUL bytes", b"\x00\x00"),
    malformed("list for a body", "[]"),
    malformed("text for a body", '"name"'),
    malformed("number for a body", "7"),
    malformed("null for a body", "null"),
    Failure("form", 415, "POST", body="name=x", content_type="application/x-www-form-urlencoded"),
    Failure("text", 415, "POST", body="{}", content_type="text/plain"),
    Failure("no content type", 415, "POST", body="{}", content_type=""),
    Failure("nonsense for a content type", 415, "POST", body="{}", content_type=";;/,\x0b"),
    Failure("large body", 413, "POST", body=json.dumps({"name": "x" * 70_000})),
    Failure("another host", 400, headers={"Host": "elsewhere.example"}),
]

# (dialect, status or name of a failure) -> status, where a vendor departs from the rest.
STATUSES: dict[tuple[str, int | str], int] = {
    ("i3d", 401): 403,
    ("i3d", "list for a body"): 422,
    ("i3d", "text for a body"): 422,
    ("i3d", "number for a body"): 422,
    ("i3d", "null for a body"): 422,
    ("xyra", 405): 404,
}


def status_of(dialect: str, failure: Failure) -> int:
    """Return the status by which this dialect's vendor tells a failure."""
    by_kind = STATUSES.get((dialect, failure.status), failure.status)
    return STATUSES.get((dialect, failure.name), by_kind)


@pytest.fixture
def fail(client, manage_key):
    """Provoke a failure in a dialect."""
    client.raise_request_exception = False

    def fail(dialect: str, failure: Failure):
        headers = dict(failure.headers)
        secret = manage_key.secret if failure.credential == "good" else failure.credential
        if secret != "none":
            headers["Authorization"] = f"Bearer {secret}"
        return client.generic(
            failure.method,
            reverse(f"{dialect}:key-list") + failure.below,
            failure.body,
            content_type=failure.content_type,
            headers=headers,
        )

    return fail


def check_envelope(dialect: str, response, status: int) -> dict[str, Any]:
    """Hold a reply against its dialect's envelope and return its body."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    assert not response.has_header("Location")
    body = response.json()
    members, repeated_status = ENVELOPES[dialect]
    assert members <= set(body) <= members | OPTIONAL.get(dialect, set())
    if repeated_status is not None:
        assert repeated_status(body) == status
    assert "Traceback" not in response.content.decode()
    return body


def test_every_dialect_is_in_the_table():
    assert set(DIALECTS) <= set(ENVELOPES)
    known = {case.name for case in CASES} | {case.status for case in CASES}
    assert {failure for _dialect, failure in STATUSES} <= known


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("failure", CASES, ids=lambda failure: failure.name)
def test_a_failure_is_worded_by_its_dialect(dialect, failure, fail):
    keys, events = APIKey.objects.count(), AuditEvent.objects.count()
    response = fail(dialect, failure)
    check_envelope(dialect, response, status_of(dialect, failure))
    assert (APIKey.objects.count(), AuditEvent.objects.count()) == (keys, events)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        assert response["WWW-Authenticate"]
    if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        assert "GET" in response["Allow"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_prefix_makes_no_difference(dialect, client, acme):
    path = reverse(f"{dialect}-prefixed:key-list")
    assert path.startswith(f"/{dialect}/")
    for each in (path, f"{path}/no/such/path"):
        response = client.get(each)
        check_envelope(dialect, response, response.status_code)
        assert response.status_code in (401, 403, 404)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_failure_of_ours_is_a_500_that_tells_nothing(dialect, fail, monkeypatch):
    def break_down(**arguments):
        raise RuntimeError("the password of the database")

    monkeypatch.setattr(services, "authenticate_key", break_down)
    response = fail(dialect, Failure("failure of ours", 500))
    check_envelope(dialect, response, HTTPStatus.INTERNAL_SERVER_ERROR)
    assert "password" not in response.content.decode()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_who_asks_too_often_is_told_when_to_come_back(dialect, fail, settings):
    settings.API_RATE = "1/hour"
    replies = [fail(dialect, Failure("list", 200)) for _ in range(2)]
    assert replies[0].status_code == HTTPStatus.OK
    check_envelope(dialect, replies[1], HTTPStatus.TOO_MANY_REQUESTS)
    assert 0 < int(replies[1]["Retry-After"]) <= 3600


@pytest.mark.parametrize("credential", ["none", "stopped", "weak"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_who_is_refused_too_often_is_not_judged_any_more(
    dialect, credential, client, read_only_key, settings
):
    """T14: a bad key costs no more than a good one, so no kind of caller asks without end."""
    if credential == "stopped":
        services.disable_key(actor=read_only_key.owner, key=read_only_key)
    settings.API_RATE = "2/hour"
    headers = {} if credential == "none" else {"X-API-Key": read_only_key.secret}
    replies = [
        client.post(
            reverse(f"{dialect}:key-list"), "{}", content_type="application/json", headers=headers
        )
        for _ in range(3)
    ]
    assert {reply.status_code for reply in replies[:2]} <= {401, 403}
    check_envelope(dialect, replies[2], HTTPStatus.TOO_MANY_REQUESTS)


def test_the_large_body_is_larger_than_allowed():
    large = next(case for case in CASES if case.name == "large body")
    assert len(large.body) > portal.API_MAX_BODY_BYTES
