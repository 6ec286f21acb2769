"""What the tests of the wire of OpenRouter start from."""

import json

import pytest

from tests.api.openrouter.wire import KEYS


@pytest.fixture
def ask(client):
    """Ask as the bearer of a secret: `ask("post", path, secret, body)`."""

    def ask(method, path, secret=None, body=None, **extra):
        if secret is not None:
            extra.setdefault("headers", {"Authorization": f"Bearer {secret}"})
        if body is not None:
            extra.setdefault("content_type", "application/json")
            extra["data"] = body if isinstance(body, str | bytes) else json.dumps(body)
        return client.generic(method.upper(), path, **extra)

    return ask


@pytest.fixture
def create(ask, manage_key):
    """Create a key over the wire and return the reply's body."""

    def create(**body):
        response = ask("post", KEYS, manage_key.secret, {"name": "Worker", **body})
        assert response.status_code == 201, response.content
        return response.json()

    return create
