"""What journals hold gets into the tables: all of it, once, whatever happens meanwhile."""

import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections
from django.utils import timezone

from keys import decisions, folding, journal
from keys.models import Decision, JournalSegment, KeySecret, KeyUsage, MinuteBucket, UsageBucket
from keys.networks import parse_address

NOW = datetime(2026, 3, 4, 12, 30, 15, 250, tzinfo=UTC)
SMALL = 4096

# Folds in a fresh process, which is killed as soon as it comes to a certain function.
FOLD_AND_DIE = """
import os, signal, sys
from pathlib import Path
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from keys import decisions, folding
def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "before the commit":
    decisions.remember = die
else:
    Path.unlink = die
folding.fold_once(Path(sys.argv[2]))
"""


@pytest.fixture
def state(tmp_path):
    return tmp_path


@pytest.fixture
def open_journal(state):
    """Begin a journal as another worker of this host would."""
    kept = []

    def open_journal(segment_bytes=journal.SEGMENT_BYTES):
        kept.append(journal.open(folding.journal_directory(state), segment_bytes))
        return kept[-1]

    yield open_journal
    for each in kept:
        each.close()


@pytest.fixture
def kept(open_journal):
    return open_journal()


def use(kept, key, times=1, *, outcome="VALID", agent="curl/8.5", scopes=(), at=NOW, cost=1):
    """Count uses of a key as a worker does."""
    text = kept.text(agent, frozenset(scopes))
    address = journal.pack_address(parse_address("203.0.113.9"))
    secret, moment = key.current_secret, int(at.timestamp() * 1_000_000)
    for number in range(times):
        kept.append(
            *(secret.pk, key.pk, moment, journal.OUTCOMES[outcome], journal.DOORS["verify"]),
            *(text, cost * 1_000_000, 0, address, number.to_bytes(16)),
        )


def counted(key) -> tuple[int, int]:
    """Return how often the key was accepted and refused, of which every table says the same."""
    totals = KeyUsage.objects.get(key=key)
    for model in (UsageBucket, MinuteBucket):
        rows = model.objects.filter(key=key).values_list("outcome", "requests")
        accepted = sum(requests for outcome, requests in rows if outcome == "VALID")
        assert accepted == totals.requests
        assert sum(requests for _outcome, requests in rows) == totals.requests + totals.refused
    return totals.requests, totals.refused


def files(state) -> list[str]:
    return [path.name for path in sorted(folding.journal_directory(state).iterdir())]


class TestEveryUse:
    """What was noted of a use is what the tables say."""

    def test_a_use_is_told_as_it_was(self, kept, state, key):
        use(kept, key, scopes={"READ"}, cost=3)
        assert folding.fold_once(state) == 1
        row = Decision.objects.get()
        assert (row.key, row.secret, row.at) == (key, key.current_secret, NOW)
        assert (row.outcome, row.door, row.address) == ("VALID", "verify", "203.0.113.9")
        assert (row.user_agent, row.scopes, row.cost) == ("curl/8.5", ["READ"], 3)
        totals = KeyUsage.objects.get(key=key)
        assert (totals.cost, totals.last_used_at, totals.last_address) == (3, NOW, "203.0.113.9")
        assert KeySecret.objects.get(key=key).last_used_at == NOW
        assert UsageBucket.objects.get().hour == NOW.replace(minute=0, second=0, microsecond=0)

    def test_what_is_added_is_not_added_again(self, kept, state, key):
        use(kept, key, 3)
        use(kept, key, 2, outcome="DISABLED")
        assert [folding.fold_once(state) for _ in range(3)] == [5, 0, 0]
        use(kept, key)
        assert folding.fold_once(state) == 1
        assert counted(key) == (4, 2)

    def test_all_workers_are_added_each_from_where_it_was(
        self, open_journal, state, key, read_only_key
    ):
        first, second = open_journal(), open_journal(SMALL)
        use(first, key, 3)
        folding.fold_once(state)
        use(first, read_only_key, 2)
        use(second, key, 200)
        assert folding.fold_once(state) == 202
        assert (counted(key), counted(read_only_key)) == ((203, 0), (2, 0))

    def test_more_than_one_transaction_takes(self, monkeypatch, open_journal, state, key):
        monkeypatch.setattr(folding, "_RECORDS_AT_ONCE", 7)
        use(open_journal(SMALL), key, 100)
        assert folding.fold_once(state) == 100
        assert counted(key) == (100, 0)

    def test_workers_wait_the_longer_the_more_there_is_to_fold(self, state, kept, key):
        use(kept, key)
        assert folding._is_due(state)
        folding.fold_once(state)
        folding._put_off(state, 3)
        assert not folding._is_due(state)
        # Whoever folds by hand does not wait; nor does anybody whose clock was put back.
        use(kept, key)
        assert folding.fold_once(state) == 1
        os.utime(state / "fold.lock", (time.time() + 3600,) * 2)
        assert folding._is_due(state)


