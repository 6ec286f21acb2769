"""Rate limits at the API: headers, 429 in every dialect, fields to set them, batches, one's own."""

import json

import pytest
import time_machine
from django.core.handlers.wsgi import WSGIHandler
from django.urls import reverse

from keys import policy, rates, services
from keys.api.urls import MODULES
from keys.gate import Gate
from keys.models import APIKey, Organization, UsageBucket
from tests.key_pages import demote
from tests.test_gate import refuse_to_answer, send, told

pytestmark = pytest.mark.django_db

DIALECTS = [module.DIALECT.dialect for module in MODULES]
MINUTE = {"amount": 2, "period": "minute"}
DAY = {"amount": 1000, "period": "day"}


@pytest.fixture(autouse=True)
def _clock():
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False):
        yield


@pytest.fixture
def call(client):
    """Call the API with a key's secret, and a body of JSON where there is one."""

    def send(method, path, key, body=None):
        data = {} if body is None else {"data": json.dumps(body)}
        headers = {"Authorization": f"Bearer {key.secret}"}
        return client.generic(
            method.upper(), path, content_type="application/json", headers=headers, **data
        )

    return send


def limit(owner, *entries):
    change = {"actor": policy.OPERATOR, "rate_limits": entries}
    if isinstance(owner, APIKey):
        services.update_key(key=owner, **change)
    else:
        services.update_organization(organization=owner, **change)


def fields_of(response) -> dict[str, str]:
    names = ("RateLimit-Policy", "RateLimit", "Retry-After")
    return {name: response[name] for name in names if name in response}


class TestHeaders:
    def test_a_proxy_is_told_where_the_key_and_its_organization_stand(self, call, key, acme):
        limit(key, MINUTE)
        limit(acme, DAY)
        assert fields_of(call("get", "/v1/auth", key)) == {
            "RateLimit-Policy": '"key-minute";q=2;w=60, "organization-day";q=1000;w=86400',
            "RateLimit": '"key-minute";r=1;t=60, "organization-day";r=999;t=43200',
        }
        call("get", "/v1/auth", key)
        refused = call("get", "/v1/auth", key)
        assert refused.status_code == 429
        assert fields_of(refused)["RateLimit"].startswith('"key-minute";r=0;t=61')
        assert fields_of(refused)["Retry-After"] == "61"
        assert refused.json()["message"].startswith("This API key is used too often.")
        assert not any(name.startswith("X-Keyhaven") for name in refused.headers)

    def test_a_key_without_limits_hears_nothing_of_them(self, call, key):
        assert fields_of(call("get", "/v1/auth", key)) == {}
        assert fields_of(call("get", "/v1/api-keys", key)) == {}

    @pytest.mark.parametrize("dialect", DIALECTS)
    def test_every_dialect_refuses_in_its_own_words_with_the_time_to_wait(
        self, client, key, acme, dialect
    ):
        limit(key, MINUTE)
        headers = {"X-API-Key": key.secret}
        replies = [client.get(reverse(f"{dialect}:key-list"), headers=headers) for _ in range(3)]
        assert replies[1]["RateLimit"] == '"key-minute";r=0;t=61'
        assert replies[2].status_code == 429
        assert replies[2]["Retry-After"] == "61"
        assert isinstance(replies[2].json(), dict)

    def test_an_organizations_limits_are_not_for_calls_to_the_portal(self, call, key, acme):
        limit(acme, {"amount": 1, "period": "day"})
        answers = [call("get", "/v1/api-keys", key).status_code for _ in range(3)]
        assert answers == [200, 200, 200]
        assert call("get", "/v1/auth", key).status_code == 204
        assert call("get", "/v1/auth", key).status_code == 429

    @pytest.mark.parametrize(("failure", "status"), [("refuse", 429), ("allow", 204)])
    def test_t45_the_organization_chooses_what_a_dead_store_means(
        self, call, key, acme, settings, failure, status
    ):
        """T45: not the code, by accident."""
        limit(key, MINUTE)
        services.update_organization(
            actor=policy.OPERATOR, organization=acme, limiter_failure=failure
        )
        settings.RATE_LIMIT_STORAGE = "redis://127.0.0.1:1/0"
        response = call("get", "/v1/auth", key)
        assert response.status_code == status
        assert fields_of(response) == ({"Retry-After": "1"} if status == 429 else {})

    def test_a_refused_use_is_counted_and_costs_nothing(self, call, key):
        limit(key, {"amount": 1, "period": "day"})
        services.update_key(actor=policy.OPERATOR, key=key, limit=10)
        for _ in range(3):
            call("get", "/v1/auth", key)
        counted = dict(UsageBucket.objects.values_list("outcome", "requests"))
        assert counted == {"VALID": 1, "RATE_LIMITED": 2}
        assert APIKey.objects.get(pk=key.pk).totals.cost == 1


