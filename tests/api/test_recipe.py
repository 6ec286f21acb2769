"""The README's recipe "Add a dialect", followed for a vendor that does not exist."""

import re
from types import ModuleType

import pytest
from django.conf import settings
from django.test import override_settings
from django.urls import include, path
from rest_framework import serializers
from rest_framework.response import Response

from keys.api import urls, views
from keys.api.fields import Text
from keys.api.openapi import documentation_urls
from keys.api.views import Dialect, route
from keys.models import APIKey, AuditEvent


class Harbour(Dialect):
    """Words failures as `{"fault": "…", "where": ["title"]}`."""

    dialect = "native"  # whose format its keys get; a real one adds its own to models.keys
    owned_paths = r"harbour(?:/|\Z)"
    api_description = "Keys for clients of a vendor made up."
    security_schemes = {"bearer": {"type": "http", "scheme": "bearer"}}
    error_schema = {
        "type": "object",
        "required": ["fault", "where"],
        "properties": {
            "fault": {"type": "string"},
            "where": {"type": "array", "items": {"type": "string"}},
        },
    }

    @classmethod
    def error_body(cls, failure, request):
        return {"fault": failure.message, "where": [name for name, _text in failure.fields]}


class KeySerializer(serializers.Serializer):
    """A pass, as the vendor calls a key."""

    number = serializers.IntegerField(source="pk", read_only=True)
    title = Text(source="name", max_length=200)
    token = serializers.CharField(source="secret", read_only=True)


class KeyViewSet(Harbour, views.KeyViewSet):
    """The passes of an organization."""

    serializer_class = KeySerializer
    pagination_class = None

    def list(self, request, *args, **kwargs):
        return Response(self.get_serializer(self.get_queryset(), many=True).data)


harbour = ModuleType("harbour")
harbour.DIALECT = Harbour
harbour.urlpatterns = [
    route("harbour/passes", KeyViewSet.as_view({"get": "list", "post": "create"}), "key-list"),
    route(
        "harbour/passes/(?P<pk>[0-9]{1,18})",
        KeyViewSet.as_view({"delete": "destroy"}),
        "key-detail",
    ),
]

# As keys.api.urls does with each of MODULES.
urlpatterns = [path("docs/", include((documentation_urls(harbour), "docs")))]
urlpatterns += urls.mounted_urls(harbour) + urls.unknown_urls(harbour)


@pytest.fixture(autouse=True)
def harbour_is_a_dialect(monkeypatch):
    monkeypatch.setattr(urls, "MODULES", (harbour,))
    with override_settings(ROOT_URLCONF=__name__):
        yield


def test_its_clients_make_list_and_delete_keys(ask, manage_key):
    made = ask("post", "/harbour/passes", manage_key.secret, {"title": "Ferry"})
    assert made.status_code == 201
    assert made.json()["title"] == "Ferry"
    key = APIKey.objects.get(pk=made.json()["number"])
    assert ask("get", "/harbour/passes/", made.json()["token"]).status_code == 403
    rows = ask("get", "/harbour/passes", manage_key.secret).json()
    assert {"number": key.pk, "title": "Ferry"} in rows
    assert ask("delete", f"/harbour/passes/{key.pk}", manage_key.secret).status_code == 204
    assert ask("get", "/harbour/passes", made.json()["token"]).status_code == 401
    actions = AuditEvent.objects.filter(object_id=str(key.pk)).values_list("action", flat=True)
    assert {"apikey.issued", "apikey.revoked"} <= set(actions)


@pytest.mark.parametrize(
    ("method", "where", "body", "status", "named"),
    [
        ("post", "passes", {"title": ""}, 400, ["title"]),
        ("post", "passes", "{", 400, []),
        ("put", "passes", {}, 405, []),
        ("delete", "passes/999", None, 404, []),
        ("get", "nothing", None, 404, []),
    ],
)
def test_whatever_goes_wrong_is_in_its_envelope(
    ask, manage_key, method, where, body, status, named
):
    response = ask(method, f"/harbour/{where}", manage_key.secret, body)
    assert response.status_code == status
    assert response.json().keys() == {"fault", "where"}
    assert response.json()["where"] == named


def test_a_stranger_is_refused_in_its_envelope(ask, db):
    response = ask("get", "/harbour/passes")
    assert response.status_code == 401
    assert response.json().keys() == {"fault", "where"}


def test_it_has_a_document(client, db):
    document = client.get("/docs/native/openapi.json").json()
    assert document["paths"].keys() == {"/harbour/passes", "/harbour/passes/{id}"}
    assert document["components"]["schemas"]["Error"] == Harbour.error_schema


def test_the_recipe_names_what_is_there():
    text = (settings.BASE_DIR / "README.md").read_text()
    recipe = text.partition("## Add a dialect")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Za-z_.]+)`", recipe))
    for name in ("dialect", "owned_paths", "error_schema", "api_description", "security_schemes"):
        assert name in named
        assert hasattr(Harbour, name)
    for name in ("MODULES", "DOCUMENTED"):
        assert name in named
        assert hasattr(urls, name)
