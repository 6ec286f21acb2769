"""Keys of somebody who leaves, or left: given to the organization, or to who sees to them.

Whoever leaves knows the secret, so that the key gets another one. That is shown to the actor,
who is to hold it, or manages what is the organization's: nobody gets a key in the name of a third.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import policy, rules
from keys.models import APIKey, User
from keys.policy import Actor
from keys.roles import Permission
from keys.services.changes import changing
from keys.services.enforcing import ApprovalRequiredError, ask_anew, objections_to_new
from keys.services.grants import refuse_takeover
from keys.services.rotation import rotate_key
from keys.services.validation import save

# So many keys at a time: somebody has to keep the secret of each.
MOST_AT_ONCE = 50


@dataclass
class HandedOver:
    """What became of several keys: those that have a new secret, and why others stay."""

    given: list[APIKey] = field(default_factory=list)
    kept: list[tuple[APIKey, str]] = field(default_factory=list)


def hand_over_keys(
    *,
    actor: Actor,
    keys: Iterable[APIKey],
    owner: User | None,
    overlap: timedelta | None = None,
) -> HandedOver:
    """Give these keys as `hand_over_key` gives one. What stands against one stops no other.

    All is done in one transaction: whoever is not shown the secrets finds the old ones good.
    Raises ValidationError for more than MOST_AT_ONCE.
    """
    wanted = list(keys)
    if len(wanted) > MOST_AT_ONCE:
        problem = _("Hand over at most %(most)d keys at a time.") % {"most": MOST_AT_ONCE}
        raise ValidationError({"keys": problem})
    done = HandedOver()
    with transaction.atomic():
        _hold(wanted)
        for key in wanted:
            try:
                given = hand_over_key(actor=actor, key=key, owner=owner, overlap=overlap)
            except (PermissionDenied, ValidationError) as problem:
                done.kept.append((key, " ".join(getattr(problem, "messages", [str(problem)]))))
            except APIKey.DoesNotExist:
                done.kept.append((key, _("It was revoked meanwhile.")))
            else:
                done.given.append(given)
    return done


def hand_over_key(
    *, actor: Actor, key: APIKey, owner: User | None, overlap: timedelta | None = None
) -> APIKey:
    """Give a person's key to the organization (None) or to the actor; return it with a new secret.

    The secret that its person knows works for `overlap` more, not at all where nothing is said.
    What the key may, its limits and its history stay. A disabled key stays disabled. Raises
    PermissionDenied, also where the key may more than the actor; ValidationError by field when
    nobody owned it, or somebody else than when `key` was read, a rule for keys of its new owner is
    broken, or others would have to agree to what it may; and as `rotate_key`.
    """
    policy.require(actor, Permission.ASSIGN_APIKEY, key.organization)
    if owner is not None and owner != actor:
        raise PermissionDenied(_("You cannot give a key to somebody else: you see its secret."))
    with transaction.atomic():
        with _alone(), changing(actor, key, ["owner"], action="apikey.handed_over") as open_key:
            _refuse_odd_owner(open_key, owner)
            if open_key.owner_id != key.owner_id:
                raise ValidationError({"owner": _("It was changed meanwhile; look at it again.")})
            # Before it is the actor's own, of which nothing more would be asked.
            refuse_takeover(actor, open_key)
            open_key.owner = owner
            save(open_key, update_fields=["owner", "updated_at"])
        return rotate_key(actor=actor, key=open_key, overlap=overlap)


def objections(*, actor: Actor, keys: Iterable[APIKey]) -> dict[int, str]:
    """Say why the actor could not hand over some of these keys as they are, by their numbers.

    They are of one organization and loaded with their details. A forecast in few queries;
    what rules say of keys of a new owner is asked once that is chosen.
    """
    wanted = list(keys)
    if not wanted:
        return {}
    organization = wanted[0].organization
    held, found = policy.held_scopes(actor, organization), rules.rules_of(organization)
    may_unlock = policy.allows(actor, Permission.LOCK_APIKEY, wanted[0])
    now = timezone.now()

    @cache
    def against(codes: frozenset[str], end: datetime | None) -> str:
        return " ".join(objections_to_new(actor, found, codes=codes, end=end, now=now))

    def objection(key: APIKey) -> str:
        codes = frozenset(key.scope_codes)
        if policy.is_locked_for(key, Permission.CHANGE_APIKEY) and not may_unlock:
            return _("Staff locked it; only they can change it.")
        if codes - held:
            return _("It holds scopes that you do not: %(codes)s.") % {
                "codes": ", ".join(sorted(codes - held))
            }
        return against(codes, key.expires_at)

    return {key.pk: text for key in wanted if (text := objection(key))}


def _hold(keys: Iterable[APIKey]) -> None:
    """Lock these keys until the transaction ends."""
    rows = APIKey.objects.filter(pk__in=[key.pk for key in keys])
    # All before the first is recorded, which holds the audit trail; in one order, so that two
    # who hand over never wait for each other.
    list(rows.order_by("pk").select_for_update(no_key=True).values_list("pk"))


@contextmanager
def _alone() -> Iterator[None]:
    """Raise ValidationError in place of ApprovalRequiredError: nobody asks for another's key."""
    try:
        yield
    except ApprovalRequiredError as problem:
        raise ValidationError({"owner": ask_anew(problem.reasons)}) from None


def _refuse_odd_owner(key: APIKey, owner: User | None) -> None:
    if key.owner is None:
        raise ValidationError({"owner": _("This key belongs to the organization already.")})
    if key.owner == owner:
        raise ValidationError({"owner": _("This key is yours already.")})
    if owner is not None and not key.organization.memberships.filter(user=owner).exists():
        raise ValidationError({"owner": _("The owner is not a member of this organization.")})
