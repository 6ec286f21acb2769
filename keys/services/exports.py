"""Remember that somebody took data out of the portal."""

from collections.abc import Mapping

from keys import policy
from keys.models import AuditEvent, Organization
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit


def note_export(
    *, actor: Actor, organization: Organization, count: int, filters: Mapping[str, str]
) -> AuditEvent:
    """Record that so many keys were exported, and by which filter. Raises PermissionDenied."""
    policy.require(actor, Permission.VIEW_ORGANIZATION, organization)
    return audit.record(
        actor=actor,
        action="apikey.exported",
        obj=organization,
        organization=organization,
        changes={"keys": count, **filters},
    )
