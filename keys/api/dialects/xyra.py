"""XyraPanel's API keys: `/api/account/api-keys`, and `/api/admin/…` for administrators.

Source: the panel's documentation, checked against the source of the panel and the replies
of the server under it (better-auth, h3, nitropack) for errors, which clients show as they are.

Odd about it:
- errors carry the URL asked for, are indented, and nest what is wrong with a body twice;
- there is no 405: a wrong method is a path that cannot be found;
- a `page` or `limit` that is no good is taken for its default, silently;
- a key has a memo but no name: the memo's first line is one. It cannot say what the key may
  do either, so a new key holds what its maker holds;
- allowed IPs are enforced, ranges among them are taken, and a key without an expiry has none:
  the panel itself stores addresses unused and ends such keys after 90 days;
- an administrator is who may issue in the organization's name. `permissions` of the panel's
  resources are the organization's own scopes of that name (`servers:read`), or refused.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.exceptions import ValidationError as DomainError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_noop
from rest_framework import renderers, serializers, status
from rest_framework.exceptions import APIException, NotFound
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from keys import networks, policy
from keys.api import views
from keys.api.errors import Failure
from keys.api.fields import Note, Text
from keys.api.views import Dialect, require_body, route
from keys.models import APIKey, Membership
from keys.models.keys import Dialect as Format
from keys.roles import Permission

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
# The panel's administrators get all keys at once; here, the newest.
MAX_ADMIN_ROWS = 1000
ACTIONS = ("read", "write", "delete")

_JSON_TYPES = {bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}
_INVALID = "Request body validation failed"
# Code of a failure -> what the panel's server says of it.
_WORDS = {
    "not_authenticated": ("Server Error", "Authentication required."),
    "authentication_failed": ("Server Error", "Invalid API key"),
    "parse_error": ("Bad Request", "Invalid JSON body"),
    "invalid": ("Validation Error", _INVALID),
    "not_found": ("Server Error", "API key not found"),
    "throttled": ("Too Many Requests", "Too Many Requests"),
    "error": ("Server Error", "Server Error"),
}


class PastExpiry(APIException):
    """The key would expire at once."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "past_expiry"
    default_detail = "expiresAt must be a valid future datetime"


class UserNotFound(NotFound):
    """Nobody of this id belongs to the organization."""

    default_code = "user_not_found"
    default_detail = "User not found"


class String(Text):
    """A JSON string, refused in the words of the panel's validator."""

    default_error_messages = {
        "null": "Invalid input: expected string, received null",
        "type": "Invalid input: expected string, received {received}",
    }

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("type", received=_JSON_TYPES[type(data)])
        return super().to_internal_value(data)


class IPAddress(String):
    """An address, or a range."""

    default_error_messages = dict.fromkeys(("blank", "invalid"), "Invalid IP address format")

    def to_internal_value(self, data: Any) -> str:
        try:
            return networks.canonical_network(super().to_internal_value(data))
        except ValueError:
            self.fail("invalid")


class Instant(String):
    """ISO 8601 in UTC, with a Z at its end."""

    default_error_messages = dict.fromkeys(("blank", "invalid"), "Invalid ISO datetime")
    _PATTERN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?Z", re.ASCII)

    def to_internal_value(self, data: Any) -> datetime:
        text = super().to_internal_value(data)
        try:
            return datetime.fromisoformat(text if self._PATTERN.fullmatch(text) else "")
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"


class AllowedIPs(serializers.ListField):
    """Where a key may be used from; null and an empty list are anywhere."""

    default_error_messages = {
        "not_a_list": "Invalid input: expected array",
        "max_length": "Too many IP addresses: at most {max_length}",
    }
    child = IPAddress()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="allowed_ips", required=False, write_only=True, **kwargs)


class Permissions(serializers.DictField):
    """`{"servers": ["read"]}`: of the organization's scopes, `servers:read`."""

    default_error_messages = {
        "not_a_dict": "Invalid input: expected record",
        "resource": "Invalid key in record",
    }
    child = serializers.ListField(
        child=serializers.ChoiceField(
            ACTIONS,
            error_messages={
                "invalid_choice": 'Invalid option: expected one of "read"|"write"|"delete"'
            },
        )
    )

    def to_internal_value(self, data: Any) -> list[str]:
        actions = super().to_internal_value(data)
        if not all(re.fullmatch(r"[A-Za-z_]{1,60}", resource) for resource in actions):
            self.fail("resource")
        return [f"{resource}:{each}" for resource, some in actions.items() for each in some]


def memo(**kwargs: Any) -> Note:
    """Return the field of a memo."""
    too_long: dict[str, Any] = {"max_length": "Description too long"}
    text = String(max_length=500, allow_blank=True, trim_whitespace=False, error_messages=too_long)
    return Note(otherwise="XyraPanel key", text=text, **kwargs)


