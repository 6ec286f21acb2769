"""Who is in the demo, and how they act at moments of the past."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.utils import timezone

from keys.models import APIKey, AuditEvent, User
from keys.services import audit

# Email address -> first and last name.
PEOPLE = {
    "owner@acme.example": ("Olivia", "Hart"),
    "admin@acme.example": ("Adrian", "Reyes"),
    "developer@acme.example": ("Dana", "Okafor"),
    "viewer@acme.example": ("Vera", "Lindqvist"),
    "stranger@other.example": ("Silas", "Novak"),
}
STAFF = "staff@keyhaven.example"
OWNER = "owner@acme.example"
ADMIN = "admin@acme.example"
DEVELOPER = "developer@acme.example"
VIEWER = "viewer@acme.example"
STRANGER = "stranger@other.example"
# Belonged to the first organization, until she left.
FORMER = "former@acme.example"

_ADDRESSES = {
    OWNER: "198.51.100.23",
    ADMIN: "198.51.100.40",
    DEVELOPER: "2001:db8:9::51",
    VIEWER: "198.51.100.77",
    STRANGER: "192.0.2.77",
    FORMER: "198.51.100.61",
    STAFF: "192.0.2.10",
}


@contextmanager
def clock_at(moment: datetime) -> Iterator[None]:
    """Let everything inside happen at that moment.

    The demo's past is made by the real services, which ask Django for the time; rows
    whose dates were altered afterwards would contradict each other and the audit trail.
    """
    real = timezone.now
    timezone.now = lambda: moment
    try:
        yield
    finally:
        timezone.now = real


@contextmanager
def acting_as(email: str) -> Iterator[User]:
    door = AuditEvent.Door.ADMIN if email == STAFF else AuditEvent.Door.PAGE
    with audit.acting_from(audit.Origin(door, _ADDRESSES[email])):
        yield User.objects.get(email=email)


def by(email: str, service: Callable[..., Any], **values: Any) -> Callable[[APIKey], Any]:
    """Return what lets a person of the demo call a service on a key."""

    def act(key: APIKey) -> Any:
        with acting_as(email) as person:
            return service(actor=person, key=key, **values)

    return act
