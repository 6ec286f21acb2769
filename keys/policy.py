"""May they? The only module that answers.

`visible` is the rule: it narrows a queryset to the rows on which an actor has a
permission. Row checks, list filters, form choices, admin querysets and template
tags all come from it, so that they cannot disagree.

An *actor* is a person (User) or a credential (APIKey), as in `request.user`, or
OPERATOR, whoever runs `manage.py`. A credential narrows, never widens: a key
reaches no further than its organization, holds no more than what it was given,
and when a person owns it, no more than that person holds there today.
"""

from functools import lru_cache
from typing import Any, TypeVar

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Exists, Model, OuterRef, Q, QuerySet, Value, When
from django.utils.translation import gettext as _

from keys.models import (
    AllowedIP,
    APIKey,
    ApprovalRequest,
    AuditEvent,
    Decision,
    Invitation,
    KeySecret,
    KeyUsage,
    LeakReport,
    Membership,
    MinuteBucket,
    Organization,
    OrganizationBucket,
    OrganizationMinute,
    RateLimit,
    Role,
    Scope,
    ScopeUse,
    ServerAddress,
    UsageBucket,
    User,
    Webhook,
    WebhookDelivery,
    Workspace,
)
from keys.roles import (
    MEMBER_PERMISSIONS,
    OWNER_PERMISSIONS,
    STAFF_PERMISSIONS,
    BuiltInScope,
    Permission,
    Reach,
    scopes_granting,
)

AnyModel = TypeVar("AnyModel", bound=Model)


class Operator:
    """Whoever runs `manage.py`; holds the database already, so is refused nothing."""

    is_authenticated = True

    def __str__(self) -> str:
        return "operator"


OPERATOR = Operator()

# Anonymous is somebody who may nothing.
Actor = User | APIKey | Operator | AnonymousUser

# Model -> where a row says which organization it belongs to.
_ORGANIZATION = {
    Organization: "pk",
    Workspace: "organization",
    Scope: "organization",
    Role: "organization",
    Membership: "organization",
    Invitation: "organization",
    ServerAddress: "organization",
    AuditEvent: "organization",
    ApprovalRequest: "organization",
    APIKey: "organization",
    AllowedIP: "key__organization",
    KeySecret: "key__organization",
    KeyUsage: "key__organization",
    UsageBucket: "key__organization",
    MinuteBucket: "key__organization",
    OrganizationBucket: "organization",
    OrganizationMinute: "organization",
    ScopeUse: "key__organization",
    Decision: "key__organization",
    RateLimit: "key__organization",
    LeakReport: "organization",
    Webhook: "organization",
    WebhookDelivery: "webhook__organization",
}

# Models whose rows have an owner -> where the row names them.
_OWNER = {
    APIKey: "owner",
    ApprovalRequest: "requester",
    AllowedIP: "key__owner",
    KeySecret: "key__owner",
    KeyUsage: "key__owner",
    UsageBucket: "key__owner",
    MinuteBucket: "key__owner",
    ScopeUse: "key__owner",
    Decision: "key__owner",
    RateLimit: "key__owner",
    LeakReport: "key__owner",
}

# Parts of an aggregate are seen by whoever sees the whole.
_VIEW_PERMISSIONS = {
    AllowedIP: Permission.VIEW_APIKEY,
    KeySecret: Permission.VIEW_APIKEY,
    KeyUsage: Permission.VIEW_APIKEY,
    UsageBucket: Permission.VIEW_APIKEY,
    MinuteBucket: Permission.VIEW_APIKEY,
    OrganizationBucket: Permission.VIEW_APIKEY,
    OrganizationMinute: Permission.VIEW_APIKEY,
    ScopeUse: Permission.VIEW_APIKEY,
    Decision: Permission.VIEW_APIKEY,
    RateLimit: Permission.VIEW_APIKEY,
    LeakReport: Permission.VIEW_APIKEY,
    WebhookDelivery: Permission.VIEW_WEBHOOK,
    ServerAddress: Permission.VIEW_ORGANIZATION,
}

