"""The main job in a browser: sign in, issue, copy, find, rotate, revoke."""

import re

import pytest

from keys import services
from keys.models import APIKey
from keys.networks import parse_address
from keys.verification import Code
from tests.conftest import PASSWORD
from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("playwright", reason="Playwright is in the browser lock only.")

from playwright.sync_api import Error, expect

pytestmark = pytest.mark.django_db(transaction=True)

HERE = parse_address("127.0.0.1")


def verdict_on(secret):
    return services.verify_key(secret=secret, address=HERE).code


def reveal(page):
    page.get_by_text("Reveal").click()
    return page.locator("#secret").inner_text()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_developer_signs_in_issues_rotates_and_revokes(visit, developer, width, has_scripts):
    page = visit(width=width, java_script_enabled=has_scripts)
    page.get_by_label("Email").fill(developer.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Acme")).to_be_visible()

    page.get_by_role("link", name="New key").click()
    page.get_by_role("textbox", name="Name", exact=True).fill("Billing server")
    page.get_by_role("checkbox", name="READ").check()
    page.get_by_role("radio", name=re.compile("^30 days")).check()
    page.get_by_role("button", name="Issue key").click()
    expect(page.get_by_role("heading", name="“Billing server” is ready")).to_be_visible()
    secret = page.locator("#secret").text_content()
    assert page.get_by_text(secret).first.is_hidden()
    assert reveal(page) == secret
    assert verdict_on(secret) is Code.VALID

    page.get_by_role("link", name="All keys").click()
    row = page.get_by_role("row").filter(has_text="Billing server")
    expect(row.get_by_text("Active")).to_be_visible()
    expect(row).to_contain_text("just now")
    row.get_by_role("link", name="Billing server").click()

    page.get_by_role("link", name="Rotate").click()
    page.get_by_role("radio", name="1 hour").check()
    page.get_by_role("button", name="Rotate and show the new secret").click()
    new_secret = reveal(page)
    assert new_secret != secret
    assert verdict_on(secret) is verdict_on(new_secret) is Code.VALID

    page.get_by_role("link", name="I have stored it").click()
    page.get_by_role("link", name="Rotation").click()
    page.get_by_role("link", name="Stop now…").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_text("no longer works").first).to_be_visible()
    assert verdict_on(secret) is Code.SECRET_RETIRED
    page.get_by_role("link", name="Danger").click()
    page.get_by_role("link", name="Revoke…").click()
    expect(page.get_by_role("heading", name="Revoke “Billing server”?")).to_be_visible()
    page.get_by_role("button", name="Revoke for good").click()
    expect(page.get_by_text("is revoked for good")).to_be_visible()
    expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    assert verdict_on(new_secret) is Code.REVOKED


def test_copied_secret_and_lines_are_whole_while_hidden(visit, developer, key):
    page = visit(
        "/organizations/acme/keys/new/",
        person=developer,
        permissions=["clipboard-read", "clipboard-write"],
    )
    page.get_by_role("textbox", name="Name", exact=True).fill("Copied")
    page.get_by_role("button", name="Issue key").click()
    page.get_by_role("button", name="Copy secret").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    secret = page.evaluate("navigator.clipboard.readText()")
    assert verdict_on(secret) is Code.VALID
    page.get_by_role("button", name="Copy this code").first.click()
    expect(page.get_by_role("button", name="Copied").nth(1)).to_be_attached()
    code = page.evaluate("navigator.clipboard.readText()")
    assert code.startswith(f"export KEYHAVEN_API_KEY={secret}\ncurl ")
    assert code.endswith('/v1/api-keys"')


def test_reload_and_back_show_no_secret_and_issue_no_second_key(visit, developer, acme):
    page = visit("/organizations/acme/keys/new/", person=developer)
    page.get_by_role("textbox", name="Name", exact=True).fill("Once")
    page.get_by_role("button", name="Issue key").click()
    secret = page.locator("#secret").text_content()
    page.reload()
    expect(page.get_by_role("heading", name="This secret was already shown")).to_be_visible()
    assert secret not in page.content()
    page.get_by_role("link", name="Go to “Once”").click()
    # The browser kept nothing of the answer, and asks before it sends the form again.
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        page.go_back()
    page.wait_for_url("chrome-error://**")
    assert secret not in page.content()
    assert APIKey.objects.count() == 1


def test_second_press_of_the_button_issues_no_second_key(visit, developer, acme):
    page = visit("/organizations/acme/keys/new/", person=developer)
    page.get_by_role("textbox", name="Name", exact=True).fill("Once")
    page.get_by_role("button", name="Issue key").dblclick()
    expect(page.get_by_role("heading", name="is ready")).to_be_visible()
    assert APIKey.objects.count() == 1


def test_somebody_signed_out_meanwhile_signs_in_again(visit, owner, key):
    page = visit("/organizations/acme/keys/", person=owner)
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("searchbox").fill("back")
    expect(page.get_by_role("heading", name="Sign in to Keyhaven")).to_be_visible()


def test_own_address_is_added_by_a_button(visit, developer, acme):
    page = visit("/organizations/acme/keys/new/", person=developer)
    field = page.get_by_label("Allowed IPs")
    field.fill("192.0.2.0/24")
    for _press in range(2):
        page.get_by_role("button", name="Use my address").click()
    expect(field).to_have_value("192.0.2.0/24\n127.0.0.1\n")


def test_chosen_theme_stays(visit, owner, acme):
    page = visit("/organizations/acme/", person=owner, color_scheme="light")
    page.get_by_role("button", name="Switch between light and dark").click()
    page.goto("/organizations/acme/keys/")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(10, 16, 18)"


def test_everything_is_reached_by_keyboard(visit, owner, key):
    page = visit("/organizations/acme/keys/", person=owner)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.get_by_role("button", name="Account menu").press("Enter")
    expect(page.get_by_role("link", name="Sessions")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Your name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Sessions")).to_be_hidden()
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="New API key")).to_be_visible()
    page.locator("#id_access_0").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Role", exact=True)).to_be_visible()
    expect(page.get_by_role("checkbox", name="READ")).to_be_hidden()
