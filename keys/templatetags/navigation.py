"""The parts of the shell around every page that need a query."""

from django import template
from django.template import Context

from keys import policy
from keys.models import Organization

register = template.Library()


@register.inclusion_tag("components/organization_switcher.html", takes_context=True)
def organization_switcher(context: Context) -> dict:
    """Show the organizations that the person belongs to, and which one this page is about.

    Pages of an organization have loaded the list already; account pages have not.
    """
    organizations = context.get("organizations")
    if organizations is None:
        user = context["request"].user
        organizations = policy.visible(user, Organization.objects.filter(members=user))
    return {"organizations": organizations, "organization": context.get("organization")}
