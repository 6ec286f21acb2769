"""The list's filters with a name: links above it, the one in use marked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.filters import KeyListFilter
from keys.models.keys import Status


@dataclass(frozen=True)
class SavedFilter:
    """What the list is narrowed to under one name; `ordering` is what is then of interest."""

    label: str | Promise
    parameters: Mapping[str, str] = field(default_factory=dict)
    ordering: str = ""

    @property
    def query(self) -> str:
        """The query string that narrows the list so; empty: the whole list."""
        ordering = {"ordering": self.ordering} if self.ordering else {}
        return urlencode({**self.parameters, **ordering})


SAVED_FILTERS = (
    SavedFilter(_("All but revoked")),
    SavedFilter(_("Mine"), {"owner": "mine"}),
    SavedFilter(_("Expiring"), {"hygiene": "expiring"}, ordering="expires_at"),
    SavedFilter(_("Never expires"), {"hygiene": "never_expires"}),
    SavedFilter(_("No IP list"), {"hygiene": "no_ip_list"}),
    SavedFilter(_("Idle"), {"hygiene": "idle"}, ordering="last_used_at"),
    SavedFilter(_("Never used"), {"unused": "true"}),
    SavedFilter(_("Limit reached"), {"status": KeyListFilter.LIMIT_REACHED}),
    SavedFilter(_("Expired"), {"status": Status.EXPIRED}, ordering="-expires_at"),
    SavedFilter(_("Disabled"), {"status": Status.DISABLED}),
    SavedFilter(_("Locked"), {"status": Status.LOCKED}),
    SavedFilter(_("Revoked"), {"status": Status.REVOKED}),
)


def find_current(parameters: Mapping[str, str]) -> SavedFilter | None:
    """Return the one that narrows as these parameters of a list do, in whatever order."""
    narrowing = {
        name: value
        for name, value in parameters.items()
        if value and name in KeyListFilter.base_filters and name != "ordering"
    }
    return next((each for each in SAVED_FILTERS if each.parameters == narrowing), None)
