"""Keys over OpenRouter's wire, byte by byte."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from keys import services
from keys.models import APIKey, AuditEvent, KeySecret
from tests.api.openrouter.wire import (
    BUDGET,
    CURRENT,
    KEY,
    KEYS,
    NOT_FOUND,
    NOW,
    ROW,
    names,
    refusal,
)

# Replies


def test_a_new_key_is_told_in_full_and_its_secret_once(create, ask, manage_key):
    """T40: what creation returns verifies, and nothing returns it again."""
    body = create()
    assert set(body) == {"data", "key"}
    assert set(body["data"]) == ROW
    assert re.fullmatch(r"sk-or-v1-[0-9a-f]{64}", body["key"])
    assert re.fullmatch(r"[0-9a-f]{64}", body["data"]["hash"])
    assert body["data"]["label"] == f"sk-or-v1-{body['key'][9:12]}...{body['key'][-3:]}"
    assert ask("get", KEY, body["key"]).status_code == 200
    for path in (KEYS, f"{KEYS}/{body['data']['hash']}"):
        assert body["key"] not in ask("get", path, manage_key.secret).content.decode()


def test_numbers_are_numbers_and_dates_have_a_zone_and_seconds(create):
    expires_at = "2099-01-02T03:04:05Z"
    data = create(limit=12.345678, limit_reset="weekly", expires_at=expires_at)["data"]
    assert data["limit"] == data["limit_remaining"] == 12.345678
    assert data["limit_reset"] == "weekly"
    assert data["expires_at"] == expires_at
    for field in ("usage", "usage_daily", "byok_usage_monthly", "limit"):
        assert isinstance(data[field], float)
    for field in ("created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", data[field])


def test_a_key_without_anything_special_says_null(create):
    data = create()["data"]
    nothing = {"limit", "limit_remaining", "limit_reset", "expires_at", "external_user"}
    assert {name for name, value in data.items() if value is None} == nothing | {"last_used_at"}
    assert data["disabled"] is data["include_byok_in_limit"] is False


def test_the_current_key_is_told_in_full(create, ask):
    secret = create(limit=5, limit_reset="daily")["key"]
    data = ask("get", KEY, secret).json()["data"]
    assert set(data) == CURRENT
    assert data["is_management_key"] is data["is_provisioning_key"] is False
    assert data["rate_limit"].keys() == {"requests", "interval", "note"}
    assert data["free_model_daily_requests"].keys() == {"limit", "remaining", "used"}
    [budget] = data["budgets"]
    assert set(budget) == BUDGET
    assert data["effective_budget"] == budget
    assert (budget["scope"], budget["limit_usd"]) == ("key_limit", 5.0)


def test_the_current_key_may_be_any_key_of_any_dialect(ask, key, read_only_key, manage_key):
    """T30: `GET /key` of the seed is for "the API key associated with the current session"."""
    for each in (key, read_only_key, manage_key):
        data = ask("get", KEY, each.secret).json()["data"]
        assert data["label"] == each.label
        assert data["is_management_key"] is (each == manage_key)
        assert data["budgets"] == []
        assert data["effective_budget"] is None
    assert ask("get", "/api/v1/auth/key", key.secret).json().keys() == {"data"}


def test_no_reply_holds_what_is_stored_of_a_secret(create, ask, manage_key):
    """T6, T21: neither a secret, nor its digest, nor the pepper's number."""
    body = create()
    path = f"{KEYS}/{body['data']['hash']}"
    bodies = [
        ask("get", KEYS, manage_key.secret),
        ask("get", path, manage_key.secret),
        ask("patch", path, manage_key.secret, {"name": "Renamed"}),
        ask("get", KEY, body["key"]),
        ask("delete", path, manage_key.secret),
    ]
    text = "".join(each.content.decode() for each in bodies)
    for row in KeySecret.objects.all():
        assert row.digest not in text
    assert body["key"] not in text
    assert manage_key.secret not in text
    assert "pepper" not in text
    assert not re.search(r"sk-or-v1-[0-9a-f]{6,}", text)


