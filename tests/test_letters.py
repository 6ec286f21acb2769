"""Mails with links: sent at once, or once the mail server is there again; sealed meanwhile."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from keys import services
from keys.models import Invitation, Letter, Role
from keys.services import letters
from tests.conftest import PASSWORD
from tests.test_mails import later

AWAY = "tests.test_mails.Broken"
HERE = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def invite(acme, owner, django_capture_on_commit_callbacks):
    def call(email="new@acme.example"):
        role = Role.objects.get(organization=None, name="readonly")
        with django_capture_on_commit_callbacks(execute=True):
            [invited] = services.invite(actor=owner, organization=acme, emails=[email], role=role)
        return invited

    return call


@pytest.fixture
def refusing(settings):
    """A mail server that takes no mail."""
    settings.EMAIL_BACKEND = f"{__name__}.Refusing"
    return settings


class Refusing:
    """A mail server that answers and takes nothing."""

    def __init__(self, **options):
        pass

    def open(self):
        return True

    def close(self):
        pass

    def send_messages(self, messages):
        raise ConnectionRefusedError


class Counting(Refusing):
    """A mail server that is away, and counts who asks."""

    opened = 0

    def open(self):
        Counting.opened += 1
        raise ConnectionRefusedError

    def send_messages(self, messages):
        self.open()


class Watching:
    """Sees how many mails were sent when an answer is ready."""

    sent_before_the_answer = -1

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        Watching.sent_before_the_answer = len(mail.outbox)
        return response


def test_what_is_sent_at_once_leaves_nothing_behind(invite):
    invite()
    assert len(mail.outbox) == 1
    assert not Letter.objects.exists()
    assert Invitation.objects.get().sent_at


def test_an_invitation_waits_while_the_mail_server_is_away(invite, refusing, client):
    invite()
    refusing.EMAIL_BACKEND = HERE
    assert letters.send_due() == 0  # not due yet
    with later(minutes=2):
        call_command("work", "--once")
    [sent] = mail.outbox
    assert sent.to == ["new@acme.example"]
    assert sent.alternatives
    assert Invitation.objects.get().sent_at
    path = re.search(r"http://127.0.0.1:8000(/\S+)", sent.body)[1]
    assert "Join Acme" in client.get(path, follow=True).text
    assert not Letter.objects.exists()


def test_while_it_waits_a_copy_of_the_database_opens_no_account(invite, refusing):
    invite()
    kept = str(Letter.objects.values().get())
    assert "accounts/invitation" not in kept
    assert "Acme" not in kept


def test_a_link_that_was_replaced_or_taken_back_is_not_sent_any_more(
    invite, refusing, owner, django_capture_on_commit_callbacks
):
    first = invite()
    old = Letter.objects.get()
    invite()
    assert Letter.objects.get() != old
    services.revoke_invitation(actor=owner, invitation=first)
    assert not Letter.objects.exists()


def test_a_link_to_a_new_password_comes_when_the_mail_server_is_back(client, owner, refusing):
    answer = client.post(reverse("account_reset_password"), {"email": owner.email}, follow=True)
    assert answer.status_code == 200
    refusing.EMAIL_BACKEND = HERE
    with later(minutes=2):
        assert letters.send_due() == 1
        assert letters.send_due() == 0
    assert "Choose a new password" in mail.outbox[0].subject
    assert reverse("account_reset_password").rstrip("/") in mail.outbox[0].body


def test_how_long_an_answer_takes_does_not_tell_who_gets_a_mail(owner, settings):
    settings.MIDDLEWARE = [f"{__name__}.Watching", *settings.MIDDLEWARE]
    Client().post(reverse("account_reset_password"), {"email": owner.email})
    assert Watching.sent_before_the_answer == 0
    assert mail.outbox[0].to == [owner.email]


def test_who_signs_up_while_it_is_away_is_not_turned_off(client, db, refusing):
    refusing.ACCOUNT_OPEN_SIGNUP = True
    typed = {"email": "new@acme.example", "password1": PASSWORD, "password2": PASSWORD}
    assert client.post(reverse("account_signup"), typed, follow=True).status_code == 200
    assert Letter.objects.get().to == "new@acme.example"


def test_nothing_is_claimed_while_nobody_answers(invite, refusing):
    invite()
    refusing.EMAIL_BACKEND = AWAY
    with later(minutes=2):
        assert letters.send_due() == 0
    assert Letter.objects.get().attempts == 1


def test_while_nothing_waits_the_mail_server_is_not_asked(db, settings):
    settings.EMAIL_BACKEND = f"{__name__}.Counting"
    Counting.opened = 0
    assert letters.send_due() == 0
    assert Counting.opened == 0


def test_what_one_worker_is_sending_no_other_takes_up(invite, refusing):
    class Meanwhile(Refusing):
        """A mail server that takes its time: another worker looks what is due."""

        asked = 0

        def send_messages(self, messages):
            Meanwhile.asked += 1
            assert letters.send_due() == 0
            return len(messages)

    invite()
    refusing.EMAIL_BACKEND = HERE
    with later(minutes=2), pytest.MonkeyPatch.context() as patch:
        patch.setattr(letters, "connect", Meanwhile)
        assert letters.send_due() == 1
    assert Meanwhile.asked == 1


def test_it_is_tried_now_and_then_and_given_up_when_its_link_is_dead(invite, refusing, caplog):
    invite()
    for hour in range(1, 24 * 8, 4):
        with later(hours=hour):
            letters.send_due()
    assert not Letter.objects.exists()
    assert "The mail invitation is given up: ConnectionRefusedError." in caplog.text
    assert "new@acme.example" not in caplog.text


def test_what_the_worker_sent_meanwhile_is_not_sent_twice(db):
    letter = services.write_letter(
        to="new@acme.example", about="x", subject="S", text="T", good_for=timedelta(days=1)
    )
    with later(minutes=6):
        assert letters.send_due() == 1
        assert not letters.send_letter(letter, mail.get_connection())
    assert len(mail.outbox) == 1


def test_a_link_that_was_taken_back_meanwhile_is_not_sent(invite, refusing, owner):
    invited = invite()
    letter = Letter.objects.get()
    services.revoke_invitation(actor=owner, invitation=invited)
    refusing.EMAIL_BACKEND = HERE
    assert not letters.send_letter(letter, mail.get_connection())
    assert not mail.outbox


def test_a_server_that_takes_nothing_is_asked_once_for_many_invitations(
    acme, owner, refusing, django_capture_on_commit_callbacks
):
    role = Role.objects.get(organization=None, name="readonly")
    emails = [f"{number}@acme.example" for number in range(3)]
    refusing.EMAIL_BACKEND = f"{__name__}.Counting"
    Counting.opened = 0
    with django_capture_on_commit_callbacks(execute=True):
        services.invite(actor=owner, organization=acme, emails=emails, role=role)
    assert Counting.opened == 1
    assert Letter.objects.count() == 3
    refusing.EMAIL_BACKEND = HERE
    with later(minutes=6):
        assert letters.send_due() == 3


def test_who_dies_while_sending_leaves_it_to_the_worker(acme):
    services.write_letter(
        to="new@acme.example", about="x", subject="S", text="T", good_for=timedelta(days=1)
    )
    assert letters.send_due() == 0
    with later(minutes=6):
        assert letters.send_due() == 1
    assert (mail.outbox[0].subject, mail.outbox[0].body) == ("S", "T")
