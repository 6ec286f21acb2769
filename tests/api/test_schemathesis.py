"""Requests made up from each served document, good ones and bad ones, answered as it says.

Everything happens in a throwaway organization, each request in a transaction that is undone.
"""

from contextlib import contextmanager

import hypothesis
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction

from keys import services
from keys.api.urls import DOCUMENTED

schemathesis = pytest.importorskip(
    "schemathesis", reason="schemathesis is not installed (portal/requirements/dev.txt)."
)
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# The same requests on every run, few of each operation.
BOUNDS = hypothesis.settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=8,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@contextmanager
def undone():
    """Undo afterwards what was written inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@contextmanager
def one_connection():
    """Requests share the test's connection and its transaction, as with Django's own client."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


@pytest.fixture
def ids(acme, owner):
    """A row of everything in acme, by the names of path parameters."""
    key = services.issue_key(
        actor=owner, organization=acme, name="Shared", owner=None, scopes=["READ"]
    )
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.0/24")
    services.create_scope(actor=owner, organization=acme, code="orders:read")
    role = services.create_role(actor=owner, organization=acme, name="clerk")
    address = services.add_server_address(actor=owner, organization=acme, network="192.0.2.9")
    allowed_ip = key.allowed_ips.get()
    return {
        "apiKeyId": key.pk,
        "apiKeyWhitelistId": allowed_ip.pk,
        "allowed_ip_id": allowed_ip.pk,
        "appname": key.slug,
        "audit_event_id": acme.audit_events.first().pk,
        "hash": key.hash,
        "identifier": key.identifier,
        "key_id": key.pk,
        "member_id": acme.memberships.first().pk,
        "organization_id": acme.pk,
        "role_id": role.pk,
        "scope_id": acme.scopes.get().pk,
        "server_address_id": address.pk,
        "user_id": owner.pk,
        "workspace_id": str(acme.workspaces.get().pk),
    }


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    "module", [pytest.param(each, id=each.DIALECT.dialect) for each in DOCUMENTED]
)
@pytest.mark.wide
def test_whatever_is_asked_is_answered_as_documented(
    client, settings, ids, manage_key, module, mode
):
    settings.API_RATE = "1000000/second"
    document = client.get(f"/docs/{module.DIALECT.dialect}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    # The views; that the gate answers as they do is tested by itself.
    schema.app = WSGIHandler()
    problems = []
    for found in schema.get_all_operations():
        operation = found.ok()
        try:
            requests = operation.as_strategy(generation_mode=mode)
            with one_connection():
                _ask(requests, ids, manage_key.secret)
        except hypothesis.errors.Unsatisfiable:
            # Nothing can be wrong with a request that has no part to be wrong.
            assert mode is GenerationMode.NEGATIVE, operation.label
        except Exception as problem:
            causes = getattr(problem, "exceptions", [problem])
            problems += [f"{operation.label}: {cause}" for cause in causes]
    assert not problems, "\n\n".join(problems)


def _ask(requests, ids, secret) -> None:
    @BOUNDS
    @hypothesis.given(case=requests, is_about_a_row=hypothesis.strategies.booleans())
    def ask(case, is_about_a_row):
        if is_about_a_row:
            # Else rows and credentials are made up, too.
            case.path_parameters = {
                name: ids.get(name, value) for name, value in (case.path_parameters or {}).items()
            }
            case.headers = {
                name: value
                for name, value in (case.headers or {}).items()
                if name.lower() not in ("x-api-key", "private-token")
            }
        with undone():
            response = case.call(headers={"Authorization": f"Bearer {secret}"})
        case.validate_response(response, checks=CHECKS)

    ask()
