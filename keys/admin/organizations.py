"""Organizations, their members, roles and scopes."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from keys import policy, rules, services
from keys.admin.base import (
    ReadOnlyInline,
    ServiceForm,
    is_permitted,
    rehearsal,
)
from keys.admin.buttons import Button, ButtonAdmin
from keys.admin.filters import SuspensionFilter
from keys.admin.site import staff
from keys.models import Membership, Organization, ServerAddress, User, Workspace
from keys.policy import Actor
from keys.roles import Permission
from keys.services.enforcing import ApprovalRequiredError
from keys.templatetags.policies import policy_sentences


class PersonField(forms.ModelChoiceField):
    """Somebody with an account, by email address: a menu of everybody would not do."""

    widget = forms.EmailInput
    default_error_messages = {"invalid_choice": _("Nobody here has this email address.")}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(User.objects.filter(is_active=True), to_field_name="email", **kwargs)

    def to_python(self, value: Any) -> User | None:
        if value in self.empty_values or isinstance(value, User):
            return value or None
        person = self.queryset.filter(email__iexact=str(value).strip()).first()
        if person is None:
            raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")
        return person


class OrganizationCreationForm(ServiceForm):
    """A new organization and its first owner."""

    owner = PersonField(label=_("Owner"), help_text=_("The email address of an account."))

    class Meta:
        model = Organization
        fields = ("name", "slug")

    def perform(self) -> Organization:
        data = self.cleaned_data
        return services.create_organization(
            actor=self.actor, name=data["name"], slug=data["slug"], owner=data["owner"]
        )


class OrganizationChangeForm(ServiceForm):
    """An organization's names."""

    class Meta:
        model = Organization
        fields = ("name", "slug")

    def perform(self) -> Organization:
        data = self.cleaned_data
        return services.update_organization(
            actor=self.actor, organization=self.instance, name=data["name"], slug=data["slug"]
        )


class MembershipForm(forms.ModelForm):
    """One member; who that is does not change."""

    user = PersonField(label=_("Person"))

    class Meta:
        model = Membership
        fields = ("user", "role", "is_owner")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            self.fields["user"].disabled = True
            self.initial["user"] = self.instance.user


class MembershipFormSet(BaseInlineFormSet):
    """The members of one organization, written by services."""

    # Set by MembershipInline on the class that it makes for each request.
    actor: Actor

    def add_fields(self, form: forms.ModelForm, index: int | None) -> None:
        super().add_fields(form, index)
        for field in form.fields.values():
            # In a table the columns' heads are what people see; this is for who listens.
            field.widget.attrs["aria-label"] = field.label

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        try:
            with rehearsal():
                self.perform()
        except ValidationError as error:
            # Told above the table: a formset has no place for problems by field.
            raise ValidationError(error.messages) from None
        except ApprovalRequiredError as refusal:
            raise ValidationError(str(refusal)) from None

    def perform(self) -> None:
        """Add, change and remove members, in an order in which ownership can be handed over."""
        kept = [each for each in self.forms if each not in self.deleted_forms]
        for form in kept:
            if form.instance.pk is None and form.has_changed():
                data = form.cleaned_data
                services.add_member(
                    actor=self.actor,
                    organization=self.instance,
                    user=data["user"],
                    role=data["role"],
                    is_owner=data["is_owner"],
                )
        changed = [each for each in kept if each.instance.pk is not None and each.has_changed()]
        for form in sorted(changed, key=lambda each: not each.cleaned_data["is_owner"]):
            services.update_member(
                actor=self.actor,
                membership=form.instance,
                role=form.cleaned_data["role"],
                is_owner=form.cleaned_data["is_owner"],
            )
        for form in self.deleted_forms:
            if form.instance.pk is not None:
                services.remove_member(actor=self.actor, membership=form.instance)


