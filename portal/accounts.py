"""How people sign in: django-allauth, joined to this portal's rules."""

from datetime import timedelta
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.core import context as current
from allauth.core.internal import ratelimit
from allauth.core.internal.ratelimit import RateLimitUsage, SingleRateLimitUsage
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.sites.shortcuts import get_current_site
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from keys import networks, services
from keys.views.invitations import invitation_of
from portal.account_trail import note_failed_sign_in, way_in
from portal.afterwards import send_afterwards
from portal.devices import known_device
from portal.single_sign_on.provider import ID as SINGLE_SIGN_ON
from portal.single_sign_on.provider import configured_app
from portal.single_sign_on.refusals import RefusedError
from portal.single_sign_on.sessions import end_if_over, note_session

_APP = "allauth.account"


def _limits(request: HttpRequest, email: str) -> list[tuple[str, str]]:
    """Return which limits a try to sign in as this address counts for: action and key."""
    email = email.lower()
    device = known_device(request, email)
    if device:
        return [("login_failed_device", f"{email} {device}")]
    return [
        ("login_failed", f"{email} {ratelimit.get_ip(request)}"),
        ("login_failed_anywhere", email),
    ]


def _is_connected(person: Any) -> bool:
    return SocialAccount.objects.filter(user=person, provider=SINGLE_SIGN_ON).exists()


class SignInBackend(AuthenticationBackend):
    """Says who somebody is; what they may do is the policy's question alone."""

    def get_user_permissions(self, user_obj, obj=None):
        return set()

    def get_group_permissions(self, user_obj, obj=None):
        return set()

    def has_module_perms(self, user_obj, app_label):
        return False


class AccountAdapter(DefaultAccountAdapter):
    """Closes sign-up unless a setting or an invitation opens it; believes configured proxies."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.ACCOUNT_OPEN_SIGNUP or invitation_of(request) is not None

    def is_email_verified(self, request: HttpRequest, email: str) -> bool:
        """Say whether the browser followed a link that came to this address."""
        invitation = invitation_of(request)
        return invitation is not None and invitation.email.lower() == email.lower()

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count a try; raise ValidationError when there were too many.

        Who guesses is limited where they are, so that they cannot lock the account's person
        out; guessing from many places at once is slowed for all but browsers that the account
        knows. Those have a limit of their own each.
        """
        taken: list[SingleRateLimitUsage] = []
        self._login_failed_rl_usage = RateLimitUsage(taken)
        for action, key in _limits(request, credentials.get("email", "")):
            usage = ratelimit.consume(request, app=_APP, action=action, key=key)
            if usage is None:
                raise self.validation_error("too_many_login_attempts")
            taken.extend(usage.usage)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Record the try, if it was at an account that there is."""
        note_failed_sign_in(request, credentials.get("email", ""))

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        # A link that came by mail set a new password: whatever was guessed at is no more.
        for action, key in _limits(request, credentials.get("email", "")):
            ratelimit.clear(request, app=_APP, action=action, key=key)

    def post_login(self, request: HttpRequest, user: Any, **details: Any) -> HttpResponse:
        request.signed_in_as = details.get("email") or user.email  # type: ignore[attr-defined]
        sociallogin = (details.get("signal_kwargs") or {}).get("sociallogin")
        services.note_account_event(person=user, action="signed_in", **way_in(sociallogin))
        response = super().post_login(request, user, **details)
        if sociallogin:
            note_session(request, user, sociallogin.account.uid)
            if end_if_over(request, user, sociallogin.account.uid):
                error = RefusedError(_("It ended your session there meanwhile. Sign in again."))
                return render_authentication_error(request, configured_app(), exception=error)
        return response

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, str]]:
        """Return how a person can confirm who they are: also where they signed in, if not here."""
        methods = super().get_reauthentication_methods(user)
        app = configured_app()
        if app is not None and user.is_authenticated and _is_connected(user):
            methods.append(
                {
                    "id": app.provider,
                    "description": _("Use %(name)s") % {"name": app.name},
                    "url": reverse("single_sign_on_confirm"),
                }
            )
        return methods

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail about an account; one that the mail server does not take now is not lost."""
        request = current.request
        about = {"request": request, "email": email, "current_site": get_current_site(request)}
        mail = self.render_mail(template_prefix, email, {**about, **context})
        letter = services.write_letter(
            to=email,
            about=template_prefix.rpartition("/")[2],
            subject=mail.subject,
            text=mail.body,
            good_for=timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT),
        )
        send_afterwards(request, letter)

    def get_client_ip(self, request: HttpRequest) -> str:
        address = networks.client_address(request.META, settings.TRUSTED_PROXIES)
        return str(address) if address else ""
