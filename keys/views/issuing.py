"""Pages whose answer shows a secret, once: issue a key, rotate it."""

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import policy, services
from keys.forms.fields import OnceForm
from keys.forms.keys import IssueForm, RotateForm
from keys.models import APIKey
from keys.models.keys import Dialect
from keys.roles import Permission
from keys.views.base import (
    OrganizationRequest,
    form_arguments,
    get_key,
    in_organization,
    refuse_revoked,
    render_page,
    visible_keys,
)
from keys.views.once import claim


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_create(request: OrganizationRequest) -> HttpResponse:
    """Issue a key; the answer to the form shows its secret, this once."""
    policy.require(request.user, Permission.ADD_APIKEY, request.organization)
    form = IssueForm(request.POST or None, **form_arguments(request))
    if form.is_valid():
        if not claim(request, form):
            return _already_shown(request, form)
        try:
            key = services.issue_key(
                actor=request.user, organization=request.organization, **form.issue_arguments()
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            return _show_secret(request, form, key, is_new=True)
    return render_page(request, "keys/apikey_create.html", {"form": form})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_rotate(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """Give a key a new secret; the answer to the form shows it, this once."""
    key = get_key(request, identifier)
    policy.require(request.user, Permission.ROTATE_APIKEY, key)
    if key.revoked_at:
        return refuse_revoked(request, key)
    form = RotateForm(request.POST or None)
    if form.is_valid():
        if not claim(request, form):
            return _already_shown(request, form)
        try:
            key = services.rotate_key(actor=request.user, key=key, overlap=form.length)
        except APIKey.DoesNotExist:
            return refuse_revoked(request, key)
        return _show_secret(request, form, key, is_new=False)
    return render_page(request, "keys/apikey_rotate.html", {"form": form, "key": key})


def _show_secret(
    request: OrganizationRequest, form: OnceForm, key: APIKey, *, is_new: bool
) -> HttpResponse:
    request.session["used_forms"][form.cleaned_data["token"]] = key.identifier
    request.session.modified = True
    base_url = request.build_absolute_uri("/").rstrip("/")
    context = {
        "key": key,
        "is_new": is_new,
        "sees_itself": policy.allows(key, Permission.VIEW_APIKEY, key),
        "base_url": base_url,
        "is_for_exchange": key.dialect == Dialect.NETOGRAPHY,
        "netosecret": _netosecret(request, key, base_url),
    }
    return render_page(request, "keys/apikey_secret.html", context)


def _netosecret(request: OrganizationRequest, key: APIKey, base_url: str) -> str:
    """Return what a client of the token exchange is configured with; empty when it is not for it.

    The key is issued already, and its secret is shown in any case.
    """
    if key.dialect != Dialect.NETOGRAPHY:
        return ""
    try:
        return services.assemble_netosecret(actor=request.user, key=key, portal_url=base_url)
    except (PermissionDenied, ValidationError):
        return ""


def _already_shown(request: OrganizationRequest, form: OnceForm) -> HttpResponse:
    identifier = request.session.get("used_forms", {}).get(form.cleaned_data["token"], "")
    context = {"key": visible_keys(request).filter(identifier=identifier).first()}
    return render_page(request, "keys/apikey_shown.html", context)
