"""Is this key good? Asked about a key (`/v1/verify`), or by presenting it (`/v1/auth`).

Both are the portal's service itself, asked for every request of other services, so neither
counts against the caller's rate of management calls.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework import serializers
from rest_framework.exceptions import (
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
    Throttled,
    ValidationError,
)
from rest_framework.request import Request
from rest_framework.response import Response

from keys import networks, rates, services
from keys.api.authentication import KeyAuthentication, presented_secret, user_agent
from keys.api.dialects.native.dialect import Body, Native, refuse_unknown_parameters
from keys.api.dialects.native.verdicts import VerdictSerializer, verdict_data
from keys.api.fields import Amount, Text
from keys.api.permissions import ANYONE
from keys.api.throttling import RateLimited
from keys.api.views import route
from keys.entries import Entry
from keys.models import Decision
from keys.models.fields import AMOUNT_PLACES, MAX_AMOUNT
from keys.models.usage import LimitReset
from keys.roles import Permission
from keys.services import Verdict
from keys.verification import Code, Question

_COST = re.compile(rf"[0-9]{{1,13}}(\.[0-9]{{1,{AMOUNT_PLACES}}})?")
# A question names few scopes; a key holds no more than an organization defines.
MAX_SCOPES = 1000


class AddressField(Text):
    """One IP address."""

    def to_internal_value(self, data: Any) -> networks.Address:
        text = super().to_internal_value(data)
        try:
            return networks.parse_address(text)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None


class VerificationSerializer(Body):
    """The question: is this key good, from there, for these scopes, at this cost?"""

    key = Text(max_length=1000)
    scopes = serializers.ListField(
        child=Text(max_length=100), required=False, max_length=MAX_SCOPES
    )
    ip = AddressField(
        required=False,
        help_text="Where the key was used from. Without it a key confined to addresses is refused.",
    )
    cost = Amount(required=False, help_text="Charged against the limit; 1 when not given.")
    byok_cost = Amount(required=False)


# Questions in one request; each costs what it would cost alone.
MAX_QUESTIONS = 100


def _one_or_many(name: str, serializer: type[serializers.Serializer]) -> Any:
    return PolymorphicProxySerializer(
        component_name=name,
        serializers=[serializer, serializer(many=True)],
        resource_type_field_name=None,
        many=False,
    )


class VerifyView(Native):
    """Judges a key that somebody presented to the caller's service."""

    permissions = {"post": Permission.VERIFY_APIKEY}
    throttle_classes = ()

    def error_serializer(self) -> VerificationSerializer:
        return VerificationSerializer()

    @extend_schema(
        operation_id="verify",
        request=_one_or_many("Verifications", VerificationSerializer),
        responses=_one_or_many("Verdicts", VerdictSerializer),
    )
    def post(self, request: Request) -> Response:
        """Say whether a key is good, count its use and charge its limit.

        Up to a hundred questions may be asked at once, as a list; the answers are in their
        order, each counted and charged as if it had been asked alone. When one question is
        malformed, all are refused, and nothing is counted or charged.
        """
        if not isinstance(request.data, list):
            body = VerificationSerializer(data=request.data)
            body.is_valid(raise_exception=True)
            return Response(_answer(request, body.validated_data))
        # A mistake in one of them refuses all, before any is judged.
        bodies = serializers.ListSerializer(
            child=VerificationSerializer(),
            data=request.data,
            allow_empty=False,
            max_length=MAX_QUESTIONS,
        )
        bodies.is_valid(raise_exception=True)
        return Response([_answer(request, asked) for asked in bodies.validated_data])


def _answer(request: Request, asked: dict[str, Any]) -> dict[str, Any]:
    asked = dict(asked)
    address = asked.pop("ip", None)
    scopes = frozenset(asked.pop("scopes", ()))
    verdict = services.verify_key(
        secret=asked.pop("key"),
        organization=request.user.organization,
        address=address,
        scopes=scopes,
        **asked,
    )
    return verdict_data(verdict, Question(now=timezone.now(), address=address, scopes=scopes))


# Who the key is, for the service behind a proxy. Every one is in every 204, empty where there
# is nothing to say, so that a proxy that copies them overwrites what a client sent as its own.
IDENTITY_HEADERS: dict[str, Callable[[Entry], object]] = {
    "X-Keyhaven-Key-Id": lambda entry: entry.key_id,
    "X-Keyhaven-Key-Name": lambda entry: entry.name,
    "X-Keyhaven-Organization": lambda entry: entry.organization_slug,
    "X-Keyhaven-Workspace": lambda entry: entry.workspace_id,
    "X-Keyhaven-Owner": lambda entry: entry.owner.email if entry.owner else "",
    "X-Keyhaven-Role": lambda entry: entry.role or "",
    "X-Keyhaven-Scopes": lambda entry: " ".join(sorted(entry.snapshot.scopes)),
    "X-Keyhaven-External-User": lambda entry: entry.external_user or "",
}

# Printable ASCII but the percent sign: what a header carries as it is.
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

