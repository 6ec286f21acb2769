"""What people decide about a key."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import policy
from keys.forms.fields import MAX_ADDRESS_TEXT, AddressesField, AddressLine, OnceForm
from keys.models import APIKey, Organization, Role, User, Workspace
from keys.models.fields import AMOUNT_PLACES, MAX_AMOUNT
from keys.models.keys import Dialect, validate_short_name
from keys.models.usage import LimitReset
from keys.networks import Address
from keys.roles import Permission
from keys.verification import passes_lists

EXPIRY_DAYS = (7, 30, 60, 90, 365)
DEFAULT_EXPIRY = "90"


def _date(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "j M Y")


class KeyForm(forms.Form):
    """Everything that people decide about a key; the parts that issuing and editing share."""

    ROLE, SCOPES = "role", "scopes"

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=200,
        help_text=gettext_lazy("What or who will use it, such as “Billing server”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    description = forms.CharField(
        label=gettext_lazy("Description"),
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("For whoever finds this key in two years. Up to 500 characters."),
    )
    slug = forms.CharField(
        label=gettext_lazy("Short name"),
        max_length=63,
        required=False,
        validators=[validate_short_name],
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "off", "class": "mono"}
        ),
    )
    workspace = forms.ModelChoiceField(
        label=gettext_lazy("Workspace"), queryset=Workspace.objects.none(), empty_label=None
    )
    access = forms.ChoiceField(
        label=gettext_lazy("What it may do"),
        choices=[
            (SCOPES, gettext_lazy("Scopes of its own")),
            (ROLE, gettext_lazy("Follow a role")),
        ],
        widget=forms.RadioSelect,
    )
    role = forms.ModelChoiceField(
        label=gettext_lazy("Role"),
        queryset=Role.objects.none(),
        required=False,
        empty_label=gettext_lazy("Choose a role"),
        help_text=gettext_lazy("When the role changes, what the key may do changes with it."),
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"), widget=forms.CheckboxSelectMultiple, required=False
    )
    allowed_ips = AddressesField(
        label=gettext_lazy("Allowed IPs"), max_length=MAX_ADDRESS_TEXT, required=False
    )
    assign_server_ips = forms.BooleanField(
        label=gettext_lazy("Also allow the organization's server addresses"), required=False
    )
    confirm_lockout = forms.BooleanField(
        label=gettext_lazy("I know that it will not work from here"), required=False
    )
    expiry = forms.ChoiceField(label=gettext_lazy("Expires"), widget=forms.RadioSelect)
    expires_at = forms.DateTimeField(
        label=gettext_lazy("Expires at"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        help_text=gettext_lazy("In UTC, as 2027-01-31 18:00."),
    )
    not_before = forms.DateTimeField(
        label=gettext_lazy("Valid from"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        help_text=gettext_lazy("In UTC. Empty: at once."),
    )
    limit = forms.DecimalField(
        label=gettext_lazy("Limit"),
        min_value=0,
        max_value=MAX_AMOUNT,
        decimal_places=AMOUNT_PLACES,
        required=False,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
        help_text=gettext_lazy("Credits that it may spend; empty: no limit."),
    )
    limit_reset = forms.ChoiceField(
        label=gettext_lazy("The limit is full again"),
        choices=[("", gettext_lazy("never")), *LimitReset.choices],
        required=False,
        help_text=gettext_lazy("At midnight UTC; weeks begin on Monday."),
    )
    include_byok_in_limit = forms.BooleanField(
        label=gettext_lazy("Use with one's own provider keys counts too"), required=False
    )

    def __init__(
        self,
        *args: Any,
        actor: User,
        organization: Organization,
        address: Address | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization
        self.address = address
        self.now = timezone.now()
        self.server_addresses = list(
            policy.visible(actor, organization.server_addresses.all()).values_list(
                "network", flat=True
            )
        )
        self.needs_confirmation = False
        self._choices("workspace").queryset = policy.visible(actor, organization.workspaces.all())
        self._choices("role").queryset = policy.grantable_roles(
            actor, organization
        ).prefetch_related("scopes")
        self.grantable_scopes = list(policy.grantable_scopes(actor, organization))
        self._choices("scopes").choices = [
            (scope.code, scope.code) for scope in self.grantable_scopes
        ]
        self._choices("expiry").choices = self.expiry_choices()

    def expiry_choices(self) -> list[tuple[str, str | Promise]]:
        """Return the presets, each with the date that it comes to."""
        presets = [(str(days), self._describe_days(days)) for days in EXPIRY_DAYS]
        return [*presets, ("custom", _("Another date")), ("never", _("Never"))]

    def clean_limit_reset(self) -> str | None:
        return self.cleaned_data["limit_reset"] or None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self._clean_access(cleaned)
        self._clean_expiry(cleaned)
        self._clean_reset(cleaned)
        self._warn_of_lockout(cleaned)
        return cleaned

    def add_problems(self, problems: ValidationError) -> None:
        """Show what a service found wrong, at its fields; unknown fields above the form."""
        if not hasattr(problems, "error_dict"):
            self.add_error(None, problems)
            return
        for field, errors in problems.error_dict.items():
            self.add_error(field if field in self.fields else None, errors)

    def _choices(self, name: str) -> Any:
        return self.fields[name]

    def _describe_days(self, days: int) -> str:
        words = _("1 year") if days == 365 else _("%(days)d days") % {"days": days}
        return f"{words} · {_date(self.now + timedelta(days=days))}"

    def _clean_access(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("access") == self.ROLE:
            cleaned["scopes"] = []
            if not cleaned.get("role") and "role" not in self.errors:
                self.add_error("role", _("Choose the role that the key shall follow."))
        else:
            cleaned["role"] = None

    def _clean_expiry(self, cleaned: dict[str, Any]) -> None:
        choice = cleaned.get("expiry")
        if choice == "custom":
            if not cleaned.get("expires_at") and "expires_at" not in self.errors:
                self.add_error("expires_at", _("Say when, as 2027-01-31 18:00."))
        elif choice == "never":
            cleaned["expires_at"] = None
        elif choice:
            cleaned["expires_at"] = self.now + timedelta(days=int(choice))

    def _clean_reset(self, cleaned: dict[str, Any]) -> None:
        has_limit = cleaned.get("limit") is not None or "limit" in self.errors
        if cleaned.get("limit_reset") and not has_limit:
            self.add_error("limit", _("Without a limit there is nothing to reset."))

    def _warn_of_lockout(self, cleaned: dict[str, Any]) -> None:
        """Ask before a list is saved that keeps out the person who wrote it."""
        lines = cleaned.get("allowed_ips")
        if lines is None or "allowed_ips" not in self.changed_data:
            return
        allowed = [line.network for line in lines if not line.deny]
        if cleaned.get("assign_server_ips"):
            allowed += self.server_addresses
        denied = [line.network for line in lines if line.deny]
        if passes_lists(allowed or None, denied, self.address):
            return
        self.needs_confirmation = True
        if not cleaned.get("confirm_lockout"):
            self.add_error(
                "confirm_lockout",
                _(
                    "Your own address, %(address)s, is not let through. If that is what you "
                    "want, tick this and save again; otherwise add your address to the list."
                )
                % {"address": self.address or _("which we cannot tell")},
            )


class IssueForm(OnceForm, KeyForm):
    """A new key."""

    MINE, ORGANIZATION = "mine", "organization"

    owner = forms.ChoiceField(label=gettext_lazy("Owner"), widget=forms.RadioSelect)
    dialect = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=Dialect.choices,
        initial=Dialect.NATIVE,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = kwargs["actor"]
        owners = self._owners()
        self._choices("owner").choices = owners
        self.fields["owner"].initial = owners[0][0] if owners else None
        self.fields["access"].initial = self.SCOPES
        self.fields["expiry"].initial = DEFAULT_EXPIRY
        self.fields["workspace"].initial = (
            self._choices("workspace").queryset.filter(is_default=True).first()
        )
        self.fields["slug"].help_text = _("Made from the name when empty.")

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
        }

    def _owners(self) -> list[tuple[str, str | Promise]]:
        owners: list[tuple[str, str | Promise]] = []
        if self.organization.memberships.filter(user=self.actor).exists():
            owners.append((self.MINE, _("Me")))
        if policy.allows(self.actor, Permission.ASSIGN_APIKEY, self.organization):
            owners.append((self.ORGANIZATION, self.organization.name))
        return owners


class EditForm(KeyForm):
    """A key that exists. Only what was changed is handed on."""

    KEEP = "keep"

    def __init__(self, *args: Any, key: APIKey, **kwargs: Any) -> None:
        self.key = key
        self.lines = [
            AddressLine(row.network, row.deny, row.comment)
            for row in key.allowed_ips.all()
            if row.active
        ]
        # Rows that are switched off have no place in the text; they stay as they are.
        self.inactive = [row for row in key.allowed_ips.all() if not row.active]
        super().__init__(*args, initial=self._initial(), **kwargs)
        self.fields["slug"].required = True
        grantable = {scope.code for scope in self.grantable_scopes}
        self.beyond = [] if key.role else sorted(set(key.scope_codes) - grantable)
        # What is not offered is not ticked either: that alone is no change.
        self.initial["scopes"] = sorted(set(self.initial["scopes"]) & grantable)
        self.fields["slug"].help_text = _("Some clients name the key by it.")

    def expiry_choices(self) -> list[tuple[str, str | Promise]]:
        if self.key.expires_at is None:
            return [(self.KEEP, _("Unchanged · never")), *super().expiry_choices()[:-1]]
        unchanged = _("Unchanged · %(date)s") % {"date": _date(self.key.expires_at)}
        return [(self.KEEP, unchanged), *super().expiry_choices()]

    def changes(self) -> dict[str, Any]:
        """Return the fields that were changed, as arguments of `update_key`."""
        simple = {
            "name", "description", "slug", "workspace", "not_before", "limit", "limit_reset",
            "include_byok_in_limit", "assign_server_ips",
        }  # fmt: skip
        changed = set(self.changed_data)
        changes = {name: self.cleaned_data[name] for name in simple & changed}
        if self.cleaned_data["expiry"] != self.KEEP:
            changes["expires_at"] = self.cleaned_data["expires_at"]
        if changed & {"access", "role", "scopes"}:
            changes |= {name: self.cleaned_data[name] for name in ("role", "scopes")}
        if "allowed_ips" in changed:
            changes["allowed_ips"] = self._entries()
        return changes

    def _clean_expiry(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("expiry") == self.KEEP:
            cleaned["expires_at"] = self.key.expires_at
        else:
            super()._clean_expiry(cleaned)

    def _entries(self) -> list[dict[str, Any]]:
        kept = [
            {
                "network": row.network,
                "deny": row.deny,
                "comment": row.comment,
                "active": False,
            }
            for row in self.inactive
        ]
        return [line.as_entry() for line in self.cleaned_data["allowed_ips"]] + kept

    def _initial(self) -> dict[str, Any]:
        key = self.key
        return {
            "name": key.name,
            "description": key.description,
            "slug": key.slug,
            "workspace": key.workspace_id,
            "access": self.ROLE if key.role else self.SCOPES,
            "role": key.role_id,
            "scopes": [] if key.role else key.scope_codes,
            "allowed_ips": "\n".join(map(str, self.lines)),
            "assign_server_ips": key.assign_server_ips,
            "expiry": self.KEEP,
            "not_before": key.not_before,
            "limit": key.limit,
            "limit_reset": key.limit_reset or "",
            "include_byok_in_limit": key.include_byok_in_limit,
        }


class RotateForm(OnceForm):
    """How long the old secret of a key keeps working beside the new one."""

    OVERLAPS = {
        "0": (timedelta(0), gettext_lazy("Not at all: it stops now")),
        "1h": (timedelta(hours=1), gettext_lazy("1 hour")),
        "24h": (timedelta(hours=24), gettext_lazy("24 hours")),
        "7d": (timedelta(days=7), gettext_lazy("7 days")),
    }

    overlap = forms.ChoiceField(
        label=gettext_lazy("The old secret keeps working for"),
        choices=[(name, label) for name, (_length, label) in OVERLAPS.items()],
        initial="24h",
        widget=forms.RadioSelect,
    )

    @property
    def length(self) -> timedelta:
        """The overlap that was chosen."""
        return self.OVERLAPS[self.cleaned_data["overlap"]][0]
