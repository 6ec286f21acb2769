"""Change many keys: choose, look at what will change, confirm."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import policy, services
from keys.forms.bulk import CHANGE_FORMS, ChangeForm, ConfirmForm, SelectionForm
from keys.services.bulk import Plan
from keys.views.base import OrganizationRequest, in_organization, render_page, visible_keys
from keys.views.once import claim

# A message names so many of the keys that were skipped.
SKIPPED_NAMED = 10
NAMED_AT_FIRST = 20


@never_cache
@require_http_methods(["GET", "POST"])
@in_organization
def key_bulk(request: OrganizationRequest) -> HttpResponse:
    """Ask what a change needs to know, show what it will change, carry it out when confirmed.

    POST takes `action`, a `key` (identifier) for each key, and `next`, the page to return
    to. `step` says what the person wants: "preview", "confirm", "ask" to answer anew, or
    nothing at first.
    """
    selection = SelectionForm(request.POST)
    if request.method == "GET" or not selection.is_valid():
        if request.method == "POST":
            problems = [each for errors in selection.errors.values() for each in errors]
            messages.warning(request, " ".join(problems))
        return redirect(_way_back(request))
    step = request.POST.get("step", "")
    form = _change_form(request, selection.cleaned_data["action"], is_answered=bool(step))
    if form.fields and (step == "ask" or not form.is_valid()):
        return _ask(request, selection, form)
    confirmation = ConfirmForm(request.POST)
    if step == "confirm" and confirmation.is_valid():
        if not claim(request, confirmation):
            messages.info(request, _("That was done already; nothing was done twice."))
            return redirect(_way_back(request))
        return _carry_out(request, selection, form)
    return _preview(request, selection, form)


def _change_form(request: OrganizationRequest, action: str, *, is_answered: bool) -> ChangeForm:
    form_class = CHANGE_FORMS[action]
    servers = policy.visible(request.user, request.organization.server_addresses.all())
    return form_class(
        request.POST if is_answered or not form_class.base_fields else None,
        address=request.client_address,
        server_networks=tuple(servers.values_list("network", flat=True)),
    )


def _ask(request: OrganizationRequest, selection: SelectionForm, form: ChangeForm) -> HttpResponse:
    keys = visible_keys(request).filter(identifier__in=selection.seen).order_by("name", "pk")
    names = list(keys.values_list("name", flat=True))
    context = {
        "selection": selection,
        "form": form,
        "names": names[:NAMED_AT_FIRST],
        "count": len(names),
        "unnamed": max(len(names) - NAMED_AT_FIRST, 0),
        "way_back": _way_back(request),
    }
    return render_page(request, "keys/apikey_bulk.html", context)


def _preview(
    request: OrganizationRequest, selection: SelectionForm, form: ChangeForm
) -> HttpResponse:
    change = form.change
    plan = services.plan_change(
        actor=request.user,
        organization=request.organization,
        identifiers=selection.seen.keys(),
        change=change,
    )
    context = {
        "action": selection.cleaned_data["action"],
        "form": form,
        "change": change,
        "plan": plan,
        "confirmation": ConfirmForm(),
        "way_back": _way_back(request),
    }
    return render_page(request, "keys/apikey_bulk_preview.html", context)


def _carry_out(
    request: OrganizationRequest, selection: SelectionForm, form: ChangeForm
) -> HttpResponse:
    plan = services.change_keys(
        actor=request.user,
        organization=request.organization,
        seen=selection.seen,
        change=form.change,
    )
    if plan.changing:
        done = _describe_done(selection.cleaned_data["action"], len(plan.changing))
        messages.success(request, done)
    if plan.skipped or plan.missing:
        messages.warning(request, _describe_skipped(plan))
    return redirect(_way_back(request))


def _describe_done(action: str, count: int) -> str:
    sentences: dict[str, Any] = {
        "disable": lambda: ngettext("%d key is disabled.", "%d keys are disabled.", count),
        "enable": lambda: ngettext("%d key works again.", "%d keys work again.", count),
        "revoke": lambda: ngettext(
            "%d key is revoked for good.", "%d keys are revoked for good.", count
        ),
        "expire": lambda: ngettext("%d key has a new expiry.", "%d keys have a new expiry.", count),
        "allow": lambda: ngettext(
            "%d key has one more allowed IP.", "%d keys have one more allowed IP.", count
        ),
        "narrow": lambda: ngettext(
            "%d key holds only what it uses.", "%d keys hold only what they use.", count
        ),
    }
    return sentences[action]() % count


def _describe_skipped(plan: Plan) -> str:
    count = len(plan.skipped) + plan.missing
    sentences = [ngettext("%d key was skipped.", "%d keys were skipped.", count) % count]
    sentences += [
        _("“%(name)s”: %(reason)s") % {"name": item.key.name, "reason": item.reason}
        for item in plan.skipped[:SKIPPED_NAMED]
    ]
    rest = count - min(len(plan.skipped), SKIPPED_NAMED)
    if rest:
        sentences.append(ngettext("And %d more.", "And %d more.", rest) % rest)
    return " ".join(sentences)


def _way_back(request: OrganizationRequest) -> str:
    """Return the page of this portal that the person came from, or else the list."""
    url = request.POST.get("next", "")
    if url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None):
        return url
    return reverse("keys:list", args=[request.organization.slug])
