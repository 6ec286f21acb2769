"""Take from keys the scopes that they do not use."""

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import hygiene
from keys.models import APIKey
from keys.policy import Actor
from keys.services.bulk import BulkChange
from keys.services.keys import update_key


def narrow_key(*, actor: Actor, key: APIKey) -> APIKey:
    """Leave a key only the scopes that it used in the last 90 days.

    A key that follows a role lists its scopes itself from then on. Raises as update_key
    does; ValidationError for `scopes` when there is nothing to take, or no use to tell by.
    """
    unused = hygiene.unused_scopes([key], now=timezone.now())[key.pk]
    if not unused:
        raise ValidationError({"scopes": _nothing_to_take()})
    kept = [code for code in key.scope_codes if code not in unused]
    return update_key(actor=actor, key=key, scopes=kept)


class Narrow(BulkChange):
    """Leave keys only the scopes that they used in the last 90 days."""

    def __init__(self) -> None:
        # Key's number -> what it loses, of the keys that were looked at.
        self.unused: dict[int, list[str]] = {}

    def look_at(self, keys: Collection[APIKey]) -> None:
        self.unused = hygiene.unused_scopes(keys, now=timezone.now())

    def objection(self, key: APIKey) -> str:
        return "" if self.unused[key.pk] else _nothing_to_take()

    def carry_out(self, actor: Actor, key: APIKey) -> None:
        narrow_key(actor=actor, key=key)


def _nothing_to_take() -> str:
    return _("It holds no scope of which it is known that it does not use it.")
