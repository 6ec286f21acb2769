"""Which sessions came by which session at the provider, and end with that."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from keys import services
from keys.models import User
from portal.single_sign_on.tokens import SECONDS_OFF, known_as

# Where django-allauth leaves room beside a session.
_MARK = "single_sign_on"


def note_session(request: HttpRequest, user: Any, uid: str) -> None:
    """Remember by which session at the provider somebody signed in, who is known by `uid`."""
    mark = {"uid": uid, "sid": _session_at_provider(request, user)}
    _of(request).update(data={_MARK: mark})


def note_confirmation(request: HttpRequest, user: Any) -> None:
    """Remember the session at the provider by which somebody confirmed who they are.

    It may be another one by now. A session that came by a password is none of the provider's.
    """
    session = _of(request).filter(data__has_key=_MARK).first()
    if session is not None:
        note_session(request, user, session.data[_MARK]["uid"])


@transaction.atomic
def end_sessions(claims: dict[str, Any]) -> int:
    """End the sessions that a logout token of the provider is about; return how many.

    They are those that came by the session that it names, or without one all that came by this
    person there. Where the provider named none at the sign-in, they end with the person's. What
    was signed in after the token was made stays: to send it again does no harm.
    """
    uid, sid = known_as(claims.get("sub")), known_as(claims.get("sid"))
    made_at = datetime.fromtimestamp(claims["iat"], UTC) + timedelta(seconds=SECONDS_OFF)
    found = UserSession.objects.filter(created_at__lte=made_at).select_related("user")
    if uid:
        found = found.filter(**{f"data__{_MARK}__uid": uid})
    if sid:
        found = found.filter(**{f"data__{_MARK}__sid__in": [sid, ""] if uid else [sid]})
    ended: dict[User, int] = defaultdict(int)
    for session in found:
        session.end()
        ended[session.user] += 1
    for person, count in ended.items():
        services.note_account_event(
            person=person, action="single_sign_on_ended", by=settings.OIDC_NAME, sessions=count
        )
    return sum(ended.values())


def _of(request: HttpRequest) -> Any:
    return UserSession.objects.filter(session_key=request.session.session_key)


def _session_at_provider(request: HttpRequest, user: Any) -> str:
    """Return the session that the latest answer of the provider named, where it did."""
    told = [
        each.get("session", "")
        for each in get_authentication_records(request, user)
        if each["method"] == "socialaccount"
    ]
    return told[-1] if told else ""
