"""Who belongs to an organization, in which role."""

import re
from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import policy
from keys.forms.access import AgreedForm
from keys.forms.fields import ServiceForm
from keys.models import Membership, Organization, Role, User
from keys.models.people import clean_name
from keys.roles import Permission


class MemberFinder(forms.Form):
    """A part of the name or address of somebody."""

    search = forms.CharField(
        label=gettext_lazy("Search by name or email address"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off"}),
    )


class _NameField(forms.CharField):
    def to_python(self, value: Any) -> str:
        return clean_name(super().to_python(value))


class NameForm(ServiceForm):
    """What somebody is called beside their address."""

    first_name = _NameField(
        label=gettext_lazy("First name"),
        max_length=150,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "given-name"}),
    )
    last_name = _NameField(
        label=gettext_lazy("Last name"),
        max_length=150,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "family-name"}),
    )


class InviteForm(ServiceForm):
    """Addresses of people who shall be asked to join, and as what."""

    emails = forms.CharField(
        label=gettext_lazy("Email addresses"),
        max_length=20_000,
        help_text=gettext_lazy("One in each line, or with commas between them."),
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false"}),
    )
    role = forms.ModelChoiceField(
        label=gettext_lazy("Role"),
        queryset=Role.objects.none(),
        empty_label=gettext_lazy("Choose a role"),
        help_text=gettext_lazy("You can give roles whose scopes you hold."),
    )
    is_owner = forms.BooleanField(
        label=gettext_lazy("Make them owners too"),
        required=False,
        help_text=gettext_lazy("Owners decide who else is an owner, and whether they stay."),
    )

    def __init__(self, *args: Any, actor: User, organization: Organization, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["role"].queryset = policy.grantable_roles(actor, organization)
        if not policy.allows(actor, Permission.OWN_ORGANIZATION, organization):
            del self.fields["is_owner"]

    def clean_emails(self) -> list[str]:
        """Return the addresses, each once; name those that are none."""
        found = [each for each in re.split(r"[\s,;]+", self.cleaned_data["emails"]) if each]
        wrong = [each for each in found if not _is_address(each)]
        if wrong:
            raise ValidationError(
                _("No email address: %(texts)s.") % {"texts": ", ".join(wrong[:5])}
            )
        return list({each.lower(): each for each in reversed(found)}.values())[::-1]

    def values(self) -> dict[str, Any]:
        """Return what was typed, as `invite` takes it."""
        cleaned = self.cleaned_data
        return {
            "emails": cleaned["emails"],
            "role": cleaned["role"],
            "is_owner": cleaned.get("is_owner", False),
        }


def _is_address(text: str) -> bool:
    try:
        forms.EmailField(max_length=254).clean(text)
    except ValidationError:
        return False
    return True


class MemberForm(AgreedForm):
    """The role of a member, and whether they are an owner."""

    role = forms.ModelChoiceField(
        label=gettext_lazy("Role"),
        queryset=Role.objects.none(),
        widget=forms.RadioSelect,
        empty_label=None,
    )
    is_owner = forms.BooleanField(
        label=gettext_lazy("Owner"),
        required=False,
        help_text=gettext_lazy("Owners decide who else is an owner, and whether they stay."),
    )

    def __init__(self, *args: Any, actor: User, membership: Membership, **more: Any) -> None:
        more["initial"] = {"role": membership.role_id, "is_owner": membership.is_owner}
        super().__init__(*args, **more)
        organization = membership.organization
        roles = policy.grantable_roles(actor, organization).prefetch_related("scopes")
        self.fields["role"].queryset = roles
        # The role stays as it is when the person could not give it.
        self.is_role_beyond = not roles.filter(pk=membership.role_id).exists()
        if self.is_role_beyond:
            self.fields["role"].required = False
        if not policy.allows(actor, Permission.OWN_ORGANIZATION, organization):
            del self.fields["is_owner"]

    def role_options(self) -> Iterator[tuple[forms.boundfield.BoundWidget, Role]]:
        """Return each choice of a role with that role."""
        roles = self.fields["role"].queryset
        return zip(self["role"], roles, strict=True)

    def changes(self) -> dict[str, Any]:
        """Return what was chosen, as `update_member` takes it."""
        chosen = {
            name: self.cleaned_data[name] for name in ("role", "is_owner") if name in self.fields
        }
        if chosen["role"] is None:
            del chosen["role"]
        return chosen
