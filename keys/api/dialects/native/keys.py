"""API keys of the native dialect, where they may be used from, and their secrets."""

from datetime import timedelta
from typing import Any

import django_filters
from django.db.models import F, QuerySet
from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from keys import filters, policy, services
from keys.api.dialects.native.dialect import (
    COLLECTION,
    ITEM,
    NUMBER,
    Body,
    Keyset,
    Native,
    ResourceViewSet,
    StrictFilterBackend,
    TruthFilter,
)
from keys.api.dialects.native.key_serializer import AllowedIPSerializer, KeySerializer
from keys.api.dialects.native.revoking import (
    CONFIRM,
    RevocationSerializer,
    wants_confirmation,
)
from keys.api.views import KeyViewSet, route
from keys.models import AllowedIP, APIKey, KeySecret
from keys.models.keys import Status
from keys.models.listing import with_lists
from keys.orderings import DEFAULT_ORDERING, ORDERINGS, Ordering
from keys.roles import Permission


class RotationSerializer(Body):
    """How long the old key works beside the new one; not at all when nothing is said."""

    overlap = serializers.IntegerField(
        min_value=0, max_value=10**9, required=False, help_text="Seconds, at most 30 days."
    )
    quiet_hours = serializers.IntegerField(
        min_value=1,
        max_value=10**9,
        required=False,
        help_text="It ends when it was not used for so many hours, and with the overlap.",
    )


class HandOverSerializer(Body):
    """How long the secret works on that the key's person knows; not at all when nothing is said."""

    overlap = serializers.IntegerField(
        min_value=0, max_value=10**9, required=False, help_text="Seconds, at most 30 days."
    )


class NothingSerializer(Body):
    """A body with nothing in it."""


_WIRE_ORDERINGS = {name.replace("name", "key_name"): each for name, each in ORDERINGS.items()}


class KeyFilter(filters.KeyFilter):
    """The filter of the pages, under this dialect's names."""

    scope = workspace = None
    key_name = django_filters.CharFilter(field_name="name", max_length=200)
    key_scope = django_filters.CharFilter(method="filter_scope", max_length=100)
    role = django_filters.CharFilter(field_name="role__name", max_length=60)
    workspace_id = django_filters.UUIDFilter(field_name="workspace")
    status = django_filters.ChoiceFilter(
        choices=[choice for choice in Status.choices if choice[0] != Status.REVOKED],
        method="filter_status",
    )
    expiring = TruthFilter(method="filter_expiring")
    unused = TruthFilter(field_name="totals__last_used_at", lookup_expr="isnull")
    unrestricted = TruthFilter(method="filter_unrestricted")
    ordering = django_filters.ChoiceFilter(
        choices=[(name, each.label) for name, each in _WIRE_ORDERINGS.items()], method="keep"
    )

    @property
    def chosen_ordering(self) -> Ordering:
        return _WIRE_ORDERINGS[self.form.cleaned_data["ordering"] or DEFAULT_ORDERING]


class NativeKeyViewSet(Native, KeyViewSet):
    """The life of a key, with rotation and a switch."""

    serializer_class = KeySerializer
    queryset = APIKey.objects.none()
    filter_backends = (StrictFilterBackend,)
    filterset_class = KeyFilter
    pagination_class = Keyset
    lookup_url_kwarg = "key_id"
    permissions = KeyViewSet.permissions | {
        "rotate": Permission.ROTATE_APIKEY,
        "hand_over": Permission.ASSIGN_APIKEY,
        "disable": Permission.CHANGE_APIKEY,
        "enable": Permission.CHANGE_APIKEY,
    }

    @property
    def ordering(self) -> Ordering:
        return self.filterset.chosen_ordering

    def get_queryset(self) -> QuerySet[APIKey]:
        if self.action != "list":
            return super().get_queryset()
        return policy.visible(self.request.user, with_lists(APIKey.objects.live()))

    @extend_schema(parameters=[CONFIRM], responses={204: None, 200: RevocationSerializer})
    def destroy(self, request: Request, key_id: str) -> Response:
        """End the key for good."""
        is_awaited = wants_confirmation(request)
        # Not get_object(): its filter would take the parameter for one of a list's.
        key = get_object_or_404(self.get_queryset(), pk=key_id)
        self.check_object_permissions(request, key)
        if not is_awaited:
            services.revoke_key(actor=request.user, key=key)
            return self.deleted_response()
        revocation = services.revoke_key_everywhere(actor=request.user, key=key)
        return Response(RevocationSerializer(revocation).data)

    @extend_schema(
        operation_id="api_keys_rotate",
        summary="Give a key a new secret",
        request=RotationSerializer,
        responses=KeySerializer,
    )
    def rotate(self, request: Request, key_id: str) -> Response:
        """Give the key a new secret; the reply has it, once."""
        body = RotationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = dict(body.validated_data)
        if "overlap" in asked:
            asked["overlap"] = timedelta(seconds=asked["overlap"])
        key = services.rotate_key(actor=request.user, key=self.get_object(), **asked)
        return Response(self.represent(key))

    @extend_schema(
        operation_id="api_keys_hand_over",
        summary="Give a person's key to the organization",
        request=HandOverSerializer,
        responses=KeySerializer,
    )
    def hand_over(self, request: Request, key_id: str) -> Response:
        """Let the key outlive its owner's membership; the reply has its new secret, once.

        What it may do with keys, it may do from then on with those that belong to no person.
        """
        body = HandOverSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        overlap = timedelta(seconds=body.validated_data.get("overlap", 0))
        key = services.hand_over_key(
            actor=request.user, key=self.get_object(), owner=None, overlap=overlap
        )
        return Response(self.represent(key))

    @extend_schema(
        operation_id="api_keys_disable",
        summary="Disable a key",
        request=None,
        responses=KeySerializer,
    )
    def disable(self, request: Request, key_id: str) -> Response:
        """Stop the key until it is enabled again."""
        return self._switch(services.disable_key)

    @extend_schema(
        operation_id="api_keys_enable",
        summary="Enable a key",
        request=None,
        responses=KeySerializer,
    )
    def enable(self, request: Request, key_id: str) -> Response:
        """Let a disabled key work again."""
        return self._switch(services.enable_key)

    def _switch(self, service) -> Response:
        NothingSerializer(data=self.request.data).is_valid(raise_exception=True)
        key = service(actor=self.request.user, key=self.get_object())
        return Response(self.represent(self.reload(key)))


