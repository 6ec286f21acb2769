"""A page whose row somebody else deletes while it is being saved."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.db.models import Model
from django.urls import reverse

from keys import services
from keys.models import AllowedIP, Membership, Role, Scope, ServerAddress, Workspace

pytestmark = pytest.mark.django_db


@contextmanager
def somebody_deletes(row: Model) -> Iterator[None]:
    """Delete a row at the moment when a service opens its transaction to change it."""
    is_done = False

    def run(execute, sql, params, many, context):
        nonlocal is_done
        if sql.startswith("SAVEPOINT") and not is_done:
            is_done = True
            type(row).objects.filter(pk=row.pk).delete()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(run):
        yield
    assert is_done


def page(name: str, *more) -> str:
    return reverse(f"keys:{name}", args=["acme", *more])


@pytest.fixture
def rows(acme, owner, viewer):
    """One of each kind of row that a page changes or deletes, by kind."""
    key = services.issue_key(actor=owner, organization=acme, name="Kiosk", owner=None)
    return {
        Workspace: services.create_workspace(actor=owner, organization=acme, name="Lab"),
        Scope: services.create_scope(actor=owner, organization=acme, code="orders:read"),
        Role: services.create_role(actor=owner, organization=acme, name="Deploy"),
        ServerAddress: services.add_server_address(
            actor=owner, organization=acme, network="192.0.2.7"
        ),
        Membership: acme.memberships.get(user=viewer),
        AllowedIP: services.add_allowed_ip(actor=owner, key=key, network="127.0.0.1"),
    }


@pytest.mark.parametrize(
    ("model", "name", "data"),
    [
        (Workspace, "workspace-edit", {"name": "Laboratory"}),
        (Workspace, "workspace-delete", {}),
        (Scope, "scope-edit", {"description": "Reads orders"}),
        (Scope, "scope-delete", {}),
        (Role, "role-edit", {"name": "Deployment"}),
        (Role, "role-delete", {}),
        (ServerAddress, "server-address-edit", {"comment": "Berlin"}),
        (ServerAddress, "server-address-remove", {}),
        (Membership, "member-edit", {}),
        (Membership, "member-remove", {}),
        (AllowedIP, "allowed-ip-switch", {"confirmed": "on"}),
    ],
)
def test_what_is_gone_when_it_is_saved_is_not_found(client, owner, rows, model, name, data):
    client.force_login(owner)
    client.get(page("overview"))
    row = rows[model]
    path = [row.key.identifier, row.pk] if model is AllowedIP else [row.pk]
    if name == "member-edit":
        data = {"role": row.role_id, "is_owner": "on"}
    with somebody_deletes(row):
        response = client.post(page(name, *path), data)
    assert response.status_code == 404
    assert not model.objects.filter(pk=row.pk).exists()
