"""OpenRouter's API keys: `/api/v1/key` and `/api/v1/keys`.

Source: the vendor's Go SDK documentation, checked against what its generated clients
(PyPI `openrouter` 1.3.84, npm `@openrouter/sdk` 1.3.19) validate: replies carry the union of
their fields, for a missing one breaks the newest client and an extra one breaks none.

Odd about it:
- a key without the permission gets 403 on POST and 401 elsewhere, as the clients expect;
- a list is one workspace's, without disabled and expired keys unless asked for, and has
  neither total nor next link: it ends with a page that is not full;
- management keys (those with MANAGE) are made elsewhere and are not among `/keys`;
- amounts are JSON numbers, booleans in a query the texts `true` and `false`;
- members of a body that nobody knows are ignored: the vendor's schemas allow them, and its
  older samples send a `label`. What it knows and we cannot do is refused.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from keys import policy, usage
from keys.api.errors import Failure
from keys.api.fields import Amount, Flag, Text, UTCDateTime, VisibleRelated
from keys.api.permissions import ANY_KEY
from keys.api.views import Dialect, KeyViewSet, route
from keys.models import APIKey, Membership, User, Workspace
from keys.models.keys import Dialect as Format
from keys.models.usage import LimitReset

PAGE_SIZE = 100
# More than any organization has keys; every offset from here on is past the end.
MAX_OFFSET = 10**9

_HASH = re.compile(r"[0-9a-f]{64}")
_ONLY_MANAGEMENT = "Only management keys can perform this operation"
# The vendor's words where it has its own; elsewhere the failure's message says more.
_WORDS = {
    "not_authenticated": "Missing Authentication header",
    "authentication_failed": "User not found.",
    "not_found": "Resource not found",
    "throttled": "Rate limit exceeded",
    "error": "Internal Server Error",
}


class ManagementKeyRequired(AuthenticationFailed):
    """A good key lacks the permission for anything under `/keys` but POST."""

    default_code = "management_key_required"


class CreatorField(Text):
    """A member of the organization, under the number that this dialect knows people by."""

    default_error_messages = {"unknown": "No member of this organization has this id."}

    def to_internal_value(self, data: Any) -> User:
        number = super().to_internal_value(data)
        # Longer numbers than these are nobody's, and no database's.
        if not re.fullmatch(r"[1-9][0-9]{0,17}", number):
            self.fail("unknown")
        actor = self.context["request"].user
        members = policy.visible(actor, Membership.objects.filter(organization=actor.organization))
        membership = members.filter(user=int(number)).select_related("user").first()
        if membership is None:
            self.fail("unknown")
        return membership.user

    def to_representation(self, value: User) -> str:
        return str(value.pk)


class ExternalSerializer(serializers.Serializer):
    """The identity by which a partner knows the user of a key."""

    user = Text(source="external_user", max_length=200)
    api_key = serializers.JSONField(required=False)

    def validate_api_key(self, value: Any) -> None:
        raise serializers.ValidationError(
            _("Keys of your own making are not supported: leave this out, use the reply's key.")
        )


class UsageSerializer(serializers.Serializer):
    """What both views of a key say of its limit and its costs, in USD."""

    label = serializers.CharField(read_only=True)
    limit = Amount(required=False, allow_null=True)
    limit_remaining = serializers.SerializerMethodField()
    limit_reset = serializers.ChoiceField(LimitReset.choices, required=False, allow_null=True)
    include_byok_in_limit = Flag(required=False)
    usage = Amount(source="totals.cost", read_only=True)
    usage_daily = Amount(source="period_costs.daily", read_only=True)
    usage_weekly = Amount(source="period_costs.weekly", read_only=True)
    usage_monthly = Amount(source="period_costs.monthly", read_only=True)
    byok_usage = Amount(source="totals.byok_cost", read_only=True)
    byok_usage_daily = Amount(source="period_costs.byok_daily", read_only=True)
    byok_usage_weekly = Amount(source="period_costs.byok_weekly", read_only=True)
    byok_usage_monthly = Amount(source="period_costs.byok_monthly", read_only=True)
    creator_user_id = CreatorField(source="creator", required=False, allow_null=True)
    workspace_id = VisibleRelated(
        source="workspace",
        queryset=Workspace.objects.all(),
        required=False,
        pk_field=serializers.UUIDField(),
    )
    expires_at = UTCDateTime(required=False, allow_null=True)

    def get_limit_remaining(self, key: APIKey) -> float | None:
        return _number(key.remaining_at(self.context["now"]))


class KeySerializer(UsageSerializer):
    """A row of `/keys`, and what a POST or PATCH may say of it."""

    hash = serializers.CharField(read_only=True)
    name = Text(max_length=200)
    disabled = Flag(required=False)
    external = ExternalSerializer(source="*", required=False, write_only=True)
    external_user = serializers.CharField(read_only=True)
    created_at = UTCDateTime(read_only=True)
    updated_at = UTCDateTime(read_only=True)
    last_used_at = UTCDateTime(source="totals.last_used_at", read_only=True)

    said_once = ("creator_user_id", "expires_at", "external")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        late = [name for name in self.said_once if self.instance and name in self.initial_data]
        if late:
            problem = _("This is said when a key is created and cannot be changed here.")
            raise serializers.ValidationError(dict.fromkeys(late, problem))
        return attrs

    def to_representation(self, instance: APIKey) -> dict[str, Any]:
        return super().to_representation(instance) | {"disabled": not instance.is_enabled}


class CurrentKeySerializer(UsageSerializer):
    """What a key is told about itself. Models, regions and free tiers are not the portal's."""

    def to_representation(self, instance: APIKey) -> dict[str, Any]:
        budgets = _budgets(instance, self.context["now"])
        return super().to_representation(instance) | {
            "organization_id": str(instance.organization_id),
            "is_free_tier": False,
            "is_management_key": instance.is_management,
            "is_provisioning_key": instance.is_management,
            "budgets": budgets,
            "effective_budget": budgets[0] if budgets else None,
            "allowed_data_regions": ["global"],
            "free_model_daily_requests": {"limit": 0, "remaining": 0, "used": 0},
            "rate_limit": {"requests": -1, "interval": "10s", "note": "Deprecated; ignore it."},
        }