def test_costs_are_told_by_day_week_and_month(create, ask, manage_key, time_machine):
    spend = [  # Sunday a month ago, on the first, on Monday, today
        (datetime(2026, 10, 25, 12, tzinfo=UTC), "8", "80"),
        (datetime(2026, 11, 1, 0, tzinfo=UTC), "4", "40"),
        (datetime(2026, 11, 16, 0, tzinfo=UTC), "2", "20"),
        (NOW - timedelta(hours=1), "1.5", "10"),
    ]
    time_machine.move_to(datetime(2026, 10, 1, tzinfo=UTC), tick=False)
    body = create(limit=100, limit_reset="monthly", include_byok_in_limit=True)
    for moment, cost, byok_cost in spend:
        time_machine.move_to(moment, tick=False)
        services.verify_key(
            secret=body["key"], address=None, cost=Decimal(cost), byok_cost=Decimal(byok_cost)
        )
    time_machine.move_to(NOW, tick=False)
    [row] = ask("get", KEYS, manage_key.secret).json()["data"]
    current = ask("get", KEY, body["key"]).json()["data"]
    for data in (row, current):
        told = {name: value for name, value in data.items() if "usage" in name}
        assert told == {
            "usage": 15.5,
            "usage_daily": 1.5,
            "usage_weekly": 3.5,
            "usage_monthly": 7.5,
            "byok_usage": 150.0,
            "byok_usage_daily": 10.0,
            "byok_usage_weekly": 30.0,
            "byok_usage_monthly": 70.0,
        }
        assert data["limit_remaining"] == 22.5
    assert row["last_used_at"] == "2026-11-19T14:30:00Z"
    assert current["effective_budget"] == {
        "scope": "key_limit",
        "budget_id": None,
        "guardrail_id": None,
        "include_byok": True,
        "limit_usd": 100.0,
        "spend_usd": 77.5,
        "remaining_usd": 22.5,
        "reset_interval": "monthly",
        "resets_at": "2026-12-01T00:00:00Z",
    }


# Writing


def test_a_key_is_changed_only_where_the_body_says_so(create, ask, manage_key):
    made = create(limit=10, limit_reset="daily", expires_at="2099-01-01T00:00:00Z")
    path = f"{KEYS}/{made['data']['hash']}"

    def patch(**body):
        response = ask("patch", path, manage_key.secret, body)
        assert response.status_code == 200, response.content
        assert set(response.json()) == {"data"}
        assert set(response.json()["data"]) == ROW
        return response.json()["data"]

    steady = {"created_at", "hash", "label", "expires_at", "workspace_id", "creator_user_id"}
    before = made["data"]
    for body in (
        {"name": "Renamed"},
        {"disabled": True},
        {"limit": 75},
        {"limit_reset": "monthly"},
        {"include_byok_in_limit": True},
        {"limit": None},
        {"limit_reset": None},
        {"disabled": False},
        {"usage": 5, "hash": "0" * 64, "label": "x", "created_at": None},
        {},
    ):
        after = patch(**body)
        known = {name: value for name, value in body.items() if name in ("usage", "hash")}
        wanted = {**before, **body} if not known else dict(before)
        wanted.pop("updated_at")
        wanted["limit_remaining"] = wanted["limit"]
        assert {name: after[name] for name in wanted} == wanted
        assert {name: after[name] for name in steady} == {name: before[name] for name in steady}
        before = after


def test_a_key_moves_to_another_workspace(create, ask, acme, owner, other, manage_key):
    lab = services.create_workspace(actor=owner, organization=acme, name="Lab")
    path = f"{KEYS}/{create()['data']['hash']}"
    response = ask("patch", path, manage_key.secret, {"workspace_id": str(lab.pk)})
    assert response.json()["data"]["workspace_id"] == str(lab.pk)
    foreign = {"workspace_id": str(other.workspaces.get().pk)}
    response = ask("patch", path, manage_key.secret, foreign)
    assert response.status_code == 400
    assert refusal(response).startswith("workspace_id: ")


