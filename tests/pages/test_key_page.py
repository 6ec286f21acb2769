"""The pages of one key and Explain in a browser: by hand, by keyboard, on paper, on a phone."""

import re
from datetime import timedelta

import pytest

from keys import services
from keys.models import AllowedIP
from keys.networks import parse_address
from keys.verification import Code
from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("playwright", reason="Playwright is in the browser lock only.")

from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)
IS_TOLD = True

HERE = parse_address("127.0.0.1")
SCRIPTS = pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])


def address_of(key, tab=""):
    return f"/organizations/acme/keys/{key.identifier}/{tab}"


def verdict_on(key, address=HERE):
    return services.verify_key(secret=key.secret, address=address).code


def networks_of(key):
    return list(AllowedIP.objects.filter(key=key, active=True).values_list("network", flat=True))


@pytest.mark.parametrize("width", [360, 1280])
@SCRIPTS
def test_somebody_looks_at_a_key_confines_it_and_asks_why_it_is_refused(
    visit, developer, key, width, has_scripts
):
    verdict_on(key, parse_address("203.0.113.50"))
    page = visit(address_of(key), person=developer, width=width, java_script_enabled=has_scripts)
    expect(page.get_by_role("heading", name="Backend", level=1)).to_be_visible()
    page.get_by_role("link", name="24 hours").click()
    expect(page.get_by_role("link", name="24 hours")).to_have_attribute("aria-current", "true")

    tabs = page.get_by_role("navigation", name="Backend")
    tabs.get_by_role("link", name="Access").click()
    expect(tabs.get_by_role("link", name="Access")).to_have_attribute("aria-current", "page")
    page.get_by_label("Address or range").fill("192.0.2.1/24")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("did you mean 192.0.2.0/24?").first).to_be_visible()
    page.get_by_label("Address or range").fill("192.0.2.0/24")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("I know that it will not work from here").check()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("192.0.2.0/24 is on the list")).to_be_visible()

    page.get_by_label("Address", exact=True).fill("127.0.0.1")
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_text("FORBIDDEN_ADDRESS")).to_be_visible()
    page.get_by_role("link", name="Explain every check").click()
    expect(page.get_by_role("heading", name="It would be refused")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="this decides")).to_contain_text(
        "127.0.0.1 is not among the allowed: 192.0.2.0/24."
    )

    page.get_by_role("link", name="See its allowed IPs").click()
    page.get_by_role("button", name="Remove 192.0.2.0/24").click()
    expect(page.get_by_role("heading", name="Remove “192.0.2.0/24” from the list?")).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("192.0.2.0/24 is off the list")).to_be_visible()
    assert networks_of(key) == []


@SCRIPTS
def test_old_secret_is_set_to_close_when_quiet_and_then_stopped(visit, developer, key, has_scripts):
    services.rotate_key(actor=developer, key=key, overlap=timedelta(days=7))
    page = visit(address_of(key, "rotation/"), person=developer, java_script_enabled=has_scripts)
    page.get_by_label("Hours without use until it closes").fill("3")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_text("It ends when it was not used for 3 hours")).to_be_visible()
    page.get_by_role("link", name="Stop now…").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_role("link", name="Stop now…")).to_have_count(0)
    assert verdict_on(key) is Code.SECRET_RETIRED


@SCRIPTS
def test_pasted_key_is_explained_and_stays_out_of_every_address(visit, developer, key, has_scripts):
    page = visit("/organizations/acme/", person=developer, java_script_enabled=has_scripts)
    addresses = []
    page.on("request", lambda request: addresses.append(request.url))
    page.get_by_role("link", name="Explain").click()
    page.get_by_label("Key", exact=True).fill(key.secret)
    page.get_by_label("Scopes").fill("READ, orders:read")
    page.get_by_label("Call to this portal").select_option("DELETE")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("heading", name="It would be refused")).to_be_visible()
    expect(page.get_by_text("Missing: orders:read.")).to_be_visible()
    expect(page.get_by_label("Key", exact=True)).to_have_value(key.label)
    assert key.secret not in page.content()
    page.get_by_label("Scopes").fill("READ")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("heading", name="It would be accepted")).to_be_visible()
    assert not any(key.secret in address for address in addresses)


def test_activity_follows_while_somebody_wants_it(visit, developer, key):
    page = visit(address_of(key, "activity/"), person=developer)
    expect(page.get_by_role("heading", name="No activity yet")).to_be_visible()
    page.clock.install()
    page.reload()
    page.get_by_label("Refresh every 10 seconds").check()
    verdict_on(key)
    page.clock.fast_forward(11_000)
    expect(page.get_by_text("Accepted", exact=True)).to_be_visible()
    page.get_by_role("link", name=re.compile("^Explain accepted")).click()
    expect(page.get_by_role("heading", name="It would be accepted")).to_be_visible()


def test_own_address_is_filled_in_by_a_button(visit, developer, key):
    page = visit(address_of(key, "access/"), person=developer)
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_label("Address or range")).to_have_value("127.0.0.1")


def test_identifier_is_copied_whole(visit, developer, key):
    permissions = ["clipboard-read", "clipboard-write"]
    page = visit(address_of(key), person=developer, permissions=permissions)
    page.get_by_role("button", name="Copy: Public hash").click()
    expect(page.get_by_role("button", name="Copied")).to_be_attached()
    assert page.evaluate("navigator.clipboard.readText()") == key.hash


def test_tab_of_this_page_is_in_sight_on_a_phone(visit, developer, key):
    page = visit(address_of(key, "danger/"), person=developer, width=360)
    expect(page.get_by_role("link", name="Danger")).to_be_in_viewport(ratio=0.9)


def test_sheet_is_printed_without_what_only_works_on_a_screen(visit, owner, key):
    page = visit(address_of(key), person=owner)
    page.get_by_role("link", name="Print").click()
    expect(page.get_by_role("button", name="Print this sheet")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_role("heading", name="Backend")).to_be_visible()
    for words in (key.identifier, key.hash, key.label, "issued the key"):
        expect(page.get_by_text(words).first).to_be_visible()
    for control in ("button", "link", "navigation"):
        expect(page.get_by_role(control)).to_have_count(0)


def test_confirmation_is_a_dialog_that_escape_closes(visit, developer, key):
    page = visit(f"/organizations/acme/keys/{key.identifier}/danger/", person=developer)
    link = page.get_by_role("link", name="Revoke…")
    link.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Revoke for good")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(link).to_be_focused()
    link.press("Enter")
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("link", name="Disable…").click()
    dialog.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("link", name="Enable…")).to_be_visible()
    assert verdict_on(key) is Code.DISABLED
