"""Field types of our own."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

from django.core.exceptions import ValidationError
from django.core.validators import DecimalValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.expressions import Combinable
from django.utils import timezone
from django.utils.deconstruct import deconstructible
from django.utils.translation import gettext_lazy as _

# Amounts are exact: stored as whole millionths, on every database.
AMOUNT_PLACES = 6
MAX_AMOUNT = Decimal(10) ** 12
# Enough digits to round any number that somebody may filter by.
_EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN)


def present() -> datetime:
    """Return this moment: a default that looks at the clock when it is asked, as tests set it."""
    return timezone.now()


class AmountField(models.BigIntegerField):
    """A Decimal of at most six places (a cost, a limit), stored as whole millionths.

    SQLite keeps decimals as floating point, with which no limit is exact.
    """

    # What type checkers take an amount for.
    _pyi_private_set_type: Decimal | int | Combinable  # type: ignore[assignment]
    _pyi_private_get_type: Decimal  # type: ignore[assignment]

    # Far inside what 64 bits hold, so that what validation passes can be stored.
    default_validators = [
        MinValueValidator(-MAX_AMOUNT),
        MaxValueValidator(MAX_AMOUNT),
        DecimalValidator(max_digits=None, decimal_places=AMOUNT_PLACES),
    ]
    default_error_messages = {"invalid": _("Enter a number.")}

    def from_db_value(self, value, expression, connection):
        return None if value is None else Decimal(value).scaleb(-AMOUNT_PLACES).normalize() + 0

    def to_python(self, value):
        if value is None:
            return None
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite():
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return amount

    def get_prep_value(self, value):
        if value is None:
            return None
        if hasattr(value, "resolve_expression"):
            return value
        return int(
            Decimal(str(value)).scaleb(AMOUNT_PLACES, _EXACT).to_integral_value(context=_EXACT)
        )

    def formfield(self, **kwargs):
        from django import forms

        defaults = {
            "form_class": forms.DecimalField,
            "decimal_places": AMOUNT_PLACES,
            "max_value": MAX_AMOUNT,
            "min_value": None,
        }
        return models.Field.formfield(self, **{**defaults, **kwargs})


class AmountSum(models.Sum):
    """The sum of amounts that are not negative, and at most the largest that can be stored.

    SQLite's own sum fails above that, PostgreSQL's goes on.
    """

    MOST = models.BigIntegerField.MAX_BIGINT

    def as_postgresql(self, compiler, connection, **extra):
        total, parameters = self.as_sql(compiler, connection, **extra)
        capped = f"CASE WHEN {total} > {self.MOST} THEN {self.MOST} ELSE {total} END"
        return f"({capped})::bigint", [*parameters, *parameters]

    def as_sqlite(self, compiler, connection, **extra):
        # In halves of 32 bits, of which any number of rows can be added.
        half = (1 << 32) - 1
        high, of_high = self._of_parts(">> 32").as_sql(compiler, connection, **extra)
        low, of_low = self._of_parts(f"& {half}").as_sql(compiler, connection, **extra)
        carried = f"({high} + ({low} >> 32))"
        total = (
            f"CASE WHEN {carried} > {self.MOST >> 32} THEN {self.MOST} "
            f"ELSE ({carried} << 32) + ({low} & {half}) END"
        )
        return total, [*of_high, *of_low, *of_high, *of_low, *of_low]

    def _of_parts(self, part):
        twin = self.copy()
        twin.template = f"SUM((%(expressions)s) {part})"
        return twin


@deconstructible
class FixedMoment(models.Expression):
    """A moment that stands in the SQL itself, as in an index on an expression.

    Such an index serves only the queries that spell the expression alike, and a parameter
    is spelled otherwise.
    """

    def __init__(self, moment: datetime) -> None:
        super().__init__(output_field=models.DateTimeField())
        self.moment = moment

    def as_sql(self, compiler, connection, **extra):
        return f"'{self.moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}'", []

    def as_postgresql(self, compiler, connection, **extra):
        return f"'{self.moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00'::timestamptz", []