class MembershipInline(admin.TabularInline):
    """The members, changed by whom the policy permits."""

    model = Membership
    form = MembershipForm
    formset = MembershipFormSet
    template = "admin/keys/membership_inline.html"
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        members = policy.visible(request.user, super().get_queryset(request))
        return members.select_related("user", "role")

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.actor = request.user
        role = formset.form.base_fields.get("role")
        if role is not None:  # a form of somebody who may only look has no fields
            role.queryset = policy.grantable_roles(request.user, obj)
            # Roles have their own page; pencils and eyes in every row only distract.
            role.widget = role.widget.widget
        return formset

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_permitted(request, Permission.VIEW_MEMBERSHIP, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_permitted(request, Permission.ADD_MEMBERSHIP, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_permitted(request, Permission.CHANGE_MEMBERSHIP, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_permitted(request, Permission.DELETE_MEMBERSHIP, obj)


class WorkspaceInline(ReadOnlyInline):
    """The workspaces."""

    model = Workspace
    fields = ("name", "is_default", "created_at")


class ServerAddressInline(ReadOnlyInline):
    """The pool of server addresses."""

    model = ServerAddress
    fields = ("network", "comment", "created_at")


@admin.register(Organization, site=staff)
class OrganizationAdmin(ButtonAdmin):
    """Creates organizations, names their people, suspends them; never deletes one."""

    list_display = ("name", "slug", "state_badge", "member_count", "keys_link", "created_at")
    list_filter = (SuspensionFilter,)
    search_fields = ("=id", "name", "slug", "members__email")
    search_help_text = _("Number, name, short name, person.")
    readonly_fields = ("state_badge", "created_at", "keys_link", "policy_rules")
    buttons = (
        Button(
            name="suspend",
            label=_("Suspend…"),
            question=_("Suspend “%(name)s”?"),
            question_for_many=lambda count: (
                ngettext(
                    "Suspend %(count)d organization?", "Suspend %(count)d organizations?", count
                )
                % {"count": count}
            ),
            consequence=_(
                "None of its keys is accepted any more, from the next request on. Its people can "
                "still sign in and look. Nothing is deleted; resuming brings everything back."
            ),
            bulk_label=_("Suspend selected organizations"),
            permission=Permission.LOCK_APIKEY,
            run=lambda actor, row: services.suspend_organization(actor=actor, organization=row),
            applies=lambda organization: not organization.is_suspended,
            done=_("Suspended %(name)s: none of its keys works."),
            is_grave=True,
        ),
        Button(
            name="resume",
            label=_("Resume…"),
            question=_("Let the keys of “%(name)s” work again?"),
            question_for_many=lambda count: (
                ngettext(
                    "Let the keys of %(count)d organization work again?",
                    "Let the keys of %(count)d organizations work again?",
                    count,
                )
                % {"count": count}
            ),
            consequence=_("They are accepted from the next request on, as they were before."),
            bulk_label=_("Resume selected organizations"),
            permission=Permission.LOCK_APIKEY,
            run=lambda actor, row: services.resume_organization(actor=actor, organization=row),
            applies=lambda organization: organization.is_suspended,
            done=_("Resumed %(name)s."),
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).annotate(_members=Count("memberships"))

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = OrganizationChangeForm if obj else OrganizationCreationForm
        return super().get_form(request, obj, **{"form": form, **kwargs})

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("name", "slug", "owner")
        return ("name", "slug", "state_badge", "created_at", "keys_link", "policy_rules")

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[type]:
        return [MembershipInline, WorkspaceInline, ServerAddressInline] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its keys and its audit trail stay

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        # Not committed: this only notes for the log of the admin what is new and what changed.
        formset.save(commit=False)
        if isinstance(formset, MembershipFormSet):
            formset.perform()

    @admin.display(description=_("state"))
    def state_badge(self, organization: Organization) -> str:
        if organization.is_suspended:
            return format_html('<span class="badge badge-locked">{}</span>', _("Suspended"))
        return format_html('<span class="badge badge-active">{}</span>', _("Active"))

    @admin.display(description=_("members"), ordering="_members")
    def member_count(self, organization: Any) -> int:
        return organization._members

    @admin.display(description=_("policy"))
    def policy_rules(self, organization: Organization) -> str:
        sentences = policy_sentences(rules.rules_of(organization))
        return format_html_join(mark_safe("<br>"), "{}", ((each,) for each in sentences))

    @admin.display(description=_("keys"))
    def keys_link(self, organization: Organization) -> str:
        # Not how many: of a large organization that is a long count, for a column.
        address = reverse("admin:keys_apikey_changelist", query={"organization": organization.pk})
        return format_html('<a href="{}">{}</a>', address, gettext("Show its keys"))
