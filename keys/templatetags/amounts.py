"""Amounts of credits for people."""

from decimal import Decimal

from django import template
from django.utils.formats import number_format

register = template.Library()


@register.filter
def amount(value: Decimal) -> str:
    """Return an amount without needless zeros, its thousands grouped: `12,500.25`."""
    text = f"{value:f}"
    return number_format(text.rstrip("0").rstrip(".") if "." in text else text, force_grouping=True)