class TestFiles:
    """They go when nothing more can come, and what they held is in the tables."""

    def test_who_is_gone_leaves_no_file(self, open_journal, state, key):
        gone, idle = open_journal(SMALL), open_journal()
        use(gone, key, 100)
        use(idle, key)
        folding.fold_once(state)
        # Full ones are complete, too.
        assert len(files(state)) == 2
        gone.close()
        folding.fold_once(state)
        assert len(files(state)) == 1
        assert JournalSegment.objects.exclude(finished_at=None).count() == 3
        assert counted(key) == (101, 0)

    def test_positions_go_long_after_their_files(self, kept, state, key, time_machine):
        use(kept, key)
        kept.close()
        folding.fold_once(state)
        call_command("purge", stdout=StringIO())
        assert JournalSegment.objects.exists()
        time_machine.move_to(timezone.now() + timedelta(days=31))
        call_command("purge", stdout=StringIO())
        assert not JournalSegment.objects.exists()

    def test_a_damaged_file_is_put_aside(self, kept, state, key, caplog):
        use(kept, key)
        (folding.journal_directory(state) / "0.journal").write_bytes(b"?" * 500)
        assert folding.fold_once(state) == 1
        assert "0.damaged" in files(state)
        assert "damaged" in caplog.text

    def test_blocks_that_were_never_written_count_nothing(self, open_journal, state, key, caplog):
        """A power cut may keep the number of records, and not the records."""
        kept = open_journal(SMALL)
        use(kept, key, 3)
        [path] = journal.segments(folding.journal_directory(state))
        with path.open("r+b") as file:
            file.seek(64 + journal.RECORD.size)
            file.write(bytes(journal.RECORD.size))
        folding.fold_once(state)
        assert counted(key) == (2, 0)
        assert "1 records make no sense" in caplog.text

    @pytest.mark.parametrize("is_cut_off", [False, True])
    def test_a_file_that_says_it_holds_more_ends_all_the_same(
        self, monkeypatch, open_journal, state, key, is_cut_off
    ):
        kept = open_journal(SMALL)
        use(kept, key, 3)
        kept.close()
        [path] = journal.segments(folding.journal_directory(state))
        with path.open("r+b") as file:
            file.seek(8)
            file.write((10**6).to_bytes(8, "little"))
        if is_cut_off:
            # After it was measured.
            monkeypatch.setattr(journal.Reader, "records", lambda *asked: b"")
        reads, read = iter(range(3)), folding._read
        monkeypatch.setattr(folding, "_read", lambda files: (next(reads), read(files))[1])
        folding.fold_once(state)
        assert counted(key) == ((0, 0) if is_cut_off else (3, 0))

    def test_uses_of_another_database_are_dropped(self, kept, state, key, manage_key, caplog):
        use(kept, manage_key, 3)
        use(kept, key)
        manage_key.delete()
        with caplog.at_level(logging.WARNING):
            folding.fold_once(state)
        assert "3 uses of secrets" in caplog.text
        assert counted(key) == (1, 0)
        assert Decision.objects.get().key == key


class TestDecisions:
    """One by one when there are few; of many, those that somebody wants to see."""

    def test_refusals_and_rare_uses_are_kept_of_many(
        self, monkeypatch, kept, state, key, read_only_key
    ):
        monkeypatch.setattr(folding, "_DECISIONS_AT_ONCE", 5)
        use(kept, key, 50, agent="busy")
        for number in range(8):
            use(kept, key, 3, agent=f"less busy {number}")
        use(kept, read_only_key, agent="rare")
        use(kept, key, 60, outcome="DISABLED")
        folding.fold_once(state)
        kept_of = set(Decision.objects.values_list("outcome", "user_agent"))
        assert len(kept_of) == Decision.objects.count() == 5
        assert {("DISABLED", "curl/8.5"), ("VALID", "rare")} < kept_of
        assert ("VALID", "busy") not in kept_of
        assert counted(key) == (74, 60)

    def test_the_newest_of_a_kind_is_kept(self, monkeypatch, kept, state, key):
        monkeypatch.setattr(folding, "_DECISIONS_AT_ONCE", 2)
        for seconds in range(5):
            use(kept, key, at=NOW + timedelta(seconds=seconds))
        folding.fold_once(state)
        assert Decision.objects.get().at == NOW + timedelta(seconds=4)


