"""What a key was used for, decision by decision, and what was changed about it."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from keys import policy
from keys.audit_filters import KeyAuditFilter
from keys.forms.history import DecisionFilter
from keys.models import Decision
from keys.templatetags.outcomes import outcome
from keys.verification import Code
from keys.views.base import OrganizationRequest, in_organization, query_without
from keys.views.key_page import events_of, load_key, render_tab
from keys.views.paging import newest_first

DECISIONS_SHOWN = 25
EVENTS_SHOWN = 50


@require_safe
@in_organization
def key_activity(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """The decisions about a key that are kept, newest first."""
    key = load_key(request, identifier)
    form = DecisionFilter(request.GET, words={code: outcome(code) for code in Code})
    decisions = policy.visible(request.user, Decision.objects.filter(key=key))
    page = newest_first(
        form.narrow(decisions.select_related("secret")),
        after=request.GET.get("after", ""),
        before=request.GET.get("before", ""),
        size=DECISIONS_SHOWN,
    )
    return render_tab(
        request,
        "keys/apikey_activity.html",
        key,
        {
            "form": form,
            "page": page,
            "is_narrowed": bool(
                form.cleaned_data.get("outcome") or form.cleaned_data.get("address")
            ),
            "is_newest": not {"after", "before"} & request.GET.keys(),
            "query": query_without(request, without=["after", "before"]),
        },
    )


@require_safe
@in_organization
def key_audit(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """What was done to a key, by whom and from where, newest first."""
    key = load_key(request, identifier)
    filters = KeyAuditFilter(request.GET, queryset=events_of(request, key), request=request)
    page = newest_first(
        filters.qs,
        after=request.GET.get("after", ""),
        before=request.GET.get("before", ""),
        size=EVENTS_SHOWN,
    )
    return render_tab(
        request,
        "keys/apikey_audit.html",
        key,
        {
            "filters": filters,
            "page": page,
            "events": page.rows,
            "is_narrowed": any(filters.form[name].value() for name in filters.base_filters),
            "query": query_without(request, without=["after", "before"]),
        },
    )
