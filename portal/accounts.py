"""How people sign in: django-allauth, joined to this portal's rules."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.models import EmailAddress
from allauth.core.internal import ratelimit
from allauth.core.internal.ratelimit import RateLimitUsage, SingleRateLimitUsage
from allauth.mfa.signals import authenticator_added, authenticator_removed
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from keys import networks, services
from keys.views.invitations import invitation_of
from portal.devices import known_device

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


@receiver(authenticator_added)
def _note_added(request: HttpRequest, user: Any, authenticator: Any, **more: Any) -> None:
    services.note_account_event(
        person=user, action="second_factor_added", kind=str(authenticator.type)
    )
    _end_other_sessions(request, user)


@receiver(authenticator_removed)
def _note_removed(request: HttpRequest, user: Any, authenticator: Any, **more: Any) -> None:
    services.note_account_event(
        person=user, action="second_factor_removed", kind=str(authenticator.type)
    )
    _end_other_sessions(request, user)


def _end_other_sessions(request: HttpRequest, user: Any) -> None:
    """End what is signed in by the means of before; a new password does so by itself."""
    sessions = UserSession.objects.filter(user=user)
    for session in sessions.exclude(session_key=request.session.session_key):
        session.end()


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
        email = credentials.get("email", "")
        address = EmailAddress.objects.filter(email__iexact=email).select_related("user").first()
        if address is not None:
            services.note_account_event(person=address.user, action="sign_in_failed")

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        # A link that came by mail set a new password: whatever was guessed at is no more.
        for action, key in _limits(request, credentials.get("email", "")):
            ratelimit.clear(request, app=_APP, action=action, key=key)

    def post_login(self, request: HttpRequest, user: Any, **details: Any) -> HttpResponse:
        request.signed_in_as = details.get("email") or user.email  # type: ignore[attr-defined]
        services.note_account_event(person=user, action="signed_in")
        return super().post_login(request, user, **details)

    def get_client_ip(self, request: HttpRequest) -> str:
        address = networks.client_address(request.META, settings.TRUSTED_PROXIES)
        return str(address) if address else ""
