"""What somebody asks for, in words."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from keys.models import ApprovalRequest
from keys.models.approvals import ApprovalKind, ApprovalStatus
from keys.services import approval_terms, approval_words
from keys.services.approval_reasons import Reason
from keys.services.changes import describe

register = template.Library()

# In which order they are told, as the form asks for them; the database keeps none. Others follow.
_ORDER = ("person", "role_name", "name", "owner", "workspace", "scopes", "role", "expires_at")
# Told by what is beside them.
_BESIDE = {"membership", *approval_terms.NOTES}
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
    # What nobody asked for may be demanded: from where the key works.
    asked = {**dict.fromkeys(approved or ()), **approval.terms}
    found = []
    for name, value in sorted(asked.items(), key=_place):
        is_told = name in _BESIDE or (approval.kind == ApprovalKind.ROLE and name == "role")
        differs = approved is not None and approved.get(name) != value
        is_nothing = value in (None, "", [], False) and not before and not differs
        if is_told or is_nothing:
            continue
        found.append(
            Term(
                approval_words.label_of(name),
                approval_words.words_of(name, value),
                approval_words.words_of(name, before[name]) if name in before else "",
                approval_words.words_of(name, approved.get(name)) if approved and differs else "",
            )
        )
    ends = (approval.terms.get("expires_at"), (approved or {}).get("expires_at"))
    if approval.kind == ApprovalKind.ISSUE and ends == (None, None):
        found.append(Term(approval_words.label_of("expires_at"), _("never")))
    return found


def _place(term: tuple[str, Any]) -> tuple[int, str]:
    name, _value = term
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER)), name
