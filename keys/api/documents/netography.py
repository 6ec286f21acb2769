"""Netography: replies are `{meta, data}`, and nothing in them is null or certain to be there."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers

from keys.api.dialects import netography
from keys.api.schemas import ReplySchema, ViewSchema

_APPNAME = OpenApiParameter(
    "appname", str, OpenApiParameter.PATH, description="Name by which the key is known."
)


class Meta(serializers.Serializer):
    """How it went, and with how many keys."""

    code = serializers.IntegerField(help_text="The HTTP status.")
    count = serializers.IntegerField(help_text="How many records `data` has.")


class Record(netography.KeySerializer):
    """A key, without its secret."""

    appkey = None


@extend_schema_serializer(many=False)
class ListReply(serializers.Serializer):
    """All keys."""

    meta = Meta()
    data = Record(many=True)


class Reply(serializers.Serializer):
    """One key."""

    meta = Meta()
    data = Record()


class SecretReply(serializers.Serializer):
    """One key with its new secret."""

    meta = Meta()
    data = netography.KeySerializer()


class PasswordForm(serializers.Serializer):
    """What people sign in with elsewhere."""

    username = serializers.CharField()
    password = serializers.CharField()


class _Optional(ReplySchema):
    def map_serializer(self, auto_schema, direction: str) -> dict[str, Any]:
        schema = super().map_serializer(auto_schema, direction)
        if direction == "response":
            schema.pop("required", None)
        return schema


class _Envelope(_Optional):
    is_closed = True


class MetaSchema(_Envelope):
    target_class = Meta


class ListReplySchema(_Envelope):
    target_class = ListReply


class ReplyEnvelope(_Envelope):
    target_class = Reply


class SecretReplyEnvelope(_Envelope):
    target_class = SecretReply


class RecordSchema(_Optional):
    target_class = Record


class KeySchema(_Optional):
    target_class = netography.KeySerializer


class UnixTime(OpenApiSerializerFieldExtension):
    """Seconds as a number."""

    target_class = netography.UnixTime

    def map_serializer_field(self, auto_schema, direction: str) -> dict[str, Any]:
        return {"type": "number"}


class Roles(OpenApiSerializerFieldExtension):
    """A list of one name or none; requests with more are refused by their content."""

    target_class = netography.Roles

    def map_serializer_field(self, auto_schema, direction: str) -> dict[str, Any]:
        roles: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
        return roles if direction == "request" else {**roles, "maxItems": 1}


class Keys(ViewSchema):
    """The keys of an organization."""

    target_class = netography.KeyViewSet

    operations = {
        "list": extend_schema(
            tags=["API Keys"],
            operation_id="v1_api_keys_get",
            summary="List the keys",
            description="All of them: there are no pages.",
            responses=ListReply,
        ),
        "create": extend_schema(
            tags=["API Keys"],
            operation_id="v1_api_keys_post",
            summary="Make a key",
            description="`appkey` is in this reply and never again.",
            responses={201: SecretReply},
        ),
        "retrieve": extend_schema(
            tags=["API Keys"],
            operation_id="v1_api_keys_appname_get",
            summary="Read a key",
            parameters=[_APPNAME],
            description="Its record; `last_login` and `last_ip` once there was a login.",
            responses=Reply,
        ),
        "update": extend_schema(
            tags=["API Keys"],
            operation_id="v1_api_keys_appname_put",
            summary="Replace what a key says",
            parameters=[_APPNAME],
            description="What is left out becomes empty.",
            responses=Reply,
        ),
        "regenerate": extend_schema(
            tags=["API Keys"],
            operation_id="v1_api_keys_appname_regen_put",
            summary="Give a key a new secret",
            parameters=[_APPNAME],
            description="The old one stops working at once; what is left out stays.",
            responses=SecretReply,
        ),
        "destroy": extend_schema(
            tags=["API Keys"],
            operation_id="v1_api_keys_appname_delete",
            summary="Delete a key",
            parameters=[_APPNAME],
            description="It stops working at once.",
        ),
    }


_TOKENS = {
    "type": "object",
    "properties": {
        "access_token": {"type": "string"},
        "expires_in": {"type": "integer"},
        "refresh_token": {"type": "string"},
        "refresh_expires_in": {"type": "integer"},
        "token_type": {"type": "string"},
        "not-before-policy": {"type": "integer"},
        "session-state": {"type": "string"},
        "scope": {"type": "string"},
    },
    "additionalProperties": False,
}


class RequestToken(ViewSchema):
    """The exchange of a request token."""

    target_class = netography.RequestTokenView

    operations = {
        "post": extend_schema(
            tags=["Authentication"],
            operation_id="v1_auth_token_post",
            summary="Exchange a request token",
            description=(
                "`jwt` is signed with the organization's shared secret (HS256) and names the "
                "key: `iat`, `jti`, `appname`, `appkey`, `shortname`."
            ),
            request=netography.RequestTokenSerializer,
            responses={200: _TOKENS},
        )
    }


class RefreshToken(ViewSchema):
    """The exchange of a refresh token."""

    target_class = netography.RefreshTokenView

    operations = {
        "post": extend_schema(
            tags=["Authentication"],
            operation_id="auth_bearer_refresh_post",
            summary="Exchange a refresh token",
            description="Gives the next tokens of a session; 400 when it is over.",
            request=netography.RefreshTokenSerializer,
            responses={200: _TOKENS},
        )
    }


class Password(ViewSchema):
    """A sign-in that is refused."""

    target_class = netography.PasswordView

    operations = {
        "post": extend_schema(
            tags=["Authentication"],
            operation_id="auth_bearer_token_post",
            summary="Sign in with a password (refused)",
            description=netography.PasswordsRefused.default_detail,
            request={"application/x-www-form-urlencoded": PasswordForm},
            responses={401: OpenApiResponse(description="Always: passwords are not taken.")},
        )
    }
