"""Asks the policy from a template, so that controls are shown to whom they would work for."""

from django import template
from django.db.models import Model
from django.template import Context

from keys import policy
from keys.roles import Permission

register = template.Library()


@register.simple_tag(takes_context=True)
def may(context: Context, permission: str, obj: Model) -> bool:
    """Say whether who looks at the page has the permission on this row.

    `{% may "keys.change_apikey" key as may_change %}`. A permission that does not
    exist raises ValueError. A row that was loaded with_permissions costs no query.
    """
    noted = getattr(obj, f"may_{Permission(permission).codename}", None)
    if noted is not None:
        return noted
    return policy.allows(context["request"].user, permission, obj)
