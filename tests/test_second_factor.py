"""An organization may keep out who has no second factor, until they have one."""

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client
from django.urls import reverse

from keys import services
from keys.models import Organization
from keys.networks import parse_address
from keys.verification import Code
from tests.conftest import join

PAGES = ["overview", "list", "create", "members", "settings", "policy", "leave"]


@pytest.fixture
def strict(acme, owner) -> Organization:
    """Acme, which requires a second factor; its owner has one."""
    TOTP.activate(owner, generate_totp_secret())
    services.update_policy(actor=owner, organization=acme, requires_second_factor=True)
    return acme


def get(client, name, slug="acme"):
    return client.get(reverse(f"keys:{name}", args=[slug]))


@pytest.mark.parametrize("name", PAGES)
def test_who_has_none_sees_only_how_to_set_one_up(client, strict, developer, name):
    client.force_login(developer)
    answer = get(client, name)
    assert answer.status_code == 403
    assert "Acme asks for a second factor" in answer.text
    assert reverse("mfa_index") in answer.text
    assert client.get(reverse("mfa_index")).status_code == 200


def test_of_keys_that_work_on_only_who_has_some_is_told(client, strict, admin, developer, key):
    for person, is_told in ((developer, True), (admin, False)):
        client.force_login(person)
        assert ("Your keys work meanwhile" in get(client, "list").text) is is_told


def test_nothing_is_written_for_them_either(client, strict, admin):
    client.force_login(admin)
    path = reverse("keys:workspaces", args=["acme"])
    assert client.post(path, {"name": "Lab"}).status_code == 403
    assert not strict.workspaces.filter(name="Lab").exists()


def test_once_they_have_one_everything_is_there(client, strict, developer):
    client.force_login(developer)
    TOTP.activate(developer, generate_totp_secret())
    assert get(client, "list").status_code == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [(Authenticator.Type.WEBAUTHN, 200), (Authenticator.Type.RECOVERY_CODES, 403)],
)
def test_a_passkey_is_one_and_recovery_codes_are_none(client, strict, developer, kind, status):
    Authenticator.objects.create(user=developer, type=kind, data={})
    client.force_login(developer)
    assert get(client, "list").status_code == status


def test_their_keys_work_on(strict, key):
    verdict = services.verify_key(secret=key.secret, address=parse_address("192.0.2.7"))
    assert verdict.code is Code.VALID


def test_it_is_no_matter_of_another_organization(client, strict, other, stranger, developer):
    join(other, developer, "readonly")
    client.force_login(developer)
    assert get(client, "list", "other").status_code == 200


def test_staff_who_are_no_members_look_on(strict, staff):
    client = Client()
    client.force_login(staff)
    assert get(client, "overview").status_code == 200


def test_who_would_be_kept_out_is_named_before(client, acme, owner, developer, viewer):
    TOTP.activate(viewer, generate_totp_secret())
    client.force_login(owner)
    text = get(client, "policy").text
    assert "2 members have no second factor" in text
    assert "developer@acme.example" in text
    assert "viewer@acme.example" not in text


def test_an_owner_without_one_reads_that_it_keeps_them_out_too(client, acme, owner, developer):
    client.force_login(owner)
    assert "You, too: you have no second factor" in get(client, "policy").text
    TOTP.activate(owner, generate_totp_secret())
    text = get(client, "policy").text
    assert "You, too" not in text
    assert "1 member has no second factor" in text
