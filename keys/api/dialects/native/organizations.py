"""The credential's organization: workspaces, scopes, roles, members and server addresses."""

from typing import Any

from django.core.exceptions import ValidationError as DomainError
from django.db.models import F, QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.generics import get_object_or_404

from keys import policy, services
from keys.api.dialects.native.dialect import (
    COLLECTION,
    ITEM,
    NUMBER,
    UUID,
    Body,
    ResourceViewSet,
    VisibleNameField,
)
from keys.api.dialects.native.rate_limits import RateLimitSerializer
from keys.api.fields import Text
from keys.api.views import route
from keys.models import (
    Invitation,
    Membership,
    Organization,
    Role,
    Scope,
    ServerAddress,
    Workspace,
)
from keys.models.organizations import LimiterFailure
from keys.orderings import Ordering
from keys.roles import Permission


class OrganizationSerializer(Body):
    """An organization."""

    id = serializers.IntegerField(read_only=True)
    name = Text(max_length=120)
    slug = serializers.CharField(read_only=True)
    suspended_at = serializers.DateTimeField(read_only=True, allow_null=True)
    rate_limits = RateLimitSerializer(
        many=True, required=False, help_text="Of all its keys together, beside each key's own."
    )
    limiter_failure = serializers.ChoiceField(
        LimiterFailure.choices,
        required=False,
        help_text="What becomes of rate-limited keys while nothing can count them.",
    )
    created_at = serializers.DateTimeField(read_only=True)


class OrganizationViewSet(ResourceViewSet):
    """The organization in which the credential acts."""

    serializer_class = OrganizationSerializer
    queryset = Organization.objects.prefetch_related("rate_limits")
    lookup_url_kwarg = "organization_id"
    permissions = {
        "list": Permission.VIEW_ORGANIZATION,
        "retrieve": Permission.VIEW_ORGANIZATION,
        "partial_update": Permission.CHANGE_ORGANIZATION,
    }

    def change(self, row: Organization, **changes: Any) -> Organization:
        return services.update_organization(actor=self.request.user, organization=row, **changes)


class ServerAddressSerializer(Body):
    """An address of the organization's servers."""

    id = serializers.IntegerField(read_only=True)
    network = Text(max_length=100)
    comment = Text(max_length=200, required=False, allow_blank=True)
    created_at = serializers.DateTimeField(read_only=True)


class ServerAddressViewSet(ResourceViewSet):
    """The addresses that keys with `assign_server_ips` may be used from."""

    serializer_class = ServerAddressSerializer
    queryset = ServerAddress.objects.select_related("organization")
    lookup_url_kwarg = "server_address_id"
    permissions = {
        "list": Permission.VIEW_ORGANIZATION,
        "retrieve": Permission.VIEW_ORGANIZATION,
        "create": Permission.CHANGE_ORGANIZATION,
        "destroy": Permission.CHANGE_ORGANIZATION,
    }

    @cached_property
    def organization(self) -> Organization:
        """The organization in the path, if the caller may see it."""
        organizations = policy.visible(self.request.user, Organization.objects.all())
        return get_object_or_404(organizations, pk=self.kwargs["organization_id"])

    def get_queryset(self) -> QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return super().get_queryset().filter(organization=self.organization)

    def add(self, **data: Any) -> ServerAddress:
        return services.add_server_address(
            actor=self.request.user, organization=self.organization, **data
        )

    def remove(self, row: ServerAddress) -> None:
        services.remove_server_address(actor=self.request.user, server_address=row)


class WorkspaceSerializer(Body):
    """A part of an organization in which keys are grouped."""

    id = serializers.UUIDField(read_only=True)
    name = Text(max_length=120)
    organization_id = serializers.IntegerField(read_only=True)
    is_default = serializers.BooleanField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)


class WorkspaceViewSet(ResourceViewSet):
    """The workspaces of the organization."""

    serializer_class = WorkspaceSerializer
    queryset = Workspace.objects.select_related("organization")
    ordering = Ordering("", lambda: F("created_at"))
    lookup_url_kwarg = "workspace_id"
    permissions = {
        "list": Permission.VIEW_WORKSPACE,
        "retrieve": Permission.VIEW_WORKSPACE,
        "create": Permission.ADD_WORKSPACE,
        "partial_update": Permission.CHANGE_WORKSPACE,
        "destroy": Permission.DELETE_WORKSPACE,
    }

    def add(self, **data: Any) -> Workspace:
        return services.create_workspace(
            actor=self.request.user, organization=self.organization, **data
        )

    def change(self, row: Workspace, **changes: Any) -> Workspace:
        return services.update_workspace(actor=self.request.user, workspace=row, **changes)

    def remove(self, row: Workspace) -> None:
        services.delete_workspace(actor=self.request.user, workspace=row)


