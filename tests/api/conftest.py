"""How the tests talk to the JSON door."""

import json

import pytest
import time_machine
from django.utils import timezone


@pytest.fixture
def ask(client):
    """Ask as the bearer of a secret: `ask("post", path, secret, body)`."""

    def ask(method, path, secret=None, body=None, **extra):
        headers = extra.pop("headers", {})
        if secret is not None:
            headers = {"Authorization": f"Bearer {secret}", **headers}
        if body is not None:
            extra.setdefault("content_type", "application/json")
            extra["data"] = body if isinstance(body, str | bytes) else json.dumps(body)
        return client.generic(method.upper(), path, headers=headers, **extra)

    return ask


@pytest.fixture
def at_one_moment():
    """Let no minute and no hour begin while queries are counted: these cost some of their own."""
    with time_machine.travel(timezone.now(), tick=False):
        yield