@contextmanager
def folding_in_a_thread(state):
    stop = threading.Event()
    thread = threading.Thread(target=folding.run, args=[stop, state])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
class TestWhateverHappens:
    """Each use once, in the end."""

    def test_a_fold_that_fails_adds_nothing(self, monkeypatch, kept, state, key):
        use(kept, key, 3)

        def fail(rows):
            raise OperationalError("The database went away.")

        monkeypatch.setattr(decisions, "remember", fail)
        with pytest.raises(OperationalError):
            folding.fold_once(state)
        assert counted(key) == (0, 0)
        monkeypatch.undo()
        assert folding.fold_once(state) == 3
        assert counted(key) == (3, 0)

    def test_a_database_that_is_away_is_waited_for(self, monkeypatch, kept, state, key, caplog):
        monkeypatch.setattr(folding, "FOLD_SECONDS", 0.01)
        apply, failures = folding.tallies.apply, []

        def fail_at_first(some):
            if len(failures) < 3:
                failures.append(some)
                raise OperationalError("The database went away.")
            return apply(some)

        monkeypatch.setattr(folding.tallies, "apply", fail_at_first)
        use(kept, key, 3)
        with caplog.at_level(logging.INFO), folding_in_a_thread(state):
            wait_for(lambda: KeyUsage.objects.get(key=key).requests == 3)
            use(kept, key)
            wait_for(lambda: KeyUsage.objects.get(key=key).requests == 4)
        said = [record.message for record in caplog.records if record.name == "keys.folding"]
        assert said == [
            "Uses wait in the journal: The database went away.",
            "Uses are added to the tables again.",
        ]

    @pytest.mark.parametrize("has_lock", [True, False])
    def test_two_at_once_add_each_use_once(self, monkeypatch, open_journal, state, key, has_lock):
        """By the lock on the host's state; and without one, by the database."""
        monkeypatch.setattr(folding, "_RECORDS_AT_ONCE", 50)
        if not has_lock:

            @contextmanager
            def nobody_waits(directory, wait):
                yield True

            monkeypatch.setattr(folding, "_alone", nobody_waits)
        use(open_journal(SMALL), key, 1000)

        def fold():
            try:
                folding.fold_once(state)
            except folding.OvertakenError:
                pass
            finally:
                connections.close_all()

        with ThreadPoolExecutor(3) as pool:
            for _ in range(3):
                pool.submit(fold)
        folding.fold_once(state)
        assert counted(key) == (1000, 0)

    @pytest.mark.parametrize("moment", ["before the commit", "before files are removed"])
    def test_a_killed_fold_is_made_good(self, open_journal, state, key, moment):
        kept = open_journal()
        use(kept, key, 5)
        kept.close()
        database = str(connection.settings_dict["NAME"])
        process = subprocess.run(  # noqa: S603
            [sys.executable, "-c", FOLD_AND_DIE, database, str(state), moment],
            check=False,
            timeout=60,
        )
        assert process.returncode == -9
        assert counted(key) == ((0, 0) if moment == "before the commit" else (5, 0))
        assert len(files(state)) == 1
        folding.fold_once(state)
        assert counted(key) == (5, 0)
        assert files(state) == []


class TestBacklog:
    """How much waits, and since when."""

    def test_it_tells_what_is_not_in_the_tables(self, kept, state, key):
        assert folding.backlog(state) == folding.Backlog(0, 0)
        use(kept, key, 2, at=timezone.now() - timedelta(seconds=20))
        folding.fold_once(state)
        use(kept, key, 3, at=timezone.now() - timedelta(seconds=9))
        waiting = folding.backlog(state)
        assert waiting.records == 3
        assert 9 <= waiting.seconds < 19
        folding.fold_once(state)
        assert folding.backlog(state).records == 0

    def test_an_operator_can_fold_by_hand(self, kept, state, key, settings):
        settings.STATE_DIR = state
        use(kept, key, 4)
        told = StringIO()
        call_command("fold_usage", stdout=told)
        assert "4 uses" in told.getvalue()
        assert counted(key) == (4, 0)
