"""Before what does most harm, who signed in a while ago says once more who they are."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.totp.internal import auth as totp
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import get_resolver, reverse

from keys import rules, services
from keys.models import APIKey
from keys.views.step_up import BEFORE_SHOWN, PREVIEWED, WHEN_SENT
from tests.conftest import PASSWORD
from tests.key_pages import fill, secret_on
from tests.test_doors import path_of, target, walk  # noqa: F401 - a fixture

# Every route behind which a secret is shown, or somebody or something may do more afterwards.
# A new one has to be named here, and asks.
FORMS = {
    "create", "edit", "enable", "hand-over", "import", "member-edit", "member-keys",
    "member-transfer", "role-ask", "role-create", "role-edit", "rotate", "shared-secret", "unlock",
}  # fmt: skip
SENDINGS = {
    "access", "allowed-ip-remove", "allowed-ip-switch", "approval", "approval-issue", "bulk",
    "invitation-resend", "members", "policy", "server-address-edit", "server-addresses", "settings",
    "webhook-edit", "webhook-rotate", "webhooks",
}  # fmt: skip
# Whose view looks for that mark and carries out nothing; elsewhere it must open no door.
SUMMARIES = {"create", "edit", "policy"}

PLACES = {name: where for where, name, _view in walk(get_resolver().url_patterns)}
ASKS = "/accounts/reauthenticate/?next="


def grow_old(client, seconds=901) -> None:
    """Let the sign-in of a client be so long ago."""
    session = client.session
    for record in session[AUTHENTICATION_METHODS_SESSION_KEY]:
        record["at"] -= seconds
    session.save()


@pytest.fixture
def late(client, owner, acme):
    """The owner, who signed in a while ago."""
    client.force_login(owner)
    grow_old(client)
    return client


def test_a_clock_that_is_put_back_makes_no_sign_in_recent(client, owner, acme):
    client.force_login(owner)
    grow_old(client, -3600)
    page = client.get(reverse("keys:create", args=[acme.slug]))
    assert page["Location"].startswith(ASKS)


def confirm(client, asked, password=PASSWORD, **more):
    return client.post(asked["Location"], {"password": password}, **more)


def send(client, name, path) -> list:
    """Send a form empty and, where there is no summary to be had, as if for that."""
    typed: list[dict[str, str]] = [{}] if name in SUMMARIES else [{}, {"preview": "1"}]
    return [client.post(path, each) for each in typed]


@pytest.mark.parametrize("name", sorted(FORMS))
def test_a_form_that_gives_more_is_not_shown(late, target, name):  # noqa: F811
    path = path_of(PLACES[f"keys:{name}"], target)
    for answer in (late.get(path), *send(late, name, path)):
        assert answer.status_code == 302
        assert answer["Location"].startswith(ASKS)


@pytest.mark.parametrize("name", sorted(SENDINGS))
def test_a_form_on_a_page_to_look_at_is_not_carried_out(late, target, name):  # noqa: F811
    for answer in send(late, name, path_of(PLACES[f"keys:{name}"], target)):
        assert answer.status_code == 302
        assert answer["Location"].startswith(ASKS)


def test_the_tables_name_routes_that_there_are():
    assert (BEFORE_SHOWN, WHEN_SENT, PREVIEWED) == (FORMS, SENDINGS, SUMMARIES)
    assert {f"keys:{name}" for name in FORMS | SENDINGS} <= PLACES.keys()


def test_an_address_that_would_open_the_account_is_not_added(late, owner):
    typed = {"action_add": "", "email": "thief@evil.example"}
    asked = late.post(reverse("account_email"), typed)
    assert asked["Location"].startswith(ASKS)
    assert "thief" not in str(dict(late.session))
    assert late.get(reverse("account_email")).status_code == 200
    assert not owner.emailaddress_set.filter(email="thief@evil.example").exists()


def test_who_signed_in_lately_is_not_asked(client, owner, acme):
    client.force_login(owner)
    grow_old(client, 800)
    assert client.get(reverse("keys:create", args=["acme"])).status_code == 200


def test_after_the_password_the_form_is_there(late):
    path = reverse("keys:create", args=["acme"])
    asked = late.get(path)
    assert "Confirm that it is you" in late.get(asked["Location"]).text
    wrong = confirm(late, asked, password="not this one")
    assert wrong.status_code == 200
    assert late.get(path).status_code == 302
    assert confirm(late, asked)["Location"] == path
    assert late.get(path).status_code == 200


def test_what_was_typed_is_carried_out_after_the_password(client, owner, acme):
    """The time ran out while the form was open."""
    client.force_login(owner)
    path = reverse("keys:create", args=["acme"])
    typed = fill(client, acme, name="Typed before")
    grow_old(client)
    asked = client.post(path, typed)
    assert not APIKey.objects.exists()
    kept = str(dict(client.session))
    assert "Typed" in kept
    assert client.cookies["sessionid"].value not in kept
    answer = confirm(client, asked)
    assert secret_on(answer)
    assert APIKey.objects.get().name == "Typed before"
    assert "Typed" not in str(dict(client.session))


def send_again(client, page, typed):
    """Send the form of a page to where a browser would, by the page's address and its action."""
    form = re.search(r'<form class="(?:card sections|key-form)"[^>]*>', page.text)[0]
    action = re.search(r' action="([^"]*)"', form)
    return client.post(urljoin(page.request["PATH_INFO"], action[1] if action else ""), typed)


