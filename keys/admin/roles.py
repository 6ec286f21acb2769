"""Roles and scopes: those that every organization has, and those that one defines."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from keys import policy, services
from keys.admin.base import PolicyAdmin, ServiceForm
from keys.admin.site import staff
from keys.models import Role, Scope
from keys.policy import Actor


class OwnedAdmin(PolicyAdmin):
    """What organizations define for themselves, beside what every one has built in."""

    list_filter = (("organization", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("organization",)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # The policy is asked about each row, and no built-in one may be deleted.
        return {}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and super().has_delete_permission(request, obj)

    def delete_row(self, actor: Actor, row: Any) -> None:
        """Call the service that deletes this kind of row."""
        raise NotImplementedError

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.delete_row(request.user, obj)

    @admin.display(description=_("organization"), ordering="organization__name")
    def belongs_to(self, row: Any) -> Any:
        return row.organization or _("built in")


class RoleForm(ServiceForm):
    """A role that an organization defines."""

    class Meta:
        model = Role
        fields = ("organization", "name", "number", "description", "scopes")
        widgets = {"scopes": forms.CheckboxSelectMultiple}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "organization" in self.fields:
            self.fields["organization"].required = True
            self.fields["number"].required = False
            self.fields["number"].help_text = _("Empty: the next free one.")
        elif "scopes" in self.fields:
            self.fields["scopes"].queryset = policy.grantable_scopes(
                self.actor, self.instance.organization
            )

    def perform(self) -> Role:
        data = self.cleaned_data
        common = {
            "name": data["name"],
            "description": data["description"],
            "scopes": list(data["scopes"]),
        }
        if self.instance.pk is not None:
            return services.update_role(actor=self.actor, role=self.instance, **common)
        return services.create_role(
            actor=self.actor, organization=data["organization"], number=data["number"], **common
        )


@admin.register(Role, site=staff)
class RoleAdmin(OwnedAdmin):
    """The roles, built in and own."""

    form = RoleForm
    list_display = ("name", "number", "belongs_to", "codes", "description")
    search_fields = ("name", "organization__name", "organization__slug")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).prefetch_related("scopes")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("organization", "number") if obj else ()

    def delete_row(self, actor: Actor, row: Role) -> None:
        services.delete_role(actor=actor, role=row)

    @admin.display(description=_("scopes"))
    def codes(self, role: Role) -> str:
        return ", ".join(scope.code for scope in role.scopes.all())


class ScopeForm(ServiceForm):
    """A scope that an organization defines."""

    class Meta:
        model = Scope
        fields = ("organization", "code", "description")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "organization" in self.fields:
            self.fields["organization"].required = True

    def perform(self) -> Scope:
        data = self.cleaned_data
        if self.instance.pk is not None:
            return services.update_scope(
                actor=self.actor, scope=self.instance, description=data["description"]
            )
        return services.create_scope(
            actor=self.actor,
            organization=data["organization"],
            code=data["code"],
            description=data["description"],
        )


@admin.register(Scope, site=staff)
class ScopeAdmin(OwnedAdmin):
    """The scopes, built in and own."""

    form = ScopeForm
    list_display = ("code", "belongs_to", "meaning")
    search_fields = ("code", "description", "organization__name", "organization__slug")

    @admin.display(description=_("description"), ordering="description")
    def meaning(self, scope: Scope) -> str:
        return scope.meaning

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("organization", "code") if obj else ()

    def delete_row(self, actor: Actor, row: Scope) -> None:
        services.delete_scope(actor=actor, scope=row)
