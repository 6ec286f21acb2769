"""Where the organization is told what happens, and what was sent there."""

import json
from typing import Any

from django.db.models import F, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from keys import services
from keys.api.dialects.native.dialect import COLLECTION, ITEM, NUMBER, Body, ResourceViewSet
from keys.api.fields import Text
from keys.api.views import route
from keys.models import Webhook, WebhookDelivery
from keys.orderings import Ordering
from keys.roles import Permission
from keys.services.events import PUBLISHED


class WebhookSerializer(Body):
    """An address that is told of events by signed requests (Standard Webhooks)."""

    id = serializers.IntegerField(read_only=True)
    url = Text(max_length=500)
    description = Text(max_length=200, required=False, allow_blank=True)
    events = serializers.ListField(
        child=Text(max_length=60),
        required=False,
        max_length=len(PUBLISHED),
        help_text="Of which it is told; empty: of all.",
    )
    enabled = serializers.BooleanField(required=False)
    failing_since = serializers.DateTimeField(read_only=True, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)
    secret = serializers.SerializerMethodField(
        help_text="What signs; only in the reply that creates or rotates it."
    )

    def get_secret(self, webhook: Webhook) -> str | None:
        return getattr(webhook, "secret", None)


class DeliverySerializer(serializers.Serializer):
    """A message to a webhook, and what came of it."""

    id = serializers.IntegerField()
    message_id = serializers.CharField()
    event = serializers.CharField()
    body = serializers.SerializerMethodField()
    state = serializers.ChoiceField(WebhookDelivery.State.choices)
    attempts = serializers.IntegerField()
    attempted_at = serializers.DateTimeField(allow_null=True)
    next_at = serializers.DateTimeField(allow_null=True)
    status = serializers.IntegerField(allow_null=True)
    response = serializers.CharField(help_text="The beginning of what was answered.")
    error = serializers.CharField()
    created_at = serializers.DateTimeField()

    def get_body(self, delivery: WebhookDelivery) -> dict[str, Any]:
        return json.loads(delivery.body)


class WebhookViewSet(ResourceViewSet):
    """The webhooks of the organization."""

    serializer_class = WebhookSerializer
    queryset = Webhook.objects.select_related("organization")
    lookup_url_kwarg = "webhook_id"
    permissions = {
        "list": Permission.VIEW_WEBHOOK,
        "retrieve": Permission.VIEW_WEBHOOK,
        "create": Permission.CHANGE_WEBHOOK,
        "partial_update": Permission.CHANGE_WEBHOOK,
        "destroy": Permission.CHANGE_WEBHOOK,
        "rotate": Permission.CHANGE_WEBHOOK,
        "test": Permission.CHANGE_WEBHOOK,
    }

    def add(self, **data: Any) -> Webhook:
        is_enabled = data.pop("enabled", True)
        webhook, secret = services.create_webhook(
            actor=self.request.user, organization=self.organization, **data
        )
        if not is_enabled:
            webhook = self.change(webhook, enabled=False)
        webhook.secret = secret
        return webhook

    def change(self, row: Webhook, **changes: Any) -> Webhook:
        return services.update_webhook(actor=self.request.user, webhook=row, **changes)

    def remove(self, row: Webhook) -> None:
        services.delete_webhook(actor=self.request.user, webhook=row)

    @extend_schema(
        operation_id="webhooks_rotate",
        summary="Give a webhook a new secret",
        request=None,
        responses=WebhookSerializer,
    )
    def rotate(self, request: Request, webhook_id: str) -> Response:
        """Give the webhook a new secret; the old one signs beside it for a day."""
        webhook = self.get_object()
        secret = services.rotate_webhook_secret(actor=request.user, webhook=webhook)
        webhook.secret = secret
        return Response(self.get_serializer(webhook).data)

    @extend_schema(
        operation_id="webhooks_test",
        summary="Send a test to a webhook",
        request=None,
        responses={202: DeliverySerializer},
    )
    def test(self, request: Request, webhook_id: str) -> Response:
        """Have a message sent that says nothing; its delivery tells what came of it."""
        delivery = services.test_webhook(actor=request.user, webhook=self.get_object())
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


class DeliveryViewSet(ResourceViewSet):
    """What was sent to a webhook, newest first."""

    serializer_class = DeliverySerializer
    queryset = WebhookDelivery.objects.select_related("webhook__organization")
    ordering = Ordering("", lambda: F("pk"), descending=True)
    lookup_url_kwarg = "delivery_id"
    permissions = {
        "list": Permission.VIEW_WEBHOOK,
        "retrieve": Permission.VIEW_WEBHOOK,
        "replay": Permission.CHANGE_WEBHOOK,
    }

    def get_queryset(self) -> QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        webhooks = Webhook.objects.filter(organization=self.organization)
        webhook = get_object_or_404(webhooks, pk=self.kwargs["webhook_id"])
        return super().get_queryset().filter(webhook=webhook)

    @extend_schema(
        operation_id="webhooks_deliveries_replay",
        summary="Send a message again",
        request=None,
        responses={202: DeliverySerializer},
    )
    def replay(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        """Send again what arrived or was given up, under the same message id."""
        again = services.replay_delivery(actor=request.user, delivery=self.get_object())
        return Response(self.get_serializer(again).data, status=status.HTTP_202_ACCEPTED)


_WEBHOOK = rf"v1/webhooks/(?P<webhook_id>{NUMBER})"
_DELIVERY = rf"{_WEBHOOK}/deliveries/(?P<delivery_id>{NUMBER})"

urlpatterns = [
    route(r"v1/webhooks", WebhookViewSet.as_view(COLLECTION), "webhook-list"),
    route(_WEBHOOK, WebhookViewSet.as_view(ITEM), "webhook-detail"),
    route(rf"{_WEBHOOK}/rotate", WebhookViewSet.as_view({"post": "rotate"}), "webhook-rotate"),
    route(rf"{_WEBHOOK}/test", WebhookViewSet.as_view({"post": "test"}), "webhook-test"),
    route(rf"{_WEBHOOK}/deliveries", DeliveryViewSet.as_view({"get": "list"}), "delivery-list"),
    route(_DELIVERY, DeliveryViewSet.as_view({"get": "retrieve"}), "delivery-detail"),
    route(rf"{_DELIVERY}/replay", DeliveryViewSet.as_view({"post": "replay"}), "delivery-replay"),
]
