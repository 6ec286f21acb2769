"""The policy of an organization: what it demands, and which keys do not fit."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import effects, policy, rules, services
from keys.forms.policies import PolicyForm
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page
from keys.views.summary import is_preview


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def organization_policy(request: OrganizationRequest) -> HttpResponse:
    """The rules of the organization; a change says first which keys would break it."""
    organization = request.organization
    if request.method == "POST":
        policy.require(request.user, Permission.CHANGE_ORGANIZATION, organization)
    data = request.POST if request.method == "POST" else None
    form = PolicyForm(data, organization=organization)
    if form.is_valid() and _carry_out(request, form):
        messages.success(
            request, _("The policy of %(name)s is saved.") % {"name": organization.name}
        )
        return redirect("keys:policy", organization.slug)
    context = {
        "form": form,
        "rules": rules.loaded_rules(organization),
        "may_change": organization.may_change_organization,
        "without_second_factor": effects.of_second_factor(
            actor=request.user, organization=organization
        ),
        "is_kept_out": effects.keeps_out(actor=request.user, organization=organization),
    }
    return render_page(request, "keys/organization_policy.html", context)


def _carry_out(request: OrganizationRequest, form: PolicyForm) -> bool:
    """Say whether the policy was saved: not when it was only looked at, or has to be agreed to."""
    arguments = {"actor": request.user, "organization": request.organization, **form.changes()}
    try:
        plan = services.plan_policy(**arguments)
        if is_preview(request):
            form.plan = plan
            return False
        if not form.is_agreed(plan):
            return False
        services.update_policy(**arguments)
    except ValidationError as problems:
        form.add_problems(problems)
        return False
    return True