class ScopeSerializer(Body):
    """Something that a key or a role may hold. Its code is for good."""

    id = serializers.IntegerField(read_only=True)
    code = Text(max_length=100)
    description = Text(max_length=200, required=False, allow_blank=True)
    is_built_in = serializers.BooleanField(read_only=True)

    def validate_code(self, code: str) -> str:
        if self.instance and code != self.instance.code:
            raise serializers.ValidationError(
                _("The code is what services ask for; it does not change.")
            )
        return code


class ScopeViewSet(ResourceViewSet):
    """The built-in scopes and those that the organization defines."""

    serializer_class = ScopeSerializer
    queryset = Scope.objects.select_related("organization")
    lookup_url_kwarg = "scope_id"
    permissions = {
        "list": Permission.VIEW_SCOPE,
        "retrieve": Permission.VIEW_SCOPE,
        "create": Permission.ADD_SCOPE,
        "partial_update": Permission.CHANGE_SCOPE,
        "destroy": Permission.DELETE_SCOPE,
    }

    def add(self, **data: Any) -> Scope:
        return services.create_scope(
            actor=self.request.user, organization=self.organization, **data
        )

    def change(self, row: Scope, **changes: Any) -> Scope:
        changes.pop("code", None)
        return services.update_scope(actor=self.request.user, scope=row, **changes)

    def remove(self, row: Scope) -> None:
        services.delete_scope(actor=self.request.user, scope=row)


@extend_schema_field(serializers.ListField(child=serializers.CharField()))
class ScopeRows(serializers.Field):
    """Scopes by their codes, as rows of the organization or built in."""

    def get_attribute(self, instance: Role) -> list[str]:
        return [scope.code for scope in instance.scopes.all()]

    def to_internal_value(self, data: Any) -> list[Scope]:
        child = Text(max_length=100)
        codes = serializers.ListField(child=child, max_length=1000).run_validation(data)
        rows = policy.visible(self.context["request"].user, Scope.objects.filter(code__in=codes))
        unknown = set(codes) - {row.code for row in rows}
        if unknown:
            raise serializers.ValidationError(
                _("Unknown scope: %(codes)s.") % {"codes": ", ".join(sorted(unknown))}
            )
        return list(rows)

    def to_representation(self, value: list[str]) -> list[str]:
        return value


class RoleSerializer(Body):
    """A named bundle of scopes."""

    id = serializers.IntegerField(read_only=True)
    name = Text(max_length=60)
    number = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    description = Text(max_length=200, required=False, allow_blank=True)
    key_scope = ScopeRows(source="scopes", required=False)
    is_built_in = serializers.BooleanField(read_only=True)

    def validate_number(self, number: int) -> int:
        if self.instance and number != self.instance.number:
            raise serializers.ValidationError(_("The number of a role does not change."))
        return number


class RoleViewSet(ResourceViewSet):
    """The built-in roles and those that the organization defines."""

    serializer_class = RoleSerializer
    queryset = Role.objects.select_related("organization").prefetch_related("scopes")
    lookup_url_kwarg = "role_id"
    permissions = {
        "list": Permission.VIEW_ROLE,
        "retrieve": Permission.VIEW_ROLE,
        "create": Permission.ADD_ROLE,
        "partial_update": Permission.CHANGE_ROLE,
        "destroy": Permission.DELETE_ROLE,
    }

    def add(self, **data: Any) -> Role:
        return services.create_role(actor=self.request.user, organization=self.organization, **data)

    def change(self, row: Role, **changes: Any) -> Role:
        changes.pop("number", None)
        return services.update_role(actor=self.request.user, role=row, **changes)

    def remove(self, row: Role) -> None:
        services.delete_role(actor=self.request.user, role=row)


class MemberSerializer(Body):
    """That a person belongs to the organization, in which role."""

    id = serializers.IntegerField(read_only=True)
    user_id = serializers.IntegerField(read_only=True)
    email = serializers.EmailField(source="user.email", read_only=True)
    name = serializers.CharField(source="user.display_name", read_only=True)
    role = VisibleNameField(slug_field="name", queryset=Role.objects.all())
    is_owner = serializers.BooleanField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)


