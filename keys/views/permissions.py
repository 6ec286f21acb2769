"""Who may do what in an organization, for its members and whoever audits it."""

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from keys import matrix, policy
from keys.matrix import Door, Row
from keys.models.keys import Dialect
from keys.roles import Permission, Reach
from keys.views.base import OrganizationRequest, in_organization, render_page

_COLUMNS: dict[str, str | Promise] = {
    matrix.OWNER: _("Owners, beside their role"),
    matrix.STAFF: _("Staff"),
    matrix.SUPERUSER: _("Superusers"),
}
_REACHES: dict[Reach, str | Promise] = {
    Reach.OWN: _("own"),
    Reach.SHARED: _("own and shared"),
    Reach.ORGANIZATION: _("yes"),
}
_DOORS: dict[Door, str | Promise] = {
    Door.PAGES: _("pages"),
    Door.STAFF: _("staff admin"),
    Door.COMMANDS: _("commands"),
    # By the names that are on other pages.
    **{Door(dialect.value): dialect.label for dialect in Dialect},
}


@require_safe
@in_organization
def permissions(request: OrganizationRequest) -> HttpResponse:
    """The permission matrix: each permission, how far each role has it, and by which doors."""
    policy.require(request.user, Permission.VIEW_ORGANIZATION, request.organization)
    table = matrix.of(request.organization)
    context = {
        "columns": [_COLUMNS.get(name, name) for name in table.columns],
        "rows": [
            (_label(row), row.permission.codename, _words(row), _places(row)) for row in table.rows
        ],
    }
    return render_page(request, "keys/permissions.html", context)


def _label(row: Row) -> str:
    return capfirst(str(row.model._meta.verbose_name))


def _words(row: Row) -> list[str]:
    return [str(_REACHES[cell]) if cell else "" for cell in row.cells]


def _places(row: Row) -> str:
    return ", ".join(str(_DOORS[door]) for door in row.doors)
