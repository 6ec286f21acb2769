"""What somebody asks for, in words."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.core.exceptions import FieldDoesNotExist
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.models import APIKey, ApprovalRequest, Role, User, Workspace
from keys.models.approvals import ApprovalKind, ApprovalStatus
from keys.models.keys import Dialect
from keys.services import approval_terms
from keys.services.approval_reasons import Reason
from keys.services.changes import describe
from keys.summaries.words import moment_of

register = template.Library()

_LABELS = {
    "allowed_ips": gettext_lazy("allowed IPs"),
    "rate_limits": gettext_lazy("rate limits"),
    "person": gettext_lazy("person"),
    "role_name": gettext_lazy("role"),
}
# In which order they are told, as the form asks for them; the database keeps none. Others follow.
_ORDER = ("person", "role_name", "name", "owner", "workspace", "scopes", "role", "expires_at")
# Told by what is beside them.
_BESIDE = {"membership", approval_terms.SCOPES_BEFORE}
_TONES = {
    ApprovalStatus.PENDING: "warning",
    ApprovalStatus.APPROVED: "success",
    ApprovalStatus.DONE: "success",
    ApprovalStatus.DENIED: "danger",
}


@dataclass(frozen=True)
class Term:
    """One thing that is asked for: its old value where there is one, and what was approved."""

    label: str
    asked: str
    before: str = ""
    approved: str = ""


@register.filter
def state_label(approval: ApprovalRequest) -> str:
    """Return what became of a request."""
    return str(ApprovalStatus(approval.state).label)


@register.filter
def state_tone(approval: ApprovalRequest) -> str:
    """Return the tone of what became of a request."""
    return _TONES.get(ApprovalStatus(approval.state), "off")


@register.filter
def title(approval: ApprovalRequest) -> str | Promise:
    """Return what a request is about, in a few words."""
    match approval.kind:
        case ApprovalKind.ROLE:
            return _("%(role)s for %(person)s") % {
                "role": approval.terms["role_name"],
                "person": approval.terms["person"],
            }
        case ApprovalKind.WIDEN:
            return _("More for %(name)s") % {"name": approval.key}
    return approval.terms.get("name", "")


@register.filter
def reasons(approval: ApprovalRequest) -> list[Reason]:
    """Return why it takes somebody else, each a sentence as text."""
    return [Reason.unpack(each) for each in approval.needed_for]


@register.filter
def terms(approval: ApprovalRequest) -> list[Term]:
    """Return what is asked for, and where less was approved, that."""
    before = describe(approval.key) if approval.kind == ApprovalKind.WIDEN and approval.key else {}
    approved = approval.approved_terms
    found = []
    for name, value in sorted(approval.terms.items(), key=_place):
        is_told = name in _BESIDE or (approval.kind == ApprovalKind.ROLE and name == "role")
        if is_told or (value in (None, "", [], False) and not before):
            continue
        differs = approved is not None and approved.get(name) != value
        found.append(
            Term(
                _label(name),
                _words(name, value),
                _words(name, before[name]) if name in before else "",
                _words(name, approved.get(name)) if approved is not None and differs else "",
            )
        )
    if approval.kind == ApprovalKind.ISSUE and approval.terms.get("expires_at") is None:
        found.append(Term(_label("expires_at"), _("never")))
    return found


def _place(term: tuple[str, Any]) -> tuple[int, str]:
    name, _value = term
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER)), name


def _label(name: str) -> str:
    if name in _LABELS:
        return capfirst(str(_LABELS[name]))
    try:
        field = APIKey._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    return capfirst(str(getattr(field, "verbose_name", name)))


def _words(name: str, value: Any) -> str:
    """Return a value as people write it."""
    if name in ("expires_at", "not_before"):
        moment = parse_datetime(value) if isinstance(value, str) else value
        return moment_of(moment) if moment else _("never") if name == "expires_at" else _("at once")
    if name == "dialect":
        return str(Dialect(value).label)
    rows = {"role": Role, "workspace": Workspace, "owner": User}
    if name in rows and value is not None and not (isinstance(value, str) and name != "workspace"):
        row = rows[name]._default_manager.filter(pk=value).first()
        return row.name_and_address if isinstance(row, User) else str(row or value)
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
