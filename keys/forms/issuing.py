"""A new key."""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import policy
from keys.forms.fields import OnceForm
from keys.forms.key_fields import KeyForm
from keys.models.keys import Dialect
from keys.presets import Preset
from keys.roles import BuiltInScope, Permission
from keys.summaries import Facts

DEFAULT_EXPIRY = "90"


class IssueForm(OnceForm, KeyForm):
    """A new key, filled in from a preset or with what suits most."""

    MINE, ORGANIZATION = "mine", "organization"

    owner = forms.ChoiceField(label=gettext_lazy("Owner"), widget=forms.RadioSelect)
    dialect = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=Dialect.choices,
        initial=Dialect.NATIVE,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, preset: Preset | None = None, **kwargs: Any) -> None:
        super().__init__(*args, initial=self._initial_of(preset), **kwargs)
        self.preset = preset
        if self.initial["expiry"] not in dict(self.expiry_choices()):
            self.initial["expiry"] = self._longest_choice
        if self.life_depends_on_owner:
            # Who changes the owner is offered other days; what calendars offer stays.
            self.fields["expires_at"].widget.attrs.pop("max", None)
        grantable = [scope.code for scope in self.grantable_scopes]
        # What the person may not give is not ticked, and the page says so.
        self.lacking = preset.lacking(grantable) if preset else []
        self.initial["scopes"] = [code for code in grantable if code in self.initial["scopes"]]
        owners = self.owner_choices
        self._choices("owner").choices = owners
        self.fields["owner"].initial = owners[0][0] if owners else None
        self.fields["workspace"].initial = next(
            (each.pk for each in self.workspaces if each.is_default), None
        )
        self.fields["slug"].help_text = _("Made from the name when empty.")

    def most_days(self) -> int | None:
        return self._most_days_of(self._chosen_owner)

    def usual_days(self) -> set[int]:
        # What one owner's key may live at most stays on offer where another owner is chosen.
        longest = (self._most_days_of(value) for value, _label in self.owner_choices)
        return super().usual_days().union(days for days in longest if days is not None)

    @property
    def life_depends_on_owner(self) -> bool:
        """Whether the policy lets keys of one owner that is offered live longer than another's."""
        return len({self._most_days_of(value) for value, _label in self.owner_choices}) > 1

    def days_of(self, preset: Preset) -> int:
        """Return how long a key from that preset lives, as far as the policy lets it."""
        most = self.most_days()
        return preset.expiry_days if most is None else min(preset.expiry_days, most)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.has_error("expiry", "invalid_choice"):
            # Shown again with that objection, or as a preview, it has a choice that fits.
            self.data = self.data.copy()
            self.data["expiry"] = self._longest_choice
        return cleaned

    def forgive(self) -> None:
        """Say nothing of mistakes; choose the longest life where the owner allows no longer."""
        if self.has_error("expiry", "invalid_choice"):
            self.full_clean()
        super().forgive()

    @property
    def format_state(self) -> str:
        """What its folded section comes to: whose format."""
        choice = self["dialect"].value()
        return str(Dialect(choice).label) if choice in Dialect.values else ""

    def issue_arguments(self) -> dict[str, Any]:
        """Return what was typed as arguments of `issue_key`."""
        names = {
            "name", "description", "workspace", "dialect", "role", "scopes", "not_before",
            "expires_at", "limit", "limit_reset", "include_byok_in_limit", "assign_server_ips",
        }  # fmt: skip
        arguments = {name: self.cleaned_data[name] for name in names}
        return {
            **arguments,
            "slug": self.cleaned_data["slug"] or None,
            "owner": self.actor if self.cleaned_data["owner"] == self.MINE else None,
            "allowed_ips": [line.as_entry() for line in self.cleaned_data["allowed_ips"]],
            "rate_limits": self.rate_entries(),
        }

    @staticmethod
    def _initial_of(preset: Preset | None) -> dict[str, Any]:
        initial: dict[str, Any] = {"access": KeyForm.SCOPES}
        if preset is None:
            return initial | {"scopes": {BuiltInScope.READ}, "expiry": DEFAULT_EXPIRY}
        return initial | {
            "name": preset.name,
            "scopes": preset.scopes,
            "expiry": str(preset.expiry_days),
            "limit": preset.limit,
            "limit_reset": preset.limit_reset or "",
        }

    def _initial_facts(self) -> Facts:
        days = int(self.initial["expiry"])
        return Facts(
            organization=self.organization.name,
            owner=self._owner_name(self.fields["owner"].initial),
            scopes=frozenset(self.initial["scopes"]),
            expires_at=self.now + timedelta(days=days),
            limit=self.initial.get("limit"),
            limit_reset=self.initial.get("limit_reset") or None,
        )

    def _typed_owner(self) -> str | None:
        return self._owner_name(self.cleaned_data.get("owner"))

    def _owner_name(self, choice: str | None) -> str | None:
        return None if choice == self.ORGANIZATION else self.actor.name_and_address

    @property
    def _chosen_owner(self) -> str:
        offered = [value for value, _label in self.owner_choices] or [self.ORGANIZATION]
        typed = self.data.get("owner") if self.is_bound else None
        return typed if typed in offered else offered[0]

    def _most_days_of(self, owner: str) -> int | None:
        rules = self.rules
        return rules.person_key_days if owner == self.MINE else rules.shared_key_days

    @property
    def _longest_choice(self) -> str:
        return [value for value, _label in self.expiry_choices() if value.isdecimal()][-1]

    @cached_property
    def owner_choices(self) -> list[tuple[str, str | Promise]]:
        owners: list[tuple[str, str | Promise]] = []
        if self.organization.memberships.filter(user=self.actor).exists():
            owners.append((self.MINE, _("Me")))
        if policy.allows(self.actor, Permission.ASSIGN_APIKEY, self.organization):
            owners.append((self.ORGANIZATION, self.organization.name))
        return owners