class TestVerify:
    def test_the_answer_says_what_is_left_of_the_key_asked_about(
        self, call, key, read_only_key, acme
    ):
        limit(key, MINUTE)
        limit(acme, DAY)
        answers = [call("post", "/v1/verify", read_only_key, {"key": key.secret}) for _ in range(3)]
        assert answers[0].json()["rate_limits"] == [
            {"amount": 2, "period": "minute", "applies_to": "key", "remaining": 1, "reset": 60},
            {
                "amount": 1000,
                "period": "day",
                "applies_to": "organization",
                "remaining": 999,
                "reset": 43200,
            },
        ]
        refused = answers[2].json()
        assert (refused["valid"], refused["code"]) == (False, "RATE_LIMITED")
        assert (refused["failed_checks"], refused["retry_after"]) == (["RATE_LIMITED"], 61)
        # Whoever asks is not the one who is too fast.
        assert [fields_of(answer) for answer in answers] == [{}] * 3
        assert answers[2].status_code == 200

    def test_whoever_asks_too_often_is_refused_by_its_own_limit(self, call, key, read_only_key):
        limit(read_only_key, MINUTE)
        answers = [call("post", "/v1/verify", read_only_key, {"key": key.secret}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert fields_of(answers[0])["RateLimit"] == '"key-minute";r=1;t=60'
        assert UsageBucket.objects.get(key=key).requests == 2


class TestBatch:
    def test_answers_are_in_the_order_of_the_questions(self, call, key, read_only_key, manage_key):
        asked = [
            {"key": key.secret, "scopes": ["MANAGE"]},
            {"key": "kh_unknown"},
            {"key": manage_key.secret, "scopes": ["MANAGE"], "cost": 3},
        ]
        answers = call("post", "/v1/verify", read_only_key, asked).json()
        assert [answer["code"] for answer in answers] == [
            "INSUFFICIENT_SCOPES",
            "NOT_FOUND",
            "VALID",
        ]
        assert answers[2] == {
            **call("post", "/v1/verify", read_only_key, asked[2]).json(),
            "limit_remaining": None,
        }
        assert UsageBucket.objects.get(key=manage_key).cost == 6

    def test_each_question_is_charged_by_itself(self, call, key, read_only_key):
        services.update_key(actor=policy.OPERATOR, key=key, limit=2)
        answers = call("post", "/v1/verify", read_only_key, [{"key": key.secret}] * 4).json()
        assert [answer["code"] for answer in answers] == [*["VALID"] * 2, *["LIMIT_EXCEEDED"] * 2]
        assert [answer["limit_remaining"] for answer in answers] == [1, 0, 0, 0]

    @pytest.mark.parametrize(
        "more",
        [
            {"ip": "010.1.2.3"},
            {"scopes": "READ"},
            {"cost": -1},
            {"organization_id": 1},
            {"address": "192.0.2.1"},
            {"user_agent": "curl"},
            {"X-Forwarded-For": "192.0.2.1"},
            {"door": "api"},
        ],
    )
    def test_t25_no_item_says_more_than_a_single_question_may(self, call, key, read_only_key, more):
        """T25: one bad item refuses all, and nothing was counted or charged."""
        asked = [{"key": key.secret}, {"key": key.secret, **more}]
        response = call("post", "/v1/verify", read_only_key, asked)
        assert response.status_code == 400
        [name] = more
        assert list(response.json()["errors"]) == [f"1.{name}"]
        assert not UsageBucket.objects.filter(key=key).exists()
        single = call("post", "/v1/verify", read_only_key, asked[1])
        assert list(single.json()["errors"]) == [name]

    def test_t25_the_callers_address_is_nobody_elses(self, call, key, read_only_key):
        """T25: a question without an address has none, wherever the caller is."""
        services.add_allowed_ip(actor=policy.OPERATOR, key=key, network="127.0.0.1")
        asked = [{"key": key.secret}, {"key": key.secret, "ip": "127.0.0.1"}]
        answers = call("post", "/v1/verify", read_only_key, asked).json()
        assert [answer["code"] for answer in answers] == ["FORBIDDEN_ADDRESS", "VALID"]
        # Nor does an item's address let the caller itself in from elsewhere.
        services.add_allowed_ip(actor=policy.OPERATOR, key=read_only_key, network="192.0.2.1")
        asked = [{"key": key.secret, "ip": "192.0.2.1"}]
        assert call("post", "/v1/verify", read_only_key, asked).status_code == 401

    def test_a_key_of_another_organization_is_not_found(self, call, key, other, stranger, client):
        foreign = services.issue_key(
            actor=stranger, organization=other, name="Asker", scopes=["READ"]
        )
        answers = call("post", "/v1/verify", foreign, [{"key": key.secret}] * 2).json()
        assert answers == [{"valid": False, "code": "NOT_FOUND"}] * 2

    @pytest.mark.parametrize("count", [0, 101])
    def test_no_question_and_too_many_are_refused(self, call, read_only_key, count):
        response = call("post", "/v1/verify", read_only_key, [{"key": "x"}] * count)
        assert response.status_code == 400
        assert response.json()["message"]

    def test_a_hundred_are_answered(self, call, key, read_only_key):
        answers = call("post", "/v1/verify", read_only_key, [{"key": key.secret}] * 100).json()
        assert [answer["valid"] for answer in answers] == [True] * 100


class TestOwnKey:
    def test_the_holder_learns_what_the_key_may_do_and_what_is_left(self, call, acme, developer):
        key = services.issue_key(
            actor=developer,
            organization=acme,
            name="Partner",
            scopes=["READ", "DELETE"],
            limit=10,
            limit_reset="daily",
            rate_limits=[MINUTE],
            allowed_ips=["127.0.0.1", {"network": "192.0.2.0/24", "deny": True}],
        )
        limit(acme, DAY)
        call("get", "/v1/auth", key)
        response = call("get", "/v1/keys/self", key)
        told = response.json()
        assert told == {
            "key_id": key.pk,
            "key_name": "Partner",
            "label": key.label,
            "organization_id": acme.pk,
            "organization": "acme",
            "workspace_id": str(key.workspace_id),
            "role": None,
            "key_scope": ["DELETE", "READ"],
            "not_before": None,
            "expires_at": None,
            "limit": 10,
            "limit_remaining": 9,
            "limit_reset": "daily",
            "limit_resets_at": "2026-03-02T00:00:00Z",
            "rate_limits": [
                {"amount": 2, "period": "minute", "applies_to": "key", "remaining": 0, "reset": 61},
                {
                    "amount": 1000,
                    "period": "day",
                    "applies_to": "organization",
                    "remaining": 999,
                    "reset": 43200,
                },
            ],
            "allowed_ips": ["127.0.0.1"],
            "denied_ips": ["192.0.2.0/24"],
        }
        # Asking costs nothing of its limit, and is answered although the key may not READ keys.
        assert APIKey.objects.get(pk=key.pk).totals.cost == 1

    def test_a_key_without_any_scope_may_ask(self, call, acme, developer):
        key = services.issue_key(actor=developer, organization=acme, name="Bare")
        assert call("get", "/v1/keys/self", key).json()["key_scope"] == []

    def test_it_tells_what_the_key_holds_now_not_what_it_lists(self, call, key, viewer):
        demote(key.owner, key.organization)
        assert call("get", "/v1/keys/self", key).json()["key_scope"] == ["READ"]

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_nothing_is_changed_through_it(self, call, key, method):
        assert call(method, "/v1/keys/self", key, {}).status_code in (403, 405)

    def test_without_a_key_nothing_is_told(self, client):
        assert client.get("/v1/keys/self").status_code == 401

    def test_a_store_that_is_away_hides_what_is_left_alone(self, call, key, settings, acme):
        limit(acme, DAY)
        settings.RATE_LIMIT_STORAGE = "redis://127.0.0.1:1/0"
        [window] = call("get", "/v1/keys/self", key).json()["rate_limits"]
        assert (window["remaining"], window["reset"]) == (None, None)

    def test_neither_secret_nor_digest_nor_other_keys_are_told(self, call, key, read_only_key):
        """T6, T21."""
        body = call("get", "/v1/keys/self", key).content.decode()
        stored = key.secrets.get()
        hidden = [key.secret, key.secret[8:-4], stored.digest, stored.nonce, key.hash]
        assert [text for text in hidden if text in body] == []
        assert not any(word in body for word in ("digest", "pepper", "nonce", "secret"))
        assert read_only_key.name not in body


class TestFields:
    def test_a_key_is_created_read_and_changed_with_them(self, call, key, acme):
        created = call(
            "post",
            "/v1/api-keys",
            key,
            {
                "key_name": "Batch",
                "key_scope": ["READ"],
                "organization_id": acme.pk,
                "rate_limits": [DAY, MINUTE],
            },
        )
        assert created.status_code == 201
        path = f"/v1/api-keys/{created.json()['id']}"
        assert call("get", path, key).json()["rate_limits"] == [MINUTE, DAY]
        changed = call("patch", path, key, {"rate_limits": [DAY]})
        assert changed.json()["rate_limits"] == [DAY]
        assert call("patch", path, key, {"key_name": "B"}).json()["rate_limits"] == [DAY]
        assert call("patch", path, key, {"rate_limits": []}).json()["rate_limits"] == []

    @pytest.mark.parametrize(
        ("entries", "path"),
        [
            ("100/minute", "rate_limits"),
            (["100/minute"], "rate_limits.0"),
            ([{"amount": 5}], "rate_limits.0.period"),
            ([{"period": "day"}], "rate_limits.0.amount"),
            ([DAY, {"amount": "5", "period": "day"}], "rate_limits.1.amount"),
            ([{"amount": 0, "period": "day"}], "rate_limits.0.amount"),
            ([{"amount": 10**10, "period": "day"}], "rate_limits.0.amount"),
            ([{"amount": 5, "period": "week"}], "rate_limits.0.period"),
            ([{"amount": 5, "period": "day", "burst": 3}], "rate_limits.0.burst"),
            ([DAY, DAY], "rate_limits.1"),
            (None, "rate_limits"),
        ],
    )
    def test_what_is_wrong_is_named(self, call, key, read_only_key, entries, path):
        response = call("patch", f"/v1/api-keys/{read_only_key.pk}", key, {"rate_limits": entries})
        assert response.status_code == 400
        assert list(response.json()["errors"]) == [path]
        assert not read_only_key.rate_limits.exists()

    def test_a_limited_key_changes_nobodys_rate_limits(self, call, key, read_only_key):
        """T2."""
        limit(key, {"amount": 50, "period": "minute"})
        path = f"/v1/api-keys/{read_only_key.pk}"
        assert call("patch", path, key, {"rate_limits": [MINUTE]}).status_code == 403
        assert call("patch", path, key, {"description": "Found."}).status_code == 200

    def test_an_organization_says_and_is_told_its_own(self, call, manage_key, acme):
        path = f"/v1/organizations/{acme.pk}"
        before = call("get", path, manage_key).json()
        assert (before["rate_limits"], before["limiter_failure"]) == ([], "refuse")
        body = {"rate_limits": [DAY, MINUTE], "limiter_failure": "allow"}
        after = call("patch", path, manage_key, body).json()
        assert (after["rate_limits"], after["limiter_failure"]) == ([MINUTE, DAY], "allow")
        assert Organization.objects.get(pk=acme.pk).limiter_failure == "allow"

    def test_nobody_without_manage_sets_the_organizations(self, call, key, acme):
        response = call("patch", f"/v1/organizations/{acme.pk}", key, {"rate_limits": []})
        assert response.status_code == 403


def test_rates_count_across_the_doors(call, key, read_only_key):
    """A key is as fast as it is, whichever way it is presented."""
    limit(key, MINUTE)
    assert call("get", "/v1/auth", key).status_code == 204
    assert call("get", "/v1/api-keys", key).status_code == 200
    answer = call("post", "/v1/verify", read_only_key, {"key": key.secret}).json()
    assert answer["code"] == "RATE_LIMITED"
    [window] = rates.look(services.rates_of(APIKey.objects.get(pk=key.pk)))
    assert window.remaining == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failure", ["refuse", "allow", None])
def test_ahead_of_django_the_same_is_answered(acme, key, settings, failure):
    """T31: the gate and the views, use after use, with a store and without."""
    limit(key, MINUTE)
    limit(acme, DAY)
    if failure:
        services.update_organization(
            actor=policy.OPERATOR, organization=acme, limiter_failure=failure
        )
        settings.RATE_LIMIT_STORAGE = "redis://127.0.0.1:1/0"
    answers = []
    for door in (Gate(refuse_to_answer), WSGIHandler()):
        rates._store.cache_clear()
        answers.append([told(send(door, HTTP_X_API_KEY=key.secret), "GET") for _ in range(3)])
    assert answers[0] == answers[1]
    expected = {"refuse": [429] * 3, "allow": [204] * 3, None: [204, 204, 429]}
    assert [status for status, _headers, _body in answers[0]] == expected[failure]
