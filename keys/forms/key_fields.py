"""What people decide about a key: the part that issuing and editing share."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from keys import networks, policy
from keys.forms.fields import (
    EXPIRY_DAYS,
    MAX_ADDRESS_TEXT,
    AddressesField,
    AddressLine,
    MomentField,
    ServiceForm,
    days_choice,
    short_date,
)
from keys.forms.rate_fields import RATE_FIELDS, RateFields
from keys.models import Organization, Role, User, Workspace
from keys.models.fields import AMOUNT_PLACES, MAX_AMOUNT
from keys.models.keys import validate_short_name
from keys.models.usage import LimitReset
from keys.networks import Address
from keys.rules import RoleTerms, example_of, loaded_rules, role_id_of
from keys.services.approval_reasons import Reason
from keys.services.enforcing import reasons_for_approval
from keys.summaries import Facts, Summary, credit, pace, summarize
from keys.verification import allowed_networks, passes_lists

# What is typed -> the part of a summary that cannot be told while it is wrong.
_UNCLEAR = {
    "allowed_ips": "allowed_ips",
    "expiry": "expires_at",
    "expires_at": "expires_at",
    "limit": "limit",
    "limit_reset": "limit",
    **dict.fromkeys(RATE_FIELDS, "rate_limits"),
}


class KeyForm(RateFields, ServiceForm):
    """Everything that people decide about a key, and its summary as far as it was typed."""

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
    # For browsers without scripts; others have a button that writes it into the list.
    add_own_address = forms.BooleanField(
        label=gettext_lazy("Allow the address that I am at"), required=False
    )
    assign_server_ips = forms.BooleanField(
        label=gettext_lazy("Also allow the organization's server addresses"), required=False
    )
    confirm_lockout = forms.BooleanField(
        label=gettext_lazy("I know that it will not work from here"), required=False
    )
    expiry = forms.ChoiceField(label=gettext_lazy("Expires"), widget=forms.RadioSelect)
    expires_at = MomentField(
        label=gettext_lazy("Expires at"), help_text=gettext_lazy("In UTC, as 2027-01-31 18:00.")
    )
    not_before = MomentField(
        label=gettext_lazy("Valid from"), help_text=gettext_lazy("In UTC. Empty: at once.")
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

    reason = forms.CharField(
        label=gettext_lazy("Why you need it"),
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("For whoever approves it, where somebody has to."),
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
        self.actor = actor
        self.organization = organization
        self.address = address
        self.now = timezone.now()
        self.rules = loaded_rules(organization)
        if self.rules.name_pattern:
            self.fields["name"].help_text = _("It looks like %(pattern)s, such as %(example)s.") % {
                "pattern": self.rules.name_pattern,
                "example": example_of(self.rules.name_pattern),
            }
        if self.most_days() is not None:
            latest = self.now + timedelta(days=self.most_days())
            self.fields["expires_at"].widget.attrs["max"] = f"{latest:{MomentField.FORMAT}}"
            self.fields["expiry"].error_messages["invalid_choice"] = self.longest_life
        self.server_addresses = list(
            policy.visible(actor, organization.server_addresses.all()).values_list(
                "network", flat=True
            )
        )
        self.needs_confirmation = False
        workspaces = policy.visible(actor, organization.workspaces.all())
        self._choices("workspace").queryset = workspaces
        self._choices("role").queryset = policy.grantable_roles(actor, organization)
        # Read once for the whole page, where a field would for each of its parts.
        self.workspaces = list(workspaces)
        self._choices("workspace").choices = [(each.pk, each.name) for each in self.workspaces]
        self.grantable_scopes = list(policy.grantable_scopes(actor, organization))
        self._choices("scopes").choices = [
            (scope.code, scope.code) for scope in self.grantable_scopes
        ]
        self._choices("expiry").choices = self.expiry_choices()

    def expiry_choices(self) -> list[tuple[str, str | Promise]]:
        """Return the presets, each with the date that it comes to."""
        most = self.most_days()
        custom = ("custom", _("Another date"))
        if most is None:
            presets = [days_choice(days, self.now) for days in sorted(self.usual_days())]
            return [*presets, custom, ("never", _("Never"))]
        days = sorted({most, *(each for each in self.usual_days() if each < most)})
        return [*(days_choice(each, self.now) for each in days), custom]

    def usual_days(self) -> set[int]:
        """Return how many days keys are often given, whether or not this one may live so long."""
        return set(EXPIRY_DAYS)

    def most_days(self) -> int | None:
        """Return how many days the key may live at most; None: as long as people like."""
        raise NotImplementedError

    @property
    def longest_life(self) -> str:
        """How long the policy lets it live, in a sentence; empty: as long as people like."""
        days = self.most_days()
        if days is None:
            return ""
        return ngettext(
            "The policy lets it end %(days)s day from now at the latest.",
            "The policy lets it end %(days)s days from now at the latest.",
            days,
        ) % {"days": days}

    @property
    def confined_scopes(self) -> list[str]:
        """The scopes that the key can get here, or has, with which it needs allowed IPs."""
        possible = {scope.code for scope in self.grantable_scopes} | self._initial_facts().scopes
        return [code for code in self.rules.confined_scopes if code in possible]

    @property
    def may_need_approval(self) -> bool:
        """Whether there is something that the person may not give to a key alone."""
        terms = self._role_terms
        return self.rules.two_person_rule or bool(
            terms and (terms.approval_scopes or terms.approval_days is not None)
        )

    @property
    def role_limits(self) -> str:
        """The only scopes that the person may give to keys, where the role gives fewer."""
        return ", ".join(sorted(self._role_terms.scopes)) if self._role_terms else ""

    @property
    def approval_reasons(self) -> list[Reason]:
        """Why somebody else has to approve the key as it is typed so far; none: nobody has to."""
        if not self.may_need_approval:
            return []
        return reasons_for_approval(
            self.actor, self.rules, gained=self._gained(), ends=self._new_ends(), now=self.now
        )

    @cached_property
    def _role_terms(self) -> RoleTerms | None:
        if not self.rules.roles:
            return None
        return self.rules.terms_of(role_id_of(self.actor.pk, self.organization))

    def _gained(self) -> frozenset[str]:
        return self.facts.scopes

    def _new_ends(self) -> list[datetime | None]:
        return [] if "expires_at" in self.facts.unclear else [self.facts.expires_at]

    def clean_limit_reset(self) -> str | None:
        return self.cleaned_data["limit_reset"] or None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self._add_own_address(cleaned)
        self._clean_access(cleaned)
        self._clean_expiry(cleaned)
        self._clean_reset(cleaned)
        self._warn_of_lockout(cleaned)
        return cleaned

    @property
    def summary(self) -> Summary:
        """The key in sentences, as it is typed so far."""
        return summarize(self.facts, now=self.now)

    @property
    def limit_state(self) -> str:
        """What the folded section about limits comes to, in sentences."""
        return " ".join([credit(self.facts), *pace(self.facts)])

    @property
    def more_state(self) -> str:
        """What the folded section about its start and short name comes to."""
        start, slug = self.facts.not_before, self["slug"].value()
        if start is None:
            begins = _("Valid at once")
        else:
            begins = _("Valid from %(date)s") % {"date": short_date(start)}
        return f"{begins} · {slug}" if slug else begins

    @cached_property
    def facts(self) -> Facts:
        """What decides what the key may do, as it is typed so far."""
        return self._typed_facts() if self.is_bound else self._initial_facts()

    def forgive(self) -> None:
        """Say nothing of mistakes: whoever only looks at the summary is not done yet."""
        self.facts = self._typed_facts()
        self.errors.clear()
        self.needs_confirmation = False

    def _initial_facts(self) -> Facts:
        raise NotImplementedError

    def _typed_facts(self) -> Facts:
        unclear = frozenset(_UNCLEAR[name] for name in self.errors if name in _UNCLEAR)
        typed = self.cleaned_data
        lines: list[AddressLine] = typed.get("allowed_ips") or []
        role = typed.get("role")
        return Facts(
            organization=self.organization.name,
            owner=self._typed_owner(),
            scopes=self._typed_scopes(),
            role=role.name if role else None,
            allowed=tuple(line.network for line in lines if not line.deny),
            denied=tuple(line.network for line in lines if line.deny),
            follows_servers=typed.get("assign_server_ips", False),
            servers=tuple(self.server_addresses),
            not_before=typed.get("not_before"),
            expires_at=typed.get("expires_at"),
            limit=typed.get("limit"),
            limit_reset=typed.get("limit_reset"),
            counts_byok=typed.get("include_byok_in_limit", False),
            rates=self.typed_rates(),
            unclear=unclear,
        )

    def _typed_owner(self) -> str | None:
        raise NotImplementedError

    def _typed_scopes(self) -> frozenset[str]:
        role = self.cleaned_data.get("role")
        codes: Iterable[str] = self.cleaned_data.get("scopes") or ()
        return frozenset(scope.code for scope in role.scopes.all()) if role else frozenset(codes)

    def _choices(self, name: str) -> Any:
        return self.fields[name]

    def _add_own_address(self, cleaned: dict[str, Any]) -> None:
        lines = cleaned.get("allowed_ips")
        if lines is None or self.address is None or not cleaned.get("add_own_address"):
            return
        allowed = [line.network for line in lines if not line.deny]
        if not networks.contains(allowed, self.address):
            cleaned["allowed_ips"] = [*lines, AddressLine(str(self.address), False, "")]

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
        if lines is None or not {"allowed_ips", "assign_server_ips"} & set(self.changed_data):
            return
        pool = self.server_addresses if cleaned.get("assign_server_ips") else None
        allowed = allowed_networks([line.network for line in lines if not line.deny], pool)
        denied = [line.network for line in lines if line.deny]
        if passes_lists(allowed, denied, self.address):
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
