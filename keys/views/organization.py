"""The settings of an organization itself: its names, and its rule on the age of secrets."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from keys import hygiene, policy, services
from keys.forms.organization_settings import OrganizationForm
from keys.models import Membership
from keys.roles import Permission
from keys.views.base import OrganizationRequest, in_organization, render_page, visible_keys

OWNERS_SHOWN = 5


@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def organization_settings(request: OrganizationRequest) -> HttpResponse:
    """The organization's names and rules; read only for those who may not change them."""
    organization = request.organization
    if request.method == "POST":
        policy.require(request.user, Permission.CHANGE_ORGANIZATION, organization)
    data = request.POST if request.method == "POST" else None
    form = OrganizationForm(data, organization=organization)
    if form.is_valid():
        try:
            changed = services.update_organization(
                actor=request.user, organization=organization, **form.changes()
            )
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _("The settings of %(name)s are saved.") % {"name": changed})
            return redirect("keys:settings", changed.slug)
    older = _count_older(request)
    context = {
        "form": form,
        "may_change": organization.may_change_organization,
        "rotation_options": [
            (option, older.get(option.data["value"])) for option in form["rotation"]
        ],
        "key_count": hygiene.count_some(visible_keys(request).live()),
        "owners": _owners(request),
        "member_count": _members(request).count(),
    }
    return render_page(request, "keys/organization_settings.html", context)


def _count_older(request: OrganizationRequest) -> dict[str, int]:
    """Return how many keys have a secret older than so many days, by the number of days."""
    counts = hygiene.ages(visible_keys(request), now=timezone.now())
    return {str(days): sum(counts[index:]) for index, days in enumerate(hygiene.AGES, start=1)}


def _members(request: OrganizationRequest) -> QuerySet[Membership]:
    return policy.visible(request.user, request.organization.memberships.all())


def _owners(request: OrganizationRequest) -> list[str]:
    """Return whom to ask for a change."""
    owners = _members(request).filter(is_owner=True).select_related("user").order_by("pk")
    return [row.user.name_and_address for row in owners[:OWNERS_SHOWN]]
