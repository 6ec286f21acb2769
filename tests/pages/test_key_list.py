"""The list of keys in a browser: found, narrowed, sorted, changed many at a time."""

import re

import pytest

from keys import services
from keys.models import APIKey
from keys.models.keys import Status
from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("playwright", reason="Playwright is in the browser lock only.")

from playwright.sync_api import expect

from tests.pages.test_every_page import violations

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/organizations/acme/keys/"
with_and_without_scripts = pytest.mark.parametrize(
    "has_scripts", [True, False], ids=["scripts", "no-scripts"]
)


def row_of(page, name):
    return page.get_by_role("row").filter(has_text=name)


@pytest.fixture
def five(owner, acme):
    """Five live keys and one that is revoked."""
    keys = [
        services.issue_key(actor=owner, organization=acme, name=name, scopes=["READ"])
        for name in ("Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Over")
    ]
    services.revoke_key(actor=owner, key=keys.pop())
    return keys


@pytest.mark.parametrize("width", [360, 1280])
@with_and_without_scripts
def test_owner_looks_at_what_will_change_and_changes_it(visit, owner, five, width, has_scripts):
    page = visit(LIST, person=owner, width=width, java_script_enabled=has_scripts)
    bar = page.get_by_role("group", name="Change the selected keys")
    expect(bar).to_be_hidden()
    for name in ("Beta", "Delta"):
        page.get_by_role("checkbox", name=f"Select “{name}”").check()
    if has_scripts:
        expect(bar.get_by_text("2 keys selected")).to_be_visible()
    bar.get_by_role("button", name="Set expiry…").click()
    expect(page.get_by_text("For 2 keys:")).to_be_visible()
    page.get_by_role("radio", name=re.compile("^30 days")).check()
    page.get_by_role("button", name="Show what will change").click()
    expect(page.get_by_role("heading", name="Set the expiry of 2 keys?")).to_be_visible()
    expect(row_of(page, "Beta")).to_contain_text("Never expires")
    page.get_by_role("button", name="Choose something else").click()
    page.get_by_role("radio", name=re.compile("^7 days")).check()
    page.get_by_role("button", name="Show what will change").click()
    page.get_by_role("button", name="Change 2 keys").click()
    expect(page.get_by_text("2 keys have a new expiry.")).to_be_visible()
    expect(row_of(page, "Beta")).to_contain_text("in 7 days")

    for name in ("Alpha", "Beta"):
        page.get_by_role("checkbox", name=f"Select “{name}”").check()
    bar.get_by_role("button", name="Revoke…").click()
    page.get_by_role("button", name="Revoke 2 keys").click()
    expect(page.get_by_text("2 keys are revoked for good.")).to_be_visible()
    expect(row_of(page, "Alpha")).to_have_count(0)
    page.get_by_role("link", name="Revoked", exact=True).click()
    expect(row_of(page, "Alpha")).to_be_visible()
    revoked = APIKey.objects.with_status(Status.REVOKED, five[0].created_at)
    assert {key.name for key in revoked} == {"Alpha", "Beta", "Over"}


def test_page_is_selected_at_once_and_by_ranges(visit, owner, five):
    page = visit(LIST, person=owner)
    everything = page.get_by_role("checkbox", name="Select all keys on this page")
    everything.check()
    expect(page.get_by_text("5 keys selected")).to_be_visible()
    everything.uncheck()
    expect(page.get_by_role("group", name="Change the selected keys")).to_be_hidden()
    page.get_by_role("checkbox", name="Select “Epsilon”").focus()
    page.keyboard.press("Space")
    page.get_by_role("checkbox", name="Select “Beta”").click(modifiers=["Shift"])
    expect(page.get_by_text("4 keys selected")).to_be_visible()
    page.get_by_role("searchbox").fill("gamma")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("checkbox", name="Select all keys on this page").check()
    expect(page.get_by_text("1 key selected")).to_be_visible()


