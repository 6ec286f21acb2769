"""What people are told of keys that nobody touched: once, in time, and of what is still true."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.utils.formats import date_format

from keys import services
from keys.models import APIKey, KeyNotice, KeySecret, Message, WebhookDelivery
from keys.models.messages import Kind
from keys.services import mails, notices

START = datetime(2030, 3, 1, 9, 0, tzinfo=UTC)
END = START + timedelta(days=30, hours=6)


@pytest.fixture
def clock():
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def ending(clock, acme, developer):
    """The developer's key that ends in thirty days."""
    key = services.issue_key(actor=developer, organization=acme, name="Ending", expires_at=END)
    Message.objects.all().delete()
    return key


def told(**selected) -> list[str]:
    return list(Message.objects.filter(**selected).order_by("pk").values_list("kind", flat=True))


def look(clock, moment) -> int:
    clock.move_to(moment)
    return notices.give_expiry_notices(now=moment)


def test_a_key_is_announced_14_7_and_1_days_before_on_the_day_and_after(clock, ending):
    given = {}
    for hours in range(15 * 24, 32 * 24, 12):
        moment = START + timedelta(hours=hours)
        if look(clock, moment):
            given[KeyNotice.objects.latest("pk").topic] = (END - moment) / timedelta(days=1)
    assert list(given) == ["expiring_14", "expiring_7", "expiring_1", "expiring_0", "expired"]
    assert 13.5 < given["expiring_14"] <= 14
    assert 6.5 < given["expiring_7"] <= 7
    assert 0.5 < given["expiring_1"] <= 1
    assert 0 < given["expiring_0"] < 1
    assert -0.5 < given["expired"] <= 0
    assert told() == ["expiring"] * 4 + ["expired"]


def test_nothing_is_said_twice_of_one_end(clock, ending):
    for minutes in range(0, 120, 15):
        look(clock, END - timedelta(days=5) + timedelta(minutes=minutes))
    assert told() == ["expiring"]


def test_a_worker_that_was_away_says_only_what_is_still_true(clock, ending):
    assert look(clock, END - timedelta(days=3)) == 1
    assert KeyNotice.objects.get().topic == "expiring_7"
    assert look(clock, END + timedelta(days=30)) == 0


def test_a_key_with_a_new_end_is_announced_anew(clock, ending, developer):
    look(clock, END - timedelta(days=5))
    services.update_key(actor=developer, key=ending, expires_at=END + timedelta(days=30))
    assert look(clock, END + timedelta(days=25)) == 1
    assert told() == ["expiring"] * 2


@pytest.mark.parametrize("end", ["revoke_key", "disable_key"])
def test_of_a_key_that_no_longer_works_nothing_is_said(clock, ending, developer, end):
    getattr(services, end)(actor=developer, key=ending)
    assert look(clock, END - timedelta(days=5)) == 0


def test_a_key_that_is_made_for_days_is_not_announced_at_birth(clock, acme, developer):
    services.issue_key(
        actor=developer, organization=acme, name="Short", expires_at=START + timedelta(days=5)
    )
    assert look(clock, START + timedelta(minutes=1)) == 0
    assert look(clock, START + timedelta(days=4, minutes=1)) == 1


def test_what_ends_right_after_midnight_does_not_end_today(clock, acme, developer):
    midnight = (START + timedelta(days=30)).replace(hour=0)
    end = midnight + timedelta(microseconds=1)
    services.issue_key(actor=developer, organization=acme, name="Ending", expires_at=end)
    assert look(clock, midnight - timedelta(hours=1)) == 1
    assert KeyNotice.objects.get().topic == "expiring_1"


def test_many_keys_that_end_together_are_one_mail_for_each_person(
    clock, acme, owner, admin, developer
):
    for number in range(6):
        services.issue_key(
            actor=developer, organization=acme, name=f"Robot {number}", expires_at=END
        )
    services.issue_key(actor=owner, organization=acme, name="Shared", owner=None, expires_at=END)
    Message.objects.all().delete()
    look(clock, END - timedelta(days=7))
    clock.move_to(END - timedelta(days=7) + timedelta(minutes=6))
    mail.outbox.clear()
    assert mails.send_due() == 3
    subjects = {each.to[0]: each.subject for each in mail.outbox}
    assert subjects["developer@acme.example"].endswith("6 keys expire soon")
    assert subjects["admin@acme.example"] == subjects["owner@acme.example"]


