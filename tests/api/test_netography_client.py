"""Netography's clients against a live server.

The exchange as the vendor's open-source client does it: NETOSECRET, a request token made
with PyJWT, a Bearer token. Behind it a client generated from the vendor's own document
leads the life of a key; each raw reply is held against the schema of that document.
"""

import base64
import json
import time
import uuid
from typing import Any

import httpx
import jwt
import pytest
from openapi_schema_validator import OAS30ReadValidator

from keys import policy, services
from keys.models import APIKey
from tests.api.generated import GeneratedClient
from tests.api.seeds import seed_openapi

SEED = 2
KEYS = "/api/v1/api-keys"
# Seconds: a busy machine is no failure.
PATIENCE = 60


class VendorClient:
    """What the vendor's client does before it can call anything."""

    def __init__(self, netosecret: str, jti: int | str | None) -> None:
        self.members = json.loads(base64.b64decode(netosecret))
        self.base = self.members["url"].replace("/api/v1", "")
        self.jti = jti
        self.tokens: dict[str, Any] = {}

    def request_token(self) -> str:
        claims = {name: self.members[name] for name in ("appname", "appkey", "shortname")}
        claims |= {"iat": int(time.time())} | ({} if self.jti is None else {"jti": self.jti})
        return jwt.encode(claims, self.members["sharedsecret"], algorithm="HS256")

    def authenticate(self) -> httpx.Response:
        reply = httpx.post(
            f"{self.base}/api/v1/auth/token", json={"jwt": self.request_token()}, timeout=PATIENCE
        )
        return self._keep(reply)

    def refresh(self) -> httpx.Response:
        form = {"refresh_token": self.tokens["refresh_token"]}
        return self._keep(
            httpx.post(f"{self.base}/api/auth/bearer/refresh", data=form, timeout=PATIENCE)
        )

    def get(self, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}"}
        return httpx.get(f"{self.base}{path}", headers=headers, timeout=PATIENCE)

    def _keep(self, reply: httpx.Response) -> httpx.Response:
        if reply.is_success:
            self.tokens = reply.json()
        return reply


def merged(schema: Any) -> Any:
    """Return a schema with each `allOf` merged into one, as code generators do.

    The vendor's document says of one object that it has `appkey` and nothing more, and
    that it is a record as well; no reply is both.
    """
    match schema:
        case {"allOf": parts, **rest}:
            whole: dict[str, Any] = {"type": "object", "properties": {}, **rest}
            for part in map(merged, parts):
                properties = {
                    name: each for name, each in part.get("properties", {}).items() if each
                }
                whole["properties"] |= properties
                whole["required"] = [*whole.get("required", []), *part.get("required", [])]
            return {name: value for name, value in whole.items() if value or name != "required"} | {
                "additionalProperties": False
            }
        case dict():
            return {name: merged(value) for name, value in schema.items()}
        case list():
            return [merged(value) for value in schema]
    return schema


# Generating a client takes longer than using it.
pytestmark = pytest.mark.wide


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return seed_openapi(SEED)


@pytest.fixture(scope="module")
def generated(document, tmp_path_factory) -> GeneratedClient:
    return GeneratedClient(document, tmp_path_factory.mktemp("netography"), "netography_client")


@pytest.fixture
def netosecret(live_server, acme, owner) -> str:
    """What a client of the organization's own management key is configured with."""
    key = services.issue_key(
        actor=owner,
        organization=acme,
        owner=None,
        name="Terraform",
        dialect="netography",
        scopes=["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"],
    )
    return services.assemble_netosecret(actor=owner, key=key, portal_url=live_server.url)


@pytest.fixture(params=[1763546400, "5f0c", None], ids=["int jti", "str jti", "no jti"])
def vendor(request, netosecret) -> VendorClient:
    return VendorClient(netosecret, request.param)


class Caller:
    """Calls operations of the generated client and holds each reply against the document."""

    def __init__(self, generated: GeneratedClient, document: dict[str, Any], base_url: str) -> None:
        self.generated = generated
        self.operations = {
            operation["operationId"]: operation
            for path in document["paths"].values()
            for operation in path.values()
        }
        self.base_url = base_url

    def __call__(self, token: str, operation_id: str, *arguments: str, **body: Any) -> Any:
        """Return (status, parsed reply) of an operation."""
        client = self.generated.module("client").AuthenticatedClient(
            base_url=self.base_url,
            token=token,
            raise_on_unexpected_status=True,
            timeout=httpx.Timeout(PATIENCE),
        )
        if "requestBody" in self.operations[operation_id]:
            name = "".join(part.capitalize() for part in operation_id.split("_"))
            model = getattr(self.generated.module("models"), f"{name}Body")
            body = {"body": model(**body)}
        with client:
            reply = self.generated.operation("api_keys", operation_id)(
                *arguments, client=client, **body
            )
        self._check(operation_id, reply)
        return int(reply.status_code), reply.parsed

    def _check(self, operation_id: str, reply: Any) -> None:
        documented = self.operations[operation_id]["responses"]
        known = documented.get(str(int(reply.status_code)), documented["default"])
        if "content" not in known:
            assert reply.content == b""
            assert "Content-Type" not in reply.headers
            return
        assert reply.headers["Content-Type"] == "application/json"
        schema = merged(known["content"]["application/json"]["schema"])
        OAS30ReadValidator(schema).validate(json.loads(reply.content))


