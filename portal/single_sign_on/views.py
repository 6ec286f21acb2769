"""To the provider and back."""

from collections.abc import Callable

import requests
from allauth.account.adapter import get_adapter
from allauth.account.utils import get_next_redirect_url
from allauth.decorators import rate_limit
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from portal.single_sign_on.accounts import CONFIRM
from portal.single_sign_on.provider import ID, Provider
from portal.single_sign_on.tokens import ProviderClient


@rate_limit(action="login")
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Ask whether to go to the provider; with a POST, go."""
    provider = _provider(request)
    view = OAuth2LoginView.adapter_view(provider.get_oauth2_adapter(request))
    return _leave(request, provider, lambda: view(request))


@login_not_required
@require_http_methods(["GET", "HEAD"])
def callback(request: HttpRequest) -> HttpResponse:
    """Take what the provider says of who comes back."""
    provider = _provider(request)
    view = OAuth2CallbackView.adapter_view(provider.get_oauth2_adapter(request))
    return _answered(request, provider, lambda: view(request))


@rate_limit(action="reauthenticate")
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """Let the provider ask who it is, for what should be done by nobody else."""
    provider, onward = _provider(request), get_next_redirect_url(request)
    if request.method == "POST":
        asking = {"prompt": "login", "max_age": "0"}
        return _leave(
            request,
            provider,
            lambda: provider.redirect(request, CONFIRM, next_url=onward, auth_params=asking),
        )
    methods = get_adapter(request).get_reauthentication_methods(request.user)
    query = f"?{urlencode({'next': onward})}" if onward else ""
    context = {
        "provider": provider,
        "next": onward,
        "reauthentication_alternatives": [
            {**each, "url": each["url"] + query} for each in methods if each["id"] != ID
        ],
    }
    return render(request, "socialaccount/confirm.html", context)


def _provider(request: HttpRequest) -> Provider:
    try:
        return ProviderClient(request, ID).get_provider()
    except SocialApp.DoesNotExist:
        raise Http404 from None


def _answered(
    request: HttpRequest, provider: Provider, view: Callable[[], HttpResponse]
) -> HttpResponse:
    """Return what the view answers, or a page that says that the provider answers nothing good."""
    try:
        return view()
    except (OAuth2Error, requests.RequestException, IntegrityError) as error:
        return render_authentication_error(request, provider, exception=error)


def _leave(
    request: HttpRequest, provider: Provider, view: Callable[[], HttpResponse]
) -> HttpResponse:
    """Go to the provider by a page of our own.

    Browsers hold a redirect that answers a form to our `form-action`, and whatever the provider
    redirects to in turn; a page that leads on is held to none.
    """
    answer = _answered(request, provider, view)
    if not isinstance(answer, HttpResponseRedirect):
        return answer
    context = {"provider": provider, "redirect_to": answer.url}
    return render(request, "socialaccount/login_redirect.html", context)
