"""i3D.net's API keys: `/v3/account/apiKey` and the whitelist of each.

Source: the vendor's OpenAPI document; for the whitelist its terraform provider's copy of it.

Odd about it:
- every good reply is an array, also of one object; every bad one an Error, and a bad
  credential gets 403 as a missing permission does;
- a list shows `key`, where this vendor has the secret: here that is in the reply to POST,
  and its mask everywhere else;
- clients must send the fields that only we write (`id`, `key`, `used`): they are ignored.
  A PUT that says of a field what the key shows already does not change it, so that an
  expired key, or one whose scopes are no role's, can be sent back as it was read;
- `category` is the number of a role; 0 and nothing stand for `readonly`. A key that lists
  scopes shows the smallest role with exactly these, or else 0;
- keys have no name here: the first line of the note is one;
- a whitelist knows no addresses to refuse: such rows are made and seen elsewhere.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from rest_framework import serializers, status
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from keys import networks, policy, services
from keys.api import views
from keys.api.errors import Failure
from keys.api.fields import Integer, Note, Text
from keys.api.views import Dialect, require_body, route
from keys.models import AllowedIP, APIKey, Role
from keys.models.keys import Dialect as Format
from keys.networks import Address
from keys.roles import READONLY, Permission

DEFAULT_RESULTS = 25
MAX_RESULTS = 1000
_RANGE_PART = re.compile(r"(?:^|,)\s*(start|results)\s*=\s*([0-9]{1,15})\s*(?=,|$)")

# The vendor's code of what is not there; the others are ours, for its table is not public.
_NOT_FOUND = 10001
_OWN_CODES = 10000
# The vendor's words where it has its own; elsewhere the failure's message says more.
_WORDS = {
    "not_authenticated": "Invalid credentials",
    "authentication_failed": "Invalid credentials",
    "not_found": "Entity not found",
    "error": "Internal Server Error",
}


class Bit(Integer):
    """0 or 1, where others have a boolean."""

    default_error_messages = {"range": _("Use 0 or 1.")}

    def to_internal_value(self, data: Any) -> bool:
        if super().to_internal_value(data) not in (0, 1):
            self.fail("range")
        return bool(data)

    def to_representation(self, value: bool) -> int:
        return int(value)


class UnixSeconds(Integer):
    """An instant as whole seconds since 1970."""

    default_error_messages = {"range": _("Use UNIX seconds, such as 1893456000 for 2030-01-01.")}

    def to_internal_value(self, data: Any) -> datetime:
        try:
            return datetime.fromtimestamp(super().to_internal_value(data), UTC)
        except (OverflowError, OSError, ValueError):
            self.fail("range")

    def to_representation(self, value: datetime) -> int:
        return int(value.timestamp())


class Category(Integer):
    """The number of a role that the caller may see."""

    default_error_messages = {"unknown": _("No role has this number; choose one of {roles}.")}

    def get_attribute(self, instance: APIKey) -> APIKey:
        return instance

    def get_default(self) -> Role:
        if self.parent.instance is not None:
            raise serializers.SkipField
        return self.to_internal_value(0)

    def to_internal_value(self, data: Any) -> Role:
        number = super().to_internal_value(data) or READONLY.number
        roles = self.context["view"].roles
        role = next((each for each in roles if each.number == number), None)
        if role is None:
            self.fail("unknown", roles=", ".join(f"{each.number} ({each})" for each in roles))
        return role

    def to_representation(self, value: APIKey) -> int:
        if value.role is not None:
            return value.role.number
        held = set(value.scope_codes)
        roles = self.context["view"].roles
        same = (each.number for each in roles if held == {row.code for row in each.scopes.all()})
        return next(same, 0)


class ObjectSerializer(serializers.Serializer):
    """An object that clients read, change and send back whole: only the changes count."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if self.instance is not None and isinstance(data, dict):
            shown = self.to_representation(self.instance)
            data = {
                name: value
                for name, value in data.items()
                # `1 == True == 1.0` in Python, but not in JSON.
                if (type(value), value) != (type(shown.get(name)), shown.get(name))
            }
        return super().to_internal_value(data)


class KeySerializer(ObjectSerializer):
    """AccountApiKey."""

    id = serializers.IntegerField(read_only=True)
    category = Category(source="role", required=False)
    key = serializers.SerializerMethodField()
    note = Note(otherwise="i3D key")
    assignOdpServerIps = Bit(source="assign_server_ips", required=False)  # noqa: N815
    used = serializers.IntegerField(source="totals.requests", read_only=True)
    expiresAt = UnixSeconds(source="expires_at", required=False, allow_null=True)  # noqa: N815

    def get_key(self, key: APIKey) -> str:
        return getattr(key, "secret", key.label)


