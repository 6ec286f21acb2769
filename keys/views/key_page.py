"""What the pages of one key share: the key, what the person may do with it, its header."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, prefetch_related_objects
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone

from keys import policy
from keys.models import APIKey, AuditEvent, LeakReport, ServerAddress
from keys.roles import Permission
from keys.views.base import OrganizationRequest, render_page, visible_keys

# What the header and the tabs offer.
_OFFERED = (
    Permission.CHANGE_APIKEY,
    Permission.ROTATE_APIKEY,
    Permission.DELETE_APIKEY,
    Permission.LOCK_APIKEY,
)


def load_key(request: OrganizationRequest, identifier: str, *parts: str) -> APIKey:
    """Return a key with its secrets, these parts of it, and what the person may do with it.

    `parts` are `allowed_ips` and `scopes`, wherever the key has its scopes from. Raises
    Http404.
    """
    # Only what a page shows of a key is loaded.
    keys = visible_keys(request).with_details().prefetch_related(None)
    keys = policy.with_permissions(request.user, keys, *_OFFERED)
    open_reports = LeakReport.objects.filter(key=OuterRef("pk"), settled_at=None)
    keys = keys.annotate(was_found=Exists(open_reports))
    request.key = key = get_object_or_404(keys, identifier=identifier)
    # Its policy came along with this one.
    key.organization = request.organization
    held = "role__scopes" if key.role_id else "scopes"
    prefetch_related_objects(
        [key], "secrets", *(held if each == "scopes" else each for each in parts)
    )
    return key


def followed_addresses(request: OrganizationRequest, key: APIKey) -> QuerySet[ServerAddress]:
    """Return the organization's server addresses, if the key follows them."""
    rows = policy.visible(request.user, request.organization.server_addresses.all())
    return rows if key.assign_server_ips else rows.none()


def events_of(request: OrganizationRequest, key: APIKey) -> QuerySet[AuditEvent]:
    """Return what was done to a key, newest first, as far as the person may see it."""
    events = request.organization.audit_events.filter(
        object_type=APIKey._meta.model_name, object_id=str(key.pk)
    )
    return policy.visible(request.user, events.select_related("actor_user"))


def render_tab(
    request: OrganizationRequest, template: str, key: APIKey, context: Mapping[str, Any]
) -> HttpResponse:
    """Return one of the pages of a key."""
    return render_page(request, template, {"key": key, "now": timezone.now(), **context})
