"""Sending what waits for webhooks: signed, with patience, and no more than once at a time.

A message keeps its id however often it is sent: receivers tell a repetition by it. Whoever
dies while sending has it sent again.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from standardwebhooks.webhooks import Webhook as Signer

from keys import encryption, policy, receivers
from keys.models import Webhook, WebhookDelivery
from keys.receivers import Answer, NoAnswerError, NotAllowedError
from keys.services import audit
from keys.services.mails import claim, pause_after

logger = logging.getLogger(__name__)

# A delivery that was claimed and not sent within that time is somebody else's.
CLAIMED_FOR = timedelta(minutes=2)
PAUSES = [
    *(timedelta(seconds=each) for each in (5, 60)),
    *(timedelta(minutes=each) for each in (5, 30, 120, 300)),
]
GIVEN_UP_AFTER = timedelta(days=5)
# A receiver that fails for so long is switched off.
STOPPED_AFTER = timedelta(days=5)
# One that does not answer at all is left alone, so that others need not wait: for as long as it
# has failed already, within these.
SHORTEST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
# What is kept of an answer.
MAX_KEPT = 2000

# What an attempt changes of a delivery.
_OUTCOME = (
    *("state", "next_at", "attempted_at", "milliseconds"),
    *("status", "response", "error"),
)
_GONE = 410

# Organization -> how many of its deliveries this process is sending, under the lock.
_sending: Counter[int] = Counter()
_claiming = threading.Lock()


def send_due(should_stop: Callable[[], bool] = lambda: False, at_once: int = 1) -> int:
    """Send what is due, one after the other, until `should_stop`; return how many were tried.

    Of one organization, no more than `at_once` threads of a process send something: its
    receivers may be slow, and hold up no other's.
    """
    tried = 0
    while not should_stop() and (delivery := _claim(at_once)) is not None:
        try:
            attempt(delivery)
        finally:
            with _claiming:
                _sending.subtract([delivery.webhook.organization_id])
        tried += 1
    return tried


def attempt(delivery: WebhookDelivery) -> None:
    """Send a claimed delivery once, and write down what came of it."""
    now = timezone.now()
    started = time.monotonic()
    answer, error = None, ""
    try:
        answer = receivers.post(
            delivery.webhook.url,
            delivery.body.encode(),
            sign(delivery, now),
            settings.WEBHOOK_ALLOWED_NETWORKS,
        )
    except NotAllowedError:
        error = "refused"
    except NoAnswerError as problem:
        error = problem.reason
    except encryption.UnreadableError:
        error = "sealed"
    delivery.attempted_at = now
    delivery.milliseconds = int((time.monotonic() - started) * 1000)
    _conclude(delivery, answer, error)


def sign(delivery: WebhookDelivery, now: datetime) -> dict[str, str]:
    """Return the fields of a request by which its receiver knows it: Standard Webhooks.

    Raises encryption.UnreadableError when the pepper that sealed the secret is gone.
    """
    webhook = delivery.webhook
    sealed = [webhook.sealed_secret]
    if webhook.old_secret_until is not None and now < webhook.old_secret_until:
        sealed.append(webhook.sealed_old_secret)
    signatures = [
        Signer(encryption.unseal(each, settings.KEY_PEPPERS)).sign(
            delivery.message_id, now, delivery.body
        )
        for each in sealed
    ]
    return {
        "Content-Type": "application/json",
        "User-Agent": "Keyhaven-Webhooks",
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _claim(at_once: int) -> WebhookDelivery | None:
    """Take a delivery that is due; None: there is none now that this process may send."""
    with _claiming:
        now = timezone.now()
        busy = [organization for organization, count in _sending.items() if count >= at_once]
        due = _due(now).exclude(webhook__organization__in=busy)
        while numbers := claim(due, now + CLAIMED_FOR, _only):
            claimed = WebhookDelivery.objects.select_related("webhook").filter(pk__in=numbers)
            # It is gone when its webhook was deleted just now.
            for delivery in claimed:
                _sending.update([delivery.webhook.organization_id])
                return delivery
    return None


def _due(now: datetime) -> QuerySet[WebhookDelivery]:
    awake = Q(webhook__paused_until=None) | Q(webhook__paused_until__lte=now)
    return WebhookDelivery.objects.filter(awake, next_at__lte=now, webhook__enabled=True)


def _only(delivery: WebhookDelivery) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(pk=delivery.pk)


def _conclude(delivery: WebhookDelivery, answer: Answer | None, error: str) -> None:
    now = timezone.now()
    delivery.status = answer.status if answer else None
    delivery.response = _storable(answer.text) if answer else ""
    delivery.error = error
    is_taken = answer is not None and 200 <= answer.status < 300
    if is_taken:
        delivery.state, delivery.next_at = WebhookDelivery.State.DELIVERED, None
    elif now - delivery.created_at > GIVEN_UP_AFTER:
        delivery.state, delivery.next_at = WebhookDelivery.State.GIVEN_UP, None
    else:
        delivery.next_at = now + pause_after(delivery.attempts, PAUSES)
    with transaction.atomic():
        # The webhook first, as who deletes it does; with it went what waits for it.
        rows = Webhook.objects.select_for_update(no_key=True).filter(pk=delivery.webhook_id)
        webhook = rows.first()
        if webhook is None:
            return
        outcome = {name: getattr(delivery, name) for name in _OUTCOME}
        WebhookDelivery.objects.filter(pk=delivery.pk).update(**outcome)
        _note_outcome(webhook, delivery, is_taken=is_taken, is_silent=answer is None, now=now)


def _note_outcome(
    webhook: Webhook, delivery: WebhookDelivery, *, is_taken: bool, is_silent: bool, now: datetime
) -> None:
    if is_taken:
        if webhook.failing_since is not None:
            webhook.failing_since = webhook.paused_until = None
            webhook.save(update_fields=["failing_since", "paused_until"])
        return
    webhook.failing_since = webhook.failing_since or now
    if is_silent:
        failing_for = now - webhook.failing_since
        webhook.paused_until = now + min(max(failing_for, SHORTEST_PAUSE), LONGEST_PAUSE)
    is_over = now - webhook.failing_since > STOPPED_AFTER or delivery.status == _GONE
    if is_over and webhook.enabled:
        webhook.enabled, webhook.stopped_at = False, now
        logger.warning("Webhook %s is switched off: it takes nothing.", webhook.pk)
    webhook.save(update_fields=["failing_since", "paused_until", "enabled", "stopped_at"])
    if webhook.stopped_at == now:
        audit.record(
            actor=policy.OPERATOR,
            action="webhook.stopped",
            obj=webhook,
            organization=webhook.organization,
        )


def _storable(text: str) -> str:
    return text.replace("\x00", "")[:MAX_KEPT]
