"""What the tests of the wire of XyraPanel start from."""

import pytest

from tests.api.xyra.wire import KEYS


@pytest.fixture
def call(ask):
    """Ask with a secret as x-api-key: `call("post", path, secret, body)`."""

    def call(method, path, secret=None, body=None, **headers):
        if secret is not None:
            headers["x-api-key"] = secret
        return ask(method, path, None, body, headers=headers)

    return call


@pytest.fixture
def create(call, manage_key):
    """Create a key over the wire and return the reply's body."""

    def create(secret=manage_key.secret, **body):
        response = call("post", KEYS, secret, body)
        assert response.status_code == 200, response.content
        return response.json()

    return create


@pytest.fixture
def listed(call, manage_key):
    """List keys and return the reply's body."""

    def listed(query="", secret=manage_key.secret):
        response = call("get", f"{KEYS}{query}", secret)
        assert response.status_code == 200, response.content
        return response.json()

    return listed
