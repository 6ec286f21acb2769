"""The list of keys: narrowed, sorted, searched, by the page."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from keys import policy, series, snapshots
from keys.filters import KeyListFilter
from keys.forms.search import SearchForm
from keys.models.keys import APIKeyQuerySet, Status
from keys.orderings import DEFAULT_ORDERING, Page, take_page
from keys.roles import Permission
from keys.views.base import (
    OrganizationRequest,
    in_organization,
    is_swap,
    query_without,
    render_page,
    url_of,
    visible_keys,
)
from keys.views.saved_filters import SAVED_FILTERS, find_current


@require_safe
@in_organization
def key_list(request: OrganizationRequest) -> HttpResponse:
    """The keys of the organization that the person may see, filtered, sorted, by the page."""
    filters = KeyListFilter(request.GET, queryset=_listed_keys(request), request=request)
    page = take_page(
        filters.qs,
        filters.chosen_ordering,
        after=request.GET.get("after", ""),
        before=request.GET.get("before", ""),
        among=visible_keys(request),
    )
    lines = series.sparklines(actor=request.user, keys=page.keys, now=timezone.now())
    current = find_current(request.GET.dict())
    live = [key for key in page.keys if not key.revoked_at]
    context = {
        "filters": filters,
        "saved_filters": [(each, each is current) for each in SAVED_FILTERS],
        "chips": [] if current else _chips(filters, request),
        "headings": _headings(request),
        "query": query_without(request, without=("after", "before")),
        "page": page,
        "rows": [(key, lines[key.pk]) for key in page.keys],
        "shows_owners": any(key.owner_id != request.user.pk for key in page.keys),
        "may_change_some": any(key.may_change_apikey for key in live),
        "may_revoke_some": any(key.may_delete_apikey for key in live),
        "emptiness": None if page.keys else _explain_emptiness(request, filters, page),
        "among_revoked": _among_revoked(request),
        "base_url": request.build_absolute_uri("/").rstrip("/"),
    }
    template = "keys/apikey_results.html" if is_swap(request) else "keys/apikey_list.html"
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
        if value and name in KeyListFilter.base_filters
    }
    if parameters.get("ordering") == DEFAULT_ORDERING:
        del parameters["ordering"]
    if form.problem:
        parameters.pop("search", None)
        messages.warning(request, form.problem)
    url = reverse("keys:list", args=[request.organization.slug])
    return redirect(f"{url}?{urlencode(parameters)}" if parameters else url)


@dataclass(frozen=True)
class Heading:
    """A column's heading: its link sorts by the column, or turns the order around."""

    label: str | Promise
    # As `aria-sort` says it; empty: the list is in another order.
    direction: str = ""
    query: str = ""


# Column -> its label and its two orders, the one that people want first in front.
_SORTABLE = {
    "name": (gettext_lazy("Key"), "name", "-name"),
    "last_used": (gettext_lazy("Last used"), "-last_used_at", "last_used_at"),
    "expires": (gettext_lazy("Expires"), "expires_at", "-expires_at"),
}


def _headings(request: HttpRequest) -> dict[str, Heading]:
    rest = query_without(request, without=("after", "before", "ordering"))
    chosen = request.GET.get("ordering", "")
    headings = {}
    for column, (label, first, second) in _SORTABLE.items():
        is_sorted = chosen in (first, second)
        direction = ("descending" if chosen.startswith("-") else "ascending") if is_sorted else ""
        order = urlencode({"ordering": second if chosen == first else first})
        headings[column] = Heading(label, direction, f"{rest}&{order}" if rest else order)
    return headings


def _listed_keys(request: OrganizationRequest) -> APIKeyQuerySet:
    """Return the visible keys with what a row shows, in few queries, and may be done to them."""
    keys = visible_keys(request).select_related("organization", "workspace", "owner", "role")
    keys = keys.select_related("totals").prefetch_related("scopes", "allowed_ips", "secrets")
    return policy.with_permissions(
        request.user, keys, Permission.CHANGE_APIKEY, Permission.DELETE_APIKEY
    )


def _chips(filters: KeyListFilter, request: HttpRequest) -> list[dict[str, str]]:
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


def _explain_emptiness(request: OrganizationRequest, filters: KeyListFilter, page: Page) -> str:
    """Say why a page is empty: it is "beyond" the rest, or the list is: "unmatched", "revoked"
    (all are), or "none" there are."""
    if page.is_beyond_all:
        return "beyond"
    if filters.is_narrowed:
        return "unmatched"
    return "revoked" if visible_keys(request).exists() else "none"


def _among_revoked(request: HttpRequest) -> str:
    """Return the query string that looks for the same among revoked keys; empty: it does."""
    # A secret is looked for among revoked keys, too.
    if request.GET.get("status") or request.GET.get("secret"):
        return ""
    rest = query_without(request, without=("after", "before", "status"))
    return f"{rest}&status={Status.REVOKED}"


def _open_by_secret(request: OrganizationRequest, secret: str) -> HttpResponse:
    row = snapshots.find_secret(secret)
    key = visible_keys(request).filter(pk=row.key_id).first() if row else None
    url = reverse("keys:list", args=[request.organization.slug])
    if key is None or row is None:
        messages.warning(
            request,
            _(
                "No key that you can see in this organization has that secret."
                " Look for a typing error in it."
            ),
        )
        url = f"{url}?{urlencode({'secret': KeyListFilter.OF_NONE})}"
    else:
        messages.success(
            request,
            _("The secret that you pasted is %(label)s of this key.") % {"label": row.label},
        )
        url = url_of(request, key)
    # htmx would follow a plain redirect and swap the page that it finds into the list.
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)