_REFUSED_FOR_SCOPES = _("This API key lacks a scope that is needed here.")
_REFUSED_FOR_ADDRESS = _("This API key may not be used from this address.")
_REFUSED_FOR_LIMIT = _("The limit of this API key is spent.")
_REFUSED = _("This API key is not valid.")


def identity_headers(entry: Entry) -> dict[str, str]:
    """Return the headers that tell who a good key is."""
    return {name: header_text(read(entry)) for name, read in IDENTITY_HEADERS.items()}


def header_text(value: object) -> str:
    """Return text that is safe in a header; anything unusual is percent-encoded UTF-8."""
    return _quoted(str(value))


@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    return quote(text, safe=_PLAIN).strip()


ASKED_PARAMETERS = {"scope", "cost", "status"}
# A proxy that reads no body keeps its connection after a 204; some take 200 for yes alone.
GOOD_STATUSES = (204, 200)


class AuthView(Native):
    """Judges the presented key itself, for a proxy that asks before it lets a request pass.

    Such proxies ask with a method of their choice and expect 2xx or a refusal; no body
    is read or sent. A parameter that is not known could be a check that nobody makes, so
    it is refused.
    """

    authentication_classes = ()
    http_method_names = [*Native.http_method_names, "options"]
    permissions = dict.fromkeys(http_method_names, ANYONE)
    throttle_classes = ()
    reads_body = False

    def get_authenticate_header(self, request: Request) -> str:
        return KeyAuthentication().authenticate_header(request)

    @extend_schema(
        operation_id="auth",
        auth=[{"bearer": []}, {"x-api-key": []}],
        parameters=[
            OpenApiParameter(
                "scope",
                str,
                many=True,
                description="A scope that the key must hold; repeat it for several.",
            ),
            OpenApiParameter(
                "cost", float, description="Charged against the limit; 1 when absent."
            ),
            OpenApiParameter(
                "status",
                int,
                enum=GOOD_STATUSES,
                description="How a good key is answered, for proxies that want 200; 204 else.",
            ),
        ],
        responses={
            200: OpenApiResponse(description="As 204, where it was asked for."),
            204: OpenApiResponse(
                description="The key is good; headers `X-Keyhaven-…` say whose it is."
            ),
        },
    )
    def get(self, request: Request) -> Response:
        """Let the presented key pass or not."""
        refuse_unknown_parameters(request, ASKED_PARAMETERS)
        asked = read_asked(request.query_params)
        secret = presented_secret(request)
        if secret is None:
            raise NotAuthenticated
        verdict = services.verify_key(
            secret=secret,
            address=request.client_address,
            scopes=asked.scopes,
            cost=asked.cost,
            user_agent=user_agent(request),
            door=Decision.Door.AUTH,
        )
        refuse(verdict)
        headers = {**identity_headers(verdict.entry), **rates.headers(verdict.rates)}
        return Response(status=asked.status, headers=headers)

    # The document names one operation.
    @extend_schema(exclude=True)
    def head(self, request: Request) -> Response:
        return self.get(request)

    post = put = patch = delete = options = head


@dataclass(frozen=True, slots=True)
class Asked:
    """What a proxy asks of a key: scopes, a cost, and the status of a good answer."""

    scopes: frozenset[str]
    cost: Decimal
    status: int


def read_asked(params: QueryDict) -> Asked:
    """Return what the query of a proxy asks. Raises ValidationError by parameter."""
    return Asked(frozenset(params.getlist("scope")), _read_cost(params), _read_status(params))


def _read_cost(params: QueryDict) -> Decimal:
    text = params.get("cost", "1")
    if _COST.fullmatch(text) and Decimal(text) <= MAX_AMOUNT:
        return Decimal(text)
    raise ValidationError({"cost": [_("Give a number from 0, with at most six decimals.")]})


def _read_status(params: QueryDict) -> int:
    match params.getlist("status", ["204"]):
        case [("200" | "204") as status]:
            return int(status)
    raise ValidationError({"status": [_("Give 200 or 204, once.")]})


def refuse(verdict: Verdict) -> None:
    """Raise what a key that is not good is answered with; nothing for one that is."""
    match verdict.code:
        case Code.VALID:
            return
        case Code.INSUFFICIENT_SCOPES:
            raise PermissionDenied(_REFUSED_FOR_SCOPES)
        case Code.FORBIDDEN_ADDRESS:
            raise PermissionDenied(_REFUSED_FOR_ADDRESS)
        case Code.RATE_LIMITED:
            raise RateLimited(verdict.rates)
        case Code.LIMIT_EXCEEDED:
            raise Throttled(wait=_seconds_to_reset(verdict.entry), detail=str(_REFUSED_FOR_LIMIT))
    # Which check refused is for the key's owners to see, not for whoever tries it.
    raise AuthenticationFailed(_REFUSED)


def _seconds_to_reset(entry: Entry) -> float | None:
    now = timezone.now()
    end = LimitReset.period_end(entry.limit_reset, now)
    return (end - now).total_seconds() if end else None


urlpatterns = [
    route(r"v1/verify", VerifyView.as_view(), "verify"),
    route(r"v1/auth", AuthView.as_view(), "auth"),
]
