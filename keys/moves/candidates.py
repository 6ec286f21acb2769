"""What a file says of one key, before anybody asked whether it may become one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from django.utils.translation import gettext as _

from keys.foreign import Scheme, Shape

Found = TypeVar("Found")


class TroubleError(ValueError):
    """What is wrong with a value of a file, and what to do about it; never a secret."""

    def __init__(self, field_name: str, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.field, self.problem, self.fix = field_name, problem, fix


class Troubles(list[TroubleError]):
    """All that is wrong with one row, so that it is told at once."""

    def reading(self, read: Callable[..., Found], *args: Any) -> Found | None:
        """Return what `read` returns; None where that raises TroubleError, which is noted."""
        try:
            return read(*args)
        except TroubleError as trouble:
            self.append(trouble)
            return None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row cannot be imported. `row` is its line in the file, the header being the first."""

    row: int
    field: str
    problem: str
    fix: str

    def __str__(self) -> str:
        # 0: of no line, but of the file.
        place = _("Line %(number)d") % {"number": self.row} if self.row else ""
        return ": ".join(filter(None, (place, self.field, f"{self.problem} {self.fix}".strip())))


@dataclass(slots=True)
class GivenSecret:
    """One secret of a key, as the file knows it.

    Either its text, or the digest that another system of that `scheme` kept, or what another
    installation of Keyhaven stored, under the pepper with that fingerprint.
    """

    label: str
    text: str | None = None
    scheme: Scheme | None = None
    shape: Shape | None = None
    digest: bytes | None = None
    stored: str | None = None
    stored_origin: str | None = None
    pepper: str | None = None
    is_wrapped: bool = False
    # Of KeySecret, by field.
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Candidate:
    """One key of a file. What is None was not said."""

    row: int
    # What of it could not be read.
    troubles: Troubles = field(default_factory=Troubles)
    name: str = ""
    secrets: list[GivenSecret] = field(default_factory=list)
    identifier: str | None = None
    hash: str | None = None
    slug: str | None = None
    description: str = ""
    dialect: str | None = None
    workspace: str | None = None
    # An email address; empty: the organization itself.
    owner: str | None = None
    external_user: str | None = None
    role: str | None = None
    scopes: tuple[str, ...] = ()
    not_before: datetime | None = None
    expires_at: datetime | None = None
    disabled: bool = False
    locked_at: datetime | None = None
    lock_reason: str = ""
    revoked_at: datetime | None = None
    created_at: datetime | None = None
    limit: Decimal | None = None
    limit_reset: str | None = None
    # What is left of the limit, where the file says that and not what was spent.
    limit_remaining: Decimal | None = None
    include_byok_in_limit: bool = False
    assign_server_ips: bool = False
    # Each {network, deny, comment, active}, and {amount, period}.
    networks: list[dict[str, Any]] = field(default_factory=list)
    rate_limits: list[dict[str, Any]] = field(default_factory=list)
    # Of KeyUsage, by field.
    totals: dict[str, Any] = field(default_factory=dict)
