"""The audit trail of an organization: filtered, by the page, and as a file."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from keys import audit_checks, chain, policy, services, spreadsheets, standby
from keys.audit_filters import AuditFilter
from keys.forms.search import SearchForm
from keys.models import APIKey, AuditEvent
from keys.roles import Permission
from keys.search import problem_of_length
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

_TYPED = ("actor", "object", "address", "request_id")


@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def audit_trail(request: OrganizationRequest) -> HttpResponse:
    """What happened in the organization. The filter is sent as POST: a secret that somebody
    pastes into it gets into no URL and no log."""
    policy.require(request.user, Permission.VIEW_AUDITEVENT, request.organization)
    if request.method == "POST":
        return _go_to_filtered(request)
    services.note_read(
        actor=request.user,
        obj=request.organization,
        organization=request.organization,
        action="audit.read",
    )
    filters = _filter(request)
    page = newest_first(
        filters.qs.select_related("actor_user"),
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
        "chain": audit_checks.standing(request.organization.pk),
        "is_filtered": any(filters.form[name].value() for name in filters.base_filters),
    }
    template = "keys/audit_results.html" if is_swap(request) else "keys/organization_audit.html"
    return render_page(request, template, context)


@require_GET
@in_organization
def audit_export(request: OrganizationRequest) -> StreamingHttpResponse:
    """The events that the filter lets through, all of them, as a table."""
    events = _taken_away(request, "csv").order_by("-pk")
    rows = standby.rows(lambda: (_row(event) for event in events.iterator(chunk_size=1000)))
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
    return spreadsheets.answer(_file_name(request), header, rows)


@require_GET
@in_organization
def audit_export_lines(request: OrganizationRequest) -> StreamingHttpResponse:
    """The events that the filter lets through as lines of JSON, each chain in its order.

    They hold everything that is stored, so that `manage.py verify_audit --file` can check them
    without the database.
    """
    events = _taken_away(request, "jsonl").order_by("sequence", "pk")
    rows = events.values(*chain.EVENT_FIELDS, "hash")
    return StreamingHttpResponse(
        standby.rows(
            lambda: (
                json.dumps(chain.plain_event(row)) + "\n" for row in rows.iterator(chunk_size=1000)
            )
        ),
        content_type="application/jsonl; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{_file_name(request)}.jsonl"',
            "Cache-Control": "no-store",
        },
    )


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


def _taken_away(request: OrganizationRequest, file_format: str) -> QuerySet[AuditEvent]:
    """Return the events that the filter lets through; it is recorded that somebody took them."""
    filters = _filter(request)
    filters.errors  # noqa: B018 - validates, so that cleaned_data is there
    found = filters.qs
    services.note_audit_export(
        actor=request.user,
        organization=request.organization,
        file_format=file_format,
        filters={
            name: str(value)
            for name, value in filters.form.cleaned_data.items()
            if value and not (name in _TYPED and _is_sensitive(str(value)))
        },
    )
    return found


def _file_name(request: OrganizationRequest) -> str:
    return f"{request.organization.slug}-audit-trail"


def _is_sensitive(text: str) -> bool:
    return SearchForm({"search": text}).is_sensitive


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
        typed = parameters.get(name, "")
        if _is_sensitive(typed):
            del parameters[name]
            of_secret = _(
                "That looks like a part of a secret. Look for keys by name, or by their page."
            )
            messages.warning(request, problem_of_length(typed) or of_secret)
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