class Body(serializers.Serializer):
    """The body of a request: for the panel's page, null is as good as nothing."""

    default_error_messages = {"invalid": "Invalid input: expected object"}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in attrs.items() if value is not None}


class KeySerializer(Body):
    """A key among one's own."""

    identifier = serializers.CharField(read_only=True)
    memo = memo(write_only=True)
    description = serializers.SerializerMethodField()
    allowedIps = AllowedIPs(allow_null=True)  # noqa: N815
    allowed_ips = serializers.SerializerMethodField()
    expiresAt = Instant(  # noqa: N815
        source="expires_at", required=False, allow_null=True, write_only=True
    )
    last_used_at = Instant(source="totals.last_used_at", read_only=True)
    created_at = Instant(read_only=True)

    def get_description(self, key: APIKey) -> str | None:
        return key.description or None

    def get_allowed_ips(self, key: APIKey) -> list[str]:
        return [row.network for row in key.allowed_ips.all() if row.active and not row.deny]


class AdminKeySerializer(Body):
    """A key among everybody's."""

    id = serializers.CharField(source="identifier", read_only=True)
    identifier = serializers.CharField(read_only=True)
    memo = memo()
    allowedIps = AllowedIPs(allow_null=True, max_length=128)  # noqa: N815
    permissions = Permissions(source="scopes", required=False, allow_null=True, write_only=True)
    lastUsedAt = Instant(source="totals.last_used_at", read_only=True)  # noqa: N815
    expiresAt = Instant(source="expires_at", required=False, allow_null=True)  # noqa: N815
    createdAt = Instant(source="created_at", read_only=True)  # noqa: N815


class Pages(BasePagination):
    """Pages by `?page=&limit=`; one that is no good is its default."""

    def paginate_queryset(self, queryset: QuerySet, request: Request, view=None) -> list:
        self.page = self._number(request, "page", default=1, highest=10**12)
        self.limit = self._number(request, "limit", default=DEFAULT_LIMIT, highest=MAX_LIMIT)
        self.total = queryset.count()
        start = (self.page - 1) * self.limit
        return list(queryset[start : start + self.limit])

    def get_paginated_response(self, data: Any) -> Response:
        pagination = {
            "page": self.page,
            "perPage": self.limit,
            "total": self.total,
            "totalPages": math.ceil(self.total / self.limit),
        }
        return Response({"data": data, "pagination": pagination})

    @staticmethod
    def _number(request: Request, name: str, *, default: int, highest: int) -> int:
        text = request.query_params.get(name, "")
        number = int(text) if re.fullmatch("[0-9]{1,15}", text) else 0
        return number if 1 <= number <= highest else default


class IndentedErrors(renderers.JSONRenderer):
    """JSON, indented when it tells a failure."""

    def get_indent(self, accepted_media_type, renderer_context) -> int | None:
        return Xyra.error_indent if renderer_context["response"].exception else None


class Xyra(Dialect):
    """Words failures as the panel's server: `{"error": true, "url": "…", "statusCode": 404, …}`."""

    dialect = Format.XYRA
    owned_paths = r"api/(?:account|admin)(?:/|\Z)"
    api_description = gettext_noop(
        "One's own keys, and for administrators everybody's, for clients of XyraPanel. The secret "
        "of a key is in the reply that makes it and never again."
    )
    security_schemes = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    error_schema = {
        "type": "object",
        "required": ["error", "url", "statusCode", "statusMessage", "message"],
        "properties": {
            "error": {"const": True},
            "url": {"type": "string"},
            "statusCode": {"type": "integer"},
            "statusMessage": {"type": "string"},
            "message": {"type": "string"},
            "data": {"type": "object", "additionalProperties": True},
        },
    }
    renderer_classes = (IndentedErrors,)
    error_indent = 2
    error_headers = {"Cache-Control": "no-cache"}

    @classmethod
    def error_status(cls, failure: Failure, request: HttpRequest | Request) -> int:
        return 404 if failure.code == "method_not_allowed" else failure.status

    @classmethod
    def error_body(cls, failure: Failure, request: HttpRequest | Request) -> dict[str, Any]:
        title, message = _words(failure, request)
        body = {
            "error": True,
            "url": _url(request),
            "statusCode": cls.error_status(failure, request),
            "statusMessage": title,
            "message": message,
        }
        if failure.code == "invalid":
            errors = [{"field": path, "message": text} for path, text in failure.fields]
            body["data"] = {"message": message, "statusCode": 400, "data": {"errors": errors}}
        return body

    def permission_denied(self, request: Request, message=None, code=None) -> NoReturn:
        super().permission_denied(request, message or self.refusal, code)

    @property
    def refusal(self) -> str:
        """What a key hears that lacks the permission."""
        action = {"POST": "write", "DELETE": "delete"}.get(str(self.request.method), "read")
        return f"API key does not have {action} permission for api_keys"


