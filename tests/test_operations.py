"""What machines ask: does it live, is it ready, what did it count."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from keys import audit_checks, folding, health, services
from keys.folding import Backlog
from keys.models import AuditEvent, AuditHead
from keys.networks import parse_address
from tests.key_pages import sign_in

pytestmark = pytest.mark.django_db
IS_TOLD = True


def measured(client=None) -> dict[tuple, float]:
    """Return {(name, labels…): value} of what `/metrics` tells."""
    response = (client or Client()).get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def probe(path: str, **extra) -> tuple[int, str]:
    # A load balancer asks by address, over plain HTTP.
    response = Client().get(path, headers={"Host": "10.1.2.3"}, **extra)
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    return response.status_code, response.content.decode()


def test_probes_are_answered_to_anybody_and_give_nothing_away(settings):
    settings.SECURE_SSL_REDIRECT = True
    for path in ("/livez", "/readyz"):
        assert probe(path, REMOTE_ADDR="203.0.113.9") == (200, "ok\n")
        assert Client().post(path).status_code == 405


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("_has_database", lambda: False),
        ("_is_migrated", lambda: False),
        ("folding.backlog", lambda: Backlog(5, 1000.0)),
        ("rates.is_store_there", lambda: False),
        ("os.access", lambda *_: False),
    ],
)
def test_process_that_cannot_serve_says_that_and_the_log_why(what, cause, monkeypatch, caplog):
    monkeypatch.setattr(f"keys.health.{what}", cause)
    assert probe("/readyz") == (503, "not ready\n")
    assert "Not ready: " in caplog.text
    assert probe("/livez") == (200, "ok\n")


def test_database_that_is_not_migrated_is_not_ready(monkeypatch):
    monkeypatch.setattr(health, "_migrated", False)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'keys'")
    assert health.objections() == ["migrations"]


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::1"])
def test_measures_are_for_known_networks(address, settings):
    assert probe("/metrics", REMOTE_ADDR=address) == (404, "not found\n")
    settings.METRICS_ALLOWED_FROM = ["203.0.113.0/24", "2001:db8::/32"]
    assert probe("/metrics", REMOTE_ADDR=address)[0] == 200
    # Not who says to come from there.
    assert probe("/metrics", HTTP_X_FORWARDED_FOR=address, REMOTE_ADDR="10.0.0.1")[0] == 404


def test_requests_are_measured_by_route_and_not_by_what_is_asked(owner, acme):
    name = ("keyhaven_request_seconds_count", "GET", "organizations/<slug:organization>/keys/")
    before = measured().get((*name, "200"), 0)
    sign_in(owner).get(f"/organizations/{acme.slug}/keys/", {"search": "needle"})
    found = measured()
    assert found[*name, "200"] == before + 1
    assert not any("needle" in label or acme.slug in label for labels in found for label in labels)


def test_judgements_are_measured_by_outcome(key, journal):
    before = measured()
    for secret in (key.secret, key.secret, "nonsense"):
        services.verify_key(secret=secret, address=parse_address("192.0.2.1"))
    services.disable_key(actor=key.owner, key=key)
    services.verify_key(secret=key.secret, address=parse_address("192.0.2.1"))
    journal.fold()
    found = measured()

    def more(*name: str) -> float:
        return found.get(name, 0) - before.get(name, 0)

    assert more("keyhaven_verifications_total", "VALID") == 2
    assert more("keyhaven_verifications_total", "DISABLED") == 1
    assert more("keyhaven_work_seconds_count", "fold") == 1


def test_what_waits_and_what_happened_is_told(acme, key):
    found = measured()
    assert found["keyhaven_database_up",] == 1
    assert found["keyhaven_backlog_uses",] == folding.backlog().records
    assert found["keyhaven_audit_events_total",] == AuditEvent.objects.count()
    assert found["keyhaven_audit_chains_broken",] == 0
    assert {("keyhaven_queue_messages", queue) for queue in ("mail", "webhook")} <= found.keys()
    assert ("keyhaven_key_lookups", "memory") in found
    AuditHead.objects.filter(chain=acme.pk).update(problem="event 1 was altered")
    assert measured()["keyhaven_audit_chains_broken",] == 1


def test_lost_database_is_told_rather_than_failed_by(monkeypatch):
    monkeypatch.setattr(health, "_has_database", lambda: False)
    assert measured()["keyhaven_database_up",] == 0


def test_worker_follows_the_audit_chains(acme, key):
    from keys.services.chores import CHORES

    work = {chore.name: chore.work for chore in CHORES}
    work["audit chains"](now=None)
    assert AuditHead.objects.get(chain=acme.pk).verified_sequence == acme.audit_events.count()
    work["whole audit chains"](now=None)
    assert audit_checks.standing(acme.pk).problem == ""


def test_purge_says_what_it_removed(capsys):
    call_command("purge")
    assert "0 × audit event" in capsys.readouterr().out
