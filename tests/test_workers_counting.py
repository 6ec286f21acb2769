"""Workers count in their journals: the same as at once, a little later, whatever ends them."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from keys import folding, journal, services, usage
from keys.models import APIKey, Decision, KeySecret, KeyUsage, MinuteBucket, ScopeUse, UsageBucket
from keys.networks import parse_address
from keys.services.audit import Origin, acting_from
from keys.verification import Code

NOW = datetime(2026, 3, 4, 12, 30, 15, 250, tzinfo=UTC)

# A worker that verifies some keys in turn, folds all the while, and tells each answer.
WORKER = """
import os, sys, threading
from pathlib import Path
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from keys import folding, services, usage
state, times, secrets = Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
folding.FOLD_SECONDS = 0.2
usage.keep_journal(state)
threading.Thread(target=folding.run, args=[threading.Event(), state], daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
for number in range(times):
    verdict = services.verify_key(secret=secrets[number % len(secrets)], address=None)
    os.write(1, f"{number % len(secrets)}{verdict.code}\\n".encode())
"""


@pytest.fixture
def state(tmp_path):
    """The state of a host on which this process is a worker."""
    usage.keep_journal(tmp_path)
    yield tmp_path
    usage.drop_journal()


@contextmanager
def workers(count, state, *secrets, times=10**9):
    """Run workers that begin together; yield them."""
    database = str(connection.settings_dict["NAME"])
    command = [sys.executable, "-c", WORKER, database, str(state), str(times), *secrets]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        for _ in range(count)
    ]
    try:
        for each in started:
            assert each.stdout.readline() == b"ready\n"
        for each in started:
            each.stdin.write(b"go\n")
            each.stdin.flush()
        yield started
    finally:
        for each in started:
            each.kill()
            each.wait()
            each.stdin.close()
            each.stdout.close()


def ask(key, **question) -> Code:
    return services.verify_key(secret=key.secret, address=None, **question).code


class TestTheSame:
    """What was verified is told by the same tables in the same words."""

    def test_journals_and_tables_tell_the_same(self, tmp_path, time_machine, acme, owner):
        time_machine.move_to(NOW, tick=False)

        def use_a_key():
            key = services.issue_key(
                actor=owner, organization=acme, name="Key", scopes=["READ"], limit=Decimal(9)
            )
            free = services.issue_key(
                actor=owner, organization=acme, name="Free", scopes=["READ", "CREATE"]
            )
            origin = Origin("api", "203.0.113.9", "f" * 32, method="GET", path="/v1/api-keys")
            with acting_from(origin):
                for each in (key, free):
                    for question in (
                        {"scopes": ["READ"], "cost": Decimal(5), "byok_cost": Decimal("0.5")},
                        {"scopes": ["READ"], "cost": Decimal(5)},
                        {"scopes": ["MANAGE"], "user_agent": f"app {each.secret}"},
                    ):
                        services.verify_key(
                            secret=each.secret, address=parse_address("203.0.113.9"), **question
                        )
                    verdict = services.authenticate_key(secret=each.secret, address=None)
                    services.note_grant(verdict=verdict, permission="keys.view_apikey")
            return [key.pk, free.pk]

        def told(pks):
            rows = []
            for model, left_out in (
                (KeyUsage, {"key"}),
                (UsageBucket, {"id", "key", "secret"}),
                (MinuteBucket, {"id", "key"}),
                (ScopeUse, {"id", "key"}),
                (Decision, {"id", "key", "secret"}),
            ):
                fields = [field.name for field in model._meta.fields if field.name not in left_out]
                for pk in pks:
                    values = model.objects.filter(key=pk).values_list(*fields)
                    rows.append(sorted(map(str, values)))
            used = KeySecret.objects.filter(key__in=pks).order_by("pk")
            return rows, list(used.values_list("last_used_at", flat=True))

        at_once = use_a_key()
        usage.keep_journal(tmp_path)
        try:
            journaled = use_a_key()
        finally:
            usage.drop_journal()
        assert folding.fold_once(tmp_path) == 10
        assert told(journaled) == told(at_once)

    def test_a_full_disk_charges_and_counts_nothing(self, monkeypatch, state, owner, key, client):
        services.update_key(actor=owner, key=key, limit=Decimal(9))

        def fail(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", fail)
        with pytest.raises(journal.JournalFull):
            ask(key)
        client.raise_request_exception = False
        answer = client.get("/v1/api-keys", headers={"X-API-Key": key.secret})
        assert answer.status_code == 503
        assert KeyUsage.objects.get(key=key).requests == 0
        monkeypatch.undo()
        assert ask(key) is Code.VALID
        assert KeyUsage.objects.get(key=key).requests == 1


class TestLateFolds:
    """What is added late belongs where it was used, and changes nothing else."""

    def test_uses_of_a_rotated_secret_are_its_keys(self, state, developer, key):
        """T34: counters follow the lineage, unfolded ones too."""
        for _ in range(3):
            ask(key, cost=Decimal(2))
        renewed = services.rotate_key(actor=developer, key=key)
        ask(renewed, cost=Decimal(1))
        folding.fold_once(state)
        totals = KeyUsage.objects.get(key=key)
        assert (totals.requests, totals.cost, totals.period_cost) == (4, 7, 7)
        hours = UsageBucket.objects.filter(key=key).values_list("secret__label", "requests")
        assert dict(hours) == {key.label: 3, renewed.label: 1}
        assert ask(key) is Code.SECRET_RETIRED

    def test_a_late_fold_brings_nothing_back(self, state, developer, key):
        """T36."""
        assert ask(key) is Code.VALID
        services.revoke_key(actor=developer, key=key)
        revoked_at = APIKey.objects.get(pk=key.pk).revoked_at
        folding.fold_once(state)
        assert APIKey.objects.get(pk=key.pk).revoked_at == revoked_at
        assert ask(key) is Code.REVOKED
        assert KeyUsage.objects.get(key=key).requests == 1

    @pytest.mark.parametrize("reset", [None, "daily"])
    def test_uses_count_against_a_limit_that_is_set_meanwhile(self, state, developer, key, reset):
        ask(key, cost=Decimal(3))
        services.update_key(actor=developer, key=key, limit=Decimal(5), limit_reset=reset)
        folding.fold_once(state)
        assert APIKey.objects.get(pk=key.pk).remaining_at(timezone.now()) == 2
        assert ask(key, cost=Decimal("2.000001")) is Code.LIMIT_EXCEEDED
        assert ask(key, cost=Decimal(2)) is Code.VALID
        folding.fold_once(state)
        totals = KeyUsage.objects.get(key=key)
        assert (totals.requests, totals.refused, totals.cost) == (2, 1, 5)

    def test_another_period_loses_no_charge_that_is_not_folded(self, state, developer, key):
        services.update_key(actor=developer, key=key, limit=Decimal(5))
        assert ask(key, cost=Decimal(3)) is Code.VALID
        services.update_key(actor=developer, key=key, limit_reset="monthly")
        assert ask(key, cost=Decimal(3)) is Code.LIMIT_EXCEEDED
        folding.fold_once(state)
        assert APIKey.objects.get(pk=key.pk).remaining_at(timezone.now()) == 2
        assert UsageBucket.objects.get(key=key, outcome="VALID").cost == 3

    def test_a_limit_that_is_lifted_meanwhile_counts_no_use_twice(self, state, developer, key):
        services.update_key(actor=developer, key=key, limit=Decimal(5))
        ask(key)
        services.update_key(actor=developer, key=key, limit=None)
        ask(key)
        folding.fold_once(state)
        totals = KeyUsage.objects.get(key=key)
        assert (totals.requests, totals.cost) == (2, 2)

    @pytest.mark.parametrize(
        ("reset", "border"),
        [
            ("daily", datetime(2028, 2, 29, tzinfo=UTC)),
            ("weekly", datetime(2027, 1, 4, tzinfo=UTC)),
            ("monthly", datetime(2027, 1, 1, tzinfo=UTC)),
        ],
    )
    def test_a_clock_that_is_behind_begins_no_period_again(
        self, state, developer, key, time_machine, reset, border
    ):
        """T35: two hosts at the border of a calendar spend a limit once."""
        time_machine.move_to(border - timedelta(hours=1), tick=False)
        services.update_key(actor=developer, key=key, limit=Decimal(2), limit_reset=reset)
        assert ask(key, cost=Decimal(2)) is Code.VALID
        outcomes = []
        for seconds in (1, -1, 2, -2, 3):
            time_machine.move_to(border + timedelta(seconds=seconds), tick=False)
            outcomes.append(ask(key, cost=Decimal(1)))
        assert outcomes == [Code.VALID, Code.VALID, *[Code.LIMIT_EXCEEDED] * 3]


@pytest.mark.django_db(transaction=True)
class TestProcesses:
    """Real workers on one host and one database."""

    @pytest.fixture
    def state(self, tmp_path):
        return tmp_path

    def test_200_uses_of_100_are_100_whoever_answers(self, state, developer, key):
        """T36."""
        services.update_key(actor=developer, key=key, limit=Decimal(100))
        with workers(2, state, key.secret, times=100) as started:
            answers = [line for each in started for line in each.stdout.read().split()]
        assert answers.count(b"0VALID") == answers.count(b"0LIMIT_EXCEEDED") == 100
        folding.fold_once(state)
        totals = KeyUsage.objects.get(key=key)
        assert (totals.requests, totals.refused, totals.cost) == (100, 100, 100)
        rows = MinuteBucket.objects.filter(key=key).values_list("outcome", "requests")
        assert sum(requests for _outcome, requests in rows) == 200

    @pytest.mark.parametrize(
        "run",
        [
            pytest.param(0, marks=pytest.mark.wide),
            *[pytest.param(n, marks=pytest.mark.endurance) for n in range(1, 20)],
        ],
    )
    def test_killed_workers_counted_what_they_answered(
        self, state, developer, key, manage_key, run
    ):
        """`kill -9` in full load, in the middle of folds too."""
        services.update_key(actor=developer, key=key, limit=Decimal(10**9))
        keys = [*[manage_key] * 9, key]
        with workers(2, state, *(each.secret for each in keys)) as started:
            answers = [each.stdout.readline() for each in started for _ in range(99 + 7 * run)]
            for each in started:
                each.send_signal(signal.SIGKILL)
            for each in started:
                answers += each.stdout.readlines()
        folding.fold_once(state)
        assert folding.backlog(state).records == 0
        for asked in (key, manage_key):
            answered = sum(keys[int(line[:1])] == asked for line in answers)
            counted = KeyUsage.objects.get(key=asked).requests
            hours = UsageBucket.objects.filter(key=asked).values_list("requests", flat=True)
            assert sum(hours) == counted
            # Those in flight were counted and not answered: one of each worker at most.
            assert 0 <= counted - answered <= len(started)
