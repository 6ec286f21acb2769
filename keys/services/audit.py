"""Every change is remembered: who, what, from where."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Model

from keys.models import APIKey, AuditEvent, Organization, User
from keys.policy import Actor


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
) -> AuditEvent:
    """Append one event. `changes` maps a field to its value, or to [old, new]; never a secret."""
    origin = current_origin()
    return AuditEvent.objects.create(
        organization=organization,
        action=action,
        actor_user=actor if isinstance(actor, User) else None,
        actor_key=actor if isinstance(actor, APIKey) else None,
        actor_label=str(actor)[:300],
        object_type=obj._meta.model_name or "",
        object_id=str(obj.pk),
        object_label=str(obj)[:300],
        changes={name: _plain(value) for name, value in (changes or {}).items()},
        door=origin.door,
        address=origin.address,
        request_id=origin.request_id,
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
