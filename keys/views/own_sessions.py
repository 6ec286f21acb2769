"""Where somebody is signed in."""

from allauth.usersessions.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from keys.views.base import PersonRequest


@require_POST
def session_end(request: PersonRequest, session_id: int) -> HttpResponse:
    """End one of the person's other sessions; of their own they sign out."""
    others = UserSession.objects.filter(user=request.user).exclude(
        session_key=request.session.session_key
    )
    session = others.filter(pk=session_id).first()
    if session is None:
        messages.info(request, _("You have no such session elsewhere; it may have ended already."))
    else:
        get_adapter().end_sessions([session])
        messages.success(request, _("That session is ended."))
    return redirect("usersessions_list")
