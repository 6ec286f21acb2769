"""Asking who it is once more before what does most harm in a session that somebody else took.

Whoever signed in or confirmed who they are within REAUTHENTICATION_SECONDS is not asked. Others
confirm it on the account pages and come back; a form that they had sent is then carried out,
unless it is too large to wait in a session or of the staff admin, which asks whoever sends one.
"""

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import suspend_request
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, reverse
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect

from keys.views.summary import is_preview

# Routes by name: their form is shown to who was asked only, so that nothing is typed in vain.
BEFORE_SHOWN = frozenset(
    {
        "create",
        "edit",
        "enable",
        "hand-over",
        "import",
        "member-edit",
        "member-keys",
        "member-transfer",
        "role-ask",
        "role-create",
        "role-edit",
        "rotate",
        "shared-secret",
        "unlock",
    }
)
# Routes whose page is for looking too: asked is whoever sends their form.
WHEN_SENT = frozenset(
    {
        "access",
        "allowed-ip-remove",
        "allowed-ip-switch",
        "approval",
        "approval-issue",
        "bulk",
        "invitation-resend",
        "members",
        "policy",
        "server-address-edit",
        "server-addresses",
        "settings",
        "webhook-edit",
        "webhook-rotate",
        "webhooks",
    }
)

# Routes that carry a form sent for its summary nowhere; elsewhere that mark of it means nothing.
PREVIEWED = frozenset({"create", "edit", "policy"})

# Routes whose form holds a whole file: no session keeps that meanwhile.
SENT_AGAIN = frozenset({"import"})

# Pages of accounts by which a session that somebody took would become theirs for good; of the
# latter, those whose page is for looking too. What is typed there waits in no session.
OF_ACCOUNTS = frozenset(
    {
        "account_set_password",
        "mfa_activate_totp",
        "mfa_add_webauthn",
        "mfa_deactivate_totp",
        "mfa_download_recovery_codes",
        "mfa_generate_recovery_codes",
        "mfa_remove_webauthn",
        "mfa_view_recovery_codes",
    }
)
OF_ACCOUNTS_WHEN_SENT = frozenset({"account_email", "socialaccount_connections"})

_COMING_AND_GOING = frozenset({"login", "logout"})

# What a form that waits need not keep of its request.
_PRIVATE = {"HTTP_COOKIE", "HTTP_AUTHORIZATION"}


def guard(patterns: Sequence[URLPattern | URLResolver]) -> None:
    """Let the routes of these patterns ask again where the tables above say so."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            guard(pattern.url_patterns)
        elif pattern.name in BEFORE_SHOWN | WHEN_SENT:
            pattern.callback = requires_recent_sign_in(
                pattern.callback,
                when_sent=pattern.name in WHEN_SENT,
                has_preview=pattern.name in PREVIEWED,
                waits=pattern.name not in SENT_AGAIN,
            )


def guard_accounts(patterns: Sequence[URLPattern | URLResolver]) -> None:
    """Let the account pages of these patterns ask again where the tables above say so.

    django-allauth asks by itself only who has a password or a second factor of their own.
    """
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            guard_accounts(pattern.url_patterns)
        elif pattern.name in OF_ACCOUNTS | OF_ACCOUNTS_WHEN_SENT:
            pattern.callback = requires_recent_sign_in(
                pattern.callback, when_sent=pattern.name in OF_ACCOUNTS_WHEN_SENT, waits=False
            )


def guard_changes(patterns: Sequence[URLPattern | URLResolver]) -> None:
    """Let each of these routes ask again before it takes a form, but for coming and going.

    For the staff admin: its forms do not wait, as they may hold passwords of others.
    """
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            guard_changes(pattern.url_patterns)
        elif pattern.name not in _COMING_AND_GOING:
            pattern.callback = requires_recent_sign_in(
                pattern.callback, when_sent=True, waits=False
            )


def requires_recent_sign_in(
    view: Callable[..., HttpResponse],
    *,
    when_sent: bool = False,
    has_preview: bool = False,
    waits: bool = True,
) -> Callable[..., HttpResponse]:
    """Ask who it is before the view, unless they told lately.

    `when_sent`: only before a POST; `has_preview`: not before one for the form's summary;
    `waits`: a form is carried out after it, otherwise they are to send it again.
    """

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        is_harmless = (has_preview and is_preview(request)) or (
            when_sent and request.method != "POST"
        )
        if is_harmless or signed_in_lately(request):
            return view(request, *args, **kwargs)
        return _ask(request, waits=waits)

    return wrapper


def signed_in_lately(request: HttpRequest) -> bool:
    """Say whether the person told who they are within REAUTHENTICATION_SECONDS.

    By signing in or by confirming it since. Nobody is asked who could not answer.
    """
    records = get_authentication_records(request, request.user)
    latest = max((each["at"] for each in records), default=0)
    # What is told to be yet to come was before the clock was put back: nobody knows how long ago.
    if abs(time.time() - latest) < app_settings.REAUTHENTICATION_TIMEOUT:
        return True
    return not get_adapter().get_reauthentication_methods(request.user)


def _ask(request: HttpRequest, *, waits: bool) -> HttpResponse:
    methods = get_adapter().get_reauthentication_methods(request.user)
    page = methods[0]["url"] if methods else reverse("account_login")
    if waits:
        request.META = {name: text for name, text in request.META.items() if name not in _PRIVATE}
        answer = suspend_request(request, page)
        if request.method == "POST":
            # What waits is found again by its path alone, and keeps its query itself.
            answer = redirect_to_login(request.path, page)
    else:
        if request.method == "POST":
            messages.info(request, _("Confirm that it is you, then send the form again."))
        answer = redirect_to_login(request.get_full_path(), page)
    if request.headers.get("HX-Request"):
        # A redirect would be followed for the part that is swapped.
        return HttpResponseClientRedirect(answer.url)
    return answer
