"""What staff do to one row with a button, or to many from the list: asked first, then done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from keys.admin.base import PolicyAdmin, changelist_of, is_permitted, telling_refusals
from keys.roles import Permission

# At one time: a longer list is read by nobody before they confirm it.
MOST_AT_ONCE = 100
_NAMED = 5


class ConfirmForm(forms.Form):
    """Nothing but the confirmation itself."""

    def values(self) -> dict[str, Any]:
        """Return what the service is given beside the row."""
        return {}


class ReasonForm(ConfirmForm):
    """Why staff do it."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
        help_text=_("The organization reads it on the key's page and in its audit trail."),
    )

    def values(self) -> dict[str, Any]:
        return {"reason": self.cleaned_data["reason"]}


@dataclass(frozen=True)
class Button:
    """Something staff do to a row."""

    name: str
    label: Any
    # What is asked first: of one row with %(name)s, of many with their number.
    question: Any
    question_for_many: Callable[[int], str]
    consequence: Any
    bulk_label: Any
    permission: Permission
    # Calls the service with an actor, a row and the values of the form.
    run: Callable[..., Any]
    # Whether there is anything to do to that row.
    applies: Callable[[Any], bool]
    # What is said afterwards, with %(name)s.
    done: Any
    form: type[ConfirmForm] = ConfirmForm
    is_grave: bool = False


class ButtonAdmin(PolicyAdmin):
    """A staff page with buttons; each is a page that asks, and an action of the list."""

    buttons: Sequence[Button] = ()

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_press"
        view = self.admin_site.admin_view(self.press_view)
        return [path("<path:object_id>/press/<slug:button>/", view, name=name), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        obj = self.get_object(request, object_id)
        context = {"buttons": self._buttons_for(request, obj) if obj else []}
        return super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        for button in self.buttons:
            if is_permitted(request, button.permission):
                run = partial(_press_many, button=button)
                actions[button.name] = (run, button.name, button.bulk_label)
        return actions

    @telling_refusals
    def press_view(self, request: HttpRequest, object_id: str, button: str) -> HttpResponse:
        """Ask whether to do what a button of one row says; do it when that is posted."""
        view = require_http_methods(["GET", "POST"])(self._press)
        return self._shown(request, view(request, object_id, button))

    def _press(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        button = next((each for each in self.buttons if each.name == name), None)
        obj = self.get_object(request, object_id)
        if button is None or obj is None:
            raise Http404
        if not is_permitted(request, button.permission, obj):
            raise PermissionDenied
        if not button.applies(obj):
            self._say_nothing_to_do(request)
            return redirect(_change_page(obj))
        form = button.form(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            title = button.question % {"name": obj}
            return self._ask(request, button, form, title, [obj], cancel=_change_page(obj))
        button.run(request.user, obj, **form.values())
        self._say_done(request, button, str(obj))
        return redirect(_change_page(obj))

    def press_many(
        self, request: HttpRequest, queryset: QuerySet, button: Button
    ) -> HttpResponse | None:
        """Ask whether to do to these rows what a button says; do it when that is posted."""
        if queryset[MOST_AT_ONCE:].exists():
            message = gettext("Choose at most %(count)d at once.") % {"count": MOST_AT_ONCE}
            self.message_user(request, message, messages.ERROR)
            return None
        rows = [row for row in queryset if button.applies(row)]
        if not rows:
            self._say_nothing_to_do(request)
            return None
        form = button.form(request.POST if "post" in request.POST else None)
        if not form.is_valid():
            title = button.question_for_many(len(rows))
            return self._ask(request, button, form, title, rows, cancel=changelist_of(self))
        with transaction.atomic():
            for row in rows:
                button.run(request.user, row, **form.values())
        self._say_done(request, button, _names(rows))
        return None

    def _ask(
        self,
        request: HttpRequest,
        button: Button,
        form: ConfirmForm,
        title: str,
        rows: list[Any],
        cancel: str,
    ) -> HttpResponse:
        return TemplateResponse(
            request,
            "admin/keys/press.html",
            {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "button": button,
                "form": form,
                "rows": rows,
                "cancel": cancel,
                # From the list the rows are named by the form, on a page of one by its address.
                "is_many": cancel == changelist_of(self),
                "action_checkbox_name": ACTION_CHECKBOX_NAME,
            },
        )

    def _buttons_for(self, request: HttpRequest, obj: Model) -> list[dict[str, Any]]:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_press"
        return [
            {
                "label": button.label,
                "url": reverse(name, args=[obj.pk, button.name]),
                "is_grave": button.is_grave,
            }
            for button in self.buttons
            if button.applies(obj) and is_permitted(request, button.permission, obj)
        ]

    def _say_done(self, request: HttpRequest, button: Button, name: str) -> None:
        self.message_user(request, button.done % {"name": name}, messages.SUCCESS)

    def _say_nothing_to_do(self, request: HttpRequest) -> None:
        message = gettext("There was nothing to do: it is so already.")
        self.message_user(request, message, messages.WARNING)


def _names(rows: list[Any]) -> str:
    """Return the names of the rows; of very many, the first."""
    names = ", ".join(map(str, rows[:_NAMED]))
    more = len(rows) - _NAMED
    if more <= 0:
        return names
    return ngettext("%(names)s and %(count)d more", "%(names)s and %(count)d more", more) % {
        "names": names,
        "count": more,
    }


def _press_many(
    modeladmin: ButtonAdmin, request: HttpRequest, queryset: QuerySet, *, button: Button
) -> HttpResponse | None:
    return modeladmin.press_many(request, queryset, button)


def _change_page(obj: Model) -> str:
    opts = obj._meta
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[obj.pk])
