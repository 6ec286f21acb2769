"""The page of an organization's shared secret, and NETOSECRET beside a new key."""

import base64
import html
import json
import re

import pytest
from django.urls import reverse

from keys import policy, services
from keys.models import APIKey, AuditEvent
from tests.key_pages import fill, listing, page_of, sign_in, text_of, token_of

pytestmark = pytest.mark.django_db


def act(client, organization, action: str):
    """Open the page and press a button, as a browser does."""
    page = listing(organization, "shared-secret")
    return client.post(page, {"token": token_of(client.get(page)), "action": action})


def shown(response) -> str | None:
    found = re.search(r'<code id="shared-secret">(\w+)</code>', text_of(response))
    return found and found[1]


def test_looking_at_the_page_shows_nothing(acme, developer):
    secret = services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme)
    response = sign_in(developer).get(listing(acme, "shared-secret"))
    assert response.status_code == 200
    assert secret not in text_of(response)


def test_a_developer_sees_the_shared_secret_when_asking_for_it(acme, developer):
    client = sign_in(developer)
    response = act(client, acme, "reveal")
    assert shown(response) == services.reveal_shared_secret(
        actor=policy.OPERATOR, organization=acme
    )
    assert "no-store" in response["Cache-Control"]
    event = AuditEvent.objects.filter(actor_user=developer).get()
    assert (event.action, event.door) == ("organization.shared_secret_revealed", "page")


def test_an_admin_replaces_the_shared_secret_and_sees_the_new_one(acme, admin):
    old = services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme)
    new = shown(act(sign_in(admin), acme, "replace"))
    assert new not in (None, old)
    assert services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme) == new


def test_the_same_form_sent_again_replaces_nothing(acme, admin):
    client = sign_in(admin)
    page = listing(acme, "shared-secret")
    form = {"token": token_of(client.get(page)), "action": "replace"}
    new = shown(client.post(page, form))
    response = client.post(page, form, follow=True)
    assert shown(response) is None
    assert "nothing was done twice" in text_of(response)
    assert services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme) == new


def test_a_developer_cannot_replace_it(acme, developer):
    client = sign_in(developer)
    assert "Replace it" not in text_of(client.get(listing(acme, "shared-secret")))
    old = services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme)
    assert act(client, acme, "replace").status_code == 403
    assert services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme) == old


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_issues_no_keys_has_no_such_page(acme, viewer, staff, stranger, other, method):
    page = listing(acme, "shared-secret")
    statuses = [
        getattr(sign_in(person), method)(page, {"action": "reveal"}).status_code
        for person in (viewer, staff, stranger)
    ]
    assert statuses == [403, 403, 404]


def test_nonsense_shows_nothing(acme, admin):
    client = sign_in(admin)
    page = listing(acme, "shared-secret")
    for form in ({"action": "burn"}, {"token": "x", "action": "reveal"}, {"token": "\x00"}):
        response = client.post(page, form)
        assert (response.status_code, shown(response)) == (200, None)
    assert not AuditEvent.objects.filter(action__contains="shared_secret").exists()


def test_a_shared_secret_whose_pepper_is_gone_is_told_to_be_replaced(acme, admin, settings):
    services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme)
    settings.KEY_PEPPERS = {2: b"another pepper of thirty-two bytes."}
    client = sign_in(admin)
    response = act(client, acme, "reveal")
    assert shown(response) is None
    assert "replace the shared secret" in text_of(response)
    assert shown(act(client, acme, "replace"))


def netosecret(response) -> dict | None:
    found = re.search(
        r'<pre id="netosecret".*?reveal__value">([^<]*)<', text_of(response), flags=re.DOTALL
    )
    return found and json.loads(base64.b64decode(html.unescape(found[1]), validate=True))


def test_netosecret_is_shown_once_beside_a_new_netography_key(acme, developer):
    client = sign_in(developer)
    form = fill(client, acme, name="CI", dialect="netography")
    response = client.post(listing(acme, "create"), form)
    key = APIKey.objects.get(name="CI")
    members = netosecret(response)
    assert services.verify_key(secret=members.pop("appkey"), address=None).key == key
    assert members == {
        "url": "http://testserver/api/v1",
        "shortname": "acme",
        "appname": "ci",
        "sharedsecret": services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme),
    }
    assert netosecret(client.post(listing(acme, "create"), form)) is None
    assert netosecret(client.get(page_of(key))) is None


def test_netosecret_is_shown_after_a_rotation_too(acme, developer):
    client = sign_in(developer)
    key = services.issue_key(
        actor=developer, organization=acme, name="CI", dialect="netography", scopes=["READ"]
    )
    page = page_of(key, "rotate")
    form = {"token": token_of(client.get(page)), "overlap": "0"}
    members = netosecret(client.post(page, form))
    assert services.verify_key(secret=members["appkey"], address=None).key == key


def test_keys_of_other_formats_come_without_netosecret(acme, developer):
    client = sign_in(developer)
    response = client.post(listing(acme, "create"), fill(client, acme, name="CI"))
    assert "NETOSECRET" not in text_of(response)


def test_a_new_key_is_shown_even_when_netosecret_cannot_be(acme, developer, settings):
    services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme)
    settings.KEY_PEPPERS = {2: b"another pepper of thirty-two bytes."}
    client = sign_in(developer)
    form = fill(client, acme, name="CI", dialect="netography")
    response = client.post(listing(acme, "create"), form)
    assert netosecret(response) is None
    assert "neto_" in text_of(response)
    assert reverse("keys:detail", args=["acme", APIKey.objects.get().identifier]) in text_of(
        response
    )
