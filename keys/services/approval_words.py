"""What is asked for and agreed to, in the words of whoever reads it."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.utils.dateparse import parse_datetime
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.models import APIKey, Role, User, Workspace
from keys.models.keys import Dialect
from keys.summaries.words import moment_of

_LABELS = {
    "allowed_ips": gettext_lazy("allowed IPs"),
    "rate_limits": gettext_lazy("rate limits"),
    "person": gettext_lazy("person"),
    "role_name": gettext_lazy("role"),
}


def label_of(name: str) -> str:
    """Return what people call an argument that is asked for."""
    if name in _LABELS:
        return capfirst(str(_LABELS[name]))
    try:
        field = APIKey._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    return capfirst(str(getattr(field, "verbose_name", name)))


def words_of(name: str, value: Any) -> str:
    """Return the value of an argument as people write it."""
    if name in ("expires_at", "not_before"):
        moment = parse_datetime(value) if isinstance(value, str) else value
        return moment_of(moment) if moment else _("never") if name == "expires_at" else _("at once")
    if name == "dialect":
        return str(Dialect(value).label)
    rows = {"role": Role, "workspace": Workspace, "owner": User}
    if name in rows and value is not None and not (isinstance(value, str) and name != "workspace"):
        row = rows[name]._default_manager.filter(pk=value).first()
        return row.name_and_address if isinstance(row, User) else str(row or value)
    if name == "allowed_ips" and value is None:
        return _("not said")
    match value:
        case bool():
            return _("yes") if value else _("no")
        case None | "" | []:
            return _("none")
        case list():
            return ", ".join(map(_entry, value))
    return str(value)


def _entry(value: Any) -> str:
    match value:
        case {"amount": amount, "period": period}:
            return f"{amount}/{period}"
        case {"network": network, **rest}:
            return f"!{network}" if rest.get("deny") else str(network)
    return str(value)


def narrowings_in_words(changed: Mapping[str, Any]) -> str:
    """Return what was approved otherwise than it was asked for, by name [asked, approved]."""
    return "; ".join(
        f"{label_of(name)}: {words_of(name, asked)} → {words_of(name, approved)}"
        for name, (asked, approved) in changed.items()
    )