# Sums over all keys of an organization are for those who see every one.
_OF_EVERY_KEY = (OrganizationBucket, OrganizationMinute)

# Rows without an organization are every organization's: seen by all, changed by nobody.
_WITH_BUILT_INS = (Scope, Role)

# What an owner is in the organization, only owners change.
_DECIDED_BY_OWNERS = frozenset({Permission.CHANGE_MEMBERSHIP, Permission.DELETE_MEMBERSHIP})

# What a key may do with keys.
_ON_KEYS = (
    Permission.VIEW_APIKEY,
    Permission.ADD_APIKEY,
    Permission.CHANGE_APIKEY,
    Permission.DELETE_APIKEY,
)

_EVERY_ROW = ~Q(pk__in=[])
_NO_ROW = Q(pk__in=[])


def view_permission(model: type[Model]) -> Permission:
    """Return the permission to see rows of this model."""
    return _VIEW_PERMISSIONS.get(model) or Permission(f"keys.view_{model._meta.model_name}")


def visible(
    actor: Actor, queryset: QuerySet[AnyModel], permission: Permission | str | None = None
) -> QuerySet[AnyModel]:
    """Return the rows on which the actor has the permission (by default: to see them).

    Raises ValueError for a permission that does not exist.
    """
    model = queryset.model
    permission = Permission(permission) if permission else view_permission(model)
    return queryset.filter(_rule(actor, permission, model))


def allows(actor: Actor, permission: Permission | str, obj: Model) -> bool:
    """Say whether the actor has the permission on this row.

    To add something, ask about the organization that it would belong to.
    """
    return visible(actor, type(obj)._default_manager.filter(pk=obj.pk), permission).exists()


def sees_every_key(actor: Actor, organization: Organization) -> bool:
    """Say whether no key of the organization is kept from the actor. One query."""
    rule = _reach(actor, Permission.VIEW_APIKEY, Organization, Reach.ORGANIZATION)
    return Organization.objects.filter(rule, pk=organization.pk).exists()


def with_permissions(
    actor: Actor, queryset: QuerySet[AnyModel], *permissions: Permission
) -> QuerySet[AnyModel]:
    """Return the rows, each with what the actor may do with it, as `may_<code name>`.

    What `allows` would say of each row, without a query of its own.
    """
    rules = {each: _rule(actor, each, queryset.model) for each in permissions}
    return queryset.annotate(
        **{
            f"may_{each.codename}": Case(When(rule, then=Value(True)), default=Value(False))
            for each, rule in rules.items()
        }
    )


def require(actor: Actor, permission: Permission | str, obj: Model) -> None:
    """Raise PermissionDenied unless the actor has the permission on this row."""
    if not allows(actor, permission, obj):
        raise PermissionDenied(_("You do not have permission to do this."))


def has_every_right(actor: Actor) -> bool:
    """Say whether nothing in the installation is kept from the actor."""
    return actor is OPERATOR or (isinstance(actor, User) and actor.is_active and actor.is_superuser)


def oversees_installation(actor: Actor) -> bool:
    """Say whether the actor may see what the installation runs on: its hosts and processes."""
    return has_every_right(actor) or (
        isinstance(actor, User) and actor.is_active and actor.is_staff
    )


def lacks_second_factor(person: User, organization: Organization) -> bool:
    """Say whether the organization keeps the person out until they have a second factor.

    That is for people and pages; a key has none to show.
    """
    terms = getattr(organization, "policy", None)  # none: as by default
    if terms is None or not terms.requires_second_factor:
        return False
    members = organization.memberships.filter(user=person)
    return members.exclude(user__in=with_second_factor()).exists()


def with_second_factor() -> QuerySet:
    """Return whose accounts have an authenticator app, a security key or a passkey, by number."""
    kinds = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
    return Authenticator.objects.filter(type__in=kinds).values("user")


def is_locked_for(key: APIKey, permission: Permission) -> bool:
    """Say whether a staff lock keeps who may not lift it from using this permission on the key."""
    # Revoking only narrows, so no lock stands in its way.
    return key.locked_at is not None and permission is not Permission.DELETE_APIKEY


