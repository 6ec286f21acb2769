"""The home of an organization, what it leads to, and its audit trail, in a browser."""

import re

import pytest
from django.utils import timezone

from keys import services, tallies
from keys.models import APIKey, UsageBucket
from keys.verification import Code
from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("playwright", reason="Playwright is in the browser lock only.")

from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)
IS_TOLD = True

HOME = "/organizations/acme/"


@pytest.fixture
def used(acme, owner):
    """Two keys of the organization without an end; one of them was used, and refused."""
    keys = [
        services.issue_key(
            actor=owner, organization=acme, name=name, owner=None, allowed_ips=["127.0.0.1"]
        )
        for name in ("Storefront", "Warehouse")
    ]
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for outcome, requests in ((Code.VALID, 40), (Code.FORBIDDEN_ADDRESS, 2)):
        UsageBucket.objects.create(
            key=keys[0],
            secret=keys[0].current_secret,
            hour=hour,
            outcome=outcome,
            requests=requests,
        )
    tallies.recount(acme)
    return keys


@pytest.mark.parametrize(
    ("width", "scheme", "has_scripts"), [(360, "dark", True), (1280, "light", False)]
)
def test_owner_looks_at_use_and_tidies_up(visit, owner, used, width, scheme, has_scripts):
    page = visit(
        HOME, person=owner, width=width, color_scheme=scheme, java_script_enabled=has_scripts
    )
    expect(page.get_by_role("heading", name="Requests in the last 24 hours")).to_be_visible()
    ranges = page.get_by_role("navigation", name="Time shown")
    ranges.get_by_role("link", name="7 days").click()
    expect(page.get_by_role("heading", name="Requests in the last 7 days")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?range=7d$"))
    if has_scripts:
        expect(ranges.get_by_role("link", name="7 days")).to_be_focused()
    expect(page.get_by_role("link", name="Storefront").first).to_be_visible()
    expect(page.get_by_text("The address is not allowed")).to_be_visible()

    page.get_by_role("link", name=re.compile("^Review.*Never expires")).click()
    expect(page.get_by_role("heading", name="Never expires")).to_be_visible()
    page.get_by_role("checkbox", name="Select “Storefront”").check()
    page.get_by_role("button", name="Set expiry…").click()
    page.get_by_role("radio", name=re.compile("^90 days")).check()
    page.get_by_role("button", name="Show what will change").click()
    page.get_by_role("button", name="Change 1 key").click()
    expect(page.get_by_text("1 key has a new expiry")).to_be_visible()
    expect(page.get_by_role("link", name="Storefront", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Warehouse", exact=True)).to_be_visible()
    assert APIKey.objects.get(name="Storefront").expires_at is not None

    page.get_by_role("navigation", name="Acme").get_by_role("link", name="Audit trail").click()
    expect(page.get_by_text("changed the key").first).to_be_visible()
    page.get_by_label("Did").select_option("Key issued")
    page.get_by_label("To what").fill("ware")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile(r"action=apikey\.issued&object=ware"))
    expect(page.get_by_text("issued the key")).to_have_count(1)
    expect(page.get_by_text("changed the key")).to_have_count(0)
    page.get_by_text("Details").click()
    expect(page.get_by_text("Allowed IPs: 127.0.0.1")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename == "acme-audit-trail.csv"


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_owner_is_asked_before_the_short_name_changes(visit, owner, acme, has_scripts):
    page = visit(f"{HOME}settings/", person=owner, java_script_enabled=has_scripts)
    page.get_by_label("Short name").fill("acme-freight")
    page.get_by_role("radio", name=re.compile("^Another age")).check()
    page.get_by_label("Days", exact=True).fill("42")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("another organization may take the name")).to_be_visible()
    page.get_by_label("I know that addresses and token exchanges").check()
    page.get_by_role("button", name="Save changes").click()
    expect(page).to_have_url(re.compile("/organizations/acme-freight/settings/$"))
    expect(page.get_by_text("The settings of Acme are saved")).to_be_visible()
    expect(page.get_by_label("Days", exact=True)).to_have_value("42")