def test_a_deleted_key_is_gone_and_dead(create, ask, manage_key):
    made = create()
    path = f"{KEYS}/{made['data']['hash']}"
    response = ask("delete", path, manage_key.secret)
    assert (response.status_code, response.json()) == (200, {"deleted": True})
    for method in ("get", "patch", "delete"):
        response = ask(method, path, manage_key.secret, {} if method == "patch" else None)
        assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert ask("get", KEY, made["key"]).status_code == 401
    assert names(ask("get", f"{KEYS}?include_disabled=true", manage_key.secret)) == []
    # History stays.
    assert APIKey.objects.get(hash=made["data"]["hash"]).revoked_at is not None
    assert AuditEvent.objects.filter(action="apikey.revoked", door="api").count() == 1


def test_a_disabled_key_is_refused_until_it_is_enabled(create, ask, manage_key):
    made = create()
    path = f"{KEYS}/{made['data']['hash']}"
    for disabled, status in ((True, 401), (False, 200)):
        ask("patch", path, manage_key.secret, {"disabled": disabled})
        assert ask("get", KEY, made["key"]).status_code == status


def test_a_key_that_staff_locked_is_not_enabled_here(create, ask, staff, manage_key):
    made = create()
    services.lock_key(actor=staff, key=APIKey.objects.get(hash=made["data"]["hash"]))
    path = f"{KEYS}/{made['data']['hash']}"
    response = ask("patch", path, manage_key.secret, {"disabled": False})
    assert response.status_code == 403
    assert "Staff locked this key" in refusal(response)
    assert ask("get", path, manage_key.secret).json()["data"]["disabled"] is True
    assert ask("delete", path, manage_key.secret).status_code == 200


def test_the_creator_is_a_member(create, developer, stranger, manage_key, ask, owner):
    assert create()["data"]["creator_user_id"] == str(owner.pk)
    assert create(creator_user_id=None)["data"]["creator_user_id"] == str(owner.pk)
    made = create(creator_user_id=str(developer.pk))
    assert made["data"]["creator_user_id"] == str(developer.pk)
    for nobody in (str(stranger.pk), "0", "user_2dHF", "9" * 400, "", developer.pk, "٣"):
        response = ask("post", KEYS, manage_key.secret, {"name": "x", "creator_user_id": nobody})
        assert response.status_code == 400, nobody
        assert refusal(response).startswith("creator_user_id: ")


def test_an_external_user_is_kept_and_an_external_key_refused(create, ask, manage_key):
    assert create(external={"user": "customer-7"})["data"]["external_user"] == "customer-7"
    secret = "partner-" + "k" * 40
    body = {"name": "x", "external": {"user": "customer-7", "api_key": secret}}
    response = ask("post", KEYS, manage_key.secret, body)
    assert response.status_code == 400
    assert refusal(response).startswith("external.api_key: ")
    assert secret not in response.content.decode()
    for external in ({}, {"user": ""}, {"user": 5}, {"user": "u" * 201}, [], "customer-7", None):
        response = ask("post", KEYS, manage_key.secret, {"name": "x", "external": external})
        assert response.status_code == 400, external
        assert refusal(response).startswith("external")


@pytest.mark.parametrize(
    "text",
    [
        "2099-01-01T00:00:00Z",
        "2099-01-01T00:00:00+00:00",
        "2099-01-01T00:00:00.123Z",
        "2099-01-01T00:00:00.123456789Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_an_expiry_in_utc_is_taken(text, create):
    told = create(expires_at=text)["data"]["expires_at"]
    assert told.startswith(text[:19])
    assert told.endswith("Z")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", None),
        ("name", 5),
        ("name", ["x"]),
        ("name", "x" * 201),
        ("name", "nul\x00"),
        ("limit", -1),
        ("limit", "10"),
        ("limit", ""),
        ("limit", True),
        ("limit", 0.0000001),
        ("limit", 0.1 + 0.2),
        ("limit", 10**13),
        ("limit", 10**400),
        ("limit", 1e300),
        ("limit", [1]),
        ("limit_reset", "hourly"),
        ("limit_reset", "DAILY"),
        ("limit_reset", ""),
        ("limit_reset", {}),
        ("include_byok_in_limit", "yes"),
        ("include_byok_in_limit", 1),
        ("include_byok_in_limit", None),
        ("workspace_id", None),
        ("workspace_id", ""),
        ("workspace_id", "default"),
        ("workspace_id", {}),
        ("workspace_id", -1),
        ("workspace_id", True),
    ],
)
@pytest.mark.wide
def test_a_body_that_makes_no_sense_is_refused_by_name(field, value, ask, create, manage_key):
    made = create(limit=3)
    path = f"{KEYS}/{made['data']['hash']}"
    for method, where in (("post", KEYS), ("patch", path)):
        response = ask(method, where, manage_key.secret, {"name": "x", field: value})
        assert response.status_code == 400, response.content
        assert refusal(response).startswith(f"{field}: ")
    assert names(ask("get", KEYS, manage_key.secret)) == ["Worker"]


