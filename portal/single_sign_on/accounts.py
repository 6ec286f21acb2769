"""Whose account a sign-in by the provider opens, and for whom one is made."""

import logging
import time
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.account.internal.flows.reauthentication import resume_request
from allauth.account.models import EmailAddress
from allauth.account.signals import authentication_step_completed
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.base.constants import AuthError, AuthProcess
from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.conf import settings
from django.db import IntegrityError, transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from requests import RequestException

from keys import services
from keys.models import User
from keys.views.invitations import remember_invitation
from portal.account_trail import note_failed_sign_in
from portal.single_sign_on.asking import AnswerError, Session
from portal.single_sign_on.provider import ID, configured_app
from portal.single_sign_on.refusals import RefusedError
from portal.single_sign_on.sessions import note_confirmation

logger = logging.getLogger(__name__)

# What a sign-in at the provider is for, beside those that allauth knows.
CONFIRM = "confirm"


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Believes one provider, that of the settings, and connects by confirmed addresses alone."""

    error_messages = {
        **DefaultSocialAccountAdapter.error_messages,
        "no_password": gettext_lazy(
            "You have no password, and could not sign in any more. Set one first."
        ),
        "not_configured": gettext_lazy("Single sign-on is not set up here."),
    }

    def list_apps(
        self, request: HttpRequest, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        """Return the provider of the settings, if it is asked for."""
        app = configured_app()
        if app is None or provider not in (None, ID) or client_id not in (None, app.client_id):
            return []
        return [app]

    def get_requests_session(self) -> Session:
        """Return what the provider is asked with."""
        return Session()

    def authenticate_by_email(self, sociallogin: SocialLogin) -> tuple[User, str] | None:
        """Return whose account has the address that the provider confirms, and the address.

        One that somebody else only claims opens nothing. An account that nobody could sign in
        to yet, having no confirmed address, is its person's: allauth then takes its password
        from whoever chose it. Raises RefusedError where the provider knows somebody else as the
        account's person: addresses are given to others some day.
        """
        email = sociallogin.email_addresses[0].email
        confirmed = EmailAddress.objects.filter(verified=True).select_related("user")
        address = confirmed.filter(email__iexact=email).first()
        if address is not None:
            _refuse_known_otherwise(address)
            return address.user, address.email
        person = User.objects.filter(email__iexact=email).first()
        if person is not None and not confirmed.filter(user=person).exists():
            return person, email
        return None

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Let go on who may; raise RefusedError, or ImmediateHttpResponse with another answer."""
        # It served its purpose, and is to lie in no session.
        sociallogin.token = None
        request.told_at_provider = _told_at(sociallogin)  # type: ignore[attr-defined]
        if sociallogin.is_existing and not sociallogin.user.is_active:
            raise ImmediateHttpResponse(redirect("account_inactive"))
        match sociallogin.state.get("process"):
            case AuthProcess.LOGIN:
                return
            case AuthProcess.CONNECT:
                _refuse_other_address(request, sociallogin)
            case str(process) if process == CONFIRM:
                raise ImmediateHttpResponse(_confirm(request, sociallogin))
            case _:
                raise RefusedError(_("It was asked for something that we do not know."))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Say whether an account is made for whom the provider knows and the portal does not."""
        return (
            settings.ACCOUNT_OPEN_SIGNUP
            or settings.OIDC_CREATES_ACCOUNTS
            or services.find_invitation_for(email=sociallogin.email_addresses[0].email) is not None
        )

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Make the account; who is invited finds the invitation next."""
        # Whole or not at all: the same person may come twice at once.
        with transaction.atomic():
            person = super().save_user(request, sociallogin, form)
        invitation = services.find_invitation_for(email=person.email)
        if invitation is not None:
            remember_invitation(request, invitation)
            sociallogin.state["next"] = reverse("keys:invitation")
        return person

    def validate_disconnect(self, account: SocialAccount, accounts: Any) -> None:
        """Raise ValidationError where nothing is left of the settings to tell about the account."""
        if configured_app() is None:
            raise self.validation_error("not_configured")

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: str | None = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        """Say what went wrong on a page of ours; of what was answered, the log tells no more."""
        if error == AuthError.CANCELLED:
            return
        if isinstance(exception, RefusedError):
            note_failed_sign_in(request, exception.email)
        reason, status = _explained(exception, is_ours=bool((extra_context or {}).get("state")))
        told = str(exception) if isinstance(exception, AnswerError) else type(exception).__name__
        logger.warning("A single sign-on failed with %s: %s", status, told)
        page = "socialaccount/authentication_error.html"
        context = {"provider": provider, "reason": reason}
        raise ImmediateHttpResponse(render(request, page, context, status=status))


