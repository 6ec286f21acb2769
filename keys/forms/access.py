"""What people decide about roles and scopes."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import policy
from keys.effects import ScopeChange
from keys.forms.fields import ServiceForm
from keys.models import Organization, Role, Scope, User
from keys.models.organizations import validate_custom_scope


class AgreedForm(ServiceForm):
    """A form that changes what others may do, and asks first whether that is meant."""

    # Of what was agreed to: another change is asked about anew.
    agreed = forms.CharField(required=False, widget=forms.HiddenInput)

    change: ScopeChange | None = None

    def is_agreed(self, change: ScopeChange, field: str) -> bool:
        """Say whether nobody feels the change or it was agreed to; else ask, at this field."""
        if not change.is_felt or self.cleaned_data["agreed"] == change.mark:
            return True
        self.change = change
        self.add_error(field, _("Read below what changes, tick that you mean it and save again."))
        return False


class RoleForm(AgreedForm):
    """A role of the organization: what it is called and which scopes it bundles."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=60,
        help_text=gettext_lazy("What its holders do, such as “support” or “deploy”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    description = forms.CharField(
        label=gettext_lazy("Description"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("Who should have it, and who should not."),
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"), widget=forms.CheckboxSelectMultiple, required=False
    )

    def __init__(
        self, *args: Any, actor: User, organization: Organization, role: Role | None = None, **more
    ) -> None:
        held = list(role.scopes.all()) if role else []
        if role:
            more["initial"] = {
                "name": role.name,
                "description": role.description,
                "scopes": [scope.code for scope in held],
            }
        super().__init__(*args, **more)
        grantable = list(policy.grantable_scopes(actor, organization))
        # What the person could take off the role, but not give it again.
        self.beyond = [scope for scope in held if scope not in grantable]
        self.offered = [*grantable, *self.beyond]
        self.fields["scopes"].choices = [(scope.code, scope.code) for scope in self.offered]

    def scope_options(self) -> Iterator[tuple[forms.boundfield.BoundWidget, Scope]]:
        """Return each box to tick with its scope."""
        return zip(self["scopes"], self.offered, strict=True)

    def values(self) -> dict[str, Any]:
        """Return what was typed, as services take it."""
        chosen = set(self.cleaned_data["scopes"])
        return {
            "name": self.cleaned_data["name"],
            "description": self.cleaned_data["description"],
            "scopes": [scope for scope in self.offered if scope.code in chosen],
        }


class ScopeForm(ServiceForm):
    """A scope that the organization defines for its services."""

    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=100,
        help_text=gettext_lazy(
            "What your services ask for: a resource and an action, such as orders:read. "
            "It stays as it is."
        ),
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "autocapitalize": "off",
                "spellcheck": "false",
                "class": "mono",
            }
        ),
    )
    description = forms.CharField(
        label=gettext_lazy("Description"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("What a key with it may do, for whoever gives it to one."),
    )

    def __init__(self, *args: Any, scope: Scope | None = None, **more: Any) -> None:
        if scope:
            more["initial"] = {"description": scope.description}
        super().__init__(*args, **more)
        if scope:
            del self.fields["code"]

    def clean_code(self) -> str:
        code = self.cleaned_data["code"]
        try:
            validate_custom_scope(code)
        except ValidationError:
            likely = code.lower().replace(" ", "")
            if likely == code or not _is_scope(likely):
                raise
            raise ValidationError(
                _("“%(code)s” is not of the form orders:read; did you mean %(likely)s?")
                % {"code": code, "likely": likely}
            ) from None
        return code


def _is_scope(code: str) -> bool:
    try:
        validate_custom_scope(code)
    except ValidationError:
        return False
    return True
