"""What a key may do, from where, until when, at what cost, and what a leak would mean."""

from typing import Any

from django import template
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import summaries
from keys.models import APIKey, ApprovalRequest
from keys.models.approvals import ApprovalStatus

register = template.Library()


@register.inclusion_tag("components/key_summary.html")
def key_summary(key: APIKey) -> dict:
    """Describe in sentences a key that was loaded with its details.

    One more query when it follows the organization's server addresses. The styles are in
    `keys/new-key.css`.
    """
    return {"summary": summaries.summarize(summaries.facts_of(key), now=timezone.now())}


@register.inclusion_tag("components/approval_summary.html")
def approval_summary(approval: ApprovalRequest, form: Any) -> dict:
    """Show in sentences the key that somebody asks for, or that has more by the request.

    As it is approved, or as far as `form`, a DecisionForm, was filled in for that. A key whose
    role is gone meanwhile can be none; then this says nothing.
    """
    try:
        facts = form.facts
    except ValidationError:
        return {}
    who = {"who": approval.requester.name_and_address}
    if approval.key is None:
        holder = _("Only %(who)s, once, when issuing the key.") % who
    else:
        holder = _("Nobody anew: the key keeps the secret that it has.")
    return {
        "summary": summaries.summarize(facts, now=timezone.now()),
        "holder": holder,
        "is_approved": approval.state == ApprovalStatus.APPROVED,
        "is_typed": form.is_bound,
    }
