"""Where calls are counted: in the process, in Redis, and what happens when that is away."""

import pytest
import redis
from limits.storage import storage_from_string

from keys import rates

STORE = "redis://127.0.0.1:6379/15"
AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def store() -> str:
    try:
        redis.Redis.from_url(STORE).ping()
    except redis.ConnectionError:
        pytest.skip("No Redis answers on this machine.")
    storage = storage_from_string(STORE)
    storage.reset()
    return STORE


def _call(client, key) -> int:
    headers = {"Authorization": f"Bearer {key.secret}"}
    return client.get("/v1/api-keys", headers=headers).status_code


def test_calls_are_counted_in_redis_across_processes(client, key, settings, store):
    settings.RATE_LIMIT_STORAGE = store
    settings.API_RATE = "2/minute"
    assert [_call(client, key), _call(client, key)] == [200, 200]
    # Another process knows nothing but the store.
    rates._store.cache_clear()
    assert _call(client, key) == 429


def test_calls_are_answered_when_the_store_is_away_and_the_log_says_so(
    client, key, settings, caplog
):
    settings.RATE_LIMIT_STORAGE = AWAY
    assert _call(client, key) == 200
    assert "Rate limits cannot be counted" in caplog.text


def test_callers_without_a_key_are_counted_by_what_one_subscriber_has(client, settings, db):
    settings.API_RATE = "2/minute"
    statuses = [
        client.get("/v1/api-keys", REMOTE_ADDR=address).status_code
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
    ]
    assert statuses == [401, 401, 429, 401]
