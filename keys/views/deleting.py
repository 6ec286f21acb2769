"""Asking before something is deleted, or saying why it cannot be."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect

from keys.views.base import OrganizationRequest, render_page


def confirm_deletion(
    request: OrganizationRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    delete: Callable[[], Any],
    done: str,
    back: str,
    then: str = "",
) -> HttpResponse:
    """Show what deleting does; on POST, delete, say so and go `then`, by default `back`.

    `context` may have a `reason` why it cannot be; then nothing is offered.
    """
    if request.method != "POST":
        return render_page(request, template, {"reason": "", "back": back, **context})
    try:
        delete()
    except ValidationError as problems:
        messages.error(request, " ".join(problems.messages))
        return redirect(back)
    messages.success(request, done)
    return redirect(then or back)
