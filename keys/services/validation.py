"""Is this row fit to be written? Every problem is told under the field that has it."""

from collections.abc import Collection
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import BaseConstraint, CheckConstraint, Q, Value
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import roles
from keys.models import Role

# Constraint -> the field that people change to satisfy it, where that is not the last
# of its fields.
_FIELD_AT_FAULT = {
    "apikey_expires_after_start": "expires_at",
    "apikey_limit_not_negative": "limit",
    "apikey_known_dialect": "dialect",
    "apikey_known_limit_reset": "limit_reset",
    "scope_built_in_or_own": "code",
    "allowed_ip_unique": "network",
    "user_email_unique": "email",
    "invitation_one_unanswered": "email",
}


def validate(
    row: models.Model, *, exclude: Collection[str] = (), drawn: Collection[str] = ()
) -> None:
    """Raise ValidationError by field unless the row can be written as it is.

    Its code is `duplicate` where another row is in the way. No look is taken at the fields to
    `exclude`, nor for another row that has what was `drawn` by lot.
    """
    refuse_unstorable(row)
    row.full_clean(exclude=[*exclude, *drawn], validate_constraints=False)
    for constraint in _constraints_in_doubt(row):
        if isinstance(constraint, models.UniqueConstraint) and set(constraint.fields) & set(drawn):
            continue
        try:
            constraint.validate(type(row), row)
        except ValidationError as error:
            code = "duplicate" if isinstance(constraint, models.UniqueConstraint) else "invalid"
            problem = ValidationError(error.messages[0], code=code)
            raise ValidationError({_field_at_fault(constraint, row): problem}) from None


def _constraints_in_doubt(row: models.Model) -> list[BaseConstraint]:
    """Return the constraints to look at one by one: of the checks, none if a query passes all."""
    constraints = list(row._meta.constraints)
    checks = _checks_of(type(row))
    names = checks.referenced_base_fields
    fields = [each for each in row._meta.fields if each.name in names]
    columns = {each.name: Value(getattr(row, each.attname), each) for each in fields}
    if checks and checks.check(columns):
        return [each for each in constraints if not isinstance(each, CheckConstraint)]
    return constraints


@cache
def _checks_of(model: type[models.Model]) -> Q:
    """Return what the model's checks demand together; nothing where there are none."""
    constraints = model._meta.constraints
    return Q(*(each.condition for each in constraints if isinstance(each, CheckConstraint)))


def save(row: models.Model, **options: Any) -> None:
    """Save a validated row; what others wrote since makes the same ValidationError."""
    try:
        with transaction.atomic():
            row.save(**options)
    except IntegrityError:
        validate(row)
        raise


def refuse_unstorable(row: models.Model) -> None:
    """Raise ValidationError by field for values that some database cannot store."""
    for name, attribute, needs_text, needs_value in _demands_of(type(row)):
        value = getattr(row, attribute)
        if value is None:
            # Django takes what is empty for what needs no look where a form may be blank.
            problem = _("This field cannot be null.") if needs_text else ""
        elif value == "":
            problem = _("This field cannot be blank.") if needs_value else ""
        else:
            problem = _why_unstorable(value)
        if problem:
            raise ValidationError({name: problem})


@cache
def _demands_of(model: type[models.Model]) -> list[tuple[str, str, bool, bool]]:
    """Return of each field its names, whether it is never null, and whether never empty."""
    return [
        (
            field.name,
            field.attname,
            isinstance(field, models.CharField) and not field.null,
            not field.empty_strings_allowed,
        )
        for field in model._meta.concrete_fields
    ]


def _why_unstorable(value: Any) -> str:
    if isinstance(value, str):
        return "" if is_storable(value) else _("Leave out the characters that are no text.")
    if not isinstance(value, datetime) or value.tzinfo is UTC:
        return ""
    if timezone.is_naive(value):
        return _("Say the time zone, as in 2030-01-01T00:00:00Z.")
    return "" if _has_utc_date(value) else _("Choose a date between the years 1 and 9999.")


def is_storable(text: str) -> bool:
    """Say whether every database can store the text: no NUL, nothing that UTF-8 lacks."""
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:  # half of a pair of UTF-16
        return False


def _has_utc_date(moment: datetime) -> bool:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _field_at_fault(constraint: BaseConstraint, row: models.Model) -> str:
    if isinstance(row, Role) and constraint.name == "role_built_in_or_own":
        is_taken = row.name in {each.name for each in roles.BUILT_IN_ROLES}
        return "name" if is_taken else "number"
    if constraint.name in _FIELD_AT_FAULT:
        return _FIELD_AT_FAULT[constraint.name]
    return constraint.fields[-1]  # type: ignore[attr-defined]
