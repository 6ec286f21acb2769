"""The page of the organization's shared secret."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import policy, services
from keys.forms.organizations import SharedSecretForm
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page
from keys.views.once import claim


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def shared_secret(request: OrganizationRequest) -> HttpResponse:
    """What clients of the token exchange sign with; the answer to the form shows it."""
    policy.require(request.user, Permission.REVEAL_SHAREDSECRET, request.organization)
    form = SharedSecretForm(request.POST or None)
    shown = ""
    if form.is_valid():
        if not claim(request, form):
            messages.info(request, _("That was done already; nothing was done twice."))
            return redirect("keys:shared-secret", request.organization.slug)
        is_new = form.cleaned_data["action"] == form.REPLACE
        service = services.rotate_shared_secret if is_new else services.reveal_shared_secret
        try:
            shown = service(actor=request.user, organization=request.organization)
        except ValidationError as problems:
            form.add_problems(problems)
    context = {"form": form, "shared_secret": shown}
    return render_page(request, "keys/organization_shared_secret.html", context)
