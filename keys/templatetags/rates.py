"""Rate limits in words."""

from django import template
from django.utils.translation import gettext as _

from keys.models import APIKey, Organization
from keys.models.rates import shortest_first
from keys.summaries import rate_in_words

register = template.Library()


@register.simple_tag
def rates_in_words(owner: APIKey | Organization) -> str:
    """Return the rate limits of a key or an organization, in one line."""
    rows = shortest_first(owner.rate_limits.all())
    return ", ".join(rate_in_words(row.amount, row.period) for row in rows) or _("None")


@register.simple_tag
def rate_words(requests: int, period: str) -> str:
    """Return one rate: so many requests in which time."""
    return rate_in_words(requests, period)
