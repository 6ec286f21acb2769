"""Where a person can go from a page: the switcher, the tabs, the settings' own menu."""

from dataclasses import dataclass

from django import template
from django.template import Context
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys import policy
from keys.models import Organization
from keys.roles import Permission
from keys.templatetags.policy import may

register = template.Library()


@dataclass(frozen=True)
class Place:
    """A page of an organization that menus lead to."""

    url_name: str
    label: str | Promise
    icon: str
    # Pages below it, by URL name: on these it is the current place, but not the current page.
    holds: frozenset[str] = frozenset()
    # Offered to those who have this on the organization; without it, to all who see that.
    permission: Permission | None = None


_OF_ONE_KEY = {
    *("bulk", "create", "detail", "edit", "rotate", "retire", "first-use", "quiet"),
    *("limits", "access", "rotation", "activity", "key-audit", "danger", "print"),
    *("allowed-ip-remove", "allowed-ip-switch"),
    *("disable", "enable", "revoke", "lock", "unlock"),
}

SETTINGS = (
    Place("settings", _("Organization"), "building-office-2"),
    Place("policy", _("Policies"), "scale"),
    Place(
        "members",
        _("Members"),
        "users",
        frozenset({"leave", "member-edit", "member-keys", "member-remove", "member-transfer"}),
    ),
    Place(
        "roles",
        _("Roles and scopes"),
        "identification",
        frozenset(
            {
                *("role-create", "role-edit", "role-delete"),
                *("scope-create", "scope-edit", "scope-delete"),
            }
        ),
    ),
    Place("permissions", _("Who may do what"), "table-cells"),
    Place(
        "workspaces",
        _("Workspaces"),
        "rectangle-stack",
        frozenset({"workspace-edit", "workspace-delete"}),
    ),
    Place(
        "server-addresses",
        _("Server addresses"),
        "server",
        frozenset({"server-address-edit", "server-address-remove"}),
    ),
    Place(
        "import",
        _("Import keys"),
        "arrow-up-tray",
        permission=Permission.ADD_APIKEY,
    ),
    Place(
        "shared-secret",
        _("Shared secret"),
        "lock-closed",
        permission=Permission.REVEAL_SHAREDSECRET,
    ),
    Place(
        "webhooks",
        _("Webhooks"),
        "bolt",
        frozenset({"webhook", "webhook-edit", "webhook-delete", "webhook-delivery"}),
        permission=Permission.VIEW_WEBHOOK,
    ),
    Place("leaks", _("Leak reports"), "flag"),
)

TABS = (
    Place("overview", _("Overview"), "squares-2x2"),
    Place("list", _("API keys"), "key", frozenset(_OF_ONE_KEY)),
    Place("hygiene", _("Hygiene"), "sparkles", frozenset({"hygiene-check"})),
    Place(
        "approvals",
        _("Approvals"),
        "hand-raised",
        frozenset({"approval", "approval-issue", "role-ask"}),
    ),
    Place("explain", _("Explain"), "question-mark-circle"),
    Place(
        "audit",
        _("Audit trail"),
        "clipboard-document-list",
        permission=Permission.VIEW_AUDITEVENT,
    ),
    Place(
        SETTINGS[0].url_name,
        _("Settings"),
        "cog-6-tooth",
        frozenset(name for place in SETTINGS for name in (place.url_name, *place.holds)),
    ),
)


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


@register.inclusion_tag("components/organization_tabs.html", takes_context=True)
def organization_tabs(context: Context) -> dict:
    """Show the main pages of the organization that this page is about."""
    return {"organization": context["organization"], "places": _offered(context, TABS)}


@register.inclusion_tag("components/settings_menu.html", takes_context=True)
def settings_menu(context: Context) -> dict:
    """Show the pages of the organization's settings."""
    return {"organization": context["organization"], "places": _offered(context, SETTINGS)}


def _offered(context: Context, places: tuple[Place, ...]) -> list[dict]:
    """Return the places that this person may go to, and how each stands to this page."""
    request, organization = context["request"], context["organization"]
    here = request.resolver_match.url_name
    return [
        {"place": place, "current": _currency(place, here)}
        for place in places
        if place.permission is None or may(context, place.permission, organization)
    ]


def _currency(place: Place, here: str) -> str:
    """Return what `aria-current` says of a place; empty when this page is elsewhere."""
    if place.holds:
        # A part of the site: its own first page is one page among others.
        is_page = place.url_name == here and place.url_name not in place.holds
        return "page" if is_page else "true" if here in place.holds else ""
    return "page" if place.url_name == here else ""
