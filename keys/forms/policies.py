"""What an organization demands of its keys, and of the members of each role."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.forms.fields import ServiceForm
from keys.models import Organization, Role, Scope
from keys.models.policies import MAX_DAYS, MAX_PATTERN, LeakAction
from keys.rules import FIELDS, RoleTerms, loaded_rules
from keys.services.policies import PolicyPlan


def _days(label: Any, **kwargs: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        min_value=1,
        max_value=MAX_DAYS,
        required=False,
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "placeholder": "∞"}),
        **kwargs,
    )


def _scopes(label: Any, choices: Any = ()) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, choices=choices, widget=forms.CheckboxSelectMultiple, required=False
    )


@dataclass(frozen=True)
class RoleFields:
    """The fields about one role."""

    role: Role
    scopes: BoundField
    approval_scopes: BoundField
    approval_days: BoundField

    @property
    def is_open(self) -> bool:
        """Whether something is said here, or wrong."""
        fields = (self.scopes, self.approval_scopes, self.approval_days)
        return any(field.value() or field.errors for field in fields)

    @property
    def not_held(self) -> list[str]:
        """The chosen scopes that the role does not have: a rule on these binds nobody yet."""
        chosen = {*(self.scopes.value() or ()), *(self.approval_scopes.value() or ())}
        return sorted(chosen - {scope.code for scope in self.role.scopes.all()})


class PolicyForm(ServiceForm):
    """Every rule of an organization; which keys break them is asked about before they hold."""

    # Of what was agreed to: another policy is asked about anew.
    agreed = forms.CharField(required=False, widget=forms.HiddenInput)

    person_key_days = _days(gettext_lazy("Keys of people, days"))
    shared_key_days = _days(gettext_lazy("Keys of the organization, days"))
    confined_scopes = _scopes(gettext_lazy("These scopes need allowed IPs"))
    name_pattern = forms.CharField(
        label=gettext_lazy("Names look like"),
        max_length=MAX_PATTERN,
        required=False,
        strip=False,
        help_text=gettext_lazy(
            "An asterisk stands for any text, a question mark for one character: prod-* or "
            "team-?? *. Empty: any name."
        ),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"}
        ),
    )
    idle_days = _days(gettext_lazy("Disable keys that were not used for, days"))
    requires_second_factor = forms.BooleanField(
        label=gettext_lazy("Members need a second factor"), required=False
    )
    leak_action = forms.ChoiceField(
        label=gettext_lazy("When somebody reports that a key leaked"),
        choices=[
            (LeakAction.NOTIFY, gettext_lazy("Tell its people, who decide")),
            (LeakAction.DISABLE, gettext_lazy("Disable it and tell them")),
            (LeakAction.ROTATE, gettext_lazy("Rotate it and tell them")),
        ],
        widget=forms.RadioSelect,
    )
    two_person_rule = forms.BooleanField(
        label=gettext_lazy("It takes two people to give MANAGE"), required=False
    )

    plan: PolicyPlan | None = None

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        found = loaded_rules(organization)
        roles = Role.objects.available_to(organization).prefetch_related("scopes")
        self.roles = list(roles.order_by("number", "pk"))
        self.scopes = list(Scope.objects.available_to(organization))
        initial = {name: getattr(found, name) for name in FIELDS}
        for role in self.roles:
            terms = found.terms_of(role.pk) or RoleTerms(role)
            initial[f"scopes_{role.pk}"] = sorted(terms.scopes)
            initial[f"approval_scopes_{role.pk}"] = sorted(terms.approval_scopes)
            initial[f"approval_days_{role.pk}"] = terms.approval_days
        super().__init__(*args, initial=initial, **kwargs)
        choices = [(scope.code, scope.code) for scope in self.scopes]
        self.fields["confined_scopes"].choices = choices
        for role in self.roles:
            self.fields[f"scopes_{role.pk}"] = _scopes(
                _("Scopes that the role %(role)s gives to keys") % {"role": role.name}, choices
            )
            self.fields[f"approval_scopes_{role.pk}"] = _scopes(
                _("Scopes for which the role %(role)s needs approval") % {"role": role.name},
                choices,
            )
            self.fields[f"approval_days_{role.pk}"] = _days(
                _("Days beyond which the role %(role)s needs approval") % {"role": role.name}
            )

    def role_fields(self) -> Iterator[RoleFields]:
        """Return the fields about each role."""
        for role in self.roles:
            names = (f"{each}_{role.pk}" for each in ("scopes", "approval_scopes", "approval_days"))
            yield RoleFields(role, *(self[name] for name in names))

    def switches(self) -> list[BoundField]:
        """Return the rules about people, which hold or do not."""
        return [self["requires_second_factor"], self["two_person_rule"]]

    def changes(self) -> dict[str, Any]:
        """Return what was typed, as the service takes it."""
        data = self.cleaned_data
        terms = [
            RoleTerms(
                role,
                frozenset(data[f"scopes_{role.pk}"]),
                frozenset(data[f"approval_scopes_{role.pk}"]),
                data[f"approval_days_{role.pk}"],
            )
            for role in self.roles
        ]
        return {**{name: data[name] for name in FIELDS}, "roles": terms}

    def is_agreed(self, plan: PolicyPlan) -> bool:
        """Say whether no key breaks new rules or that was agreed to; else ask."""
        self.plan = plan
        if not (plan.is_felt and plan.is_change) or self.cleaned_data["agreed"] == plan.mark:
            return True
        self.add_error(
            None, _("Read below which keys do not fit, tick that you mean it and save again.")
        )
        return False
