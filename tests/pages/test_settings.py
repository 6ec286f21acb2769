"""The settings in a browser: people, roles, workspaces and server addresses, start to end."""

import re

import pytest
from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from keys import rules, services
from keys.models import Role
from keys.verification import Code
from tests.conftest import PASSWORD
from tests.pages.conftest import IS_REQUIRED

if not IS_REQUIRED:
    pytest.importorskip("playwright", reason="Playwright is in the browser lock only.")

from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)

SETTINGS = "/organizations/acme/settings/"


def say_yes(page, has_scripts, question, button):
    """Answer the question of what was just pressed: a dialog, or a page without scripts."""
    place = page.get_by_role("dialog") if has_scripts else page.locator("main")
    expect(place.get_by_role("heading", name=question)).to_be_visible()
    place.get_by_role("button", name=button, exact=True).click()


def forget_the_sign_in(page):
    """Let it be so long ago that one is asked again who one is."""
    [cookie] = [each for each in page.context.cookies() if each["name"] == "sessionid"]
    session = SessionStore(cookie["value"])
    session[AUTHENTICATION_METHODS_SESSION_KEY] = []
    session.save()


@pytest.mark.parametrize(
    ("has_scripts", "width", "scheme"),
    [(True, 1280, "light"), (False, 360, "dark")],
    ids=["scripts-wide", "no-scripts-narrow"],
)
def test_admin_arranges_an_organization(visit, admin, stranger, acme, has_scripts, width, scheme):
    page = visit(width=width, java_script_enabled=has_scripts, color_scheme=scheme)
    page.get_by_label("Email").fill(admin.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Settings").click()

    page.get_by_role("link", name="Roles and scopes").click()
    page.get_by_role("link", name="Define the first scope").click()
    page.get_by_label("Code").fill("Orders:Read")
    page.get_by_role("button", name="Define scope").click()
    expect(page.get_by_text("did you mean orders:read?").first).to_be_visible()
    page.get_by_label("Code").fill("orders:read")
    page.get_by_role("button", name="Define scope").click()
    page.get_by_role("link", name="New role").click()
    page.get_by_label("Name", exact=True).fill("clerk")
    page.get_by_role("checkbox", name="READ See keys").check()
    page.get_by_role("checkbox", name="orders:read").check()
    page.get_by_role("button", name="Define role").click()
    expect(page.get_by_text("The role “clerk” has the number 10.")).to_be_visible()
    clerk = Role.objects.get(name="clerk")
    services.issue_key(actor=admin, organization=acme, name="Till", owner=None, role=clerk)

    page.get_by_role("link", name="Members").click()
    page.get_by_label("Email addresses").fill("nobody")
    page.get_by_role("combobox", name="Role").select_option("clerk")
    page.get_by_role("button", name="Send invitations").click()
    expect(page.get_by_text("Nothing was saved yet")).to_be_visible()
    page.get_by_label("Email addresses").fill(stranger.email)
    page.get_by_role("button", name="Send invitations").click()
    expect(page.get_by_text("1 invitation is on its way.")).to_be_visible()
    services.accept_invitation(actor=stranger, invitation=acme.invitations.get())
    page.reload()
    row = page.get_by_role("row").filter(has_text=stranger.email)
    expect(row).to_contain_text("clerk")

    page.get_by_role("link", name="Roles and scopes").click()
    page.get_by_role("link", name="Edit clerk").click()
    page.get_by_role("checkbox", name="orders:read").uncheck()
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("1 key changes at once.")).to_be_visible()
    expect(page.get_by_role("link", name="Till")).to_be_visible()
    page.get_by_label("Yes, change this for all of them").check()
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("The role “clerk” was saved.")).to_be_visible()
    page.get_by_role("link", name="Delete… clerk").click()
    place = page.get_by_role("dialog") if has_scripts else page.locator("main")
    expect(place.get_by_text("cannot be deleted before they have another")).to_be_visible()
    place.get_by_role("link", name="Back", exact=True).click()
    page.get_by_role("link", name="Delete… orders:read").click()
    say_yes(page, has_scripts, "Delete the scope “orders:read”?", "Delete scope")
    expect(page.get_by_text("The scope orders:read is deleted.")).to_be_visible()

    page.get_by_role("link", name="Members").click()
    page.get_by_role("link", name=f"Remove… {stranger.email}").click()
    say_yes(page, has_scripts, f"Remove {stranger.email}?", "Remove")
    expect(page.get_by_text(f"{stranger.email} is no longer a member.")).to_be_visible()


