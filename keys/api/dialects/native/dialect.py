"""What the resources of the native dialect share: envelope, strict bodies, filters, pages."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import django_filters
from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DomainError
from django.db.models import F, Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from django_filters.rest_framework import DjangoFilterBackend
from django_filters.utils import translate_validation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.viewsets import GenericViewSet

from keys import policy
from keys.api.errors import Failure
from keys.api.fields import Text, UTCDateTime
from keys.api.representing import Represented
from keys.api.views import Dialect
from keys.models import Organization
from keys.orderings import Ordering, take_rows

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


class Native(Dialect):
    """The native envelope: `{"message": …, "errors": {field: […]}}`."""

    dialect = "native"
    owned_paths = r"v1/"
    api_description = gettext_noop(
        "Keys, and the organization around them. Lists are arrays of at most `limit` rows; the "
        "`Link` header has the address of the next page."
    )
    security_schemes = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "x-api-key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    error_schema = {
        "type": "object",
        "required": ["message", "errors"],
        "properties": {
            "message": {"type": "string"},
            "code": {"type": "string", "enum": ["approval_required"]},
            "errors": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
            },
        },
    }

    @classmethod
    def error_body(cls, failure: Failure, request: HttpRequest | Request) -> dict[str, Any]:
        errors: dict[str, list[str]] = {}
        for name, message in failure.fields:
            if name:
                errors.setdefault(name, []).append(message)
        first = next(iter(failure.fields), ("", failure.message))
        body = {"message": ": ".join(filter(None, first)), "errors": errors}
        # What a program can do something about.
        return {**body, "code": failure.code} if failure.code == "approval_required" else body


class Body(Represented):
    """A JSON object. A member that no field knows is refused; a read-only one is ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(data.keys() - self.fields.keys())):
            raise serializers.ValidationError({name: [_("Unknown field.")] for name in unknown})
        return super().to_internal_value(data)


class Instant(UTCDateTime):
    """An instant as RFC 3339, in any zone that it names."""

    default_error_messages = {
        "invalid": _("Use RFC 3339 with a zone, such as 2030-01-01T00:00:00Z."),
    }
    _PATTERN = re.compile(
        r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", flags=re.ASCII
    )


class OrganizationNumber(serializers.IntegerField):
    """The credential's own organization; any other is refused, whether it exists or not."""

    def to_internal_value(self, data: Any) -> int:
        is_digits = isinstance(data, str) and data.isascii() and data.isdecimal()
        if isinstance(data, bool) or not (isinstance(data, int) or is_digits):
            self.fail("invalid")
        own = self.context["request"].user.organization_id
        if str(data).lstrip("0") != str(own):
            raise PermissionDenied(_("This credential acts in organization %d only.") % own)
        return own


class VisibleNameField(serializers.SlugRelatedField):
    """A row by its name, among those that the caller may see."""

    def get_queryset(self) -> QuerySet:
        return policy.visible(self.context["request"].user, super().get_queryset())

    def to_internal_value(self, data: Any) -> Model:
        return super().to_internal_value(Text(max_length=100).run_validation(data))