def test_shortcuts_are_listed_and_can_be_switched_off(visit, owner, key):
    page = visit(LIST, person=owner)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog.get_by_text("New key")).to_be_visible()
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    dialog.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).not_to_be_focused()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.get_by_role("searchbox").blur()
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="New API key")).to_be_visible()


def test_shortcuts_are_listed_without_scripts(visit, viewer, acme):
    page = visit(LIST, person=viewer, java_script_enabled=False)
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(page.get_by_text("Search keys")).to_be_visible()


def test_list_narrows_while_typing_and_its_address_follows(visit, owner, key, manage_key):
    page = visit(LIST, person=owner)
    page.get_by_role("searchbox").press_sequentially("back")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page).to_have_url(re.compile(r"\?search=back$"))
    page.reload()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("columnheader", name="Key", exact=True).get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"\?search=back&ordering=name$"))
    expect(page.get_by_role("columnheader", name="Key", exact=True)).to_have_attribute(
        "aria-sort", "ascending"
    )
    page.get_by_role("link", name="Search: back").click()
    expect(page.get_by_role("row")).to_have_count(3)
    page.go_back()
    expect(page.get_by_role("row")).to_have_count(2)


@pytest.mark.parametrize("width", [360, 1280])
@with_and_without_scripts
def test_filters_open_and_apply(visit, owner, key, manage_key, width, has_scripts):
    page = visit(LIST, person=owner, width=width, java_script_enabled=has_scripts)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Owner", exact=True).select_option("mine")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    expect(page).to_have_url(re.compile("owner=mine"))
    page.get_by_role("link", name="Look among revoked keys").click()
    expect(page).to_have_url(re.compile("status=revoked"))
    page.get_by_role("link", name="Show all keys").click()
    expect(row_of(page, "Backend")).to_be_visible()


@with_and_without_scripts
def test_pasted_key_is_found_and_stays_out_of_every_address(visit, owner, key, has_scripts):
    page = visit(LIST, person=owner, java_script_enabled=has_scripts)
    addresses = []
    page.on("request", lambda request: addresses.append(request.url))
    page.get_by_role("searchbox").fill(key.secret)
    if not has_scripts:
        page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="Backend")).to_be_visible()
    assert any("search" in address for address in addresses)
    assert not any(key.secret in address for address in addresses)


@with_and_without_scripts
def test_export_is_a_file_of_what_is_listed(visit, owner, five, has_scripts):
    page = visit(f"{LIST}?scope=READ&ordering=name", person=owner, java_script_enabled=has_scripts)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    assert re.fullmatch(r"acme-api-keys-\d{4}-\d\d-\d\d\.csv", download.value.suggested_filename)
    lines = download.value.path().read_text().splitlines()
    names = [line.split(",")[2] for line in lines]
    assert names == ["name", "Alpha", "Beta", "Delta", "Epsilon", "Gamma"]


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_nothing_on_the_way_is_a_barrier(visit, owner, developer, five, width, scheme):
    # Axe itself breaks the policy on styles, so what the console then says is not ours.
    page = visit(LIST, person=owner, width=width, color_scheme=scheme)
    found = []

    def look():
        beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert beyond <= 0, f"{page.url} is {beyond} px too wide"
        found.extend(violations(page))

    page.get_by_role("checkbox", name="Select “Beta”").check()
    look()
    page.keyboard.press("?")
    look()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add allowed IP…").click()
    page.get_by_label("Address or range").fill("10.0.0.1/8")
    page.get_by_role("button", name="Show what will change").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look()
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_label("Address or range")).to_have_value("127.0.0.1")
    page.get_by_role("button", name="Show what will change").click()
    expect(page.get_by_role("heading", name="Allow 127.0.0.1 to 1 key?")).to_be_visible()
    look()
    empty = visit(LIST, person=developer, width=width, color_scheme=scheme)
    expect(empty.get_by_role("heading", name="No keys yet")).to_be_visible()
    found += violations(empty)
    page.complaints.clear()
    empty.complaints.clear()
    assert found == []
