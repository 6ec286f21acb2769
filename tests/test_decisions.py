"""What is remembered of each judgement, and for how long."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from keys import decisions, services
from keys.models import AuditEvent, Decision, KeyUsage, MinuteBucket, ScopeUse, UsageBucket
from keys.networks import parse_address
from keys.services.audit import Origin, acting_from

NOW = datetime(2026, 3, 4, 12, 30, 15, tzinfo=UTC)
HERE = parse_address("203.0.113.9")


@pytest.fixture
def now(time_machine):
    time_machine.move_to(NOW, tick=False)
    return time_machine


def verify(key, **question):
    return services.verify_key(secret=key.secret, address=HERE, **question)


def call(client, key, path="/v1/api-keys", method="get", **options):
    headers = {"X-API-Key": key.secret, "User-Agent": "curl/8.5", **options.pop("headers", {})}
    return client.generic(method.upper(), path, headers=headers, **options)


class TestOfEachDoor:
    """What was asked, from where, and how it ended."""

    def test_a_question_of_a_service(self, now, key):
        verify(key, scopes=["READ", "CREATE"], cost=3)
        row = Decision.objects.get()
        assert (row.key, row.secret, row.at) == (key, key.current_secret, NOW)
        assert (row.outcome, row.door, row.address) == ("VALID", "verify", "203.0.113.9")
        assert (row.scopes, row.cost) == (["CREATE", "READ"], 3)
        assert (row.method, row.path, row.request_id) == ("", "", "")

    def test_what_was_refused_cost_nothing(self, key):
        verify(key, scopes=["MANAGE"], cost=3)
        row = Decision.objects.get()
        assert (row.outcome, row.scopes, row.cost) == ("INSUFFICIENT_SCOPES", ["MANAGE"], 0)

    def test_a_call_to_the_portal_names_the_request(self, client, key):
        answer = call(client, key, "/v1/api-keys?search=secret-plan")
        row = Decision.objects.get()
        assert (row.outcome, row.door, row.user_agent) == ("VALID", "api", "curl/8.5")
        assert (row.method, row.path) == ("GET", "/v1/api-keys")
        assert row.request_id == answer["X-Request-Id"]

    def test_a_call_that_is_judged_from_memory_names_it_too(self, journal, client, key):
        answer = call(client, key)
        assert not Decision.objects.exists()
        journal.fold()
        row = Decision.objects.get()
        assert (row.outcome, row.door, row.user_agent) == ("VALID", "api", "curl/8.5")
        assert (row.method, row.path) == ("GET", "/v1/api-keys")
        assert row.request_id == answer["X-Request-Id"]

    def test_a_question_over_the_wire_is_two_judgements(self, client, key, read_only_key):
        body = {"key": read_only_key.secret, "ip": "192.0.2.1"}
        call(
            client,
            key,
            "/v1/verify",
            "post",
            data=json.dumps(body),
            content_type="application/json",
        )
        asked, asker = Decision.objects.all()
        assert (asker.key, asker.door, asker.path) == (key, "api", "/v1/verify")
        assert (asked.key, asked.door, asked.path) == (read_only_key, "verify", "")
        assert asked.address == "192.0.2.1"
        assert asked.request_id == asker.request_id != ""

    def test_a_question_of_a_proxy_says_not_whose_path_it_was(self, client, key):
        call(client, key, "/v1/auth?scope=READ&cost=2")
        row = Decision.objects.get()
        assert (row.door, row.method, row.path) == ("auth", "", "")
        assert (row.scopes, row.cost, row.user_agent) == (["READ"], 2, "curl/8.5")

    def test_a_key_that_nobody_knows_leaves_nothing(self, key):
        services.verify_key(secret=key.secret[:-1] + "?", address=HERE)
        assert not Decision.objects.exists()


class TestWhatNeverGetsIn:
    """Clients send anything; nothing of it is a secret, too long or cannot be stored."""

    def test_a_secret_in_a_path_or_a_clients_name(self, key):
        origin = Origin(AuditEvent.Door.API, method="GET", path=f"/v1/api-keys/{key.secret}")
        with acting_from(origin):
            services.authenticate_key(
                secret=key.secret, address=HERE, user_agent=f"app ({key.secret}; {key.secret})"
            )
        row, totals = Decision.objects.get(), KeyUsage.objects.get(key=key)
        assert (row.path, row.user_agent) == ("/v1/api-keys/…", "app (…; …)")
        assert totals.last_user_agent == "app (…; …)"

    def test_what_is_no_scope(self, key):
        asked = [key.secret, "READ ", "a\x00b", "\ud800", "x:" + "y" * 99, "orders:read"]
        assert verify(key, scopes=asked).code == "INSUFFICIENT_SCOPES"
        assert Decision.objects.get().scopes == ["orders:read"]

    def test_more_scopes_than_anybody_reads(self, key):
        verify(key, scopes=[f"orders:{number}" for number in range(100)])
        assert len(Decision.objects.get().scopes) == 20

    def test_long_and_odd_text(self, client, key):
        services.authenticate_key(
            secret=key.secret, address=HERE, user_agent="a\x00\ud800" + "b" * 9000
        )
        text = Decision.objects.get().user_agent
        assert text.startswith("a?bbb")
        assert len(text) == 200


class TestCounts:
    """By the secret and hour, by the minute, by the scope."""

    def test_each_secret_has_its_own_hours(self, now, developer, key):
        renewed = services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
        for each in (key, renewed, renewed):
            verify(each)
        rows = {row.secret.label: row.requests for row in UsageBucket.objects.filter(key=key)}
        assert rows == {key.label: 1, renewed.label: 2}

    def test_minutes_are_counted_by_outcome(self, now, key):
        for scope in ("READ", "READ", "MANAGE"):
            verify(key, scopes=[scope])
        now.move_to(NOW + timedelta(minutes=1), tick=False)
        verify(key)
        rows = MinuteBucket.objects.values_list("minute__minute", "outcome", "requests")
        assert set(rows) == {(30, "VALID", 2), (30, "INSUFFICIENT_SCOPES", 1), (31, "VALID", 1)}

    def test_minutes_of_long_ago_go_with_the_next_use(self, now, key):
        verify(key)
        now.move_to(NOW + timedelta(hours=2, minutes=1), tick=False)
        verify(key)
        assert MinuteBucket.objects.get().minute.minute == 31

    def test_a_scope_counts_when_it_let_the_key_through(self, now, key):
        verify(key, scopes=["READ", "UPDATE"])
        now.move_to(NOW + timedelta(minutes=1), tick=False)
        verify(key, scopes=["READ"])
        verify(key, scopes=["READ", "MANAGE"])
        rows = ScopeUse.objects.filter(key=key).values_list("code", "requests", "last_used_at")
        later = NOW + timedelta(minutes=1)
        assert set(rows) == {("READ", 2, later), ("UPDATE", 1, NOW)}

    @pytest.mark.parametrize(
        ("method", "path", "scopes"),
        [
            # What it lists is its own by READ, everybody's by MANAGE.
            ("get", "/v1/api-keys", {"READ", "MANAGE"}),
            ("get", "/v1/workspaces", {"READ"}),
            ("get", "/v1/api-keys/{own}", {"READ"}),
            ("get", "/v1/api-keys/{others}", {"READ", "MANAGE"}),
            ("delete", "/v1/api-keys/{own}", {"DELETE"}),
            ("delete", "/v1/api-keys/{others}", {"DELETE", "MANAGE"}),
        ],
    )
    def test_calls_count_for_the_narrowest_scope(
        self, client, manage_key, acme, owner, key, method, path, scopes
    ):
        own = services.issue_key(actor=owner, organization=acme, name="Own", owner=None)
        answer = call(client, manage_key, path.format(own=own.pk, others=key.pk), method)
        assert answer.status_code in (200, 204)
        assert {row.code for row in ScopeUse.objects.filter(key=manage_key)} == scopes

    def test_a_call_that_is_not_permitted_counts_for_no_scope(self, client, read_only_key, key):
        assert call(client, read_only_key, f"/v1/api-keys/{key.pk}", "delete").status_code == 403
        assert not ScopeUse.objects.exists()


class TestHowLong:
    """The latest of each key, for a month, and no more than the operator wants."""

    def test_the_oldest_make_room(self, settings, now, key, read_only_key):
        settings.DECISIONS_KEPT_PER_KEY = 3
        verify(read_only_key)
        for _ in range(6):
            verify(key)
        newest = Decision.objects.filter(key=key).order_by("-id")[:3]
        expected = [row.pk for row in newest][:2]
        now.move_to(NOW + timedelta(minutes=1), tick=False)
        verify(key)
        kept = list(Decision.objects.filter(key=key).order_by("-id").values_list("pk", flat=True))
        assert (len(kept), kept[1:]) == (3, expected)
        assert Decision.objects.filter(key=read_only_key).count() == 1

    def test_none_are_kept_where_the_operator_wants_none(self, settings, now, key):
        verify(key)
        settings.DECISIONS_KEPT_PER_KEY = 0
        now.move_to(NOW + timedelta(minutes=1), tick=False)
        verify(key)
        assert not Decision.objects.exists()
        assert UsageBucket.objects.get().requests == 2

    def test_purging_ends_what_is_past_its_time(self, now, key, monkeypatch):
        monkeypatch.setattr(decisions, "_DELETED_AT_ONCE", 2)
        for minutes in range(5):
            now.move_to(NOW + timedelta(minutes=minutes), tick=False)
            verify(key)
        now.move_to(NOW + timedelta(days=30, minutes=2), tick=False)
        told = StringIO()
        call_command("purge", stdout=told)
        assert "2 × decision" in told.getvalue()
        assert "5 × usage by the minute" in told.getvalue()
        assert [row.at.minute for row in Decision.objects.all()] == [34, 33, 32]
        assert not MinuteBucket.objects.exists()
        assert UsageBucket.objects.get().requests == 5

    def test_purging_where_none_are_to_be_kept(self, settings, now, key):
        verify(key)
        settings.DECISIONS_KEPT_PER_KEY = 0
        now.move_to(NOW + timedelta(seconds=1), tick=False)
        call_command("purge", stdout=StringIO())
        assert not Decision.objects.exists()
