"""Change a key, or its state."""

from collections.abc import Callable
from datetime import timedelta

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from keys import policy, services
from keys.models import APIKey, UsageBucket
from keys.roles import Permission
from keys.views.base import (
    OrganizationRequest,
    get_key,
    in_organization,
    refuse_revoked,
    render_page,
    to_key,
)
from keys.views.usage import outcomes_since


@require_POST
@in_organization
def key_retire(request: OrganizationRequest, identifier: str, secret: int) -> HttpResponse:
    """End the overlap of a rotation: that old secret stops working now."""
    key = get_key(request, identifier)
    row = get_object_or_404(key.secrets.all(), pk=secret)
    try:
        services.retire_secret(actor=request.user, secret=row)
    except ValidationError as problems:
        messages.error(request, " ".join(problems.messages))
    except APIKey.DoesNotExist:
        return refuse_revoked(request, key)
    else:
        messages.success(request, _("The secret %(label)s no longer works.") % {"label": row.label})
    return to_key(request, key)


def _confirmed(
    action: str, permission: Permission, change: Callable[..., APIKey], done: Callable[[], str]
) -> Callable[..., HttpResponse]:
    """Make a view that asks first, then changes the state of a key."""

    @never_cache
    @require_http_methods(["GET", "HEAD", "POST"])
    @in_organization
    def view(request: OrganizationRequest, identifier: str) -> HttpResponse:
        key = get_key(request, identifier)
        policy.require(request.user, permission, key)
        if key.revoked_at:
            return refuse_revoked(request, key)
        if request.method == "POST":
            try:
                change(actor=request.user, key=key)
            except APIKey.DoesNotExist:
                return refuse_revoked(request, key)
            messages.success(request, done() % {"name": key.name})
            return to_key(request, key)
        buckets = policy.visible(request.user, UsageBucket.objects.filter(key=key))
        since = timezone.now() - timedelta(days=1)
        context = {"key": key, "last_day": outcomes_since(buckets, since)}
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
)


key_revoke = _confirmed(
    "revoke",
    Permission.DELETE_APIKEY,
    services.revoke_key,
    lambda: _("“%(name)s” is revoked for good."),
)


key_lock = _confirmed(
    "lock",
    Permission.LOCK_APIKEY,
    services.lock_key,
    lambda: _("“%(name)s” is locked: only staff can let it work again."),
)


key_unlock = _confirmed(
    "unlock",
    Permission.LOCK_APIKEY,
    services.unlock_key,
    lambda: _("“%(name)s” is no longer locked."),
)
