"""What every page shares: who asks, which organization, and how the answer is rendered."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import wraps
from http import HTTPStatus
from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django_htmx.middleware import HtmxDetails

from keys import policy, services
from keys.models import APIKey, Organization, User
from keys.models.keys import APIKeyQuerySet
from keys.networks import Address
from keys.roles import Permission
from keys.series import Range

# What menus and most pages ask about an organization: found with it, so that asking is free.
_ASKED = (
    Permission.ADD_APIKEY,
    Permission.CHANGE_ORGANIZATION,
    Permission.REVEAL_SHAREDSECRET,
    Permission.VIEW_AUDITEVENT,
    Permission.VIEW_WEBHOOK,
)


class PersonRequest(HttpRequest):
    """A request by somebody who signed in, as the middleware completes it."""

    user: User
    htmx: HtmxDetails
    client_address: Address | None


class OrganizationRequest(PersonRequest):
    """A request for a page of one organization, by a person who may see it."""

    organization: Organization
    organizations: list[Organization]
    # What ends with the view: a transaction, which is rolled back when the view raises.
    until_answered: ExitStack
    # The one that the page is about, once it was found.
    key: APIKey | None


def in_organization(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Hand a view a request that knows the organization of its path, or answer 404.

    A member without the second factor that the organization requires is told to set one up.
    So it does when a service finds that the row is gone which the view just found.
    """

    @wraps(view)
    def wrapper(request: OrganizationRequest, organization: str, **kwargs: Any) -> HttpResponse:
        # One query for the switcher and the page; staff see organizations beyond their own.
        rows = Organization.objects.select_related("policy")
        everything = policy.with_permissions(request.user, rows, *_ASKED)
        visible = policy.visible(request.user, everything)
        request.organizations = list(visible.filter(members=request.user))
        request.organization = next(
            (each for each in request.organizations if each.slug == organization), None
        ) or get_object_or_404(visible, slug=organization)
        request.key = None
        if request.session.get("organization") != organization:
            request.session["organization"] = organization
        if policy.lacks_second_factor(request.user, request.organization):
            own = request.organization.api_keys.live().enabled().filter(owner=request.user)
            context = {"organization": request.organization, "has_keys": own.exists()}
            return render(request, "keys/second_factor_needed.html", context, status=403)
        try:
            with ExitStack() as request.until_answered:
                response = view(request, **kwargs)
        except ObjectDoesNotExist:
            raise Http404 from None
        if request.method == "GET" and response.status_code == HTTPStatus.OK:
            _note_look_of_staff(request)
        return response

    return wrapper


def _note_look_of_staff(request: OrganizationRequest) -> None:
    """Record that somebody looked at what is another organization's, as staff may."""
    organization, key = request.organization, request.key
    if organization in request.organizations:
        return
    services.note_read(
        actor=request.user,
        obj=key or organization,
        organization=organization,
        action="apikey.read" if key else "organization.read",
    )


def render_page(
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


def is_swap(request: PersonRequest) -> bool:
    """Say whether htmx asks for the part of the page that it swaps, not for all of it."""
    return bool(request.htmx) and not request.htmx.history_restore_request


def asked_range(request: HttpRequest, default: Range) -> Range:
    """Return how far back the person wants charts to look."""
    asked = request.GET.get("range", "")
    return Range(asked) if asked in Range.values else default


def visible_keys(request: OrganizationRequest) -> APIKeyQuerySet:
    keys = policy.visible(request.user, request.organization.api_keys.all())
    return cast(APIKeyQuerySet, keys)


def get_key(request: OrganizationRequest, identifier: str) -> APIKey:
    key = get_object_or_404(visible_keys(request).with_details(), identifier=identifier)
    request.key = key
    return key


def url_of(request: OrganizationRequest, key: APIKey) -> str:
    return reverse("keys:detail", args=[request.organization.slug, key.identifier])


def to_key(request: OrganizationRequest, key: APIKey) -> HttpResponse:
    return redirect(url_of(request, key))


def refuse_revoked(request: OrganizationRequest, key: APIKey) -> HttpResponse:
    messages.error(
        request, _("“%(name)s” is revoked; nothing brings it back.") % {"name": key.name}
    )
    return to_key(request, key)


def query_without(request: HttpRequest, *, without: Iterable[str]) -> str:
    parameters = request.GET.copy()
    for name in without:
        parameters.pop(name, None)
    return parameters.urlencode()


def form_arguments(request: OrganizationRequest) -> dict[str, Any]:
    return {
        "actor": request.user,
        "organization": request.organization,
        "address": request.client_address,
    }
