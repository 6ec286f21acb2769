"""The summary of a key beside its form, as far as the form was filled in."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from keys.views.base import OrganizationRequest, render_page


def is_preview(request: HttpRequest) -> bool:
    """Say whether a form was sent to see its summary, not to be carried out."""
    return request.method == "POST" and "preview" in request.POST


def render_preview(
    request: OrganizationRequest,
    page: str,
    context: dict[str, Any],
    *,
    part: str = "keys/apikey_preview.html",
) -> HttpResponse:
    """Show the summary of `context["form"]`: htmx swaps `part` in, others get the page again."""
    context["form"].forgive()
    return render_page(request, part if request.htmx else page, context)
