"""Sets of rows that only staff ask for, across organizations."""

from allauth.mfa.models import Authenticator
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from keys import policy
from keys.models import Membership, Organization, User


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


def with_one_owner(organizations: QuerySet[Organization]) -> QuerySet[Organization]:
    """Return the organizations that are locked out when one person leaves."""
    owners = Count("memberships", filter=Q(memberships__is_owner=True))
    return organizations.annotate(owners=owners).filter(owners=1)
