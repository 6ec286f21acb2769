"""The pages' addresses."""

from django.urls import URLPattern, URLResolver, include, path

from keys import views

app_name = "keys"

key_urls: list[URLPattern | URLResolver] = [
    path("", views.key_detail, name="detail"),
    path("edit/", views.key_edit, name="edit"),
    path("rotate/", views.key_rotate, name="rotate"),
    path("disable/", views.key_disable, name="disable"),
    path("enable/", views.key_enable, name="enable"),
    path("revoke/", views.key_revoke, name="revoke"),
    path("lock/", views.key_lock, name="lock"),
    path("unlock/", views.key_unlock, name="unlock"),
    path("secrets/<int:secret>/retire/", views.key_retire, name="retire"),
]

organization_urls: list[URLPattern | URLResolver] = [
    path("", views.organization_overview, name="overview"),
    path("shared-secret/", views.shared_secret, name="shared-secret"),
    path("server-addresses/", views.server_addresses, name="server-addresses"),
    path(
        "server-addresses/<int:server_address_id>/remove/",
        views.server_address_remove,
        name="server-address-remove",
    ),
    path("keys/", views.key_list, name="list"),
    path("keys/search/", views.key_search, name="search"),
    path("keys/new/", views.key_create, name="create"),
    path("keys/<slug:identifier>/", include(key_urls)),
]

urlpatterns = [
    path("", views.home, name="home"),
    path("organizations/<slug:organization>/", include(organization_urls)),
]
