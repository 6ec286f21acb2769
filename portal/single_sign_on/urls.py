"""Where people leave for the provider, where it sends them back to, and ends their sessions."""

from django.urls import path

from portal.single_sign_on import views

urlpatterns = [
    path("sso/login/", views.login, name="single_sign_on_login"),
    path("sso/callback/", views.callback, name="single_sign_on_callback"),
    path("sso/logout/", views.logout, name="single_sign_on_logout"),
    path("sso/confirm/", views.confirm, name="single_sign_on_confirm"),
]