@pytest.fixture(params=["", "/netography"], ids=["root", "prefix"])
def call(request, generated, document, live_server) -> Caller:
    return Caller(generated, document, f"{live_server.url}{request.param}")


def test_the_vendors_client_signs_in_calls_and_refreshes(vendor):
    reply = vendor.authenticate()
    assert reply.status_code == 200, reply.text
    assert vendor.get(KEYS).json()["meta"] == {"code": 200, "count": 1}
    first = dict(vendor.tokens)
    assert vendor.refresh().status_code == 200
    assert vendor.tokens["access_token"] != first["access_token"]
    assert vendor.tokens["session-state"] == first["session-state"]
    [row] = vendor.get(KEYS).json()["data"]
    assert row["appname"] == "terraform"
    assert row["last_ip"] == "127.0.0.1"
    assert row["last_login"] == pytest.approx(time.time(), abs=60)


def test_a_prefix_survives_in_netosecret(live_server, acme, owner):
    key = services.issue_key(
        actor=owner, organization=acme, name="CI", dialect="netography", scopes=["READ"]
    )
    netosecret = services.assemble_netosecret(
        actor=owner, key=key, portal_url=f"{live_server.url}/netography"
    )
    vendor = VendorClient(netosecret, "x")
    assert vendor.base.endswith("/netography")
    assert vendor.authenticate().status_code == 200
    assert vendor.get(KEYS).status_code == 200


def test_the_vendors_client_is_refused_when_its_key_is_gone(vendor, acme):
    vendor.authenticate()
    services.revoke_key(actor=policy.OPERATOR, key=APIKey.objects.get(slug="terraform"))
    assert vendor.get(KEYS).status_code == 401
    assert vendor.refresh().status_code == 400
    assert vendor.authenticate().status_code == 401


def test_a_key_lives_its_life_through_a_generated_client(call, netosecret):
    """Created, read, changed, regenerated and deleted, by tokens that it exchanges itself."""
    vendor = VendorClient(netosecret, 7)
    vendor.authenticate()
    token = vendor.tokens["access_token"]

    status, made = call(
        token, "v1_api_keys_post", appname="ci", roles=["developer"], description="Builds"
    )
    assert (status, made.meta.code, made.meta.count) == (201, 201, 1)
    assert made.data.to_dict() == {
        "appkey": made.data.appkey,
        "appname": "ci",
        "description": "Builds",
        "roles": ["developer"],
    }

    own = VendorClient(netosecret, "own")
    own.members |= {"appname": "ci", "appkey": made.data.appkey}
    assert own.authenticate().status_code == 200
    own_token = own.tokens["access_token"]

    status, shown = call(own_token, "v1_api_keys_appname_get", "ci")
    assert status == 200
    assert shown.data.last_ip == "127.0.0.1"
    assert "appkey" not in shown.data.to_dict()

    status, listed = call(token, "v1_api_keys_get")
    assert (status, listed.meta.count) == (200, 2)
    assert [row.appname for row in listed.data] == ["ci", "terraform"]

    status, changed = call(token, "v1_api_keys_appname_put", "ci", roles=["readonly"])
    assert (status, changed.data.description, changed.data.roles) == (200, "", ["readonly"])

    status, regenerated = call(token, "v1_api_keys_appname_regen_put", "ci", description="New")
    assert (status, regenerated.data.roles) == (200, ["readonly"])
    assert regenerated.data.appkey != made.data.appkey
    assert call(own_token, "v1_api_keys_get")[0] == 401
    assert own.authenticate().status_code == 401
    own.members["appkey"] = regenerated.data.appkey
    assert own.authenticate().status_code == 200
    own_token = own.tokens["access_token"]
    assert call(own_token, "v1_api_keys_get")[0] == 200

    assert call(token, "v1_api_keys_appname_delete", "ci") == (204, None)
    assert call(own_token, "v1_api_keys_get")[0] == 401
    assert own.refresh().status_code == 400
    assert own.authenticate().status_code == 401


def test_refusals_reach_a_generated_client_as_documented(call, netosecret, read_only_key):
    vendor = VendorClient(netosecret, 7)
    vendor.authenticate()
    token = vendor.tokens["access_token"]
    call(token, "v1_api_keys_post", appname="ci", roles=[])
    refusals = {
        400: call(token, "v1_api_keys_post", appname="a/b", roles=[]),
        401: call("nonsense", "v1_api_keys_get"),
        403: call(read_only_key.secret, "v1_api_keys_post", appname="x", roles=[]),
        404: call(token, "v1_api_keys_appname_get", f"no-{uuid.uuid4()}"),
        409: call(token, "v1_api_keys_post", appname="ci", roles=[]),
    }
    for expected, (status, refusal) in refusals.items():
        assert status == expected
        assert refusal.status == expected
        assert refusal.name
        assert refusal.message
