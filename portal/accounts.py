"""How people sign in: django-allauth, joined to this portal's rules."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from django.conf import settings
from django.http import HttpRequest

from keys import networks


class SignInBackend(AuthenticationBackend):
    """Says who somebody is; what they may do is the policy's question alone."""

    def get_user_permissions(self, user_obj, obj=None):
        return set()

    def get_group_permissions(self, user_obj, obj=None):
        return set()

    def has_module_perms(self, user_obj, app_label):
        return False


class AccountAdapter(DefaultAccountAdapter):
    """Closes sign-up unless a setting opens it, and believes only configured proxies."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.ACCOUNT_OPEN_SIGNUP

    def get_client_ip(self, request: HttpRequest) -> str:
        address = networks.client_address(request.META, settings.TRUSTED_PROXIES)
        return str(address) if address else ""