@receiver(authentication_step_completed)
def _note_what_it_told(request: HttpRequest, user: Any, method: str, **more: Any) -> None:
    """Let a sign-in count from when the person told the provider who they are.

    It may be long ago, and views/step_up.py asks who told nobody lately. The session there is
    remembered until the person is signed in: a second factor may be asked for before.
    """
    if method == "socialaccount":
        record = get_authentication_records(request, user)[-1]
        record["answered_at"] = record["at"]
        record["at"] = min(record["at"], getattr(request, "told_at_provider", 0.0))
        record["session"] = getattr(request, "session_at_provider", "")


@receiver(social_account_added)
def _note_connected(request: HttpRequest, sociallogin: SocialLogin, **more: Any) -> None:
    person, email = sociallogin.user, sociallogin.email_addresses[0].email
    address, _created = EmailAddress.objects.get_or_create(user=person, email=email)
    if not address.verified:
        address.set_verified()
        address.set_as_primary(conditional=True)
    services.note_account_event(
        person=person, action="single_sign_on_connected", by=settings.OIDC_NAME, email=email
    )


@receiver(social_account_removed)
def _note_disconnected(request: HttpRequest, socialaccount: SocialAccount, **more: Any) -> None:
    services.note_account_event(
        person=socialaccount.user, action="single_sign_on_removed", by=settings.OIDC_NAME
    )


def _told_at(sociallogin: SocialLogin) -> float:
    """Return when the person told the provider who they are, in seconds since 1970; or 0."""
    return float(sociallogin.account.extra_data["auth_time"])


def _refuse_known_otherwise(address: EmailAddress) -> None:
    connected = SocialAccount.objects.filter(user=address.user, provider=ID)
    if connected.filter(extra_data__iss=settings.OIDC_ISSUER).exists():
        raise RefusedError(
            _(
                "It knows somebody else by your address, whose account this is. "
                "If it is yours, sign in with a password, and disconnect that."
            ),
            address.email,
        )


def _refuse_other_address(request: HttpRequest, sociallogin: SocialLogin) -> None:
    email = sociallogin.email_addresses[0].email
    if not request.user.is_authenticated or not services.has_address(request.user, email):
        raise RefusedError(_("Its address is no confirmed one of your account here."), email)


def _confirm(request: HttpRequest, sociallogin: SocialLogin) -> HttpResponse:
    """Take it that the person is who they are, and go on with what waits for that."""
    email = sociallogin.email_addresses[0].email
    if not request.user.is_authenticated or sociallogin.user != request.user:
        raise RefusedError(
            _("It says that you are somebody else than who is signed in here."), email
        )
    if time.time() - _told_at(sociallogin) > app_settings.REAUTHENTICATION_TIMEOUT:
        raise RefusedError(
            _(
                "It does not say that you signed in there just now. "
                "Set a password or a second factor of your own here, and confirm with that."
            )
        )
    record_authentication(request, request.user, "socialaccount", reauthenticated=True)
    note_confirmation(request, request.user)
    # Where it looks for the page to go on to.
    query = request.GET.copy()
    query["next"] = sociallogin.state.get("next") or ""
    request.GET = query  # type: ignore[assignment]
    return resume_request(request) or redirect(
        get_account_adapter(request).get_login_redirect_url(request)
    )


def _explained(exception: Exception | None, *, is_ours: bool) -> tuple[str, int]:
    """Return why a sign-in came to nothing, and the status that says so."""
    match exception:
        case RefusedError():
            return str(exception.reason), 403
        case RequestException():
            return _("It does not answer. Try again in a moment, or sign in another way."), 503
        case IntegrityError():
            return _("You were signed in twice at once. Try again."), 409
        case None if is_ours:
            return _("It did not sign you in."), 403
        case None:
            return _("This sign-in was begun in another browser, is used up, or is too old."), 400
    return _(
        "Its answer is not one to believe. Whoever runs this portal finds why in its log."
    ), 502
