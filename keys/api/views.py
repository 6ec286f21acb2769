"""What the dialects share: the envelope's hooks, and the life of a key over the services."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.urls.resolvers import URLPattern
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import AuthenticationFailed, NotFound, ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.settings import api_settings
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from keys import policy, rates, services
from keys.api.errors import BodyTooLarge, Failure, LengthRequired
from keys.api.permissions import ANYONE
from keys.models import APIKey, AuditEvent, Organization
from keys.roles import Permission
from keys.services import Verdict
from keys.services.audit import acting_from, current_origin


class OnlyOneFormat(BaseContentNegotiation):
    """Answers in the dialect's one format, whatever Accept says: vendors' APIs do so."""

    def select_parser(self, request, parsers):
        content_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next((each for each in parsers if each.media_type == content_type), None)

    def select_renderer(self, request, renderers, format_suffix=None):
        return renderers[0], renderers[0].media_type


class Dialect(APIView):
    """Base of every view of a vendor's API: a subclass per vendor words its failures."""

    # The models.keys.Dialect whose secrets its keys get; also its prefix and namespace.
    dialect: ClassVar[str]
    # A regular expression of the paths that are the vendor's on a host of its own.
    owned_paths: ClassVar[str]
    # {action or method: Permission}; what is not declared is refused.
    permissions: ClassVar[dict[str, Permission | str]] = {}

    # Without it a body of any size is let through, unread.
    reads_body: ClassVar[bool] = True

    # How failures are written.
    error_indent: ClassVar[int | None] = None
    error_headers: ClassVar[dict[str, str]] = {}

    # Where the vendor's clients have their base address, below the host.
    base_path: ClassVar[str] = ""
    # What its OpenAPI document says: of the API, of the envelope (a JSON schema), of how a key
    # is presented, and of statuses not listed where the vendor does not list them all.
    api_description: ClassVar[str] = ""
    error_schema: ClassVar[dict[str, Any]] = {}
    security_schemes: ClassVar[dict[str, dict[str, str]]] = {}
    other_failures: ClassVar[str] = ""

    # Where the caller stands with its rate limits, once it is known who calls.
    _rate_headers: dict[str, str] = {}

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    content_negotiation_class = OnlyOneFormat

    @classmethod
    def error_body(cls, failure: Failure, request: HttpRequest | Request) -> dict[str, Any]:
        """Return a failure in the vendor's envelope."""
        raise NotImplementedError

    @classmethod
    def error_status(cls, failure: Failure, request: HttpRequest | Request) -> int:
        """Return the HTTP status by which the vendor tells this failure."""
        return failure.status

    def dispatch(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        # JSON and queries are UTF-8, whatever charset a content type names.
        request.encoding = "utf-8"
        origin = replace(
            current_origin(),
            door=AuditEvent.Door.API,
            method=request.method or "",
            path=request.path,
        )
        with acting_from(origin):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args, **kwargs) -> None:
        if self.reads_body:
            self._refuse_unreadable_body(request)
        super().initial(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Find out who calls, and count the call: one that is refused costs work as well."""
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            super().check_throttles(request)
            raise
        if isinstance(request.auth, Verdict):
            self._rate_headers = rates.headers(request.auth.rates)
        super().check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """Do nothing more: calls are counted before anybody asks for a permission."""

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        # Replies hold secrets and rights of the moment.
        response.headers.setdefault("Cache-Control", "no-store")
        for name, value in self._rate_headers.items():
            response.headers.setdefault(name, value)
        return response

    def word_failure(self, response: Response, failure: Failure) -> Response:
        """Put a failure into the vendor's words; `response` has the standard headers."""
        response.status_code = self.error_status(failure, self.request)
        response.data = self.error_body(failure, self.request)
        for name, value in self.error_headers.items():
            response.headers[name] = value
        return response

    def error_serializer(self) -> BaseSerializer | None:
        """Return the serializer whose names the caller knows."""
        return None

    @staticmethod
    def _refuse_unreadable_body(request: Request) -> None:
        if "Transfer-Encoding" in request.headers and not request.META.get("CONTENT_LENGTH"):
            raise LengthRequired
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > settings.API_MAX_BODY_BYTES:
            raise BodyTooLarge(int(length), settings.API_MAX_BODY_BYTES)


class KeyViewSet(Dialect, GenericViewSet):
    """The life of a key; a dialect adds its serializer, filter, pages and envelope.

    Serializers give validated data under canonical names, as the services take them.
    """

    permissions = {
        "list": Permission.VIEW_APIKEY,
        "create": Permission.ADD_APIKEY,
        "retrieve": Permission.VIEW_APIKEY,
        "update": Permission.CHANGE_APIKEY,
        "partial_update": Permission.CHANGE_APIKEY,
        "destroy": Permission.DELETE_APIKEY,
    }
    created_status: ClassVar[int] = status.HTTP_201_CREATED

    @property
    def organization(self) -> Organization:
        """The one organization in which a credential acts."""
        return self.request.user.organization

    def get_queryset(self) -> QuerySet[APIKey]:
        return policy.visible(self.request.user, APIKey.objects.live().with_details())

    def error_serializer(self) -> BaseSerializer | None:
        return self.get_serializer() if self.serializer_class else None

    def list(self, request: Request, *args, **kwargs) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, *args, **kwargs) -> Response:
        return Response(self.represent(self.get_object()))

    def create(self, request: Request, *args, **kwargs) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        key = self.issue(serializer.validated_data)
        return Response(self.represent(key), status=self.created_status)

    def update(self, request: Request, *args, partial: bool = False, **kwargs) -> Response:
        key = self.get_object()
        serializer = self.get_serializer(key, data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        changed = services.update_key(actor=request.user, key=key, **serializer.validated_data)
        return Response(self.represent(self.reload(changed)))

    def partial_update(self, request: Request, *args, **kwargs) -> Response:
        return self.update(request, *args, partial=True, **kwargs)

    def destroy(self, request: Request, *args, **kwargs) -> Response:
        services.revoke_key(actor=request.user, key=self.get_object())
        return self.deleted_response()

    def issue(self, data: dict[str, Any]) -> APIKey:
        """Issue a key from validated data; it has `key.secret`."""
        return services.issue_key(
            actor=self.request.user,
            organization=self.organization,
            dialect=self.dialect,
            **data,
        )

    def reload(self, key: APIKey) -> APIKey:
        """Return the key with all that the serializer shows, freshly read."""
        return APIKey.objects.with_details().get(pk=key.pk)

    def represent(self, key: APIKey) -> Any:
        """Return one key as the reply's body."""
        return self.get_serializer(key).data

    def deleted_response(self) -> Response:
        """Return the reply to a successful delete."""
        return Response(status=status.HTTP_204_NO_CONTENT)


def require_body(request: Request) -> None:
    """Refuse a request without a body, which REST framework takes for an empty object."""
    if request.META.get("CONTENT_LENGTH") in (None, "", "0"):
        raise ValidationError({api_settings.NON_FIELD_ERRORS_KEY: _("Send a JSON object.")})


def unknown_path(dialect: type[Dialect]) -> Callable[..., HttpResponse]:
    """Return a view that answers what lies under a vendor's paths and is nothing there."""

    class UnknownPath(dialect):  # type: ignore[misc, valid-type]
        permissions = dict.fromkeys(APIView.http_method_names, ANYONE)
        authentication_classes = ()

        def initial(self, request: Request, *args, **kwargs) -> None:
            super().initial(request, *args, **kwargs)
            raise NotFound

    return UnknownPath.as_view()


def route(path: str, view, name: str) -> URLPattern:
    """Return a URL pattern with and without a trailing slash: clients' POSTs survive no redirect.

    `path` is a regular expression without anchors.
    """
    return re_path(rf"^{path}/?\Z", view, name=name)
