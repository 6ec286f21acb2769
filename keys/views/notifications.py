"""Which mails a person wants."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from keys import services
from keys.forms.telling import NotificationsForm
from keys.models import NotificationSettings
from keys.views.base import PersonRequest


@require_http_methods(["GET", "HEAD", "POST"])
def notifications(request: PersonRequest) -> HttpResponse:
    """Choose which mails to get; those of leaks come in any case."""
    chosen = NotificationSettings.objects.filter(person=request.user).first()
    data = request.POST if request.method == "POST" else None
    form = NotificationsForm(data, initial=NotificationsForm.values_of(chosen))
    if form.is_valid():
        try:
            services.choose_notifications(actor=request.user, **form.changes())
        except ValidationError as problems:
            form.add_problems(problems)
        else:
            messages.success(request, _("Your choice is saved."))
            return redirect("keys:notifications")
    return render(request, "keys/notifications.html", {"form": form})
