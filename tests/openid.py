"""A little OpenID provider: discovery, authorize, token, keys and userinfo, signed for real.

`Provider.claims` says who signs in there next. Whatever a test sets in `lies` is answered in
place of the truth.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.servers import free_port

CLIENT_ID, CLIENT_SECRET = "keyhaven", "the-secret-of-the-client-0123456789"


@cache
def _key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider:
    """What it knows, and what it was asked."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.claims: dict[str, Any] = {}
        self.lies: dict[str, Any] = {}
        # How often anybody, a portal included, asked for anything.
        self.requests = 0
        # The queries with which people came, and by code what is to be answered.
        self.asked: list[dict[str, str]] = []
        self._by_code: dict[str, dict[str, str]] = {}

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of a portal that trusts it."""
        return {
            "OIDC_ISSUER": self.issuer,
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "OIDC_NAME": "Acme ID",
            "OIDC_EMAIL_DOMAINS": [],
            **more,
        }

    def published(self) -> dict[str, Any]:
        """Return what it says of itself."""
        names = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "keys",
            "userinfo_endpoint": "userinfo",
        }
        addresses = {name: f"{self.issuer}/{path}" for name, path in names.items()}
        return {"issuer": self.issuer, **addresses, **self.lies.get("published", {})}

    def authorize(self, query: dict[str, str]) -> str:
        """Sign the person in, and return where they are sent back to."""
        self.asked.append(query)
        code = secrets.token_urlsafe(8)
        self._by_code[code] = query
        answer = self.lies.get("answer", {"code": code})
        return f"{query['redirect_uri']}?{urlencode({**answer, 'state': query['state']})}"

    def tokens(self, form: dict[str, str]) -> dict[str, Any] | None:
        """Return the tokens for a code, once; None where it is not proved whose it is."""
        query = self._by_code.pop(form.get("code", ""), None)
        if query is None or (form.get("client_id"), form.get("client_secret")) != (
            CLIENT_ID,
            CLIENT_SECRET,
        ):
            return None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != query["code_challenge"]:
            return None
        return {"access_token": "of-no-use", "id_token": self._id_token(query)}

    def keys(self) -> dict[str, Any]:
        """Return what its signatures are checked with."""
        public = json.loads(RSAAlgorithm.to_jwk(_key("own").public_key()))
        return {"keys": [{**public, "kid": "1", "alg": "RS256", "use": "sig"}]}

    def _id_token(self, query: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            **self.claims,
            **self.lies.get("claims", {}),
        }
        return self._signed(claims)

    def logout_token(self, **claims: Any) -> str:
        """Return what it posts when sessions end there; a claim that is None is left out."""
        now = int(time.time())
        about = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_urlsafe(8),
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }
        return self._signed({**about, **claims})

    def _signed(self, claims: dict[str, Any]) -> str:
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.lies.get("unsigned"):
            return jwt.encode(claims, None, algorithm="none", headers={"kid": "1"})
        signer = _key(self.lies.get("signer", "own"))
        return jwt.encode(claims, signer, algorithm="RS256", headers={"kid": "1"})


@contextmanager
def provider() -> Iterator[Provider]:
    """Serve a provider until the block ends."""
    port = free_port()
    served = Provider(f"http://127.0.0.1:{port}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests += 1
            path = urlsplit(self.path)
            match path.path:
                case "/.well-known/openid-configuration":
                    self._say(served.published())
                case "/authorize":
                    self.send_response(302)
                    self.send_header("Location", served.authorize(dict(parse_qsl(path.query))))
                    self.end_headers()
                case "/keys":
                    self._say(served.lies.get("keys", served.keys()))
                case "/userinfo":
                    self._say(served.lies.get("userinfo", served.claims))
                case _:
                    self._say({}, 404)

        def do_POST(self) -> None:
            served.requests += 1
            length = int(self.headers["Content-Length"])
            form = dict(parse_qsl(self.rfile.read(length).decode()))
            tokens = served.lies.get("tokens", served.tokens(form))
            self._say(tokens or {"error": "invalid_grant"}, 200 if tokens else 400)

        def _say(self, answer: Any, status: int = 200) -> None:
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
