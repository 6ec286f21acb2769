"""The pages of the reports: the list, one as a table, one as a file."""

from datetime import datetime
from itertools import islice
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from keys import services, spreadsheets, standby
from keys.admin.reports import REPORTS, Report
from keys.templatetags.dates import on

# On the page; the file holds them all.
ROWS_SHOWN = 200


@require_safe
def show_list(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Say which reports there are and what each answers."""
    return TemplateResponse(
        request,
        "admin/report_list.html",
        {**context, "title": _("Reports"), "reports": REPORTS},
    )


@require_safe
def show(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    """Show the first rows of a report."""
    report = _get(name)
    services.note_read(
        actor=request.user,
        obj=request.user,
        organization=None,
        action="installation.read",
        at={"report": name},
    )
    found = standby.rows(lambda: report.find(request.user, timezone.now()))
    rows = list(islice(found, ROWS_SHOWN + 1))
    return TemplateResponse(
        request,
        "admin/report.html",
        {
            **context,
            "title": report.title,
            "name": name,
            "report": report,
            "rows": [
                {"url": row["url"], "cells": [_cell(row[column]) for column in report.columns]}
                for row in rows[:ROWS_SHOWN]
            ],
            "shown": ROWS_SHOWN,
            "is_more": len(rows) > ROWS_SHOWN,
        },
    )


@require_safe
def download(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """Answer all rows of a report as a file, made as it is sent."""
    report = _get(name)
    services.note_report_export(actor=request.user, report=name)
    rows = standby.rows(lambda: report.find(request.user, timezone.now()))
    cells = ([row[column] for column in report.columns] for row in rows)
    return spreadsheets.answer(name, report.columns.values(), cells)


def _get(name: str) -> Report:
    if name not in REPORTS:
        raise Http404
    return REPORTS[name]


def _cell(value: Any) -> str | SafeString | int:
    if value is None:
        return "–"
    return on(value) if isinstance(value, datetime) else value
