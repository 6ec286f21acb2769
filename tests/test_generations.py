"""What changed on a host is seen by every process of it at the next request, and only that."""

import gc
import os
import subprocess
import sys
import threading

import pytest
from django.apps import apps
from django.conf import settings
from django.core.signals import request_finished
from django.db import connection, transaction

from keys import generations, services
from keys.board import (
    CLOCK,
    EVERYTHING,
    TRUST,
    Board,
    StateError,
    is_settled,
    key_slot,
    organization_slot,
)
from keys.generations import board
from keys.models import AllowedIP, APIKey, KeySecret, KeyUsage, Organization, Scope, User
from keys.statements import TABLES, Concern, concern_of


def slots_that(change) -> set[int]:
    """Return which slots have another value after a change, all of them settled."""
    before = list(board().slots)
    change()
    after = list(board().slots)
    changed = {number for number, value in enumerate(after) if value != before[number]}
    assert all(is_settled(after[number]) for number in changed - {CLOCK})
    return changed - {CLOCK}


def slots_under_way() -> set[int]:
    """Return which slots are not settled."""
    special = {CLOCK, TRUST}
    return {
        number
        for number, value in enumerate(board().slots)
        if number not in special and not is_settled(value)
    }


def leave_in_the_middle(key: APIKey) -> None:
    """Change a key in a thread that ends without an end to its transaction."""

    def change():
        transaction.atomic().__enter__()
        generations.note_key(key.pk)
        APIKey.objects.filter(pk=key.pk).update(description="Never")
        connection.connection.close()

    thread = threading.Thread(target=change)
    thread.start()
    thread.join()


class TestStatements:
    """Which statements matter is told from their text, on the safe side."""

    def test_every_watched_table_exists(self):
        tables = {
            table
            for model in apps.get_app_config("keys").get_models(include_auto_created=True)
            for table in [model._meta.db_table]
        }
        assert set(TABLES) <= tables

    def test_what_a_statement_concerns(self):
        for sql, concern in [
            ('SELECT "keys_apikey"."id" FROM "keys_apikey" FOR NO KEY UPDATE', None),
            ('INSERT INTO "keys_apikey" ("name") VALUES (%s)', None),
            ('INSERT INTO "keys_usagebucket" SELECT "id" FROM "keys_apikey"', None),
            ('UPDATE "keys_keyusage" SET "requests" = %s WHERE "key_id" IN (1)', None),
            ('UPDATE "keys_user" SET "last_login" = %s WHERE "keys_user"."id" = %s', None),
            ('UPDATE "keys_keysecret" SET "last_used_at" = CASE WHEN 1 THEN %s END, "digest" = %s',
             None),
            ('UPDATE "keys_keysecret" SET "digest" = GREATEST(%s, "label" = %s) WHERE "id" = %s',
             None),
            ('UPDATE "keys_keysecret" SET "digest" = %s, "label" = %s', Concern.KEY),
            ('UPDATE "keys_user" SET "last_login" = %s, "is_active" = %s WHERE "id" = 1',
             Concern.EVERYTHING),
            ('UPDATE "keys_user" SET "first_name" = %s, "last_name" = %s WHERE "id" = 1',
             Concern.ORGANIZATION),
            ('UPDATE "keys_user" SET "first_name" = %s, "is_active" = %s WHERE "id" = 1',
             Concern.EVERYTHING),
            ('UPDATE "keys_user" SET "first_name" = %s, "email" = %s WHERE "id" = 1',
             Concern.EVERYTHING),
            ("update keys_user set last_login = 1, is_active = 0", Concern.EVERYTHING),
            ("UPDATE \"keys_user\" SET \"last_login\" = ', \"password\" = 1 WHERE ', x = 1",
             Concern.EVERYTHING),
            ('DELETE FROM "keys_membership" WHERE "id" IN (%s)', Concern.ORGANIZATION),
            ('UPDATE "public"."keys_apikey" SET "x" = 1', Concern.KEY),
            ('UPDATE ONLY "keys_apikey" SET "x" = 1', Concern.KEY),
            ("DELETE FROM ONLY public.keys_membership WHERE id = 1", Concern.ORGANIZATION),
            ("UPDATE KEYS_APIKEY SET disabled = true", Concern.EVERYTHING),
            ('UPDATE "keys_usagebucket of" SET "x" = (SELECT 1 FROM "keys_apikey")',
             Concern.EVERYTHING),
            ("INSERT INTO x SELECT id FROM keys_membership", Concern.EVERYTHING),
            ("INSERT INTO keys_worker WITH m AS (DELETE FROM keys_membership) SELECT 1",
             Concern.EVERYTHING),
            ("WITH m AS (SELECT 1) DELETE FROM keys_membership", Concern.EVERYTHING),
            ('INSERT INTO "keys_scopeuse" SELECT 1 FROM keys_scope ON CONFLICT DO UPDATE SET b = 1',
             None),
            ('UPDATE "keys_keysecret" SET "digest" = a FROM (SELECT 1 FOR NO KEY UPDATE OF s) AS n',
             None),
            ('INSERT INTO "keys_apikey_scopes" ("a", "b") VALUES (1, 2)', Concern.KEY),
            ('INSERT OR IGNORE INTO "keys_apikey_scopes" ("a") VALUES (1)', Concern.KEY),
            ('INSERT INTO "keys_apikey" VALUES (1) ON CONFLICT("id") DO UPDATE SET "x" = 1',
             Concern.KEY),
            ("REPLACE INTO keys_apikey VALUES (1)", Concern.EVERYTHING),
            ("TRUNCATE keys_audit, keys_apikey CASCADE", Concern.EVERYTHING),
            ("WITH x AS (DELETE FROM keys_apikey RETURNING id) SELECT * FROM x",
             Concern.EVERYTHING),
            ("SELECT 1; DELETE FROM keys_apikey", Concern.EVERYTHING),
            ("UPDATE other SET a = 1; UPDATE keys_apikey SET a = 1", Concern.EVERYTHING),
        ]:  # fmt: skip
            assert concern_of(sql) is concern, sql


