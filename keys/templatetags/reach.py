"""From where a key works, in a few words."""

from dataclasses import dataclass

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from keys.models import APIKey

register = template.Library()


@dataclass(frozen=True)
class Reach:
    """Whether a key is confined to addresses, in words, and which."""

    label: str
    title: str
    is_confined: bool


@register.simple_tag
def reach(key: APIKey) -> Reach:
    """Describe the allowed IPs of a key that was loaded with its details."""
    rows = [row for row in key.allowed_ips.all() if row.active]
    allowed = [row.network for row in rows if not row.deny]
    denied = [row.network for row in rows if row.deny]
    title = ", ".join([*allowed, *(_("not %s") % network for network in denied)])
    if key.assign_server_ips:
        label = _("servers") if not allowed else _("servers + %d") % len(allowed)
        return Reach(label, title, is_confined=True)
    if allowed:
        label = allowed[0] if len(rows) == 1 else _count(allowed)
        return Reach(label, title, is_confined=True)
    if denied:
        return Reach(_("anywhere but %d") % len(denied), title, is_confined=False)
    return Reach(_("anywhere"), "", is_confined=False)


def _count(networks: list[str]) -> str:
    if any("/" in network for network in networks):
        return ngettext("%d range", "%d ranges", len(networks)) % len(networks)
    return ngettext("%d address", "%d addresses", len(networks)) % len(networks)
