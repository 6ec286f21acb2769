"""The worker: what it does, that it stops when told to, and that several share the work."""

import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.utils import timezone

from keys.models import Chore as ChoreRow
from keys.models import KeyNotice, Message, WebhookDelivery
from keys.services import chores
from keys.services.chores import Chore
from tests import logged
from tests.servers import ROOT, portal_settings

IS_TOLD = True


@pytest.fixture(autouse=True)
def _nothing_done_here(monkeypatch):
    monkeypatch.setattr(chores, "_due_here", {})


@pytest.fixture
def done(monkeypatch):
    """A chore that notes when it was done."""
    noted = []
    hourly = Chore("hourly", timedelta(hours=1), lambda *, now: noted.append(now))
    monkeypatch.setattr(chores, "CHORES", [hourly])
    return noted


def later(**length):
    return time_machine.travel(timezone.now() + timedelta(**length), tick=False)


class TestChores:
    def test_each_is_done_once_in_its_time(self, db, done):
        assert chores.run_due() == ["hourly"]
        assert chores.run_due() == []
        with later(minutes=61):
            assert chores.run_due() == ["hourly"]
        assert len(done) == 2

    def test_one_that_somebody_else_is_at_is_theirs_for_a_while(self, db, done):
        ChoreRow.objects.create(name="hourly", next_at=timezone.now())
        assert chores._is_ours(chores.CHORES[0])
        assert chores.run_due() == []
        with later(minutes=61):
            assert chores.run_due() == ["hourly"]

    def test_a_clock_that_was_put_back_holds_up_none(self, db, done):
        with later(days=30):
            assert chores.run_due() == ["hourly"]
        assert chores.run_due() == ["hourly"]
        assert chores.run_due() == []
        assert len(done) == 2

    def test_one_that_fails_is_tried_again_soon_and_holds_up_no_other(
        self, db, done, monkeypatch, caplog
    ):
        broken = Chore("broken", timedelta(days=1), lambda *, now: 1 / 0)
        monkeypatch.setattr(chores, "CHORES", [broken, *chores.CHORES])
        assert chores.run_due() == ["hourly"]
        assert ChoreRow.objects.get(name="broken").error == "ZeroDivisionError"
        assert "broken" in caplog.text
        with later(minutes=6):
            assert chores._is_ours(broken)

    def test_what_is_done_on_each_host_is_nobody_elses(self, db, monkeypatch):
        here = Chore("here", timedelta(hours=1), lambda *, now: None, each_host=True)
        monkeypatch.setattr(chores, "CHORES", [here])
        assert chores.run_due() == ["here"]
        assert chores.run_due() == []
        assert not ChoreRow.objects.exists()

    def test_all_of_them_run(self, acme, key):
        names = {each.name for each in chores.CHORES}
        assert set(chores.run_due()) == names

    def test_what_was_sent_is_forgotten_after_a_month(self, acme, owner, key):
        old = timezone.now() - timedelta(days=31)
        Message.objects.update(created_at=old, next_at=None)
        waiting = Message.objects.create(
            organization=acme, person=owner, kind="leak", created_at=old, next_at=old
        )
        KeyNotice.objects.create(key=key, topic="expired", moment=old - timedelta(days=60))
        assert chores.forget_what_was_sent(now=timezone.now()) > 1
        assert Message.objects.get() == waiting
        assert not KeyNotice.objects.exists()
        assert not WebhookDelivery.objects.exists()


def test_once_does_what_is_due_and_ends(acme, owner, key, capsys):
    with later(minutes=10):
        call_command("work", "--once")
    said = capsys.readouterr().out
    assert f"{len(chores.CHORES)} chores" in said
    assert "0 mails" not in said
    assert not Message.objects.filter(sent_at=None).exists()


@pytest.mark.wide
def test_it_works_until_it_is_told_to_stop(tmp_path):
    """A process of its own: mails go out, SIGTERM ends it cleanly."""
    settings = portal_settings(tmp_path, LOG_LEVEL="INFO")
    manage = [sys.executable, str(ROOT / "manage.py")]
    options = {"env": settings, "cwd": ROOT, "text": True}
    subprocess.run([*manage, "migrate", "-v0"], check=True, **options)  # noqa: S603
    make = (
        "from keys import policy, services; from keys.models import User;"
        "p = User.objects.create_user('a@acme.example');"
        "o = services.create_organization(actor=policy.OPERATOR, name='A', slug='a', owner=p);"
        "from keys.services import outbox; from keys.models.messages import Kind;"
        "outbox.write(kind=Kind.MEMBER, people=[p], organization=o,"
        " data={'slug': 'a', 'name': 'A', 'organization': 'A', 'role': 'x', 'actor': 'y'})"
    )
    subprocess.run([*manage, "shell", "-c", make], check=True, capture_output=True, **options)  # noqa: S603
    log = tmp_path / "work.log"
    with log.open("w") as output:
        process = subprocess.Popen([*manage, "work"], stdout=output, stderr=output, **options)  # noqa: S603
        until = time.monotonic() + 30
        while "You are a member of A" not in log.read_text() and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    logged.keep_file(log)
    assert log.read_text().count("Subject: [Keyhaven] You are a member of A") == 1