def test_a_form_with_a_mistake_can_be_sent_again_after_the_password(client, owner, acme):
    client.force_login(owner)
    typed = fill(client, acme, name="", description="Typed at length")
    grow_old(client)
    page = confirm(client, client.post(reverse("keys:create", args=["acme"]), typed))
    assert page.status_code == 200
    assert "Typed at length" in page.text
    assert secret_on(send_again(client, page, {**typed, "name": "Named after all"}))
    assert APIKey.objects.get().description == "Typed at length"


def test_a_policy_that_has_to_be_agreed_to_is_saved_after_the_password(late, acme, key):
    typed = {"leak_action": "notify", "person_key_days": "90"}
    page = confirm(late, late.post(reverse("keys:policy", args=["acme"]), typed))
    assert rules.rules_of(acme).person_key_days is None
    plan = re.search(r'name="agreed" id="id_agreed" value="([^"]+)"', page.text)
    assert send_again(late, page, {**typed, "agreed": plan[1]}).status_code == 302
    assert rules.rules_of(acme).person_key_days == 90


def test_a_form_of_a_template_is_carried_out_after_the_password(client, owner, acme):
    client.force_login(owner)
    typed = fill(client, acme, name="From a template")
    grow_old(client)
    asked = client.post(f"{reverse('keys:create', args=['acme'])}?template=read-only-script", typed)
    assert secret_on(confirm(client, asked))


def test_every_form_names_where_it_goes():
    """Where it was shown need not be its page: what waited is answered where one confirmed."""
    for file in Path(settings.BASE_DIR, "templates", "keys").glob("*.html"):
        for form in re.findall(r"<form\b[^>]*>", file.read_text()):
            assert " action=" in form, (file.name, form)


def test_a_code_of_the_app_does_as_well(late, owner, monkeypatch):
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(owner, secret)
    path = reverse("keys:create", args=["acme"])
    late.get(path)
    code = totp.format_hotp_value(
        totp.hotp_value(secret, next(iter(totp.yield_hotp_counters_from_time())))
    )
    answer = late.post(f"{reverse('mfa_reauthenticate')}?next={path}", {"code": code})
    assert answer["Location"] == path
    assert late.get(path).status_code == 200


def test_htmx_is_sent_to_the_page_that_asks(late):
    answer = late.get(reverse("keys:create", args=["acme"]), headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert answer["HX-Redirect"].startswith(ASKS)


def test_a_preview_interrupts_nobody_and_issues_nothing(late):
    answer = late.post(
        reverse("keys:create", args=["acme"]),
        {"preview": "1", "name": "Half"},
        headers={"HX-Request": "true"},
    )
    assert answer.status_code == 200
    assert not APIKey.objects.exists()


def test_a_file_does_not_wait_in_the_session(client, owner, acme):
    client.force_login(owner)
    path = reverse("keys:import", args=["acme"])
    grow_old(client)
    file = SimpleUploadedFile("keys.jsonl", b'{"name": "Sent before"}')
    asked = client.post(path, {"file": file, "format": "plain"})
    assert asked["Location"].startswith(ASKS)
    assert "Sent before" not in str(dict(client.session))
    assert "then send the form again" in client.get(asked["Location"]).text
    assert confirm(client, asked)["Location"] == path
    assert client.get(path).status_code == 200


def test_staff_look_around_and_are_asked_before_they_change_something(client, staff, acme):
    client.force_login(staff)
    grow_old(client)
    path = reverse("admin:keys_organization_press", args=[acme.pk, "suspend"])
    assert client.get(path).status_code == 200
    asked = client.post(path, {"reason": "Unpaid"})
    assert asked["Location"].startswith(ASKS)
    acme.refresh_from_db()
    assert acme.suspended_at is None
    assert confirm(client, asked)["Location"] == path
    assert client.post(path, {"reason": "Unpaid"})["Location"] != asked["Location"]
    acme.refresh_from_db()
    assert acme.suspended_at


def test_staff_sign_out_unasked(client, staff):
    client.force_login(staff)
    grow_old(client)
    client.post(reverse("admin:logout"))
    assert "_auth_user_id" not in client.session


def test_a_key_in_a_program_is_never_asked(client, acme, manage_key, late):
    headers = {"Authorization": f"Bearer {manage_key.secret}"}
    assert client.get("/v1/api-keys", headers=headers).status_code == 200


def test_stopping_a_key_asks_nobody(late, acme, owner):
    """What narrows has to be quick."""
    key = services.issue_key(actor=owner, organization=acme, name="Leaked")
    path = reverse("keys:revoke", args=["acme", key.identifier])
    assert late.post(path).status_code == 302
    key.refresh_from_db()
    assert key.revoked_at
