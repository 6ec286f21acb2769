"""The dialects' paths: each vendor's own at the root, and once more under a prefix."""

import re
from types import ModuleType

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path, re_path
from django.urls.resolvers import URLPattern, URLResolver

from keys.api.dialects import i3d, native, netography, openrouter, xyra
from keys.api.errors import Failure
from keys.api.openapi import documentation_urls
from keys.api.views import Dialect, unknown_path

# Each module has `DIALECT`, its Dialect class, and `urlpatterns`. Where vendors share a
# prefix (`/api/v1/`), the one that owns less comes first.
MODULES: tuple[ModuleType, ...] = (i3d, native, xyra, netography, openrouter)

# Those with a page and an OpenAPI document, in the order in which people read of them.
DOCUMENTED: tuple[ModuleType, ...] = (native, i3d, netography, openrouter, xyra)


def mounted_urls(module: ModuleType) -> list[URLResolver]:
    """Return a dialect's paths at the root and under its prefix."""
    name = module.DIALECT.dialect
    return [
        path("", include((module.urlpatterns, name), namespace=name)),
        path(f"{name}/", include((module.urlpatterns, name), namespace=f"{name}-prefixed")),
    ]


def unknown_urls(module: ModuleType) -> list[URLPattern]:
    """Return what catches the rest under a dialect's paths, for a 404 in its envelope."""
    dialect = module.DIALECT
    view = unknown_path(dialect)
    return [
        re_path(rf"^{dialect.dialect}/", view),
        re_path(rf"^(?:{dialect.owned_paths})", view),
    ]


def dialect_of(request_path: str) -> type[Dialect] | None:
    """Return the dialect under whose paths this one lies, or None for the pages'."""
    for module in MODULES:
        dialect = module.DIALECT
        if re.match(rf"/(?:{dialect.dialect}/|{dialect.owned_paths})", request_path):
            return dialect
    return None


def answer_failure(request: HttpRequest, failure: Failure) -> HttpResponse | None:
    """Return the vendor's words for what failed outside its views; None for the pages'."""
    dialect = dialect_of(request.path_info)
    if dialect is None:
        return None
    return JsonResponse(
        dialect.error_body(failure, request),
        status=dialect.error_status(failure, request),
        json_dumps_params={"indent": dialect.error_indent},
        headers=dialect.error_headers,
    )


urlpatterns = [path("docs/", include((documentation_urls(*DOCUMENTED), "docs")))]
urlpatterns += [resolver for module in MODULES for resolver in mounted_urls(module)] + [
    pattern for module in MODULES for pattern in unknown_urls(module)
]
