"""The pages, as the people of the cast meet them."""

import re
from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from keys import policy, services
from keys.models import AuditEvent
from keys.models.keys import Status
from keys.networks import parse_address
from keys.verification import Code

pytestmark = pytest.mark.django_db

HERE = parse_address("127.0.0.1")
ELSEWHERE = parse_address("203.0.113.50")


def sign_in(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page_of(key, page="detail") -> str:
    return reverse(f"keys:{page}", args=[key.organization.slug, key.identifier])


def listing(organization, page="list") -> str:
    return reverse(f"keys:{page}", args=[organization.slug])


def text_of(response) -> str:
    return response.content.decode()


def token_of(response) -> str:
    return re.search(r'name="token" value="(\w+)"', text_of(response))[1]


def fill(client, organization, **changes) -> dict:
    """Return the new-key form as a browser would send it, with these changes."""
    form = client.get(listing(organization, "create")).context["form"]
    values = {
        "token": token_of(client.get(listing(organization, "create"))),
        "name": "Billing server",
        "description": "",
        "owner": "mine",
        "workspace": str(form["workspace"].value()),
        "access": "scopes",
        "scopes": ["READ"],
        "allowed_ips": "",
        "expiry": "90",
        "limit": "",
        "limit_reset": "",
        "dialect": "native",
        "slug": "",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def secret_on(response) -> str:
    found = re.search(r'id="secret">([^<]+)<', text_of(response))
    assert found, text_of(response)
    return found[1]


PAGES_OF_A_KEY = ["detail", "edit", "rotate", "disable", "enable", "revoke", "lock", "unlock"]
PAGES_OF_AN_ORGANIZATION = ["overview", "list", "create"]


# Who gets in


def test_anonymous_is_sent_to_sign_in(client, acme, key):
    addresses = [page_of(key, page) for page in PAGES_OF_A_KEY]
    addresses += [listing(acme, page) for page in PAGES_OF_AN_ORGANIZATION]
    for address in ["/", *addresses]:
        response = client.get(address)
        assert response.status_code == 302, address
        assert response["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("name", PAGES_OF_A_KEY)
def test_stranger_finds_nothing_of_another_organization(name, stranger, other, key):
    """T10, T11: another organization's key is as good as a missing one."""
    client = sign_in(stranger)
    theirs, missing = page_of(key, name), page_of(key, name).replace(key.identifier, "a" * 24)
    under_own = theirs.replace("/acme/", "/other/")
    for address in (theirs, missing, under_own):
        assert client.get(address).status_code == 404
        assert client.post(address).status_code == (405 if name == "detail" else 404)
    assert text_of(client.get(theirs)) == text_of(client.get(missing))
    key.refresh_from_db()
    assert key.status is Status.ACTIVE


def test_stranger_finds_no_page_of_another_organization(stranger, other, acme):
    client = sign_in(stranger)
    for page in PAGES_OF_AN_ORGANIZATION:
        assert client.get(listing(acme, page)).status_code == 404


def test_switcher_names_the_persons_organizations_only(owner, acme, other):
    assert "Other" not in text_of(sign_in(owner).get(listing(acme)))


def _issue(actor, organization, name, **fields):
    return services.issue_key(actor=actor, organization=organization, name=name, **fields)


# Issuing


def test_name_of_a_key_is_text_everywhere(owner, acme):
    key = _issue(owner, acme, "<script>alert(1)</script>")
    client = sign_in(owner)
    addresses = [page_of(key, page) for page in PAGES_OF_A_KEY if page not in ("lock", "unlock")]
    for address in [listing(acme), listing(acme, "overview"), *addresses]:
        response = client.get(address)
        assert response.status_code == 200, address
        assert "<script>alert" not in text_of(response)


# The key page


def test_key_page_tells_what_counts_today(developer, viewer, acme, key):
    """A key narrows with its owner: scopes that the owner lost are struck out."""
    from keys.models import Role

    membership = acme.memberships.get(user=developer)
    readonly = Role.objects.get(organization=None, name="readonly")
    services.update_member(actor=policy.OPERATOR, membership=membership, role=readonly)
    response = sign_in(developer).get(page_of(key))
    counts = {scope.code: counts for scope, counts in response.context["effective"]}
    assert counts == {"READ": True, "CREATE": False, "UPDATE": False, "DELETE": False}
    assert "(not effective)" in text_of(response)


def test_key_page_says_whether_an_address_would_work(owner, acme):
    key = _issue(owner, acme, "Office", allowed_ips=["192.0.2.0/24"])
    client = sign_in(owner)
    assert "is accepted" in text_of(client.get(page_of(key), {"address": "192.0.2.7"}))
    refused = text_of(client.get(page_of(key), {"address": "198.51.100.1"}))
    assert "the address is not allowed" in refused
    assert Code.FORBIDDEN_ADDRESS in refused
    for nonsense in ("10.1", "192.0.2.0/24", "fe80::1%eth0", "\0", "x" * 100):
        response = client.get(page_of(key), {"address": nonsense})
        assert response.status_code == 200
        assert response.context["address_form"].errors


def test_key_page_shows_use_and_refusals(owner, acme):
    key = _issue(owner, acme, "Office", allowed_ips=["192.0.2.0/24"])
    services.verify_key(secret=key.secret, address=parse_address("192.0.2.7"), user_agent="curl/8")
    services.verify_key(secret=key.secret, address=ELSEWHERE)
    page = text_of(sign_in(owner).get(page_of(key)))
    assert "192.0.2.7" in page
    assert "curl/8" in page
    assert "Address not allowed" in page


def test_viewer_reads_their_old_key_and_is_offered_no_change(developer, acme, key):
    from keys.models import Role

    membership = acme.memberships.get(user=developer)
    readonly = Role.objects.get(organization=None, name="readonly")
    services.update_member(actor=policy.OPERATOR, membership=membership, role=readonly)
    client = sign_in(developer)
    page = text_of(client.get(page_of(key)))
    for action in ("edit", "rotate", "disable", "revoke", "lock"):
        assert page_of(key, action) not in page
        assert client.get(page_of(key, action)).status_code == 403
        assert client.post(page_of(key, action)).status_code == 403


def test_history_is_for_those_who_may_see_it(developer, admin, acme, key):
    assert "issued the key" in text_of(sign_in(admin).get(page_of(key)))
    assert "issued the key" not in text_of(sign_in(developer).get(page_of(key)))


# Changing


# Rotating


def test_overlap_can_be_ended_from_the_key_page(developer, acme, key):
    services.rotate_key(actor=developer, key=key, overlap=timedelta(days=7))
    old = key.secrets.get(retires_at__isnull=False)
    client = sign_in(developer)
    address = reverse("keys:retire", args=["acme", key.identifier, old.pk])
    assert address in text_of(client.get(page_of(key)))
    assert client.get(address).status_code == 405
    client.post(address)
    assert services.verify_key(secret=key.secret, address=HERE).code is Code.SECRET_RETIRED


def test_current_secret_is_not_retired_and_anothers_is_not_found(developer, acme, key, manage_key):
    client = sign_in(developer)
    current = key.secrets.get()
    address = reverse("keys:retire", args=["acme", key.identifier, current.pk])
    assert "current secret" in text_of(client.post(address, follow=True))
    theirs = manage_key.secrets.get()
    address = reverse("keys:retire", args=["acme", key.identifier, theirs.pk])
    assert client.post(address).status_code == 404
    for secret in (key.secret, manage_key.secret):
        assert services.verify_key(secret=secret, address=HERE).is_valid


# Stopping


def test_looking_at_a_confirmation_changes_nothing(owner, acme, key):
    client = sign_in(owner)
    for action in ("disable", "enable", "revoke"):
        assert client.get(page_of(key, action)).status_code == 200
    key.refresh_from_db()
    assert key.status is Status.ACTIVE


def test_developer_disables_and_enables_their_key(developer, acme, key):
    client = sign_in(developer)
    client.post(page_of(key, "disable"))
    assert services.verify_key(secret=key.secret, address=HERE).code is Code.DISABLED
    assert page_of(key, "enable") in text_of(client.get(page_of(key)))
    client.post(page_of(key, "enable"))
    assert services.verify_key(secret=key.secret, address=HERE).is_valid


def test_developer_revokes_their_key_for_good(developer, acme, key):
    client = sign_in(developer)
    response = client.post(page_of(key, "revoke"), follow=True)
    assert "revoked for good" in text_of(response)
    assert page_of(key, "edit") not in text_of(response)
    assert services.verify_key(secret=key.secret, address=HERE).code is Code.REVOKED
    for action in ("edit", "rotate", "disable", "enable", "revoke"):
        for answer in (client.get, client.post):
            assert answer(page_of(key, action)).url == page_of(key)
    assert AuditEvent.objects.filter(action="apikey.revoked").count() == 1


def test_change_made_on_a_page_is_recorded_with_its_origin(developer, acme, key):
    sign_in(developer).post(page_of(key, "disable"))
    event = AuditEvent.objects.get(action="apikey.disabled")
    assert (event.actor_user, event.door, event.address) == (developer, "page", "127.0.0.1")
    assert event.request_id


# Staff


def test_staff_look_everywhere_and_lock_but_do_not_change(staff, acme, key):
    client = sign_in(staff)
    assert "as staff" in text_of(client.get(listing(acme)))
    page = text_of(client.get(page_of(key)))
    assert page_of(key, "lock") in page
    assert page_of(key, "edit") not in page
    assert client.get(page_of(key, "edit")).status_code == 403
    assert client.get(listing(acme, "create")).status_code == 403
    client.post(page_of(key, "lock"))
    assert services.verify_key(secret=key.secret, address=HERE).code is Code.LOCKED
    client.post(page_of(key, "unlock"))
    assert services.verify_key(secret=key.secret, address=HERE).is_valid


# Every page


def test_no_page_needs_an_exception_from_the_content_security_policy(owner, acme, key):
    client = sign_in(owner)
    addresses = ["/accounts/email/", "/accounts/2fa/", "/accounts/sessions/", "/accounts/login/"]
    addresses += [listing(acme, page) for page in PAGES_OF_AN_ORGANIZATION]
    addresses += [page_of(key, page) for page in PAGES_OF_A_KEY]
    for address in addresses:
        response = client.get(address)
        policy_header = response["Content-Security-Policy"]
        assert "unsafe" not in policy_header
        page = text_of(response)
        assert not re.search(r"\sstyle=|<style|\son\w+=", page), address
        for script in re.findall(r"<script[^>]*>", page):
            assert "src=" in script or "application/json" in script, address


@pytest.mark.parametrize("status", ["400", "403", "403_csrf", "404", "500"])
def test_error_pages_need_neither_a_request_nor_the_database(status, django_assert_num_queries):
    with django_assert_num_queries(0):
        page = render_to_string(f"{status}.html")
    assert status[:3] in page
    assert 'href="/"' in page


def test_favicon_is_found_by_pages_without_an_icon(client):
    assert client.get("/favicon.ico").url.endswith(".svg")
