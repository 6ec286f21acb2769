"""The staff door: what staff of the installation see and do, through policy and services.

Keys are looked at, locked, unlocked and revoked here; people issue and change them on
the pages, so that no secret ever passes through this door.
"""

from allauth.account.admin import EmailAddress
from allauth.account.decorators import secure_admin_login
from allauth.mfa.admin import Authenticator
from allauth.usersessions.admin import UserSession
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from keys.admin import api_keys, audit_events, organizations, people

__all__ = ["api_keys", "audit_events", "organizations", "people"]


def _change_own_password(request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
    return redirect("account_change_password")


admin.site.site_header = _("Keyhaven staff")
admin.site.site_title = _("Keyhaven staff")
admin.site.index_title = _("Installation")
# One sign-in and one place for one's own password, with the rules of the accounts pages.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.password_change = _change_own_password  # type: ignore[method-assign]
# What people may do is in their role in an organization; groups would do nothing.
admin.site.unregister(Group)
# What people prove themselves with is theirs; a change here would pass the audit trail by.
admin.site.unregister([EmailAddress, Authenticator, UserSession])
