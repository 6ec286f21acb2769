"""Accounts of people: whom staff let sign in, and what they are to the installation."""

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from keys import generations, policy
from keys.models import User
from keys.policy import Actor
from keys.services import audit
from keys.services.validation import save, validate

_CHANGEABLE = ("first_name", "last_name", "is_active", "is_staff", "is_superuser")
_OWN_POWER = ("is_active", "is_staff", "is_superuser")


def create_person(*, actor: Actor, email: str, password: str | None = None, **fields: Any) -> User:
    """Create an account; without a password, its person sets one by email.

    For superusers and the operator. Raises PermissionDenied, ValidationError by field.
    """
    _require_superuser(actor)
    person = User(email=User.objects.normalize_email(email), **fields)
    person.set_password(password)
    validate(person, exclude=["password"])
    with transaction.atomic():
        save(person)
        audit.record(
            actor=actor,
            action="user.created",
            obj=person,
            organization=None,
            changes={"email": person.email, **_describe(person)},
        )
    return person


def update_person(*, actor: Actor, person: User, **changes: Any) -> User:
    """Change a person's name, or whether they may sign in, are staff, are a superuser.

    Raises PermissionDenied; ValidationError when superusers would shut themselves out.
    """
    _require_superuser(actor)
    unknown = changes.keys() - set(_CHANGEABLE)
    if unknown:
        raise TypeError(f"Not changeable: {', '.join(sorted(unknown))}.")
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        before = _describe(person)
        _fill(person, changes)
        after = _describe(person)
        if actor == person and any(before[field] and not after[field] for field in _OWN_POWER):
            raise ValidationError(_("Somebody else has to take this from you."))
        _save_difference(actor, person, before)
    return person


def name_oneself(*, actor: User, first_name: str, last_name: str) -> User:
    """Change what others call the actor beside their address. Raises ValidationError by field."""
    with transaction.atomic():
        person = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        before = _describe(person)
        _fill(person, {"first_name": first_name, "last_name": last_name})
        _save_difference(person, person, before)
    return person


def note_password_change(*, actor: Actor, person: User) -> None:
    """Record that staff gave a person another password."""
    audit.record(actor=actor, action="user.password_changed", obj=person, organization=None)


def note_account_event(*, person: User, action: str, **changes: Any) -> None:
    """Record what happened to somebody's own account: `user.<action>`, such as a sign-in."""
    audit.record(
        actor=person, action=f"user.{action}", obj=person, organization=None, changes=changes
    )


def _require_superuser(actor: Actor) -> None:
    if not policy.has_every_right(actor):
        raise PermissionDenied(_("Only superusers manage accounts."))


def _describe(person: User) -> dict[str, Any]:
    return {field: getattr(person, field) for field in _CHANGEABLE}


def _fill(person: User, changes: dict[str, Any]) -> None:
    for field, value in changes.items():
        setattr(person, field, value)
    validate(person, exclude=["password"])


def _save_difference(actor: Actor, person: User, before: dict[str, Any]) -> None:
    """Write what differs, and record it; nothing, where nothing does."""
    changes = {
        field: [before[field], value]
        for field, value in _describe(person).items()
        if before[field] != value
    }
    if changes:
        _note_whose_keys_mention(person)
        save(person, update_fields=list(changes))
        audit.record(
            actor=actor, action="user.updated", obj=person, organization=None, changes=changes
        )


def _note_whose_keys_mention(person: User) -> None:
    # Answers tell the name of a key's owner. Keys elsewhere are dead: whoever joins again is
    # a change of that organization.
    organizations = person.memberships.values_list("organization_id", flat=True)
    for organization in organizations or [generations.NO_ORGANIZATION]:
        generations.note_organization(organization)
