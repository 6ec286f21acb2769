"""Take over keys from a file: look through it first, then import what the person saw."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import policy, services
from keys.forms.importing import (
    MAX_FILE_BYTES,
    ImportForm,
    LookedThroughForm,
    Parcel,
    options_of,
    parcel_of,
)
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page

PROBLEMS_SHOWN = 100


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_import(request: OrganizationRequest) -> HttpResponse:
    """Upload a file of keys, read what would become of it, and import it."""
    organization = request.organization
    policy.require(request.user, Permission.ADD_APIKEY, organization)
    if "sealed" in request.POST:
        return _import(request)
    form = ImportForm(
        request.POST or None,
        request.FILES or None,
        actor=request.user,
        organization=organization,
    )
    if not form.is_valid():
        return render_page(request, "keys/import.html", {"form": form, "limit": MAX_FILE_BYTES})
    parcel = parcel_of(form)
    report = _take(request, parcel, is_trial=True)
    return _show(request, report, sealed=parcel.seal(request.user, organization))


def _import(request: OrganizationRequest) -> HttpResponse:
    form = LookedThroughForm(request.POST)
    parcel = None
    if form.is_valid():
        sealed = form.cleaned_data["sealed"]
        parcel = Parcel.unseal(sealed, request.user, request.organization)
    if parcel is None:
        messages.error(request, _("This file was uploaded too long ago. Choose it again."))
        return redirect("keys:import", request.organization.slug)
    report = _take(request, parcel, skips_invalid=form.cleaned_data["skips_invalid"])
    if not report.is_written:
        return _show(request, report)
    messages.success(request, _told(report))
    return redirect("keys:list", request.organization.slug)


def _told(report: services.ImportReport) -> str:
    """Return what became of a file that was imported."""
    imported = _("Nothing was imported.")
    if report.imported:
        imported = ngettext(
            "%(count)d key was imported.", "%(count)d keys were imported.", report.imported
        ) % {"count": report.imported}
    if not report.present:
        return imported
    present = ngettext(
        "%(count)d was here already.", "%(count)d were here already.", report.present
    ) % {"count": report.present}
    return f"{imported} {present}"


def _take(request: OrganizationRequest, parcel: Parcel, **wishes: bool) -> services.ImportReport:
    options = options_of(parcel, request.user, request.organization, **wishes)
    return services.import_keys(
        actor=request.user,
        organization=request.organization,
        source=lambda: [parcel.content],
        options=services.ImportOptions(**options),
    )


def _show(
    request: OrganizationRequest, report: services.ImportReport, sealed: str = ""
) -> HttpResponse:
    context = {
        "report": report,
        "problems": report.problems[:PROBLEMS_SHOWN],
        "unshown": report.found - len(report.problems[:PROBLEMS_SHOWN]),
        "sealed": sealed,
    }
    return render_page(request, "keys/import_report.html", context)
