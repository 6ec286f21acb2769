"""The documents of the API: complete, valid, true, and readable by everybody."""

import re
from datetime import timedelta

import pytest
from django.urls import get_resolver
from django.utils import timezone
from drf_spectacular.drainage import GENERATOR_STATS
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate

from keys import services
from keys.api.openapi import build_document
from keys.api.urls import DOCUMENTED
from keys.models import ApprovalRequest, AuditEvent
from tests.conftest import join

DIALECTS = [pytest.param(module, id=module.DIALECT.dialect) for module in DOCUMENTED]


def served(module) -> set[tuple[str, str]]:
    """Return (method, path) of all that a dialect's URL patterns answer."""
    found = set()
    for pattern in module.urlpatterns:
        path = re.sub(r"\(\?P<(\w+)>.*?\)", r"{\1}", str(pattern.pattern))
        path = "/" + path.removeprefix("^").removesuffix(r"/?\Z")
        view = pattern.callback
        if hasattr(view, "actions"):
            methods = set(view.actions) & set(view.cls.http_method_names)
        else:
            methods = {name for name in view.cls.http_method_names if hasattr(view.cls, name)}
        found |= {(method, path) for method in methods - {"head", "options", "trace"}}
    return found


@pytest.mark.parametrize("module", DIALECTS)
def test_the_document_is_valid_openapi_and_was_made_without_guesses(module):
    GENERATOR_STATS.reset()
    build_document.cache_clear()
    with GENERATOR_STATS.silence():
        document = build_document(module)
        problems = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    assert problems == []
    assert document["openapi"].startswith("3.1")
    validate(document)


@pytest.mark.parametrize("module", DIALECTS)
def test_the_document_has_what_is_served_and_nothing_else(module):
    document = build_document(module)
    documented = {
        (method, path) for path, operations in document["paths"].items() for method in operations
    }
    # A proxy asks /v1/auth with whatever method it likes; one is documented.
    aliases = {("post", "/v1/auth"), ("put", "/v1/auth"), ("patch", "/v1/auth"),
               ("delete", "/v1/auth")}  # fmt: skip
    assert documented == served(module) - aliases


@pytest.mark.parametrize("module", DIALECTS)
def test_every_operation_says_in_a_line_what_it_does(module):
    silent = [
        f"{method} {path}"
        for path, operations in build_document(module)["paths"].items()
        for method, operation in operations.items()
        if not operation.get("summary")
    ]
    assert silent == []


@pytest.mark.parametrize("module", DIALECTS)
def test_every_operation_has_a_name_of_its_own_and_says_how_it_fails(module):
    document = build_document(module)
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names))
    # i3D.net tells a bad credential by 403, too.
    refused = "403" if module.DIALECT.dialect == "i3d" else "401"
    for each in operations:
        assert {"400", refused, "429", "500"} <= each["responses"].keys()
        assert "403" in each["responses"] or "security" not in each
        assert all(status.isdigit() or status == "default" for status in each["responses"])


@pytest.mark.parametrize("module", DIALECTS)
def test_page_and_document_are_for_everybody(client, db, module):
    name = module.DIALECT.dialect
    page = client.get(f"/docs/{name}/")
    assert page.status_code == 200
    assert f'href="/docs/{name}/openapi.json"' in page.content.decode()
    assert client.get(f"/docs/{name}").status_code == 200
    document = client.get(f"/docs/{name}/openapi.json")
    assert document["Content-Type"] == "application/json"
    assert document.json() == build_document(module)
    assert client.post(f"/docs/{name}/").status_code == 405


@pytest.mark.parametrize("module", DIALECTS)
def test_the_page_keeps_to_the_strict_policy_and_this_host(client, db, module):
    page = client.get(f"/docs/{module.DIALECT.dialect}/")
    html = page.content.decode()
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]
    assert "<style" not in html
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"\bon\w+=", html)
    for link in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert not re.match(r"(\w+:)?//", link), link
    script = re.search(r'src="([^"]*script=[^"]*)"', html)[1]
    source = client.get(script.replace("&amp;", "&"))
    assert source["Content-Type"] == "application/javascript"
    assert f'url: "/docs/{module.DIALECT.dialect}/openapi.json"'.replace("/", r"\u002F") in (
        source.content.decode().replace("/", r"\u002F")
    )


