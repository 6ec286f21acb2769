"""Where each door is: staff, accounts, the API's dialects, the pages."""

from allauth.urls import urlpatterns as account_urls
from django.contrib.auth.decorators import login_not_required
from django.templatetags.static import static
from django.urls import include, path
from django.utils.functional import lazy
from django.views.generic import RedirectView
from django.views.i18n import set_language

from keys.admin.site import staff
from keys.views import step_up

# Browsers ask for it on pages without an icon of their own (the admin).
favicon = login_not_required(RedirectView.as_view(url=lazy(static, str)("keys/icon.svg")))

staff_urls = staff.urls
step_up.guard_changes(staff_urls[0])
step_up.guard_accounts(account_urls)

urlpatterns = [
    path("favicon.ico", favicon),
    path("admin/", staff_urls),
    path("status/", staff.admin_view(staff.status), name="status"),
    path("accounts/", include(account_urls)),
    path("language/", login_not_required(set_language), name="set_language"),
    path("", include("keys.api.urls")),
    path("", include("keys.urls")),
]

handler400 = "portal.errors.bad_request"
handler403 = "portal.errors.permission_denied"
handler404 = "portal.errors.not_found"
handler500 = "portal.errors.server_error"
