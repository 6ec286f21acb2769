"""What is told of a key that was judged: to those who ask about it, and to its holder."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from keys import usage
from keys.api.fields import Amount
from keys.api.representing import Represented
from keys.entries import Entry
from keys.models.rates import Period
from keys.models.usage import LimitReset
from keys.rates import KEY, ORGANIZATION, Rate, Window
from keys.services import Verdict
from keys.verification import Code, Question, explain, missing_scopes, refusing


class PersonSerializer(Represented):
    """A person."""

    id = serializers.IntegerField(read_only=True)
    email = serializers.EmailField(read_only=True)
    name = serializers.CharField(source="display_name", read_only=True)


class RateWindowSerializer(serializers.Serializer):
    """A rate limit, and what is left of it where it was counted."""

    amount = serializers.IntegerField()
    period = serializers.ChoiceField(Period.choices)
    applies_to = serializers.ChoiceField(
        [(KEY, _("The key")), (ORGANIZATION, _("All keys of the organization together"))]
    )
    remaining = serializers.IntegerField(allow_null=True)
    reset = serializers.IntegerField(
        allow_null=True, help_text="Seconds until the window ends, or there is more of it."
    )


class VerdictSerializer(serializers.Serializer):
    """The answer. Of a key that is not the organization's own it has `valid` and `code` only."""

    valid = serializers.BooleanField()
    code = serializers.ChoiceField([(code.value, code.value) for code in Code])
    failed_checks = serializers.ListField(child=serializers.CharField(), required=False)
    missing_scopes = serializers.ListField(child=serializers.CharField(), required=False)
    key_id = serializers.IntegerField(required=False)
    key_name = serializers.CharField(required=False)
    key_scope = serializers.ListField(child=serializers.CharField(), required=False)
    label = serializers.CharField(required=False)
    organization_id = serializers.IntegerField(required=False)
    workspace_id = serializers.UUIDField(required=False)
    role = serializers.CharField(required=False, allow_null=True)
    owner = PersonSerializer(required=False, allow_null=True)
    external_user = serializers.CharField(required=False, allow_null=True)
    not_before = serializers.DateTimeField(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    limit = Amount(required=False, allow_null=True)
    limit_remaining = Amount(required=False, allow_null=True)
    limit_reset = serializers.CharField(required=False, allow_null=True)
    limit_resets_at = serializers.DateTimeField(required=False, allow_null=True)
    rate_limits = RateWindowSerializer(many=True, required=False)
    retry_after = serializers.IntegerField(
        required=False,
        allow_null=True,
        help_text="With RATE_LIMITED: in how many seconds to try again.",
    )


def verdict_data(verdict: Verdict, question: Question) -> dict[str, Any]:
    """Return the answer to a question as JSON."""
    told = _describe(verdict, question)
    data = VerdictSerializer(told).data
    # The serializer says null for what is not told; nothing is to be said of it at all.
    return {name: data[name] for name in told}


def describe_key(entry: Entry, now: datetime) -> dict[str, Any]:
    """Return what askers and holders are both told of a key."""
    return {
        "key_id": entry.key_id,
        "key_name": entry.name,
        "key_scope": sorted(entry.snapshot.scopes),
        "label": entry.label,
        "organization_id": entry.organization_id,
        "workspace_id": entry.workspace_id,
        "role": entry.role,
        "not_before": entry.snapshot.not_before,
        "expires_at": entry.snapshot.expires_at,
        "limit": entry.limit,
        # What was charged a moment ago, here or elsewhere, counts.
        "limit_remaining": usage.remaining(entry.key_id, entry, now=now),
        "limit_reset": entry.limit_reset,
        "limit_resets_at": LimitReset.period_end(entry.limit_reset, now),
    }


def describe_rates(rates: Iterable[Rate], windows: Iterable[Window]) -> list[dict[str, Any]]:
    """Return rate limits with what is left of them, where that is known."""
    known = {window.rate: window for window in windows}
    return [_describe_rate(rate, known.get(rate)) for rate in rates]


def _describe_rate(rate: Rate, window: Window | None) -> dict[str, Any]:
    return {
        "amount": rate.amount,
        "period": rate.period,
        "applies_to": rate.owner,
        "remaining": window.remaining if window else None,
        "reset": window.reset if window else None,
    }


def _describe(verdict: Verdict, question: Question) -> dict[str, Any]:
    """Return what the asker is told: everything of a key of its own, nothing of others."""
    told: dict[str, Any] = {"valid": verdict.is_valid, "code": verdict.code.value}
    entry = verdict.entry
    if entry is None:
        return told
    failed = [code.value for code in refusing(explain(entry.snapshot, question))]
    if verdict.code in (Code.RATE_LIMITED, Code.LIMIT_EXCEEDED):
        failed.append(verdict.code.value)
    return {
        **told,
        "failed_checks": failed,
        "missing_scopes": missing_scopes(entry.snapshot, question.scopes),
        **describe_key(entry, question.now),
        "owner": entry.owner,
        "external_user": entry.external_user,
        "rate_limits": describe_rates(entry.rates, verdict.rates.windows),
        "retry_after": verdict.rates.retry_after,
    }
