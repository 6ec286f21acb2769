"""Sets of rows that only staff ask for, across organizations."""

from allauth.mfa.models import Authenticator
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from keys import policy
from keys.models import APIKey, Membership, Organization, User
from keys.models.keys import APIKeyQuerySet


def visible_people(actor: User) -> QuerySet[User]:
    """Return the people the actor may know of: all, or those whose membership they see."""
    everybody = User.objects.filter(is_active=True)
    if actor.has_perm("keys.view_user"):
        return everybody
    members = policy.visible(actor, Membership.objects.filter(user=OuterRef("pk")))
    return everybody.filter(Exists(members))


def without_second_factor(people: QuerySet[User]) -> QuerySet[User]:
    """Return those whose password alone lets somebody in."""
    second_factors = Authenticator.objects.filter(
        user=OuterRef("pk"), type__in=[Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    )
    return people.filter(~Exists(second_factors))


def owner_gone(keys: QuerySet[APIKey]) -> APIKeyQuerySet:
    """Return the keys of people who left the organization or may not sign in: refused ones."""
    membership = Membership.objects.filter(
        user=OuterRef("owner"), organization=OuterRef("organization")
    )
    is_gone = Q(owner__is_active=False) | ~Exists(membership)
    return keys.filter(is_gone, owner__isnull=False)


def with_one_owner(organizations: QuerySet[Organization]) -> QuerySet[Organization]:
    """Return the organizations that are locked out when one person leaves."""
    owners = Count("memberships", filter=Q(memberships__is_owner=True))
    return organizations.annotate(owners=owners).filter(owners=1)
