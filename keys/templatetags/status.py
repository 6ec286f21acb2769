"""What a key is, in words and a tone, with the reason and what to do about it."""

from dataclasses import dataclass
from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from keys.models import APIKey
from keys.models.keys import Status
from keys.models.usage import LimitReset
from keys.templatetags.dates import on, when

register = template.Library()

_TONES = {
    Status.REVOKED: "danger",
    Status.LOCKED: "danger",
    Status.DISABLED: "neutral",
    Status.EXPIRED: "danger",
    Status.PENDING: "warning",
    Status.ACTIVE: "success",
}


@dataclass(frozen=True)
class Standing:
    """A word for what a key is, its tone, the moment that explains it, and advice."""

    label: str
    tone: str
    moment: datetime | None = None
    advice: str = ""


def standing_of(key: APIKey, now: datetime) -> Standing:
    """Return what to tell people about the key at that moment."""
    status = key.status_at(now)
    if status is not Status.ACTIVE:
        moment, advice = _explain(key, status)
        return Standing(str(status.label), _TONES[status], moment, advice)
    if key.remaining_at(now) == 0:
        return Standing(_("Limit reached"), "warning", None, _explain_limit(key))
    if key.expires_soon_at(now):
        return Standing(
            _("Expires soon"),
            "warning",
            key.expires_at,
            _("Requests fail from then on. Edit the key to give it more time."),
        )
    return Standing(_("Active"), "success", None, _("Requests with this key are accepted."))


def _explain(key: APIKey, status: Status) -> tuple[datetime | None, str]:
    match status:
        case Status.REVOKED:
            return key.revoked_at, _("It is over for good; its history stays.")
        case Status.LOCKED:
            return key.locked_at, _("Staff stopped the key; only they can unlock it.")
        case Status.DISABLED:
            return None, _("Every request is refused until somebody enables the key again.")
        case Status.EXPIRED:
            return key.expires_at, _("Edit the key and choose a later expiry to let it work again.")
    return key.not_before, _("Requests are refused until then.")


def _explain_limit(key: APIKey) -> str:
    if key.limit_reset:
        return _("Requests that cost something are refused; the limit resets %(period)s.") % {
            "period": LimitReset(key.limit_reset).label
        }
    return _("Requests that cost something are refused until the limit is raised.")


@register.inclusion_tag("components/status.html")
def status(key: APIKey) -> dict:
    """Show a key's standing as a pill, with the moment that explains it."""
    return {"standing": standing_of(key, timezone.now())}


@register.simple_tag
def standing(key: APIKey) -> Standing:
    """Give a template the key's standing, with advice."""
    return standing_of(key, timezone.now())


@register.simple_tag
def expiry(key: APIKey, never: str = "") -> SafeString | str:
    """Show when a key expires: relative while it counts, else exactly; or that it never does."""
    if key.expires_at is None:
        return never or _("Never")
    return on(key.expires_at) if key.revoked_at else when(key.expires_at)
