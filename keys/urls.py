"""The pages' addresses."""

from django.urls import URLPattern, URLResolver, include, path

from keys.views import (
    audit,
    bulk,
    editing,
    explain,
    home,
    hygiene,
    issuing,
    key_access,
    key_changes,
    key_detail,
    key_export,
    key_history,
    key_list,
    members,
    organization,
    roles,
    scopes,
    server_addresses,
    shared_secret,
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
    path("first-use/", issuing.first_use, name="first-use"),
    path("disable/", key_changes.key_disable, name="disable"),
    path("enable/", key_changes.key_enable, name="enable"),
    path("revoke/", key_changes.key_revoke, name="revoke"),
    path("lock/", key_changes.key_lock, name="lock"),
    path("unlock/", key_changes.key_unlock, name="unlock"),
    path("secrets/<int:secret>/retire/", key_changes.key_retire, name="retire"),
    path("secrets/<int:secret>/quiet/", key_changes.key_quiet, name="quiet"),
]

settings_urls: list[URLPattern | URLResolver] = [
    path("", organization.organization_settings, name="settings"),
    path("shared-secret/", shared_secret.shared_secret, name="shared-secret"),
    path("members/", members.members, name="members"),
    path("members/leave/", members.leave, name="leave"),
    path("members/<int:member_id>/edit/", members.member_edit, name="member-edit"),
    path("members/<int:member_id>/remove/", members.member_remove, name="member-remove"),
    path("roles/", roles.roles, name="roles"),
    path("roles/new/", roles.role_create, name="role-create"),
    path("roles/<int:role_id>/edit/", roles.role_edit, name="role-edit"),
    path("roles/<int:role_id>/delete/", roles.role_delete, name="role-delete"),
    path("scopes/new/", scopes.scope_create, name="scope-create"),
    path("scopes/<int:scope_id>/edit/", scopes.scope_edit, name="scope-edit"),
    path("scopes/<int:scope_id>/delete/", scopes.scope_delete, name="scope-delete"),
    path("workspaces/", workspaces.workspaces, name="workspaces"),
    path("workspaces/<uuid:workspace_id>/edit/", workspaces.workspace_edit, name="workspace-edit"),
    path(
        "workspaces/<uuid:workspace_id>/delete/",
        workspaces.workspace_delete,
        name="workspace-delete",
    ),
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

organization_urls: list[URLPattern | URLResolver] = [
    path("", home.organization_overview, name="overview"),
    path("explain/", explain.explain, name="explain"),
    path("hygiene/", hygiene.hygiene_overview, name="hygiene"),
    path("hygiene/<slug:check>/", hygiene.hygiene_check, name="hygiene-check"),
    path("settings/", include(settings_urls)),
    path("audit/", audit.audit_trail, name="audit"),
    path("audit/export/", audit.audit_export, name="audit-export"),
    path("keys/", key_list.key_list, name="list"),
    path("keys/search/", key_list.key_search, name="search"),
    path("keys/export/", key_export.key_export, name="export"),
    path("keys/bulk/", bulk.key_bulk, name="bulk"),
    path("keys/new/", issuing.key_create, name="create"),
    path("keys/<slug:identifier>/", include(key_urls)),
]

urlpatterns = [
    path("", home.home, name="home"),
    path("organizations/<slug:organization>/", include(organization_urls)),
]
