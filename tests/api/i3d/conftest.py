"""What the tests of the wire of i3D.net start from."""

import pytest

from tests.api.i3d.wire import KEYS


@pytest.fixture
def call(ask):
    """Ask with a secret as PRIVATE-TOKEN: `call("post", path, secret, body)`."""

    def call(method, path, secret=None, body=None, **headers):
        if secret is not None:
            headers["PRIVATE-TOKEN"] = secret
        return ask(method, path, None, body, headers=headers)

    return call


@pytest.fixture
def create(call, manage_key):
    """Create a key over the wire and return it as the reply shows it."""

    def create(**body):
        response = call("post", KEYS, manage_key.secret, body)
        assert response.status_code == 200, response.content
        (row,) = response.json()
        return row

    return create


@pytest.fixture
def change(call, manage_key):
    """Change a key over the wire and return it as the reply shows it."""

    def change(key_id, **body):
        response = call("put", f"{KEYS}/{key_id}", manage_key.secret, body)
        assert response.status_code == 200, response.content
        (row,) = response.json()
        return row

    return change


@pytest.fixture
def listed(call, manage_key):
    """List keys, by default all, and return the reply's rows."""

    def listed(secret=manage_key.secret, **headers):
        response = call("get", KEYS, secret, **headers)
        assert response.status_code == 200, response.content
        return response.json()

    return listed


@pytest.fixture
def whitelist(call, key, manage_key):
    """Ask about the whitelist of `key`: `whitelist("post", body)`."""

    def whitelist(method, body=None, below="", secret=manage_key.secret, **headers):
        return call(method, f"{KEYS}/{key.pk}/whitelist{below}", secret, body, **headers)

    return whitelist