def test_more_keys_than_are_looked_at_at_once_are_all_told_of(clock, acme, developer, monkeypatch):
    monkeypatch.setattr(notices, "_AT_ONCE", 3)
    for number in range(8):
        services.issue_key(actor=developer, organization=acme, name=f"R{number}", expires_at=END)
    assert look(clock, END - timedelta(days=7)) == 8
    assert KeyNotice.objects.count() == 8


def test_webhooks_hear_of_ends_as_well(clock, acme, owner, ending):
    services.create_webhook(actor=owner, organization=acme, url="https://example.com/hook")
    look(clock, END - timedelta(days=7))
    delivery = WebhookDelivery.objects.get(event="apikey.expiring")
    assert '"days":7' in delivery.body
    assert ending.identifier in delivery.body
    look(clock, END + timedelta(hours=1))
    assert ending.identifier in WebhookDelivery.objects.get(event="apikey.expired").body


@pytest.mark.parametrize(
    ("minutes_before", "topic"),
    [
        (14 * 1440, "expiring_14"),
        (7 * 1440 + 30, "expiring_14"),
        (7 * 1440, "expiring_7"),
        (1440 + 30, "expiring_7"),
        (1440, "expiring_1"),
        # The day that it ends begins fifteen hours before.
        (15 * 60 + 30, "expiring_1"),
        (15 * 60 - 30, "expiring_0"),
    ],
)
def test_each_stage_begins_when_it_says(clock, ending, minutes_before, topic):
    assert look(clock, END - timedelta(minutes=minutes_before)) == 1
    assert KeyNotice.objects.get().topic == topic


class TestOldSecrets:
    """A rotation that something was not changed over to."""

    def use(self, key: APIKey, moment) -> None:
        old = KeySecret.objects.filter(key=key).earliest("pk")
        KeySecret.objects.filter(pk=old.pk).update(last_used_at=moment)

    def rotate(self, key, developer, **overlap):
        services.rotate_key(actor=developer, key=key, overlap=timedelta(**overlap))

    def test_whoever_goes_on_with_the_old_one_is_found_out_once(self, clock, ending, developer):
        self.rotate(ending, developer, days=7)
        now = START + timedelta(hours=3)
        assert notices.give_secret_notices(now=now) == 0
        self.use(ending, START + timedelta(hours=2))
        assert notices.give_secret_notices(now=now) == 1
        self.use(ending, START + timedelta(hours=4))
        assert notices.give_secret_notices(now=START + timedelta(hours=5)) == 0
        assert told(kind=Kind.OLD_SECRET) == [Kind.OLD_SECRET]

    def test_the_mail_says_until_when_it_works(self, clock, ending, developer):
        self.rotate(ending, developer, days=7)
        self.use(ending, START + timedelta(hours=2))
        Message.objects.all().delete()
        notices.give_secret_notices(now=START + timedelta(hours=3))
        mails.send_due()
        end = date_format(START + timedelta(days=7), "DATETIME_FORMAT")
        assert f"works until {end}" in " ".join(mail.outbox[0].body.split())

    def test_webhooks_hear_of_it_as_well(self, clock, acme, owner, ending, developer):
        services.create_webhook(actor=owner, organization=acme, url="https://example.com/hook")
        self.rotate(ending, developer, days=7)
        self.use(ending, START + timedelta(hours=2))
        notices.give_secret_notices(now=START + timedelta(hours=3))
        delivery = WebhookDelivery.objects.get(event="apikey.old_secret_used")
        assert ending.identifier in delivery.body

    def test_there_is_time_to_change_over(self, clock, ending, developer):
        self.rotate(ending, developer, days=7)
        self.use(ending, START + timedelta(minutes=30))
        assert notices.give_secret_notices(now=START + timedelta(hours=3)) == 0

    def test_what_ended_is_no_news(self, clock, ending, developer):
        self.rotate(ending, developer, hours=4)
        self.use(ending, START + timedelta(hours=3))
        assert notices.give_secret_notices(now=START + timedelta(hours=5)) == 0