class MemberViewSet(ResourceViewSet):
    """The people of the organization. They join by accepting an invitation."""

    serializer_class = MemberSerializer
    queryset = Membership.objects.select_related("organization", "user", "role")
    lookup_url_kwarg = "member_id"
    permissions = {
        "list": Permission.VIEW_MEMBERSHIP,
        "retrieve": Permission.VIEW_MEMBERSHIP,
        "partial_update": Permission.CHANGE_MEMBERSHIP,
        "destroy": Permission.DELETE_MEMBERSHIP,
    }

    def change(self, row: Membership, **changes: Any) -> Membership:
        return services.update_member(actor=self.request.user, membership=row, **changes)

    def remove(self, row: Membership) -> None:
        services.remove_member(actor=self.request.user, membership=row)


class InvitationSerializer(Body):
    """That an address was asked to join the organization, in which role."""

    id = serializers.IntegerField(read_only=True)
    email = serializers.EmailField(max_length=254)
    role = VisibleNameField(slug_field="name", queryset=Role.objects.all())
    is_owner = serializers.BooleanField(read_only=True)
    invited_by = serializers.CharField(source="inviter", read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True)


class InvitationViewSet(ResourceViewSet):
    """Invitations that nobody answered. Creating one sends a mail, again if it was there."""

    serializer_class = InvitationSerializer
    queryset = Invitation.objects.unanswered().select_related(
        "organization", "role", "invited_by", "invited_by_key"
    )
    lookup_url_kwarg = "invitation_id"
    permissions = {
        "list": Permission.VIEW_INVITATION,
        "retrieve": Permission.VIEW_INVITATION,
        "create": Permission.ADD_MEMBERSHIP,
        "destroy": Permission.DELETE_INVITATION,
    }

    def add(self, *, email: str, role: Role) -> Invitation:
        try:
            [invitation] = services.invite(
                actor=self.request.user, organization=self.organization, emails=[email], role=role
            )
        except DomainError as problems:
            raise _at(problems, emails="email") from None
        return invitation

    def remove(self, row: Invitation) -> None:
        services.revoke_invitation(actor=self.request.user, invitation=row)


def _at(problems: DomainError, **names: str) -> DomainError:
    """Return the problems under the names that fields have here."""
    return DomainError({names.get(key, key): value for key, value in problems.error_dict.items()})


_ORGANIZATION = rf"v1/organizations/(?P<organization_id>{NUMBER})"

urlpatterns = [
    route(r"v1/organizations", OrganizationViewSet.as_view({"get": "list"}), "organization-list"),
    route(
        _ORGANIZATION,
        OrganizationViewSet.as_view({"get": "retrieve", "patch": "partial_update"}),
        "organization-detail",
    ),
    route(
        rf"{_ORGANIZATION}/server-addresses",
        ServerAddressViewSet.as_view(COLLECTION),
        "server-address-list",
    ),
    route(
        rf"{_ORGANIZATION}/server-addresses/(?P<server_address_id>{NUMBER})",
        ServerAddressViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        "server-address-detail",
    ),
    route(r"v1/workspaces", WorkspaceViewSet.as_view(COLLECTION), "workspace-list"),
    route(
        rf"v1/workspaces/(?P<workspace_id>{UUID})",
        WorkspaceViewSet.as_view(ITEM),
        "workspace-detail",
    ),
    route(r"v1/scopes", ScopeViewSet.as_view(COLLECTION), "scope-list"),
    route(rf"v1/scopes/(?P<scope_id>{NUMBER})", ScopeViewSet.as_view(ITEM), "scope-detail"),
    route(r"v1/roles", RoleViewSet.as_view(COLLECTION), "role-list"),
    route(rf"v1/roles/(?P<role_id>{NUMBER})", RoleViewSet.as_view(ITEM), "role-detail"),
    route(r"v1/members", MemberViewSet.as_view({"get": "list"}), "member-list"),
    route(rf"v1/members/(?P<member_id>{NUMBER})", MemberViewSet.as_view(ITEM), "member-detail"),
    route(r"v1/invitations", InvitationViewSet.as_view(COLLECTION), "invitation-list"),
    route(
        rf"v1/invitations/(?P<invitation_id>{NUMBER})",
        InvitationViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        "invitation-detail",
    ),
]