@extend_schema_field(OpenApiTypes.BOOL)
class TruthFilter(django_filters.TypedChoiceFilter):
    """`true` or `false`. The library's own filter takes any other text for "not given"."""

    def __init__(self, **kwargs: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(choices=choices, coerce=lambda text: text == "true", **kwargs)


class StrictFilterBackend(DjangoFilterBackend):
    """Filters a list; refuses parameters that neither the filter nor the page knows."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view) -> QuerySet:
        filterset = self.get_filterset(request, queryset, view)
        known = set(filterset.filters) if filterset else set()
        refuse_unknown_parameters(request, known | Keyset.parameters)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            raise translate_validation(filterset.errors)
        view.filterset = filterset
        return filterset.qs


def refuse_unknown_parameters(request: Request, known: set[str]) -> None:
    """Raise ValidationError, by name, for query parameters that are not known."""
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise ValidationError({name: [_("Unknown parameter.")] for name in unknown})


class Keyset(BasePagination):
    """Pages that start after a row: no page shifts when rows come or go, none is unbounded."""

    parameters = frozenset({"limit", "after"})

    def paginate_queryset(self, queryset: QuerySet, request: Request, view=None) -> list[Model]:
        self.request = request
        self.size = self._read_size(request)
        ordering = view.ordering
        is_first = "after" not in request.query_params
        place = None if is_first else self._find_place(queryset, request, ordering)
        narrowing = set(request.query_params) - self.parameters - {"ordering"}
        among = view.get_queryset() if narrowing else queryset
        found = take_rows(queryset, ordering, place=place, count=self.size + 1, among=among)
        self.has_more = len(found) > self.size
        self.page = found[: self.size]
        return self.page

    def get_paginated_response(self, data: Any) -> Response:
        response = Response(data)
        if self.has_more:
            here = self.request.build_absolute_uri()
            url = replace_query_param(here, "after", self.page[-1].pk)
            response["Link"] = f'<{url}>; rel="next"'
        return response

    def get_paginated_response_schema(self, schema: dict) -> dict:
        return schema

    def get_schema_operation_parameters(self, view) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE}
        return [
            {
                "name": "limit",
                "in": "query",
                "required": False,
                "description": "Rows of a page.",
                "schema": {**limit, "default": DEFAULT_PAGE_SIZE},
            },
            {
                "name": "after",
                "in": "query",
                "required": False,
                "description": "Start after the row of this id; the `Link` header has it.",
                "schema": {"type": "string"},
            },
        ]

    @staticmethod
    def _read_size(request: Request) -> int:
        text = request.query_params.get("limit", str(DEFAULT_PAGE_SIZE))
        is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PAGE_SIZE))
        if not is_number or not 1 <= int(text) <= MAX_PAGE_SIZE:
            raise ValidationError(
                {"limit": [_("Give a number from 1 to %(max)d.") % {"max": MAX_PAGE_SIZE}]}
            )
        return int(text)

    @staticmethod
    def _find_place(queryset: QuerySet, request: Request, ordering: Ordering) -> tuple:
        # The row may be filtered out, or revoked, since the page before ended with it.
        rows = policy.visible(request.user, queryset.model._default_manager.all())
        try:
            pk = queryset.model._meta.pk.to_python(request.query_params["after"])
            place = ordering.sort(rows).filter(pk=pk).values_list("position", "pk").first()
        except (DomainError, OverflowError):
            place = None
        if place is None:
            raise ValidationError({"after": [_("There is no row of this id.")]})
        return place


class ResourceViewSet(
    Native,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    GenericViewSet,
):
    """Rows of one model: what the caller may see of `queryset`, changed by services only.

    Which of the five operations there are is said by the routes and `permissions`.
    """

    filter_backends = (StrictFilterBackend,)
    pagination_class = Keyset
    ordering = Ordering("", lambda: F("pk"))

    @cached_property
    def organization(self) -> Organization:
        """The one organization in which a credential acts."""
        return self.request.user.organization

    def get_queryset(self) -> QuerySet:
        return policy.visible(self.request.user, super().get_queryset())

    def error_serializer(self) -> serializers.BaseSerializer | None:
        return self.get_serializer()

    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        serializer.instance = self.add(**serializer.validated_data)

    def perform_update(self, serializer: serializers.BaseSerializer) -> None:
        serializer.instance = self.change(serializer.instance, **serializer.validated_data)

    def perform_destroy(self, instance: Model) -> None:
        self.remove(instance)

    def add(self, **data: Any) -> Model:
        """Create a row by its service."""
        raise NotImplementedError

    def change(self, row: Any, **changes: Any) -> Model:
        """Change a row by its service."""
        raise NotImplementedError

    def remove(self, row: Any) -> None:
        """Delete a row by its service."""
        raise NotImplementedError


COLLECTION = {"get": "list", "post": "create"}
ITEM = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}
# Numbers of 64 bits have no more digits.
NUMBER = r"[0-9]{1,19}"
UUID = r"[0-9A-Fa-f-]{36}"
