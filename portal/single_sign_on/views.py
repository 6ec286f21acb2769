"""To the provider and back."""

import logging
from collections.abc import Callable
from http import HTTPStatus

import requests
from allauth.account.adapter import get_adapter
from allauth.account.utils import get_next_redirect_url
from allauth.core.internal import ratelimit
from allauth.decorators import rate_limit
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from portal.single_sign_on.accounts import CONFIRM
from portal.single_sign_on.asking import AnswerError
from portal.single_sign_on.provider import ID, Provider
from portal.single_sign_on.sessions import end_sessions
from portal.single_sign_on.tokens import ProviderClient

logger = logging.getLogger(__name__)


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


@csrf_exempt
@login_not_required
@never_cache
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """End sessions because the provider says so: OpenID Connect's back-channel logout.

    Whoever tries what it never said is limited by where they are; what it says is not.
    """
    _provider(request)
    tried = ratelimit.consume(request, app="allauth.account", action="single_sign_on_logout")
    if tried is None:
        return ratelimit.respond_429(request)
    try:
        claims = ProviderClient(request, ID).read_logout(request.POST.get("logout_token", ""))
    except (OAuth2Error, requests.RequestException) as error:
        told = str(error) if isinstance(error, AnswerError) else type(error).__name__
        logger.warning("A logout by single sign-on was refused: %s", told)
        problem = {"error": "invalid_request", "error_description": "This is no logout token."}
        return JsonResponse(problem, status=HTTPStatus.BAD_REQUEST)
    tried.rollback()
    end_sessions(claims)
    return HttpResponse()


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
