"""Where a request comes from, as the audit trail and whoever debugs it are told."""

import re

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from keys import networks
from keys.middleware import OriginMiddleware
from keys.services.audit import current_origin


@pytest.fixture
def visit():
    """Send a request through the middleware; return (request, origin inside, response)."""

    def send(path="/", method="GET", **headers):
        seen = []

        def view(request):
            seen.append((request, current_origin()))
            return HttpResponse("fine")

        response = OriginMiddleware(view)(RequestFactory().generic(method, path, **headers))
        request, origin = seen[0]
        return request, origin, response

    return send


@pytest.mark.parametrize(
    ("path", "door"),
    [
        ("/", "page"),
        ("/organizations/acme/keys/", "page"),
        ("/static/keys/app.css", "page"),
        ("/v1/api-keys", "api"),
        ("/keys/", "api"),
        ("/admin/", "admin"),
        ("/admin/keys/apikey/1/", "admin"),
        ("/administration/", "api"),
        ("/adminx", "api"),
        ("*", "api"),
        ("", "page"),
    ],
)
def test_the_path_tells_the_door(visit, path, door):
    _, origin, _ = visit(path)
    assert origin.door == door


def test_each_request_has_an_id_of_our_own(visit):
    """An id that clients choose could pose as another request's."""
    request, origin, response = visit(headers={"X-Request-Id": "mine"})
    assert re.fullmatch(r"[0-9a-f]{32}", request.id)
    assert response["X-Request-Id"] == origin.request_id == request.id
    assert visit()[0].id != request.id


def test_the_address_is_the_peers_whatever_headers_say(visit):
    """T24."""
    request, origin, _ = visit(
        REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": "10.1.2.3", "X-Real-Ip": "10.1.2.3"}
    )
    assert str(request.client_address) == origin.address == "192.0.2.1"


def test_a_trusted_proxy_is_believed(visit, settings):
    settings.TRUSTED_PROXIES = ["192.0.2.0/24"]
    _, origin, _ = visit(REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": "10.1.2.3"})
    assert origin.address == "10.1.2.3"


def test_the_address_is_read_once(visit, monkeypatch):
    read = []
    parse = networks.parse_address
    monkeypatch.setattr(networks, "parse_address", lambda text: read.append(text) or parse(text))
    visit(REMOTE_ADDR="192.0.2.1")
    assert read == ["192.0.2.1"]


def test_an_unknown_address_is_none(visit):
    request, origin, _ = visit(REMOTE_ADDR="")
    assert request.client_address is None
    assert origin.address is None


def test_nothing_of_a_request_is_left_after_it(visit):
    before = current_origin()
    visit("/admin/")
    assert current_origin() == before
