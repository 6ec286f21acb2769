"""Moments for people: relative, with the exact one, zone shown, on hover and for machines."""

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

register = template.Library()

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

# Whole, as languages inflect the unit after their word for "ago".
_PAST = {
    "minute": ngettext_lazy("%d minute ago", "%d minutes ago"),
    "hour": ngettext_lazy("%d hour ago", "%d hours ago"),
    "day": ngettext_lazy("%d day ago", "%d days ago"),
    "month": ngettext_lazy("%d month ago", "%d months ago"),
    "year": ngettext_lazy("%d year ago", "%d years ago"),
}
_FUTURE = {
    "minute": ngettext_lazy("in %d minute", "in %d minutes"),
    "hour": ngettext_lazy("in %d hour", "in %d hours"),
    "day": ngettext_lazy("in %d day", "in %d days"),
    "month": ngettext_lazy("in %d month", "in %d months"),
    "year": ngettext_lazy("in %d year", "in %d years"),
}


def exact(moment: datetime) -> str:
    """Return the moment to the minute with its zone: `21 Nov 2026, 14:03 UTC`."""
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT")


def relative(moment: datetime, now: datetime) -> str:
    """Return how far the moment is from now: `3 hours ago`, `in 2 days`, `just now`."""
    distance = moment - now
    if abs(distance) < _MINUTE:
        return _("just now")
    unit, count = _measure(abs(distance))
    words = _FUTURE if distance > timedelta(0) else _PAST
    return words[unit] % count


def _measure(length: timedelta) -> tuple[str, int]:
    """Return a length of time in its largest unit: `hour`, 3."""
    if length < _HOUR:
        return "minute", max(round(length / _MINUTE), 1)
    if length < _DAY:
        return "hour", round(length / _HOUR)
    days = round(length / _DAY)
    if days < 60:
        return "day", days
    if days < 730:
        return "month", round(days / 30.44)
    return "year", round(days / 365.25)


@register.simple_tag
def when(moment: datetime) -> SafeString:
    """Show a moment relative to now, the exact one as its title."""
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        exact(moment),
        relative(moment, timezone.now()),
    )


@register.simple_tag
def on(moment: datetime) -> SafeString:
    """Show a moment exactly, with its zone."""
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), exact(moment))


@register.simple_tag
def clock(moment: datetime) -> SafeString:
    """Show the time of a day that is said elsewhere, the exact moment as its title."""
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{} {}</time>',
        moment.isoformat(),
        exact(moment),
        date_format(local, "TIME_FORMAT"),
        local.tzname(),
    )
