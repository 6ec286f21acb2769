"""An API key as the native dialect writes and reads it."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from keys import policy
from keys.api.dialects.native.dialect import (
    Body,
    Instant,
    OrganizationNumber,
    VisibleNameField,
)
from keys.api.dialects.native.rate_limits import RateLimitSerializer
from keys.api.dialects.native.verdicts import PersonSerializer
from keys.api.fields import Amount, Flag, Text, UTCDateTime, VisibleRelated
from keys.api.representing import Represented
from keys.models import APIKey, Membership, Role, User, Workspace
from keys.models.keys import Status
from keys.models.usage import LimitReset


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
    created_at = UTCDateTime(read_only=True)
    updated_at = UTCDateTime(read_only=True)


class AllowedIPEntrySerializer(AllowedIPSerializer):
    """The same inside a key, where a text alone will do: `"192.0.2.0/24"`."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        entry = super().to_internal_value({"network": data} if isinstance(data, str) else data)
        if "network" not in entry:  # in a PATCH nothing is required, but half a row is no row
            raise serializers.ValidationError({"network": [_("This field is required.")]})
        return entry


class UsageSerializer(Represented):
    """How much a key was used, ever."""

    requests = serializers.IntegerField(read_only=True)
    refused = serializers.IntegerField(read_only=True)
    cost = Amount(read_only=True)
    byok_cost = Amount(read_only=True)


# Making a field takes longer than writing many values with it.
_AMOUNT = Amount(read_only=True)
_MOMENT = UTCDateTime()


class KeySerializer(Body):
    """An API key."""

    id = serializers.IntegerField(read_only=True)
    key_name = Text(source="name", max_length=200)
    key_scope = ScopeCodes(source="scopes", required=False)
    organization_id = OrganizationNumber()
    api_key = serializers.SerializerMethodField(
        help_text="The key itself when it is created or rotated; afterwards its mask."
    )
    created_at = UTCDateTime(read_only=True)

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
    owner = PersonSerializer(read_only=True, allow_null=True)
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
    rate_limits = RateLimitSerializer(many=True, required=False)
    external_user = Text(max_length=200, required=False, allow_null=True)
    usage = UsageSerializer(source="totals", read_only=True)
    last_used_at = UTCDateTime(source="totals.last_used_at", read_only=True, allow_null=True)
    last_used_from = serializers.CharField(
        source="totals.last_address", read_only=True, allow_null=True
    )
    updated_at = UTCDateTime(read_only=True)

    def get_api_key(self, key: APIKey) -> str:
        return key.secret if hasattr(key, "secret") else key.label

    @extend_schema_field(Amount(allow_null=True, read_only=True))
    def get_limit_remaining(self, key: APIKey) -> float | None:
        return _AMOUNT.to_representation(key.remaining_at(timezone.now()))

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_limit_resets_at(self, key: APIKey) -> str | None:
        end = LimitReset.period_end(key.limit_reset, timezone.now())
        return _MOMENT.to_representation(end)

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
