"""The pages. Each reads through the policy, changes through a service, and renders.

The path names the organization: `/organizations/<slug>/…`. What a person may not see is
404, what they see but may not do is 403.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import wraps
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import TruncDay
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from keys import policy, services, snapshots
from keys.filters import KeyFilter, is_confined, take_page
from keys.forms import (
    AddressForm,
    EditForm,
    IssueForm,
    OnceForm,
    RotateForm,
    SearchForm,
    ServerAddressForm,
    SharedSecretForm,
)
from keys.models import APIKey, AuditEvent, KeyUsage, Organization, Scope, UsageBucket, User
from keys.models.keys import APIKeyQuerySet, Dialect, Status
from keys.networks import Address
from keys.roles import Permission
from keys.verification import Code, Question, Snapshot, judge

DAYS_SHOWN = 30
EVENTS_SHOWN = 10
FOLLOWERS_SHOWN = 20
# A session remembers so many forms that it must not carry out twice.
USED_FORMS_KEPT = 50

# (day, {verification code: requests}), oldest first.
Days = list[tuple[date, dict[str, int]]]


class PersonRequest(HttpRequest):
    """A request by somebody who signed in, as the middleware completes it."""

    user: User
    htmx: HtmxDetails
    client_address: Address | None


class OrganizationRequest(PersonRequest):
    """A request for a page of one organization, by a person who may see it."""

    organization: Organization
    organizations: list[Organization]


def in_organization(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Hand a view a request that knows the organization of its path, or answer 404."""

    @wraps(view)
    def wrapper(request: OrganizationRequest, organization: str, **kwargs: Any) -> HttpResponse:
        # One query for the switcher and the page; staff see organizations beyond their own.
        mine = policy.visible(request.user, Organization.objects.filter(members=request.user))
        request.organizations = list(mine)
        request.organization = next(
            (each for each in request.organizations if each.slug == organization), None
        ) or get_object_or_404(
            policy.visible(request.user, Organization.objects.all()), slug=organization
        )
        if request.session.get("organization") != organization:
            request.session["organization"] = organization
        return view(request, **kwargs)

    return wrapper


@require_safe
def home(request: PersonRequest) -> HttpResponse:
    """Go to the organization last looked at, else the person's first; say what to do without."""
    mine = policy.visible(request.user, Organization.objects.filter(members=request.user))
    last = request.session.get("organization")
    chosen = mine.filter(slug=last).first() or mine.first()
    if chosen is None:
        return render(request, "keys/home_empty.html", {"organizations": []})
    return redirect("keys:overview", chosen.slug)


@require_safe
@in_organization
def organization_overview(request: OrganizationRequest) -> HttpResponse:
    """How an organization's keys are doing, as far as the person sees them."""
    now = timezone.now()
    keys = _visible_keys(request)
    buckets = policy.visible(
        request.user, UsageBucket.objects.filter(key__organization=request.organization)
    )
    events = policy.visible(request.user, request.organization.audit_events.all())
    return _render(
        request,
        "keys/organization_overview.html",
        {
            "active": keys.with_status(Status.ACTIVE, now).count(),
            "expiring": keys.expiring_soon(now).count(),
            "last_day": _outcomes_since(buckets, now - timedelta(days=1)),
            "days": _outcomes_by_day(buckets, now),
            "hints": _hygiene(keys, now),
            "events": events[:EVENTS_SHOWN],
        },
    )


