"""Mails to an address that may be nobody's account yet, or that must not wait: a letter each.

Each is written together with what it tells of, and sent at once. Where the mail server does not
take it, the worker goes on trying, as it does with messages. Letters hold links by which somebody
gets in, and so are sealed while they wait, and gone once they were sent.
"""

import json
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import QuerySet
from django.utils import timezone

from keys import encryption
from keys.models import Invitation, Letter
from keys.services.mails import CLAIMED_FOR, PAUSES, claim, connect, pause_after

logger = logging.getLogger(__name__)


def write_letter(
    *,
    to: str,
    about: str,
    subject: str,
    text: str,
    page: str = "",
    good_for: timedelta,
    invitation: Invitation | None = None,
) -> Letter:
    """Write a letter that is ready for `send_letters`; `page` is the same as HTML.

    `about` says in the log what it is. After `good_for` it is of no use and given up. Of an
    invitation there is one letter: a new one takes the place of one that waits.
    """
    if invitation is not None:
        withdraw_letters(invitation)
    now = timezone.now()
    content = json.dumps({"subject": subject, "text": text, "page": page})
    return Letter.objects.create(
        to=to,
        about=about,
        sealed_content=encryption.seal(content, settings.KEY_PEPPERS),
        invitation=invitation,
        created_at=now,
        expires_at=now + good_for,
        # Whoever wrote it sends it first.
        next_at=now + CLAIMED_FOR,
        attempts=1,
    )


def send_letters(written: Sequence[Letter]) -> None:
    """Try to send letters that were just written; what nobody takes now is left to the worker."""
    server = connect()
    if server is None:
        now = timezone.now()
        rows = Letter.objects.filter(pk__in=[each.pk for each in written])
        rows.update(next_at=now + pause_after(1, PAUSES), error="away")
        return
    try:
        for letter in written:
            send_letter(letter, server)
    finally:
        server.close()


def send_letter(letter: Letter, server: BaseEmailBackend) -> bool:
    """Try to send a claimed letter; return whether the mail server took it.

    One that was withdrawn, or claimed by somebody else since, is not sent.
    """
    now = timezone.now()
    row = Letter.objects.filter(pk=letter.pk)
    if not row.filter(next_at=letter.next_at).update(next_at=now + CLAIMED_FOR):
        return False
    if letter.expires_at <= now:
        logger.error("The mail %s is given up: %s.", letter.about, letter.error)
        row.delete()
        return False
    try:
        _compose(letter, server).send()
    except (OSError, SMTPException, encryption.UnreadableError) as problem:
        error = type(problem).__name__
        logger.error("The mail %s was not sent: %s.", letter.about, error)
        row.update(next_at=now + pause_after(letter.attempts, PAUSES), error=error)
        return False
    Invitation.objects.filter(letters=letter).update(sent_at=now)
    row.delete()
    return True


def send_due(should_stop: Callable[[], bool] = lambda: False) -> int:
    """Send the letters that are due, until `should_stop`; return how many were sent.

    While the mail server is away nothing is claimed, and nothing is lost.
    """
    if not _due().exists():
        return 0
    server = connect()
    if server is None:
        return 0
    sent = 0
    try:
        while not should_stop() and (letter := _claim()):
            sent += send_letter(letter, server)
    finally:
        server.close()
    return sent


def withdraw_letters(invitation: Invitation) -> None:
    """Send no more letters of an invitation whose link is dead."""
    Letter.objects.filter(invitation=invitation).delete()


def _due() -> QuerySet[Letter]:
    return Letter.objects.filter(next_at__lte=timezone.now())


def _claim() -> Letter | None:
    until = timezone.now() + CLAIMED_FOR
    numbers = claim(_due(), until, lambda first: _due().filter(pk=first.pk))
    return Letter.objects.filter(pk__in=numbers).first()


def _compose(letter: Letter, server: BaseEmailBackend) -> EmailMultiAlternatives:
    content = json.loads(encryption.unseal(letter.sealed_content, settings.KEY_PEPPERS))
    mail = EmailMultiAlternatives(
        content["subject"], content["text"], to=[letter.to], connection=server
    )
    if content["page"]:
        mail.attach_alternative(content["page"], "text/html")
    return mail
