"""The staff door in a browser: find a key that somebody presented, lock it, read reports."""

from datetime import timedelta

import pytest
from django.utils import timezone

from keys import services
from keys.models import ApprovalRequest
from keys.networks import parse_address
from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("axe_playwright_python", reason="axe is in the browser lock only.")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)

LISTS = ("apikey", "auditevent", "decision", "organization", "role", "scope", "user")


@pytest.fixture
def installation(acme, owner, developer, key, manage_key, strangers_key, staff):
    """Two organizations with keys that were used, and something for staff to look at."""
    services.update_key(actor=owner, key=manage_key, name="A very long name of a key " + "x" * 90)
    services.verify_key(secret=key.secret, address=parse_address("2001:db8:1234:5678::99"))
    services.lock_key(actor=staff, key=strangers_key, reason="Seen in a public repository")
    services.suspend_organization(actor=staff, organization=strangers_key.organization)
    ApprovalRequest.objects.create(
        organization=acme,
        requester=developer,
        kind="issue",
        terms={"name": "w" * 120, "scopes": ["READ"]},
        reason="r" * 500,
        ends_at=timezone.now() + timedelta(days=9),
    )
    return acme


def pages_of(organization, key) -> list[str]:
    asked = f"/admin/keys/approvalrequest/{ApprovalRequest.objects.get().pk}/"
    return [
        "/admin/",
        "/admin/search/",
        "/admin/reports/",
        "/admin/reports/keys-by-organization/",
        "/admin/reports/without-second-factor/",
        "/admin/reports/peppers/",
        "/status/",
        *(f"/admin/keys/{name}/" for name in LISTS),
        "/admin/keys/apikey/?status=revoked",
        f"/admin/keys/apikey/{key.pk}/change/",
        f"/admin/keys/apikey/{key.pk}/press/lock/",
        f"/admin/keys/apikey/{key.pk}/press/revoke/",
        f"{asked}change/",
        f"{asked}press/approve/",
        f"/admin/keys/organization/{organization.pk}/change/",
        f"/admin/keys/organization/{organization.pk}/press/suspend/",
        "/admin/keys/organization/add/",
        "/admin/keys/role/add/",
    ]


def violations(page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url} {each['id']}: {[node['target'] for node in each['nodes']]}" for each in found
    ]


@pytest.mark.parametrize("width", [1280, 800])
def test_at_a_desk_staff_see_the_names_of_all_lists(visit, superuser, width):
    page = visit("/admin/", person=superuser, width=width, locale="de-DE")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    for tab in page.locator(".tabs a").all():
        expect(tab).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_staff_find_a_presented_key_and_lock_it_for_a_reason(
    visit, staff, installation, key, has_scripts
):
    page = visit("/admin/", person=staff, java_script_enabled=has_scripts)
    addresses = []
    page.on("request", lambda request: addresses.append(request.url))
    page.get_by_role("searchbox", name="Search everything").fill(key.secret)
    page.get_by_role("searchbox", name="Search everything").press("Enter")
    expect(page.get_by_role("heading", name="Backend", level=1)).to_be_visible()
    expect(page.get_by_text("2001:db8:1234:5678::99").first).to_be_visible()

    page.get_by_role("link", name="Lock…").click()
    expect(page.get_by_role("heading", name="Lock “Backend”?")).to_be_visible()
    page.get_by_label("Reason").fill("Seen in a public repository")
    page.get_by_role("button", name="Lock", exact=True).click()
    expect(page.get_by_text("Locked Backend. Only staff can unlock it.")).to_be_visible()
    expect(page.get_by_text("Seen in a public repository")).to_be_visible()
    assert services.verify_key(secret=key.secret, address=None).code == "LOCKED"

    page.get_by_role("link", name="Overview").click()
    page.get_by_role("link", name="Keys locked by staff").click()
    page.get_by_role("row").filter(has_text="Backend").get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option("Unlock selected API keys")
    page.get_by_role("button", name="Go", exact=True).click()
    page.get_by_role("button", name="Unlock", exact=True).click()
    expect(page.get_by_text("Unlocked Backend.")).to_be_visible()
    assert services.verify_key(secret=key.secret, address=None).is_valid
    assert not any(key.secret in address for address in addresses)


def test_staff_take_a_report_along(visit, staff, installation):
    page = visit("/admin/reports/", person=staff)
    page.get_by_role("link", name="Keys by organization and status").click()
    expect(page.get_by_role("row").filter(has_text="Acme")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert download.value.suggested_filename == "keys-by-organization.csv"


@pytest.mark.parametrize("width", [360, 1280])
def test_staff_pages_fit_and_the_browser_has_no_complaint(
    visit, superuser, installation, key, width
):
    page = visit("/admin/", person=superuser, width=width)
    for path in pages_of(installation, key):
        assert page.goto(path).status == 200, path
        beyond = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert beyond <= 0, f"{path} is {beyond} px too wide"
        assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_staff_pages_have_no_barrier(visit, superuser, installation, key, scheme):
    page = visit("/admin/", person=superuser, color_scheme=scheme)
    found = []
    for path in pages_of(installation, key):
        page.goto(path)
        found += violations(page)
    page.get_by_role("searchbox", name="Search everything").fill("acme")
    page.get_by_role("searchbox", name="Search everything").press("Enter")
    expect(page.get_by_role("heading", name="People")).to_be_visible()
    found += violations(page)
    # Axe itself breaks the policy on styles, so what the console then says is not ours.
    page.complaints.clear()
    assert found == []
