"""Is this key good? Asked about a key (`/v1/verify`), or by presenting it (`/v1/auth`).

Both are the portal's service itself, asked for every request of other services, so neither
counts against the caller's rate of management calls.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import (
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
    Throttled,
    ValidationError,
)
from rest_framework.request import Request
from rest_framework.response import Response

from keys import networks, services
from keys.api.authentication import KeyAuthentication, presented_secret, user_agent
from keys.api.dialects.native.dialect import Body, Native, refuse_unknown_parameters
from keys.api.dialects.native.keys import PersonSerializer
from keys.api.fields import Amount, Text
from keys.api.permissions import ANYONE
from keys.api.views import route
from keys.models import APIKey, Decision
from keys.models.fields import AMOUNT_PLACES, MAX_AMOUNT
from keys.models.usage import LimitReset
from keys.roles import Permission
from keys.services import Verdict
from keys.verification import Code, Question, explain, missing_scopes, refusing

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


class VerdictSerializer(serializers.Serializer):
    """The answer. Of a key that is not the organization's own it has `valid` and `code` only."""

    valid = serializers.BooleanField()
    code = serializers.ChoiceField([(code.value, code.value) for code in Code])
    failed_checks = serializers.ListField(child=serializers.CharField(), required=False)
    missing_scopes = serializers.ListField(child=serializers.CharField(), required=False)
    key_id = serializers.IntegerField(required=False)
    key_name = serializers.CharField(required=False)
    key_scope = serializers.ListField(child=serializers.CharField(), required=False)
    label = serializers.CharField(required=False)
    organization_id = serializers.IntegerField(required=False)
    workspace_id = serializers.UUIDField(required=False)
    role = serializers.CharField(required=False, allow_null=True)
    owner = PersonSerializer(required=False, allow_null=True)
    external_user = serializers.CharField(required=False, allow_null=True)
    not_before = serializers.DateTimeField(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    limit = Amount(required=False, allow_null=True)
    limit_remaining = Amount(required=False, allow_null=True)
    limit_reset = serializers.CharField(required=False, allow_null=True)
    limit_resets_at = serializers.DateTimeField(required=False, allow_null=True)


class VerifyView(Native):
    """Judges a key that somebody presented to the caller's service."""

    permissions = {"post": Permission.VERIFY_APIKEY}
    throttle_classes = ()

    def error_serializer(self) -> VerificationSerializer:
        return VerificationSerializer()

    @extend_schema(
        operation_id="verify", request=VerificationSerializer, responses=VerdictSerializer
    )
    def post(self, request: Request) -> Response:
        """Say whether a key is good, count its use and charge its limit."""
        body = VerificationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = dict(body.validated_data)
        address = asked.pop("ip", None)
        scopes = frozenset(asked.pop("scopes", ()))
        verdict = services.verify_key(
            secret=asked.pop("key"),
            organization=request.user.organization,
            address=address,
            scopes=scopes,
            **asked,
        )
        question = Question(now=timezone.now(), address=address, scopes=scopes)
        told = describe_verdict(verdict, question)
        data = VerdictSerializer(told).data
        # The serializer says null for what is not told; nothing is to be said of it at all.
        return Response({name: data[name] for name in told})


def describe_verdict(verdict: Verdict, question: Question) -> dict[str, Any]:
    """Return what the asker is told: everything of a key of its own, nothing of others."""
    told: dict[str, Any] = {"valid": verdict.is_valid, "code": verdict.code.value}
    key, snapshot = verdict.key, verdict.snapshot
    if key is None or snapshot is None:
        return told
    failed = [code.value for code in refusing(explain(snapshot, question))]
    if verdict.code is Code.LIMIT_EXCEEDED:
        failed.append(verdict.code.value)
    # What was charged a moment ago, here or elsewhere, counts.
    key.totals.refresh_from_db()
    return told | {
        "failed_checks": failed,
        "missing_scopes": missing_scopes(snapshot, question.scopes),
        "key_id": key.pk,
        "key_name": key.name,
        "key_scope": sorted(snapshot.scopes),
        "label": key.label,
        "organization_id": key.organization_id,
        "workspace_id": key.workspace_id,
        "role": key.role.name if key.role else None,
        "owner": key.owner,
        "external_user": key.external_user,
        "not_before": key.not_before,
        "expires_at": key.expires_at,
        "limit": key.limit,
        "limit_remaining": key.remaining_at(question.now),
        "limit_reset": key.limit_reset,
        "limit_resets_at": LimitReset.period_end(key.limit_reset, question.now),
    }


# Who the key is, for the service behind a proxy. Every one is in every 204, empty where there
# is nothing to say, so that a proxy that copies them overwrites what a client sent as its own.
IDENTITY_HEADERS: dict[str, Callable[[Verdict], object]] = {
    "X-Keyhaven-Key-Id": lambda verdict: verdict.key.pk,
    "X-Keyhaven-Key-Name": lambda verdict: verdict.key.name,
    "X-Keyhaven-Organization": lambda verdict: verdict.key.organization.slug,
    "X-Keyhaven-Workspace": lambda verdict: verdict.key.workspace_id,
    "X-Keyhaven-Owner": lambda verdict: verdict.key.owner or "",
    "X-Keyhaven-Role": lambda verdict: verdict.key.role or "",
    "X-Keyhaven-Scopes": lambda verdict: " ".join(sorted(verdict.snapshot.scopes)),
    "X-Keyhaven-External-User": lambda verdict: verdict.key.external_user or "",
}

# Printable ASCII but the percent sign: what a header carries as it is.
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

_REFUSED_FOR_SCOPES = _("This API key lacks a scope that is needed here.")
_REFUSED_FOR_ADDRESS = _("This API key may not be used from this address.")
_REFUSED_FOR_LIMIT = _("The limit of this API key is spent.")
_REFUSED = _("This API key is not valid.")


def header_text(value: object) -> str:
    """Return text that is safe in a header; anything unusual is percent-encoded UTF-8."""
    return quote(str(value), safe=_PLAIN).strip()


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
        ],
        responses={
            204: OpenApiResponse(
                description="The key is good; headers `X-Keyhaven-…` say whose it is."
            )
        },
    )
    def get(self, request: Request) -> Response:
        """Let the presented key pass or not."""
        refuse_unknown_parameters(request, {"scope", "cost"})
        secret = presented_secret(request)
        if secret is None:
            raise NotAuthenticated
        verdict = services.verify_key(
            secret=secret,
            address=request.client_address,
            scopes=request.query_params.getlist("scope"),
            cost=_read_cost(request),
            user_agent=user_agent(request),
            door=Decision.Door.AUTH,
        )
        refuse(verdict)
        headers = {name: header_text(read(verdict)) for name, read in IDENTITY_HEADERS.items()}
        return Response(status=status.HTTP_204_NO_CONTENT, headers=headers)

    # The document names one operation.
    @extend_schema(exclude=True)
    def head(self, request: Request) -> Response:
        return self.get(request)

    post = put = patch = delete = options = head


