"""Where an organization is told of what happens: addresses, their secrets, and trying them out."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import encryption, policy, receivers, secrets
from keys.models import Organization, Webhook, WebhookDelivery
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit, outbox, rows
from keys.services.events import PUBLISHED, TEST
from keys.services.validation import save, validate

# Each change is written down once for each of them.
MAX_WEBHOOKS = 20
# How long the old secret signs beside a new one.
OVERLAP = timedelta(hours=24)

_CHANGEABLE = frozenset({"url", "description", "events", "enabled"})


def create_webhook(
    *,
    actor: Actor,
    organization: Organization,
    url: str,
    description: str = "",
    events: Iterable[str] = (),
) -> tuple[Webhook, str]:
    """Add a webhook; return it and the secret that signs, which nothing shows again.

    It is told of these events, by default of all. Raises PermissionDenied, ValidationError
    by field.
    """
    policy.require(actor, Permission.CHANGE_WEBHOOK, organization)
    secret = secrets.generate_webhook_secret()
    webhook = Webhook(
        organization=organization,
        url=url,
        description=description,
        events=sorted(set(events)),
        sealed_secret=encryption.seal(secret, settings.KEY_PEPPERS),
    )
    _validate(webhook)
    with transaction.atomic():
        rows.lock(organization)  # two who add at this moment count one after the other
        if organization.webhooks.count() >= MAX_WEBHOOKS:
            raise ValidationError(
                {"url": _("An organization has at most %(max)d webhooks.") % {"max": MAX_WEBHOOKS}}
            )
        save(webhook)
        audit.record(
            actor=actor,
            action="webhook.created",
            obj=webhook,
            organization=organization,
            changes={"url": url, "description": description, "events": webhook.events},
        )
    return webhook, secret


def update_webhook(*, actor: Actor, webhook: Webhook, **changes: Any) -> Webhook:
    """Change the `url`, `description`, `events` of a webhook, or whether it is `enabled`.

    Enabling it begins anew with what waits. Raises PermissionDenied, ValidationError by field,
    and Webhook.DoesNotExist when it is gone.
    """
    unknown = changes.keys() - _CHANGEABLE
    if unknown:
        raise TypeError(f"A webhook has no changeable {', '.join(sorted(unknown))}.")
    policy.require(actor, Permission.CHANGE_WEBHOOK, webhook)
    if "events" in changes:
        changes["events"] = sorted(set(changes["events"]))
    with transaction.atomic():
        webhook = rows.lock(webhook)
        difference = {
            field: [getattr(webhook, field), value]
            for field, value in changes.items()
            if getattr(webhook, field) != value
        }
        for field, value in changes.items():
            setattr(webhook, field, value)
        _validate(webhook)
        if difference:
            if webhook.enabled:
                webhook.failing_since = webhook.paused_until = webhook.stopped_at = None
            save(webhook)
            audit.record(
                actor=actor,
                action="webhook.updated",
                obj=webhook,
                organization=webhook.organization,
                changes=difference,
            )
    return webhook


def delete_webhook(*, actor: Actor, webhook: Webhook) -> None:
    """Delete a webhook, and what waits for it. Raises PermissionDenied."""
    rows.delete(actor, webhook, Permission.CHANGE_WEBHOOK)


def rotate_webhook_secret(*, actor: Actor, webhook: Webhook) -> str:
    """Give a webhook a new secret and return it, once; the old one signs beside it for a day.

    Raises PermissionDenied, and Webhook.DoesNotExist when it is gone.
    """
    policy.require(actor, Permission.CHANGE_WEBHOOK, webhook)
    secret = secrets.generate_webhook_secret()
    with transaction.atomic():
        webhook = rows.lock(webhook)
        webhook.sealed_old_secret = webhook.sealed_secret
        webhook.old_secret_until = timezone.now() + OVERLAP
        webhook.sealed_secret = encryption.seal(secret, settings.KEY_PEPPERS)
        webhook.save(update_fields=["sealed_secret", "sealed_old_secret", "old_secret_until"])
        audit.record(
            actor=actor,
            action="webhook.secret_rotated",
            obj=webhook,
            organization=webhook.organization,
            changes={"old_secret_signs_until": webhook.old_secret_until},
        )
    return secret


def test_webhook(*, actor: Actor, webhook: Webhook) -> WebhookDelivery:
    """Write a message that says nothing to a webhook, due at once. Raises PermissionDenied."""
    policy.require(actor, Permission.CHANGE_WEBHOOK, webhook)
    now = timezone.now()
    with transaction.atomic():
        webhook = rows.lock(webhook)
        delivery = outbox.delivery_of(
            webhook,
            event=TEST,
            at=now,
            data={"organization": outbox.named(webhook.organization)},
        )
        delivery.save()
        audit.record(
            actor=actor,
            action="webhook.tested",
            obj=webhook,
            organization=webhook.organization,
        )
    return delivery


# It is no test of ours, whatever collects those.
test_webhook.__test__ = False  # type: ignore[attr-defined]


def replay_delivery(*, actor: Actor, delivery: WebhookDelivery) -> WebhookDelivery:
    """Send again what was sent or given up, under the same message id. Raises PermissionDenied.

    ValidationError while it still waits to be sent.
    """
    webhook = delivery.webhook
    policy.require(actor, Permission.CHANGE_WEBHOOK, webhook)
    if delivery.state == WebhookDelivery.State.WAITING:
        raise ValidationError(_("This delivery still waits: it is tried again by itself."))
    now = timezone.now()
    with transaction.atomic():
        webhook = rows.lock(webhook)
        again = WebhookDelivery.objects.create(
            webhook=webhook,
            message_id=delivery.message_id,
            event=delivery.event,
            body=delivery.body,
            created_at=now,
            next_at=now,
        )
        audit.record(
            actor=actor,
            action="webhook.replayed",
            obj=webhook,
            organization=webhook.organization,
            changes={"message": delivery.message_id, "event": delivery.event},
        )
    return again


def _validate(webhook: Webhook) -> None:
    validate(webhook)
    unknown = set(webhook.events) - PUBLISHED.keys()
    if unknown:
        raise ValidationError(
            {
                "events": _("There is no event %(names)s.")
                % {"names": ", ".join(sorted(map(ascii, unknown)))}
            }
        )
    try:
        receivers.check_url(webhook.url, settings.WEBHOOK_ALLOWED_NETWORKS)
    except receivers.NotAllowedError as problem:
        raise ValidationError({"url": str(problem)}) from None
