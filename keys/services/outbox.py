"""What is to be said about a change, written down together with it: mails and webhooks.

`post` is called for each audited change and looks up here who is told of it. What is written
is sent later by `manage.py work`; nothing is lost while a mail server or a receiver is away.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, Q
from django.utils import timezone

from keys import policy
from keys.models import (
    APIKey,
    AuditEvent,
    LeakReport,
    Message,
    NotificationSettings,
    Organization,
    User,
    Webhook,
    WebhookDelivery,
)
from keys.models.messages import ALWAYS_SENT, Kind
from keys.roles import BuiltInScope
from keys.services import approval_terms
from keys.services.events import PUBLISHED

# A program may issue many keys in a moment; their owner reads of them together. How long that
# waits for more of its kind.
_GATHERED = {
    Kind.ISSUED: timedelta(minutes=1),
    # Notices come organization by organization.
    Kind.EXPIRING: timedelta(minutes=5),
    Kind.EXPIRED: timedelta(minutes=5),
}


def post(event: AuditEvent, obj: Model) -> None:
    """Write what is to be said of a change, in its transaction."""
    if event.organization is None:
        return
    if event.action in PUBLISHED:
        publish(
            organization=event.organization,
            event=event.action,
            at=event.at,
            data=_described(event, obj),
        )
    tell = _TOLD.get(event.action)
    if tell is not None:
        tell(event, event.organization, obj)


def publish(
    *, organization: Organization, event: str, at: datetime, data: dict[str, Any]
) -> list[WebhookDelivery]:
    """Write a message to each webhook of the organization that wants it."""
    webhooks = Webhook.objects.filter(organization=organization, enabled=True)
    return WebhookDelivery.objects.bulk_create(
        delivery_of(webhook, event=event, at=at, data=data)
        for webhook in webhooks
        if webhook.wants(event)
    )


def publish_of_key(key: APIKey, *, event: str, at: datetime, more: dict[str, Any]) -> None:
    """Write what happened to a key, without anybody's doing, to the webhooks that want it."""
    data = {"organization": named(key.organization), "key": _identified(key), **more}
    publish(organization=key.organization, event=event, at=at, data=data)


def named(organization: Organization) -> dict[str, Any]:
    """Return how receivers know an organization."""
    return {"id": organization.pk, "slug": organization.slug}


def delivery_of(
    webhook: Webhook, *, event: str, at: datetime, data: dict[str, Any]
) -> WebhookDelivery:
    """Return a message to a webhook, not written yet; `data` is thin and holds no secret."""
    body = {"type": event, "version": 1, "timestamp": at.isoformat(), "data": data}
    return WebhookDelivery(
        webhook=webhook,
        event=event,
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        created_at=timezone.now(),
        next_at=timezone.now(),
    )


def write(
    *,
    kind: Kind,
    people: Iterable[User],
    organization: Organization,
    data: dict[str, Any],
) -> list[Message]:
    """Write a message to each of these people who wants to hear of that kind."""
    to = {person.pk: person for person in people if person.is_active}
    if kind not in ALWAYS_SENT:
        of_them = NotificationSettings.objects.filter(person__in=to)
        unwanting = {each.person_id for each in of_them if kind in each.unwanted}
    else:
        unwanting = set()
    now = timezone.now()
    return Message.objects.bulk_create(
        Message(
            organization=organization,
            person=person,
            kind=kind,
            data=data,
            created_at=now,
            next_at=now + _GATHERED.get(kind, timedelta()),
        )
        for pk, person in to.items()
        if pk not in unwanting
    )


def responsible_for(key: APIKey) -> list[User]:
    """Return who is told of a key: its owner, or whoever manages the organization it is of.

    Whoever left, or may not sign in, is told of nothing.
    """
    if key.owner is not None:
        owner = _people(key.organization.memberships.filter(user=key.owner))
        if owner:
            return owner
    return managers_of(key.organization)


def managers_of(organization: Organization) -> list[User]:
    """Return the active people who own or manage an organization."""
    managing = Q(is_owner=True) | Q(role__scopes__code=BuiltInScope.MANAGE)
    return _people(organization.memberships.filter(managing))


def owners_of(organization: Organization) -> list[User]:
    """Return the active people who own an organization."""
    return _people(organization.memberships.filter(is_owner=True))


def facts_of(key: APIKey) -> dict[str, Any]:
    """Return what messages say of a key."""
    return {
        "name": key.name,
        "label": key.label,
        "identifier": key.identifier,
        "organization": key.organization.name,
        "slug": key.organization.slug,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }


def _people(memberships: Any) -> list[User]:
    people = User.objects.filter(is_active=True, pk__in=memberships.values("user"))
    return list(people.order_by("pk"))


def _described(event: AuditEvent, obj: Model) -> dict[str, Any]:
    """Return what receivers learn: which row it was, by whom, and which fields changed."""
    assert event.organization is not None  # noqa: S101 - see post
    data = {
        "organization": named(event.organization),
        "object": {"type": event.object_type, "id": event.object_id, "name": event.object_label},
        "actor": event.actor_label,
        "door": event.door,
        "changed": sorted(event.changes),
    }
    key = obj.key if isinstance(obj, LeakReport) else obj
    if isinstance(key, APIKey):
        data["key"] = _identified(key)
    return data