@require_safe
@in_organization
def key_list(request: OrganizationRequest) -> HttpResponse:
    """The keys of the organization that the person may see, filtered, sorted, by the page."""
    keys = _visible_keys(request).with_details()
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
    days = _outcomes_by_key_and_day(buckets, now)
    context = {
        "filters": filters,
        "chips": _chips(filters, request),
        "query": _query(request, without=("after", "before")),
        "page": page,
        "rows": [(key, days[key.pk]) for key in page.keys],
    }
    is_swap = request.htmx and not request.htmx.history_restore_request
    template = "keys/apikey_results.html" if is_swap else "keys/apikey_list.html"
    return _render(request, template, context)


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


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_create(request: OrganizationRequest) -> HttpResponse:
    """Issue a key; the answer to the form shows its secret, this once."""
    policy.require(request.user, Permission.ADD_APIKEY, request.organization)
    form = IssueForm(request.POST or None, **_form_arguments(request))
    if form.is_valid():
        if not _claim(request, form):
            return _already_shown(request, form)
        try:
            key = services.issue_key(
                actor=request.user, organization=request.organization, **form.issue_arguments()
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            return _show_secret(request, form, key, is_new=True)
    return _render(request, "keys/apikey_create.html", {"form": form})


@require_safe
@in_organization
def key_detail(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """Everything about one key."""
    key = _get_key(request, identifier)
    now = timezone.now()
    form = AddressForm(request.GET if "address" in request.GET else None)
    snapshot = snapshots.take(key.current_secret) if key.current_secret else None
    buckets = policy.visible(request.user, UsageBucket.objects.filter(key=key))
    return _render(
        request,
        "keys/apikey_detail.html",
        {
            "key": key,
            "now": now,
            "days": _outcomes_by_day(buckets, now),
            "remaining": key.remaining_at(now),
            "spent_percent": _spent_percent(key, now),
            "effective": _effective_scopes(key, snapshot),
            "address_form": form,
            "trial": _try_address(snapshot, form, now),
            "server_addresses": request.organization.server_addresses.all()
            if key.assign_server_ips
            else [],
            "events": _events_of(request, key),
        },
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_edit(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """Change a key."""
    key = _get_key(request, identifier)
    policy.require(request.user, Permission.CHANGE_APIKEY, key)
    if key.revoked_at:
        return _refuse_revoked(request, key)
    form = EditForm(request.POST or None, key=key, **_form_arguments(request))
    if form.is_valid():
        try:
            services.update_key(actor=request.user, key=key, **form.changes())
        except ValidationError as problems:
            form.add_problems(problems)
        except APIKey.DoesNotExist:
            return _refuse_revoked(request, key)
        else:
            messages.success(request, _("“%(name)s” was saved.") % {"name": form.data["name"]})
            return _to_key(request, key)
    return _render(request, "keys/apikey_edit.html", {"form": form, "key": key})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_rotate(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """Give a key a new secret; the answer to the form shows it, this once."""
    key = _get_key(request, identifier)
    policy.require(request.user, Permission.ROTATE_APIKEY, key)
    if key.revoked_at:
        return _refuse_revoked(request, key)
    form = RotateForm(request.POST or None)
    if form.is_valid():
        if not _claim(request, form):
            return _already_shown(request, form)
        try:
            key = services.rotate_key(actor=request.user, key=key, overlap=form.length)
        except APIKey.DoesNotExist:
            return _refuse_revoked(request, key)
        return _show_secret(request, form, key, is_new=False)
    return _render(request, "keys/apikey_rotate.html", {"form": form, "key": key})


@require_POST
@in_organization
def key_retire(request: OrganizationRequest, identifier: str, secret: int) -> HttpResponse:
    """End the overlap of a rotation: that old secret stops working now."""
    key = _get_key(request, identifier)
    row = get_object_or_404(key.secrets.all(), pk=secret)
    try:
        services.retire_secret(actor=request.user, secret=row)
    except ValidationError as problems:
        messages.error(request, " ".join(problems.messages))
    except APIKey.DoesNotExist:
        return _refuse_revoked(request, key)
    else:
        messages.success(request, _("The secret %(label)s no longer works.") % {"label": row.label})
    return _to_key(request, key)


def _confirmed(
    action: str, permission: Permission, change: Callable[..., APIKey], done: Callable[[], str]
) -> Callable[..., HttpResponse]:
    """Make a view that asks first, then changes the state of a key."""

    @never_cache
    @require_http_methods(["GET", "HEAD", "POST"])
    @in_organization
    def view(request: OrganizationRequest, identifier: str) -> HttpResponse:
        key = _get_key(request, identifier)
        policy.require(request.user, permission, key)
        if key.revoked_at:
            return _refuse_revoked(request, key)
        if request.method == "POST":
            try:
                change(actor=request.user, key=key)
            except APIKey.DoesNotExist:
                return _refuse_revoked(request, key)
            messages.success(request, done() % {"name": key.name})
            return _to_key(request, key)
        buckets = policy.visible(request.user, UsageBucket.objects.filter(key=key))
        since = timezone.now() - timedelta(days=1)
        context = {"key": key, "last_day": _outcomes_since(buckets, since)}
        return _render(request, f"keys/apikey_{action}.html", context)

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


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def shared_secret(request: OrganizationRequest) -> HttpResponse:
    """What clients of the token exchange sign with; the answer to the form shows it."""
    policy.require(request.user, Permission.REVEAL_SHAREDSECRET, request.organization)
    form = SharedSecretForm(request.POST or None)
    shown = ""
    if form.is_valid():
        if not _claim(request, form):
            messages.info(request, _("That was done already; nothing was done a second time."))
            return redirect("keys:shared-secret", request.organization.slug)
        is_new = form.cleaned_data["action"] == form.REPLACE
        service = services.rotate_shared_secret if is_new else services.reveal_shared_secret
        try:
            shown = service(actor=request.user, organization=request.organization)
        except ValidationError as problems:
            form.add_error(None, problems)
    context = {"form": form, "shared_secret": shown}
    return _render(request, "keys/organization_shared_secret.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def server_addresses(request: OrganizationRequest) -> HttpResponse:
    """The addresses allowed to keys that follow the organization's servers; add one."""
    rows = policy.visible(request.user, request.organization.server_addresses.all())
    form = ServerAddressForm(request.POST or None)
    if request.method == "POST":
        policy.require(request.user, Permission.CHANGE_ORGANIZATION, request.organization)
    if form.is_valid():
        try:
            row = services.add_server_address(
                actor=request.user, organization=request.organization, **form.cleaned_data
            )
        except ValidationError as problems:
            form.add_error(None, problems)
        else:
            messages.success(request, _("%(row)s is now a server address.") % {"row": row})
            return redirect("keys:server-addresses", request.organization.slug)
    followers = _visible_keys(request).live().filter(assign_server_ips=True)
    context = {"form": form, "rows": rows, "followers": followers[:FOLLOWERS_SHOWN]}
    return _render(request, "keys/organization_server_addresses.html", context)


@require_POST
@in_organization
def server_address_remove(request: OrganizationRequest, server_address_id: int) -> HttpResponse:
    """Take an address off the pool; keys that follow it stop working from there."""
    rows = policy.visible(request.user, request.organization.server_addresses.all())
    row = get_object_or_404(rows, pk=server_address_id)
    services.remove_server_address(actor=request.user, server_address=row)
    messages.success(request, _("%(row)s is no longer a server address.") % {"row": row})
    return redirect("keys:server-addresses", request.organization.slug)


def _render(
    request: OrganizationRequest, template: str, context: Mapping[str, Any]
) -> HttpResponse:
    response = render(
        request,
        template,
        {
            "organization": request.organization,
            "organizations": request.organizations,
            **context,
        },
    )
    # The same address answers a whole page, or the part of it that htmx swaps.
    patch_vary_headers(response, ["HX-Request"])
    return response


def _visible_keys(request: OrganizationRequest) -> APIKeyQuerySet:
    keys = policy.visible(request.user, request.organization.api_keys.all())
    return cast(APIKeyQuerySet, keys)


def _get_key(request: OrganizationRequest, identifier: str) -> APIKey:
    return get_object_or_404(_visible_keys(request).with_details(), identifier=identifier)


def _to_key(request: OrganizationRequest, key: APIKey) -> HttpResponse:
    return redirect("keys:detail", request.organization.slug, key.identifier)


def _refuse_revoked(request: OrganizationRequest, key: APIKey) -> HttpResponse:
    messages.error(
        request, _("“%(name)s” is revoked; nothing brings it back.") % {"name": key.name}
    )
    return _to_key(request, key)


def _form_arguments(request: OrganizationRequest) -> dict[str, Any]:
    return {
        "actor": request.user,
        "organization": request.organization,
        "address": request.client_address,
    }


# One secret, once


def _claim(request: HttpRequest, form: OnceForm) -> bool:
    """Say whether this form is sent for the first time, and remember that it was.

    The row of the session is locked meanwhile: of two sendings at the same moment, one
    comes first. Only the form's token is kept, never a secret.
    """
    token = form.cleaned_data["token"]
    session = cast(SessionStore, request.session)
    with transaction.atomic():
        session.model.objects.select_for_update().filter(pk=session.session_key).first()
        used = SessionStore(session.session_key).get("used_forms", {})
        if token in used:
            return False
        used[token] = ""
        session["used_forms"] = dict(list(used.items())[-USED_FORMS_KEPT:])
        session.save()
    return True


def _show_secret(
    request: OrganizationRequest, form: OnceForm, key: APIKey, *, is_new: bool
) -> HttpResponse:
    request.session["used_forms"][form.cleaned_data["token"]] = key.identifier
    request.session.modified = True
    base_url = request.build_absolute_uri("/").rstrip("/")
    context = {
        "key": key,
        "is_new": is_new,
        "sees_itself": policy.allows(key, Permission.VIEW_APIKEY, key),
        "base_url": base_url,
        "is_for_exchange": key.dialect == Dialect.NETOGRAPHY,
        "netosecret": _netosecret(request, key, base_url),
    }
    return _render(request, "keys/apikey_secret.html", context)


def _netosecret(request: OrganizationRequest, key: APIKey, base_url: str) -> str:
    """Return what a client of the token exchange is configured with; empty when it is not for it.

    The key is issued already, and its secret is shown in any case.
    """
    if key.dialect != Dialect.NETOGRAPHY:
        return ""
    try:
        return services.assemble_netosecret(actor=request.user, key=key, portal_url=base_url)
    except (PermissionDenied, ValidationError):
        return ""


def _already_shown(request: OrganizationRequest, form: OnceForm) -> HttpResponse:
    identifier = request.session.get("used_forms", {}).get(form.cleaned_data["token"], "")
    context = {"key": _visible_keys(request).filter(identifier=identifier).first()}
    return _render(request, "keys/apikey_shown.html", context)


# The list


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
        query = _query(request, without=(name, "after", "before"))
        chips.append({"label": label, "query": query})
    return chips


def _query(request: HttpRequest, *, without: Iterable[str]) -> str:
    parameters = request.GET.copy()
    for name in without:
        parameters.pop(name, None)
    return parameters.urlencode()


def _open_by_secret(request: OrganizationRequest, secret: str) -> HttpResponse:
    row = snapshots.find_secret(secret)
    key = _visible_keys(request).filter(pk=row.key_id).first() if row else None
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


# How keys were used


def _outcomes_since(buckets: QuerySet[UsageBucket], since: datetime) -> dict[str, int]:
    """Return how many requests were accepted and refused since that hour."""
    hour = since.replace(minute=0, second=0, microsecond=0)
    sums = buckets.filter(hour__gte=hour).aggregate(
        accepted=Sum("requests", filter=Q(outcome=Code.VALID)),
        refused=Sum("requests", filter=~Q(outcome=Code.VALID)),
    )
    return {name: value or 0 for name, value in sums.items()}


def _outcomes_by_day(buckets: QuerySet[UsageBucket], now: datetime) -> Days:
    rows = _daily(buckets, now).values_list("day", "outcome").annotate(Sum("requests"))
    days = _empty_days(now)
    for day, outcome, requests in rows.order_by():
        days[day.date()][outcome] = requests
    return list(days.items())


def _outcomes_by_key_and_day(buckets: QuerySet[UsageBucket], now: datetime) -> dict[int, Days]:
    rows = _daily(buckets, now).values_list("key", "day", "outcome").annotate(Sum("requests"))
    keys: dict[int, dict[date, dict[str, int]]] = defaultdict(lambda: _empty_days(now))
    for key, day, outcome, requests in rows.order_by():
        keys[key][day.date()][outcome] = requests
    return defaultdict(list, {key: list(days.items()) for key, days in keys.items()})


def _daily(buckets: QuerySet[UsageBucket], now: datetime) -> QuerySet:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - timedelta(days=DAYS_SHOWN - 1)
    return buckets.filter(hour__gte=first).annotate(day=TruncDay("hour"))


def _empty_days(now: datetime) -> dict[date, dict[str, int]]:
    today = now.date()
    return {today - timedelta(days=age): {} for age in reversed(range(DAYS_SHOWN))}


# What a page says about keys


def _hygiene(keys: APIKeyQuerySet, now: datetime) -> list[dict[str, Any]]:
    """Return what is worth a look, each with how many keys and the filter that lists them."""
    active = keys.with_status(Status.ACTIVE, now)
    month_ago = now - timedelta(days=DAYS_SHOWN)
    idle = KeyUsage.objects.filter(key=OuterRef("pk"), last_used_at__gt=month_ago)
    hints = [
        {
            "count": keys.expiring_soon(now).count(),
            "text": _("expire within 14 days"),
            "query": "expiring=true&ordering=expires_at",
        },
        {
            "count": active.filter(expires_at=None).count(),
            "text": _("never expire"),
            "query": "status=active&ordering=-expires_at",
        },
        {
            "count": active.exclude(is_confined()).count(),
            "text": _("work from any address"),
            "query": "status=active&unrestricted=true",
        },
        {
            "count": active.filter(~Exists(idle), created_at__lt=month_ago).count(),
            "text": _("were not used for 30 days"),
            "query": "status=active&ordering=last_used_at",
        },
    ]
    return [hint for hint in hints if hint["count"]]


def _effective_scopes(key: APIKey, snapshot: Snapshot | None) -> list[tuple[Scope, bool]]:
    """Return each scope the key was given, with whether it counts today."""
    effective = snapshot.scopes if snapshot else frozenset()
    return [(scope, scope.code in effective) for scope in key.scope_rows]


def _spent_percent(key: APIKey, now: datetime) -> int:
    remaining = key.remaining_at(now)
    return round(100 - 100 * remaining / key.limit) if key.limit else 100


def _try_address(
    snapshot: Snapshot | None, form: AddressForm, now: datetime
) -> dict[str, Any] | None:
    """Return what a request from that address would get."""
    if snapshot is None or not form.is_valid():
        return None
    address = form.cleaned_data["address"]
    code = judge(snapshot, Question(now=now, address=address))
    return {"address": address, "code": code, "is_accepted": code is Code.VALID}


def _events_of(request: OrganizationRequest, key: APIKey) -> QuerySet[AuditEvent]:
    events = request.organization.audit_events.filter(
        object_type=APIKey._meta.model_name, object_id=str(key.pk)
    )
    return policy.visible(request.user, events)[:EVENTS_SHOWN]
