"""Keys of somebody who leaves: one, or all of them, for the organization or oneself."""

from typing import cast

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import policy, services
from keys.forms.rotating import HandOverForm, HandOverSeveralForm
from keys.models import APIKey, Membership
from keys.models.keys import APIKeyQuerySet
from keys.roles import Permission
from keys.views.base import (
    OrganizationRequest,
    get_key,
    in_organization,
    refuse_revoked,
    render_page,
)
from keys.views.issuing import already_shown, show_secret
from keys.views.members import of_member
from keys.views.once import claim, was_claimed


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_hand_over(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """Give a person's key to the organization or oneself; the answer shows its new secret, once."""
    key = get_key(request, identifier)
    policy.require(request.user, Permission.CHANGE_APIKEY, key)
    policy.require(request.user, Permission.ASSIGN_APIKEY, request.organization)
    if key.revoked_at:
        return refuse_revoked(request, key)
    form = HandOverForm(request.POST or None, actor=request.user, organization=request.organization)
    if form.is_valid():
        if not claim(request, form):
            return already_shown(request, form)
        former = key.owner
        try:
            key = services.hand_over_key(actor=request.user, key=key, **form.hand_over_arguments())
        except ValidationError as problems:
            form.add_problems(problems)
        except APIKey.DoesNotExist:
            return refuse_revoked(request, key)
        else:
            return show_secret(request, form, key, is_new=False, former_owner=former)
    context = {"form": form, "key": key, "moves_reach": _moves_reach(key)}
    return render_page(request, "keys/apikey_hand_over.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
@of_member
def member_hand_over(request: OrganizationRequest, membership: Membership) -> HttpResponse:
    """Give all keys of a member, or some, elsewhere; the answer shows their new secrets, once."""
    policy.require(request.user, Permission.ASSIGN_APIKEY, request.organization)
    keys = _keys_of(request, membership)
    form = HandOverSeveralForm(
        request.POST or None, actor=request.user, organization=request.organization, keys=keys
    )
    context = {"form": form, "membership": membership, "more": keys.count() - len(form.rows)}
    if form.is_valid():
        if not claim(request, form):
            return already_shown(request, form)
        arguments = form.hand_over_arguments()
        try:
            done = services.hand_over_keys(actor=request.user, **arguments)
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            more = {"done": done, "is_mine": arguments["owner"] is not None}
            return render_page(request, "keys/member_handed_over.html", {**context, **more})
    elif form.is_bound and was_claimed(request, form):
        # The keys that it chose are somebody else's since.
        return already_shown(request, form)
    return render_page(request, "keys/member_hand_over.html", context)


def _moves_reach(key: APIKey) -> bool:
    """Say whether another owner changes which keys it reaches; who has none stays as it is."""
    return key.owner is not None and policy.reaches_by_owner(key)


def _keys_of(request: OrganizationRequest, membership: Membership) -> APIKeyQuerySet:
    """Return the member's keys that the person may hand over as far as rules let them."""
    keys = request.organization.api_keys.filter(owner=membership.user, revoked_at=None)
    changeable = cast(APIKeyQuerySet, policy.visible(request.user, keys, Permission.CHANGE_APIKEY))
    return changeable.with_details().order_by("name", "pk")