def test_nothing_of_the_documentation_needs_a_session(client, db):
    """Public pages are listed here: one more is a decision."""
    names = [str(p.pattern) for p in get_resolver("keys.api.urls").url_patterns[0].url_patterns]
    assert len(names) == 1 + 2 * len(DOCUMENTED)


def test_the_index_says_where_each_dialect_is_and_how_a_key_is_presented(client, db):
    html = client.get("/docs/").content.decode()
    for told in (
        "<code>http://testserver</code> or <code>http://testserver/i3d</code>",
        "<code>http://testserver/api/v1</code> or <code>http://testserver/openrouter/api/v1</code>",
        "PRIVATE-TOKEN: &lt;key&gt;",
        "x-api-key: &lt;key&gt;",
        "Authorization: Bearer &lt;key&gt;",
    ):
        assert told in html
    for module in DOCUMENTED:
        assert f'href="/docs/{module.DIALECT.dialect}"' in html


class TestOwnIds:
    """A signed-in reader finds the organization's own ids where a request needs them."""

    def test_in_paths_queries_and_bodies(self, client, owner, acme):
        client.force_login(owner)
        workspace = str(acme.workspaces.get(is_default=True).pk)
        native = client.get("/docs/native/openapi.json").json()
        body = native["components"]["schemas"]["KeyRequest"]["properties"]
        assert body["organization_id"]["examples"] == [acme.pk]
        assert body["workspace_id"]["examples"] == [workspace]
        operation = native["paths"]["/v1/organizations/{organization_id}"]["get"]
        assert operation["parameters"][0]["example"] == acme.pk
        vendor = client.get("/docs/openrouter/openapi.json").json()
        query = {
            each["name"]: each for each in vendor["paths"]["/api/v1/keys"]["get"]["parameters"]
        }
        assert query["workspace_id"]["example"] == workspace
        for document in (native, vendor):
            validate(document)

    def test_of_the_organization_last_looked_at(self, client, stranger, other, acme):
        join(acme, stranger, "readonly")
        client.force_login(stranger)
        client.get("/organizations/acme/")
        document = client.get("/docs/native/openapi.json").json()
        organization = document["components"]["schemas"]["KeyRequest"]["properties"]
        assert organization["organization_id"]["examples"] == [acme.pk]

    @pytest.mark.parametrize("path", ["/docs/native/", "/docs/native/openapi.json"])
    def test_are_in_no_cache_that_people_share(self, client, owner, acme, path):
        assert "Cookie" in client.get(path)["Vary"]
        client.force_login(owner)
        response = client.get(path)
        assert response["Cache-Control"] == "private, no-store"
        assert "Cookie" in response["Vary"]

    def test_leave_the_next_readers_document_alone(self, client, owner, acme):
        before = client.get("/docs/native/openapi.json").content
        client.force_login(owner)
        assert client.get("/docs/native/openapi.json").content != before
        client.logout()
        assert client.get("/docs/native/openapi.json").content == before

    def test_are_missing_for_somebody_without_an_organization(self, client, stranger):
        before = client.get("/docs/native/openapi.json").content
        client.force_login(stranger)
        assert client.get("/docs/native/openapi.json").content == before


