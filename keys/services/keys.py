"""Issue, change and end API keys. Each: authorize, validate, write and audit as one."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from keys import generations, policy, secrets, snapshots, usage
from keys.models import (
    AllowedIP,
    APIKey,
    ApprovalRequest,
    KeyUsage,
    Organization,
    RateLimit,
    Role,
    Scope,
    User,
    Workspace,
)
from keys.models.keys import Dialect, know
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit, enforcing, grants, rows
from keys.services.allowed_ips import Entry, build_allowed_ips, replace_allowed_ips
from keys.services.changes import changing, describe, open_key
from keys.services.rate_limits import RateEntry, build_rate_limits, replace_rate_limits
from keys.services.rotation import add_secret, with_secret
from keys.services.validation import is_storable, save, validate

# Stands for "not said", where None has a meaning of its own.
UNSAID: Any = object()

_CHANGEABLE = frozenset(
    {
        "name",
        "slug",
        "description",
        "workspace",
        "role",
        "scopes",
        "not_before",
        "expires_at",
        "disabled",
        "limit",
        "limit_reset",
        "include_byok_in_limit",
        "assign_server_ips",
        "allowed_ips",
        "rate_limits",
        "external_user",
    }
)


def issue_key(
    *,
    actor: Actor,
    organization: Organization,
    name: str,
    owner: User | None = UNSAID,
    creator: User | None = UNSAID,
    workspace: Workspace | None = None,
    slug: str | None = None,
    description: str = "",
    dialect: str = Dialect.NATIVE,
    role: Role | None = None,
    scopes: Iterable[Scope | str] = (),
    not_before: datetime | None = None,
    expires_at: datetime | None = UNSAID,
    disabled: bool = False,
    limit: Decimal | None = UNSAID,
    limit_reset: str | None = UNSAID,
    include_byok_in_limit: bool = UNSAID,
    assign_server_ips: bool = UNSAID,
    allowed_ips: Iterable[Entry] = UNSAID,
    rate_limits: Iterable[RateEntry] = UNSAID,
    external_user: str | None = None,
    approval: ApprovalRequest | None = None,
) -> APIKey:
    """Issue a key and return it with its secret, once, as `key.secret`.

    Without an `owner` it belongs to whom the actor acts for: a person to themselves, a
    key to its own owner, the operator to the organization. What a key without MANAGE
    issues is bound as that key is, also where nothing is said. Raises PermissionDenied
    when the actor may not, or would give more than it holds; ApprovalRequiredError where that
    takes an `approval`; ValidationError by field, also for what the organization's policy rules
    out.
    """
    policy.require(actor, Permission.ADD_APIKEY, organization)
    bounds = _fill_in(
        grants.inherited(actor),
        expires_at=expires_at,
        limit=limit,
        limit_reset=limit_reset,
        include_byok_in_limit=include_byok_in_limit,
        assign_server_ips=assign_server_ips,
        allowed_ips=allowed_ips,
        rate_limits=rate_limits,
    )
    entries, rates = bounds.pop("allowed_ips"), bounds.pop("rate_limits")
    key = APIKey(
        organization=organization,
        owner=choose_owner(actor, organization, owner),
        creator=_choose_creator(actor, organization, creator),
        workspace=workspace or organization.workspaces.get(is_default=True),
        name=name,
        slug=slug or short_name_for(name, is_spare=True),
        description=description,
        dialect=dialect,
        role=role,
        not_before=not_before,
        disabled=disabled,
        external_user=external_user,
        **bounds,
    )
    scope_rows = _resolve_grant(actor, organization, role, scopes)
    _validate(key, ["expires_at"], drawn=() if slug else ["slug"])
    allowed_rows, rate_rows = build_allowed_ips(key, entries), build_rate_limits(key, rates)
    with transaction.atomic():
        _hold(key, {"workspace", "role"}, scope_rows)
        _save_new(key, slug or short_name_for(name))
        generations.note_key(key.pk)
        key.scopes.add(*scope_rows)
        know(key, "scopes", scope_rows)
        AllowedIP.objects.bulk_create(allowed_rows)
        RateLimit.objects.bulk_create(rate_rows)
        grants.refuse_wider(actor, key, bounds.keys() | {"allowed_ips", "rate_limits"})
        enforcing.enforce(actor, key, approval=approval)
        KeyUsage.objects.create(key=key, limit=key.limit)
        secret_row, secret = add_secret(key)
        key = with_secret(
            key,
            secret,
            scopes=scope_rows,
            allowed_ips=allowed_rows,
            rate_limits=rate_rows,
            secrets=[secret_row],
        )
        audit.record(
            actor=actor,
            action="apikey.issued",
            obj=key,
            organization=organization,
            changes={**describe(key), "dialect": key.dialect, "label": key.label},
        )
    return key


def update_key(
    *, actor: Actor, key: APIKey, approval: ApprovalRequest | None = None, **changes: Any
) -> APIKey:
    """Change the given fields of a key and return it; lists that are given replace the whole.

    Raises PermissionDenied, ApprovalRequiredError where it takes an `approval`, ValidationError
    by field, and APIKey.DoesNotExist when the key was revoked meanwhile.
    """
    unknown = changes.keys() - _CHANGEABLE
    if unknown:
        raise TypeError(f"A key has no changeable {', '.join(sorted(unknown))}.")
    with changing(actor, key, changes, approval=approval) as key:
        if changes.get("disabled") is False and (reason := reason_to_stay_disabled(key)):
            raise ValidationError({"disabled": reason})
        _apply(actor, key, changes)
    return key


def disable_key(*, actor: Actor, key: APIKey) -> APIKey:
    """Stop a key until it is enabled again."""
    return update_key(actor=actor, key=key, disabled=True)


def enable_key(*, actor: Actor, key: APIKey) -> APIKey:
    """Let a disabled key work again. Raises ValidationError also where its owner is gone."""
    return update_key(actor=actor, key=key, disabled=False)


def revoke_key(*, actor: Actor, key: APIKey) -> APIKey:
    """End a key for good. Raises as update_key does."""
    with transaction.atomic():
        key = open_key(actor, key, Permission.DELETE_APIKEY)
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at", "updated_at"])
        audit.record(actor=actor, action="apikey.revoked", obj=key, organization=key.organization)
    return key


def reason_to_stay_disabled(key: APIKey) -> str:
    """Return why nobody can enable a disabled key now; empty when somebody can.

    Where its owner is gone it would work as soon as they are back, by nobody's decision.
    """
    return owner_is_gone_words() if key.disabled and snapshots.is_owner_gone(key) else ""


def owner_is_gone_words() -> str:
    """Say why a key whose owner is gone stays disabled, and what to do."""
    return _(
        "Its owner is no longer an active member, so every request with it is refused, enabled "
        "or not. Hand it over first: it gets another owner and a new secret."
    )


def _apply(actor: Actor, key: APIKey, changes: dict[str, Any]) -> None:
    changes = dict(changes)
    allowed_ips = changes.pop("allowed_ips", UNSAID)
    rate_limits = changes.pop("rate_limits", UNSAID)
    scopes = changes.pop("scopes", UNSAID)
    old_reset, old_byok = key.limit_reset, key.include_byok_in_limit
    now = timezone.now()
    if changes.get("role") is not None and scopes is UNSAID:
        scopes = ()
    elif scopes is not UNSAID and "role" not in changes:
        changes["role"] = None
    for field, value in changes.items():
        setattr(key, field, value)
    if scopes is not UNSAID:
        scopes = _resolve_grant(actor, key.organization, key.role, scopes)
    _validate(key, changes)
    _hold(key, changes, () if scopes is UNSAID else scopes)
    save(key, update_fields=[*changes, "updated_at"])
    if scopes is not UNSAID:
        key.scopes.set(scopes)
    if allowed_ips is not UNSAID:
        replace_allowed_ips(key, allowed_ips)
    if rate_limits is not UNSAID:
        replace_rate_limits(key, rate_limits)
    if "limit" in changes:
        KeyUsage.objects.filter(key=key).update(limit=key.limit)
    if (key.limit_reset, key.include_byok_in_limit) != (old_reset, old_byok):
        usage.restate_period(key, now=now)


def choose_owner(actor: Actor, organization: Organization, owner: User | None) -> User | None:
    """Return whose a new key is: the actor's own where nothing is said (UNSAID).

    Raises PermissionDenied for somebody else, ValidationError for who is no member.
    """
    natural = _natural_owner(actor)
    if owner is UNSAID:
        owner = natural
    elif owner != natural and actor is not policy.OPERATOR:
        if owner is not None:
            # The secret would go to the actor, who could then act as somebody else.
            raise PermissionDenied(_("You cannot issue a key in somebody else's name."))
        policy.require(actor, Permission.ASSIGN_APIKEY, organization)
    if owner is not None and not organization.memberships.filter(user=owner).exists():
        raise ValidationError({"owner": _("The owner is not a member of this organization.")})
    return owner


def _natural_owner(actor: Actor) -> User | None:
    if isinstance(actor, APIKey):
        return actor.owner
    return actor if isinstance(actor, User) else None


def _choose_creator(actor: Actor, organization: Organization, creator: User | None) -> User | None:
    if creator is UNSAID or creator is None or creator == _natural_owner(actor):
        return actor.creator if isinstance(actor, APIKey) else _natural_owner(actor)
    policy.require(actor, Permission.ASSIGN_APIKEY, organization)
    if not organization.memberships.filter(user=creator).exists():
        raise ValidationError({"creator": _("The creator is not a member of this organization.")})
    return creator


def _resolve_grant(
    actor: Actor, organization: Organization, role: Role | None, scopes: Iterable[Scope | str]
) -> list[Scope]:
    """Return the scope rows to list on a key, having checked that the actor may give them."""
    available = {scope.code: scope for scope in Scope.objects.available_to(organization)}
    codes = set()
    for scope in scopes:
        if isinstance(scope, Scope) and available.get(scope.code) != scope:
            raise ValidationError({"scopes": _("This organization has no such scope.")})
        codes.add(scope.code if isinstance(scope, Scope) else scope)
    if role is not None and codes:
        raise ValidationError({"scopes": _("A key follows a role or lists scopes, not both.")})
    if role is not None and role.organization_id not in (None, organization.pk):
        raise ValidationError({"role": _("This organization has no such role.")})
    unknown = codes - available.keys()
    if unknown:
        raise ValidationError(
            {"scopes": _("Unknown scope: %(codes)s.") % {"codes": ", ".join(_shown(unknown))}}
        )
    given = {scope.code for scope in role.scopes.all()} if role else codes
    grants.refuse_beyond(actor, organization, given)
    return [scope for scope in available.values() if scope.code in codes]


def _hold(key: APIKey, fields: Collection[str], scopes: Iterable[Scope]) -> None:
    """Keep what the key comes to refer to from being deleted at this moment."""
    if "workspace" in fields:
        rows.hold("workspace", [key.workspace])
    if "role" in fields and key.role is not None:
        rows.hold("role", [key.role])
    rows.hold("scopes", scopes)


def _shown(codes: Iterable[str]) -> list[str]:
    return sorted(code if is_storable(code) else ascii(code) for code in codes)


def _refuse_past(key: APIKey, now: datetime) -> None:
    if key.expires_at is not None and key.expires_at <= now:
        raise ValidationError(
            {
                "expires_at": _("Choose a moment in the future; it is now %(now)s UTC.")
                % {"now": f"{now:%Y-%m-%d %H:%M}"}
            }
        )


def _fill_in(inherited: Mapping[str, Any], **said: Any) -> dict[str, Any]:
    """Return what was said, and for the rest what the key inherits."""
    unsaid = {field for field, value in said.items() if value is UNSAID}
    # The ways to say from where belong together.
    if "allowed_ips" not in unsaid:
        inherited = {**inherited, "assign_server_ips": False}
    return {**said, **{field: inherited[field] for field in unsaid}}


def _validate(key: APIKey, changed: Iterable[str], *, drawn: Collection[str] = ()) -> None:
    # The owner is the service's to choose, and checked there; `_hold` finds what is gone.
    validate(
        key,
        exclude=["owner", "creator", "organization", "workspace", "role"],
        drawn=["identifier", "hash", *drawn],
    )
    if key.workspace_id is None:
        raise ValidationError({"workspace": _("Choose one of the organization's.")})
    if "expires_at" in changed:
        _refuse_past(key, timezone.now())
    if key.workspace.organization_id != key.organization_id:
        raise ValidationError({"workspace": _("This organization has no such workspace.")})


def _save_new(key: APIKey, slug: str) -> None:
    """Insert a key under this short name, or if it is taken under the one it came with."""
    spare = key.slug
    if slug == spare or not key.organization.api_keys.live().filter(slug=slug).exists():
        key.slug = slug
    try:
        save(key, force_insert=True)
    except ValidationError:  # somebody took the short name at this moment
        if key.slug == spare:
            raise
        key.slug = spare
        save(key, force_insert=True)


def short_name_for(name: str, *, is_spare: bool = False) -> str:
    """Return a short name made of a key's name; a spare one that no other key has."""
    slug = slugify(name)[:50].strip("-_").replace("_", "-") or "key"
    # Random, not counted up: keys of one name issued at the same moment never meet.
    return f"{slug}-{secrets.generate_identifier()[:8]}" if is_spare else slug
