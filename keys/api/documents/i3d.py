"""i3D.net: every good reply with a body is an array; objects have no members but these."""

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import OpenApiParameter, extend_schema

from keys.api.dialects import i3d
from keys.api.schemas import ReplySchema, ViewSchema

_RANGE = OpenApiParameter(
    "RANGED-DATA",
    location=OpenApiParameter.HEADER,
    description=(
        f"Which rows: `start=0,results={i3d.DEFAULT_RESULTS}`, which is the default. Either part "
        f"may be left out; at most {i3d.MAX_RESULTS} rows are given."
    ),
)
_KEY = OpenApiParameter("apiKeyId", int, OpenApiParameter.PATH, description="Number of the key.")
_ENTRY = OpenApiParameter(
    "apiKeyWhitelistId", int, OpenApiParameter.PATH, description="Number of the entry."
)
_KEYS = i3d.KeySerializer(many=True)
_ENTRIES = i3d.WhitelistSerializer(many=True)


class AccountApiKey(ReplySchema):
    """The vendor's object of a key."""

    target_class = i3d.KeySerializer
    component = "AccountApiKey"
    optional = frozenset({"note", "expiresAt"})
    is_closed = True


class AccountApiKeyWhitelist(ReplySchema):
    """The vendor's object of an address or range."""

    target_class = i3d.WhitelistSerializer
    component = "AccountApiKeyWhitelist"
    optional = frozenset({"ipStart", "ipEnd", "ipRange", "comments"})
    added = {name: {"type": ["string", "null"]} for name in ("ipStart", "ipEnd", "ipRange")}
    is_closed = True


class Bit(OpenApiSerializerFieldExtension):
    """A number where others have a boolean."""

    target_class = i3d.Bit

    def map_serializer_field(self, auto_schema, direction: str) -> dict:
        return {"type": "integer", "minimum": 0, "maximum": 1}


class Keys(ViewSchema):
    """The keys of an account."""

    target_class = i3d.KeyViewSet

    operations = {
        "list": extend_schema(
            tags=["AccountAPIKey"],
            operation_id="getAccountApiKeys",
            summary="List the keys",
            description="Keys by number; `key` is a mask.",
            parameters=[_RANGE],
            responses={200: _KEYS},
        ),
        "create": extend_schema(
            tags=["AccountAPIKey"],
            operation_id="createApiKeyForUser",
            summary="Make a key",
            description="The whole `key` is in this reply and never again.",
            responses={200: _KEYS},
        ),
        "update": extend_schema(
            tags=["AccountAPIKey"],
            operation_id="updateAccountApiKey",
            summary="Change a key",
            description="What is left out stays; null clears `note` and `expiresAt`.",
            parameters=[_KEY],
            responses={200: _KEYS},
        ),
        "destroy": extend_schema(
            tags=["AccountAPIKey"],
            operation_id="deleteAccountApiKey",
            summary="Delete a key",
            description="The key stops working at once.",
            parameters=[_KEY],
        ),
    }


class Whitelist(ViewSchema):
    """Where a key may be used from."""

    target_class = i3d.WhitelistViewSet

    operations = {
        "list": extend_schema(
            tags=["AccountAPIKeyWhitelist"],
            operation_id="getAccountApiKeyWhitelists",
            summary="List the addresses of a key",
            description="A key without any may be used from everywhere.",
            parameters=[_KEY, _RANGE],
            responses={200: _ENTRIES},
        ),
        "create": extend_schema(
            tags=["AccountAPIKeyWhitelist"],
            operation_id="createAccountApiKeyWhitelist",
            summary="Add an address or range",
            description="Give `ipRange` as CIDR, or `ipStart` and perhaps `ipEnd`.",
            parameters=[_KEY],
            responses={200: _ENTRIES},
        ),
        "update": extend_schema(
            tags=["AccountAPIKeyWhitelist"],
            operation_id="updateAccountApiKeyWhitelist",
            summary="Change an address or range",
            description="What is left out stays.",
            parameters=[_KEY, _ENTRY],
            responses={200: _ENTRIES},
        ),
        "destroy": extend_schema(
            tags=["AccountAPIKeyWhitelist"],
            operation_id="deleteAccountApiKeyWhitelist",
            summary="Remove an address or range",
            description="Removing the last one opens the key to every address.",
            parameters=[_KEY, _ENTRY],
        ),
    }
