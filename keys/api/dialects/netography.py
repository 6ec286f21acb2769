"""Netography's API keys: `/api/v1/api-keys`, and the token exchange before them.

Source: the vendor's OpenAPI document for the keys; for the exchange, which that leaves out,
its open-source client and its guides to NETOSECRET and to authentication.

Odd about it:
- a key is known by its `appname`, which is part of the path; nothing else identifies it;
- nothing is null: what there is not (`last_login`, `last_ip`) is left out;
- a PUT says all there is: what it leaves out becomes empty. A regeneration gives a new
  secret and changes only what it says. A key has one role at most, and `[]` leaves it
  with no right at all;
- clients sign a request token with the organization's shared secret and exchange it for
  a Bearer token; a login is such an exchange. The refresh answers 400 where others say 401;
- people's passwords are not taken here: that would pass by their second factor.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from rest_framework import exceptions, serializers
from rest_framework.pagination import BasePagination
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from keys import policy, services
from keys.api import views
from keys.api.authentication import KeyAuthentication, user_agent
from keys.api.errors import Failure
from keys.api.fields import Text
from keys.api.permissions import ANYONE
from keys.api.views import Dialect, require_body, route
from keys.models import APIKey, Role
from keys.models.keys import Dialect as Format
from keys.roles import Permission
from keys.tokens import MAX_TOKEN_LENGTH

# The vendor's words where it has its own; elsewhere the failure's message says more.
_WORDS = {
    "not_authenticated": "Access token is missing or invalid",
    "authentication_failed": "Access token is missing or invalid",
    "duplicate": "An API key with this appname exists already.",
}


class Roles(serializers.ListField):
    """The role that a key follows, as a list of one name or none."""

    child = Text()
    default_error_messages = {
        "unknown": _("There is no role “{name}”; choose one of {names}."),
        "too_many": _("A key has one role at most."),
    }

    def get_attribute(self, instance: APIKey) -> list[str]:
        return [instance.role.name] if instance.role else []

    def to_internal_value(self, data: Any) -> Role | None:
        names = super().to_internal_value(data)
        if len(names) > 1:
            self.fail("too_many")
        if not names:
            return None
        key = self.context["request"].user
        roles = policy.visible(key, Role.objects.available_to(key.organization))
        role = next((each for each in roles if each.name == names[0]), None)
        if role is None:
            self.fail("unknown", name=names[0], names=", ".join(each.name for each in roles))
        return role


class UnixTime(serializers.Field):
    """An instant as whole seconds since 1970."""

    def to_representation(self, value: datetime) -> int:
        return int(value.timestamp())


class KeySerializer(serializers.Serializer):
    """API Key Record, and what a POST says of one."""

    appname = Text(source="slug", max_length=63, trim_whitespace=False)
    description = Text(default="", allow_blank=True, max_length=500, trim_whitespace=False)
    roles = Roles(source="role")
    last_login = UnixTime(source="totals.last_login_at", read_only=True)
    last_ip = serializers.IPAddressField(source="totals.last_login_address", read_only=True)
    appkey = serializers.CharField(source="secret", read_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # Whoever is given a role, or none, has no scopes beside it.
        return attrs | {"scopes": ()} if "role" in attrs else attrs

    def to_representation(self, instance: APIKey) -> dict[str, Any]:
        record = super().to_representation(instance)
        return {name: value for name, value in record.items() if value is not None}


class ChangeSerializer(KeySerializer):
    """What a PUT says of a key: all of it, unless it is partial."""

    appname = Text(source="slug", required=False, trim_whitespace=False)
    roles = Roles(source="role", default=None)

    def validate_appname(self, appname: str) -> str:
        if appname != self.instance.slug:
            raise serializers.ValidationError(_("An appname stays; this key has another one."))
        return appname

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs.pop("slug", None)
        if attrs.get("role") and attrs["role"] == self.instance.role:
            # Said again, not given again: that may be more than the caller could give.
            del attrs["role"]
        return super().validate(attrs)


class RequestTokenSerializer(serializers.Serializer):
    """What a client sends to get its first tokens."""

    jwt = Text(max_length=MAX_TOKEN_LENGTH)


class RefreshTokenSerializer(serializers.Serializer):
    """What a client sends to get its next tokens."""

    refresh_token = serializers.CharField(max_length=MAX_TOKEN_LENGTH)


class ExchangeRefused(exceptions.AuthenticationFailed):
    """A request token that gets no tokens. Why is not told: whoever asks is unknown."""

    default_code = "exchange_refused"
    default_detail = _("The request token was refused: check NETOSECRET and the clock.")


class RefreshRefused(exceptions.APIException):
    """A refresh token that gets no tokens."""

    status_code = 400
    default_code = "refresh_refused"
    default_detail = _("The refresh token is wrong or expired, or its key is gone.")


class PasswordsRefused(exceptions.AuthenticationFailed):
    """A person's sign-in where only keys sign in."""

    default_code = "passwords_refused"
    default_detail = _(
        "Passwords are not accepted here, as that would pass by the second factor: "
        "sign in on the portal's pages, or exchange an API key at /api/v1/auth/token."
    )


class WholeList(BasePagination):
    """All there is, in the envelope: the vendor knows no pages."""

    def paginate_queryset(self, queryset: QuerySet, request: Request, view=None) -> list:
        return list(queryset)

    def get_paginated_response(self, data: Any) -> Response:
        return Response(_envelope(data, len(data)))