class AddressText(Text):
    """An address or range, as `parse` reads it; null and an empty text are none."""

    def __init__(self, parse: Callable[[str], Any], **kwargs: Any) -> None:
        self.parse = parse
        super().__init__(
            required=False, allow_null=True, allow_blank=True, write_only=True, **kwargs
        )

    def to_internal_value(self, data: Any) -> Any:
        try:
            return self.parse(super().to_internal_value(data))
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None


class Comments(Text):
    """A text that is null where we have an empty one."""

    def to_representation(self, value: str) -> str | None:
        return value or None


class WhitelistSerializer(serializers.Serializer):
    """AccountApiKeyWhitelist. A range is told twice, by its ends and as CIDR; one is enough."""

    id = serializers.IntegerField(read_only=True)
    ipStart = AddressText(networks.parse_address)  # noqa: N815
    ipEnd = AddressText(networks.parse_address)  # noqa: N815
    ipRange = AddressText(networks.canonical_network, source="network")  # noqa: N815
    comments = Comments(
        source="comment", required=False, allow_null=True, allow_blank=True, max_length=200
    )
    active = Bit(required=False)
    updatedAt = UnixSeconds(source="updated_at", read_only=True)  # noqa: N815

    def to_representation(self, instance: AllowedIP) -> dict[str, Any]:
        network = networks.parse_network(instance.network)
        ends = {"ipStart": str(network[0]), "ipEnd": str(network[-1]), "ipRange": str(network)}
        return super().to_representation(instance) | ends

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        start, end, cidr = (attrs.pop(name, None) for name in ("ipStart", "ipEnd", "network"))
        said = {text for text in (cidr, self._span(start, end)) if text}
        if len(said) == 2 and self.instance is not None:
            # Sent back as it was read, but for one of the two.
            said.discard(self.instance.network)
        if len(said) == 2:
            raise _wrong("ipRange", _("This is not the range from ipStart to ipEnd; give one."))
        if said:
            attrs["network"] = said.pop()
        elif self.instance is None:
            raise _wrong("ipRange", _("Give an ipRange, or an ipStart and an ipEnd."))
        if "comment" in attrs:
            attrs["comment"] = attrs["comment"] or ""
        return attrs

    @staticmethod
    def _span(start: Address | None, end: Address | None) -> str | None:
        if end and not start:
            raise _wrong("ipStart", _("Give the first address, too."))
        try:
            return networks.spanned_network(start, end or start) if start else None
        except ValueError as error:
            raise _wrong("ipEnd", str(error)) from None


class RangedData(BasePagination):
    """Pages by the request header `RANGED-DATA: start=0,results=25`; a reply says nothing of it.

    Each part may be missing, and one that is no number counts as missing. At most
    MAX_RESULTS are given.
    """

    def paginate_queryset(self, queryset: QuerySet, request: Request, view=None) -> list:
        asked = dict(_RANGE_PART.findall(request.headers.get("RANGED-DATA", "")))
        start = int(asked.get("start", 0))
        results = int(asked.get("results", DEFAULT_RESULTS))
        return list(queryset[start : start + min(results, MAX_RESULTS)])

    def get_paginated_response(self, data: Any) -> Response:
        return Response(data)


class I3D(Dialect):
    """Words failures as Error: `{"errorCode": 10001, "errorMessage": "…", "errors": []}`."""

    dialect = Format.I3D
    owned_paths = r"v3(?:/|\Z)"
    api_description = gettext_noop(
        "Keys and their whitelists for clients of i3D.net. Every good reply with a body is an "
        "array; `category` is the number of a role. `key` is whole in the reply that makes a "
        "key, and a mask elsewhere."
    )
    security_schemes = {"ApiKey": {"type": "apiKey", "name": "PRIVATE-TOKEN", "in": "header"}}
    error_schema = {
        "type": "object",
        "required": ["errorCode", "errorMessage", "errors"],
        "properties": {
            "errorCode": {"type": "integer"},
            "errorMessage": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["property", "message"],
                    "properties": {"property": {"type": "string"}, "message": {"type": "string"}},
                    "additionalProperties": False,
                },
            },
        },
        "additionalProperties": False,
    }

    @classmethod
    def error_status(cls, failure: Failure, request: HttpRequest | Request) -> int:
        if failure.code in ("invalid", "duplicate"):
            return status.HTTP_422_UNPROCESSABLE_ENTITY
        return 403 if failure.status == 401 else failure.status

    @classmethod
    def error_body(cls, failure: Failure, request: HttpRequest | Request) -> dict[str, Any]:
        code = cls.error_status(failure, request)
        # The vendor's clients take a duplicate for one when no property is named.
        fields = () if failure.code == "duplicate" else failure.fields
        return {
            "errorCode": _NOT_FOUND if code == 404 else _OWN_CODES + code,
            "errorMessage": _WORDS.get(failure.code, failure.message),
            "errors": [{"property": path, "message": message} for path, message in fields if path],
        }