class KeyViewSet(Xyra, views.KeyViewSet):
    """One's own keys; to who manages the organization, all of its keys are."""

    serializer_class: type[Body] = KeySerializer
    pagination_class = Pages
    lookup_field = "identifier"
    created_status = status.HTTP_200_OK

    def get_queryset(self) -> QuerySet[APIKey]:
        return super().get_queryset().order_by("-pk")

    def create(self, request: Request, *args, **kwargs) -> Response:
        require_body(request)
        return super().create(request, *args, **kwargs)

    def issue(self, data: dict[str, Any]) -> APIKey:
        held = policy.held_scopes(self.request.user, self.organization)
        try:
            return super().issue({"scopes": held, **data})
        except DomainError as error:
            if "expires_at" in getattr(error, "error_dict", {}):
                raise PastExpiry from None
            raise

    def represent(self, key: APIKey) -> dict[str, Any]:
        return {"data": self.get_serializer(key).data, "meta": {"secret_token": key.secret}}

    def deleted_response(self) -> Response:
        return Response({"success": True})


class AdminKeyViewSet(KeyViewSet):
    """All keys of the organization."""

    permissions = dict.fromkeys(("list", "create", "destroy"), Permission.ASSIGN_APIKEY)
    refusal = "Administrator privileges required"
    serializer_class = AdminKeySerializer

    def list(self, request: Request, *args, **kwargs) -> Response:
        keys = self.get_queryset()[:MAX_ADMIN_ROWS]
        return Response({"data": self.get_serializer(keys, many=True).data})

    def represent(self, key: APIKey) -> dict[str, Any]:
        row = self.get_serializer(key).data
        told = {name: row[name] for name in ("id", "identifier", "memo", "createdAt")}
        return {"data": told | {"apiKey": key.secret}}

    def deleted_response(self) -> Response:
        return Response({"data": {"success": True, "deletedId": self.kwargs["identifier"]}})


class UserKeyViewSet(KeyViewSet):
    """The keys of one person."""

    permissions = dict.fromkeys(("list", "destroy"), Permission.ASSIGN_APIKEY)
    refusal = AdminKeyViewSet.refusal

    def get_queryset(self) -> QuerySet[APIKey]:
        members = policy.visible(self.request.user, Membership.objects.all())
        member = members.filter(user=int(self.kwargs["user_id"])).first()
        if member is None:
            raise UserNotFound
        return super().get_queryset().filter(owner=member.user_id)

    def deleted_response(self) -> Response:
        told = {
            "userId": self.kwargs["user_id"],
            "apiKeyIdentifier": self.kwargs["identifier"],
        }
        return Response({"data": {"success": True, **told}})


def _words(failure: Failure, request: HttpRequest | Request) -> tuple[str, str]:
    is_route = request.resolver_match is not None and request.resolver_match.url_name is not None
    if failure.code == "method_not_allowed" or (failure.code == "not_found" and not is_route):
        sentence = f"Cannot find any path matching {request.get_full_path()}."
        return sentence, sentence
    if failure.code == "too_large":
        length, limit = request.META["CONTENT_LENGTH"], settings.API_MAX_BODY_BYTES
        return "Server Error", (
            f"Request body size ({length} bytes) exceeds the limit of {limit} bytes"
        )
    return _WORDS.get(failure.code, ("Server Error", failure.message))


def _url(request: HttpRequest | Request) -> str:
    try:
        return request.build_absolute_uri()
    except DisallowedHost:  # which may be what failed
        return request.get_full_path()


DIALECT = Xyra

_collection: dict[str, Any] = {"get": "list", "post": "create"}
_item: dict[str, Any] = {"delete": "destroy"}
# What no database can hold is no identifier.
_IDENTIFIER = r"(?P<identifier>[^/\x00]+)"
_OWN = "api/account/api-keys"
_ALL = "api/admin/api-keys"
_THEIRS = "api/admin/users/(?P<user_id>[0-9]{1,18})/api-keys"

urlpatterns = [
    route(_OWN, KeyViewSet.as_view(_collection), name="key-list"),
    route(f"{_OWN}/{_IDENTIFIER}", KeyViewSet.as_view(_item), name="key-detail"),
    route(_ALL, AdminKeyViewSet.as_view(_collection), name="admin-key-list"),
    route(f"{_ALL}/{_IDENTIFIER}", AdminKeyViewSet.as_view(_item), name="admin-key-detail"),
    route(_THEIRS, UserKeyViewSet.as_view({"get": "list"}), name="user-key-list"),
    route(f"{_THEIRS}/{_IDENTIFIER}", UserKeyViewSet.as_view(_item), name="user-key-detail"),
]
