"""Audit events in words."""

from typing import Any

from django import template
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.models import APIKey, AuditEvent

register = template.Library()

_ACTIONS = {
    "apikey.issued": gettext_lazy("issued the key"),
    "apikey.updated": gettext_lazy("changed the key"),
    "apikey.rotated": gettext_lazy("rotated the secret"),
    "apikey.secret_retired": gettext_lazy("ended an overlap"),
    "apikey.disabled": gettext_lazy("disabled the key"),
    "apikey.enabled": gettext_lazy("enabled the key"),
    "apikey.revoked": gettext_lazy("revoked the key"),
    "apikey.locked": gettext_lazy("locked the key"),
    "apikey.unlocked": gettext_lazy("unlocked the key"),
    "organization.shared_secret_revealed": gettext_lazy("saw the shared secret of"),
    "organization.shared_secret_rotated": gettext_lazy("replaced the shared secret of"),
}


_VERBS = {
    "created": gettext_lazy("created"),
    "updated": gettext_lazy("changed"),
    "deleted": gettext_lazy("deleted"),
}


@register.filter
def action(event: AuditEvent) -> str:
    """Return what was done, in words; an action without any stays as it is recorded."""
    verb = event.action.rpartition(".")[2]
    return str(_ACTIONS.get(event.action) or _VERBS.get(verb) or verb.replace("_", " "))


@register.filter
def differences(event: AuditEvent) -> list[tuple[str, str, str]]:
    """Return (field, old, new) of each field that an event changed."""
    if event.action == "apikey.issued":
        return []
    return [
        (_field_label(field), _words(change[0]), _words(change[1]))
        for field, change in event.changes.items()
        if isinstance(change, list) and len(change) == 2
    ]


def _field_label(field: str) -> str:
    labels = {each.name: each.verbose_name for each in APIKey._meta.get_fields() if each.concrete}
    labels["allowed_ips"] = _("allowed IPs")
    return capfirst(str(labels.get(field, field.replace("_", " "))))


def _words(value: Any) -> str:
    if value is None or value == [] or value == "":
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
