"""Try and explain: what would become of a request, check by check."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from keys import services
from keys.forms.explaining import ExplainForm
from keys.services import Explanation
from keys.views.base import OrganizationRequest, in_organization, render_page


@never_cache
@sensitive_post_parameters("key")
@require_http_methods(["GET", "HEAD", "POST"])
@in_organization
def explain(request: OrganizationRequest) -> HttpResponse:
    """Every check of a question about a key that the person may see; nothing is counted.

    A link may ask too (`?key=…&address=…`), but never about a whole secret.
    """
    if request.method != "POST" and ExplainForm(request.GET).is_sensitive:
        return _warn_of_address(request)
    form = _read(request)
    explanation = _explain(request, form)
    return render_page(request, "keys/explain.html", {"form": form, "explanation": explanation})


def _read(request: OrganizationRequest) -> ExplainForm:
    if request.method == "POST":
        return ExplainForm(request.POST)
    is_asked = {"key", "address"} <= request.GET.keys()
    return ExplainForm(
        request.GET if is_asked else None,
        initial={"key": request.GET.get("key", ""), "address": request.client_address},
    )


def _warn_of_address(request: OrganizationRequest) -> HttpResponse:
    """Go to the empty form: nothing repeats a secret that came in the page's address."""
    messages.warning(
        request,
        _(
            "That was a secret in the page's address, which browsers and perhaps logs keep. "
            "Consider rotating that key, and paste secrets into the form instead."
        ),
    )
    return redirect("keys:explain", request.organization.slug)


def _explain(request: OrganizationRequest, form: ExplainForm) -> Explanation | None:
    """Return the explanation of what was asked, and leave no secret in the form."""
    if not form.is_bound:
        return None
    is_sensitive = form.is_sensitive
    explanation = None
    if form.is_valid():
        secret = services.find_secret(
            actor=request.user, organization=request.organization, text=form.cleaned_data["key"]
        )
        if secret is None:
            form.add_error("key", _("No key that you can see has this number, name or secret."))
        else:
            explanation = services.explain_secret(
                actor=request.user, secret=secret, **form.question()
            )
    if is_sensitive:
        form.forget_key(explanation.secret.label if explanation else "")
    return explanation
