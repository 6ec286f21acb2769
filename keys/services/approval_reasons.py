"""Why somebody else has to agree: kept as plain values, said to each reader in their language."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from keys.summaries.words import listed


@dataclass(frozen=True)
class Reason:
    """A rule by which somebody else has to agree, and what it is about; as text a sentence."""

    rule: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return _SENTENCES[self.rule](**self.values)

    def pack(self) -> dict[str, Any]:
        """Return it in plain JSON."""
        return {"rule": self.rule, **self.values}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "Reason":
        """Return the reason that was packed."""
        values = {name: value for name, value in packed.items() if name != "rule"}
        return cls(packed["rule"], values)


def by_two_people(organization: str) -> Reason:
    """That nobody gives MANAGE alone in this organization."""
    return Reason("two_people", {"organization": organization})


def by_scopes(role: str, codes: Iterable[str]) -> Reason:
    """That members of the role do not give these scopes alone."""
    return Reason("scopes", {"role": role, "codes": sorted(codes)})


def by_life(role: str, days: int) -> Reason:
    """That members of the role do not let a key live longer alone."""
    return Reason("life", {"role": role, "days": days})


def by_addresses(who: str, networks: Iterable[str]) -> Reason:
    """That somebody approved the key for use from these addresses only."""
    return Reason("addresses", {"who": who, "networks": list(networks)})


def _of_addresses(who: str, networks: list[str]) -> str:
    return _("%(who)s approved this key for use from %(networks)s only.") % {
        "who": who,
        # None: of a pool that is empty now.
        "networks": listed(tuple(networks)) or _("server addresses"),
    }


def _of_two_people(organization: str) -> str:
    return _("At %(name)s it takes two people to give MANAGE.") % {"name": organization}


def _of_scopes(role: str, codes: list[str]) -> str:
    return ngettext(
        "In the role %(role)s, giving %(codes)s to a key needs approval.",
        "In the role %(role)s, giving %(codes)s to a key needs approval.",
        len(codes),
    ) % {"role": role, "codes": ", ".join(codes)}


def _of_life(role: str, days: int) -> str:
    return ngettext(
        "In the role %(role)s, a key that lives longer than %(days)d day needs approval.",
        "In the role %(role)s, a key that lives longer than %(days)d days needs approval.",
        days,
    ) % {"role": role, "days": days}


_SENTENCES: dict[str, Callable[..., str]] = {
    "two_people": _of_two_people,
    "scopes": _of_scopes,
    "life": _of_life,
    "addresses": _of_addresses,
}
