"""Server addresses: the pool from which keys that follow it may be used."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from keys import networks, policy
from keys.models import Organization, ServerAddress
from keys.policy import Actor
from keys.roles import Permission
from keys.services import rows

# Every use of a key that follows the pool looks at all of them.
MAX_SERVER_ADDRESSES = 1000


def add_server_address(
    *, actor: Actor, organization: Organization, network: str, comment: str = ""
) -> ServerAddress:
    """Add an address to the pool of keys that follow the organization's servers.

    Raises PermissionDenied, ValidationError by field.
    """
    policy.require(actor, Permission.CHANGE_ORGANIZATION, organization)
    try:
        canonical = networks.canonical_network(network)
    except ValueError as error:
        raise ValidationError({"network": str(error)}) from None
    row = ServerAddress(organization=organization, network=canonical, comment=comment)
    with transaction.atomic():
        _refuse_too_many(organization, 1, "network")
        return rows.create(actor, organization, Permission.CHANGE_ORGANIZATION, row)


def add_server_addresses(
    *, actor: Actor, organization: Organization, addresses: Iterable[Mapping[str, str]]
) -> list[ServerAddress]:
    """Add several addresses, each a mapping of `network` and `comment`, or none of them.

    Raises PermissionDenied; ValidationError for `addresses`, which names each that is wrong.
    """
    policy.require(actor, Permission.CHANGE_ORGANIZATION, organization)
    addresses = list(addresses)
    added, problems = [], []
    with transaction.atomic():
        _refuse_too_many(organization, len(addresses), "addresses")
        for each in addresses:
            try:
                added.append(add_server_address(actor=actor, organization=organization, **each))
            except ValidationError as error:
                problem = " ".join(error.messages)
                problems.append(
                    _("%(network)s: %(problem)s") % {"network": each["network"], "problem": problem}
                )
        if problems:
            raise ValidationError({"addresses": problems})
    return added


def update_server_address(
    *, actor: Actor, server_address: ServerAddress, **changes: Any
) -> ServerAddress:
    """Change the `comment` of an address. Raises PermissionDenied, ValidationError by field."""
    return rows.update(
        actor,
        server_address,
        server_address.organization,
        Permission.CHANGE_ORGANIZATION,
        changes,
        {"comment"},
    )


def remove_server_address(*, actor: Actor, server_address: ServerAddress) -> None:
    """Take an address off the organization's pool. Raises PermissionDenied."""
    rows.delete(actor, server_address, Permission.CHANGE_ORGANIZATION)


def _refuse_too_many(organization: Organization, count: int, field: str) -> None:
    rows.lock(organization)  # two who add at this moment count one after the other
    if organization.server_addresses.count() + count > MAX_SERVER_ADDRESSES:
        raise ValidationError(
            {
                field: _("An organization has at most %(max)d server addresses.")
                % {"max": MAX_SERVER_ADDRESSES}
            }
        )
