"""The audit trail of an organization: filtered, by the page, and as a file."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from keys import policy, spreadsheets
from keys.audit_filters import AuditFilter
from keys.forms.search import SearchForm
from keys.models import APIKey, AuditEvent
from keys.roles import Permission
from keys.templatetags.audit import differences, plain_sentence
from keys.views.base import (
    OrganizationRequest,
    in_organization,
    is_swap,
    query_without,
    render_page,
    visible_keys,
)
from keys.views.paging import newest_first

EVENTS_SHOWN = 50

_TYPED = ("actor", "object")


@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def audit_trail(request: OrganizationRequest) -> HttpResponse:
    """What happened in the organization. The filter is sent as POST: a secret that somebody
    pastes into it gets into no URL and no log."""
    policy.require(request.user, Permission.VIEW_AUDITEVENT, request.organization)
    if request.method == "POST":
        return _go_to_filtered(request)
    filters = _filter(request)
    page = newest_first(
        filters.qs,
        after=request.GET.get("after", ""),
        before=request.GET.get("before", ""),
        size=EVENTS_SHOWN,
    )
    link_objects(request, page.rows)
    identifier = filters.form.cleaned_data.get("key") if filters.form.is_valid() else None
    context = {
        "filters": filters,
        "page": page,
        "query": query_without(request, without=("after", "before")),
        "query_without_key": query_without(request, without=("after", "before", "key")),
        "key": visible_keys(request).filter(identifier=identifier).first() if identifier else None,
        "is_filtered": any(filters.form[name].value() for name in filters.base_filters),
    }
    template = "keys/audit_results.html" if is_swap(request) else "keys/organization_audit.html"
    return render_page(request, template, context)


@require_safe
@in_organization
def audit_export(request: OrganizationRequest) -> StreamingHttpResponse:
    """The events that the filter lets through, all of them, as a table."""
    policy.require(request.user, Permission.VIEW_AUDITEVENT, request.organization)
    events = _filter(request).qs.order_by("-pk").iterator(chunk_size=1000)
    header = [
        _("When (UTC)"),
        _("What happened"),
        _("Changes"),
        _("Who"),
        _("Action"),
        _("Kind of object"),
        _("Object"),
        _("Number of the object"),
        _("Door"),
        _("From"),
        _("Request"),
    ]
    name = f"{request.organization.slug}-audit-trail"
    return spreadsheets.answer(name, header, (_row(event) for event in events))


def link_objects(request: OrganizationRequest, events: Iterable[AuditEvent]) -> None:
    """Set `object_url` of events about keys that the person may see: one query for them all."""
    model = APIKey._meta.model_name
    about_keys = [event for event in events if event.object_type == model]
    pks = {int(event.object_id) for event in about_keys}
    identifiers = dict(visible_keys(request).filter(pk__in=pks).values_list("pk", "identifier"))
    for event in about_keys:
        identifier = identifiers.get(int(event.object_id))
        if identifier:
            arguments = [request.organization.slug, identifier]
            event.object_url = reverse("keys:detail", args=arguments)  # type: ignore[attr-defined]


def _filter(request: OrganizationRequest) -> AuditFilter:
    return AuditFilter(request.GET, queryset=_events(request), request=request)


def _events(request: OrganizationRequest) -> QuerySet[AuditEvent]:
    return policy.visible(request.user, request.organization.audit_events.all())


def _go_to_filtered(request: OrganizationRequest) -> HttpResponse:
    parameters = {
        name: str(value).strip()
        for name, value in request.POST.items()
        if value and name in AuditFilter.base_filters
    }
    for name in _TYPED:
        if SearchForm({"search": parameters.get(name, "")}).is_sensitive:
            del parameters[name]
            messages.warning(
                request,
                _("That looks like a part of a secret. Look for keys by name, or by their page."),
            )
    url = reverse("keys:audit", args=[request.organization.slug])
    return redirect(f"{url}?{urlencode(parameters)}" if parameters else url)


def _row(event: AuditEvent) -> list[Any]:
    return [
        event.at,
        plain_sentence(event),
        "; ".join(map(str, differences(event))),
        event.actor_label,
        event.action,
        event.object_type,
        event.object_label,
        event.object_id,
        event.get_door_display(),
        event.address,
        event.request_id,
    ]
