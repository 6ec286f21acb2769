"""Moments for people: relative, with the exact one, zone shown, on hover and for machines."""

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

register = template.Library()

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def exact(moment: datetime) -> str:
    """Return the moment to the minute with its zone: `21 Nov 2026, 14:03 UTC`."""
    local = timezone.localtime(moment)
    return f"{date_format(local, 'j M Y, H:i')} {local.tzname()}"


def span(length: timedelta) -> str:
    """Return a length of time in its largest unit: `3 hours`, `2 months`. Signs do not count."""
    length = abs(length)
    if length < _HOUR:
        count = max(round(length / _MINUTE), 1)
        return ngettext("%d minute", "%d minutes", count) % count
    if length < _DAY:
        count = round(length / _HOUR)
        return ngettext("%d hour", "%d hours", count) % count
    days = round(length / _DAY)
    if days < 60:
        return ngettext("%d day", "%d days", days) % days
    if days < 730:
        months = round(days / 30.44)
        return ngettext("%d month", "%d months", months) % months
    years = round(days / 365.25)
    return ngettext("%d year", "%d years", years) % years


def relative(moment: datetime, now: datetime) -> str:
    """Return how far the moment is from now: `3 hours ago`, `in 2 days`, `just now`."""
    distance = moment - now
    if abs(distance) < _MINUTE:
        return _("just now")
    if distance > timedelta(0):
        return _("in %(span)s") % {"span": span(distance)}
    return _("%(span)s ago") % {"span": span(distance)}


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
        date_format(local, "H:i"),
        local.tzname(),
    )