class ListQuery(serializers.Serializer):
    """What the query of a list may say."""

    offset = serializers.IntegerField(min_value=0, default=0)
    include_disabled = serializers.ChoiceField(("false", "true"), default="false")
    include_expired = serializers.ChoiceField(("false", "true"), default="false")
    workspace_id = serializers.UUIDField(required=False)


class OpenRouter(Dialect):
    """Words failures as `{"error": {"code": 404, "message": "…"}}`."""

    dialect = Format.OPENROUTER
    owned_paths = r"api/v1(?:/|\Z)"
    base_path = "/api/v1"
    api_description = gettext_noop(
        "Keys with limits and costs, for clients of OpenRouter. A key with MANAGE is a management "
        "key; every other one reads itself at `/api/v1/key` and nothing else."
    )
    security_schemes = {"apiKey": {"type": "http", "scheme": "bearer"}}
    error_schema = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
            }
        },
    }

    @classmethod
    def error_body(cls, failure: Failure, request: HttpRequest | Request) -> dict[str, Any]:
        message = _WORDS.get(failure.code, failure.message)
        if failure.fields:
            message = "; ".join(
                f"{path}: {text}" if path else text for path, text in failure.fields
            )
        return {"error": {"code": failure.status, "message": message}}

    def permission_denied(self, request: Request, message=None, code=None) -> None:
        if request.successful_authenticator is None:
            super().permission_denied(request)
        refusal = PermissionDenied if request.method == "POST" else ManagementKeyRequired
        raise refusal(_ONLY_MANAGEMENT)

    @cached_property
    def now(self) -> datetime:
        """The moment for which this reply tells costs and limits."""
        return timezone.now()

    def load(self, keys: Iterable[APIKey]) -> list[APIKey]:
        """Return the keys with what the serializers show of them."""
        keys = list(keys)
        usage.load_period_costs(keys, now=self.now)
        return keys