class TestTruth:
    """Replies are what the native document says."""

    @pytest.fixture
    def things(self, acme, owner, manage_key, read_only_key):
        """One of everything in acme."""
        services.create_scope(actor=owner, organization=acme, code="orders:read")
        role = services.create_role(actor=owner, organization=acme, name="clerk")
        [invitation] = services.invite(
            actor=owner, organization=acme, emails=["x@y.example"], role=role
        )
        services.add_server_address(actor=owner, organization=acme, network="192.0.2.9")
        services.add_allowed_ip(
            actor=owner, key=read_only_key, network="192.0.2.0/24", comment="office"
        )
        asked = ApprovalRequest.objects.create(
            organization=acme,
            requester=owner,
            kind="issue",
            terms={"name": "Wanted"},
            reason="For the night run.",
            ends_at=timezone.now() + timedelta(days=1),
        )
        webhook, _secret = services.create_webhook(
            actor=owner, organization=acme, url="https://example.com/"
        )
        delivery = services.test_webhook(actor=owner, webhook=webhook)
        return {
            "webhook_id": webhook.pk,
            "delivery_id": delivery.pk,
            "approval_request_id": asked.pk,
            "key_id": read_only_key.pk,
            "allowed_ip_id": read_only_key.allowed_ips.get().pk,
            "organization_id": acme.pk,
            "server_address_id": acme.server_addresses.get().pk,
            "workspace_id": acme.workspaces.get().pk,
            "scope_id": acme.scopes.get().pk,
            "invitation_id": invitation.pk,
            "role_id": acme.roles.get().pk,
            "member_id": acme.memberships.first().pk,
            "audit_event_id": AuditEvent.objects.filter(organization=acme).first().pk,
        }

    @pytest.fixture
    def document(self):
        return build_document(DOCUMENTED[0])

    def check(self, document, operation: dict, response) -> None:
        answer = operation["responses"][str(response.status_code)]
        schema = answer["content"]["application/json"]["schema"]
        whole = {**schema, "components": document["components"]}
        validator = Draft202012Validator(_closed(whole), format_checker=FormatChecker())
        errors = [error.message for error in validator.iter_errors(response.json())]
        assert errors == [], (operation["operationId"], errors)

    def test_every_get_answers_by_its_schema(self, ask, document, things, manage_key):
        for path, operations in document["paths"].items():
            if "get" not in operations or path == "/v1/auth":
                continue
            response = ask("get", path.format(**things), manage_key.secret)
            assert response.status_code == 200, path
            self.check(document, operations["get"], response)

    def test_writes_and_refusals_answer_by_their_schema(
        self, ask, document, things, manage_key, acme
    ):
        body = {
            "key_name": "New", "key_scope": "READ", "organization_id": str(acme.pk), "limit": 5.25,
            "limit_reset": "weekly", "expires_at": "2099-01-01T00:00:00+01:00",
        }  # fmt: skip
        made = ask("post", "/v1/api-keys", manage_key.secret, body)
        for method, path, sent in (
            ("post", "/v1/api-keys", {**body, "role": None}),
            ("post", "/v1/api-keys", {}),
            ("post", "/v1/api-keys", {**body, "organization_id": 10**6}),
            ("patch", "/v1/api-keys/{key_id}", {"limit": None}),
            ("post", "/v1/api-keys/{key_id}/rotate", {"overlap": 5}),
            ("post", "/v1/api-keys/{key_id}/disable", None),
            ("post", "/v1/api-keys/{key_id}/enable", None),
            ("post", "/v1/verify", {"key": "kh_nothing"}),
            ("post", "/v1/verify", {"key": made.json()["api_key"], "cost": 1.25}),
            ("post", "/v1/workspaces", {"name": "Lab"}),
            ("post", "/v1/scopes", {"code": "bills:read"}),
            ("post", "/v1/invitations", {"email": "z@y.example", "role": "readonly"}),
            ("post", "/v1/invitations", {"email": "z"}),
            ("post", "/v1/roles", {"name": "reader", "key_scope": ["READ"]}),
        ):
            response = ask(method, path.format(**things), manage_key.secret, sent)
            self.check(document, document["paths"][path][method], response)
        self.check(document, document["paths"]["/v1/roles"]["get"], ask("get", "/v1/roles"))


def _closed(schema):
    # A member that the document does not know is as wrong as one that is missing.
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items()}
    if "properties" in closed and isinstance(closed["properties"], dict):
        closed.setdefault("additionalProperties", False)
    return closed
