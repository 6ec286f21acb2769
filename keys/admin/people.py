"""People's accounts, for superusers."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from keys import services
from keys.admin.base import PolicyAdmin, ServiceForm, is_permitted
from keys.admin.site import staff
from keys.models import User


class PersonCreationForm(ServiceForm, AdminUserCreationForm):
    """A new account, with a password or without."""

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name")

    def perform(self) -> User:
        data = self.cleaned_data
        return services.create_person(
            actor=self.actor,
            email=data["email"],
            password=data["password1"] if data["set_usable_password"] else None,
            first_name=data["first_name"],
            last_name=data["last_name"],
        )


class PersonChangeForm(ServiceForm, UserChangeForm):
    """An account as it is; people change their address and password themselves."""

    class Meta:
        model = User
        fields = ("first_name", "last_name", "is_active", "is_staff", "is_superuser")

    def perform(self) -> User:
        data = self.cleaned_data
        return services.update_person(
            actor=self.actor,
            person=self.instance,
            first_name=data["first_name"],
            last_name=data["last_name"],
            is_active=data["is_active"],
            is_staff=data["is_staff"],
            is_superuser=data["is_superuser"],
        )


@admin.register(User, site=staff)
class PersonAdmin(PolicyAdmin, UserAdmin):
    """Creates accounts and says who is staff. The policy names no permission on people, so
    that only superusers come here. Accounts are deactivated, never deleted: keys and
    the audit trail refer to them.
    """

    form = PersonChangeForm
    add_form = PersonCreationForm
    list_display = ("email", "first_name", "last_name", "is_active", "is_staff", "is_superuser")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "first_name", "last_name")
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = ("email", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "password", "first_name", "last_name")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "first_name", "last_name")}),
        (_("Password"), {"fields": ("usable_password", "password1", "password2")}),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        # Past PolicyAdmin: the policy narrows rows of organizations, which people are not.
        return super(PolicyAdmin, self).get_queryset(request)

    def may(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        return is_permitted(request, f"keys.{action}_user")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def note_look(self, request: HttpRequest, row: User) -> None:
        """Record that somebody looked at an account."""
        services.note_read(actor=request.user, obj=row, organization=None, action="user.read")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else ()

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        with transaction.atomic():
            before = self.get_object(request, unquote(id))
            # Answers 404 itself when there is nobody.
            response = super().user_change_password(request, id, form_url)
            person = User.objects.filter(pk=before.pk).exclude(password=before.password).first()
            if person is not None:
                services.note_password_change(actor=request.user, person=person)
        return self._shown(request, response)
