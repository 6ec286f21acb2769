"""XyraPanel's own examples, and the life of a key, in plain HTTP against a live server."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
import time_machine

from keys import services
from keys.models import APIKey
from tests.api.seeds import seed_text

KEYS = "/api/account/api-keys"


@pytest.fixture(params=["Authorization", "x-api-key"])
def connect(request, live_server):
    """Return a client that presents a secret in one of the vendor's two ways."""

    def connect(secret, prefix=""):
        value = f"Bearer {secret}" if request.param == "Authorization" else secret
        return httpx.Client(base_url=f"{live_server.url}{prefix}", headers={request.param: value})

    return connect


@pytest.mark.parametrize("prefix", ["", "/xyra"])
def test_a_key_is_created_used_and_deleted(prefix, connect, manage_key):
    """The life of a key; what was deleted is refused at the next call."""
    with connect(manage_key.secret, prefix) as manage:
        reply = manage.post(KEYS, json={"memo": "Panel", "allowedIps": ["127.0.0.1"]})
        assert reply.status_code == 200
        made, secret = reply.json()["data"], reply.json()["meta"]["secret_token"]
        with connect(secret, prefix) as panel:
            body = panel.get(KEYS, params={"page": 1, "limit": 1}).json()
            assert body["data"][0]["identifier"] == made["identifier"]
            assert body["data"][0]["last_used_at"] is not None
            assert body["pagination"]["totalPages"] == 2
            reply = manage.delete(f"{KEYS}/{made['identifier']}")
            assert (reply.status_code, reply.json()) == (200, {"success": True})
            refused = panel.get(KEYS)
        assert refused.status_code == 401
        assert refused.json()["message"] == "Invalid API key"
        assert refused.json()["url"] == f"{manage.base_url}{KEYS}".replace("//api", "/api")
        assert manage.delete(f"{KEYS}/{made['identifier']}").status_code == 404


def test_a_body_without_its_length_is_refused_not_ignored(connect, manage_key):
    """Read as none, it would make a key that lacks what its body asks for."""
    with connect(manage_key.secret) as client:
        body = iter([b'{"allowedIps": ["192.0.2.1"]}'])
        headers = {"Content-Type": "application/json"}
        assert client.post(KEYS, content=body, headers=headers).status_code == 411
    assert APIKey.objects.count() == 1


def run_curl(command: str, server: str, secret: str, identifier: str) -> httpx.Response:
    """Send what a line of curl of the documentation sends."""
    command = command.replace("\\\n", " ").replace("YOUR_API_KEY", secret)
    words = shlex.split(command)[1:]
    arguments = {"method": "GET", "headers": {}}
    while words:
        match words.pop(0):
            case "-X":
                arguments["method"] = words.pop(0)
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                arguments["headers"][name] = value
            case "-d":
                arguments["content"] = words.pop(0)
            case url:
                url = url.replace("https://panel.example.com", server)
                arguments["url"] = re.sub(r"clx\w+", identifier, url)
    return httpx.request(**arguments)


def json_examples(text: str) -> Iterator[dict]:
    """Yield the JSON objects of a page that begin on a line of their own."""
    position = 0
    while begin := re.compile("^{$", re.MULTILINE).search(text, position):
        example, position = json.JSONDecoder().raw_decode(text, begin.start())
        yield example


def shape(value):
    """Return JSON with the types of its values in their place."""
    match value:
        case dict():
            return {name: shape(each) for name, each in value.items()}
        case list():
            return [shape(each) for each in value[:1]]
    return type(value).__name__


def test_the_documentations_examples_work_as_they_stand(live_server, acme, owner):
    """T30: every example request, and the form of every example reply."""
    text = seed_text(4)
    commands = re.findall(r"^curl (?:.*\\\n)+(?:-d '[^']*'|.*)$", text, flags=re.MULTILINE)
    examples = list(json_examples(text))
    assert [command.split()[2] for command in commands] == ["GET", "POST", "DELETE"]
    with time_machine.travel(datetime(2024, 3, 15, 10, 30, tzinfo=UTC)):
        secret = services.issue_key(
            actor=owner,
            organization=acme,
            name="Own",
            description="Production API Key",
            scopes=["MANAGE"],
            allowed_ips=["127.0.0.1"],
        ).secret
        made = run_curl(commands[1], live_server.url, secret, "")
        assert (made.status_code, shape(made.json())) == (200, shape(examples[1]))
        listed = run_curl(commands[0], live_server.url, secret, "").json()
        listed["data"].reverse()  # the example shows a key in use
        assert shape(listed) == shape(examples[0])
        identifier = made.json()["data"]["identifier"]
        deleted = run_curl(commands[2], live_server.url, secret, identifier)
        assert (deleted.status_code, deleted.json()) == (200, {"success": True})
    stored = APIKey.objects.get(identifier=identifier)
    assert stored.description == "Development API Key"
    assert stored.expires_at == datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert stored.revoked_at is not None
