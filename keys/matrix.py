"""Who may do what in an organization: the policy's answers for every role, as one table.

No cell is written by hand: each is asked of the grant table (roles.py) and of where the policy
says that rows have owners. Tests ask the policy itself about each cell, and try it by each of
the doors that are named beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.apps import apps
from django.db.models import Model

from keys import policy
from keys.models import Organization, Role
from keys.roles import (
    MEMBER_PERMISSIONS,
    OWNER_PERMISSIONS,
    STAFF_PERMISSIONS,
    Permission,
    Reach,
    scopes_granting,
)

# Whom a column is about, beside the roles.
OWNER, STAFF, SUPERUSER = "(owner)", "(staff)", "(superuser)"


class Door(StrEnum):
    """Where people and programs come in."""

    PAGES = "pages"
    NATIVE = "native"
    I3D = "i3d"
    NETOGRAPHY = "netography"
    OPENROUTER = "openrouter"
    XYRA = "xyra"
    STAFF = "staff"
    COMMANDS = "commands"


_OWN_API = (Door.PAGES, Door.NATIVE)
_EVERY_DIALECT = (Door.NATIVE, Door.I3D, Door.NETOGRAPHY, Door.OPENROUTER, Door.XYRA)

# Where what a permission is about can be done; nothing else offers it.
DOORS: dict[Permission, tuple[Door, ...]] = {
    Permission.VIEW_ORGANIZATION: (*_OWN_API, Door.STAFF, Door.COMMANDS),
    Permission.CHANGE_ORGANIZATION: (*_OWN_API, Door.STAFF),
    Permission.OWN_ORGANIZATION: (Door.PAGES,),
    Permission.LEAVE_ORGANIZATION: (Door.PAGES,),
    Permission.REVEAL_SHAREDSECRET: (Door.PAGES,),
    Permission.ROTATE_SHAREDSECRET: (Door.PAGES,),
    Permission.VIEW_WORKSPACE: _OWN_API,
    Permission.ADD_WORKSPACE: _OWN_API,
    Permission.CHANGE_WORKSPACE: _OWN_API,
    Permission.DELETE_WORKSPACE: _OWN_API,
    Permission.VIEW_SCOPE: (*_OWN_API, Door.STAFF),
    Permission.ADD_SCOPE: (*_OWN_API, Door.STAFF),
    Permission.CHANGE_SCOPE: (*_OWN_API, Door.STAFF),
    Permission.DELETE_SCOPE: (*_OWN_API, Door.STAFF),
    Permission.VIEW_ROLE: (*_OWN_API, Door.STAFF),
    Permission.ADD_ROLE: (*_OWN_API, Door.STAFF),
    Permission.CHANGE_ROLE: (*_OWN_API, Door.STAFF),
    Permission.DELETE_ROLE: (*_OWN_API, Door.STAFF),
    Permission.VIEW_MEMBERSHIP: (*_OWN_API, Door.STAFF),
    Permission.ADD_MEMBERSHIP: (*_OWN_API, Door.STAFF),
    Permission.CHANGE_MEMBERSHIP: (*_OWN_API, Door.STAFF),
    Permission.DELETE_MEMBERSHIP: (*_OWN_API, Door.STAFF),
    Permission.VIEW_INVITATION: (*_OWN_API, Door.STAFF),
    Permission.DELETE_INVITATION: _OWN_API,
    Permission.VIEW_APIKEY: (Door.PAGES, *_EVERY_DIALECT, Door.STAFF, Door.COMMANDS),
    Permission.ADD_APIKEY: (Door.PAGES, *_EVERY_DIALECT, Door.COMMANDS),
    Permission.CHANGE_APIKEY: (
        *_OWN_API, Door.I3D, Door.NETOGRAPHY, Door.OPENROUTER,
    ),
    Permission.DELETE_APIKEY: (Door.PAGES, *_EVERY_DIALECT, Door.STAFF, Door.COMMANDS),
    Permission.ROTATE_APIKEY: (*_OWN_API, Door.NETOGRAPHY),
    Permission.ASSIGN_APIKEY: (*_OWN_API, Door.XYRA),
    Permission.VERIFY_APIKEY: (Door.NATIVE,),
    Permission.LOCK_APIKEY: (Door.PAGES, Door.STAFF),
    Permission.VIEW_APPROVALREQUEST: (*_OWN_API, Door.STAFF),
    Permission.CHANGE_APPROVALREQUEST: _OWN_API,
    Permission.APPROVE_APPROVALREQUEST: (*_OWN_API, Door.STAFF),
    Permission.VIEW_WEBHOOK: _OWN_API,
    Permission.CHANGE_WEBHOOK: _OWN_API,
    Permission.VIEW_AUDITEVENT: (*_OWN_API, Door.STAFF, Door.COMMANDS),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One permission: what it is asked of, and how far each of the columns has it."""

    permission: Permission
    model: type[Model]
    cells: tuple[Reach | None, ...]

    @property
    def action(self) -> str:
        """What is done: `change`."""
        return self.permission.codename.partition("_")[0]

    @property
    def doors(self) -> tuple[Door, ...]:
        """Where it can be done."""
        return DOORS[self.permission]


@dataclass(frozen=True)
class Matrix:
    """Permissions × who: the organization's roles, then owners (beside their role) and staff."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def of(organization: Organization) -> Matrix:
    """Return the matrix of an organization. Two queries."""
    roles = list(
        Role.objects.available_to(organization).prefetch_related("scopes").order_by("number")
    )
    codes = [frozenset(scope.code for scope in role.scopes.all()) for role in roles]
    return Matrix(
        (*(role.name for role in roles), OWNER, STAFF, SUPERUSER),
        tuple(_row(permission, codes) for permission in Permission),
    )


def model_of(permission: Permission) -> type[Model]:
    """Return what kind of row a permission is asked of: adding asks about the organization."""
    action, _sign, name = permission.codename.partition("_")
    try:
        model = apps.get_model("keys", name)
    except LookupError:
        return Organization
    return Organization if action in ("add", "assign", "verify") else model


def _row(permission: Permission, roles: Iterable[frozenset[str]]) -> Row:
    model = model_of(permission)
    everything = Reach.ORGANIZATION
    is_of_members = permission in MEMBER_PERMISSIONS
    return Row(
        permission,
        model,
        (
            *(everything if is_of_members else _reach(held, permission, model) for held in roles),
            everything if permission in OWNER_PERMISSIONS | MEMBER_PERMISSIONS else None,
            everything if permission in STAFF_PERMISSIONS and not is_of_members else None,
            None if is_of_members else everything,
        ),
    )


def _reach(held: frozenset[str], permission: Permission, model: type[Model]) -> Reach | None:
    if policy.holds(held, permission, model):
        return Reach.ORGANIZATION
    if not policy.has_owner(model):
        return None
    near = (Reach.SHARED, Reach.OWN)
    return next((each for each in near if held & scopes_granting(permission, each)), None)
