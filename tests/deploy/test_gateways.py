"""The files in portal/deploy, with real gateways, a real portal and a service behind them."""

import pytest

from tests.deploy.conftest import presenting

IDENTITY = {
    "X-Keyhaven-Key-Id",
    "X-Keyhaven-Key-Name",
    "X-Keyhaven-Organization",
    "X-Keyhaven-Workspace",
    "X-Keyhaven-Owner",
    "X-Keyhaven-Role",
    "X-Keyhaven-Scopes",
    "X-Keyhaven-External-User",
}
CREDENTIALS = ("Authorization", "X-API-Key", "PRIVATE-TOKEN")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD"])
def test_a_good_key_passes_and_the_service_hears_whose_it_is(guarded, secrets, method):
    body = b"" if method in ("GET", "HEAD") else b"an order " * 2000
    answer = guarded("/orders?page=2", [presenting(secrets["open"])], method=method, body=body)
    assert answer.status == 200
    if method == "HEAD":
        return
    assert answer.heard["path"] == "/orders?page=2"
    assert answer.heard["method"] == method
    assert answer.heard["body"] == body.decode()
    assert answer.told("X-Keyhaven-Key-Name") == ["Key open"]
    assert answer.told("X-Keyhaven-Organization") == ["acme"]
    assert answer.told("X-Keyhaven-Owner") == ["owner@acme.example"]
    assert answer.told("X-Keyhaven-Scopes") == ["READ"]


@pytest.mark.parametrize("header", CREDENTIALS)
def test_the_service_never_hears_the_secret(guarded, secrets, header):
    secret = secrets["open"]
    presented = f"Bearer {secret}" if header == "Authorization" else secret
    answer = guarded("/", [(header, presented)])
    assert answer.status == 200
    assert secret not in str(answer.heard)


@pytest.mark.parametrize(
    ("name", "status"),
    [("without READ", 403), ("revoked", 401), ("of somewhere else", 403), ("spent", 429)],
)
def test_a_refusal_reaches_the_client_as_it_was(guarded, secrets, name, status):
    answer = guarded("/", [presenting(secrets[name])])
    assert answer.status == status
    assert "x-service" not in answer.headers
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert ("retry-after" in answer.headers) == (status == 429)
    assert not any(name.startswith("x-keyhaven") for name in answer.headers)


@pytest.mark.parametrize("headers", [[], [("X-API-Key", "kh_nothing")], [("Authorization", "x")]])
def test_nobody_passes_without_a_key(guarded, headers):
    assert guarded("/", headers).status == 401


def test_two_keys_are_not_one_of_them(guarded, secrets):
    """Which of both the service would believe is not for the gateway to guess."""
    both = [("X-API-Key", secrets["open"]), ("X-API-Key", secrets["revoked"])]
    first, second = guarded("/", both), guarded("/", both[::-1])
    for answer in (first, second):
        assert answer.status in (400, 401) or answer.told("X-Keyhaven-Key-Name") == ["Key open"]
    assert 401 in (first.status, second.status)


# T26: what only the portal may say


def _spellings(name: str) -> list[str]:
    parts = name.split("-")
    return [
        name,
        name.lower(),
        name.upper(),
        "_".join(parts),
        "_".join(parts).lower(),
        f"{parts[0]}_{'-'.join(parts[1:])}",
        f"{'-'.join(parts[:-1])}_{parts[-1]}",
    ]


@pytest.mark.parametrize("name", sorted(IDENTITY))
def test_t26_no_client_says_who_it_is(guarded, secrets, name):
    """T26: identity headers of a client are replaced, underscore twins never arrive."""
    good = presenting(secrets["open"])
    honest = guarded("/", [good]).told(name)
    for spelling in _spellings(name):
        spoofed = [(spelling, "root"), good, (spelling, "root")]
        answer = guarded("/", spoofed)
        assert answer.status in (200, 400)
        if answer.status == 200:
            assert answer.told(name) == honest, spelling
        elif "_" not in spelling:
            pytest.fail(f"{spelling} is an ordinary header.")


