"""People read the pages in their language; longer words do not break them."""

import pytest

from tests.pages.conftest import IS_REQUIRED
from tests.pages.test_every_page import lived_in, pages_of  # noqa: F401 (a fixture)

if not IS_REQUIRED:
    pytest.importorskip("playwright", reason="Playwright is in the browser lock only.")

from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_person_switches_language_and_stays_on_the_page(visit, viewer, has_scripts):
    path = "/organizations/acme/keys/?status=revoked"
    page = visit(path, person=viewer, java_script_enabled=has_scripts)
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("heading", name="API-Schlüssel", exact=True)).to_be_visible()
    assert page.url.endswith(path)
    page.get_by_role("link", name="Überblick").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("link", name="Overview")).to_be_visible()


def test_german_pages_fit_a_phone(visit, owner, lived_in):  # noqa: F811 (the fixture)
    page = visit("/organizations/acme/", person=owner, width=360, locale="de-DE")
    for path in [*pages_of(lived_in), "/accounts/email/", "/accounts/2fa/", "/docs/"]:
        assert page.goto(path).status == 200, path
        expect(page.locator("html")).to_have_attribute("lang", "de")
        beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert beyond <= 0, f"{path} is {beyond} px too wide"