def _identified(key: APIKey) -> dict[str, Any]:
    return {
        "id": key.pk,
        "identifier": key.identifier,
        "hash": key.hash,
        "label": key.label,
        "name": key.name,
        "owner": key.owner_id,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }


# Who is told of what


def _tell_of_issue(event: AuditEvent, organization: Organization, key: Any) -> None:
    data = {**facts_of(key), "actor": _actor_of(event), "address": event.address}
    write(kind=Kind.ISSUED, people=responsible_for(key), organization=organization, data=data)


def _tell_of_idleness(event: AuditEvent, organization: Organization, key: Any) -> None:
    if "idle_days" not in event.changes:
        return  # somebody did it
    people = responsible_for(key)
    write(kind=Kind.IDLE, people=people, organization=organization, data=facts_of(key))


def _tell_of_leak(event: AuditEvent, organization: Organization, report: Any) -> None:
    people = [*responsible_for(report.key), *owners_of(organization)]
    data = {**facts_of(report.key), "outcome": report.action, "source": report.source_url}
    write(kind=Kind.LEAK, people=people, organization=organization, data=data)


def _tell_of_webhook(event: AuditEvent, organization: Organization, webhook: Any) -> None:
    data = {**_names_of(organization), "name": str(webhook), "webhook": webhook.pk}
    write(kind=Kind.WEBHOOK, people=managers_of(organization), organization=organization, data=data)


def _tell_of_membership(event: AuditEvent, organization: Organization, membership: Any) -> None:
    # Who joined by themselves, by an invitation, knows.
    if event.actor_user_id == membership.user_id:
        return
    data = {
        **_names_of(organization),
        "name": organization.name,
        "role": membership.role.name,
        "actor": _actor_of(event),
    }
    write(kind=Kind.MEMBER, people=[membership.user], organization=organization, data=data)


def _tell_of_removal(event: AuditEvent, organization: Organization, membership: Any) -> None:
    # Who left by themselves knows.
    if event.actor_user_id == membership.user_id:
        return
    data = {
        **_names_of(organization),
        "name": organization.name,
        "had_keys": organization.api_keys.live().filter(owner=membership.user).exists(),
    }
    write(kind=Kind.REMOVED, people=[membership.user], organization=organization, data=data)


def _tell_of_policy(event: AuditEvent, organization: Organization, obj: Model) -> None:
    # Whose keys it may stop, and who answers for the organization's own.
    owning = organization.memberships.filter(
        user__in=organization.api_keys.live().filter(owner__isnull=False).values("owner")
    )
    people = [*managers_of(organization), *_people(owning)]
    data = {**_names_of(organization), "name": organization.name, "actor": _actor_of(event)}
    write(kind=Kind.POLICY, people=people, organization=organization, data=data)


def _tell_of_question(event: AuditEvent, organization: Organization, request: Any) -> None:
    deciding = [
        person
        for person in managers_of(organization)
        if person != request.requester
        and policy.allows(person, "keys.approve_approvalrequest", request)
    ]
    _write_of_approval(event, organization, request, deciding)


def _tell_of_decision(event: AuditEvent, organization: Organization, request: Any) -> None:
    _write_of_approval(event, organization, request, [request.requester])


def _write_of_approval(
    event: AuditEvent, organization: Organization, request: Any, people: Iterable[User]
) -> None:
    data = {
        **_names_of(organization),
        "name": str(request),
        "actor": _actor_of(event),
        "step": event.action.partition(".")[2],
        "text": request.note if request.decided_by else request.reason,
        "request": request.pk,
        "kind": request.kind,
        "ends_at": request.ends_at.isoformat(),
    }
    narrowed = approval_terms.narrowings(request)
    if narrowed:
        data["narrowed"] = narrowed
    write(kind=Kind.APPROVAL, people=people, organization=organization, data=data)


def _actor_of(event: AuditEvent) -> str:
    """Return how mails call who did it; "": the operator, in the reader's words."""
    if event.actor_user:
        return event.actor_user.name_and_address
    return event.actor_label if event.actor_key_id else ""


def _names_of(organization: Organization) -> dict[str, Any]:
    return {"organization": organization.name, "slug": organization.slug}


_TOLD: dict[str, Callable[[AuditEvent, Organization, Any], None]] = {
    "apikey.issued": _tell_of_issue,
    "apikey.disabled": _tell_of_idleness,
    "approval.requested": _tell_of_question,
    "approval.approved": _tell_of_decision,
    "approval.denied": _tell_of_decision,
    "leak.reported": _tell_of_leak,
    "membership.created": _tell_of_membership,
    "membership.deleted": _tell_of_removal,
    "policy.updated": _tell_of_policy,
    "webhook.stopped": _tell_of_webhook,
}
