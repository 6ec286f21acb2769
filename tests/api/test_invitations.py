"""Inviting people through the API: as on the page, by keys that manage."""

import pytest

from keys import services
from keys.models import Role

pytestmark = pytest.mark.django_db


def test_a_managing_key_invites_lists_and_takes_back(ask, acme, manage_key):
    body = {"email": "x@y.example", "role": "readonly"}
    made = ask("post", "/v1/invitations", manage_key.secret, body)
    assert made.status_code == 201
    shown = made.json()
    assert (shown["email"], shown["role"], shown["invited_by"]) == (
        "x@y.example",
        "readonly",
        "Management",
    )
    assert not {"token", "token_digest"} & shown.keys()
    assert ask("get", "/v1/invitations", manage_key.secret).json() == [shown]
    where = f"/v1/invitations/{shown['id']}"
    assert ask("delete", where, manage_key.secret).status_code == 204
    assert ask("get", where, manage_key.secret).status_code == 404
    assert acme.invitations.get().revoked_at


def test_a_key_invites_nobody_to_more_than_it_holds(ask, acme, owner, manage_key):
    """T2, T3: neither to a role with a scope that it lacks nor as an owner."""
    scopes = Role.objects.get(name="admin").scopes.exclude(code="DELETE")
    narrow = services.issue_key(
        actor=owner, organization=acme, name="Narrow", owner=None, scopes=scopes
    )
    body = {"email": "x@y.example", "role": "admin"}
    assert ask("post", "/v1/invitations", narrow.secret, body).status_code == 403
    owning = {**body, "is_owner": True}
    assert ask("post", "/v1/invitations", manage_key.secret, owning).json()["is_owner"] is False


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "no", "role": "readonly"}, "email"),
        ({"email": "a@b.example", "role": "nobody"}, "role"),
        ({"email": "owner@acme.example", "role": "readonly"}, "email"),
        ({"role": "readonly"}, "email"),
        ({"email": "a@b.example", "role": "readonly", "token": "x"}, "token"),
    ],
)
def test_what_is_wrong_is_named_and_nobody_is_invited(ask, acme, manage_key, body, field):
    reply = ask("post", "/v1/invitations", manage_key.secret, body)
    assert reply.status_code == 400
    assert list(reply.json()["errors"]) == [field]
    assert not acme.invitations.exists()
