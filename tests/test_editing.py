"""Changing a key on its page: nothing else moves, and what widens it is asked about."""

from datetime import timedelta

import pytest
from django.utils import timezone

from keys import services
from keys.models import AllowedIP, APIKey, AuditEvent
from keys.models.keys import Status
from tests.key_pages import issue, page_of, sign_in, text_of

pytestmark = pytest.mark.django_db


def edit_form(client, key, **changes) -> dict:
    form = client.get(page_of(key, "edit")).context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {
        name: value for name, value in {**values, **changes}.items() if value not in (None, False)
    }


def test_saving_a_form_unchanged_changes_nothing(owner, acme):
    """T37: neither secret, dates nor owner move, and nothing is recorded."""
    key = issue(
        owner,
        acme,
        "Office",
        description="Line one\nLine two",
        allowed_ips=[{"network": "127.0.0.1", "comment": "me"}, {"network": "::1", "deny": True}],
        limit="12.5",
        limit_reset="weekly",
        scopes=["READ"],
        expires_at=timezone.now() + timedelta(days=5),
    )
    before = APIKey.objects.filter(pk=key.pk).values().get()
    rows = set(AllowedIP.objects.values_list("pk", "network", "comment"))
    events = AuditEvent.objects.count()
    client = sign_in(owner)
    assert client.post(page_of(key, "edit"), edit_form(client, key)).status_code == 302
    after = APIKey.objects.filter(pk=key.pk).values().get()
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    assert set(AllowedIP.objects.values_list("pk", "network", "comment")) == rows
    assert AuditEvent.objects.count() == events


def test_developer_edits_their_key(developer, acme, key):
    client = sign_in(developer)
    form = edit_form(
        client, key, name="Front end", scopes=["READ"], expiry="7", limit="10", limit_reset="daily"
    )
    response = client.post(page_of(key, "edit"), form, follow=True)
    assert "“Front end” was saved" in text_of(response)
    key = APIKey.objects.get(pk=key.pk)
    assert (key.name, key.scope_codes, key.limit, key.limit_reset) == (
        "Front end",
        ["READ"],
        10,
        "daily",
    )
    assert key.expires_at < timezone.now() + timedelta(days=8)


def test_rows_that_are_switched_off_survive_an_edit(owner, acme):
    off = {"network": "192.0.2.1", "active": False, "comment": "old office"}
    key = issue(owner, acme, "Office", allowed_ips=[off, "127.0.0.1"])
    client = sign_in(owner)
    lines = "127.0.0.1\n198.51.100.0/24"
    form = edit_form(client, key, allowed_ips=lines, confirm_wider="on")
    assert client.post(page_of(key, "edit"), form).status_code == 302
    rows = key.allowed_ips.values_list("network", "active", "comment")
    assert ("192.0.2.1", False, "old office") in rows
    assert len(rows) == 3


def test_scopes_that_one_cannot_give_survive_an_edit_of_something_else(developer, admin, acme, key):
    services.create_scope(actor=admin, organization=acme, code="orders:read")
    services.update_key(actor=admin, key=key, scopes=["READ", "orders:read"])
    client = sign_in(developer)
    assert "orders:read, which you cannot give" in text_of(client.get(page_of(key, "edit")))
    assert client.post(page_of(key, "edit"), edit_form(client, key, name="B")).status_code == 302
    assert set(APIKey.objects.get(pk=key.pk).scope_codes) == {"READ", "orders:read"}


def test_key_revoked_meanwhile_is_not_brought_back_by_an_edit(developer, acme, key):
    client = sign_in(developer)
    form = edit_form(client, key, name="Late")
    services.revoke_key(actor=developer, key=key)
    response = client.post(page_of(key, "edit"), form, follow=True)
    assert "nothing brings it back" in text_of(response)
    key.refresh_from_db()
    assert (key.name, key.status) == ("Backend", Status.REVOKED)


def test_staff_lock_keeps_the_organization_from_changing_a_key(developer, staff, acme, key):
    """T9: a locked key is neither enabled, loosened nor extended by its people."""
    services.lock_key(actor=staff, key=key)
    client = sign_in(developer)
    assert client.post(page_of(key, "edit"), edit_form(client, key, expiry="never", name="X"))
    assert client.post(page_of(key, "enable")).status_code == 403
    form = edit_form(client, key, allowed_ips="127.0.0.1")
    assert client.post(page_of(key, "edit"), form).status_code == 403
    key.refresh_from_db()
    assert (key.name, key.status) == ("Backend", Status.LOCKED)


# Widening


def test_widening_a_key_is_asked_about_once(developer, acme):
    key = issue(
        developer, acme, "Office", scopes=["READ"], allowed_ips=["127.0.0.1"], limit=5,
        expires_at=timezone.now() + timedelta(days=5),
    )  # fmt: skip
    client = sign_in(developer)
    form = edit_form(
        client, key, scopes=["READ", "DELETE"], allowed_ips="", limit="", expiry="never"
    )
    page = text_of(client.post(page_of(key, "edit"), form))
    for sentence in (
        "It gets the scope DELETE.",
        "until now a list said from where",
        "It never expires; until now",
        "It may spend without limit.",
    ):
        assert sentence in page
    key.refresh_from_db()
    assert key.limit == 5
    response = client.post(page_of(key, "edit"), form | {"confirm_wider": "on"})
    assert response.status_code == 302
    key = APIKey.objects.get(pk=key.pk)
    assert (key.limit, key.expires_at, key.scope_codes) == (None, None, ["READ", "DELETE"])


def test_narrowing_a_key_is_not_asked_about(developer, acme, key):
    client = sign_in(developer)
    form = edit_form(client, key, scopes=["READ"], limit="1", allowed_ips="127.0.0.1")
    assert client.post(page_of(key, "edit"), form).status_code == 302
