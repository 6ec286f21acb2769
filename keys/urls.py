"""The pages' addresses."""

from django.urls import URLPattern, URLResolver, include, path

from keys.views import (
    approvals,
    audit,
    bulk,
    editing,
    explain,
    handing_over,
    home,
    hygiene,
    importing,
    invitations,
    issuing,
    key_access,
    key_changes,
    key_detail,
    key_export,
    key_history,
    key_list,
    leaks,
    members,
    notifications,
    organization,
    own_name,
    own_sessions,
    permissions,
    policies,
    roles,
    scopes,
    server_addresses,
    shared_secret,
    step_up,
    webhooks,
    workspaces,
)

app_name = "keys"

key_urls: list[URLPattern | URLResolver] = [
    path("", key_detail.key_detail, name="detail"),
    path("limits/", key_detail.key_limits, name="limits"),
    path("access/", key_access.key_access, name="access"),
    path("access/<int:allowed_ip>/remove/", key_access.allowed_ip_remove, name="allowed-ip-remove"),
    path("access/<int:allowed_ip>/switch/", key_access.allowed_ip_switch, name="allowed-ip-switch"),
    path("rotation/", key_detail.key_rotation, name="rotation"),
    path("activity/", key_history.key_activity, name="activity"),
    path("audit/", key_history.key_audit, name="key-audit"),
    path("danger/", key_detail.key_danger, name="danger"),
    path("print/", key_detail.key_print, name="print"),
    path("edit/", editing.key_edit, name="edit"),
    path("rotate/", issuing.key_rotate, name="rotate"),
    path("hand-over/", handing_over.key_hand_over, name="hand-over"),
    path("first-use/", issuing.first_use, name="first-use"),
    path("disable/", key_changes.key_disable, name="disable"),
    path("enable/", key_changes.key_enable, name="enable"),
    path("revoke/", key_changes.key_revoke, name="revoke"),
    path("revoke-everywhere/", key_changes.key_revoke_everywhere, name="revoke-everywhere"),
    path("lock/", key_changes.key_lock, name="lock"),
    path("unlock/", key_changes.key_unlock, name="unlock"),
    path("secrets/<int:secret>/retire/", key_changes.key_retire, name="retire"),
    path("secrets/<int:secret>/quiet/", key_changes.key_quiet, name="quiet"),
]

settings_urls: list[URLPattern | URLResolver] = [
    path("", organization.organization_settings, name="settings"),
    path("policies/", policies.organization_policy, name="policy"),
    path("shared-secret/", shared_secret.shared_secret, name="shared-secret"),
    path("members/", members.members, name="members"),
    path("members/leave/", members.leave, name="leave"),
    path("members/<int:member_id>/edit/", members.member_edit, name="member-edit"),
    path("members/<int:member_id>/transfer/", members.member_transfer, name="member-transfer"),
    path("members/<int:member_id>/hand-over/", handing_over.member_hand_over, name="member-keys"),
    path("members/<int:member_id>/remove/", members.member_remove, name="member-remove"),
    path(
        "invitations/<int:invitation_id>/resend/",
        invitations.invitation_resend,
        name="invitation-resend",
    ),
    path(
        "invitations/<int:invitation_id>/revoke/",
        invitations.invitation_revoke,
        name="invitation-revoke",
    ),
    path("roles/", roles.roles, name="roles"),
    path("roles/new/", roles.role_create, name="role-create"),
    path("roles/<int:role_id>/edit/", roles.role_edit, name="role-edit"),
    path("roles/<int:role_id>/delete/", roles.role_delete, name="role-delete"),
    path("scopes/new/", scopes.scope_create, name="scope-create"),
    path("scopes/<int:scope_id>/edit/", scopes.scope_edit, name="scope-edit"),
    path("scopes/<int:scope_id>/delete/", scopes.scope_delete, name="scope-delete"),
    path("permissions/", permissions.permissions, name="permissions"),
    path("workspaces/", workspaces.workspaces, name="workspaces"),
    path("workspaces/<uuid:workspace_id>/edit/", workspaces.workspace_edit, name="workspace-edit"),
    path(
        "workspaces/<uuid:workspace_id>/delete/",
        workspaces.workspace_delete,
        name="workspace-delete",
    ),
    path("import/", importing.key_import, name="import"),
    path("server-addresses/", server_addresses.server_addresses, name="server-addresses"),
    path(
        "server-addresses/<int:server_address_id>/edit/",
        server_addresses.server_address_edit,
        name="server-address-edit",
    ),
    path(
        "server-addresses/<int:server_address_id>/remove/",
        server_addresses.server_address_remove,
        name="server-address-remove",
    ),
]

webhook_urls: list[URLPattern | URLResolver] = [
    path("", webhooks.webhook_detail, name="webhook"),
    path("edit/", webhooks.webhook_edit, name="webhook-edit"),
    path("switch/", webhooks.webhook_switch, name="webhook-switch"),
    path("delete/", webhooks.webhook_delete, name="webhook-delete"),
    path("secret/", webhooks.webhook_rotate, name="webhook-rotate"),
    path("test/", webhooks.webhook_test, name="webhook-test"),
    path("deliveries/<int:delivery_id>/", webhooks.webhook_delivery, name="webhook-delivery"),
]

organization_urls: list[URLPattern | URLResolver] = [
    path("", home.organization_overview, name="overview"),
    path("explain/", explain.explain, name="explain"),
    path("hygiene/", hygiene.hygiene_overview, name="hygiene"),
    path("hygiene/<slug:check>/", hygiene.hygiene_check, name="hygiene-check"),
    path("settings/webhooks/", webhooks.webhooks, name="webhooks"),
    path("settings/webhooks/<int:webhook_id>/", include(webhook_urls)),
    path("settings/", include(settings_urls)),
    path("leaks/", leaks.leak_reports, name="leaks"),
    path("leaks/<int:report_id>/settle/", leaks.leak_settle, name="leak-settle"),
    path("approvals/", approvals.approvals, name="approvals"),
    path("approvals/<int:approval_id>/", approvals.approval, name="approval"),
    path("approvals/<int:approval_id>/issue/", approvals.approval_issue, name="approval-issue"),
    path(
        "approvals/members/<int:member_id>/roles/<int:role_id>/",
        approvals.role_ask,
        name="role-ask",
    ),
    path("audit/", audit.audit_trail, name="audit"),
    path("audit/export/", audit.audit_export, name="audit-export"),
    path("audit/export/lines/", audit.audit_export_lines, name="audit-export-lines"),
    path("keys/", key_list.key_list, name="list"),
    path("keys/search/", key_list.key_search, name="search"),
    path("keys/export/", key_export.key_export, name="export"),
    path("keys/bulk/", bulk.key_bulk, name="bulk"),
    path("keys/new/", issuing.key_create, name="create"),
    path("keys/<slug:identifier>/", include(key_urls)),
]

step_up.guard(organization_urls)

urlpatterns = [
    path("", home.home, name="home"),
    path("found/", leaks.found, name="found"),
    path("found/rules/<slug:scanner>/", leaks.scanner_rules, name="scanner-rules"),
    path("accounts/notifications/", notifications.notifications, name="notifications"),
    path("accounts/name/", own_name.own_name, name="own-name"),
    path(
        "accounts/sessions/<int:session_id>/end/", own_sessions.session_end, name="session-end"
    ),
    # Beside the account pages, which no cache keeps.
    path("accounts/invitation/", invitations.invitation, name="invitation"),
    path("accounts/invitation/<str:token>/", invitations.invitation_link, name="invitation-link"),
    path("organizations/<slug:organization>/", include(organization_urls)),
]
