"""A client generated from i3D.net's own OpenAPI document, against a live server.

The generator is PyPI `openapi-python-client`. Every reply to it, and to requests that a
typed client cannot make, is held against the document's schemas.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx
import pytest
from openapi_schema_validator import OAS30ReadValidator

from keys import policy, services
from keys.models import APIKey
from tests.api.generated import GeneratedClient
from tests.api.seeds import seed_openapi

KEYS = "/v3/account/apiKey"
OPERATIONS = {
    "list": "get_account_api_keys",
    "create": "create_api_key_for_user",
    "update": "update_account_api_key",
    "delete": "delete_account_api_key",
}


# Generating a client takes longer than using it.
pytestmark = pytest.mark.wide


@pytest.fixture(scope="session")
def document():
    return seed_openapi(0)


@pytest.fixture(scope="session")
def generated(document, tmp_path_factory) -> GeneratedClient:
    return GeneratedClient(document, tmp_path_factory.mktemp("i3d"), "i3d_client")


@pytest.fixture(scope="session")
def check(document):
    """Hold a reply against what the document says of its operation and status."""

    def check(response: httpx.Response) -> None:
        response.read()
        path = urlsplit(str(response.url)).path.removeprefix("/i3d")
        item = path.removeprefix(KEYS).strip("/")
        operations = document["paths"][f"{KEYS}/{{apiKeyId}}" if item else KEYS]
        documented = operations[response.request.method.lower()]["responses"]
        told = documented.get(str(response.status_code), {})
        if response.status_code == HTTPStatus.NO_CONTENT:
            assert response.content == b""
            return
        schema = {"$ref": "#/components/schemas/Error"}
        if response.is_success:
            schema = told["content"]["application/json"]["schema"]
        assert response.headers["Content-Type"] == "application/json"
        OAS30ReadValidator(schema | {"components": document["components"]}).validate(
            response.json()
        )

    return check


@pytest.fixture
def server(request, live_server):
    """The address at which a client is pointed; a prefix by parameter."""
    return live_server.url + getattr(request, "param", "")


@pytest.fixture
def call(request, generated, server, check):
    """Call an operation of the generated client with a secret; "async" by parameter."""

    async def check_async(response: httpx.Response) -> None:
        await response.aread()
        check(response)

    def call(secret, operation, *args, **kwargs):
        is_async = getattr(request, "param", "sync") == "async"
        client = generated.package.AuthenticatedClient(
            base_url=server,
            token=secret,
            prefix="",
            auth_header_name="PRIVATE-TOKEN",
            httpx_args={"event_hooks": {"response": [check_async if is_async else check]}},
        )
        module = generated.module(f"api.account_api_key.{OPERATIONS[operation]}")
        if not is_async:
            with client:
                return module.sync_detailed(*args, client=client, **kwargs)

        async def run():
            async with client:
                return await module.asyncio_detailed(*args, client=client, **kwargs)

        # In a thread: browser tests leave their event loop running in this one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()

    return call


@pytest.fixture
def ask(server, check):
    """Send what no typed client can: `ask("post", path, secret, json=…)`."""

    def ask(method, path, secret, **kwargs):
        headers = {"PRIVATE-TOKEN": secret, **kwargs.pop("headers", {})}
        response = httpx.request(method, f"{server}{path}", headers=headers, **kwargs)
        check(response)
        return response

    return ask


def new_key(generated, **fields):
    """Return a key as a client must write it: with what only the server knows."""
    unknown = {"id": 0, "key": "", "used": 0, "category": 0, "assign_odp_server_ips": 0}
    return generated.module("models").AccountApiKey(**{**unknown, **fields})


@pytest.mark.parametrize("server", ["", "/i3d"], indirect=True, ids=["root", "prefix"])
@pytest.mark.parametrize("call", ["sync", "async"], indirect=True)
def test_a_key_is_created_used_changed_and_deleted(call, generated, manage_key, acme):
    """The life of a key; what was deleted is refused at the next call."""
    manage, expires_at = manage_key.secret, int(time.time()) + 3600
    body = new_key(generated, note="Match server", category=2, expires_at=expires_at)
    reply = call(manage, "create", body=body)
    assert reply.status_code == HTTPStatus.OK
    (made,) = reply.parsed
    assert (made.note, made.category, made.expires_at) == ("Match server", 2, expires_at)

    (seen,) = call(made.key, "list", ranged_data="start=1").parsed
    assert (seen.id, seen.used) == (made.id, 1)
    assert seen.key != made.key

    seen.note, seen.category, seen.expires_at = None, 3, None
    (changed,) = call(manage, "update", made.id, body=seen).parsed
    assert (changed.id, changed.note, changed.category) == (made.id, None, 3)
    assert changed.expires_at is None
    refused = call(made.key, "create", body=new_key(generated))
    assert (refused.status_code, refused.parsed) == (HTTPStatus.FORBIDDEN, None)

    assert call(manage, "delete", made.id).status_code == HTTPStatus.NO_CONTENT
    assert call(made.key, "list").status_code == HTTPStatus.FORBIDDEN
    assert call(manage, "delete", made.id).status_code == HTTPStatus.NOT_FOUND
    assert [key.id for key in call(manage, "list").parsed] == [manage_key.pk]


def test_every_key_is_listed_page_by_page(call, document, acme, manage_key):
    """T30: the document's example header is the default that it says."""
    made = [
        services.issue_key(actor=policy.OPERATOR, organization=acme, name=f"Key {number}").pk
        for number in range(28)
    ]
    seen = []
    while page := call(manage_key.secret, "list", ranged_data=f"start={len(seen)},results=10"):
        if not page.parsed:
            break
        seen += [key.id for key in page.parsed]
    assert seen == [manage_key.pk, *made]
    (header,) = document["paths"][KEYS]["get"]["parameters"]
    example = header["description"].rpartition(":")[2]
    for ranged_data in ({}, {"ranged_data": example}):
        rows = call(manage_key.secret, "list", **ranged_data).parsed
        assert [key.id for key in rows] == [manage_key.pk, *made][:25]


