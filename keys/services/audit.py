"""Every change is remembered: who, what, from where."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Model
from django.utils import timezone

from keys import audit_chain
from keys.models import APIKey, AuditEvent, Organization, User
from keys.policy import Actor
from keys.services import outbox


@dataclass(frozen=True)
class Origin:
    """Where a change comes from: the door, and for a request its address and id.

    For a call to the API its method and path (without a query) too.
    """

    door: AuditEvent.Door
    address: str | None = None
    request_id: str = ""
    method: str = ""
    path: str = ""


class Subject(NamedTuple):
    """What an event is of: its kind, its number and what people call it."""

    kind: str
    number: str
    label: str

    @classmethod
    def of(cls, obj: Model) -> "Subject":
        """Return what an event of this object says of it."""
        return cls(obj._meta.model_name or "", str(obj.pk), str(obj))


# Outside of any request it is the operator's command line.
_COMMAND_LINE = Origin(AuditEvent.Door.COMMAND)
_current: ContextVar[Origin] = ContextVar("origin", default=_COMMAND_LINE)


@contextmanager
def acting_from(origin: Origin) -> Iterator[None]:
    """Record changes made inside as coming from `origin`."""
    token = _current.set(origin)
    try:
        yield
    finally:
        _current.reset(token)


def current_origin() -> Origin:
    """Return where changes made now are recorded to come from."""
    return _current.get()


def record(
    *,
    actor: Actor,
    action: str,
    obj: Model,
    organization: Organization | None,
    changes: Mapping[str, Any] | None = None,
    known_as: str = "",
) -> AuditEvent:
    """Append one event. `changes` maps a field to its value, or to [old, new]; never a secret.

    `known_as` is what the organization calls an actor of whom it is told nothing else: neither
    whose account that is nor from where.
    It holds the chain of the organization until the transaction ends: record what happened
    after everything else that the transaction locks.
    """
    event = _event(actor, action, Subject.of(obj), organization, changes or {})
    if known_as:
        event.actor_user, event.actor_label, event.address = None, known_as[:300], None
    audit_chain.append(event)
    outbox.post(event, obj)
    return event


def record_many(
    *,
    actor: Actor,
    action: str,
    organization: Organization,
    rows: Iterable[tuple[Subject, Mapping[str, Any]]],
) -> None:
    """Append an event for each of these objects with its changes; nobody is told of them."""
    events = [_event(actor, action, subject, organization, changes) for subject, changes in rows]
    if events:
        audit_chain.append_all(events)


def plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes as the trail keeps them, of what JSON knows."""
    return {name: _plain(value) for name, value in changes.items()}


def _event(
    actor: Actor,
    action: str,
    subject: Subject,
    organization: Organization | None,
    changes: Mapping[str, Any],
) -> AuditEvent:
    origin = current_origin()
    return AuditEvent(
        organization=organization,
        action=action,
        actor_user=actor if isinstance(actor, User) else None,
        actor_key=actor if isinstance(actor, APIKey) else None,
        actor_label=str(actor)[:300],
        object_type=subject.kind,
        object_id=subject.number,
        object_label=subject.label[:300],
        changes=plain(changes),
        door=origin.door,
        address=origin.address,
        request_id=origin.request_id,
        at=timezone.now(),
    )


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.isoformat()
        case list() | tuple():
            return [_plain(each) for each in value]
    return str(value)
