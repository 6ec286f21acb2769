"""A file of keys to import, and the file that was looked through and is to be imported now."""

import base64
import json
import time
import zlib
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import encryption, policy
from keys.forms.fields import ServiceForm
from keys.models import Organization, Role, User
from keys.moves.columns import LABELS, Format
from keys.roles import Permission

# Larger files are for the command.
MAX_FILE_BYTES = 1_000_000
# How long a file that was looked through waits to be imported.
_PATIENCE_SECONDS = 3600
_SHARED, _OWN = "organization", "own"


class ImportForm(ServiceForm):
    """A file, and what it says where its rows say nothing."""

    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy(
            "CSV with a header, or JSON lines, in UTF-8, of 1 MB at most. Whoever runs the portal "
            "imports larger ones with the command import_keys."
        ),
    )
    file_format = forms.ChoiceField(
        label=gettext_lazy("Where it is from"),
        choices=[(each.value, label) for each, label in LABELS.items()],
    )
    owner = forms.ChoiceField(label=gettext_lazy("Whose the keys are"))
    role = forms.ModelChoiceField(
        Role.objects.none(),
        required=False,
        to_field_name="name",
        label=gettext_lazy("Role"),
        empty_label=gettext_lazy("None: without scopes of their own, these keys can do nothing"),
        help_text=gettext_lazy("Which the keys follow where the file says nothing."),
    )

    def __init__(self, *args: Any, actor: User, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = []
        if policy.allows(actor, Permission.ASSIGN_APIKEY, organization):
            choices.append((_SHARED, _("The organization’s own")))
        if organization.memberships.filter(user=actor).exists():
            choices.append((_OWN, _("My own")))
        self.fields["owner"].choices = choices
        self.fields["role"].queryset = Role.objects.available_to(organization)

    def clean_file(self) -> Any:
        """Refuse what is too large for a page."""
        file = self.cleaned_data["file"]
        if file.size > MAX_FILE_BYTES:
            raise ValidationError(
                _("The file is larger than 1 MB. Import it with the command, or in parts.")
            )
        return file


class LookedThroughForm(forms.Form):
    """A file that somebody uploaded, sealed, so that nothing is kept of it here meanwhile."""

    sealed = forms.CharField(widget=forms.HiddenInput)
    skips_invalid = forms.BooleanField(required=False, widget=forms.HiddenInput)


class Parcel:
    """What travels sealed between the two steps: bound to who uploaded it, and where."""

    def __init__(self, content: bytes, *, file_format: str, is_shared: bool, role: str) -> None:
        self.content, self.file_format = content, file_format
        self.is_shared, self.role = is_shared, role

    def seal(self, actor: User, organization: Organization) -> str:
        """Return it as a text that only this person can send back, for this organization."""
        record = {
            "actor": actor.pk,
            "organization": organization.pk,
            "until": time.time() + _PATIENCE_SECONDS,
            "file_format": self.file_format,
            "is_shared": self.is_shared,
            "role": self.role,
            "content": base64.b85encode(zlib.compress(self.content)).decode(),
        }
        return encryption.seal(json.dumps(record), settings.KEY_PEPPERS)

    @classmethod
    def unseal(cls, sealed: str, actor: User, organization: Organization) -> "Parcel | None":
        """Return what was sealed; None for what is too old, altered or somebody else's."""
        try:
            record = json.loads(encryption.unseal(sealed, settings.KEY_PEPPERS))
        except ValueError:
            return None
        if not isinstance(record, dict) or "content" not in record:
            return None
        if (record["actor"], record["organization"]) != (actor.pk, organization.pk):
            return None
        if record["until"] < time.time():
            return None
        return cls(
            zlib.decompress(base64.b85decode(record["content"])),
            file_format=record["file_format"],
            is_shared=record["is_shared"],
            role=record["role"],
        )


def parcel_of(form: ImportForm) -> Parcel:
    """Return what was uploaded in a valid form."""
    role = form.cleaned_data["role"]
    return Parcel(
        form.cleaned_data["file"].read(),
        file_format=form.cleaned_data["file_format"],
        is_shared=form.cleaned_data["owner"] == _SHARED,
        role=role.name if role else "",
    )


def options_of(
    parcel: Parcel, actor: User, organization: Organization, **more: bool
) -> dict[str, Any]:
    """Return what the import service is asked for, by name."""
    roles = Role.objects.available_to(organization)
    return {
        "file_format": Format(parcel.file_format),
        "owner": None if parcel.is_shared else actor,
        "role": roles.filter(name=parcel.role).first() if parcel.role else None,
        **more,
    }
