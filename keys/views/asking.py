"""Asking for what a person may not do alone."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from keys.forms.fields import ServiceForm
from keys.models import ApprovalRequest
from keys.views.base import OrganizationRequest


def ask_instead(
    request: OrganizationRequest,
    form: ServiceForm,
    service: Callable[..., ApprovalRequest],
    **arguments: Any,
) -> HttpResponse | None:
    """Ask for what the form says, with the reason in it, and go where the request is.

    None: the form says now what keeps it from being asked for.
    """
    reason = form.cleaned_data["reason"].strip()
    if not reason:
        form.add_error("reason", _("Somebody else has to approve this: say why you need it."))
        return None
    try:
        approval = service(actor=request.user, reason=reason, **arguments)
    except ValidationError as problems:
        form.add_problems(problems)
        return None
    messages.success(request, _("You asked for approval. Nothing is issued or changed yet."))
    return redirect("keys:approval", request.organization.slug, approval.pk)