@pytest.mark.usefixtures("own_board")
@pytest.mark.django_db(transaction=True)
class TestMarks:
    """However rows are written, whoever remembers them is told."""

    def test_a_service_marks_its_key_alone(self, developer, key):
        def rename():
            services.update_key(actor=developer, key=key, name="Other", scopes=["READ"])

        assert slots_that(rename) == {key_slot(key.pk)}

    def test_a_change_of_an_organization_marks_it_alone(self, acme, owner, staff, developer):
        assert slots_that(
            lambda: services.suspend_organization(actor=staff, organization=acme)
        ) == {organization_slot(acme.pk)}
        membership = acme.memberships.get(user=developer)
        assert slots_that(lambda: services.remove_member(actor=owner, membership=membership)) == {
            organization_slot(acme.pk)
        }

    def test_what_no_service_announced_marks_everything(self, key):
        """A queryset, a relation, a bulk operation, SQL by hand."""
        cursor = connection.cursor()
        for change in (
            lambda: APIKey.objects.filter(pk=key.pk).update(disabled=True),
            lambda: APIKey.objects.bulk_update([key], ["name"]),
            lambda: AllowedIP.objects.bulk_create([AllowedIP(key=key, network="10.0.0.1")]),
            lambda: key.scopes.clear(),
            lambda: key.scopes.add(Scope.objects.get(code="MANAGE")),
            lambda: key.owner.save(),
            lambda: cursor.execute("UPDATE keys_apikey SET disabled = %s", [True]),
            lambda: cursor.executemany(
                "DELETE FROM keys_allowedip WHERE key_id = %s", [[key.pk], [key.pk]]
            ),
            lambda: KeySecret.objects.update(revoked_at="2026-01-01T00:00:00Z"),
        ):
            assert slots_that(change) == {EVERYTHING}

    def test_what_changes_no_verdict_marks_nothing(self, key):
        moment = "2026-01-01T00:00:00Z"
        for change in (
            lambda: list(APIKey.objects.with_details()),
            lambda: KeyUsage.objects.filter(key=key).update(requests=7),
            lambda: User.objects.filter(pk=key.owner_id).update(last_login=moment),
            lambda: KeySecret.objects.update(last_used_at=moment),
            lambda: Organization.objects.create(name="New", slug="new"),
            lambda: services.verify_key(secret=key.secret, address=None),
        ):
            assert slots_that(change) == set()

    def test_a_slot_is_unsettled_until_the_commit(self, key):
        slot = key_slot(key.pk)
        with transaction.atomic():
            generations.note_key(key.pk)
            key.save()
            assert slots_under_way() == {slot}
        assert slots_under_way() == set()

    def test_what_is_rolled_back_is_settled_at_the_next_opportunity(self, key):
        def fail():
            with transaction.atomic():
                generations.note_key(key.pk)
                key.save()
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert slots_under_way() == {key_slot(key.pk)}
        request_finished.send(sender=None)
        assert slots_under_way() == set()
        # What was said of that transaction says nothing of the next.
        assert slots_that(key.save) == {EVERYTHING}

    def test_what_a_thread_left_in_the_middle_is_settled_within_a_second(self, key):
        """Not when its connection is collected: that may be while the board is locked."""
        leave_in_the_middle(key)
        gc.collect()
        assert slots_under_way() == {key_slot(key.pk)}
        generations.keep_house()
        assert slots_under_way() == set()

    def test_a_rolled_back_part_leaves_no_change_of_the_rest_unmarked(self, key, manage_key):
        def fail():
            with transaction.atomic():
                generations.note_key(key.pk)
                key.save()
                raise RuntimeError

        with transaction.atomic():
            with pytest.raises(RuntimeError):
                fail()
            generations.note_key(manage_key.pk)
            manage_key.save()
            assert key_slot(manage_key.pk) in slots_under_way()
        assert slots_under_way() == set()

    def test_nothing_is_changed_that_nobody_would_see(self, key, monkeypatch):
        """T27: without the shared file, writes fail loudly."""
        monkeypatch.setattr(board(), "path", board().path.with_name("gone"))
        with pytest.raises(StateError):
            key.save()
        monkeypatch.undo()
        assert key.name == APIKey.objects.get(pk=key.pk).name

    def test_other_hosts_are_told_in_the_same_transaction(self, developer, acme, key, monkeypatch):
        told = []

        def announce(connection, names):
            told.append((connection.in_atomic_block, names))

        monkeypatch.setattr(generations, "announce", announce)
        services.revoke_key(actor=developer, key=key)
        Organization.objects.filter(pk=acme.pk).update(name="Other")
        assert told == [(True, [f"k:{key.pk}"]), (True, ["*"])]

    @pytest.mark.parametrize("is_noted", [True, False])
    def test_what_a_rollback_took_back_is_told_again(self, key, monkeypatch, is_noted):
        """A savepoint's rollback unsays what was told within it, also of a savepoint by hand."""
        told = []
        monkeypatch.setattr(generations, "announce", lambda connection, names: told.append(names))
        with transaction.atomic():
            if is_noted:
                generations.note_key(key.pk)
            with transaction.atomic():
                AllowedIP.objects.filter(key=key).delete()
                AllowedIP.objects.filter(key=key).update(comment="")
            started = slots_under_way()
            assert len(told) == 1
            part = transaction.savepoint()
            key.save()
            transaction.savepoint_rollback(part)
            key.save()
            key.save()
            assert len(told) == 2
            assert told[0] == told[1]
            assert slots_under_way() == started
        assert slots_under_way() == set()

    def test_a_transaction_outlives_the_board_it_started_on(self, key, settings):
        """Who reads by the new board learns of the commit, and the lock of writers is as it was."""
        with transaction.atomic():
            generations.note_key(key.pk)
            key.save()
            for path in settings.STATE_DIR.iterdir():
                path.unlink()
            generations.keep_house()
            before = board().slots[EVERYTHING]
        assert slots_under_way() == set()
        assert board().slots[EVERYTHING] != before
        board().start([9])
        assert Board(settings.STATE_DIR).settle_abandoned() == 0

    def test_notes_outside_of_a_transaction_are_refused(self, key):
        with pytest.raises(transaction.TransactionManagementError):
            generations.note_key(key.pk)


