"""Templates of new keys: what a key for a common purpose starts with.

They fill in a form; what a person may give is the policy's to say.
"""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.models.usage import LimitReset
from keys.roles import BuiltInScope


@dataclass(frozen=True)
class Preset:
    """What a new key for one purpose starts with, and a sentence of advice about it."""

    slug: str
    icon: str
    label: str | Promise
    purpose: str | Promise
    name: str | Promise
    advice: str | Promise
    scopes: frozenset[str]
    expiry_days: int
    limit: Decimal | None = None
    limit_reset: LimitReset | None = None
    # It will be used from few, known addresses: the page asks for them.
    asks_for_addresses: bool = False

    @property
    def codes(self) -> list[str]:
        """Its scopes, in the order in which they are listed everywhere."""
        return [scope for scope in BuiltInScope if scope in self.scopes]

    def lacking(self, grantable: Collection[str]) -> list[str]:
        """Return the scopes that this is meant to have and that are not among these, sorted."""
        return sorted(self.scopes - set(grantable))


# In the order in which they are offered.
PRESETS: dict[str, Preset] = {
    preset.slug: preset
    for preset in (
        Preset(
            slug="read-only-script",
            icon="document-magnifying-glass",
            label=_("Read-only script"),
            purpose=_("A report, a dashboard, a check that looks and changes nothing."),
            name=_("Read-only script"),
            advice=_("It can change nothing. Give each script a key of its own."),
            scopes=frozenset({BuiltInScope.READ}),
            expiry_days=90,
        ),
        Preset(
            slug="ci-deploy",
            icon="rocket-launch",
            label=_("CI deploy"),
            purpose=_("A pipeline that hands fresh secrets to what it deploys."),
            name=_("CI deploy"),
            advice=_("Keep it in the pipeline's secret store, and list the runners' addresses."),
            scopes=frozenset({BuiltInScope.READ, BuiltInScope.UPDATE}),
            expiry_days=30,
            asks_for_addresses=True,
        ),
        Preset(
            slug="partner-server",
            icon="building-office-2",
            label=_("Partner server"),
            purpose=_("Another company's server that calls your services."),
            name=_("Partner server"),
            advice=_(
                "It may do nothing in this portal: give it your services' scopes that the "
                "partner needs, and allow no address but the server's."
            ),
            scopes=frozenset(),
            expiry_days=365,
            limit=Decimal(100_000),
            limit_reset=LimitReset.MONTHLY,
            asks_for_addresses=True,
        ),
        Preset(
            slug="ai-agent",
            icon="sparkles",
            label=_("AI agent"),
            purpose=_("A program that decides by itself what to call."),
            name=_("AI agent"),
            advice=_(
                "Agents try things: give it few scopes, for a short time, with a daily limit."
            ),
            scopes=frozenset({BuiltInScope.READ}),
            expiry_days=7,
            limit=Decimal(1_000),
            limit_reset=LimitReset.DAILY,
        ),
        Preset(
            slug="management",
            icon="shield-check",
            label=_("Management"),
            purpose=_("Terraform or a script that manages keys, people and settings."),
            name=_("Management"),
            advice=_("It can do all that you can: keep it in one place, and list that address."),
            scopes=frozenset(BuiltInScope),
            expiry_days=30,
            asks_for_addresses=True,
        ),
    )
}
