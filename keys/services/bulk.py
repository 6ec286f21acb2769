"""Change many keys at once: say what would happen to each, then do it in one transaction.

Every key goes through the service that changes one key, with its own authorization and
its own audit event. What a plan says is a forecast by the same rules; what those services
then refuse is reported as skipped, with their reason.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import hygiene, policy, rules, snapshots
from keys.models import APIKey, Organization
from keys.networks import Address
from keys.policy import Actor
from keys.roles import Permission
from keys.services.allowed_ips import MAX_ALLOWED_IPS, add_allowed_ip
from keys.services.changes import describe
from keys.services.keys import (
    disable_key,
    enable_key,
    owner_is_gone_words,
    revoke_key,
    update_key,
)
from keys.verification import passes_lists

MAX_KEYS = 500


class BulkChange(ABC):
    """One change that is made to each of many keys."""

    permission = Permission.CHANGE_APIKEY

    def look_at(self, keys: Collection[APIKey]) -> None:  # noqa: B027 - most need not
        """Learn what there is to know of these keys, loaded with their details, in few queries."""

    @abstractmethod
    def objection(self, key: APIKey) -> str:
        """Say why this would not change the key, loaded with its details; empty: it would."""

    @abstractmethod
    def carry_out(self, actor: Actor, key: APIKey) -> None:
        """Change the key. Raises as the service for one key does."""


class Disable(BulkChange):
    """Stop keys until they are enabled again."""

    def objection(self, key: APIKey) -> str:
        return _("It is disabled already.") if key.disabled else ""

    def carry_out(self, actor: Actor, key: APIKey) -> None:
        disable_key(actor=actor, key=key)


class Enable(BulkChange):
    """Let disabled keys work again."""

    def __init__(self) -> None:
        # Key's number -> what of the organization's policy it breaks, of those looked at.
        self.broken: dict[int, list[str]] = {}
        # The numbers of those whose owner is gone.
        self.orphaned: set[int] = set()

    def look_at(self, keys: Collection[APIKey]) -> None:
        found = next((rules.rules_of(key.organization) for key in keys), None)
        if found is not None:
            rows = APIKey.objects.filter(pk__in=[key.pk for key in keys])
            self.broken = rules.broken_by(rows, found, timezone.now())
            self.orphaned = set(rows.filter(hygiene.owner_is_gone()).values_list("pk", flat=True))

    def objection(self, key: APIKey) -> str:
        if not key.disabled:
            return _("It is not disabled.")
        if key.pk in self.orphaned:
            return owner_is_gone_words()
        return " ".join(self.broken.get(key.pk, []))

    def carry_out(self, actor: Actor, key: APIKey) -> None:
        enable_key(actor=actor, key=key)


class Revoke(BulkChange):
    """End keys for good."""

    permission = Permission.DELETE_APIKEY

    def objection(self, key: APIKey) -> str:
        return ""

    def carry_out(self, actor: Actor, key: APIKey) -> None:
        revoke_key(actor=actor, key=key)


@dataclass
class SetExpiry(BulkChange):
    """Let keys end at one moment; None: never."""

    expires_at: datetime | None
    # Key's number -> why the organization's policy is against it, of those looked at.
    too_late: dict[int, str] = field(default_factory=dict)

    def look_at(self, keys: Collection[APIKey]) -> None:
        found, now = next((rules.rules_of(key.organization) for key in keys), None), timezone.now()
        if found is None:
            return
        for key in keys:
            latest = rules.latest_end(found, key.owner_id, now)
            if latest is not None and (self.expires_at is None or self.expires_at > latest):
                self.too_late[key.pk] = rules.RULES["lifetime"].explain(found, key, now)

    def objection(self, key: APIKey) -> str:
        if key.expires_at == self.expires_at:
            return _("It expires then already.") if key.expires_at else _("It never expires.")
        if self.expires_at and key.not_before and self.expires_at <= key.not_before:
            return _("It would expire before it becomes valid.")
        return self.too_late.get(key.pk, "")

    def carry_out(self, actor: Actor, key: APIKey) -> None:
        update_key(actor=actor, key=key, expires_at=self.expires_at)


@dataclass(frozen=True)
class AllowNetwork(BulkChange):
    """Add one canonical network to the lists of keys; a key without a list is then confined.

    A key that can be used from `address` now, and could not afterwards, is left alone
    unless `may_lock_out`.
    """

    network: str
    comment: str = ""
    address: Address | None = None
    may_lock_out: bool = False
    # What keys that follow the organization's servers are allowed beside their own lists.
    server_networks: tuple[str, ...] = ()

    def objection(self, key: APIKey) -> str:
        rows = list(key.allowed_ips.all())
        listed = next((row for row in rows if row.network == self.network and not row.deny), None)
        if listed:
            return (
                _("It is allowed already.")
                if listed.active
                else _("It is on the list, but switched off.")
            )
        if len(rows) >= MAX_ALLOWED_IPS:
            return _("A key has at most %(max)d allowed IPs.") % {"max": MAX_ALLOWED_IPS}
        if not self.may_lock_out and self.locks_out(key):
            return _("It would no longer work from your own address, %(address)s.") % {
                "address": self.address or _("which we cannot tell")
            }
        return ""

    def locks_out(self, key: APIKey) -> bool:
        """Say whether the key can be used from `address` now, and then no longer."""
        rows = key.allowed_ips.all()
        allowed, denied = snapshots.address_lists(key, rows, self.server_networks)
        works_now = passes_lists(allowed, denied, self.address)
        then_allowed = [*(allowed or ()), self.network]
        return works_now and not passes_lists(then_allowed, denied, self.address)

    def carry_out(self, actor: Actor, key: APIKey) -> None:
        add_allowed_ip(actor=actor, key=key, network=self.network, comment=self.comment)


@dataclass(frozen=True)
class Item:
    """What happens to one key: nothing when there is a reason against it."""

    key: APIKey
    reason: str = ""

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that differ when the key's settings or state do."""
        state = [self.key.revoked_at, self.key.locked_at, describe(self.key)]
        return hashlib.sha256(json.dumps(state, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """What one change does to keys, in the order of their names."""

    items: tuple[Item, ...]
    # So many of those named do not exist, as far as the actor can see.
    missing: int = 0

    @property
    def changing(self) -> list[Item]:
        """Those that change."""
        return [item for item in self.items if not item.reason]

    @property
    def skipped(self) -> list[Item]:
        """Those that stay as they are, each with its reason."""
        return [item for item in self.items if item.reason]


def plan_change(
    *, actor: Actor, organization: Organization, identifiers: Collection[str], change: BulkChange
) -> Plan:
    """Say what the change would do to the keys of these identifiers, in few queries.

    Raises ValidationError for more than MAX_KEYS keys.
    """
    identifiers = set(identifiers)
    if len(identifiers) > MAX_KEYS:
        raise ValidationError(
            _("Choose at most %(max)d keys at a time.") % {"max": MAX_KEYS}, code="too_many"
        )
    keys = policy.with_permissions(
        actor,
        policy.visible(actor, organization.api_keys.filter(identifier__in=identifiers)),
        change.permission,
        Permission.LOCK_APIKEY,
    )
    found = sorted(_with_details(keys), key=lambda key: (key.name.lower(), key.pk))
    change.look_at(found)
    items = tuple(Item(key, _refusal(key, change) or change.objection(key)) for key in found)
    return Plan(items, missing=len(identifiers) - len(items))


def change_keys(
    *, actor: Actor, organization: Organization, seen: Mapping[str, str], change: BulkChange
) -> Plan:
    """Change the keys of these identifiers, and return what became of each.

    `seen` maps each to the fingerprint that it had in the plan: a key that is not as it
    was then is skipped, and so is one that its own service refuses to change. All happens
    in one transaction. Raises ValidationError as plan_change does.
    """
    with transaction.atomic():
        keys = organization.api_keys.filter(identifier__in=list(seen)[: MAX_KEYS + 1])
        # In one order, so that two such changes never wait for each other.
        list(keys.order_by("pk").select_for_update(no_key=True).values_list("pk"))
        plan = plan_change(
            actor=actor, organization=organization, identifiers=seen.keys(), change=change
        )
        items = tuple(_carry_out(actor, item, seen, change) for item in plan.items)
    return replace(plan, items=items)


def _with_details(keys: QuerySet[APIKey]) -> Iterable[APIKey]:
    return keys.with_details()  # type: ignore[attr-defined]


def _refusal(key: APIKey, change: BulkChange) -> str:
    """Say why a key cannot be changed so by this actor, whatever the change; empty: it can."""
    if key.revoked_at:
        return _("It is revoked; nothing brings it back.")
    if not getattr(key, f"may_{change.permission.codename}"):
        return _("You may not change it.")
    may_lock = getattr(key, f"may_{Permission.LOCK_APIKEY.codename}")
    if policy.is_locked_for(key, change.permission) and not may_lock:
        return _("Staff locked it; only they can change it.")
    return ""


def _carry_out(actor: Actor, item: Item, seen: Mapping[str, str], change: BulkChange) -> Item:
    if item.reason:
        return item
    if seen[item.key.identifier] != item.fingerprint:
        return replace(item, reason=_("It was changed meanwhile; look at it again."))
    try:
        change.carry_out(actor, item.key)
    except PermissionDenied as refusal:
        return replace(item, reason=str(refusal))
    except ValidationError as problems:
        return replace(item, reason=" ".join(problems.messages))
    except APIKey.DoesNotExist:
        return replace(item, reason=_("It is revoked; nothing brings it back."))
    return item
