"""The policy of the organization."""

from typing import Any

from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from keys import policy, rules, services
from keys.api.dialects.native.dialect import NUMBER, Body, Native, VisibleNameField
from keys.api.fields import Flag, Integer, Text
from keys.api.views import route
from keys.models import Organization, Role
from keys.models.counting import MOST_COUNTED
from keys.models.policies import MAX_DAYS, MAX_PATTERN, LeakAction
from keys.roles import Permission
from keys.services.policies import KEYS_SHOWN


class CodesField(serializers.ListField):
    """Codes of scopes, in alphabetical order."""

    child = Text(max_length=100)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=1000, **kwargs)

    def to_representation(self, data: Any) -> list[str]:
        return super().to_representation(sorted(data))


def _days(text: str) -> Integer:
    return Integer(min_value=1, max_value=MAX_DAYS, allow_null=True, required=False, help_text=text)


class RoleTermsSerializer(Body):
    """What holds for the members of one role, and for keys that act for them."""

    role = VisibleNameField(slug_field="name", queryset=Role.objects.all())
    key_scope = CodesField(
        source="scopes",
        required=False,
        help_text="The scopes that they may give to keys; none: whatever they hold.",
    )
    approval_scope = CodesField(
        source="approval_scopes",
        required=False,
        help_text="Somebody else approves keys with these.",
    )
    approval_days = _days("Somebody else approves keys that live longer.")

    def to_internal_value(self, data: Any) -> rules.RoleTerms:
        values = super().to_internal_value(data)
        if "role" not in values:  # in a PATCH nothing is required
            message = self.fields["role"].error_messages["required"]
            raise serializers.ValidationError({"role": [message]}, code="required")
        return rules.RoleTerms(
            values["role"],
            frozenset(values.get("scopes", ())),
            frozenset(values.get("approval_scopes", ())),
            values.get("approval_days"),
        )


class PolicySerializer(Body):
    """What an organization demands of its keys and of those who issue them."""

    person_key_days = _days("Keys of people live at most so long.")
    shared_key_days = _days("Keys of the organization live at most so long.")
    confined_scopes = CodesField(
        required=False, help_text="Keys with one of these scopes need allowed IPs."
    )
    name_pattern = Text(
        max_length=MAX_PATTERN,
        allow_blank=True,
        trim_whitespace=False,
        required=False,
        help_text="Of the names of keys: `*` is any text, `?` one character.",
    )
    idle_days = _days("Keys that were not used for so long are disabled.")
    requires_second_factor = Flag(required=False)
    leak_action = serializers.ChoiceField(LeakAction.choices, required=False)
    two_person_rule = Flag(required=False, help_text="It takes two people to give MANAGE.")
    roles = RoleTermsSerializer(
        many=True, required=False, help_text="Replaces what holds for all roles."
    )


class BreakingKeySerializer(serializers.Serializer):
    """A key that does not fit, by its number and name."""

    id = serializers.IntegerField(read_only=True)
    key_name = serializers.CharField(source="name", read_only=True)


class BreakingKeysSerializer(serializers.Serializer):
    """How many keys do not fit, and the first of them."""

    count = serializers.IntegerField(
        read_only=True, help_text=f"{MOST_COUNTED + 1}: more than {MOST_COUNTED}."
    )
    keys = BreakingKeySerializer(
        source="rows", many=True, read_only=True, help_text=f"At most {KEYS_SHOWN}."
    )


class BreachSerializer(serializers.Serializer):
    """A rule, and the keys that break it."""

    rule = serializers.ChoiceField(
        [(rule.name, rule.name) for rule in rules.RULES.values()],
        source="rule.name",
        read_only=True,
    )
    broken_by = BreakingKeysSerializer(source="keys", read_only=True)


class PolicyPreviewSerializer(serializers.Serializer):
    """What a policy would mean for the keys that there are, of those that the caller sees."""

    breaches = BreachSerializer(
        many=True,
        read_only=True,
        help_text="Keys that break a rule go on working until somebody changes them.",
    )
    idle = BreakingKeysSerializer(
        read_only=True, help_text="Keys that would be disabled for lying idle."
    )


class PolicyViewSet(Native, GenericViewSet):
    """The policy of the organization in which the credential acts."""

    serializer_class = PolicySerializer
    queryset = Organization.objects.none()
    permissions = {
        "retrieve": Permission.VIEW_ORGANIZATION,
        "partial_update": Permission.CHANGE_ORGANIZATION,
        "preview": Permission.CHANGE_ORGANIZATION,
    }

    @cached_property
    def organization(self) -> Organization:
        """The organization in the path, if the caller may see it."""
        organizations = policy.visible(self.request.user, Organization.objects.all())
        return get_object_or_404(organizations, pk=self.kwargs["organization_id"])

    def error_serializer(self) -> serializers.BaseSerializer | None:
        return self.get_serializer()

    @extend_schema(operation_id="policy_retrieve", summary="Read the policy")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read what the organization demands."""
        return Response(self.get_serializer(rules.rules_of(self.organization)).data)

    @extend_schema(operation_id="policy_partial_update", summary="Change the policy")
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what the organization demands. Keys that there are go on working."""
        changes = self._read_changes()
        changed = services.update_policy(
            actor=request.user, organization=self.organization, **changes
        )
        return Response(self.get_serializer(changed).data)

    @extend_schema(
        operation_id="policy_preview",
        summary="See which keys would break a policy",
        responses=PolicyPreviewSerializer,
    )
    def preview(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Say which keys would not fit, with the body that would change it. Nothing changes."""
        changes = self._read_changes()
        plan = services.plan_policy(actor=request.user, organization=self.organization, **changes)
        return Response(PolicyPreviewSerializer(plan).data)

    def _read_changes(self) -> dict[str, Any]:
        self.check_object_permissions(self.request, self.organization)
        found = rules.rules_of(self.organization)
        serializer = self.get_serializer(found, data=self.request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data


_POLICY = rf"v1/organizations/(?P<organization_id>{NUMBER})/policy"

urlpatterns = [
    route(_POLICY, PolicyViewSet.as_view({"get": "retrieve", "patch": "partial_update"}), "policy"),
    route(rf"{_POLICY}/preview", PolicyViewSet.as_view({"post": "preview"}), "policy-preview"),
]
