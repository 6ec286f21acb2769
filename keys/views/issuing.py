"""Pages whose answer shows a secret, once: issue a key, rotate it."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from keys import policy, services
from keys.forms.fields import OnceForm
from keys.forms.issuing import IssueForm
from keys.forms.rotating import RotateForm
from keys.models import APIKey, UsageBucket
from keys.models.keys import Dialect
from keys.presets import PRESETS
from keys.roles import Permission
from keys.services.enforcing import ApprovalRequiredError
from keys.snapshots import address_lists
from keys.snippets import snippets_of
from keys.verification import Code, passes_lists
from keys.views.asking import ask_instead
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
from keys.views.summary import is_preview, render_preview

# A page that shows a secret asks for so long whether it was used.
WATCHED = timedelta(minutes=10)
# With this status htmx stops asking.
STOP_POLLING = 286


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_create(request: OrganizationRequest) -> HttpResponse:
    """Issue a key; the answer to the form shows its secret, this once."""
    policy.require(request.user, Permission.ADD_APIKEY, request.organization)
    preset = PRESETS.get(request.GET.get("template", ""))
    form = IssueForm(request.POST or None, preset=preset, **form_arguments(request))
    grantable = [scope.code for scope in form.grantable_scopes]
    offers = [(each, each.lacking(grantable), form.days_of(each)) for each in PRESETS.values()]
    context = {"form": form, "offers": offers}
    if is_preview(request):
        return render_preview(request, "keys/apikey_create.html", context)
    if form.is_valid():
        if not claim(request, form):
            return already_shown(request, form)
        try:
            key = services.issue_key(
                actor=request.user, organization=request.organization, **form.issue_arguments()
            )
        except ApprovalRequiredError:
            asked = ask_instead(
                request,
                form,
                services.request_key,
                organization=request.organization,
                **form.issue_arguments(),
            )
            if asked is not None:
                return asked
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            return show_secret(request, form, key, is_new=True)
    return render_page(request, "keys/apikey_create.html", context)


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
            return already_shown(request, form)
        try:
            key = services.rotate_key(actor=request.user, key=key, **form.rotate_arguments())
        except ValidationError as problems:
            form.add_problems(problems)
        except APIKey.DoesNotExist:
            return refuse_revoked(request, key)
        else:
            return show_secret(request, form, key, is_new=False)
    now = timezone.now()
    context = {
        "form": form,
        "key": key,
        "is_for_exchange": key.dialect == Dialect.NETOGRAPHY,
        "working_secrets": [each for each in key.secrets.all() if each.works_at(now)],
    }
    return render_page(request, "keys/apikey_rotate.html", context)


@never_cache
@require_safe
@in_organization
def first_use(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """Say whether the newest secret of a key was used since it was made, and how that went."""
    key = get_object_or_404(
        visible_keys(request).select_related("totals").prefetch_related("secrets"),
        identifier=identifier,
    )
    request.key = key
    context = {"key": key, **_first_use_of(key)}
    if not request.htmx:
        return render_page(request, "keys/apikey_first_use.html", {**context, "is_own_page": True})
    is_over = context["first_use"] in ("used", "ended") or not context["is_watched"]
    if not is_over and context["first_use"] == request.GET.get("seen"):
        # Nothing new: what is shown stays, and screen readers keep quiet.
        return HttpResponse(status=204)
    response = render_page(request, "components/first_use.html", context)
    response.status_code = STOP_POLLING if is_over else 200
    return response


def _first_use_of(key: APIKey) -> dict[str, Any]:
    """Return what a page says about the first use of a key's newest secret."""
    secret, refusal = key.current_secret, None
    if secret is None:
        state = "ended"
    elif secret.last_used_at:
        state = "used"
    else:
        refused = UsageBucket.objects.filter(secret=secret).exclude(outcome=Code.VALID)
        refusal = refused.order_by("-hour").values_list("outcome", flat=True).first()
        state = "refused" if refusal else "waiting"
    is_young = secret is not None and secret.created_at > timezone.now() - WATCHED
    return {"first_use": state, "secret": secret, "refusal": refusal, "is_watched": is_young}


def show_secret(
    request: OrganizationRequest, form: OnceForm, key: APIKey, *, is_new: bool, **more: Any
) -> HttpResponse:
    """Answer with the page that shows the new secret of a key, this once; `more` is for it."""
    request.session["used_forms"][form.cleaned_data["token"]] = key.identifier
    request.session.modified = True
    base_url = request.build_absolute_uri("/").rstrip("/")
    rows = key.allowed_ips.all()
    context = {
        "key": key,
        "is_new": is_new,
        "base_url": base_url,
        "snippets": snippets_of(
            base_url, key.dialect, is_reading=policy.allows(key, Permission.VIEW_APIKEY, key)
        ),
        "is_for_exchange": key.dialect == Dialect.NETOGRAPHY,
        "netosecret": _netosecret(request, key, base_url),
        "is_elsewhere": not passes_lists(*address_lists(key, rows), request.client_address),
        **_first_use_of(key),
        **more,
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


def already_shown(request: OrganizationRequest, form: OnceForm) -> HttpResponse:
    """Answer a form that was carried out before."""
    identifier = request.session.get("used_forms", {}).get(form.cleaned_data["token"], "")
    context = {"key": visible_keys(request).filter(identifier=identifier).first()}
    return render_page(request, "keys/apikey_shown.html", context)
