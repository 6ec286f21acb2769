"""Requests for what takes a second person: asked for, decided on, used."""

from typing import Any

import django_filters
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from keys import policy, services
from keys.api.dialects.native.dialect import (
    COLLECTION,
    NUMBER,
    Body,
    Instant,
    ResourceViewSet,
)
from keys.api.dialects.native.key_serializer import AllowedIPEntrySerializer, KeySerializer
from keys.api.dialects.native.policies import CodesField
from keys.api.dialects.native.verdicts import PersonSerializer
from keys.api.fields import Integer, Text
from keys.api.views import route
from keys.models import APIKey, ApprovalRequest
from keys.models.approvals import ApprovalKind, ApprovalStatus
from keys.orderings import Ordering
from keys.roles import Permission
from keys.services.approval_reasons import Reason

_NUMBER = {"min_value": 1, "max_value": 2**63 - 1}


class ApprovalRequestSerializer(Body):
    """That somebody wants to give a key, or a person, what takes a second person to give."""

    id = serializers.IntegerField(read_only=True)
    kind = serializers.ChoiceField(ApprovalKind.choices, read_only=True)
    status = serializers.ChoiceField(ApprovalStatus.choices, source="state", read_only=True)
    reason = Text(max_length=500)
    key = serializers.DictField(
        write_only=True, required=False, help_text="The new key, as it is issued elsewhere."
    )
    key_id = Integer(
        **_NUMBER,
        required=False,
        allow_null=True,
        help_text="The key to change, or the one that was issued.",
    )
    changes = serializers.DictField(
        write_only=True, required=False, help_text="What to change of that key."
    )
    terms = serializers.DictField(read_only=True)
    approved_terms = serializers.DictField(read_only=True, allow_null=True)
    needed_for = serializers.SerializerMethodField()
    requester = PersonSerializer(read_only=True)
    decided_by = PersonSerializer(read_only=True, allow_null=True)
    decided_at = serializers.DateTimeField(read_only=True, allow_null=True)
    note = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    ends_at = serializers.DateTimeField(
        read_only=True, help_text="Until when it waits for the next step."
    )

    def get_needed_for(self, row: ApprovalRequest) -> list[str]:
        """Say why it takes somebody else, in sentences."""
        return [str(Reason.unpack(each)) for each in row.needed_for]

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        is_change = data.get("key_id") is not None
        if is_change == ("key" in data) or is_change != ("changes" in data):
            raise serializers.ValidationError(
                {"key": [_("Give either a key, or a key_id and changes.")]}
            )
        return data


class AgreementSerializer(Body):
    """To what one agrees: what was asked for when nothing is said, else less."""

    note = Text(max_length=500, required=False, allow_blank=True)
    key_scope = CodesField(source="scopes", required=False)
    expires_at = Instant(required=False)
    allowed_ips = AllowedIPEntrySerializer(
        many=True,
        required=False,
        help_text="From where the key may be used: the whole list, within what was asked for.",
    )


class DenialSerializer(Body):
    """Why not."""

    note = Text(max_length=500)


class NothingMoreSerializer(Body):
    """A body with nothing in it."""


