"""The vendor's own client (PyPI `openrouter`), unmodified, against a live server."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from openrouter import OpenRouter, errors
from openrouter.utils import BackoffStrategy, RetryConfig

from keys import services
from keys.models import APIKey

# The client's own models warn of two fields that its vendor will drop one day.
pytestmark = pytest.mark.filterwarnings(r"ignore:warning. \*\* DEPRECATED:DeprecationWarning")

# By itself the client asks again for up to an hour when a server fails.
ONCE = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), False)
EXPIRES_AT = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)


class Caller:
    """Calls operations of the client by name, as bearer of a secret, sync or async."""

    def __init__(self, server_url: str, is_async: bool) -> None:
        self.server_url = server_url
        self.is_async = is_async

    def __call__(self, secret, operation, **arguments):
        if self.is_async:
            # In a thread: browser tests leave their event loop running in this one.
            with ThreadPoolExecutor(1) as thread:
                calling = self._call_async(secret, f"{operation}_async", arguments)
                return thread.submit(asyncio.run, calling).result()
        with self._client(secret) as client:
            return getattr(client.api_keys, operation)(**arguments)

    async def _call_async(self, secret, operation, arguments):
        async with self._client(secret) as client:
            return await getattr(client.api_keys, operation)(**arguments)

    def _client(self, secret) -> OpenRouter:
        return OpenRouter(
            api_key=secret, server_url=self.server_url, retry_config=ONCE, timeout_ms=20_000
        )


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.wide)])
def call(request, live_server):
    return Caller(f"{live_server.url}/api/v1", request.param == "async")


def test_a_key_is_created_used_changed_and_deleted(call, manage_key):
    """The main job: what was deleted is refused at the next call."""
    manage = manage_key.secret
    made = call(
        manage,
        "create",
        name="Worker",
        limit=12.5,
        limit_reset="monthly",
        include_byok_in_limit=True,
        expires_at=EXPIRES_AT,
        external={"user": "customer-7"},
    )
    assert (made.data.name, made.data.limit, made.data.limit_reset) == ("Worker", 12.5, "monthly")
    assert (made.data.expires_at, made.data.external_user) == (EXPIRES_AT, "customer-7")
    assert made.data.last_used_at is None

    current = call(made.key, "get_current_key_metadata").data
    assert (current.label, current.limit_remaining) == (made.data.label, 12.5)
    assert current.is_management_key is False
    assert current.effective_budget.limit_usd == 12.5
    assert current.effective_budget.resets_at > datetime.now(UTC)

    [row] = call(manage, "list").data
    assert row.hash == made.data.hash
    assert datetime.now(UTC) - row.last_used_at < timedelta(minutes=1)
    assert call(manage, "get", hash=made.data.hash).data.model_dump() == row.model_dump()

    changed = call(manage, "update", hash=made.data.hash, name="Renamed", limit=None).data
    assert (changed.name, changed.limit, changed.limit_remaining) == ("Renamed", None, None)
    assert (changed.limit_reset, changed.expires_at) == ("monthly", EXPIRES_AT)

    call(manage, "update", hash=made.data.hash, disabled=True)
    with pytest.raises(errors.UnauthorizedResponseError):
        call(made.key, "get_current_key_metadata")
    call(manage, "update", hash=made.data.hash, disabled=False)
    assert call(made.key, "get_current_key_metadata").data.limit is None

    assert call(manage, "delete", hash=made.data.hash).DELETED is True
    with pytest.raises(errors.UnauthorizedResponseError):
        call(made.key, "get_current_key_metadata")
    with pytest.raises(errors.NotFoundResponseError):
        call(manage, "get", hash=made.data.hash)
    assert call(manage, "list").data == []


def test_a_key_is_created_with_nothing_but_a_name(call, manage_key):
    made = call(manage_key.secret, "create", name="Worker")
    assert made.key.startswith("sk-or-v1-")
    assert (made.data.limit, made.data.expires_at, made.data.external_user) == (None, None, None)


def test_a_management_key_sees_itself(call, manage_key):
    current = call(manage_key.secret, "get_current_key_metadata").data
    assert current.is_management_key is True
    assert (current.budgets, current.effective_budget) == ([], None)


@pytest.mark.wide
def test_pages_are_read_until_one_is_not_full(call, acme, owner, manage_key):
    for number in range(105):
        services.issue_key(actor=owner, organization=acme, name=f"K{number}")
    found, sizes = [], []
    while not sizes or sizes[-1] == 100:
        page = call(manage_key.secret, "list", offset=len(found) or None).data
        found += [row.name for row in page]
        sizes.append(len(page))
    assert sizes == [100, 5]
    assert found == [f"K{number}" for number in range(104, -1, -1)]


def test_lists_are_narrowed(call, acme, owner, manage_key):
    lab = services.create_workspace(actor=owner, organization=acme, name="Lab")
    soon = datetime.now(UTC) + timedelta(hours=1)
    services.issue_key(actor=owner, organization=acme, name="on")
    services.issue_key(actor=owner, organization=acme, name="off", disabled=True)
    services.issue_key(actor=owner, organization=acme, name="lab", workspace=lab)
    old = services.issue_key(actor=owner, organization=acme, name="old", expires_at=soon)
    APIKey.objects.filter(pk=old.pk).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    def listed(**filters):
        return {row.name for row in call(manage_key.secret, "list", **filters).data}

    assert listed() == listed(include_disabled=False, include_expired=False) == {"on"}
    assert listed(include_disabled=True) == {"on", "off"}
    assert listed(include_expired=True) == {"on", "old"}
    assert listed(workspace_id=str(lab.pk)) == {"lab"}
    made = call(manage_key.secret, "create", name="in the lab", workspace_id=str(lab.pk))
    assert made.data.workspace_id == str(lab.pk)
    assert listed(workspace_id=str(lab.pk)) == {"lab", "in the lab"}
    moved = call(
        manage_key.secret,
        "update",
        hash=made.data.hash,
        workspace_id=str(acme.workspaces.get(is_default=True).pk),
    )
    assert moved.data.name in listed()


def test_each_failure_is_the_clients_own_error(call, manage_key, key):
    manage = manage_key.secret
    ordinary = call(manage, "create", name="Worker").key
    unknown = "0" * 64
    bad, unauthorized, forbidden, missing = (
        errors.BadRequestResponseError,
        errors.UnauthorizedResponseError,
        errors.ForbiddenResponseError,
        errors.NotFoundResponseError,
    )
    for secret, operation, arguments, error, status in (
        (manage, "create", {"name": ""}, bad, 400),
        (manage, "create", {"name": "x", "limit": -1}, bad, 400),
        (manage, "update", {"hash": key.hash, "name": ""}, bad, 400),
        (manage, "list", {"offset": -1}, bad, 400),
        ("sk-or-v1-wrong", "get_current_key_metadata", {}, unauthorized, 401),
        ("sk-or-v1-wrong", "create", {"name": "x"}, unauthorized, 401),
        (ordinary, "list", {}, unauthorized, 401),
        (ordinary, "delete", {"hash": unknown}, unauthorized, 401),
        (ordinary, "create", {"name": "x"}, forbidden, 403),
        (manage, "get", {"hash": unknown}, missing, 404),
        (manage, "update", {"hash": unknown, "name": "x"}, missing, 404),
        (manage, "delete", {"hash": "a/b c?d"}, missing, 404),
        (manage, "list", {"workspace_id": unknown[:32]}, missing, 404),
    ):
        with pytest.raises(error) as caught:
            call(secret, operation, **arguments)
        assert caught.value.status_code == caught.value.data.error.code == status
        assert caught.value.data.error.message


def test_a_limit_of_requests_is_the_clients_own_error(call, manage_key, settings):
    settings.API_RATE = "1/hour"
    call(manage_key.secret, "list")
    with pytest.raises(errors.TooManyRequestsResponseError) as caught:
        call(manage_key.secret, "list")
    assert int(caught.value.headers["Retry-After"]) > 0


def test_a_prefix_serves_as_well(live_server, manage_key):
    call = Caller(f"{live_server.url}/openrouter/api/v1", is_async=False)
    made = call(manage_key.secret, "create", name="Worker")
    assert call(made.key, "get_current_key_metadata").data.label == made.data.label


@pytest.mark.wide
def test_keys_of_one_name_are_created_at_once(live_server, manage_key):
    """Scripts in parallel name their keys alike; each gets one."""
    call = Caller(f"{live_server.url}/api/v1", is_async=False)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: call(manage_key.secret, "create", name="Worker"), range(24)))
    assert len({each.key for each in made}) == 24
    assert APIKey.objects.filter(name="Worker").count() == 24
