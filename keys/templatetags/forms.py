"""What form templates need to say about choices."""

from django import template

from keys import secrets

register = template.Library()


@register.filter
def secret_prefix(dialect: str) -> str:
    """Return how the secrets of a dialect begin."""
    return secrets.FORMATS[dialect].prefix
