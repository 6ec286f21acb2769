"""The API reference in a browser, under the strict content security policy."""

import re

import pytest

from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("playwright", reason="Playwright is in the browser lock only.")

import pytest
from playwright.sync_api import expect


def test_anybody_reads_the_reference_and_tries_a_call_from_it(visit, manage_key):
    """Scripts, styles and icons come from this host; the console says nothing."""
    page = visit("/docs/native/")
    hosts = set()
    page.on("request", lambda request: hosts.add(re.match(r"\w+:(//[^/]+)?", request.url)[0]))
    page.reload()
    expect(page.get_by_text("Keyhaven API", exact=False).first).to_be_visible()
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("auth-bearer-value").fill(manage_key.secret)
    page.get_by_role("button", name="Apply credentials").first.click()
    page.get_by_role("button", name="Close").first.click()
    page.locator("#operations-organizations-organizations_list .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    answer = page.locator(".live-responses-table")
    expect(answer.locator("tbody .response-col_status").first).to_contain_text("200")
    expect(answer).to_contain_text("acme")
    assert hosts <= {page.evaluate("location.origin"), "data:"}


def test_a_reader_comes_from_the_index_and_finds_their_workspace_filled_in(visit, owner, acme):
    page = visit("/docs/", person=owner)
    page.get_by_role("link", name="Read and try OpenRouter").click()
    page.locator("[id$=createKeys] .opblock-summary-control").first.click()
    page.get_by_role("button", name="Try it out").click()
    workspace = str(acme.workspaces.get().pk)
    expect(page.locator("textarea.body-param__text").first).to_contain_text(workspace)
    page.get_by_role("link", name="All dialects").click()
    expect(page.get_by_role("heading", name="API reference")).to_be_visible()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_reference_follows_the_theme_and_fits(visit, db, width):
    page = visit("/docs/i3d/", width=width, color_scheme="dark")
    expect(page.locator(".opblock").first).to_be_visible()
    title = page.locator(".swagger-ui .info .title")
    shade = "element => getComputedStyle(element).color.match(/\\d+/g).map(Number)[0]"
    assert title.evaluate(shade) > 180
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html.dark-mode")).to_have_count(0)
    assert title.evaluate(shade) < 80
    assert page.evaluate("document.documentElement.scrollWidth") <= width
