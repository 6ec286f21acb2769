"""Which sessions came by which session at the provider, and end with that."""

import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from allauth.account import app_settings
from allauth.account.internal.flows.login import get_authentication_records
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import auth
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest

from keys import services
from keys.models import User
from portal.single_sign_on.tokens import SECONDS_OFF, known_as

# Where django-allauth leaves room beside a session.
_MARK = "single_sign_on"
# Under what the cache knows until when sign-ins came by what ended at the provider.
_ENDED = "single_sign_on_ended"


def note_session(request: HttpRequest, user: Any, uid: str) -> None:
    """Remember by which session at the provider somebody signed in, who is known by `uid`."""
    mark = {"uid": uid, "sid": _latest_answer(request, user).get("session", "")}
    _of(request).update(data={_MARK: mark})


def note_confirmation(request: HttpRequest, user: Any) -> None:
    """Remember the session at the provider by which somebody confirmed who they are.

    It may be another one by now. A session that came by a password is none of the provider's.
    """
    session = _of(request).filter(data__has_key=_MARK).first()
    if session is not None:
        note_session(request, user, session.data[_MARK]["uid"])


def end_if_over(request: HttpRequest, user: Any, uid: str) -> bool:
    """Say whether the provider ended its session while somebody signed in by it; end this then.

    Ask after note_session: what the provider ends from there on, end_sessions finds.
    """
    answer = _latest_answer(request, user)
    sid, answered_at = answer.get("session", ""), answer.get("answered_at", 0.0)
    ended = cache.get_many([_ended(uid), _ended("", sid), _ended(uid, sid or "none")])
    if all(answered_at > until for until in ended.values()):
        return False
    _of(request).delete()
    auth.logout(request)
    _note_ended(user, 1)
    return True


@transaction.atomic
def end_sessions(claims: dict[str, Any]) -> int:
    """End the sessions that a logout token of the provider is about; return how many.

    They are those that came by the session that it names, or without one all that came by this
    person there. Where the provider named none at the sign-in, they end with the person's. What
    was signed in after the token was made stays: to send it again does no harm. Who is not
    signed in yet, since their second factor is waited for, will not be: end_if_over sees to it.
    """
    uid, sid = known_as(claims.get("sub")), known_as(claims.get("sid"))
    until = claims["iat"] + SECONDS_OFF
    # Before sessions are looked for: a sign-in that is not among them yet finds this.
    _remember_ended(uid, sid, min(until, time.time()))
    made_at = datetime.fromtimestamp(until, UTC)
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
        _note_ended(person, count)
    return sum(ended.values())


def _latest_answer(request: HttpRequest, user: Any) -> dict[str, Any]:
    """Return what is remembered of the provider's latest answer about somebody; or nothing."""
    records = get_authentication_records(request, user)
    told = [each for each in records if each["method"] == "socialaccount"]
    return told[-1] if told else {}


def _remember_ended(uid: str, sid: str, until: float) -> None:
    """Keep for as long as a sign-in may take what ended, for what was answered `until` then."""
    # Where a sign-in named no session at the provider, it ends with any of the person's.
    for key in {_ended(uid, sid), _ended(uid, "none" if uid and sid else sid)}:
        cache.set(key, max(until, cache.get(key, 0.0)), app_settings.LOGIN_TIMEOUT)


def _ended(uid: str, sid: str = "") -> str:
    return f"{_ENDED}:{uid}:{sid}"


def _note_ended(person: Any, count: int) -> None:
    services.note_account_event(
        person=person, action="single_sign_on_ended", by=settings.OIDC_NAME, sessions=count
    )


def _of(request: HttpRequest) -> Any:
    return UserSession.objects.filter(session_key=request.session.session_key)
