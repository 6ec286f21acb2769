"""OpenRouter: a reply has every member that any of the vendor's clients looks for."""

from typing import Any

from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers

from keys.api.dialects import openrouter
from keys.api.fields import Amount
from keys.api.schemas import ReplySchema, ViewSchema

_HASH = OpenApiParameter(
    "hash",
    {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    OpenApiParameter.PATH,
    description="Public identifier of the key: 64 hexadecimal digits, no secret.",
)
_NO_WORKSPACE = OpenApiResponse(description="There is no such workspace.")


class Budget(serializers.Serializer):
    """A limit, and what is left of it."""

    scope = serializers.ChoiceField(("key_limit",))
    budget_id = serializers.CharField(allow_null=True)
    guardrail_id = serializers.CharField(allow_null=True)
    include_byok = serializers.BooleanField()
    limit_usd = Amount()
    spend_usd = Amount()
    remaining_usd = serializers.FloatField()
    reset_interval = serializers.CharField(allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True)


class DailyRequests(serializers.Serializer):
    """Free requests of a day: the portal has none."""

    limit = serializers.IntegerField()
    remaining = serializers.IntegerField()
    used = serializers.IntegerField()


class RateLimit(serializers.Serializer):
    """Deprecated by the vendor, and still asked for."""

    requests = serializers.IntegerField()
    interval = serializers.CharField()
    note = serializers.CharField()


class CurrentKey(openrouter.CurrentKeySerializer):
    """What a key is told about itself."""

    organization_id = serializers.CharField()
    is_free_tier = serializers.BooleanField()
    is_management_key = serializers.BooleanField()
    is_provisioning_key = serializers.BooleanField()
    budgets = Budget(many=True)
    effective_budget = Budget(allow_null=True)
    allowed_data_regions = serializers.ListField(child=serializers.CharField())
    free_model_daily_requests = DailyRequests()
    rate_limit = RateLimit()


class CurrentKeyReply(serializers.Serializer):
    """The key that asks."""

    data = CurrentKey()


@extend_schema_serializer(many=False)
class ListReply(serializers.Serializer):
    """A page of keys."""

    data = openrouter.KeySerializer(many=True)


class Reply(serializers.Serializer):
    """One key."""

    data = openrouter.KeySerializer()


class SecretReply(Reply):
    """A new key with its secret."""

    key = serializers.CharField()


class Deletion(serializers.Serializer):
    """That it is done."""

    deleted = serializers.BooleanField()


class KeySchema(ReplySchema):
    target_class = openrouter.KeySerializer
    nullable = frozenset({"external_user", "last_used_at"})


class CurrentKeySchema(ReplySchema):
    target_class = CurrentKey


class External(ReplySchema):
    """Without keys of the caller's own making, which are always refused."""

    target_class = openrouter.ExternalSerializer
    optional = frozenset({"api_key"})

    def map_serializer(self, auto_schema, direction: str) -> dict[str, Any]:
        schema = super().map_serializer(auto_schema, direction)
        del schema["properties"]["api_key"]
        return schema


class CurrentKeyView(ViewSchema):
    """The key that asks, at its path of today and at its old one."""

    target_class = openrouter.CurrentKeyView

    operations = {
        "get": extend_schema(
            tags=["API Keys"],
            summary="Read the key that asks",
            description="Every valid key may; its limit, its costs and its workspace.",
            responses=CurrentKeyReply,
        )
    }


class Keys(ViewSchema):
    """The ordinary keys of an organization."""

    target_class = openrouter.KeysViewSet

    operations = {
        "list": extend_schema(
            tags=["API Keys"],
            operation_id="list",
            summary="List the keys of a workspace",
            description=(
                f"Newest first, {openrouter.PAGE_SIZE} at a time; a page that is not full is the "
                "last. Management keys are not among them."
            ),
            parameters=[openrouter.ListQuery],
            responses={200: ListReply, 404: _NO_WORKSPACE},
        ),
        "create": extend_schema(
            tags=["API Keys"],
            operation_id="createKeys",
            summary="Make a key",
            description="`key` is in this reply and never again. Amounts are USD.",
            responses={201: SecretReply},
        ),
        "retrieve": extend_schema(
            tags=["API Keys"],
            operation_id="getKey",
            summary="Read a key",
            description="Its limit and its costs, without its secret.",
            parameters=[_HASH],
            responses=Reply,
        ),
        "partial_update": extend_schema(
            tags=["API Keys"],
            operation_id="updateKeys",
            summary="Change a key",
            description="What is left out stays; null clears `limit` and `limit_reset`.",
            parameters=[_HASH],
            responses=Reply,
        ),
        "destroy": extend_schema(
            tags=["API Keys"],
            operation_id="deleteKeys",
            summary="Delete a key",
            description="It stops working at once.",
            parameters=[_HASH],
            responses={200: Deletion},
        ),
    }