def reach_needed(key: APIKey, obj: Model) -> Reach:
    """Return how far a grant must reach for the key to act on the row."""
    if type(obj) not in _OWNER:
        return Reach.OWN
    owner_id: Any = obj
    for step in f"{_OWNER[type(obj)]}_id".split("__"):
        owner_id = getattr(owner_id, step)
    if owner_id == key.owner_id:
        return Reach.OWN
    return Reach.SHARED if owner_id is None else Reach.ORGANIZATION


def reaches_by_owner(key: APIKey) -> bool:
    """Say whether it depends on whose the key is which keys it sees, issues, changes or revokes."""
    held = frozenset(key.scope_codes)
    return any(
        held & scopes_granting(permission, Reach.OWN) and not holds(held, permission, APIKey)
        for permission in _ON_KEYS
    )


def has_owner(model: type[Model]) -> bool:
    """Say whether rows of the model belong to persons, so that a grant may reach some of them."""
    return model in _OWNER


def holds(held: frozenset[str], permission: Permission, model: type[Model]) -> bool:
    """Say whether a key that holds these scopes has the permission on all of its organization's.

    That is all rows of the model which belong to the organization.
    """
    return bool(held & scopes_granting(permission, _full_reach(model)))


def held_scopes(actor: Actor, organization: Organization) -> frozenset[str]:
    """Return the codes of the scopes that the actor holds in this organization, today."""
    match actor:
        case APIKey():
            return _scopes_of_key(actor, organization)
    return _codes(grantable_scopes(actor, organization))


def grantable_scopes(actor: Actor, organization: Organization) -> QuerySet[Scope]:
    """Return the scopes that the actor may give to a key or role: those it holds."""
    return Scope.objects.available_to(organization).filter(_held_by(actor, organization))


def grantable_roles(actor: Actor, organization: Organization) -> QuerySet[Role]:
    """Return the roles that the actor may give: those with no scope that it lacks."""
    beyond = Scope.objects.available_to(organization).exclude(_held_by(actor, organization))
    return Role.objects.available_to(organization).exclude(
        pk__in=Role.scopes.through.objects.filter(scope__in=beyond).values("role")
    )


def _rule(actor: Actor, permission: Permission, model: type[Model]) -> Q:
    rule = _reach(actor, permission, model)
    if model in _WITH_BUILT_INS:
        if permission == view_permission(model):
            return rule | (Q(organization=None) if _is_somebody(actor) else _NO_ROW)
        return rule & Q(organization__isnull=False)
    if model is Membership and permission in _DECIDED_BY_OWNERS:
        return rule & (Q(is_owner=False) | _reach(actor, Permission.OWN_ORGANIZATION, model))
    if model is ApprovalRequest and permission is Permission.APPROVE_APPROVALREQUEST:
        return rule & _asked_by_others(actor)
    return rule


def _asked_by_others(actor: Actor) -> Q:
    """Select the requests on which the actor is a second person."""
    match actor:
        case APIKey():
            # One that acts for nobody may be in the hands of whoever asked.
            return _NO_ROW if actor.owner_id is None else ~Q(requester=actor.owner_id)
        case User():
            return ~Q(requester=actor)
    return _EVERY_ROW


def _is_somebody(actor: Actor) -> bool:
    return bool(actor.is_authenticated and getattr(actor, "is_active", True))


def _reach(
    actor: Actor, permission: Permission, model: type[Model], full: Reach | None = None
) -> Q:
    """Select the rows on which the actor has the permission; `full` is the reach for all."""
    full = full or _full_reach(model)
    match actor:
        case Operator():
            return _EVERY_ROW
        case APIKey():
            return _reach_of_key(actor, permission, model, full)
        case User():
            return _reach_of_person(actor, permission, model, full)
    return _NO_ROW  # anonymous


def _reach_of_person(person: User, permission: Permission, model: type[Model], full: Reach) -> Q:
    if not person.is_active:
        return _NO_ROW
    sees_all = person.is_superuser or (person.is_staff and permission in STAFF_PERMISSIONS)
    if sees_all and permission not in MEMBER_PERMISSIONS:
        return _EVERY_ROW
    return _reach_of_member(person.pk, permission, model, full)


