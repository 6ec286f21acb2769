"""What a change would do, told before it is made: to which keys, to which people."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from keys import policy
from keys.models import APIKey, Membership, Organization, Role, ScopeUse, User
from keys.models.counting import Some
from keys.policy import Actor
from keys.roles import BuiltInScope

# Of those that a change reaches, so many are named.
NAMES_SHOWN = 10
# What a key asked for within this time, it will probably ask for again.
RECENTLY = timedelta(days=30)


@dataclass(frozen=True)
class ScopeChange:
    """Which scopes people and their keys get and lose at once, and whose they are."""

    gained: list[str]
    lost: list[str]
    people: Some[Membership]
    keys: Some[APIKey]
    # What keys used lately of that which they lose, the latest first.
    missed: Some[ScopeUse]

    @property
    def is_felt(self) -> bool:
        """Whether it changes what anybody, or any key, may do."""
        return bool((self.gained or self.lost) and (self.people or self.keys))

    @property
    def mark(self) -> str:
        """What the change consists of: whoever agreed to this did not agree to another."""
        return " ".join(
            [*(f"+{code}" for code in self.gained), *(f"-{code}" for code in self.lost)]
        )


def of_role_scopes(*, actor: Actor, role: Role, codes: Iterable[str], now: datetime) -> ScopeChange:
    """Return what it would do to give an organization's role these scopes instead of its own."""
    organization = role.organization
    if organization is None:
        raise ValueError("Nobody changes a built-in role.")
    members = Membership.objects.filter(role=role, organization=organization)
    people = policy.visible(actor, members.select_related("user").order_by("user__email"))
    before = {scope.code for scope in role.scopes.all()}
    keys = Q(role=role) | _of_owners(members.values("user"), organization, before ^ set(codes))
    return _scope_change(actor, organization, before, set(codes), people, keys, now)


def of_members_role(
    *, actor: Actor, membership: Membership, role: Role, now: datetime
) -> ScopeChange:
    """Return what it would do to give a member this role: to them and to keys they own."""
    organization = membership.organization
    person = Membership.objects.filter(pk=membership.pk).select_related("user")
    before = {scope.code for scope in membership.role.scopes.all()}
    after = {scope.code for scope in role.scopes.all()}
    keys = _of_owners([membership.user_id], organization, before ^ after)
    people = policy.visible(actor, person)
    return _scope_change(actor, organization, before, after, people, keys, now)


def of_membership_end(*, actor: Actor, organization: Organization, user: User) -> Some[APIKey]:
    """Return the live keys that stop when this person leaves the organization."""
    keys = policy.visible(actor, organization.api_keys.filter(owner=user, revoked_at=None))
    return Some.of(keys, NAMES_SHOWN)


def of_second_factor(*, actor: Actor, organization: Organization) -> Some[Membership]:
    """Return the members who are kept out when the organization requires a second factor."""
    members = organization.memberships.exclude(user__in=policy.with_second_factor())
    people = members.select_related("user").order_by("user__email")
    return Some.of(policy.visible(actor, people), NAMES_SHOWN)


def keeps_out(*, actor: User, organization: Organization) -> bool:
    """Say whether the actor is kept out, too, when the organization requires a second factor."""
    mine = organization.memberships.filter(user=actor)
    return mine.exclude(user__in=policy.with_second_factor()).exists()


def of_server_address(*, actor: Actor, organization: Organization) -> Some[APIKey]:
    """Return the live keys that follow the organization's pool of server addresses."""
    keys = organization.api_keys.filter(assign_server_ips=True, revoked_at=None)
    return Some.of(policy.visible(actor, keys), NAMES_SHOWN)


def _scope_change(
    actor: Actor,
    organization: Organization,
    before: set[str],
    after: set[str],
    people: QuerySet[Membership],
    keys: Q,
    now: datetime,
) -> ScopeChange:
    reached = policy.visible(actor, organization.api_keys.filter(keys, revoked_at=None))
    lost = _held_with(before - after, organization)
    used = ScopeUse.objects.filter(
        key__in=reached.order_by(), code__in=lost, last_used_at__gte=now - RECENTLY
    )
    missed = policy.visible(actor, used.select_related("key").order_by("-last_used_at"))
    return ScopeChange(
        gained=sorted(after - before),
        lost=sorted(before - after),
        people=Some.of(people, NAMES_SHOWN),
        keys=Some.of(reached, NAMES_SHOWN),
        missed=Some.of(missed, NAMES_SHOWN),
    )


def _of_owners(owners: QuerySet | list[int], organization: Organization, codes: set[str]) -> Q:
    """Return the condition that one of these people owns a key that was given such a scope.

    A key has of its scopes those that its owner holds.
    """
    codes = _held_with(codes, organization)
    listed = APIKey.scopes.through.objects.filter(apikey=OuterRef("pk"), scope__code__in=codes)
    followed = Role.scopes.through.objects.filter(role=OuterRef("role"), scope__code__in=codes)
    return Q(owner__in=owners) & (Q(Exists(listed)) | Q(Exists(followed)))


def _held_with(codes: set[str], organization: Organization) -> set[str]:
    # Who manages an organization holds the scopes that it defines.
    if BuiltInScope.MANAGE not in codes:
        return codes
    return codes | set(organization.scopes.values_list("code", flat=True))
