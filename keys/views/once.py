"""One secret, once: a form that was carried out is not carried out again."""

from functools import partial
from typing import Any, cast

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import transaction
from django.http import HttpRequest

from keys.forms.fields import OnceForm
from keys.views.base import OrganizationRequest

# A session remembers so many forms that it must not carry out twice.
USED_FORMS_KEPT = 50


def was_claimed(request: HttpRequest, form: OnceForm) -> bool:
    """Say whether this form was sent before, also where its choices are no longer there."""
    # As it is stored by now: the session may have been read before the first sending was.
    used = SessionStore(request.session.session_key).get("used_forms", {})
    return form.data.get("token") in used


def claim(request: OrganizationRequest, form: OnceForm) -> bool:
    """Say whether this form is sent for the first time, and remember that it was.

    That is committed with what the view does then: where it fails, the form may be sent
    again. The row of the session is locked until then: of two sendings at the same moment,
    one comes first. Only the form's token is kept, never a secret. Raises SessionInterrupted
    when the person signed out meanwhile.
    """
    token = form.cleaned_data["token"]
    session = cast(SessionStore, request.session)
    request.until_answered.enter_context(transaction.atomic())
    session.model.objects.select_for_update().filter(pk=session.session_key).first()
    used = SessionStore(session.session_key).get("used_forms", {})
    if token in used:
        return False
    used[token] = ""
    # The middleware stores the session also of a view that was refused, after the rollback.
    request.until_answered.push(partial(_forget_where_it_failed, session, token))
    session["used_forms"] = dict(list(used.items())[-USED_FORMS_KEPT:])
    try:
        session.save()
    except UpdateError:
        raise SessionInterrupted("The session ended before the form was carried out.") from None
    return True


def _forget_where_it_failed(session: SessionStore, token: str, kind: Any, *problem: Any) -> None:
    if kind is not None:
        session["used_forms"].pop(token, None)
