"""A key from a template to its first call, its rotation and its widening, in a browser."""

import re

import pytest

from keys import services
from keys.models import APIKey
from keys.networks import parse_address
from keys.rules import RoleTerms
from keys.verification import Code
from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("playwright", reason="Playwright is in the browser lock only.")

from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)

NEW = "/organizations/acme/keys/new/"
HERE = parse_address("127.0.0.1")


def verdict_on(secret):
    return services.verify_key(secret=secret, address=HERE).code


def fits(page) -> bool:
    return page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_agent_gets_a_key_from_a_template(visit, developer, acme, width, has_scripts):
    page = visit(NEW, person=developer, width=width, java_script_enabled=has_scripts)
    page.get_by_role("link", name=re.compile("AI agent")).click()
    expect(page).to_have_url(re.compile("template=ai-agent"))
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("AI agent")
    words = page.get_by_role("region", name="This key in words")
    expect(words).to_contain_text("It may spend 1,000 credits a day.")
    expect(words).to_contain_text("It works from anywhere.")

    page.get_by_role("checkbox", name="DELETE").check()
    page.get_by_role("radio", name="Never").check()
    if has_scripts:
        page.get_by_role("button", name="Use my address 127.0.0.1").click()
    else:
        page.get_by_role("checkbox", name="Use my address 127.0.0.1").check()
        words.get_by_role("button", name="Update summary").click()
    expect(words).to_contain_text("It works from 127.0.0.1 only.")
    expect(words).to_contain_text("It can revoke the keys of developer@acme.example.")
    expect(words).to_contain_text("It never expires.")
    assert fits(page)
    assert APIKey.objects.count() == 0

    page.get_by_role("button", name="Issue key").click()
    expect(page.get_by_role("heading", name="“AI agent” is ready")).to_be_visible()
    secret = page.locator("#secret").text_content()
    assert page.get_by_text(secret).first.is_hidden()
    expect(page.get_by_text("No call yet.")).to_be_visible()
    page.locator("label").filter(has_text="Python").click()
    code = page.get_by_role("region", name="Keyhaven, Python")
    expect(code).to_contain_text("urllib.request")
    page.locator("label").filter(has_text="XyraPanel").click()
    expect(code).to_be_hidden()
    expect(page.get_by_role("region", name="XyraPanel, Python")).to_contain_text("X-API-Key")
    assert fits(page)

    assert verdict_on(secret) is Code.VALID
    if has_scripts:
        expect(page.get_by_text("It works.")).to_be_visible()
        expect(page.locator("#secret")).to_have_text(secret)
    else:
        with page.expect_popup() as popup:
            page.get_by_role("link", name="Check again").click()
        expect(popup.value.get_by_text("It works.")).to_be_visible()


def test_env_file_holds_the_secret_and_is_made_in_the_page(visit, developer, acme, tmp_path):
    page = visit(NEW, person=developer)
    page.get_by_role("textbox", name="Name", exact=True).fill("Billing server")
    page.get_by_role("button", name="Issue key").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download .env").click()
    assert download.value.suggested_filename == "billing-server.env"
    download.value.save_as(tmp_path / "env")
    lines = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert lines.keys() == {"KEYHAVEN_URL", "KEYHAVEN_API_KEY"}
    assert verdict_on(lines["KEYHAVEN_API_KEY"]) is Code.VALID


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_key_is_rotated_until_quiet_and_widened_once(visit, developer, key, width, has_scripts):
    page = visit(
        f"/organizations/acme/keys/{key.identifier}/rotate/",
        person=developer,
        width=width,
        java_script_enabled=has_scripts,
    )
    expect(page.get_by_text("was never used")).to_be_visible()
    expect(page.get_by_label("Hours without a call")).to_be_hidden()
    page.get_by_role("radio", name="Until nobody uses it any more").check()
    page.get_by_label("Hours without a call").fill("2")
    assert fits(page)
    page.get_by_role("button", name="Rotate and show the new secret").click()
    expect(page.get_by_role("heading", name="has a new secret")).to_be_visible()
    expect(page.get_by_text("keeps working until")).to_be_visible()
    assert verdict_on(key.secret) is Code.VALID
    assert key.secrets.get(superseded_at__isnull=False).quiet_hours == 2

    services.update_key(actor=developer, key=key, limit=5)
    page.goto(f"/organizations/acme/keys/{key.identifier}/edit/")
    page.get_by_text("It may spend 5 credits in all.").first.click()
    page.get_by_label("Limit", exact=True).fill("9")
    page.get_by_role("button", name="Save changes").click()
    words = page.get_by_role("region", name="This key in words")
    expect(words).to_contain_text("Saving lets the key do more")
    words.get_by_label("Yes, let the key do this as well").check()
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("was saved")).to_be_visible()
    key.refresh_from_db()
    assert key.limit == 9


def test_the_button_says_at_once_that_it_only_asks(visit, owner, developer, acme):
    terms = RoleTerms(
        acme.memberships.get(user=developer).role, approval_scopes=frozenset({"DELETE"})
    )
    services.update_policy(actor=owner, organization=acme, roles=[terms])
    page = visit(NEW, person=developer)
    page.get_by_role("checkbox", name="DELETE").check()
    expect(page.get_by_role("button", name="Ask for approval")).to_be_visible()
    page.get_by_role("checkbox", name="DELETE").uncheck()
    expect(page.get_by_role("button", name="Issue key")).to_be_visible()


def test_who_decides_sees_at_once_what_they_would_approve(visit, owner, developer, acme):
    terms = RoleTerms(
        acme.memberships.get(user=developer).role, approval_scopes=frozenset({"DELETE"})
    )
    services.update_policy(actor=owner, organization=acme, roles=[terms])
    asked = services.request_key(
        actor=developer, organization=acme, name="Mop", reason="It cleans.",
        scopes=["READ", "DELETE"],
    )  # fmt: skip
    page = visit(f"/organizations/acme/approvals/{asked.pk}/", person=owner)
    summary = page.locator("#summary")
    expect(summary).to_contain_text("It can revoke the keys")
    page.get_by_role("checkbox", name="DELETE").uncheck()
    expect(summary).not_to_contain_text("It can revoke the keys")
    page.get_by_label("Allowed IPs").fill("192.0.2.7")
    expect(summary).to_contain_text("It works from 192.0.2.7 only.")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("You approved it")).to_be_visible()
    asked.refresh_from_db()
    assert asked.approved_terms["scopes"] == ["READ"]


@pytest.mark.wide
def test_another_owner_is_offered_another_life_at_once(visit, owner, acme):
    services.update_policy(actor=owner, organization=acme, person_key_days=30, shared_key_days=20)
    page = visit(NEW, person=owner)
    lives = page.locator("#lives")
    expect(lives.get_by_role("radio", checked=True)).to_have_value("30")
    page.locator("input[name=owner][value=organization]").check()
    expect(lives.get_by_role("radio", checked=True)).to_have_value("20")
    expect(page.locator("#summary")).to_contain_text("20 days")
    # Who goes through them with the keyboard stays where they are.
    lives.get_by_role("radio", checked=True).focus()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#summary")).to_contain_text("7 days")
    expect(lives.get_by_role("radio", checked=True)).to_be_focused()
