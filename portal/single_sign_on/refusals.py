"""Why somebody is not let in by the provider, in words for them."""

from typing import Any

from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# What an account can have.
_LONGEST = 254


class RefusedError(OAuth2Error):
    """The provider knows the person; this portal does not let them in, and says why.

    `email` is the address that they came with.
    """

    def __init__(self, reason: str | Promise, email: str = "") -> None:
        super().__init__("refused")
        self.reason = reason
        self.email = email


def refuse_unconfirmed(claims: dict[str, Any]) -> None:
    """Raise RefusedError unless the provider says that the address is confirmed, and it is let in.

    Said is that by `true` alone: whoever might type any address there could take the account
    that it belongs to here.
    """
    email = claims.get("email") or ""
    try:
        EmailValidator()(email)
    except ValidationError:
        raise RefusedError(_("It does not say which email address is yours.")) from None
    if not email.isascii() or len(email) > _LONGEST:
        # Letters that are not ASCII may become others by their case only: somebody else's address.
        raise RefusedError(_("Addresses like yours are not let in here."))
    if claims.get("email_verified") is not True:
        raise RefusedError(_("It does not say that your email address is confirmed."), email)
    domain = email.rpartition("@")[2].lower()
    if settings.OIDC_EMAIL_DOMAINS and domain not in settings.OIDC_EMAIL_DOMAINS:
        raise RefusedError(_("Addresses like yours are not let in here."), email)
