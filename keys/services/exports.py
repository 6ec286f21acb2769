"""Remember that somebody took data out of the portal, or looked at what is nobody's business."""

from collections.abc import Mapping
from datetime import timedelta

from django.db.models import Model
from django.utils import timezone

from keys import policy
from keys.models import APIKey, AuditEvent, Organization, User
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit

# Whoever looks again and again within that time has looked once.
LOOKING = timedelta(hours=1)
# So many of an object's latest events are searched for an earlier look.
_LATEST = 100


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


def note_audit_export(
    *, actor: Actor, organization: Organization, file_format: str, filters: Mapping[str, str]
) -> AuditEvent:
    """Record that the audit trail was downloaded, and by which filter. Raises PermissionDenied."""
    policy.require(actor, Permission.VIEW_AUDITEVENT, organization)
    return audit.record(
        actor=actor,
        action="audit.exported",
        obj=organization,
        organization=organization,
        changes={"file_format": file_format, **filters},
    )


def note_report_export(*, actor: User, report: str) -> AuditEvent:
    """Record that somebody downloaded a report on all organizations, by its name."""
    return audit.record(
        actor=actor,
        action="installation.exported",
        obj=actor,
        organization=None,
        changes={"report": report},
    )


def note_read(
    *,
    actor: Actor,
    obj: Model,
    organization: Organization | None,
    action: str,
    at: Mapping[str, str] | None = None,
) -> AuditEvent | None:
    """Record that somebody looked, unless they did within the last hour: None then.

    `obj` is what they looked at, `action` the kind of look, such as `audit.read`; `at` says
    which list or page it was, where `obj` does not.
    """
    page = dict(at or {})
    latest = AuditEvent.objects.filter(
        object_type=obj._meta.model_name, object_id=str(obj.pk)
    ).order_by("-pk")
    seen = latest.values_list("action", "actor_user_id", "actor_key_id", "changes", "at")[:_LATEST]
    look = (
        action,
        actor.pk if isinstance(actor, User) else None,
        actor.pk if isinstance(actor, APIKey) else None,
        page,
    )
    since = timezone.now() - LOOKING
    if any(tuple(earlier) == look and moment > since for *earlier, moment in seen):
        return None
    return audit.record(
        actor=actor, action=action, obj=obj, organization=organization, changes=page
    )
