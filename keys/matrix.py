"""Who may do what in an organization: the policy's answers for every role, as one table.

Nothing in it is written by hand: it is asked of the grant table (roles.py) and of where the
policy says that rows have owners. A test asks the policy itself about each cell.
"""

from collections.abc import Iterable
from dataclasses import dataclass

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
