"""Keyhaven's own: what each operation does, in a line; all else is told by its serializers."""

from drf_spectacular.utils import extend_schema, extend_schema_view

from keys.api.dialects.native import (
    approvals,
    audit,
    holder,
    keys,
    leaks,
    organizations,
    verification,
    webhooks,
)

_SUMMARIES: dict[type, dict[str, str]] = {
    keys.NativeKeyViewSet: {
        "list": "List keys",
        "create": "Issue a key",
        "retrieve": "Read a key",
        "partial_update": "Change a key",
        "destroy": "Revoke a key",
    },
    keys.AllowedIPViewSet: {
        "list": "List from where a key may be used",
        "create": "Allow or deny an address or range",
        "retrieve": "Read an address or range",
        "partial_update": "Change an address or range",
        "destroy": "Remove an address or range",
    },
    keys.SecretViewSet: {"list": "List the secrets of a key", "destroy": "Stop a secret"},
    approvals.ApprovalRequestViewSet: {
        "list": "List requests for approval",
        "create": "Ask for approval",
        "retrieve": "Read a request for approval",
    },
    audit.AuditEventViewSet: {"list": "List audit events", "retrieve": "Read an audit event"},
    organizations.MemberViewSet: {
        "list": "List members",
        "retrieve": "Read a member",
        "partial_update": "Change a member",
        "destroy": "Remove a member",
    },
    organizations.InvitationViewSet: {
        "list": "List invitations",
        "create": "Invite somebody by mail",
        "retrieve": "Read an invitation",
        "destroy": "Take an invitation back",
    },
    organizations.OrganizationViewSet: {
        "list": "List the organization",
        "retrieve": "Read the organization",
        "partial_update": "Change the organization",
    },
    organizations.ServerAddressViewSet: {
        "list": "List server addresses",
        "create": "Add a server address",
        "retrieve": "Read a server address",
        "destroy": "Remove a server address",
    },
    organizations.RoleViewSet: {
        "list": "List roles",
        "create": "Define a role",
        "retrieve": "Read a role",
        "partial_update": "Change a role",
        "destroy": "Delete a role",
    },
    organizations.ScopeViewSet: {
        "list": "List scopes",
        "create": "Define a scope",
        "retrieve": "Read a scope",
        "partial_update": "Change a scope",
        "destroy": "Delete a scope",
    },
    organizations.WorkspaceViewSet: {
        "list": "List workspaces",
        "create": "Add a workspace",
        "retrieve": "Read a workspace",
        "partial_update": "Rename a workspace",
        "destroy": "Delete a workspace",
    },
    verification.VerifyView: {"post": "Verify a key, or several"},
    holder.OwnKeyView: {"get": "Read the presented key"},
    webhooks.WebhookViewSet: {
        "list": "List webhooks",
        "create": "Add a webhook",
        "retrieve": "Read a webhook",
        "partial_update": "Change a webhook",
        "destroy": "Delete a webhook",
    },
    webhooks.DeliveryViewSet: {"list": "List what was sent", "retrieve": "Read what was sent"},
    leaks.LeaksView: {"post": "Hand in a key that was found"},
    verification.AuthView: {"get": "Let a request pass or not"},
}

for _view, _summaries in _SUMMARIES.items():
    extend_schema_view(
        **{name: extend_schema(summary=summary) for name, summary in _summaries.items()}
    )(_view)
