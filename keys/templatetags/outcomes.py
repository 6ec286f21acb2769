"""Outcomes of verification in words."""

from django import template
from django.utils.translation import gettext_lazy as _

from keys.verification import Code

register = template.Library()

_WORDS = {
    Code.VALID: _("accepted"),
    Code.NOT_FOUND: _("there is no such key"),
    Code.REVOKED: _("the key is revoked"),
    Code.ORGANIZATION_SUSPENDED: _("the organization is suspended"),
    Code.OWNER_GONE: _("its owner left the organization"),
    Code.LOCKED: _("staff locked the key"),
    Code.DISABLED: _("the key is disabled"),
    Code.NOT_YET_VALID: _("the key is not valid yet"),
    Code.EXPIRED: _("the key has expired"),
    Code.SECRET_RETIRED: _("the secret was replaced"),
    Code.FORBIDDEN_ADDRESS: _("the address is not allowed"),
    Code.INSUFFICIENT_SCOPES: _("a scope is missing"),
    Code.LIMIT_EXCEEDED: _("the limit is reached"),
    Code.RATE_LIMITED: _("it was used too often"),
}


@register.filter
def outcome(code: Code) -> str:
    """Return what an outcome means, in words."""
    return str(_WORDS[code])
