"""What holds of every page, whatever it is about."""

import re

import pytest
from django.template.loader import render_to_string

from keys.models.keys import Status
from tests.key_pages import issue, listing, page_of, sign_in, text_of

pytestmark = pytest.mark.django_db

TABS_OF_A_KEY = [
    *("detail", "limits", "access", "rotation", "activity", "key-audit", "danger", "print")
]
PAGES_OF_A_KEY = [
    *TABS_OF_A_KEY,
    *("edit", "rotate", "disable", "enable", "revoke", "lock", "unlock"),
]
PAGES_OF_AN_ORGANIZATION = [
    *("overview", "list", "create", "explain", "hygiene", "audit", "settings"),
    *("members", "roles", "role-create", "scope-create", "workspaces", "server-addresses"),
    *("shared-secret", "leave"),
]


@pytest.mark.parametrize("name", PAGES_OF_A_KEY)
def test_stranger_finds_nothing_of_another_organization(name, stranger, other, key):
    """T10, T11: another organization's key is as good as a missing one."""
    client = sign_in(stranger)
    theirs, missing = page_of(key, name), page_of(key, name).replace(key.identifier, "a" * 24)
    under_own = theirs.replace("/acme/", "/other/")
    for address in (theirs, missing, under_own):
        assert client.get(address).status_code == 404
        is_only_read = name in TABS_OF_A_KEY and name != "access"
        assert client.post(address).status_code == (405 if is_only_read else 404)
    assert text_of(client.get(theirs)) == text_of(client.get(missing))
    key.refresh_from_db()
    assert key.status is Status.ACTIVE


def test_switcher_names_the_persons_organizations_only(owner, acme, other):
    assert "Other" not in text_of(sign_in(owner).get(listing(acme)))


def test_name_of_a_key_is_text_everywhere(owner, acme):
    key = issue(owner, acme, "<script>alert(1)</script>")
    client = sign_in(owner)
    addresses = [page_of(key, page) for page in PAGES_OF_A_KEY if page not in ("lock", "unlock")]
    addresses += [listing(acme, page) for page in PAGES_OF_AN_ORGANIZATION]
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200, address
        assert "<script>alert" not in text_of(response)


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
