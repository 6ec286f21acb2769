"""`/v1/webhooks`: what programs say about who is told what happens."""

import json

import pytest

from keys import services
from keys.models import Webhook, WebhookDelivery


@pytest.fixture
def ask(client, manage_key):
    """Ask as acme's own key with every right."""

    def send(method, path, body=None):
        return client.generic(
            method,
            f"/v1/webhooks{path}",
            "" if body is None else json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {manage_key.secret}"},
        )

    return send


def test_the_secret_is_in_the_reply_that_creates_it_and_in_no_other(ask):
    made = ask("POST", "", {"url": "https://example.com/hook", "events": ["apikey.revoked"]})
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    path = f"/{made.json()['id']}"
    for reply in (ask("GET", path), ask("GET", ""), ask("PATCH", path, {"enabled": False})):
        assert reply.status_code == 200
        assert "whsec_" not in reply.text
    rotated = ask("POST", f"{path}/rotate")
    assert rotated.json()["secret"] != made.json()["secret"]
    assert ask("DELETE", path).status_code == 204
    assert not Webhook.objects.exists()


def test_one_may_be_added_disabled(ask):
    made = ask("POST", "", {"url": "https://example.com/hook", "enabled": False})
    assert made.json()["enabled"] is False
    assert made.json()["secret"].startswith("whsec_")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({}, "url"),
        ({"url": "https://example.com/", "events": ["x"]}, "events"),
        ({"url": "https://example.com/", "secret_": "x"}, "secret_"),
    ],
)
def test_what_is_wrong_is_told_by_field(ask, body, field):
    reply = ask("POST", "", body)
    assert reply.status_code == 400
    assert list(reply.json()["errors"]) == [field]
    assert not Webhook.objects.exists()


def test_a_test_is_listed_and_what_arrived_is_sent_again(ask, acme):
    path = f"/{ask('POST', '', {'url': 'https://example.com/'}).json()['id']}"
    tested = ask("POST", f"{path}/test")
    assert tested.status_code == 202
    assert tested.json()["body"]["type"] == "webhook.test"
    again = f"{path}/deliveries/{tested.json()['id']}/replay"
    assert ask("POST", again).status_code == 400
    WebhookDelivery.objects.update(state="delivered")
    replayed = ask("POST", again)
    assert replayed.json()["message_id"] == tested.json()["message_id"]
    assert [each["state"] for each in ask("GET", f"{path}/deliveries").json()] == [
        "waiting",
        "delivered",
    ]


def test_another_organizations_webhook_is_not_there(ask, other, stranger):
    webhook, _secret = services.create_webhook(
        actor=stranger, organization=other, url="https://example.com/"
    )
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries")):
        assert ask(method, f"/{webhook.pk}{path}").status_code == 404