@pytest.mark.parametrize(
    "value",
    [
        "2099-01-01T00:00Z",
        "2099-01-01T00:00:00",
        "2099-01-01T00:00:00+02:00",
        "2099-01-01",
        "2099-13-01T00:00:00Z",
        "2099-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "2020-01-01T00:00:00Z",
        "٢099-01-01T00:00:00Z",
        4070908800,
        "",
        True,
    ],
)
def test_an_expiry_elsewhere_or_past_is_refused(value, ask, manage_key):
    response = ask("post", KEYS, manage_key.secret, {"name": "x", "expires_at": value})
    assert response.status_code == 400
    assert refusal(response).startswith("expires_at: ")
    assert APIKey.objects.filter(name="x").count() == 0


@pytest.mark.parametrize("field", ["expires_at", "creator_user_id", "external"])
def test_what_is_said_once_is_not_silently_dropped_later(field, create, ask, manage_key, owner):
    value = {"expires_at": None, "creator_user_id": str(owner.pk), "external": {"user": "x"}}
    path = f"{KEYS}/{create()['data']['hash']}"
    response = ask("patch", path, manage_key.secret, {"name": "y", field: value[field]})
    assert response.status_code == 400
    assert refusal(response).startswith(f"{field}: ")
    assert ask("get", path, manage_key.secret).json()["data"]["name"] == "Worker"


def test_what_nobody_knows_is_ignored(create):
    """The vendor's older samples send `label`; its schemas forbid no further members."""
    assert create(label="customer-123", whatever={"a": [1]})["data"]["name"] == "Worker"


# Paths


@pytest.mark.parametrize("prefix", ["", "/openrouter"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_path_answers_with_and_without_prefix_and_slash(prefix, slash, ask, manage_key):
    """A redirect would turn the vendor's client's POST into a GET."""
    keys = f"{prefix}{KEYS}{slash}"
    made = ask("post", keys, manage_key.secret, {"name": "Worker"})
    assert made.status_code == 201
    item = f"{prefix}{KEYS}/{made.json()['data']['hash']}{slash}"
    for method, path in (
        ("get", keys),
        ("head", keys),
        ("get", item),
        ("get", f"{prefix}{KEY}{slash}"),
        ("head", f"{prefix}{KEY}{slash}"),
        ("get", f"{prefix}/api/v1/auth/key{slash}"),
        ("delete", item),
    ):
        assert ask(method, path, manage_key.secret).status_code == 200


def test_no_cookie_and_no_token_is_needed_to_write(acme, manage_key):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    response = client.post(
        KEYS,
        json.dumps({"name": "x"}),
        content_type="application/json",
        headers={"Authorization": f"Bearer {manage_key.secret}"},
    )
    assert response.status_code == 201
    assert not response.cookies


def test_a_person_who_is_signed_in_is_nobody_here(client, owner, acme):
    client.force_login(owner)
    for path in (KEY, KEYS):
        assert client.get(path).status_code == 401


@pytest.mark.parametrize("method", ["options", "trace", "put", "delete"])
def test_methods_that_do_not_exist_are_405(method, ask, manage_key):
    response = ask(method, KEYS, manage_key.secret)
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, POST"
    assert str(response.status_code) in response.content.decode()


def test_too_many_requests_say_when_to_come_back(ask, manage_key, settings):
    settings.API_RATE = "2/hour"
    replies = [ask("get", KEY, manage_key.secret) for _ in range(3)]
    assert [each.status_code for each in replies] == [200, 200, 429]
    assert refusal(replies[2]) == "Rate limit exceeded"
    assert 0 < int(replies[2]["Retry-After"]) <= 3600
