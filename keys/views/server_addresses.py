"""The page of the organization's server addresses."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from keys import policy, services
from keys.forms.organizations import ServerAddressForm
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page, visible_keys

FOLLOWERS_SHOWN = 20


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
    followers = visible_keys(request).live().filter(assign_server_ips=True)
    context = {"form": form, "rows": rows, "followers": followers[:FOLLOWERS_SHOWN]}
    return render_page(request, "keys/organization_server_addresses.html", context)


@require_POST
@in_organization
def server_address_remove(request: OrganizationRequest, server_address_id: int) -> HttpResponse:
    """Take an address off the pool; keys that follow it stop working from there."""
    rows = policy.visible(request.user, request.organization.server_addresses.all())
    row = get_object_or_404(rows, pk=server_address_id)
    services.remove_server_address(actor=request.user, server_address=row)
    messages.success(request, _("%(row)s is no longer a server address.") % {"row": row})
    return redirect("keys:server-addresses", request.organization.slug)
