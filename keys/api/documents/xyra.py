"""XyraPanel: `{data, pagination}`, `{data, meta}` or `{success}`, and the administrators' own."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers

from keys.api.dialects import xyra
from keys.api.schemas import ReplySchema, ViewSchema

_IDENTIFIER = OpenApiParameter(
    "identifier", str, OpenApiParameter.PATH, description="Public identifier of the key."
)
_USER = OpenApiParameter("user_id", int, OpenApiParameter.PATH, description="Number of the person.")
# Not as the schema of a parameter would have it: what is no good is taken for the default.
_PAGES = [
    OpenApiParameter("page", int, description="From 1, which is the default."),
    OpenApiParameter(
        "limit", int, description=f"From 1 to {xyra.MAX_LIMIT}; {xyra.DEFAULT_LIMIT} by default."
    ),
]


class Pagination(serializers.Serializer):
    """Which page it is, of how many."""

    page = serializers.IntegerField()
    perPage = serializers.IntegerField()  # noqa: N815
    total = serializers.IntegerField()
    totalPages = serializers.IntegerField()  # noqa: N815


@extend_schema_serializer(many=False)
class ListReply(serializers.Serializer):
    """A page of keys."""

    data = xyra.KeySerializer(many=True)
    pagination = Pagination()


class Secret(serializers.Serializer):
    """The secret of a new key."""

    secret_token = serializers.CharField()


class SecretReply(serializers.Serializer):
    """A new key with its secret."""

    data = xyra.KeySerializer()
    meta = Secret()


class Success(serializers.Serializer):
    """That it is done."""

    success = serializers.BooleanField()


@extend_schema_serializer(many=False)
class AdminListReply(serializers.Serializer):
    """All keys."""

    data = xyra.AdminKeySerializer(many=True)


class AdminSecret(serializers.Serializer):
    """A new key with its secret."""

    id = serializers.CharField()
    identifier = serializers.CharField()
    apiKey = serializers.CharField()  # noqa: N815
    memo = serializers.CharField(allow_null=True)
    createdAt = serializers.DateTimeField()  # noqa: N815


class AdminSecretReply(serializers.Serializer):
    """A new key with its secret."""

    data = AdminSecret()


class AdminDeletion(Success):
    """Which key is gone."""

    deletedId = serializers.CharField()  # noqa: N815


class AdminDeletionReply(serializers.Serializer):
    """That it is done, in an envelope."""

    data = AdminDeletion()


class UserKeyDeletion(Success):
    """Whose key is gone, and which."""

    userId = serializers.CharField()  # noqa: N815
    apiKeyIdentifier = serializers.CharField()  # noqa: N815


class UserKeyDeletionReply(serializers.Serializer):
    """That it is done, in an envelope."""

    data = UserKeyDeletion()


class KeySchema(ReplySchema):
    target_class = xyra.KeySerializer
    nullable = frozenset({"last_used_at"})


class AdminKeySchema(ReplySchema):
    target_class = xyra.AdminKeySerializer
    nullable = frozenset({"lastUsedAt"})


class Instant(OpenApiSerializerFieldExtension):
    """In requests with a Z at the end, in replies too."""

    target_class = xyra.Instant

    def map_serializer_field(self, auto_schema, direction: str) -> dict[str, Any]:
        return {"type": "string", "format": "date-time", "example": "2030-01-01T00:00:00.000Z"}


class Keys(ViewSchema):
    """One's own keys."""

    target_class = xyra.KeyViewSet

    operations = {
        "list": extend_schema(
            tags=["Account"],
            operation_id="account_api_keys_list",
            summary="List your keys",
            description="Newest first. To who manages the organization, all of its keys are.",
            parameters=_PAGES,
            responses=ListReply,
        ),
        "create": extend_schema(
            tags=["Account"],
            operation_id="account_api_keys_create",
            summary="Make a key",
            description=(
                "It may do what the key that makes it may. `secret_token` is in this reply and "
                "never again. Without `expiresAt` it does not expire."
            ),
            responses={200: SecretReply},
        ),
        "destroy": extend_schema(
            tags=["Account"],
            operation_id="account_api_keys_delete",
            summary="Delete a key",
            description="It stops working at once.",
            parameters=[_IDENTIFIER],
            responses={200: Success},
        ),
    }


class AdminKeys(ViewSchema):
    """All keys."""

    target_class = xyra.AdminKeyViewSet

    operations = {
        "list": extend_schema(
            tags=["Administration"],
            operation_id="admin_api_keys_list",
            summary="List all keys",
            description=f"Newest first, at most {xyra.MAX_ADMIN_ROWS}.",
            responses=AdminListReply,
        ),
        "create": extend_schema(
            tags=["Administration"],
            operation_id="admin_api_keys_create",
            summary="Make a key",
            description="`permissions` name scopes of the organization: `servers:read`.",
            responses={200: AdminSecretReply},
        ),
        "destroy": extend_schema(
            tags=["Administration"],
            operation_id="admin_api_keys_delete",
            summary="Delete a key",
            description="Anybody's; it stops working at once.",
            parameters=[_IDENTIFIER],
            responses={200: AdminDeletionReply},
        ),
    }


class UserKeys(ViewSchema):
    """The keys of one person."""

    target_class = xyra.UserKeyViewSet

    operations = {
        "list": extend_schema(
            tags=["Administration"],
            operation_id="admin_users_api_keys_list",
            summary="List a person's keys",
            description="Newest first.",
            parameters=[_USER, *_PAGES],
            responses=ListReply,
        ),
        "destroy": extend_schema(
            tags=["Administration"],
            operation_id="admin_users_api_keys_delete",
            summary="Delete a person's key",
            description="It stops working at once.",
            parameters=[_USER, _IDENTIFIER],
            responses={200: UserKeyDeletionReply},
        ),
    }