def _read_cost(request: Request) -> Decimal:
    text = request.query_params.get("cost", "1")
    if _COST.fullmatch(text) and Decimal(text) <= MAX_AMOUNT:
        return Decimal(text)
    raise ValidationError({"cost": [_("Give a number from 0, with at most six decimals.")]})


def refuse(verdict: Verdict) -> None:
    """Raise what a key that is not good is answered with; nothing for one that is."""
    match verdict.code:
        case Code.VALID:
            return
        case Code.INSUFFICIENT_SCOPES:
            raise PermissionDenied(_REFUSED_FOR_SCOPES)
        case Code.FORBIDDEN_ADDRESS:
            raise PermissionDenied(_REFUSED_FOR_ADDRESS)
        case Code.LIMIT_EXCEEDED:
            raise Throttled(wait=_seconds_to_reset(verdict.key), detail=str(_REFUSED_FOR_LIMIT))
    # Which check refused is for the key's owners to see, not for whoever tries it.
    raise AuthenticationFailed(_REFUSED)


def _seconds_to_reset(key: APIKey) -> float | None:
    now = timezone.now()
    end = LimitReset.period_end(key.limit_reset, now)
    return (end - now).total_seconds() if end else None


urlpatterns = [
    route(r"v1/verify", VerifyView.as_view(), "verify"),
    route(r"v1/auth", AuthView.as_view(), "auth"),
]
