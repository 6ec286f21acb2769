"""What the holder of a key may know of it, asked with the key itself."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from keys import rates
from keys.api.dialects.native.dialect import Native
from keys.api.dialects.native.verdicts import (
    RateWindowSerializer,
    describe_key,
    describe_rates,
)
from keys.api.fields import Amount
from keys.api.permissions import ANY_KEY
from keys.api.views import route
from keys.entries import Entry


class OwnKeySerializer(serializers.Serializer):
    """A key as its holder sees it: what it may do, until when, and what is left."""

    key_id = serializers.IntegerField()
    key_name = serializers.CharField()
    label = serializers.CharField(help_text="The mask of the secret that was presented.")
    organization_id = serializers.IntegerField()
    organization = serializers.CharField(help_text="The organization's short name.")
    workspace_id = serializers.UUIDField()
    role = serializers.CharField(allow_null=True)
    key_scope = serializers.ListField(
        child=serializers.CharField(), help_text="What it may do today."
    )
    not_before = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    limit = Amount(allow_null=True)
    limit_remaining = Amount(allow_null=True)
    limit_reset = serializers.CharField(allow_null=True)
    limit_resets_at = serializers.DateTimeField(allow_null=True)
    rate_limits = RateWindowSerializer(many=True)
    allowed_ips = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="The networks that it works from; null: from anywhere.",
    )
    denied_ips = serializers.ListField(child=serializers.CharField())


class OwnKeyView(Native):
    """The key that is presented, for who holds it; asking costs nothing of its limit."""

    permissions = {"get": ANY_KEY}

    @extend_schema(
        operation_id="keys_self",
        responses=OwnKeySerializer,
    )
    def get(self, request: Request) -> Response:
        """Say what the presented key may do, and what is left of its limits."""
        return Response(OwnKeySerializer(_describe(request.auth.entry)).data)


def _describe(entry: Entry) -> dict[str, Any]:
    try:
        windows = rates.look(entry.rates)
    except rates.StoreAwayError:
        windows = ()
    return {
        **describe_key(entry, timezone.now()),
        "organization": entry.organization_slug,
        "rate_limits": describe_rates(entry.rates, windows),
        "allowed_ips": entry.snapshot.allowed,
        "denied_ips": entry.snapshot.denied,
    }


urlpatterns = [route(r"v1/keys/self", OwnKeyView.as_view(), "own-key")]
