"""What the sign-in pages need to know of accounts."""

from allauth.account.adapter import get_adapter
from django import template
from django.conf import settings
from django.template import Context

register = template.Library()


@register.simple_tag(takes_context=True)
def may_sign_up(context: Context) -> bool:
    """Say whether strangers may make themselves an account here."""
    return get_adapter().is_open_for_signup(context["request"])


@register.simple_tag
def single_sign_on() -> str:
    """Return what the provider of single sign-on is called; "" where there is none."""
    return settings.OIDC_NAME if settings.OIDC_ISSUER else ""
