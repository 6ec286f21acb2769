"""What people do with their own accounts, in the audit trail; and what ends other sessions."""

from functools import partial
from typing import Any

from allauth.account import signals as account
from allauth.account.models import EmailAddress
from allauth.mfa import signals as mfa
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.internal.flows.sessions import end_other_sessions
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.dispatch import receiver
from django.http import HttpRequest

from keys import services
from portal.afterwards import do_afterwards


def note_failed_sign_in(request: HttpRequest, email: str) -> None:
    """Record that somebody failed to sign in with this address, if there is such an account.

    After the answer: it would take longer for an address that has one.
    """
    do_afterwards(request, partial(_note_failed_sign_in, email))


def _note_failed_sign_in(email: str) -> None:
    address = EmailAddress.objects.filter(email__iexact=email).select_related("user").first()
    if address is not None:
        services.note_account_event(person=address.user, action="sign_in_failed")


def way_in(sociallogin: Any) -> dict[str, str]:
    """Return what the trail says of how somebody came in: nothing of a password."""
    return {"by": settings.OIDC_NAME} if sociallogin else {}


class UserSessionsAdapter(DefaultUserSessionsAdapter):
    """Records that somebody ended what was signed in elsewhere."""

    def end_sessions(self, sessions: list[UserSession]) -> None:
        """End these sessions, which are of one person."""
        super().end_sessions(sessions)
        if sessions:
            services.note_account_event(
                person=sessions[0].user, action="sessions_ended", sessions=len(sessions)
            )


@receiver(account.user_signed_up)
def _note_signed_up(user: Any, sociallogin: Any = None, **more: Any) -> None:
    services.note_account_event(person=user, action="signed_up", **way_in(sociallogin))


@receiver([account.password_changed, account.password_set])
def _note_password(user: Any, **more: Any) -> None:
    services.note_account_event(person=user, action="password_set")


@receiver(account.password_reset)
def _note_password_by_mail(user: Any, **more: Any) -> None:
    services.note_account_event(person=user, action="password_reset")


@receiver(account.email_added)
def _note_address_added(user: Any, email_address: EmailAddress, **more: Any) -> None:
    services.note_account_event(person=user, action="email_added", email=email_address.email)


@receiver(account.email_confirmed)
def _note_address_confirmed(email_address: EmailAddress, **more: Any) -> None:
    services.note_account_event(
        person=email_address.user, action="email_confirmed", email=email_address.email
    )


@receiver(account.email_changed)
def _note_other_address(
    user: Any, from_email_address: EmailAddress | None, to_email_address: EmailAddress, **more: Any
) -> None:
    before = from_email_address.email if from_email_address else None
    services.note_account_event(
        person=user, action="email_changed", email=[before, to_email_address.email]
    )


@receiver(account.email_removed)
def _note_address_removed(user: Any, email_address: EmailAddress, **more: Any) -> None:
    services.note_account_event(person=user, action="email_removed", email=email_address.email)


@receiver(mfa.authenticator_added)
def _note_factor_added(request: HttpRequest, user: Any, authenticator: Any, **more: Any) -> None:
    services.note_account_event(
        person=user, action="second_factor_added", kind=str(authenticator.type)
    )
    # End what is signed in by the means of before; a new password does so by itself.
    end_other_sessions(request, user)


@receiver(mfa.authenticator_removed)
def _note_factor_removed(request: HttpRequest, user: Any, authenticator: Any, **more: Any) -> None:
    services.note_account_event(
        person=user, action="second_factor_removed", kind=str(authenticator.type)
    )
    end_other_sessions(request, user)


@receiver(mfa.authenticator_reset)
def _note_new_recovery_codes(user: Any, **more: Any) -> None:
    services.note_account_event(person=user, action="recovery_codes_made")
