"""The organization's server addresses, and the keys that follow them."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import effects, policy, services
from keys.forms.server_addresses import CommentForm, ServerAddressesForm
from keys.models import ServerAddress
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page
from keys.views.deleting import confirm_deletion
from keys.views.numbered import take_numbered

ROWS_SHOWN = 50


@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def server_addresses(request: OrganizationRequest) -> HttpResponse:
    """The addresses allowed to keys that follow the organization's servers; add some."""
    form = ServerAddressesForm(request.POST or None)
    if request.method == "POST":
        policy.require(request.user, Permission.CHANGE_ORGANIZATION, request.organization)
    if form.is_valid():
        try:
            added = services.add_server_addresses(
                actor=request.user, organization=request.organization, addresses=form.entries()
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _say_added(added))
            return redirect("keys:server-addresses", request.organization.slug)
    rows = policy.visible(request.user, request.organization.server_addresses.all())
    context = {
        "form": form,
        "page": take_numbered(rows, request.GET.get("page"), ROWS_SHOWN),
        "address": request.client_address,
        "followers": _followers(request),
    }
    return render_page(request, "keys/server_addresses.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def server_address_edit(request: OrganizationRequest, server_address_id: int) -> HttpResponse:
    """Change what is said of an address."""
    row = _get_server_address(request, server_address_id)
    policy.require(request.user, Permission.CHANGE_ORGANIZATION, row)
    form = CommentForm(request.POST or None, initial={"comment": row.comment})
    if form.is_valid():
        try:
            services.update_server_address(
                actor=request.user, server_address=row, **form.cleaned_data
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _("The comment on %(row)s was saved.") % {"row": row})
            return redirect("keys:server-addresses", request.organization.slug)
    return render_page(request, "keys/server_address_form.html", {"form": form, "row": row})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def server_address_remove(request: OrganizationRequest, server_address_id: int) -> HttpResponse:
    """Take an address off the pool, having said which keys follow it."""
    row = _get_server_address(request, server_address_id)
    policy.require(request.user, Permission.CHANGE_ORGANIZATION, row)
    others = request.organization.server_addresses.exclude(pk=row.pk)
    return confirm_deletion(
        request,
        "keys/server_address_remove.html",
        {"row": row, "followers": _followers(request), "is_last": not others.exists()},
        delete=lambda: services.remove_server_address(actor=request.user, server_address=row),
        done=_("%(row)s is no longer a server address.") % {"row": row},
        back=reverse("keys:server-addresses", args=[request.organization.slug]),
    )


def _get_server_address(request: OrganizationRequest, server_address_id: int) -> ServerAddress:
    rows = policy.visible(request.user, request.organization.server_addresses.all())
    return get_object_or_404(rows.select_related("organization"), pk=server_address_id)


def _followers(request: OrganizationRequest):
    return effects.of_server_address(actor=request.user, organization=request.organization)


def _say_added(added: list[ServerAddress]) -> str:
    if len(added) == 1:
        return _("%(row)s is now a server address.") % {"row": added[0]}
    return ngettext(
        "%(count)d address is now a server address.",
        "%(count)d addresses are now server addresses.",
        len(added),
    ) % {"count": len(added)}