def test_t26_no_client_has_identity_headers_taken_away(guarded, secrets):
    """T26: `Connection:` names headers that a proxy drops, but not the portal's."""
    dropped = ("Connection", ", ".join(sorted(IDENTITY)))
    answer = guarded("/", [dropped, presenting(secrets["open"])])
    assert answer.status == 400 or answer.told("X-Keyhaven-Key-Name") == ["Key open"]


@pytest.mark.parametrize(
    "claims",
    [
        [("X-Forwarded-Uri", "/v1/auth?scope=CREATE"), ("X-Forwarded-Method", "OPTIONS")],
        [("X-Original-URI", "/public"), ("X-Original-URL", "/public"), ("X-Rewrite-URL", "/")],
        [("X-HTTP-Method-Override", "OPTIONS"), ("X-Original-Method", "OPTIONS")],
        [("X-Forwarded-Host", "keys.example.com"), ("X-Forwarded-Prefix", "/public")],
        [("X-Auth-Request-Redirect", "/"), ("X-Forwarded-Proto", "http")],
    ],
)
def test_t26_what_is_asked_for_is_not_for_the_client_to_say(guarded, secrets, claims):
    """T26: neither headers nor the address of the request change the question."""
    refused = presenting(secrets["without READ"])
    for path in ("/", "/?scope=CREATE", "/?status=200", "//v1/auth", "/v1/auth?scope=CREATE"):
        for method in ("GET", "OPTIONS"):
            assert guarded(path, [*claims, refused], method=method).status == 403, path
    # And the price of the question is not the client's either.
    assert guarded("/?cost=0", [*claims, presenting(secrets["spent"])]).status == 429


# T24: where a request comes from

FROM = {
    "of client 7": "127.0.0.7",
    "of the gateway": "127.0.0.1",
    "of somewhere else": "203.0.113.7",
}


def _claims(address: str) -> list[list[tuple[str, str]]]:
    return [
        [],
        [("X-Forwarded-For", address)],
        [("X-Forwarded-For", address), ("X-Forwarded-For", address)],
        [("X-Forwarded-For", f"{address}, {address}")],
        [("X_Forwarded_For", address)],
        [("X-Forwarded_For", address), ("X_Forwarded-For", address)],
        [("X.Forwarded.For", address)],
        [("X-Forwarded-For", address), ("X_Forwarded_For", address)],
        [("X-Forwarded-For", "\xff")],
        [("Forwarded", f"for={address}")],
        [("X-Real-IP", address), ("X-Client-IP", address), ("True-Client-IP", address)],
        [("CF-Connecting-IP", address), ("X-Cluster-Client-IP", address)],
        [("Connection", "X-Forwarded-For"), ("X-Forwarded-For", address)],
        [("Connection", "close, X-Forwarded-For, X-Real-IP")],
        [("X-Envoy-External-Address", address), ("X-Forwarded-For", "127.0.0.2")],
    ]


@pytest.mark.parametrize("name", FROM)
def test_t24_nobody_claims_an_address(guarded, secrets, name):
    """T24: an address counts where the connection comes from, whatever headers say."""
    for claims in _claims(FROM[name]):
        answer = guarded("/", [*claims, presenting(secrets[name])], source="127.0.0.8")
        assert answer.status in (400, 403), claims


def test_t24_a_client_at_its_address_passes_whatever_it_claims(guarded, secrets):
    """T24: and a claim takes nothing from a client either."""
    for claims in _claims("203.0.113.7"):
        answer = guarded("/", [*claims, presenting(secrets["of client 7"])], source="127.0.0.7")
        # Gateways may refuse what no honest client sends.
        is_odd = any("_" in name or "." in name or name == "Connection" for name, _value in claims)
        assert answer.status == 200 or (is_odd and answer.status == 400), claims