class Netography(Dialect):
    """Words failures as `{"status": 404, "name": "Not Found", "message": "…"}`."""

    dialect = Format.NETOGRAPHY
    owned_paths = r"(?:api/v1/(?:api-keys|auth/token)|api/auth/bearer)(?:/|\Z)"
    base_path = "/api/v1"
    api_description = gettext_noop(
        "Keys by their appname, for clients of Netography. Exchange a request token for an "
        "access token first; an API key of its own does as well, as the Bearer token."
    )
    security_schemes = {"BearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    error_schema = {
        "type": "object",
        "required": ["status", "name", "message"],
        "properties": {
            "status": {"type": "integer"},
            "name": {"type": "string"},
            "message": {"type": "string"},
        },
        "additionalProperties": False,
    }
    other_failures = "Anything else that can go wrong, in the same envelope."

    @classmethod
    def error_status(cls, failure: Failure, request: HttpRequest | Request) -> int:
        return HTTPStatus.CONFLICT if failure.code == "duplicate" else failure.status

    @classmethod
    def error_body(cls, failure: Failure, request: HttpRequest | Request) -> dict[str, Any]:
        status = HTTPStatus(cls.error_status(failure, request))
        message = _WORDS.get(failure.code, failure.message)
        if failure.code == "invalid":
            told = (f"{path}: {text}" if path else text for path, text in failure.fields)
            message = "; ".join(told)
        return {"status": status.value, "name": status.phrase, "message": message}


class KeyViewSet(Netography, views.KeyViewSet):
    """The keys of an organization."""

    permissions = views.KeyViewSet.permissions | {"regenerate": Permission.ROTATE_APIKEY}
    pagination_class = WholeList
    lookup_field = "slug"
    lookup_url_kwarg = "appname"

    def get_serializer_class(self) -> type[KeySerializer]:
        return ChangeSerializer if self.action in ("update", "regenerate") else KeySerializer

    def error_serializer(self) -> KeySerializer:
        return KeySerializer()

    def update(self, request: Request, *args, **kwargs) -> Response:
        # Nothing at all would be everything left out.
        require_body(request)
        return super().update(request, *args, **kwargs)

    def issue(self, data: dict[str, Any]) -> APIKey:
        return super().issue({"name": data["slug"], **data})

    def regenerate(self, request: Request, **kwargs) -> Response:
        key = self.get_object()
        serializer = self.get_serializer(key, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        changes = serializer.validated_data
        with transaction.atomic():
            if changes:
                services.update_key(actor=request.user, key=key, **changes)
            key = services.rotate_key(actor=request.user, key=key)
        return Response(self.represent(key))

    def represent(self, key: APIKey) -> dict[str, Any]:
        code = self.created_status if self.action == "create" else 200
        return _envelope(super().represent(key), 1, code)


class ExchangeView(Netography):
    """Hands out tokens to whoever proves itself in the body of the request."""

    permissions = {"post": ANYONE}
    authentication_classes = ()

    def get_authenticate_header(self, request: Request) -> str:
        # Without one REST framework turns 401 into 403.
        return KeyAuthentication().authenticate_header(request)

    def read(self, request: Request, serializer_class: type, field: str) -> dict[str, Any]:
        """Return what the services are told of the request, with its one field."""
        serializer = serializer_class(data=request.data)
        serializer.is_valid(raise_exception=True)
        return {
            "token": serializer.validated_data[field],
            "address": request.client_address,
            "user_agent": user_agent(request),
        }


class RequestTokenView(ExchangeView):
    """A request token for the first tokens of a session."""

    def post(self, request: Request) -> Response:
        said = self.read(request, RequestTokenSerializer, "jwt")
        try:
            return _session(*services.exchange_request_token(**said))
        except services.ExchangeRefusedError:
            raise ExchangeRefused from None


class RefreshTokenView(ExchangeView):
    """A refresh token for the next tokens of a session."""

    parser_classes = (FormParser,)

    def post(self, request: Request) -> Response:
        said = self.read(request, RefreshTokenSerializer, "refresh_token")
        try:
            return _session(*services.refresh_session(**said))
        except services.ExchangeRefusedError:
            raise RefreshRefused from None


class PasswordView(ExchangeView):
    """A person's address and password: refused, and not even read."""

    def post(self, request: Request) -> Response:
        raise PasswordsRefused


def _envelope(data: Any, count: int, code: int = 200) -> dict[str, Any]:
    return {"meta": {"code": code, "count": count}, "data": data}


def _session(tokens: services.SessionTokens, verdict: services.Verdict) -> Response:
    return Response(
        {
            "access_token": tokens.access_token,
            "expires_in": tokens.expires_in,
            "refresh_token": tokens.refresh_token,
            "refresh_expires_in": tokens.refresh_expires_in,
            "token_type": "bearer",
            "not-before-policy": 0,
            "session-state": tokens.session_id,
            "scope": " ".join(sorted(verdict.snapshot.scopes)),
        }
    )


DIALECT = Netography

_keys = KeyViewSet.as_view({"get": "list", "post": "create"})
_key = KeyViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})
_regeneration = KeyViewSet.as_view({"put": "regenerate"})

# No database takes a NUL, wherever it comes from.
_ITEM = r"api/v1/api-keys/(?P<appname>[^/\x00]+)"

urlpatterns = [
    route("api/v1/api-keys", _keys, name="key-list"),
    route(_ITEM, _key, name="key-detail"),
    route(rf"{_ITEM}/regen", _regeneration, name="key-regenerate"),
    route("api/v1/auth/token", RequestTokenView.as_view(), name="token"),
    route("api/auth/bearer/refresh", RefreshTokenView.as_view(), name="refresh"),
    route("api/auth/bearer/token", PasswordView.as_view(), name="password"),
]
