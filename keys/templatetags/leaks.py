"""What is open about keys that somebody found."""

from django import template

from keys.models import APIKey, LeakReport

register = template.Library()


@register.simple_tag
def open_leak(key: APIKey) -> LeakReport | None:
    """Return the latest report on a key that nobody settled; None: there is none.

    Where the key was loaded for its pages, that there is none is known already.
    """
    if not getattr(key, "was_found", True):
        return None
    return key.leak_reports.filter(settled_at=None).first()
