"""What the built-in scopes allow, read from the grant table."""

from collections.abc import Iterator
from dataclasses import dataclass

from django import template
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.models.counting import MOST_COUNTED
from keys.roles import GRANTS, BuiltInScope, Permission, Reach

register = template.Library()

# Resource -> what may be done with it, in the order of the page. Permissions that stand
# together are granted alike.
_WORDS: dict[str | Promise, dict[tuple[Permission, ...], str | Promise]] = {
    _("API keys"): {
        (Permission.VIEW_APIKEY,): _("See them and their use"),
        (Permission.VERIFY_APIKEY,): _("Ask whether one is good"),
        (Permission.ADD_APIKEY,): _("Issue them"),
        (Permission.ASSIGN_APIKEY,): _("Issue keys that belong to no person"),
        (Permission.CHANGE_APIKEY,): _("Change, disable and enable them"),
        (Permission.ROTATE_APIKEY,): _("Rotate them, and see the new secret"),
        (Permission.DELETE_APIKEY,): _("Revoke them"),
    },
    _("Shared secret"): {
        (Permission.REVEAL_SHAREDSECRET,): _("See it"),
        (Permission.ROTATE_SHAREDSECRET,): _("Replace it"),
    },
    _("Members"): {
        (Permission.VIEW_MEMBERSHIP,): _("See them"),
        (
            Permission.ADD_MEMBERSHIP,
            Permission.CHANGE_MEMBERSHIP,
            Permission.DELETE_MEMBERSHIP,
            Permission.VIEW_INVITATION,
            Permission.DELETE_INVITATION,
        ): _("Invite and remove them, change their roles"),
    },
    _("Roles and scopes"): {
        (Permission.VIEW_ROLE, Permission.VIEW_SCOPE): _("See them"),
        (
            Permission.ADD_ROLE,
            Permission.CHANGE_ROLE,
            Permission.DELETE_ROLE,
            Permission.ADD_SCOPE,
            Permission.CHANGE_SCOPE,
            Permission.DELETE_SCOPE,
        ): _("Define, change and delete them"),
    },
    _("Workspaces"): {
        (Permission.VIEW_WORKSPACE,): _("See them"),
        (
            Permission.ADD_WORKSPACE,
            Permission.CHANGE_WORKSPACE,
            Permission.DELETE_WORKSPACE,
        ): _("Add, rename and delete them"),
    },
    _("Approvals"): {
        (Permission.VIEW_APPROVALREQUEST,): _("See what was asked for"),
        (Permission.CHANGE_APPROVALREQUEST,): _("Ask, withdraw and use what was approved"),
        (Permission.APPROVE_APPROVALREQUEST,): _("Decide on what others ask for"),
    },
    _("Webhooks"): {
        (Permission.VIEW_WEBHOOK, Permission.CHANGE_WEBHOOK): _("See, add and change them"),
    },
    _("Organization"): {
        (Permission.VIEW_ORGANIZATION,): _("See it and its server addresses"),
        (Permission.CHANGE_ORGANIZATION,): _("Change its settings and server addresses"),
        (Permission.VIEW_AUDITEVENT,): _("Read the audit trail"),
    },
}

_REACHES = {
    Reach.OWN: _("own"),
    Reach.SHARED: _("own and the organization's"),
    Reach.ORGANIZATION: _("all"),
}
_YES = _("yes")


@dataclass(frozen=True)
class Row:
    """Something that may be done, and for each built-in scope how far it allows that, or ""."""

    label: str | Promise
    cells: list[tuple[BuiltInScope, str | Promise]]


@register.inclusion_tag("components/grants.html")
def grants(heading_id: str) -> dict:
    """Show what each built-in scope allows, and how far."""
    resources = [(label, list(_rows(words))) for label, words in _WORDS.items()]
    return {"scopes": list(GRANTS), "resources": resources, "heading_id": heading_id}


@register.filter
def counted(number: int) -> str:
    """Return a count that stops at MOST_COUNTED in digits: `7`, `1,000+`."""
    shown = number_format(min(number, MOST_COUNTED), force_grouping=True)
    return f"{shown}+" if number > MOST_COUNTED else shown


def _rows(words: dict[tuple[Permission, ...], str | Promise]) -> Iterator[Row]:
    for (permission, *_alike), label in words.items():
        reaches = {scope: granted.get(permission) for scope, granted in GRANTS.items()}
        differ = len(set(reaches.values()) - {None}) > 1
        cells = [(scope, _word(reach, differ)) for scope, reach in reaches.items()]
        yield Row(label, cells)


def _word(reach: Reach | None, differ: bool) -> str | Promise:
    if reach is None:
        return ""
    # "All" means something only beside "own".
    return _REACHES[reach] if differ else _YES
