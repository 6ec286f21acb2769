"""Which tokens are believed: those of the right key, kind, algorithm and age."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import tokens
from keys.tokens import InvalidTokenError, Kind, RequestToken, Session

NOW = datetime(2026, 11, 19, 15, 30, tzinfo=UTC)
SHARED_SECRET = "0123456789abcdef" * 4
SIGNING_KEY = b"signing key of the portal itself"
SESSION = Session(secret_id=7, key_id=3, organization_id=1, nonce="00ff" * 8, session_id="an-id")


def request_token(secret=SHARED_SECRET, algorithm="HS256", headers=None, **claims) -> str:
    said = {
        "iat": int(NOW.timestamp()),
        "jti": "d41d8cd9",
        "appname": "ci",
        "appkey": "neto_x",
        "shortname": "acme",
    }
    said = {name: value for name, value in (said | claims).items() if value is not None}
    return jwt.encode(said, secret, algorithm=algorithm, headers=headers)


def read_request(token: str, now: datetime = NOW) -> RequestToken:
    return tokens.read_request_token(token, shared_secret=SHARED_SECRET, now=now)


def encoded(part: object) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.mark.parametrize("jti", ["d41d8cd9", 5, 0, -1, 10**30, None])
def test_a_request_token_is_read_whatever_its_jti(jti):
    """The vendor's recipe sends a number, its client a text."""
    assert read_request(request_token(jti=jti)) == RequestToken("acme", "ci", "neto_x")


def test_the_organization_is_read_before_the_signature_can_be_checked():
    assert tokens.read_shortname(request_token(secret="f" * 64)) == "acme"


@pytest.mark.parametrize(("age", "is_good"), [(-61, False), (-60, True), (300, True), (301, False)])
def test_a_request_token_is_good_for_five_minutes(age, is_good):
    token = request_token(iat=int(NOW.timestamp()) - age)
    if is_good:
        assert read_request(token).appname == "ci"
    else:
        with pytest.raises(InvalidTokenError):
            read_request(token)


def test_a_request_token_with_another_signature_is_refused():
    with pytest.raises(InvalidTokenError):
        read_request(request_token(secret="f" * 64))


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "none"])
def test_a_request_token_of_another_algorithm_is_refused(algorithm):
    secret = "" if algorithm == "none" else SHARED_SECRET
    with pytest.raises(InvalidTokenError):
        read_request(request_token(secret=secret, algorithm=algorithm))


@pytest.mark.parametrize("algorithm", ["none", "None", "", None, 5, "RS256", ["HS256"]])
def test_a_token_cannot_choose_to_be_unsigned(algorithm):
    claims = {"iat": int(NOW.timestamp()), "appname": "ci", "appkey": "x", "shortname": "acme"}
    for signature in ("", "x"):
        token = f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(claims)}.{signature}"
        with pytest.raises(InvalidTokenError):
            read_request(token)


@pytest.mark.parametrize("claim", ["iat", "appname", "appkey", "shortname"])
@pytest.mark.parametrize("value", [None, "", [], {}, 5.5e300, True])
def test_a_request_token_without_a_claim_is_refused(claim, value):
    with pytest.raises(InvalidTokenError):
        read_request(request_token(**{claim: value}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.é.é",
        "eyJ.eyJ.\n",
        f"{encoded([])}.{encoded([])}.x",
        f"{encoded(b'[' * 900)}.{encoded(b'[' * 900)}.x",
        f"{encoded({'alg': 'HS256'})}.{encoded(b'[' * 2500)}.x",
        f"{encoded({'alg': 'HS256'})}.{encoded(bytes(range(256)))}.x",
        f"{encoded({'alg': 'HS256'})}.{encoded([1])}.x",
        "x" * 5000,
        "x." * 3000,
    ],
)
def test_nonsense_is_refused(text):
    for read in (tokens.read_shortname, read_request):
        with pytest.raises(InvalidTokenError):
            read(text)
    with pytest.raises(InvalidTokenError):
        tokens.read(text, Kind.ACCESS, signing_key=SIGNING_KEY)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=60))
def test_no_bytes_do_worse_than_be_refused(header, claims, signature):
    text = ".".join(encoded(part) for part in (header, claims, signature))
    for read in (tokens.read_shortname, read_request):
        with pytest.raises(InvalidTokenError):
            read(text)


def sign(kind: Kind, lifetime: timedelta = timedelta(hours=1)) -> str:
    now = datetime.now(UTC)
    return tokens.sign(SESSION, kind, signing_key=SIGNING_KEY, now=now, expires_at=now + lifetime)


@pytest.mark.parametrize("kind", Kind)
def test_a_session_token_is_read_for_what_it_is(kind):
    assert tokens.read(sign(kind), kind, signing_key=SIGNING_KEY) == SESSION


@pytest.mark.parametrize(
    ("kind", "other"), [(Kind.ACCESS, Kind.REFRESH), (Kind.REFRESH, Kind.ACCESS)]
)
def test_one_kind_is_never_taken_for_the_other(kind, other):
    with pytest.raises(InvalidTokenError):
        tokens.read(sign(kind), other, signing_key=SIGNING_KEY)


def test_an_expired_session_token_is_refused():
    with pytest.raises(InvalidTokenError):
        tokens.read(sign(Kind.ACCESS, timedelta(seconds=-1)), Kind.ACCESS, signing_key=SIGNING_KEY)


def test_a_session_token_of_another_signature_is_refused():
    with pytest.raises(InvalidTokenError):
        tokens.read(sign(Kind.ACCESS), Kind.ACCESS, signing_key=b"f" * 32)


def test_a_request_token_is_no_session_token():
    token = request_token(secret=SIGNING_KEY)
    for kind in Kind:
        with pytest.raises(InvalidTokenError):
            tokens.read(token, kind, signing_key=SIGNING_KEY)


def test_two_tokens_of_one_session_differ():
    assert sign(Kind.ACCESS) != sign(Kind.ACCESS)


def test_no_token_looks_like_a_key():
    """T32: what a credential is shows in its form."""
    from keys import secrets

    assert tokens.is_token(sign(Kind.ACCESS))
    assert not any(tokens.is_token(secrets.generate(dialect)) for dialect in secrets.FORMATS)
    assert secrets.find_format(sign(Kind.ACCESS)) is None
