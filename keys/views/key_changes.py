"""Change a key, or its state."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from keys import policy, series, services
from keys.forms.states import LockForm, QuietForm
from keys.models import APIKey
from keys.roles import Permission
from keys.services import Revocation
from keys.views.base import (
    OrganizationRequest,
    get_key,
    in_organization,
    refuse_revoked,
    render_page,
    to_key,
    url_of,
)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_retire(request: OrganizationRequest, identifier: str, secret: int) -> HttpResponse:
    """Ask whether to end the overlap of a rotation, and do so: that old secret stops now."""
    key = get_key(request, identifier)
    row = get_object_or_404(key.secrets.all(), pk=secret)
    policy.require(request.user, Permission.CHANGE_APIKEY, key)
    if key.revoked_at:
        return refuse_revoked(request, key)
    if request.method != "POST":
        context = {"key": key, "secret": row, "back": url_of(request, key)}
        return render_page(request, "keys/secret_retire.html", context)
    try:
        services.retire_secret(actor=request.user, secret=row)
    except ValidationError as problems:
        messages.error(request, " ".join(problems.messages))
    except APIKey.DoesNotExist:
        return refuse_revoked(request, key)
    else:
        messages.success(request, _("The secret %(label)s no longer works.") % {"label": row.label})
    return _to_rotation(request, key)


@require_POST
@in_organization
def key_quiet(request: OrganizationRequest, identifier: str, secret: int) -> HttpResponse:
    """Let an old secret end as soon as it was not used for some hours."""
    key = get_key(request, identifier)
    row = get_object_or_404(key.secrets.all(), pk=secret)
    policy.require(request.user, Permission.CHANGE_APIKEY, key)
    form = QuietForm(request.POST)
    if not form.is_valid():
        problem = " ".join(form.errors["hours"])
        messages.error(request, _("Hours without use: %(problem)s") % {"problem": problem})
        return _to_rotation(request, key)
    hours = form.cleaned_data["hours"]
    try:
        services.retire_secret(actor=request.user, secret=row, quiet_hours=hours)
    except ValidationError as problems:
        messages.error(request, " ".join(problems.messages))
    except APIKey.DoesNotExist:
        return refuse_revoked(request, key)
    else:
        done = ngettext(
            "The secret %(label)s ends when it was not used for %(hours)d hour.",
            "The secret %(label)s ends when it was not used for %(hours)d hours.",
            hours,
        )
        messages.success(request, done % {"label": row.label, "hours": hours})
    return _to_rotation(request, key)


def _to_rotation(request: OrganizationRequest, key: APIKey) -> HttpResponse:
    return redirect("keys:rotation", request.organization.slug, key.identifier)


def _confirmed(
    action: str,
    permission: Permission,
    change: Callable[..., Any],
    done: Callable[[], str],
    form_class: type[forms.Form] = forms.Form,
    tell: Callable[[OrganizationRequest, Any], None] | None = None,
    reason: Callable[[APIKey], str] = lambda _key: "",
) -> Callable[..., HttpResponse]:
    """Make a view that asks first, then changes the state of a key with what the form says.

    `tell` adds to what is `done` what the change returned. With a `reason` why it cannot be,
    nothing is offered.
    """

    @never_cache
    @require_http_methods(["GET", "HEAD", "POST"])
    @in_organization
    def view(request: OrganizationRequest, identifier: str) -> HttpResponse:
        key = get_key(request, identifier)
        policy.require(request.user, permission, key)
        if key.revoked_at:
            return refuse_revoked(request, key)
        form = form_class(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                changed = change(actor=request.user, key=key, **form.cleaned_data)
            except APIKey.DoesNotExist:
                return refuse_revoked(request, key)
            except ValidationError as problems:
                messages.error(request, " ".join(problems.messages))
                return to_key(request, key)
            messages.success(request, done() % {"name": key.name})
            if tell is not None:
                tell(request, changed)
            return to_key(request, key)
        last_day = series.totals_since(
            actor=request.user,
            keys=APIKey.objects.filter(pk=key.pk),
            # With the running hour, whose beginning counts too.
            since=timezone.now() - timedelta(hours=23),
        )
        context = {
            "key": key,
            "form": form,
            "last_day": last_day,
            "reason": reason(key),
            "back": url_of(request, key),
        }
        return render_page(request, f"keys/apikey_{action}.html", context)

    view.__name__ = view.__qualname__ = f"key_{action}"
    view.__doc__ = f"Ask whether to {action} a key, and do so."
    return view


key_disable = _confirmed(
    "disable",
    Permission.CHANGE_APIKEY,
    services.disable_key,
    lambda: _("“%(name)s” is disabled: every request is refused until you enable it."),
)


key_enable = _confirmed(
    "enable",
    Permission.CHANGE_APIKEY,
    services.enable_key,
    lambda: _("“%(name)s” works again."),
    reason=services.reason_to_stay_disabled,
)


key_revoke = _confirmed(
    "revoke",
    Permission.DELETE_APIKEY,
    services.revoke_key,
    lambda: _("“%(name)s” is revoked for good."),
)


def _tell_who_confirmed(request: OrganizationRequest, revocation: Revocation) -> None:
    confirmed, missing = (", ".join(hosts) for hosts in (revocation.confirmed, revocation.missing))
    if missing:
        message = _(
            "Not confirmed by %(hosts)s, which may be cut off or stopped. Whatever runs there "
            "stops accepting the key by itself, %(seconds)g s after it was revoked at the latest."
        )
        messages.warning(request, message % {"hosts": missing, "seconds": revocation.lease_seconds})
    if confirmed:
        message = _("Confirmed by every process of %(hosts)s: none accepts it any more.")
        messages.success(request, message % {"hosts": confirmed})
    if not confirmed and not missing:
        messages.success(request, _("No process judges keys at this moment; none remembers it."))


key_revoke_everywhere = _confirmed(
    "revoke_everywhere",
    Permission.DELETE_APIKEY,
    services.revoke_key_everywhere,
    lambda: _("“%(name)s” is revoked for good."),
    tell=_tell_who_confirmed,
)


key_lock = _confirmed(
    "lock",
    Permission.LOCK_APIKEY,
    services.lock_key,
    lambda: _("“%(name)s” is locked: only staff can let it work again."),
    LockForm,
)


key_unlock = _confirmed(
    "unlock",
    Permission.LOCK_APIKEY,
    services.unlock_key,
    lambda: _("“%(name)s” is no longer locked."),
)
