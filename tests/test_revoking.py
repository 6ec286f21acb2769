"""An emergency: a key is revoked, and somebody reads where that is known."""

from io import StringIO

import psycopg
import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from keys import feed, services
from keys.hosts import this_host
from keys.models import APIKey, AuditEvent, Worker

OTHER = "web-2/0a1b2c3d"


@pytest.fixture
def here(db, settings) -> str:
    """A worker serves on this host."""
    feed.prepare()
    return serve(this_host(settings.STATE_DIR))


@pytest.fixture
def elsewhere(db, monkeypatch) -> str:
    """Another worker serves on another host, and never says anything."""
    monkeypatch.setattr(feed, "is_needed", lambda: True)
    monkeypatch.setattr(feed, "confirmations", lambda hosts, timeout: set())
    return serve(OTHER)


def serve(host: str) -> str:
    now = timezone.now()
    Worker.objects.create(id=host[-8:], host=host, pid=1, started_at=now, seen_at=now)
    return host


def is_revoked(key) -> bool:
    return APIKey.objects.get(pk=key.pk).revoked_at is not None


def test_workers_of_one_host_know_at_once(here, owner, key):
    revocation = services.revoke_key_everywhere(actor=owner, key=key, timeout=0)
    assert is_revoked(key)
    # Its name is the operator's; others read the part by which they can ask for it.
    assert revocation.confirmed == [here.rpartition("/")[2]]
    assert revocation.missing == []


def test_who_does_not_confirm_is_named_and_the_key_is_revoked_all_the_same(
    here, elsewhere, staff, key
):
    revocation = services.revoke_key_everywhere(actor=staff, key=key)
    assert is_revoked(key)
    assert (revocation.confirmed, revocation.missing) == ([here], [elsewhere])


def test_a_database_that_cannot_be_asked_confirms_nothing(elsewhere, owner, key, monkeypatch):
    def refuse(*_):
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(feed, "confirmations", refuse)
    revocation = services.revoke_key_everywhere(actor=owner, key=key)
    assert is_revoked(key)
    assert len(revocation.missing) == 1


def test_waiting_needs_the_same_permission_and_leaves_the_same_trail(viewer, owner, key):
    with pytest.raises(PermissionDenied):
        services.revoke_key_everywhere(actor=viewer, key=key)
    assert not is_revoked(key)
    services.revoke_key_everywhere(actor=owner, key=key)
    assert AuditEvent.objects.filter(action="apikey.revoked", actor_user=owner).count() == 1


def test_the_owner_reads_on_the_page_who_confirmed(client, here, elsewhere, owner, acme, key):
    client.force_login(owner)
    danger = client.get(reverse("keys:danger", args=[acme.slug, key.identifier])).text
    url = reverse("keys:revoke-everywhere", args=[acme.slug, key.identifier])
    assert url in danger
    page = client.post(url, follow=True).text
    assert is_revoked(key)
    assert f"Confirmed by every process of {here[-8:]}" in page
    assert f"Not confirmed by {elsewhere[-8:]}" in page
    assert "web-2" not in page


def test_nobody_is_named_where_nothing_serves(client, owner, acme, key):
    client.force_login(owner)
    url = reverse("keys:revoke-everywhere", args=[acme.slug, key.identifier])
    assert "No process judges keys" in client.post(url, follow=True).text


class TestApi:
    def test_the_answer_says_who_confirmed(self, client, here, elsewhere, key, manage_key):
        answer = delete(client, manage_key, key, "?confirm=true")
        assert answer.status_code == 200
        assert answer.json() == {
            "confirmed": [here[-8:]],
            "missing": [elsewhere[-8:]],
            "lease_seconds": 1.0,
        }
        assert is_revoked(key)

    def test_who_does_not_ask_does_not_wait(self, client, elsewhere, key, manage_key):
        assert delete(client, manage_key, key, "?confirm=false").status_code == 204
        assert is_revoked(key)

    @pytest.mark.parametrize("query", ["?confirm=1", "?confirm=", "?confirm=true&confirm=true"])
    def test_anything_else_is_refused_and_nothing_revoked(self, client, key, manage_key, query):
        answer = delete(client, manage_key, key, query)
        assert answer.status_code == 400
        assert list(answer.json()["errors"]) == ["confirm"]
        assert not is_revoked(key)


def delete(client, by, key, query):
    return client.delete(
        f"/v1/api-keys/{key.pk}{query}", headers={"Authorization": f"Bearer {by.secret}"}
    )


class TestCommand:
    def test_the_operator_revokes_by_identifier(self, key):
        assert "is revoked" in run(key.identifier)
        assert is_revoked(key)
        with pytest.raises(CommandError, match="no such key"):
            run(key.identifier)

    def test_waiting_fails_when_somebody_did_not_confirm(self, here, elsewhere, key):
        output = StringIO()
        with pytest.raises(CommandError, match="at the latest"):
            call_command("revoke_key", key.identifier, "--wait", stdout=output)
        assert f"confirmed: {here}\nnot confirmed: {elsewhere}" in output.getvalue()
        assert is_revoked(key)

    def test_a_secret_given_by_mistake_is_not_repeated(self, key):
        with pytest.raises(CommandError) as refused:
            run(key.secret)
        assert key.secret not in str(refused.value)


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("revoke_key", *arguments, stdout=output)
    return output.getvalue()
