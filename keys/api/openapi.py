"""The OpenAPI document of a dialect, and the page on which people read it and try it out."""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from threading import Lock
from types import ModuleType
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest
from django.urls import re_path, reverse_lazy
from django.urls.resolvers import URLPattern
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.views.generic import TemplateView
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from keys import policy
from keys.api import documents  # noqa: F401 (importing it registers what it annotates)
from keys.api.errors import Failure
from keys.api.views import Dialect, OnlyOneFormat, route
from keys.models import Organization
from keys.models.keys import Dialect as DialectChoice

_ERROR = "Error"
_BODIES = ("post", "put", "patch")


@dataclass(frozen=True)
class _Documented:
    """A failure that operations may answer; by what status, their dialect says."""

    failure: Failure
    needs_body: bool = False
    needs_row: bool = False
    needs_key: bool = False

    @classmethod
    def of(cls, status: int, code: str, description: str, **needs: bool) -> "_Documented":
        return cls(Failure(status, code, description), **needs)

    def applies(self, method: str, path: str, operation: dict[str, Any]) -> bool:
        return (
            (not self.needs_body or method in _BODIES)
            and (not self.needs_row or "{" in path)
            and (not self.needs_key or "security" in operation)
        )


_FAILURES = (
    _Documented.of(400, "parse_error", "The request is malformed."),
    _Documented.of(400, "invalid", "What the request says is not valid.", needs_body=True),
    _Documented.of(400, "duplicate", "What should be new is there already.", needs_body=True),
    _Documented.of(401, "authentication_failed", "No credential, or one that is not valid."),
    _Documented.of(
        403,
        "permission_denied",
        "The credential is valid and not permitted to do this.",
        needs_key=True,
    ),
    _Documented.of(
        404,
        "not_found",
        "There is no such thing, or none that the credential may see.",
        needs_row=True,
    ),
    _Documented.of(413, "too_large", "The body is larger than the portal reads.", needs_body=True),
    _Documented.of(
        415, "unsupported_media_type", "The body is of another media type.", needs_body=True
    ),
    _Documented.of(429, "throttled", "Too many requests; `Retry-After` says for how many seconds."),
    _Documented.of(500, "error", "Something went wrong on our side."),
)

_BUILDING = Lock()


class KeyScheme(OpenApiAuthenticationExtension):
    """Marks operations that want a key; how it is presented is the dialect's to say."""

    target_class = "keys.api.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class _Paths(EndpointEnumerator):
    def get_path_from_regex(self, path_regex: str) -> str:
        # Paths are served with and without a slash at the end; one of the two is documented.
        return super().get_path_from_regex(path_regex).rstrip("/")


class _Generator(SchemaGenerator):
    endpoint_inspector_cls = _Paths


def get_document(module: ModuleType) -> dict[str, Any]:
    """Return the OpenAPI document of a dialect's module, built once in a process."""
    # The generator keeps its state in globals: two threads at it get in each other's way.
    # It is kept, and so in one language, whoever was the first to ask.
    with _BUILDING, translation.override(settings.LANGUAGE_CODE):
        return build_document(module)


