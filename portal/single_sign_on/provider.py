"""The one provider of an installation, as its settings name it."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from portal.single_sign_on.refusals import refuse_unconfirmed
from portal.single_sign_on.tokens import ProviderClient, known_as, nonce_for

# What accounts that are connected with it are kept under.
ID = "single_sign_on"


def configured_app() -> SocialApp | None:
    """Return what the settings say of the provider; None where there is none."""
    if not settings.OIDC_ISSUER:
        return None
    return SocialApp(
        provider=ID,
        provider_id=ID,
        name=settings.OIDC_NAME,
        client_id=settings.OIDC_CLIENT_ID,
        secret=settings.OIDC_CLIENT_SECRET,
        settings={"server_url": settings.OIDC_ISSUER.rstrip("/"), "email_authentication": True},
    )


class Provider(OpenIDConnectProvider):
    """Begins sign-ins with PKCE and a nonce, and reads who somebody is from proved claims."""

    id = ID
    package = "portal.single_sign_on"
    oauth2_adapter_class = ProviderClient
    pkce_enabled_default = True

    def get_login_url(self, request: HttpRequest, **kwargs: Any) -> str:
        """Return where a sign-in begins, by a POST."""
        url = reverse("single_sign_on_login")
        return f"{url}?{urlencode(kwargs)}" if kwargs else url

    def get_callback_url(self) -> str:
        """Return where the provider sends people back to."""
        return reverse("single_sign_on_callback")

    def get_pkce_params(self) -> dict[str, str]:
        """Return what ties the answer to this request: PKCE's, and the nonce of the token."""
        params = super().get_pkce_params()
        return {**params, "nonce": nonce_for(params["code_verifier"])}

    def get_default_scope(self) -> list[str]:
        """Ask for the address and nothing else."""
        return ["openid", "email"]

    # What is asked of the provider is not for the query of a request to say.

    def get_scope_from_request(self, request: HttpRequest) -> list[str]:
        """Return what is always asked for."""
        return self.get_scope()

    def get_auth_params_from_request(self, request: HttpRequest, action: str) -> dict[str, str]:
        """Return what is always said."""
        return self.get_auth_params()

    def sociallogin_from_response(self, request: HttpRequest, response: dict[str, Any]) -> Any:
        """Return the sign-in of whom these claims are about; raise RefusedError for some."""
        refuse_unconfirmed(response)
        return super().sociallogin_from_response(request, response)

    def extract_uid(self, data: dict[str, Any]) -> str:
        """Return who it is: whose token it was is proved."""
        return known_as(data["sub"])

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept of the claims; the rest is nobody's business here."""
        return {name: data.get(name) for name in ("iss", "sub", "email", "auth_time")}

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return what a new account knows of its person."""
        return {"email": data.get("email")}

    def extract_email_addresses(self, data: dict[str, Any]) -> list[EmailAddress]:
        """Return the address, which is confirmed: others were refused before."""
        return [EmailAddress(email=data["email"], verified=True, primary=True)]


provider_classes = [Provider]
