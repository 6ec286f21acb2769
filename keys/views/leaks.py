"""Keys that somebody found: the public form, and what an organization sees of it."""

from functools import partial

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from keys import policy, services
from keys.forms.telling import FoundForm
from keys.roles import Permission
from keys.rules import rules_of
from keys.scanner_rules import SCANNERS
from keys.services.enforcing import shown_alone
from keys.services.leaks import look_up_later
from keys.views.base import OrganizationRequest, in_organization, render_page
from keys.views.numbered import take_numbered

ROWS_SHOWN = 25


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def found(request: HttpRequest) -> HttpResponse:
    """Take in a key that somebody found. The answer is the same whosever it is."""
    form = FoundForm(request.POST if request.method == "POST" else None)
    status = 200
    if form.is_valid():
        try:
            taken = services.hand_in_secret(**form.cleaned_data)
        except ValidationError as problems:
            form.add_problems(problems)
        except services.TooManyReportsError:
            status = 429
            form.add_error(None, _("That were many from your address. Try again in an hour."))
        else:
            response = render(request, "keys/found.html", {"is_thanked": True})
            # Whose it is, is looked up when the answer is on its way.
            response._resource_closers.append(partial(look_up_later, taken))  # type: ignore[attr-defined]
            return response
    return render(request, "keys/found.html", {"form": form}, status=status)


@login_not_required
@require_safe
def scanner_rules(request: HttpRequest, scanner: str) -> HttpResponse:
    """The rules by which a scanner finds keys of this installation, to download."""
    if scanner not in SCANNERS:
        raise Http404
    name, write = SCANNERS[scanner]
    return HttpResponse(
        write(),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@require_safe
@in_organization
def leak_reports(request: OrganizationRequest) -> HttpResponse:
    """The keys that somebody found, as far as the person may see them."""
    rows = policy.visible(request.user, request.organization.leak_reports.all())
    rows = policy.with_permissions(
        request.user, rows, Permission.CHANGE_APIKEY, Permission.DELETE_APIKEY
    )
    rows = rows.select_related("key__owner", "key__role")
    rows = rows.prefetch_related("key__scopes", "key__role__scopes")
    page = take_numbered(rows, request.GET.get("page"), ROWS_SHOWN)
    context = {
        "page": page,
        "rotatable": shown_alone(
            request.user, rules_of(request.organization), [report.key for report in page]
        ),
        "scanners": SCANNERS,
    }
    return render_page(request, "keys/leaks.html", context)


@require_POST
@in_organization
def leak_settle(request: OrganizationRequest, report_id: int) -> HttpResponse:
    """Say that all was done about a key that was found."""
    rows = policy.visible(request.user, request.organization.leak_reports.all())
    report = get_object_or_404(rows.select_related("key", "organization"), pk=report_id)
    services.settle_leak(actor=request.user, report=report)
    messages.success(request, _("The report on “%(name)s” is settled.") % {"name": report.key})
    return redirect("keys:leaks", request.organization.slug)