@lru_cache
def build_document(module: ModuleType) -> dict[str, Any]:
    """Build the OpenAPI document of a dialect's module.

    The dialect's `error_schema` is the JSON schema of its envelope.
    """
    dialect = module.DIALECT
    overrides = {
        "TITLE": title_of(module),
        "DESCRIPTION": dialect.api_description,
        "COMPONENT_SPLIT_REQUEST": True,
        "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    }
    with patched_settings(overrides):
        document = _Generator(patterns=module.urlpatterns).get_schema(public=True)
    components = document["components"]
    components["schemas"][_ERROR] = dialect.error_schema
    components["securitySchemes"] = dialect.security_schemes
    # A host of its own, and one that it shares.
    document["servers"] = [{"url": "/"}, {"url": f"/{dialect.dialect}"}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_failures(dialect, method, path, operation)
            if "security" in operation:
                operation["security"] = [{name: []} for name in dialect.security_schemes]
    # Plain JSON: numbers for decimals, texts for what is translated late.
    return json.loads(json.dumps(document, default=_plain))


def title_of(module: ModuleType) -> str:
    """Return the name of a dialect's API."""
    return f"{DialectChoice(module.DIALECT.dialect).label} API"


def documentation_urls(*modules: ModuleType) -> list[URLPattern]:
    """Return the paths of the index, and of pages and documents: `native/openapi.json`."""
    index = re_path(r"^\Z", IndexView.as_view(modules=modules), name="index")
    return [index, *(pattern for module in modules for pattern in _urls_of(module))]


class _PublicView(APIView):
    """A view of the documentation: for everybody, outside of any dialect's envelope."""

    # Of who is signed in it knows the organization, for examples.
    authentication_classes = (SessionAuthentication,)
    permission_classes = (AllowAny,)
    content_negotiation_class = OnlyOneFormat
    http_method_names = ["get", "head"]

    def get_exception_handler(self):
        return exception_handler

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_vary_headers(response, ["Cookie"])
        if request.user.is_authenticated:
            response.headers["Cache-Control"] = "private, no-store"
        return response


class DocumentView(_PublicView):
    """The OpenAPI document of one dialect, as JSON; a reader's own ids are its examples."""

    module: ModuleType | None = None

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        document = _with_examples(get_document(self.module), _own_ids(request))
        return Response(document, headers={"Content-Language": settings.LANGUAGE_CODE})


class DocumentationView(_PublicView, SpectacularSwaggerSplitView):
    """The page: its scripts and styles come from this host, none of them inline."""

    def get(self, request: Request, *args, **kwargs) -> Response:
        response = super().get(request, *args, **kwargs)
        response.data["document_url"] = self.url
        return response


@method_decorator(login_not_required, name="dispatch")
class IndexView(TemplateView):
    """Which dialects there are, and how a client of each gets here."""

    http_method_names = ["get", "head", "options"]
    template_name = "docs/index.html"
    modules: tuple[ModuleType, ...] = ()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        host = self.request.build_absolute_uri("/").rstrip("/")
        dialects = [
            {
                "id": each.DIALECT.dialect,
                "name": DialectChoice(each.DIALECT.dialect).label,
                "description": gettext(each.DIALECT.api_description),
                "base_url": f"{host}{each.DIALECT.base_path}",
                "prefixed_url": f"{host}/{each.DIALECT.dialect}{each.DIALECT.base_path}",
                "credentials": credentials_of(each.DIALECT),
                "page": f"docs:{each.DIALECT.dialect}",
                "document": f"docs:{each.DIALECT.dialect}-document",
            }
            for each in self.modules
        ]
        return super().get_context_data(dialects=dialects, **kwargs)


def credentials_of(dialect: type[Dialect]) -> list[str]:
    """Return the headers, any of which presents a key: `PRIVATE-TOKEN: <key>`."""
    return [
        f"{scheme['name']}: <key>" if scheme["type"] == "apiKey" else "Authorization: Bearer <key>"
        for scheme in dialect.security_schemes.values()
    ]


def _own_ids(request: Request) -> dict[str, Any]:
    # Of the organization last looked at, as on the pages.
    if not request.user.is_authenticated:
        return {}
    mine = policy.visible(request.user, Organization.objects.filter(members=request.user))
    organization = mine.filter(slug=request.session.get("organization")).first() or mine.first()
    if organization is None:
        return {}
    workspaces = policy.visible(request.user, organization.workspaces.filter(is_default=True))
    workspace = workspaces.first()
    ids = {"organization_id": organization.pk}
    return ids | {"workspace_id": str(workspace.pk)} if workspace else ids


def _with_examples(part: Any, ids: dict[str, Any]) -> Any:
    """Return a copy of a document whose parameters and properties of these names have examples."""
    if isinstance(part, list):
        return [_with_examples(each, ids) for each in part]
    if not isinstance(part, dict):
        return part
    copy = {name: _with_examples(each, ids) for name, each in part.items()}
    if isinstance(copy.get("properties"), dict):
        for name in copy["properties"].keys() & ids.keys():
            schema = copy["properties"][name]
            value = str(ids[name]) if schema.get("type") == "string" else ids[name]
            copy["properties"][name] = {**schema, "examples": [value]}
    if "in" in copy and copy.get("name") in ids:
        copy["example"] = ids[copy["name"]]
    return copy


def _urls_of(module: ModuleType) -> list[URLPattern]:
    name = module.DIALECT.dialect
    document = f"{name}-document"
    page = DocumentationView.as_view(url=reverse_lazy(f"docs:{document}"), title=title_of(module))
    return [
        route(name, page, name),
        route(rf"{name}/openapi\.json", DocumentView.as_view(module=module), document),
    ]


def _plain(value: Any) -> float | str:
    return float(value) if isinstance(value, Decimal) else str(value)


def _add_failures(
    dialect: type[Dialect], method: str, path: str, operation: dict[str, Any]
) -> None:
    schema = {"$ref": f"#/components/schemas/{_ERROR}"}
    described: dict[str, list[str]] = {}
    for each in _FAILURES:
        if each.applies(method, path, operation):
            status = str(int(dialect.error_status(each.failure, HttpRequest())))
            described.setdefault(status, []).append(each.failure.message)
    responses = operation["responses"]
    for status, descriptions in sorted(described.items()):
        responses.setdefault(status, {"description": " ".join(descriptions)})
    if dialect.other_failures:
        responses["default"] = {"description": dialect.other_failures}
    for status, response in responses.items():
        if status[0] not in "123":
            response["content"] = {"application/json": {"schema": schema}}
