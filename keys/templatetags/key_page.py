"""The pages of one key: its tabs, what to do now, where a finding is put right."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django import template
from django.template import Context
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.hygiene import Check
from keys.models import APIKey, Decision, KeySecret
from keys.models.keys import Status
from keys.policy import is_locked_for
from keys.roles import Permission
from keys.rules import loaded_rules
from keys.services import reason_to_stay_disabled
from keys.services.enforcing import shown_alone
from keys.templatetags.navigation import Place
from keys.templatetags.policy import may
from keys.templatetags.status import standing_of

register = template.Library()

TABS = (
    Place("detail", gettext_lazy("Overview"), "chart-bar"),
    Place("limits", gettext_lazy("Limits"), "scale"),
    Place("access", gettext_lazy("Access"), "shield-check"),
    Place("rotation", gettext_lazy("Rotation"), "arrow-path"),
    Place("activity", gettext_lazy("Activity"), "queue-list"),
    Place("key-audit", gettext_lazy("Audit"), "clipboard-document-list"),
    Place("danger", gettext_lazy("Danger"), "no-symbol"),
)


@dataclass(frozen=True)
class Fix:
    """A page where something about a key is put right, what leads there, and who may go."""

    url_name: str
    label: str | Promise
    permission: Permission
    is_dialog: bool = False


_ENABLE = Fix("enable", gettext_lazy("Enable…"), Permission.CHANGE_APIKEY, is_dialog=True)
_HAND_OVER = Fix("hand-over", gettext_lazy("Hand over…"), Permission.ASSIGN_APIKEY)
_UNLOCK = Fix("unlock", gettext_lazy("Unlock…"), Permission.LOCK_APIKEY, is_dialog=True)
_EXTEND = Fix("edit", gettext_lazy("Change its expiry"), Permission.CHANGE_APIKEY)
_FIT = Fix("edit", gettext_lazy("Edit"), Permission.CHANGE_APIKEY)
_BEGIN = Fix("edit", gettext_lazy("Change its start"), Permission.CHANGE_APIKEY)
_RAISE = Fix("edit", gettext_lazy("Change its limit"), Permission.CHANGE_APIKEY)
_ROTATE = Fix("rotate", gettext_lazy("Rotate"), Permission.ROTATE_APIKEY)
_CONFINE = Fix("access", gettext_lazy("Add allowed IPs"), Permission.CHANGE_APIKEY)
_NARROW = Fix("access", gettext_lazy("See unused scopes"), Permission.CHANGE_APIKEY)
_DISABLE = Fix("disable", gettext_lazy("Disable…"), Permission.CHANGE_APIKEY, is_dialog=True)
_REVOKE = Fix("revoke", gettext_lazy("Revoke…"), Permission.DELETE_APIKEY, is_dialog=True)

_FIX_OF_STATUS = {
    Status.LOCKED: _UNLOCK,
    Status.DISABLED: _ENABLE,
    Status.EXPIRED: _EXTEND,
    Status.PENDING: _BEGIN,
}

_FIXES_OF_CHECK = {
    "found": [_ROTATE],
    "owner_gone": [_HAND_OVER, _REVOKE],
    "expiring": [_EXTEND],
    "breaks_policy": [_FIT],
    "older_than_policy": [_ROTATE],
    "over_scoped": [_NARROW],
    "idle": [_DISABLE],
    "no_ip_list": [_CONFINE],
    "never_expires": [_EXTEND],
}


@dataclass(frozen=True)
class Advice:
    """What a key's standing asks of people: in words, in a tone, and the page that helps."""

    tone: str
    text: str
    fix: Fix | None


@register.inclusion_tag("components/key_tabs.html", takes_context=True)
def key_tabs(context: Context, key: APIKey) -> dict:
    """Show the pages of a key, and which of them this is."""
    here = context["request"].resolver_match.url_name
    return {
        "organization": context["organization"],
        "key": key,
        "places": [(place, place.url_name == here) for place in TABS],
    }


@register.simple_tag(takes_context=True)
def changeable(context: Context, permission: str, key: APIKey) -> bool:
    """Say whether to offer a change: the person may, and neither end nor lock stands in the way.

    Nothing stands in the way of looking. A new secret is offered to whom it would be shown.
    """
    if permission == Permission.VIEW_APIKEY:
        return may(context, permission, key)
    is_locked = is_locked_for(key, Permission(permission))
    if key.revoked_at or (is_locked and not may(context, Permission.LOCK_APIKEY, key)):
        return False
    if not may(context, permission, key):
        return False
    return permission != Permission.ROTATE_APIKEY or _is_shown_alone(context, key)


def _is_shown_alone(context: Context, key: APIKey) -> bool:
    found = loaded_rules(context["organization"])
    return bool(shown_alone(context["request"].user, found, [key]))


@register.simple_tag
def next_step(key: APIKey) -> Advice | None:
    """Return what to do about the key now; None where all is well."""
    now = timezone.now()
    standing = standing_of(key, now)
    status = key.status_at(now)
    if standing.tone == "success":
        return None
    if status is Status.DISABLED and (reason := reason_to_stay_disabled(key)):
        return Advice("warning", reason, _HAND_OVER)
    if status is not Status.ACTIVE:
        fix = _FIX_OF_STATUS.get(status)
    else:
        fix = _RAISE if key.remaining_at(now) == 0 else _EXTEND
    return Advice("error" if standing.tone == "danger" else "warning", standing.advice, fix)


@register.simple_tag
def stays_disabled(key: APIKey) -> str:
    """Say why nobody can enable the key now; empty when somebody can, or it is not disabled."""
    return reason_to_stay_disabled(key)


@register.simple_tag
def fixes_of(check: Check) -> list[Fix]:
    """Return where what a hygiene check found is put right, the best first."""
    return _FIXES_OF_CHECK.get(check.name, [])


@dataclass(frozen=True)
class SecretState:
    """What a secret is right now."""

    label: str
    tone: str
    is_old_and_works: bool = False


@register.simple_tag
def secret_state(secret: KeySecret, key: APIKey) -> SecretState:
    """Return what one of the key's secrets is: current, old but working, or over."""
    now = timezone.now()
    if key.revoked_at or not secret.works_at(now):
        return SecretState(_("No longer works"), "neutral")
    if secret.ends_at:
        return SecretState(_("Old, still works"), "warning", is_old_and_works=True)
    return SecretState(_("Current"), "success")


@register.simple_tag
def explain_query(decision: Decision) -> str:
    """Return the query that asks the explain page about this decision's secret and request."""
    asked = {
        "key": decision.secret.label,
        "address": decision.address or "",
        "scopes": " ".join(decision.scopes),
        "cost": f"{decision.cost.normalize():f}",
    }
    return urlencode(asked)
