"""Stop keys so that only staff can let them work again."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from keys.models import APIKey
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit
from keys.services.changes import open_key
from keys.services.validation import validate


def lock_key(*, actor: Actor, key: APIKey, reason: str = "") -> APIKey:
    """Stop a key so that only staff can let it work again; its people are told the reason.

    Raises as update_key does; ValidationError for `lock_reason`.
    """
    return _set_lock(actor, key, timezone.now(), reason, "apikey.locked")


def unlock_key(*, actor: Actor, key: APIKey) -> APIKey:
    """Take a staff lock off a key, and the reason with it."""
    return _set_lock(actor, key, None, "", "apikey.unlocked")


def _set_lock(actor: Actor, key: APIKey, at: datetime | None, reason: str, action: str) -> APIKey:
    with transaction.atomic():
        key = open_key(actor, key, Permission.LOCK_APIKEY)
        key.locked_at = at
        key.lock_reason = reason
        validate(key, exclude={field.name for field in APIKey._meta.fields} - {"lock_reason"})
        key.save(update_fields=["locked_at", "lock_reason", "updated_at"])
        audit.record(
            actor=actor,
            action=action,
            obj=key,
            organization=key.organization,
            changes={"reason": reason} if reason else None,
        )
    return key
