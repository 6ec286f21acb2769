"""How often something may be used, as people type it: one number for each length of time."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from keys.models import RateLimit
from keys.models.rates import Period
from keys.services.rate_limits import MAX_AMOUNT

# Field -> the period that it is about, the shortest first.
RATE_FIELDS = {f"rate_{period.value}": period for period in Period}


def _number(label: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        min_value=1,
        max_value=MAX_AMOUNT,
        required=False,
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "placeholder": "∞"}),
    )


class RateFields(forms.Form):
    """The part of a form that says how many requests a second, minute, hour and day."""

    shown_at: Mapping[str, str] = {"rate_limits": "rate_second"}

    rate_second = _number(gettext_lazy("Requests a second"))
    rate_minute = _number(gettext_lazy("Requests a minute"))
    rate_hour = _number(gettext_lazy("Requests an hour"))
    rate_day = _number(gettext_lazy("Requests a day"))

    @property
    def rates_are_wrong(self) -> bool:
        """Whether there is a mistake in one of them."""
        return bool(RATE_FIELDS.keys() & self.errors.keys())

    @property
    def rates_changed(self) -> bool:
        """Whether one of them is not as it was."""
        return bool(RATE_FIELDS.keys() & set(self.changed_data))

    def typed_rates(self) -> tuple[tuple[int, str], ...]:
        """Return what was typed, each (requests, period)."""
        typed = {period: self.cleaned_data.get(name) for name, period in RATE_FIELDS.items()}
        return tuple((amount, str(period)) for period, amount in typed.items() if amount)

    def rate_entries(self) -> list[dict[str, Any]]:
        """Return what was typed as services take it."""
        return [{"amount": amount, "period": period} for amount, period in self.typed_rates()]


def initial_rates(rows: Iterable[RateLimit]) -> dict[str, int]:
    """Return what the fields show of rows that are there."""
    return {f"rate_{row.period}": row.amount for row in rows}