# A page asks for a dozen; none holds anything of the database.
@lru_cache(maxsize=256)
def _reach_of_member(person_id: int, permission: Permission, model: type[Model], full: Reach) -> Q:
    memberships = Membership.objects.filter(user=person_id)
    if permission in MEMBER_PERMISSIONS:
        return _in_organizations(model, memberships)
    if permission in OWNER_PERMISSIONS:
        return _in_organizations(model, memberships.filter(is_owner=True))
    rule = _in_organizations(model, _granting(memberships, permission, full))
    if model in _OWNER:
        own = _in_organizations(model, _granting(memberships, permission, Reach.OWN))
        shared = _in_organizations(model, _granting(memberships, permission, Reach.SHARED))
        rule |= own & Q(**{_OWNER[model]: person_id}) | shared & Q(**{_OWNER[model]: None})
    return rule


def _reach_of_key(key: APIKey, permission: Permission, model: type[Model], full: Reach) -> Q:
    held = held_scopes(key, key.organization)
    inside = Q(**{_ORGANIZATION[model]: key.organization_id})
    if held & scopes_granting(permission, full):
        return inside
    if model not in _OWNER:
        return _NO_ROW
    owners = _NO_ROW
    if held & scopes_granting(permission, Reach.OWN):
        owners |= Q(**{_OWNER[model]: key.owner_id})
    if held & scopes_granting(permission, Reach.SHARED):
        owners |= Q(**{_OWNER[model]: None})
    return inside & owners


def _full_reach(model: type[Model]) -> Reach:
    # Where rows have no owner, a grant of one's own things reaches them all.
    return Reach.ORGANIZATION if model in _OWNER or model in _OF_EVERY_KEY else Reach.OWN


def _granting(memberships: QuerySet, permission: Permission, reach: Reach) -> QuerySet:
    return memberships.filter(role__scopes__code__in=scopes_granting(permission, reach))


def _in_organizations(model: type[Model], memberships: QuerySet) -> Q:
    return Q(**{f"{_ORGANIZATION[model]}__in": memberships.values("organization")})


def _held_by(actor: Actor, organization: Organization) -> Q:
    """Select, of the scopes available to the organization, those that the actor holds there."""
    match actor:
        case APIKey():
            return Q(code__in=_scopes_of_key(actor, organization))
        case User() if actor.is_active and not actor.is_superuser:
            return held_by_member(actor, organization)
        case Operator() | User() if _is_somebody(actor):
            return _EVERY_ROW
    return _NO_ROW


def held_by_member(person: Any, organization: Any) -> Q:
    """Select, of the scopes available to an organization, those that a member holds there.

    Both may be an OuterRef, to ask about the people of a query's rows.
    """
    memberships = Membership.objects.filter(
        user=_inside(person), organization=_inside(organization)
    )
    of_role = memberships.filter(role__scopes=OuterRef("pk"))
    # Who manages an organization holds the scopes that it defines.
    manages = memberships.filter(role__scopes__code=BuiltInScope.MANAGE)
    return Q(Exists(of_role)) | Q(Exists(manages), organization=organization)


def _inside(value: Any) -> Any:
    return OuterRef(value) if isinstance(value, OuterRef) else value


def _scopes_of_member(person: User, organization: Organization) -> frozenset[str]:
    available = Scope.objects.available_to(organization)
    return _codes(available.filter(held_by_member(person, organization)))


def _scopes_of_key(key: APIKey, organization: Organization) -> frozenset[str]:
    if key.organization_id != organization.pk:
        return frozenset()
    held = frozenset(key.scope_codes)
    if key.owner is None:
        return held
    if not key.owner.is_active:
        return frozenset()
    # Not `held_scopes`: the power of a superuser does not flow into a key.
    return held & _scopes_of_member(key.owner, organization)


def _codes(scopes: QuerySet[Scope]) -> frozenset[str]:
    return frozenset(scopes.values_list("code", flat=True))
