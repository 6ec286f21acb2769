"""What every part of the staff door shares: the policy decides, services write."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from keys import policy, services
from keys.admin.counting import BoundedPaginator
from keys.forms.fields import ShowsProblems
from keys.models import Organization, User
from keys.policy import Actor
from keys.roles import Permission
from keys.search import problem_of_length

# Longer ones are no row's.
_LONGEST_NUMBER = 19
# How the filters beside a list compare: with a value, a related row, or nothing.
_COMPARISONS = ("", "exact", "isnull", "id__exact")
# How a list is narrowed to an organization: by our filters and links, or by the library's.
_OF_ORGANIZATION = ("organization", "organization__exact", "organization__id__exact")


@contextmanager
def rehearsal() -> Iterator[None]:
    """Undo whatever is written inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


class ServiceForm(ShowsProblems, forms.ModelForm):
    """A form whose data a service writes.

    The service is rehearsed while the form is validated, so that its objections stand
    beside the fields like any other error.
    """

    # Set by PolicyAdmin on the class that it makes for each request.
    actor: Actor

    def perform(self) -> Model:
        """Call the service with the form's data and return the row that it wrote."""
        raise NotImplementedError

    def full_clean(self) -> None:
        super().full_clean()
        if not self.is_bound or self.errors:
            return
        try:
            with rehearsal():
                self.perform()
        except ValidationError as error:
            self.add_problems(error)


def telling_refusals(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Tell people what a service refused at the last moment, when no form is left to say it."""

    @wraps(view)
    def told(self: admin.ModelAdmin, request: HttpRequest, *args: Any, **kwargs: Any):
        try:
            return view(self, request, *args, **kwargs)
        except ValidationError as error:
            for message in error.messages:
                self.message_user(request, message, messages.ERROR)
        except ObjectDoesNotExist:
            message = _("That is gone meanwhile; somebody else was faster.")
            self.message_user(request, message, messages.ERROR)
        return redirect(changelist_of(self))

    return told


class PolicyAdmin(admin.ModelAdmin):
    """Shows what the policy lets see, and offers what it permits."""

    # What links of ours narrow a list by, beside what `list_filter` offers.
    linked_lookups: Sequence[str] = ()
    # As what it is recorded that somebody looked at rows of one organization, or of any.
    read_of_one, read_of_any = "organization.read", "installation.read"
    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return policy.visible(_person(request), super().get_queryset(request))

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "view", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "delete", obj)

    def may(self, request: HttpRequest, action: str, obj: Model | None = None) -> bool:
        """Ask the policy about one row, or without one whether it is permitted anywhere."""
        return is_permitted(request, f"keys.{action}_{self.opts.model_name}", obj)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow what the page's own filters and links ask, and no column that no page shows.

        The library's rule lets staff try out any column by any comparison, sealed secrets
        by their first letters included, and fails at what a database cannot compare.
        """
        field, _sign, comparison = lookup.partition("__")
        is_ours = field in {*map(_name_of_filter, self.list_filter), *self.linked_lookups}
        return is_ours and comparison in _COMPARISONS and "\x00" not in value

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        # Every word is looked for in every column: very many would keep the database busy.
        problem = problem_of_length(search_term)
        if problem:
            self.message_user(request, problem, messages.ERROR)
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(
            db_field, request, **_narrowed(db_field, request, kwargs)
        )

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(
            db_field, request, **_narrowed(db_field, request, kwargs)
        )

    def get_form(self, request: HttpRequest, obj: Model | None = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        form.actor = request.user
        return form

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        row = form.perform()
        obj.pk = row.pk
        obj._state.adding = False

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        # The service wrote the form's many-to-many fields already.
        for formset in formsets:
            self.save_formset(request, form, formset, change)

    @telling_refusals
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._shown(request, super().changeform_view(request, *args, **kwargs))

    @telling_refusals
    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._shown(request, super().delete_view(request, *args, **kwargs))

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._shown(request, super().history_view(request, *args, **kwargs))

    @telling_refusals
    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().changelist_view(request, *args, **kwargs)
        if request.method == "GET" and response.status_code == HTTPStatus.OK:
            self.note_read(request, self._narrowed_to(request))
        # An action asks first, and shows the rows that it is about.
        return self._shown(request, response)

    def note_look(self, request: HttpRequest, row: Any) -> None:
        """Record that somebody looked at a row."""
        organization = row if isinstance(row, Organization) else row.organization
        self.note_read(request, organization, row)

    def note_read(
        self, request: HttpRequest, organization: Organization | None, row: Any = None
    ) -> None:
        """Record that somebody looked at rows of an organization, or of any, or at one."""
        person = _person(request)
        at = {} if organization else self.place_of(row)
        services.note_read(
            actor=person,
            obj=organization or person,
            organization=organization,
            action=self.read_of_one if organization else self.read_of_any,
            at=at,
        )

    def place_of(self, row: Any) -> dict[str, str]:
        """Return which list of the installation it was, and which row of it."""
        named = {} if row is None else {"name": str(row)}
        return {"list": self.opts.model_name or "", **named}

    def _shown(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Return the page, having recorded that somebody looked at the rows that it is about.

        Pages of lists are about none: they are recorded as what they are.
        """
        context = getattr(response, "context_data", None) or {}
        # A form has its row under one name, what is asked and told of rows under the others.
        row = context.get("original") or context.get("object")
        for each in context.get("rows") or filter(None, [row]):
            self.note_look(request, each)
        return response

    def _narrowed_to(self, request: HttpRequest) -> Organization | None:
        """Return the one organization whose rows a list shows, or None."""
        named = {each for name in _OF_ORGANIZATION for each in request.GET.getlist(name)}
        chosen = named.pop() if len(named) == 1 else ""
        if not (chosen.isdecimal() and len(chosen) < _LONGEST_NUMBER):
            return None
        return policy.visible(_person(request), Organization.objects.filter(pk=chosen)).first()


class ReadOnlyAdmin(PolicyAdmin):
    """Shows rows that nobody writes here, whoever they are."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyInline(admin.TabularInline):
    """Shows parts of a row to whoever may see them; nothing changes here."""

    template = "admin/keys/read_only_inline.html"
    extra = 0
    can_delete = False
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return policy.visible(_person(request), super().get_queryset(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.fields

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_permitted(request, policy.view_permission(self.model))

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def is_permitted(request: HttpRequest, permission: str, obj: Model | None = None) -> bool:
    """Ask the policy about one row, or without one whether it is permitted anywhere."""
    person = _person(request)
    if obj is None:
        # Once a request: every page asks this for each list, several times.
        answers = vars(request).setdefault("_permitted_anywhere", {})
        if permission not in answers:
            answers[permission] = person.has_perm(permission)
        return answers[permission]
    return permission in set(Permission) and policy.allows(person, permission, obj)


def _name_of_filter(each: Any) -> str:
    if isinstance(each, tuple):  # (field, how it is filtered by)
        return each[0]
    return each if isinstance(each, str) else each.parameter_name


def _narrowed(db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Offer only related rows that the person may see."""
    related = db_field.remote_field.model
    if related is User:  # people are staff's to see; the policy is about organizations
        return kwargs
    queryset = kwargs.get("queryset", related._default_manager.all())
    return {**kwargs, "queryset": policy.visible(_person(request), queryset)}


def _person(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]  # the site lets only staff in


def changelist_of(modeladmin: admin.ModelAdmin) -> str:
    """Return the address of the list of this kind of row."""
    opts = modeladmin.opts
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
