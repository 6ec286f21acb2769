"""The staff door itself: its sign-in, its first page, and the pages that are of no one model."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _

from keys.admin import dashboard, report_pages, search, status


class StaffOnlyError(PermissionDenied):
    """Somebody who is not staff is signed in and wants a page that only staff see."""


class StaffSite(admin.AdminSite):
    """Django's admin, entered through the one sign-in, with what staff look for first.

    It shows what is registered with it and nothing that packages register for themselves:
    what people prove themselves with is theirs, and groups would do nothing here.
    """

    site_header = _("Keyhaven staff")
    site_title = _("Keyhaven staff")
    index_title = _("Installation")
    # The lists are tabs of every page.
    enable_nav_sidebar = False

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            path("search/", self.admin_view(self.search), name="search"),
            path("reports/", self.admin_view(self.report_list), name="reports"),
            path("reports/<slug:report>/", self.admin_view(self.report), name="report"),
            path("reports/<slug:report>.csv", self.admin_view(self.report_csv), name="report-csv"),
            *super().get_urls(),
        ]

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.user.is_authenticated and not self.has_permission(request):
            raise StaffOnlyError
        return self._sign_in(request, extra_context)

    @method_decorator(secure_admin_login)
    def _sign_in(self, request: HttpRequest, extra_context: dict[str, Any] | None) -> HttpResponse:
        return super().login(request, extra_context)

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # One place for one's own password, with the rules of the accounts pages.
        return redirect("account_change_password")

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = dashboard.context(request.user)
        return super().index(request, {**context, **(extra_context or {})})

    def search(self, request: HttpRequest) -> HttpResponse:
        """Find anything by any name it has."""
        return search.search(request, self.each_context(request))

    def report_list(self, request: HttpRequest) -> HttpResponse:
        """Say which reports there are."""
        return report_pages.show_list(request, self.each_context(request))

    def report(self, request: HttpRequest, report: str) -> HttpResponse:
        """Show one report."""
        return report_pages.show(request, report, self.each_context(request))

    def report_csv(self, request: HttpRequest, report: str) -> HttpResponse:
        """Answer one report as a file."""
        return report_pages.download(request, report)

    def status(self, request: HttpRequest) -> HttpResponse:
        """Show the hosts and processes on which keys are judged."""
        return status.show(request, self.each_context(request))


staff = StaffSite()
