"""T27: odd headers, cookies, encodings and paths, byte for byte, by the thousand.

Whatever a request is made of: without a good key nobody passes, and who passes is named.
"""

import random

import pytest

from tests.deploy.clients import ask
from tests.deploy.conftest import presenting

NAMES = [
    *("Authorization", "X-API-Key", "PRIVATE-TOKEN", "Cookie", "X-Forwarded-For", "X-Real-IP"),
    *("Forwarded", "Accept", "Accept-Language", "Accept-Encoding", "Content-Type", "User-Agent"),
    *("Content-Encoding", "If-None-Match", "If-Modified-Since", "Range", "Expect", "Upgrade"),
    *("Connection", "Transfer-Encoding", "TE", "Trailer", "Content-Length", "Via", "Origin"),
    *("X-Forwarded-Proto", "X-Forwarded-Host", "X-Original-URL", "X-HTTP-Method-Override"),
    *("X-CSRFToken", "HX-Request", "X-Keyhaven-Key-Id", "X_API_Key", "X.API.Key", "X-Odd\xff"),
]
# The service would wait for it.
ANNOUNCE_A_BODY = {"Content-Length", "Transfer-Encoding", "Expect"}
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get"]
PATHS = ["", "?", "?scope=READ", "?scope=%00", "?scope=%ff&scope", "?cost=NaN", "?status=200"]
PATHS += ["?status=204&status=200", "?scope=é", "?%73cope=READ", "?cost=-1", "?;", "?" + "&" * 500]


def _odd_value(source: random.Random) -> bytes:
    letters = [code for code in range(1, 256) if code not in b"\r\n"]
    return source.choice(
        [
            bytes(source.choices(letters, k=source.randrange(60))),
            b"Bearer " * source.randrange(4),
            b"Bearer kh_" + bytes(source.choices(letters, k=47)),
            b"Bearer kh_" + b"A" * source.choice([46, 47, 48, 3000]),
            b"sessionid=" + bytes(source.choices(letters, k=20)) + b"; csrftoken=\x7f; =;",
            b"chunked",
            b"gzip, identity;q=0",
            b"application/json; charset=\xff",
            b"multipart/form-data",
            b"127.0.0.1, \xff",
            b"-1",
            b"99999999999999999999",
            "é".encode(),
            b"",
        ]
    )


def _requests(seed: int, count: int):
    source = random.Random(seed)  # noqa: S311
    for _number in range(count):
        odd = [(source.choice(NAMES), _odd_value(source)) for _header in range(source.randrange(4))]
        yield source.choice(METHODS), source.choice(PATHS), odd


def test_nothing_odd_passes_the_portal(portal_port):
    for method, query, odd in _requests(seed=1, count=3000):
        answer = ask(portal_port, f"/v1/auth{query}", odd, method=method)
        assert 400 <= answer.status < 500, (method, query, odd)


def test_nothing_odd_passes_a_gateway(guarded):
    for method, query, odd in _requests(seed=2, count=400):
        answer = guarded(f"/{query}", odd, method=method)
        assert answer.status >= 400, (method, query, odd)
        assert "x-service" not in answer.headers


def test_who_passes_a_gateway_is_named(guarded, secrets):
    passed = 0
    for method, query, odd in _requests(seed=3, count=200):
        if {name for name, _value in odd} & ANNOUNCE_A_BODY:
            continue
        answer = guarded(f"/{query}", [*odd, presenting(secrets["open"])], method=method)
        if answer.status < 300 and method != "HEAD":
            passed += 1
            assert answer.told("X-Keyhaven-Key-Name") == ["Key open"], (method, query, odd)
    assert passed > 10


@pytest.mark.parametrize("body", [b'{"key": "\xff"}', b"\x00" * 100, b"[" * 40_000, b"{", b'"'])
def test_no_odd_question_is_an_error_of_ours(portal_port, secrets, body):
    for headers in ([presenting(secrets["open"])], []):
        json = [*headers, ("Content-Type", "application/json")]
        answer = ask(portal_port, "/v1/verify", json, method="POST", body=body)
        assert 400 <= answer.status < 500
