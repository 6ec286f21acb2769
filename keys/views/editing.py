"""Change a key."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from keys import policy, services
from keys.forms.editing import EditForm
from keys.models import APIKey
from keys.roles import Permission
from keys.services.enforcing import ApprovalRequiredError
from keys.views.asking import ask_instead
from keys.views.base import (
    OrganizationRequest,
    form_arguments,
    get_key,
    in_organization,
    refuse_revoked,
    render_page,
    to_key,
)
from keys.views.summary import is_preview, render_preview


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def key_edit(request: OrganizationRequest, identifier: str) -> HttpResponse:
    """Change a key; what would widen it is asked about once more."""
    key = get_key(request, identifier)
    policy.require(request.user, Permission.CHANGE_APIKEY, key)
    if key.revoked_at:
        return refuse_revoked(request, key)
    form = EditForm(request.POST or None, key=key, **form_arguments(request))
    context = {"form": form, "key": key}
    if is_preview(request):
        return render_preview(request, "keys/apikey_edit.html", context)
    if form.is_valid():
        try:
            services.update_key(actor=request.user, key=key, **form.changes())
        except ApprovalRequiredError:
            asked = ask_instead(request, form, services.request_change, key=key, **form.changes())
            if asked is not None:
                return asked
        except ValidationError as problems:
            form.add_problems(problems)
        except APIKey.DoesNotExist:
            return refuse_revoked(request, key)
        else:
            messages.success(request, _("“%(name)s” was saved.") % form.cleaned_data)
            return to_key(request, key)
    return render_page(request, "keys/apikey_edit.html", context)
