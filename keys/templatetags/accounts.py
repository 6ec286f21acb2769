"""What the sign-in pages need to know of accounts."""

from allauth.account.adapter import get_adapter
from django import template
from django.conf import settings
from django.template import Context
from django.utils.translation import gettext as _

# What people call a system otherwise than browsers do.
_SYSTEMS = {"Mac OS X": "macOS"}

register = template.Library()


@register.simple_tag(takes_context=True)
def may_sign_up(context: Context) -> bool:
    """Say whether strangers may make themselves an account here."""
    return get_adapter().is_open_for_signup(context["request"])


@register.simple_tag
def single_sign_on() -> str:
    """Return what the provider of single sign-on is called; "" where there is none."""
    return settings.OIDC_NAME if settings.OIDC_ISSUER else ""


@register.filter
def browser_name(user_agent: str) -> str:
    """Return what people call a browser and its system; "" where that cannot be told."""
    # Its patterns take a second to read, and one page needs them.
    import ua_parser

    browser, system = ua_parser.parse_user_agent(user_agent), ua_parser.parse_os(user_agent)
    if browser is None:
        return ""
    if system is None:
        return browser.family
    name = _SYSTEMS.get(system.family, system.family)
    return _("%(browser)s on %(system)s") % {"browser": browser.family, "system": name}
