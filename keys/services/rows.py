"""How a row of an organization is added, changed and deleted: authorized, valid and audited."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from keys import generations, policy
from keys.models import Organization, Role, Scope, Workspace
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit
from keys.services.validation import save, validate

Row = TypeVar("Row", bound=Model)


def create(actor: Actor, organization: Organization, permission: Permission, row: Row) -> Row:
    """Write a new row. Raises PermissionDenied, ValidationError by field."""
    policy.require(actor, permission, organization)
    validate(row)
    with transaction.atomic():
        generations.note_organization(organization.pk)
        save(row)
        record_created(actor, row, organization)
    return row


def update(
    actor: Actor,
    row: Row,
    organization: Organization | None,
    permission: Permission,
    changes: Mapping[str, Any],
    changeable: Iterable[str],
) -> Row:
    """Change these fields of a row, and return it as it then is.

    Raises PermissionDenied, ValidationError by field, and the model's DoesNotExist when the
    row is gone.
    """
    unknown = changes.keys() - set(changeable)
    if unknown:
        raise TypeError(f"Not changeable: {', '.join(sorted(unknown))}.")
    policy.require(actor, permission, row)
    with transaction.atomic():
        row = lock(row)
        difference = {
            field: [getattr(row, field), value]
            for field, value in changes.items()
            if getattr(row, field) != value
        }
        for field, value in changes.items():
            setattr(row, field, value)
        validate(row)
        if difference:
            save(row, update_fields=list(difference))
            audit.record(
                actor=actor,
                action=f"{row._meta.model_name}.updated",
                obj=row,
                organization=organization,
                changes=difference,
            )
    return row


def delete(
    actor: Actor,
    row: Row,
    permission: Permission,
    reason_to_keep: Callable[[Any], str] = lambda _row: "",
) -> None:
    """Delete a row, unless `reason_to_keep` has one.

    Raises PermissionDenied; ValidationError with that reason; the model's DoesNotExist when
    the row is gone already.
    """
    policy.require(actor, permission, row)
    with transaction.atomic():
        # Whoever would refer to the row at this moment waits in `hold`, and finds it gone.
        row = lock(row)
        reason = reason_to_keep(row)
        if reason:
            raise ValidationError(reason)
        audit.record(
            actor=actor,
            action=f"{row._meta.model_name}.deleted",
            obj=row,
            organization=row.organization,  # type: ignore[attr-defined]
        )
        # Only now from all: what was written before the record, without `hold`, refers to it
        # when it is committed, and would wait for us while we waited for the chain.
        type(row)._default_manager.select_for_update().get(pk=row.pk)
        row.delete()


def lock(row: Row) -> Row:
    """Return the row as it is now; nobody else changes it until the transaction ends."""
    # `no_key`: others may go on writing rows that refer to it.
    row = type(row)._default_manager.select_for_update(no_key=True).get(pk=row.pk)
    _note(row)
    return row


def hold(field: str, rows: Iterable[Scope | Role | Workspace]) -> None:
    """Keep rows that another is about to refer to until the transaction ends.

    They are of one model. Raises ValidationError for `field` when one is gone already.
    """
    deletable = {row.pk: row for row in rows if _is_deletable(row)}
    if not deletable:
        return
    model = type(next(iter(deletable.values())))
    # In one order, so that two who hold the same rows do not wait for each other.
    found = (
        model._default_manager.select_for_update(no_key=True)
        .filter(pk__in=list(deletable))
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    gone = deletable.keys() - set(found)
    if gone:
        names = ", ".join(sorted(str(deletable[pk]) for pk in gone))
        raise ValidationError(
            {field: _("Somebody just deleted this: %(names)s.") % {"names": names}}
        )


def record_created(
    actor: Actor, row: Model, organization: Organization, more: Mapping[str, Any] | None = None
) -> None:
    """Record that a row was added, with what it says."""
    changes = {
        field.name: getattr(row, field.name)
        for field in row._meta.concrete_fields
        if field.name not in ("id", "organization", "created_at")
    }
    audit.record(
        actor=actor,
        action=f"{row._meta.model_name}.created",
        obj=row,
        organization=organization,
        changes={**changes, **(more or {})},
    )


def _note(row: Model) -> None:
    pk = row.pk if isinstance(row, Organization) else getattr(row, "organization_id", None)
    if pk is not None:
        generations.note_organization(pk)


def _is_deletable(row: Scope | Role | Workspace) -> bool:
    # Nobody deletes what every organization has; one row of it is held by all of them.
    if isinstance(row, Workspace):
        return not row.is_default
    return not row.is_built_in