class KeyViewSet(I3D, views.KeyViewSet):
    """The keys of an account: an organization's."""

    serializer_class = KeySerializer
    pagination_class = RangedData
    lookup_url_kwarg = "apiKeyId"
    created_status = status.HTTP_200_OK

    @cached_property
    def roles(self) -> list[Role]:
        """What a category may be, by number."""
        roles = policy.visible(self.request.user, Role.objects.order_by("number"))
        return list(roles.prefetch_related("scopes"))

    def get_queryset(self) -> QuerySet[APIKey]:
        return super().get_queryset().order_by("pk")

    def create(self, request: Request, *args, **kwargs) -> Response:
        require_body(request)
        return super().create(request, *args, **kwargs)

    def update(self, request: Request, *args, **kwargs) -> Response:
        require_body(request)
        return super().update(request, *args, **kwargs)

    def represent(self, key: APIKey) -> list[dict[str, Any]]:
        return [super().represent(key)]


class WhitelistViewSet(I3D, GenericViewSet):
    """The addresses from which one key may be used."""

    permissions = {
        "list": Permission.VIEW_APIKEY,
        "create": Permission.CHANGE_APIKEY,
        "update": Permission.CHANGE_APIKEY,
        "destroy": Permission.CHANGE_APIKEY,
    }
    serializer_class = WhitelistSerializer
    pagination_class = RangedData
    lookup_url_kwarg = "apiKeyWhitelistId"

    @cached_property
    def key(self) -> APIKey:
        """The key whose list this is; one that the caller may not see is not there."""
        keys = policy.visible(self.request.user, APIKey.objects.live())
        return get_object_or_404(keys, pk=self.kwargs["apiKeyId"])

    def error_serializer(self) -> serializers.BaseSerializer:
        return self.get_serializer()

    def get_queryset(self) -> QuerySet[AllowedIP]:
        rows = self.key.allowed_ips.filter(deny=False).select_related("key").order_by("pk")
        return policy.visible(self.request.user, rows)

    def list(self, request: Request, **kwargs) -> Response:
        page = self.paginate_queryset(self.get_queryset())
        return Response(self.get_serializer(page, many=True).data)

    def create(self, request: Request, **kwargs) -> Response:
        entry = self._validated(self.get_serializer(data=request.data))
        return self._reply(services.add_allowed_ip(actor=request.user, key=self.key, **entry))

    def update(self, request: Request, **kwargs) -> Response:
        require_body(request)
        row = self.get_object()
        changes = self._validated(self.get_serializer(row, data=request.data))
        return self._reply(
            services.change_allowed_ip(actor=request.user, allowed_ip=row, **changes)
        )

    def destroy(self, request: Request, **kwargs) -> Response:
        services.remove_allowed_ip(actor=request.user, allowed_ip=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _validated(self, serializer: serializers.BaseSerializer) -> dict[str, Any]:
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def _reply(self, row: AllowedIP) -> Response:
        return Response([self.get_serializer(row).data])


def _wrong(name: str, message: Any) -> serializers.ValidationError:
    return serializers.ValidationError({name: message})


DIALECT = I3D

_keys = KeyViewSet.as_view({"get": "list", "post": "create"})
_key = KeyViewSet.as_view({"put": "update", "delete": "destroy"})
_whitelist = WhitelistViewSet.as_view({"get": "list", "post": "create"})
_entry = WhitelistViewSet.as_view({"put": "update", "delete": "destroy"})

# No longer number is anybody's, nor any database's.
_NUMBER = "[0-9]{1,18}"
_PATH = "v3/account/apiKey"
_ITEM = rf"{_PATH}/(?P<apiKeyId>{_NUMBER})"
_LIST = f"{_ITEM}/whitelist"
_ENTRY = rf"{_LIST}/(?P<apiKeyWhitelistId>{_NUMBER})"

urlpatterns = [
    route(_PATH, _keys, name="key-list"),
    route(_ITEM, _key, name="key-detail"),
    route(_LIST, _whitelist, name="whitelist"),
    route(_ENTRY, _entry, name="whitelist-entry"),
]
