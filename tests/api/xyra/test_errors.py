"""Credentials, and errors around the routes, over XyraPanel's wire."""

import pytest

from keys import services
from keys.models import APIKey
from tests.api.xyra.wire import ADMIN, KEYS, check, error, no_route

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
