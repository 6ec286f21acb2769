"""The account pages in a browser: a forgotten password, from the sign-in page to the keys."""

import re

import pytest
from django.core import mail

from tests import openid
from tests.hosts import wait_until
from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("playwright", reason="Playwright is in the browser lock only.")

from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)

NEW_PASSWORD = "another horse, another battery"


@pytest.mark.parametrize(
    ("width", "has_scripts"), [(1280, True), (360, False)], ids=["scripts", "no-scripts"]
)
def test_forgotten_password_is_replaced_and_signs_in(visit, owner, acme, width, has_scripts):
    page = visit("/", width=width, java_script_enabled=has_scripts)
    expect(page.get_by_label("Email")).to_be_focused()
    page.get_by_role("link", name="Forgot your password?").click()
    expect(page.get_by_role("heading", name="Reset your password")).to_be_visible()
    page.get_by_label("Email").fill(owner.email)
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()

    # It is sent once the page is.
    wait_until(lambda: mail.outbox)
    page.goto(re.search(r"http://\S+", mail.outbox[-1].body)[0])
    expect(page.get_by_role("heading", name="Choose a new password")).to_be_visible()
    page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
    page.get_by_label("New password, again").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("heading", name="Your password is set")).to_be_visible()

    page.get_by_role("main").get_by_role("link", name="Sign in").click()
    page.get_by_label("Email").fill(owner.email)
    page.get_by_label("Password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Acme")).to_be_visible()


def test_account_pages_lead_back_to_the_keys(visit, owner, acme):
    page = visit("/organizations/acme/", person=owner)
    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("link", name="Sessions").click()
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    page.get_by_role("link", name="Back to your keys").click()
    expect(page).to_have_url(re.compile("/organizations/acme/$"))


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_single_sign_on_leads_from_its_button_to_the_keys(
    visit, owner, acme, settings, has_scripts
):
    with openid.provider() as provider:
        for name, value in provider.settings().items():
            setattr(settings, name, value)
        provider.claims = {"sub": "1", "email": owner.email, "email_verified": True}
        page = visit("/", java_script_enabled=has_scripts)
        page.get_by_role("button", name="Sign in by Acme ID").click()
        expect(page.get_by_role("heading", name="Acme")).to_be_visible()
        page.goto("/accounts/3rdparty/")
        expect(page.get_by_text(owner.email).first).to_be_visible()
        assert page.complaints == []
