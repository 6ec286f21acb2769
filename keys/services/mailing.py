"""Mail to people: a text and a page, from two templates, once what it tells is written."""

import logging
from collections.abc import Callable, Mapping
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)


def send_mail(
    *, to: str, template: str, context: Mapping[str, Any], then: Callable[[], None] | None = None
) -> None:
    """Send `keys/mail/<template>` in the reader's language when the transaction is written.

    Calls `then` when the mail server took it. When it did not, that is logged, without what the
    mail says: who asked for it can ask again.
    """
    subject = render_to_string(f"keys/mail/{template}_subject.txt", context)
    message = EmailMultiAlternatives(
        f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}{' '.join(subject.split())}",
        render_to_string(f"keys/mail/{template}.txt", context),
        to=[to],
    )
    message.attach_alternative(render_to_string(f"keys/mail/{template}.html", context), "text/html")
    transaction.on_commit(lambda: _deliver(message, template, then), robust=True)


def _deliver(
    message: EmailMultiAlternatives, template: str, then: Callable[[], None] | None
) -> None:
    try:
        message.send()
    except (OSError, SMTPException) as error:
        logger.error("The mail %s was not sent: %s.", template, type(error).__name__)
    else:
        if then is not None:
            then()