class PartOfKeyViewSet(ResourceViewSet):
    """Rows that belong to the key named in the path."""

    @cached_property
    def key(self) -> APIKey:
        """The key in the path, if the caller may see it."""
        keys = policy.visible(self.request.user, APIKey.objects.live())
        return get_object_or_404(keys, pk=self.kwargs["key_id"])

    def get_queryset(self) -> QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return super().get_queryset().filter(key=self.key)


class AllowedIPViewSet(PartOfKeyViewSet):
    """From where a key may be used."""

    serializer_class = AllowedIPSerializer
    queryset = AllowedIP.objects.select_related("key")
    lookup_url_kwarg = "allowed_ip_id"
    permissions = {
        "list": Permission.VIEW_APIKEY,
        "retrieve": Permission.VIEW_APIKEY,
        "create": Permission.CHANGE_APIKEY,
        "partial_update": Permission.CHANGE_APIKEY,
        "destroy": Permission.CHANGE_APIKEY,
    }

    def add(self, **data: Any) -> AllowedIP:
        return services.add_allowed_ip(actor=self.request.user, key=self.key, **data)

    def change(self, row: AllowedIP, **changes: Any) -> AllowedIP:
        return services.change_allowed_ip(actor=self.request.user, allowed_ip=row, **changes)

    def remove(self, row: AllowedIP) -> None:
        services.remove_allowed_ip(actor=self.request.user, allowed_ip=row)


class SecretSerializer(serializers.Serializer):
    """One secret of a key, by its mask."""

    id = serializers.IntegerField(read_only=True)
    api_key = serializers.CharField(source="label", read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    superseded_at = serializers.DateTimeField(read_only=True, allow_null=True)
    retires_at = serializers.DateTimeField(read_only=True, allow_null=True)
    quiet_hours = serializers.IntegerField(read_only=True, allow_null=True)
    ends_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When it stops working if it is not used again."
    )
    revoked_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True)


class SecretViewSet(PartOfKeyViewSet):
    """The secrets of a key: the current one, and those it had before rotations."""

    serializer_class = SecretSerializer
    queryset = KeySecret.objects.select_related("key")
    ordering = Ordering("", lambda: F("pk"), descending=True)
    lookup_url_kwarg = "secret_id"
    permissions = {"list": Permission.VIEW_APIKEY, "destroy": Permission.CHANGE_APIKEY}

    def remove(self, row: KeySecret) -> None:
        services.retire_secret(actor=self.request.user, secret=row)


_KEY = rf"v1/api-keys/(?P<key_id>{NUMBER})"

urlpatterns = [
    route(r"v1/api-keys", NativeKeyViewSet.as_view(COLLECTION), "key-list"),
    route(_KEY, NativeKeyViewSet.as_view(ITEM), "key-detail"),
    route(rf"{_KEY}/rotate", NativeKeyViewSet.as_view({"post": "rotate"}), "key-rotate"),
    route(rf"{_KEY}/hand-over", NativeKeyViewSet.as_view({"post": "hand_over"}), "key-hand-over"),
    route(rf"{_KEY}/disable", NativeKeyViewSet.as_view({"post": "disable"}), "key-disable"),
    route(rf"{_KEY}/enable", NativeKeyViewSet.as_view({"post": "enable"}), "key-enable"),
    route(rf"{_KEY}/allowed-ips", AllowedIPViewSet.as_view(COLLECTION), "allowed-ip-list"),
    route(
        rf"{_KEY}/allowed-ips/(?P<allowed_ip_id>{NUMBER})",
        AllowedIPViewSet.as_view(ITEM),
        "allowed-ip-detail",
    ),
    route(rf"{_KEY}/secrets", SecretViewSet.as_view({"get": "list"}), "secret-list"),
    route(
        rf"{_KEY}/secrets/(?P<secret_id>{NUMBER})",
        SecretViewSet.as_view({"delete": "destroy"}),
        "secret-detail",
    ),
]
