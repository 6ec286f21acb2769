"""What the sign-in pages need to know of accounts."""

from allauth.account.adapter import get_adapter
from django import template
from django.template import Context

register = template.Library()


@register.simple_tag(takes_context=True)
def may_sign_up(context: Context) -> bool:
    """Say whether strangers may make themselves an account here."""
    return get_adapter().is_open_for_signup(context["request"])
