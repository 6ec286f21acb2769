"""The list of keys: narrowed, sorted, searched, by the page."""

from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from keys import policy, snapshots
from keys.filters import KeyFilter, take_page
from keys.forms.search import SearchForm
from keys.models import Scope, UsageBucket
from keys.views.base import (
    OrganizationRequest,
    in_organization,
    query_without,
    render_page,
    visible_keys,
)
from keys.views.usage import outcomes_by_key_and_day


@require_safe
@in_organization
def key_list(request: OrganizationRequest) -> HttpResponse:
    """The keys of the organization that the person may see, filtered, sorted, by the page."""
    keys = visible_keys(request).with_details()
    filters = KeyFilter(request.GET, queryset=keys, request=request)
    _offer_choices(filters, request)
    page = take_page(
        filters.qs,
        filters.chosen_ordering,
        after=request.GET.get("after", ""),
        before=request.GET.get("before", ""),
    )
    now = timezone.now()
    buckets = policy.visible(request.user, UsageBucket.objects.filter(key__in=page.keys))
    days = outcomes_by_key_and_day(buckets, now)
    context = {
        "filters": filters,
        "chips": _chips(filters, request),
        "query": query_without(request, without=("after", "before")),
        "page": page,
        "rows": [(key, days[key.pk]) for key in page.keys],
    }
    is_swap = request.htmx and not request.htmx.history_restore_request
    template = "keys/apikey_results.html" if is_swap else "keys/apikey_list.html"
    return render_page(request, template, context)


@require_POST
@in_organization
def key_search(request: OrganizationRequest) -> HttpResponse:
    """Go to the list as it was asked for, or to the key of which a whole secret was pasted.

    Sent as POST, so that a secret that somebody pastes never gets into a URL or a log.
    """
    form = SearchForm(request.POST)
    if form.is_valid() and form.secret:
        return _open_by_secret(request, form.secret)
    parameters = {
        name: str(value).strip()
        for name, value in request.POST.items()
        if value and name in KeyFilter.base_filters
    }
    if form.is_sensitive:
        parameters.pop("search", None)
        messages.warning(
            request,
            _("That looks like a part of a secret. Paste all of it to find its key."),
        )
    url = reverse("keys:list", args=[request.organization.slug])
    return redirect(f"{url}?{urlencode(parameters)}" if parameters else url)


def _offer_choices(filters: KeyFilter, request: OrganizationRequest) -> None:
    """Narrow what the filter offers to this organization."""
    fields = filters.form.fields
    fields["workspace"].queryset = policy.visible(
        request.user, request.organization.workspaces.all()
    )
    scopes = policy.visible(request.user, Scope.objects.available_to(request.organization))
    codes = scopes.values_list("code", flat=True)
    fields["scope"].widget = forms.Select(
        choices=[("", _("Any")), *((code, code) for code in codes)]
    )


def _chips(filters: KeyFilter, request: HttpRequest) -> list[dict[str, str]]:
    """Return each filter in use, in words, with the query string of the list without it."""
    chips = []
    for name, value in filters.form.cleaned_data.items():
        if name == "ordering" or value in (None, "", False):
            continue
        field = filters.form.fields[name]
        words = dict(getattr(field, "choices", [])).get(value, value)
        label = field.label if value is True else f"{field.label}: {words}"
        query = query_without(request, without=(name, "after", "before"))
        chips.append({"label": label, "query": query})
    return chips


def _open_by_secret(request: OrganizationRequest, secret: str) -> HttpResponse:
    row = snapshots.find_secret(secret)
    key = visible_keys(request).filter(pk=row.key_id).first() if row else None
    url = reverse("keys:list", args=[request.organization.slug])
    if key is None or row is None:
        messages.warning(
            request, _("No key that you can see in this organization has that secret.")
        )
    else:
        messages.success(
            request,
            _("The secret that you pasted is %(label)s of this key.") % {"label": row.label},
        )
        url = reverse("keys:detail", args=[request.organization.slug, key.identifier])
    # htmx would follow a plain redirect and swap the page that it finds into the list.
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)