OTHER_PROCESS = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
from keys.board import Board
from pathlib import Path
board = Board(Path(sys.argv[1]))
board.start([5, 7])
print("started", flush=True)
if sys.stdin.readline():
    board.finish([5, 7])
    print("finished", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other_process(tmp_path):
    """Another process that started a change of two slots of a state directory."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", OTHER_PROCESS, tmp_path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "started\n"
    yield process
    process.kill()
    process.communicate()


class TestProcesses:
    """The file is one for all processes of a host."""

    def test_a_change_is_seen_by_another_process_at_once(self, tmp_path, other_process):
        here = Board(tmp_path)
        assert not is_settled(here.slots[5])
        other_process.stdin.write("\n")
        other_process.stdin.flush()
        assert other_process.stdout.readline() == "finished\n"
        assert is_settled(here.slots[5])
        assert here.slots[5] != 0

    def test_a_killed_writer_is_slow_and_never_wrong(self, tmp_path, other_process):
        here = Board(tmp_path)
        assert here.settle_abandoned() == 0  # it is alive
        started = here.slots[5]
        other_process.kill()
        other_process.wait()
        assert here.slots[5] == started
        assert here.settle_abandoned() == 2
        assert is_settled(here.slots[5])
        assert here.slots[5] > started

    def test_a_writer_of_this_process_is_never_taken_for_dead(self, tmp_path):
        here = Board(tmp_path)
        here.start([9])
        assert here.settle_abandoned() == 0
        assert Board(tmp_path).settle_abandoned() == 0
        here.finish([9])
        assert is_settled(here.slots[9])

    def test_writers_at_the_same_moment_do_not_settle_each_other(self, tmp_path):
        """Two in one slot: odd and odd makes no even."""
        here, there = Board(tmp_path), Board(tmp_path)
        here.start([9])
        there.start([9])
        here.finish([9])
        assert not is_settled(here.slots[9])
        there.finish([9])
        assert is_settled(here.slots[9])

    def test_no_count_is_lost_between_threads(self, tmp_path):
        boards = [Board(tmp_path), Board(tmp_path)]

        def change(board):
            for _ in range(200):
                board.renew([11])

        threads = [threading.Thread(target=change, args=[each]) for each in boards * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert boards[0].slots[11] == 800 << 32 | 800

    def test_a_number_that_runs_over_starts_again(self, tmp_path):
        here = Board(tmp_path)
        here.slots[9] = 0xFFFFFFFF << 32 | 0xFFFFFFFF
        here.renew([9])
        assert here.slots[9] == 0

    def test_a_cleared_directory_is_noticed(self, tmp_path, settings, monkeypatch):
        settings.STATE_DIR = tmp_path
        monkeypatch.setattr(generations, "_board", None)
        before = board().slots[EVERYTHING]
        for path in tmp_path.iterdir():
            path.unlink()
        with pytest.raises(StateError):
            generations.forget_everything()
        Board(tmp_path).slots[EVERYTHING] = before + (1 << 32) + 1
        generations.keep_house()
        assert board().slots[EVERYTHING] != before

    def test_nobody_else_reads_the_file(self):
        board()
        assert os.stat(settings.STATE_DIR).st_mode & 0o777 == 0o700
        assert os.stat(board().path).st_mode & 0o777 == 0o600


class Recorder(list):
    """Slots that remember in which order they were written."""

    def __init__(self, slots) -> None:
        super().__init__(slots)
        self.written: list[int] = []

    def __setitem__(self, slot, value) -> None:
        self.written.append(slot)
        super().__setitem__(slot, value)


def test_the_clock_moves_before_a_slot_is_settled(tmp_path):
    """Who read rows before a commit, and its slot after, must see that something happened."""
    here = Board(tmp_path)
    here.start([9, 8])
    here.slots = Recorder(here.slots)
    here.finish([9, 8])
    assert here.slots.written == [CLOCK, 9, 8]