class ApprovalRequestFilter(django_filters.FilterSet):
    """Which requests."""

    status = django_filters.ChoiceFilter(choices=ApprovalStatus.choices, method="filter_status")

    def filter_status(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        return queryset.with_status(value, timezone.now())


class ApprovalRequestViewSet(ResourceViewSet):
    """Requests that the caller made or may decide on."""

    serializer_class = ApprovalRequestSerializer
    queryset = ApprovalRequest.objects.select_related("requester", "decided_by", "organization")
    filterset_class = ApprovalRequestFilter
    ordering = Ordering("", lambda: F("pk"), descending=True)
    lookup_url_kwarg = "approval_request_id"
    permissions = {
        "list": Permission.VIEW_APPROVALREQUEST,
        "retrieve": Permission.VIEW_APPROVALREQUEST,
        "create": Permission.CHANGE_APPROVALREQUEST,
        "approve": Permission.APPROVE_APPROVALREQUEST,
        "deny": Permission.APPROVE_APPROVALREQUEST,
        "withdraw": Permission.CHANGE_APPROVALREQUEST,
        "issue": Permission.CHANGE_APPROVALREQUEST,
    }

    def error_serializer(self) -> serializers.BaseSerializer | None:
        if self.action in ("create", "approve", "issue"):
            return KeySerializer(context=self.get_serializer_context())
        return self.get_serializer()

    def add(self, **data: Any) -> ApprovalRequest:
        actor, reason = self.request.user, data["reason"]
        if data.get("key_id") is None:
            terms = self._read_key("key", data=data["key"])
            return services.request_key(
                actor=actor, organization=self.organization, reason=reason, **terms
            )
        keys = policy.visible(actor, APIKey.objects.live().with_details())
        key = get_object_or_404(keys, pk=data["key_id"])
        changes = self._read_key("changes", key, data=data["changes"], partial=True)
        return services.request_change(actor=actor, key=key, reason=reason, **changes)

    @extend_schema(
        operation_id="approval_requests_approve",
        summary="Approve a request, or less",
        request=AgreementSerializer,
        responses=ApprovalRequestSerializer,
    )
    def approve(self, request: Request, approval_request_id: str) -> Response:
        """Agree to what was asked for, or to less of it."""
        return self._decide(AgreementSerializer, services.approve_request)

    @extend_schema(
        operation_id="approval_requests_deny",
        summary="Deny a request",
        request=DenialSerializer,
        responses=ApprovalRequestSerializer,
    )
    def deny(self, request: Request, approval_request_id: str) -> Response:
        """Refuse what was asked for, and say why."""
        return self._decide(DenialSerializer, services.deny_request)

    @extend_schema(
        operation_id="approval_requests_withdraw",
        summary="Withdraw a request",
        request=None,
        responses=ApprovalRequestSerializer,
    )
    def withdraw(self, request: Request, approval_request_id: str) -> Response:
        """Take back what one asked for."""
        return self._decide(NothingMoreSerializer, services.withdraw_request)

    @extend_schema(
        operation_id="approval_requests_issue",
        summary="Issue the approved key",
        request=None,
        responses={201: KeySerializer},
    )
    def issue(self, request: Request, approval_request_id: str) -> Response:
        """Issue the key that was approved; the reply has its secret, once."""
        NothingMoreSerializer(data=request.data).is_valid(raise_exception=True)
        key = services.issue_approved_key(actor=request.user, request=self.get_object())
        serializer = KeySerializer(key, context=self.get_serializer_context())
        return Response(serializer.data, status=status.HTTP_201_CREATED)

    def _decide(self, body: type[Body], service: Any) -> Response:
        decision = body(data=self.request.data)
        decision.is_valid(raise_exception=True)
        row = service(actor=self.request.user, request=self.get_object(), **decision.validated_data)
        return Response(self.get_serializer(row).data)

    def _read_key(self, name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the part of the body that is about a key, as its own operations read it."""
        serializer = KeySerializer(*args, **kwargs, context=self.get_serializer_context())
        if not serializer.is_valid():
            raise serializers.ValidationError({name: serializer.errors})
        return serializer.validated_data


_REQUEST = rf"v1/approval-requests/(?P<approval_request_id>{NUMBER})"

urlpatterns = [
    route(r"v1/approval-requests", ApprovalRequestViewSet.as_view(COLLECTION), "approval-list"),
    route(_REQUEST, ApprovalRequestViewSet.as_view({"get": "retrieve"}), "approval-detail"),
    *(
        route(
            rf"{_REQUEST}/{action}",
            ApprovalRequestViewSet.as_view({"post": action}),
            f"approval-{action}",
        )
        for action in ("approve", "deny", "withdraw", "issue")
    ),
]
