"""What a key may do, from where, until when, at what cost, and what a leak would mean."""

from django import template
from django.utils import timezone

from keys import summaries
from keys.models import APIKey

register = template.Library()


@register.inclusion_tag("components/key_summary.html")
def key_summary(key: APIKey) -> dict:
    """Describe in sentences a key that was loaded with its details.

    One more query when it follows the organization's server addresses. The styles are in
    `keys/new-key.css`.
    """
    return {"summary": summaries.summarize(summaries.facts_of(key), now=timezone.now())}
