"""API keys of the native dialect, where they may be used from, and their secrets."""

from datetime import timedelta
from typing import Any

import django_filters
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema, extend_schema_field
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
    Instant,
    Keyset,
    Native,
    OrganizationNumber,
    ResourceViewSet,
    StrictFilterBackend,
    TruthFilter,
    VisibleNameField,
)
from keys.api.fields import Amount, Flag, Text, VisibleRelated
from keys.api.views import KeyViewSet, route
from keys.filters import ORDERINGS, Ordering
from keys.models import AllowedIP, APIKey, KeySecret, Membership, Role, User, Workspace
from keys.models.keys import Status
from keys.models.usage import LimitReset
from keys.roles import Permission


class ScopeCodes(serializers.Field):
    """Scope codes: an array, or one text with commas. Replies always have the array."""

    default_error_messages = {
        "invalid": _('Give a list of scopes, such as ["READ"], or one text with commas.'),
        "blank": _("A scope may not be blank."),
    }

    def get_attribute(self, instance: APIKey) -> list[str]:
        return instance.scope_codes

    def to_internal_value(self, data: Any) -> list[str]:
        codes = data.split(",") if isinstance(data, str) else data
        if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
            self.fail("invalid")
        codes = [code.strip() for code in codes]
        if not all(codes):
            self.fail("blank")
        return [Text(max_length=100).run_validation(code) for code in codes]

    def to_representation(self, value: list[str]) -> list[str]:
        return value


class ScopeCodesSchema(OpenApiSerializerFieldExtension):
    """Two forms in requests, one in replies."""

    target_class = ScopeCodes

    def map_serializer_field(self, auto_schema, direction: str) -> dict[str, Any]:
        codes = {"type": "array", "items": {"type": "string"}}
        return codes if direction == "response" else {"anyOf": [codes, {"type": "string"}]}


class OwnerNumber(serializers.IntegerField):
    """A person by number, among the members whom the caller may see."""

    def to_internal_value(self, data: Any) -> User:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        members = policy.visible(self.context["request"].user, Membership.objects.all())
        person = User.objects.filter(pk=data, memberships__in=members).first()
        if person is None:
            # The words for a person who is there, so that numbers cannot be tried out.
            raise PermissionDenied(_("You cannot issue a key in somebody else's name."))
        return person

    def to_representation(self, value: User) -> int:
        return value.pk


