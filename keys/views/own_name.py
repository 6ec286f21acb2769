"""What somebody is called."""

from allauth.decorators import rate_limit
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from keys import services
from keys.forms.people import NameForm
from keys.views.base import PersonRequest


@require_http_methods(["GET", "HEAD", "POST"])
@rate_limit(action="change_name")
def own_name(request: PersonRequest) -> HttpResponse:
    """Say what others read beside one's address."""
    known = {"first_name": request.user.first_name, "last_name": request.user.last_name}
    form = NameForm(request.POST if request.method == "POST" else None, initial=known)
    if form.is_valid():
        try:
            services.name_oneself(actor=request.user, **form.cleaned_data)
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _("Your name is saved."))
            return redirect("keys:own-name")
    return render(request, "keys/own_name.html", {"form": form})
