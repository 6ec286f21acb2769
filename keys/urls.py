"""The pages' addresses."""

from django.urls import URLPattern, URLResolver, include, path

from keys.views import (
    audit,
    editing,
    home,
    hygiene,
    issuing,
    key_changes,
    key_detail,
    key_list,
    organization,
    server_addresses,
    shared_secret,
)

app_name = "keys"

key_urls: list[URLPattern | URLResolver] = [
    path("", key_detail.key_detail, name="detail"),
    path("edit/", editing.key_edit, name="edit"),
    path("rotate/", issuing.key_rotate, name="rotate"),
    path("first-use/", issuing.first_use, name="first-use"),
    path("disable/", key_changes.key_disable, name="disable"),
    path("enable/", key_changes.key_enable, name="enable"),
    path("revoke/", key_changes.key_revoke, name="revoke"),
    path("lock/", key_changes.key_lock, name="lock"),
    path("unlock/", key_changes.key_unlock, name="unlock"),
    path("secrets/<int:secret>/retire/", key_changes.key_retire, name="retire"),
]

organization_urls: list[URLPattern | URLResolver] = [
    path("", home.organization_overview, name="overview"),
    path("hygiene/", hygiene.hygiene_overview, name="hygiene"),
    path("hygiene/<slug:check>/", hygiene.hygiene_check, name="hygiene-check"),
    path("settings/", organization.organization_settings, name="settings"),
    path("audit/", audit.audit_trail, name="audit"),
    path("audit/export/", audit.audit_export, name="audit-export"),
    path("shared-secret/", shared_secret.shared_secret, name="shared-secret"),
    path("server-addresses/", server_addresses.server_addresses, name="server-addresses"),
    path(
        "server-addresses/<int:server_address_id>/remove/",
        server_addresses.server_address_remove,
        name="server-address-remove",
    ),
    path("keys/", key_list.key_list, name="list"),
    path("keys/search/", key_list.key_search, name="search"),
    path("keys/new/", issuing.key_create, name="create"),
    path("keys/<slug:identifier>/", include(key_urls)),
]

urlpatterns = [
    path("", home.home, name="home"),
    path("organizations/<slug:organization>/", include(organization_urls)),
]
