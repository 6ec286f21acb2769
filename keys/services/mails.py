"""Mails that wait in the outbox: written in their reader's words, sent, tried again.

What waits for one person and is of one kind goes as one mail. Each message is claimed before
it is sent, so that several workers send none twice; whoever dies in between has it sent again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation

from keys.models import Message, NotificationSettings
from keys.services.wording import WORDING, Item

logger = logging.getLogger(__name__)

# A message that was claimed and not sent within that time is somebody else's.
CLAIMED_FOR = timedelta(minutes=5)
# How long after an attempt the next one is; the last of these from then on.
PAUSES = [timedelta(minutes=each) for each in (1, 5, 15, 60, 180, 360)]
GIVEN_UP_AFTER = timedelta(days=5)
# So many things are listed in one mail; of more it says how many.
MOST_LISTED = 50


@dataclass(frozen=True)
class Mail:
    """What one mail says."""

    subject: str
    text: str
    html: str


def send_due(should_stop: Callable[[], bool] = lambda: False) -> int:
    """Send the mails that are due, until `should_stop`; return how many were sent.

    While the mail server is away nothing is claimed, and nothing is lost.
    """
    if not _due(timezone.now()).exists():
        return 0
    server = connect()
    if server is None:
        return 0
    sent = 0
    try:
        while not should_stop() and (claimed := _claim(timezone.now())):
            sent += _send(server, claimed)
    finally:
        server.close()
    return sent


def connect() -> BaseEmailBackend | None:
    """Return an open connection to the mail server; None while it is away."""
    server = get_connection()
    try:
        server.open()
    except (OSError, SMTPException) as error:
        logger.warning("The mail server is away: %s.", type(error).__name__)
        return None
    return server


def compose(messages: Sequence[Message], language: str = "") -> Mail:
    """Return one mail that says all of these, which are of one kind, in this language."""
    wording = WORDING[messages[0].kind].of([each.data for each in messages])
    with translation.override(language or settings.LANGUAGE_CODE):
        items = [wording.item(each.data) for each in messages[:MOST_LISTED]]
        context = {
            "intro": wording.intro(len(messages)),
            "items": [_absolute(item) for item in items],
            "more": len(messages) - len(items),
            "advice": wording.advice,
            "settings_url": _public(reverse("keys:notifications")),
            "is_security": wording.is_security,
        }
        return Mail(
            subject=" ".join(wording.subject(items[0], len(messages)).split()),
            text=render_to_string("keys/mail/message.txt", context),
            html=render_to_string("keys/mail/message.html", context),
        )


def claim(due: QuerySet[Any], until: datetime, same: Callable[[Any], QuerySet[Any]]) -> list[int]:
    """Take the first row that is due and those that go with it; return their numbers.

    They are not due again before `until`. Several may call it at once: each row is one's.
    """
    with transaction.atomic():
        first = _skipping_locked(due.order_by("next_at", "pk")).first()
        if first is None:
            return []
        numbers = list(_skipping_locked(same(first)).values_list("pk", flat=True))
        due.model._default_manager.filter(pk__in=numbers).update(
            next_at=until, attempts=F("attempts") + 1
        )
    return numbers


def pause_after(attempts: int, pauses: Sequence[timedelta]) -> timedelta:
    """Return how long to wait after so many attempts that failed."""
    return pauses[min(attempts, len(pauses)) - 1]


def _due(now: datetime) -> QuerySet[Message]:
    return Message.objects.filter(next_at__lte=now)


def _claim(now: datetime) -> list[Message]:
    def same(first: Message) -> QuerySet[Message]:
        return _due(now).filter(kind=first.kind, person_id=first.person_id)

    numbers = claim(_due(now), now + CLAIMED_FOR, same)
    rows = Message.objects.filter(pk__in=numbers).select_related("person").order_by("pk")
    return list(rows)


def _skipping_locked(rows: QuerySet[Any]) -> QuerySet[Any]:
    # SQLite has one writer at a time, who waits for nobody's rows.
    if not connection.features.has_select_for_update_skip_locked:
        return rows
    return rows.select_for_update(skip_locked=True, of=("self",))


def _send(server: BaseEmailBackend, messages: list[Message]) -> int:
    person = messages[0].person
    rows = Message.objects.filter(pk__in=[each.pk for each in messages])
    now = timezone.now()
    if not person.is_active:
        rows.update(next_at=None, error="inactive")
        return 0
    chosen = NotificationSettings.objects.filter(person=person).first()
    mail = compose(messages, chosen.language if chosen else "")
    letter = EmailMultiAlternatives(
        f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}{mail.subject}",
        mail.text,
        to=[person.email],
        connection=server,
    )
    letter.attach_alternative(mail.html, "text/html")
    try:
        letter.send()
    except (OSError, SMTPException) as error:
        _postpone(messages, now, type(error).__name__)
        return 0
    rows.update(next_at=None, sent_at=now, error="")
    return 1


def _postpone(messages: list[Message], now: datetime, error: str) -> None:
    for each in messages:
        is_over = now - each.created_at > GIVEN_UP_AFTER
        each.next_at = None if is_over else now + pause_after(each.attempts, PAUSES)
        each.error = error
        if is_over:
            logger.error("Message %s is given up: %s.", each.pk, error)
    Message.objects.bulk_update(messages, ["next_at", "error"])


def _absolute(item: Item) -> Item:
    return item._replace(link=_public(item.link))


def _public(path: str) -> str:
    return f"{settings.PUBLIC_URL}{path}"
