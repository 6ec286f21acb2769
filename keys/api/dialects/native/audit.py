"""What happened in the organization: read, never written."""

from datetime import UTC, datetime
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import F
from django_filters.fields import IsoDateTimeField
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from keys import services
from keys.api.dialects.native.dialect import NUMBER, ResourceViewSet
from keys.api.views import route
from keys.models import AuditEvent
from keys.orderings import Ordering
from keys.roles import Permission


class AuditEventSerializer(serializers.Serializer):
    """One change: who did what to which object, from where."""

    id = serializers.IntegerField(read_only=True)
    at = serializers.DateTimeField(read_only=True)
    organization_id = serializers.IntegerField(read_only=True)
    action = serializers.CharField(read_only=True)
    actor = serializers.CharField(source="actor_label", read_only=True)
    actor_user_id = serializers.IntegerField(read_only=True, allow_null=True)
    actor_key_id = serializers.IntegerField(read_only=True, allow_null=True)
    object_type = serializers.CharField(read_only=True)
    object_id = serializers.CharField(read_only=True)
    object = serializers.CharField(source="object_label", read_only=True)
    changes = serializers.DictField(read_only=True)
    door = serializers.ChoiceField(AuditEvent.Door.choices, read_only=True)
    address = serializers.CharField(read_only=True, allow_null=True)
    request_id = serializers.CharField(read_only=True)


class InstantField(IsoDateTimeField):
    """A moment in UTC: databases know no zones that are a day away."""

    def clean(self, value: Any) -> datetime | None:
        moment = super().clean(value)
        try:
            return moment and moment.astimezone(UTC)
        except OverflowError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class InstantFilter(django_filters.IsoDateTimeFilter):
    """Filters by a moment, in whatever zone it is given."""

    field_class = InstantField


class AuditEventFilter(django_filters.FilterSet):
    """By what was done, to what, by whom, when."""

    action = django_filters.CharFilter(max_length=60)
    object_type = django_filters.CharFilter(max_length=60)
    object_id = django_filters.CharFilter(max_length=64)
    actor_user_id = django_filters.NumberFilter(min_value=0, max_value=2**63 - 1)
    actor_key_id = django_filters.NumberFilter(min_value=0, max_value=2**63 - 1)
    door = django_filters.ChoiceFilter(choices=AuditEvent.Door.choices)
    request_id = django_filters.CharFilter(max_length=64)
    since = InstantFilter(field_name="at", lookup_expr="gte")
    until = InstantFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditEvent
        fields: list[str] = []


class AuditEventViewSet(ResourceViewSet):
    """The audit trail of the organization, the newest first."""

    serializer_class = AuditEventSerializer
    queryset = AuditEvent.objects.all()
    ordering = Ordering("", lambda: F("pk"), descending=True)
    filterset_class = AuditEventFilter
    lookup_url_kwarg = "audit_event_id"
    permissions = {
        "list": Permission.VIEW_AUDITEVENT,
        "retrieve": Permission.VIEW_AUDITEVENT,
    }

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._noted(super().list(request, *args, **kwargs))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._noted(super().retrieve(request, *args, **kwargs))

    def _noted(self, response: Response) -> Response:
        """Record that the trail was read, as on its page."""
        services.note_read(
            actor=self.request.user,
            obj=self.organization,
            organization=self.organization,
            action="audit.read",
        )
        return response


urlpatterns = [
    route(r"v1/audit-events", AuditEventViewSet.as_view({"get": "list"}), "audit-event-list"),
    route(
        rf"v1/audit-events/(?P<audit_event_id>{NUMBER})",
        AuditEventViewSet.as_view({"get": "retrieve"}),
        "audit-event-detail",
    ),
]