class AllowedIPSerializer(Body):
    """An address or range from which a key may be used, or (`deny`) may not."""

    id = serializers.IntegerField(read_only=True)
    network = Text(max_length=100)
    deny = Flag(required=False)
    comment = Text(max_length=200, required=False, allow_blank=True)
    active = Flag(required=False)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class AllowedIPEntrySerializer(AllowedIPSerializer):
    """The same inside a key, where a text alone will do: `"192.0.2.0/24"`."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        entry = super().to_internal_value({"network": data} if isinstance(data, str) else data)
        if "network" not in entry:  # in a PATCH nothing is required, but half a row is no row
            raise serializers.ValidationError({"network": [_("This field is required.")]})
        return entry


class UsageSerializer(serializers.Serializer):
    """How much a key was used, ever."""

    requests = serializers.IntegerField(read_only=True)
    refused = serializers.IntegerField(read_only=True)
    cost = Amount(read_only=True)
    byok_cost = Amount(read_only=True)


class PersonSerializer(serializers.Serializer):
    """A person."""

    id = serializers.IntegerField(read_only=True)
    email = serializers.EmailField(read_only=True)
    name = serializers.CharField(source="display_name", read_only=True)


class KeySerializer(Body):
    """An API key."""

    id = serializers.IntegerField(read_only=True)
    key_name = Text(source="name", max_length=200)
    key_scope = ScopeCodes(source="scopes", required=False)
    organization_id = OrganizationNumber()
    api_key = serializers.SerializerMethodField(
        help_text="The key itself when it is created or rotated; afterwards its mask."
    )
    created_at = serializers.DateTimeField(read_only=True)

    identifier = serializers.CharField(read_only=True)
    hash = serializers.CharField(read_only=True)
    slug = Text(max_length=63, required=False)
    description = Text(max_length=500, required=False, allow_blank=True)
    status = serializers.ChoiceField(Status.choices, read_only=True)
    disabled = Flag(required=False)
    role = VisibleNameField(
        slug_field="name", queryset=Role.objects.all(), required=False, allow_null=True
    )
    workspace_id = VisibleRelated(
        source="workspace",
        queryset=Workspace.objects.all(),
        required=False,
        pk_field=serializers.UUIDField(),
    )
    owner_id = OwnerNumber(
        source="owner",
        required=False,
        allow_null=True,
        help_text="The person the key acts for; null: the organization.",
    )
    owner = serializers.SerializerMethodField()
    dialect = serializers.CharField(read_only=True)
    not_before = Instant(required=False, allow_null=True)
    expires_at = Instant(required=False, allow_null=True)
    limit = Amount(required=False, allow_null=True)
    limit_remaining = serializers.SerializerMethodField()
    limit_reset = serializers.ChoiceField(LimitReset.choices, required=False, allow_null=True)
    limit_resets_at = serializers.SerializerMethodField()
    include_byok_in_limit = Flag(required=False)
    assign_server_ips = Flag(required=False)
    allowed_ips = AllowedIPEntrySerializer(many=True, required=False)
    external_user = Text(max_length=200, required=False, allow_null=True)
    usage = UsageSerializer(source="totals", read_only=True)
    last_used_at = serializers.DateTimeField(
        source="totals.last_used_at", read_only=True, allow_null=True
    )
    last_used_from = serializers.CharField(
        source="totals.last_address", read_only=True, allow_null=True
    )
    updated_at = serializers.DateTimeField(read_only=True)

    def get_api_key(self, key: APIKey) -> str:
        return getattr(key, "secret", key.label)

    @extend_schema_field(PersonSerializer(allow_null=True))
    def get_owner(self, key: APIKey) -> dict[str, Any] | None:
        return PersonSerializer(key.owner).data if key.owner else None

    @extend_schema_field(Amount(allow_null=True, read_only=True))
    def get_limit_remaining(self, key: APIKey) -> float | None:
        return Amount(read_only=True).to_representation(key.remaining_at(timezone.now()))

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_limit_resets_at(self, key: APIKey) -> str | None:
        end = LimitReset.period_end(key.limit_reset, timezone.now())
        return serializers.DateTimeField().to_representation(end)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        # It says nothing new: a credential acts in one organization.
        data.pop("organization_id", None)
        if self.instance is None:
            self._require_grant(data)
        else:
            self._refuse_new_owner(data)
            self._drop_repeated_scopes(data)
        return data

    def _require_grant(self, data: dict[str, Any]) -> None:
        if "scopes" not in data and data.get("role") is None:
            raise serializers.ValidationError({"key_scope": [_("This field is required.")]})

    def _refuse_new_owner(self, data: dict[str, Any]) -> None:
        if data.pop("owner", self.instance.owner) != self.instance.owner:
            raise serializers.ValidationError(
                {"owner_id": [_("The owner of a key does not change; issue another key.")]}
            )

    def _drop_repeated_scopes(self, data: dict[str, Any]) -> None:
        # Whoever sends back what they read says the scopes of the role along with the role.
        role = data.get("role")
        if role and set(data.get("scopes", ())) == {scope.code for scope in role.scopes.all()}:
            del data["scopes"]


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
        return _WIRE_ORDERINGS[self.form.cleaned_data["ordering"] or filters.DEFAULT_ORDERING]


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
        "disable": Permission.CHANGE_APIKEY,
        "enable": Permission.CHANGE_APIKEY,
    }

    @property
    def ordering(self) -> Ordering:
        return self.filterset.chosen_ordering

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