class CurrentKeyView(OpenRouter):
    """The key that asks."""

    permissions = {"get": ANY_KEY}

    def get(self, request: Request) -> Response:
        # Read anew: asking was a use of the key, too.
        key = APIKey.objects.with_details().get(pk=request.user.pk)
        serializer = CurrentKeySerializer(*self.load([key]), context={"now": self.now})
        return Response({"data": serializer.data})


class KeysViewSet(OpenRouter, KeyViewSet):
    """The ordinary keys of an organization."""

    serializer_class = KeySerializer
    lookup_field = "hash"

    def get_queryset(self) -> QuerySet[APIKey]:
        keys = APIKey.objects.live().ordinary().select_related("totals", "creator")
        return policy.visible(self.request.user, keys.prefetch_related("secrets"))

    def get_object(self) -> APIKey:
        # Not every text may be asked of every database.
        if not _HASH.fullmatch(self.kwargs["hash"]):
            raise NotFound
        return super().get_object()

    def get_serializer_context(self) -> dict[str, Any]:
        return super().get_serializer_context() | {"now": self.now}

    def list(self, request: Request, *args, **kwargs) -> Response:
        query = ListQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        start = min(query.validated_data["offset"], MAX_OFFSET)
        keys = self.load(self._select(**query.validated_data)[start : start + PAGE_SIZE])
        return Response({"data": self.get_serializer(keys, many=True).data})

    def represent(self, key: APIKey) -> dict[str, Any]:
        body = {"data": self.get_serializer(*self.load([key])).data}
        return body | {"key": key.secret} if hasattr(key, "secret") else body

    def deleted_response(self) -> Response:
        return Response({"deleted": True})

    def _select(
        self, *, include_disabled: str, include_expired: str, workspace_id=None, **page
    ) -> QuerySet[APIKey]:
        keys = self.get_queryset()
        if workspace_id is None:
            keys = keys.filter(workspace__is_default=True)
        else:
            workspaces = policy.visible(self.request.user, Workspace.objects.all())
            keys = keys.filter(workspace=get_object_or_404(workspaces, pk=workspace_id))
        if include_disabled == "false":
            keys = keys.enabled()
        if include_expired == "false":
            keys = keys.unexpired(self.now)
        return keys.order_by("-id")


def _budgets(key: APIKey, now: datetime) -> list[dict[str, Any]]:
    # The portal knows one budget of a key: its own limit.
    if key.limit is None:
        return []
    spent = key.totals.spent_in(LimitReset.period_start(key.limit_reset, now))
    end = LimitReset.period_end(key.limit_reset, now)
    return [
        {
            "scope": "key_limit",
            "budget_id": None,
            "guardrail_id": None,
            "include_byok": key.include_byok_in_limit,
            "limit_usd": _number(key.limit),
            "spend_usd": _number(spent),
            "remaining_usd": _number(key.limit - spent),
            "reset_interval": key.limit_reset,
            "resets_at": serializers.DateTimeField().to_representation(end),
        }
    ]


_number = Amount(read_only=True).to_representation

DIALECT = OpenRouter

_keys = KeysViewSet.as_view({"get": "list", "post": "create"})
_key = KeysViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})

urlpatterns = [
    route("api/v1/key", CurrentKeyView.as_view(), name="current-key"),
    route("api/v1/auth/key", CurrentKeyView.as_view(), name="current-key-alias"),
    route("api/v1/keys", _keys, name="key-list"),
    route("api/v1/keys/(?P<hash>[^/]+)", _key, name="key-detail"),
]