@pytest.mark.parametrize(
    ("has_scripts", "width"),
    [(False, 1280), (True, 360)],
    ids=["no-scripts-wide", "scripts-narrow"],
)
def test_admin_keeps_workspaces_and_server_addresses(visit, admin, acme, has_scripts, width):
    page = visit(
        f"{SETTINGS}workspaces/", person=admin, width=width, java_script_enabled=has_scripts
    )
    page.get_by_label("Name", exact=True).fill("Lab")
    page.get_by_role("button", name="Add workspace").click()
    page.get_by_role("link", name="Rename Lab").click()
    page.get_by_label("Name", exact=True).fill("Laboratory")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("rowheader", name="Laboratory")).to_be_visible()
    page.get_by_role("link", name="Delete… Laboratory").click()
    say_yes(page, has_scripts, "Delete the workspace “Laboratory”?", "Delete workspace")
    expect(page.get_by_role("rowheader")).to_have_count(1)

    page.get_by_role("link", name="Server addresses").click()
    expect(page.get_by_role("heading", name="No server addresses yet")).to_be_visible()
    field = page.get_by_label("Addresses or ranges")
    if has_scripts:
        page.get_by_role("button", name="Add it").click()
        expect(field).to_have_value("127.0.0.1\n")
    field.fill("192.0.2.7 # Frankfurt\n10.0.0.1/8")
    page.get_by_role("button", name="Add to the pool").click()
    expect(page.get_by_text("did you mean 10.0.0.0/8?").first).to_be_visible()
    expect(field).to_have_value(re.compile("Frankfurt"))
    field.fill("192.0.2.7 # Frankfurt\n10.0.0.0/8")
    page.get_by_role("button", name="Add to the pool").click()
    expect(page.get_by_text("2 addresses are now server addresses.")).to_be_visible()
    page.get_by_role("link", name="Edit comment 10.0.0.0/8").click()
    page.get_by_label("Comment").fill("Office")
    page.get_by_role("button", name="Save comment").click()
    expect(page.get_by_role("row").filter(has_text="Office")).to_be_visible()
    page.get_by_role("link", name="Remove… 192.0.2.7").click()
    say_yes(page, has_scripts, "Remove 192.0.2.7?", "Remove")
    expect(page.get_by_role("rowheader")).to_have_count(1)


def test_member_leaves_by_themselves(visit, developer, key):
    page = visit(f"{SETTINGS}members/", person=developer)
    page.get_by_role("link", name="Leave…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("link", name="Backend")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("link", name="Leave…").click()
    dialog.get_by_role("button", name="Leave").click()
    expect(page.get_by_text("You left Acme.")).to_be_visible()


def test_keys_of_who_leaves_are_handed_over_and_their_secrets_kept_together(
    visit, admin, developer, acme, key, read_only_key, tmp_path
):
    member = acme.memberships.get(user=developer)
    page = visit(f"{SETTINGS}members/", person=admin)
    page.get_by_role("link", name=f"Remove… {developer.email}").click()
    page.get_by_role("dialog").get_by_role("link", name="Hand over their keys…").click()
    page.get_by_role("button", name="Hand over and show the new secrets").click()
    expect(page.get_by_role("heading", name="2 keys handed over")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    assert download.value.suggested_filename == "acme-secrets.txt"
    download.value.save_as(tmp_path / "secrets")
    lines = (tmp_path / "secrets").read_text().splitlines()
    secrets = [line for line in lines if line and not line.startswith("#")]
    verdicts = [services.verify_key(secret=each, address=None).code for each in secrets]
    assert verdicts == [Code.VALID, Code.VALID]
    page.get_by_role("link", name=f"Remove {developer.email}…").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("heading", name="Members")).to_be_visible()
    assert not acme.memberships.filter(pk=member.pk).exists()


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_policy_is_agreed_to_where_one_confirmed_who_one_is(visit, owner, acme, key, has_scripts):
    address = "/organizations/acme/settings/policies/"
    page = visit(address, person=owner, java_script_enabled=has_scripts)
    forget_the_sign_in(page)
    page.get_by_label("Keys of people, days").fill("90")
    page.get_by_role("button", name="Save policy").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Yes, let these rules hold").check()
    page.get_by_role("button", name="Save policy").click()
    expect(page.get_by_text(f"The policy of {acme.name} is saved.")).to_be_visible()
    assert rules.rules_of(acme).person_key_days == 90