def test_keys_of_every_birth_and_state_validate(call, acme, manage_key, owner):
    for dialect in ("native", "openrouter", "i3d", "netography", "xyra"):
        services.issue_key(
            actor=owner,
            organization=acme,
            name=dialect,
            dialect=dialect,
            scopes=["READ", "CREATE"],
            disabled=dialect == "native",
            assign_server_ips=dialect == "i3d",
        )
    rows = call(manage_key.secret, "list").parsed
    assert [row.assign_odp_server_ips for row in rows] == [0, 0, 0, 1, 0, 0]
    assert [row.category for row in rows] == [1, 0, 0, 0, 0, 0]


def test_a_key_made_elsewhere_works_here_and_the_other_way_round(call, generated, manage_key):
    (made,) = call(manage_key.secret, "create", body=new_key(generated, category=3)).parsed
    key = APIKey.objects.get(pk=made.id)
    rotated = services.rotate_key(actor=policy.OPERATOR, key=key)
    assert call(made.key, "list").status_code == HTTPStatus.FORBIDDEN
    assert call(rotated.secret, "list").status_code == HTTPStatus.OK


WRONG = [
    ("post", KEYS, {"json": {"category": "x", "note": 5, "expiresAt": -1}}, 422),
    ("post", KEYS, {"json": []}, 422),
    ("post", KEYS, {}, 422),
    ("post", KEYS, {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
    ("post", KEYS, {"content": b"{}"}, 415),
    ("post", KEYS, {"json": {"note": "x" * 70_000}}, 413),
    ("post", KEYS, {"content": iter([b"{}"])}, 411),
    ("put", f"{KEYS}/999999", {"json": {"note": "n"}}, 404),
    ("delete", f"{KEYS}/999999", {}, 404),
]


def test_whatever_goes_wrong_is_an_error_of_the_document(ask, manage_key):
    for method, path, sent, status in WRONG:
        assert ask(method, path, manage_key.secret, **sent).status_code == status, sent
        assert ask(method, path, "i3d_unknown", **sent).status_code in (403, 411, 413), sent
    assert APIKey.objects.count() == 1
