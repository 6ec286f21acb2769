"""The secrets of a key: give it a new one, and say when the old one ends."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import secrets
from keys.models import APIKey, KeySecret
from keys.models.keys import know
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit, enforcing, grants
from keys.services.changes import open_key

MAX_OVERLAP = timedelta(days=30)
MAX_QUIET_HOURS = MAX_OVERLAP // timedelta(hours=1)


def rotate_key(
    *,
    actor: Actor,
    key: APIKey,
    overlap: timedelta | None = None,
    quiet_hours: int | None = None,
) -> APIKey:
    """Give a key a new secret and return it with that, once, as `key.secret`.

    Older secrets work for `overlap` more, and with `quiet_hours` no longer than until they
    were not used for so many hours. Without an overlap they are dead at once; with hours
    alone it is MAX_OVERLAP. Identity, limits, counts and history stay. Raises as update_key
    does; ValidationError where others would have to agree that the actor gets what it may.
    """
    if overlap is None:
        overlap = timedelta(0) if quiet_hours is None else MAX_OVERLAP
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise ValidationError(
            {"overlap": _("Choose an overlap of at most %(days)d days.") % {"days": 30}}
        )
    _refuse_odd_quiet(quiet_hours)
    now = timezone.now()
    with transaction.atomic():
        key = open_key(actor, key, Permission.ROTATE_APIKEY)
        grants.refuse_takeover(actor, key)
        enforcing.refuse_seeing(actor, key)
        old = key.current_secret
        _retire_secrets(key, now=now, at=now + overlap, quiet_hours=quiet_hours)
        _row, secret = add_secret(key)
        audit.record(
            actor=actor,
            action="apikey.rotated",
            obj=key,
            organization=key.organization,
            changes={
                "label": [old.label if old else None, key.label],
                "old_secret_works_until": now + overlap,
                **({"quiet_hours": quiet_hours} if quiet_hours else {}),
            },
        )
    return with_secret(key, secret)


def retire_secret(*, actor: Actor, secret: KeySecret, quiet_hours: int | None = None) -> KeySecret:
    """End the overlap of a rotation: that old secret stops working now.

    With `quiet_hours` it does as soon as it was not used for so many hours, and at its
    former end at the latest. Raises PermissionDenied; ValidationError for the key's current
    secret, whose end is the end of the key, and for what ended already.
    """
    _refuse_odd_quiet(quiet_hours)
    now = timezone.now()
    with transaction.atomic():
        key = open_key(actor, secret.key, Permission.CHANGE_APIKEY)
        secret = key.secrets.get(pk=secret.pk)
        if secret == key.current_secret:
            raise ValidationError(_("This is the key's current secret: rotate or revoke the key."))
        if quiet_hours is None:
            secret.revoked_at = secret.revoked_at or now
        elif not secret.works_at(now):
            # More patience would bring it back.
            raise ValidationError(_("This secret no longer works."))
        else:
            secret.quiet_hours = quiet_hours
        secret.save(update_fields=["revoked_at", "quiet_hours"])
        audit.record(
            actor=actor,
            action="apikey.secret_retired",
            obj=key,
            organization=key.organization,
            changes={
                "label": secret.label,
                **({"quiet_hours": quiet_hours} if quiet_hours else {}),
            },
        )
    return secret


def add_secret(key: APIKey) -> tuple[KeySecret, str]:
    """Store a new secret of the key; return its row, and its text, which nothing else holds."""
    secret = secrets.generate(key.dialect)
    pepper_id, pepper = secrets.current_pepper(settings.KEY_PEPPERS)
    row = KeySecret.objects.create(
        key=key,
        digest=secrets.digest(secret, pepper),
        pepper_id=pepper_id,
        label=secrets.label(secret),
    )
    return row, secret


def with_secret(key: APIKey, secret: str, **lists: Iterable[Model]) -> APIKey:
    """Return the key freshly read, with the text of its new secret as `key.secret`.

    `lists` are those of its lists that the transaction just wrote, by name: they are not read.
    """
    key = APIKey.objects.with_details(known=lists).get(pk=key.pk)
    for name, rows in lists.items():
        know(key, name, rows)
    key.secret = secret
    return key


def _retire_secrets(key: APIKey, *, now: datetime, at: datetime, quiet_hours: int | None) -> None:
    for secret in key.secrets.filter(revoked_at=None):
        # An earlier overlap never gets longer by another rotation.
        secret.superseded_at = secret.superseded_at or now
        secret.retires_at = min(secret.retires_at or at, at)
        secret.quiet_hours = min(filter(None, (secret.quiet_hours, quiet_hours)), default=None)
        if secret.ends_at is not None and secret.ends_at <= now:
            secret.revoked_at = now
        secret.save(update_fields=["superseded_at", "retires_at", "quiet_hours", "revoked_at"])


def _refuse_odd_quiet(quiet_hours: int | None) -> None:
    if quiet_hours is not None and not 1 <= quiet_hours <= MAX_QUIET_HOURS:
        raise ValidationError(
            {"quiet_hours": _("Choose from 1 to %(most)d hours.") % {"most": MAX_QUIET_HOURS}}
        )
