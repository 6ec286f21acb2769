"""A key that exists."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.forms.fields import AddressLine, short_date
from keys.forms.key_fields import KeyForm
from keys.forms.rate_fields import initial_rates
from keys.models import APIKey
from keys.services.approval_reasons import Reason
from keys.services.approval_terms import confinement_of
from keys.services.demands import Demand, demand_on
from keys.summaries import Facts, facts_of, widenings


class EditForm(KeyForm):
    """A key that exists. Only what was changed is handed on; what widens it is asked about."""

    KEEP = "keep"

    confirm_wider = forms.BooleanField(
        label=gettext_lazy("Yes, let the key do this as well"), required=False
    )

    def __init__(self, *args: Any, key: APIKey, **kwargs: Any) -> None:
        self.key = key
        self._facts_before = facts_of(key)
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
        self.wider: list[str] = []

    def expiry_choices(self) -> list[tuple[str, str | Promise]]:
        if self.key.expires_at is None:
            others = [each for each in super().expiry_choices() if each[0] != "never"]
            return [(self.KEEP, _("Unchanged · never")), *others]
        unchanged = _("Unchanged · %(date)s") % {"date": short_date(self.key.expires_at)}
        return [(self.KEEP, unchanged), *super().expiry_choices()]

    def most_days(self) -> int | None:
        return self.rules.days_of(self.key.owner_id)

    @property
    def may_need_approval(self) -> bool:
        return super().may_need_approval or self._demand is not None

    @property
    def approval_reasons(self) -> list[Reason]:
        reasons = super().approval_reasons
        if self._demand is None or "allowed_ips" in self.facts.unclear:
            return reasons
        is_within = confinement_of(self.facts).is_within(self._demand.confinement)
        return reasons if is_within else [*reasons, self._demand.reason]

    @cached_property
    def _demand(self) -> Demand | None:
        follows = self.key.assign_server_ips
        return demand_on(self.actor, self.key, follows_servers=follows)

    def _gained(self) -> frozenset[str]:
        return self.facts.scopes - self._facts_before.scopes

    def _new_ends(self) -> list[datetime | None]:
        old, new = self._facts_before.expires_at, super()._new_ends()
        return [end for end in new if old is not None and (end is None or end > old)]

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
        if changed & {"allowed_ips", "add_own_address"}:
            changes["allowed_ips"] = self._entries()
        if self.rates_changed:
            changes["rate_limits"] = self.rate_entries()
        return changes

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        # Mistakes first: a question about what is not meant that way would only confuse.
        if self.errors.keys() <= {"confirm_lockout"}:
            self._ask_before_widening(cleaned)
        return cleaned

    def forgive(self) -> None:
        """Say nothing of mistakes, but in what the key would get wider."""
        super().forgive()
        self.wider = widenings(self._facts_before, self.facts, now=self.now)

    def _ask_before_widening(self, cleaned: dict[str, Any]) -> None:
        self.wider = widenings(self._facts_before, self._typed_facts(), now=self.now)
        if self.wider and not cleaned.get("confirm_wider"):
            self.add_error(
                "confirm_wider",
                _("With this the key may do more than before. Look at the list, tick and save."),
            )

    def _initial_facts(self) -> Facts:
        return self._facts_before

    def _typed_owner(self) -> str | None:
        return self._facts_before.owner

    def _typed_scopes(self) -> frozenset[str]:
        # What the person cannot give is not offered, and stays unless they choose others.
        if set(self.changed_data) & {"access", "role", "scopes"}:
            return super()._typed_scopes()
        return self._facts_before.scopes

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
            **initial_rates(key.rate_limits.all()),
        }
