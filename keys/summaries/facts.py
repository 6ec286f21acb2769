"""What decides what a key may do."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from keys.models import APIKey
from keys.models.rates import shortest_first
from keys.roles import BuiltInScope


@dataclass(frozen=True)
class Facts:
    """What decides what a key may do; `unclear` names the parts that cannot be told yet."""

    organization: str
    # The person it acts for; None: the organization itself.
    owner: str | None
    scopes: frozenset[str] = frozenset()
    role: str | None = None
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    follows_servers: bool = False
    servers: tuple[str, ...] = ()
    not_before: datetime | None = None
    expires_at: datetime | None = None
    limit: Decimal | None = None
    limit_reset: str | None = None
    counts_byok: bool = False
    # (requests, a models.rates.Period), of the key itself.
    rates: tuple[tuple[int, str], ...] = ()
    unclear: frozenset[str] = field(default=frozenset())

    @property
    def is_open(self) -> bool:
        """Whether no list says from where the key works."""
        return not (self.allowed or self.follows_servers)

    @property
    def is_managing(self) -> bool:
        return BuiltInScope.MANAGE in self.scopes

    @property
    def is_issuing(self) -> bool:
        """Whether it can issue keys; one with an amount to spend or to keep cannot."""
        has_amount = self.limit is not None or bool(self.rates)
        return self.is_managing or (BuiltInScope.CREATE in self.scopes and not has_amount)

    @property
    def own_scopes(self) -> list[str]:
        """The organization's own scopes, sorted; the portal does not know what they allow."""
        return sorted(self.scopes - set(BuiltInScope))

    @property
    def origins(self) -> tuple[str, ...]:
        """The networks that the lists allow today."""
        return (*self.allowed, *self.servers) if self.follows_servers else self.allowed


def facts_of(key: APIKey) -> Facts:
    """Return the facts of a key loaded with its details; one more query if it follows servers."""
    rows = [row for row in key.allowed_ips.all() if row.active]
    servers: Iterable[str] = ()
    if key.assign_server_ips:
        servers = key.organization.server_addresses.values_list("network", flat=True)
    return Facts(
        organization=key.organization.name,
        owner=key.owner.name_and_address if key.owner else None,
        scopes=frozenset(key.scope_codes),
        role=key.role.name if key.role else None,
        allowed=tuple(row.network for row in rows if not row.deny),
        denied=tuple(row.network for row in rows if row.deny),
        follows_servers=key.assign_server_ips,
        servers=tuple(servers),
        not_before=key.not_before,
        expires_at=key.expires_at,
        limit=key.limit,
        limit_reset=key.limit_reset,
        counts_byok=key.include_byok_in_limit,
        rates=tuple((row.amount, row.period) for row in shortest_first(key.rate_limits.all())),
    )
