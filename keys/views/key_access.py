"""What a key may do and from where: its scopes, its allowed IPs, and an address to try."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from keys import policy, services, snapshots
from keys.forms.allowed_ips import AllowedIPForm, Consequence
from keys.forms.search import AddressForm
from keys.models import AllowedIP, APIKey, ScopeUse
from keys.roles import Permission
from keys.services.enforcing import ApprovalRequiredError
from keys.verification import Code, Question, judge
from keys.views.base import OrganizationRequest, in_organization, refuse_revoked, render_page
from keys.views.key_page import followed_addresses, load_key, render_tab


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_access(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """Scopes held and used, allowed IPs, the answer for one address; a POST adds a row."""
    key = load_key(request, identifier, "scopes", "allowed_ips")
    form = AllowedIPForm(request.POST or None, key=key, address=request.client_address)
    if request.method == "POST":
        policy.require(request.user, Permission.CHANGE_APIKEY, key)
        if form.is_valid():
            try:
                row = services.add_allowed_ip(actor=request.user, key=key, **form.new_row())
            except ValidationError as problems:
                form.add_problems(problems)
            except ApprovalRequiredError as refusal:
                form.add_error(None, str(refusal))
            except APIKey.DoesNotExist:
                return refuse_revoked(request, key)
            else:
                messages.success(request, _("%(row)s is on the list.") % {"row": row})
                return _to_access(request, key)
    return render_tab(request, "keys/apikey_access.html", key, _context(request, key, form))


@require_POST
@in_organization
def allowed_ip_remove(
    request: OrganizationRequest, identifier: str, allowed_ip: int
) -> HttpResponse:
    """Take a row off the list; asks first when that opens the key or shuts the person out."""
    key, row = _find(request, identifier, allowed_ip)
    rows = [each for each in key.allowed_ips.all() if each != row]
    question = _ask(request, key, row, rows, "keys/allowed_ip_remove.html")
    if question is not None:
        return question
    try:
        services.remove_allowed_ip(actor=request.user, allowed_ip=row)
    except APIKey.DoesNotExist:
        return refuse_revoked(request, key)
    except ValidationError as problems:
        messages.error(request, " ".join(problems.messages))
    except ApprovalRequiredError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(row)s is off the list.") % {"row": row})
    return _to_access(request, key)


@require_POST
@in_organization
def allowed_ip_switch(
    request: OrganizationRequest, identifier: str, allowed_ip: int
) -> HttpResponse:
    """Switch a row off, or on again; asks first as removing does."""
    key, row = _find(request, identifier, allowed_ip)
    active = not row.active
    rows = [each for each in key.allowed_ips.all() if each != row]
    switched = AllowedIP(key=key, network=row.network, deny=row.deny, active=active)
    question = _ask(request, key, row, [*rows, switched], "keys/allowed_ip_switch.html")
    if question is not None:
        return question
    try:
        services.change_allowed_ip(actor=request.user, allowed_ip=row, active=active)
    except APIKey.DoesNotExist:
        return refuse_revoked(request, key)
    except ValidationError as problems:
        messages.error(request, " ".join(problems.messages))
    except ApprovalRequiredError as refusal:
        messages.error(request, str(refusal))
    else:
        done = _("%(row)s counts again.") if active else _("%(row)s is switched off.")
        messages.success(request, done % {"row": row})
    return _to_access(request, key)


def _context(request: OrganizationRequest, key: APIKey, form: AllowedIPForm) -> dict[str, Any]:
    uses = policy.visible(request.user, ScopeUse.objects.filter(key=key))
    used = {use.code: use for use in uses}
    trial_form = AddressForm(request.GET if "address" in request.GET else None)
    trial = _try_address(key, trial_form)
    held = policy.held_scopes(key, key.organization)
    return {
        "form": form,
        "scopes": [
            {"scope": scope, "use": used.get(scope.code), "is_effective": scope.code in held}
            for scope in key.scope_rows
        ],
        "has_lost": not held.issuperset(key.scope_codes),
        "address_form": trial_form,
        "trial": trial,
        "own_address": request.client_address,
        "server_addresses": list(followed_addresses(request, key)),
    }


def _try_address(key: APIKey, form: AddressForm) -> dict[str, Any] | None:
    """Return what a request from that address would get."""
    if key.current_secret is None or not form.is_valid():
        return None
    address = form.cleaned_data["address"]
    snapshot = snapshots.take(key.current_secret)
    code = judge(snapshot, Question(now=timezone.now(), address=address))
    return {"address": address, "code": code, "is_accepted": code is Code.VALID}


def _find(
    request: OrganizationRequest, identifier: str, allowed_ip: int
) -> tuple[APIKey, AllowedIP]:
    key = load_key(request, identifier, "allowed_ips")
    row = get_object_or_404(key.allowed_ips.all(), pk=allowed_ip)
    policy.require(request.user, Permission.CHANGE_APIKEY, key)
    return key, row


def _ask(
    request: OrganizationRequest,
    key: APIKey,
    row: AllowedIP,
    rows: list[AllowedIP],
    template: str,
) -> HttpResponse | None:
    """Return the page that asks whether the list shall become so; None when it need not."""
    consequence = Consequence.of(key, rows, request.client_address)
    if not consequence.asks or "confirmed" in request.POST:
        return None
    context = {
        "key": key,
        "row": row,
        "consequence": consequence,
        "own_address": request.client_address,
        "back": reverse("keys:access", args=[request.organization.slug, key.identifier]),
    }
    return render_page(request, template, context)


def _to_access(request: OrganizationRequest, key: APIKey) -> HttpResponse:
    return redirect("keys:access", request.organization.slug, key.identifier)
