"""Webhooks: what receivers get, when they are away, and who may say where they are."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from standardwebhooks.webhooks import Webhook as Receiver
from standardwebhooks.webhooks import WebhookVerificationError

from keys import policy, services
from keys.models import AuditEvent, Message, Webhook, WebhookDelivery
from keys.models.messages import Kind
from keys.services import webhook_sending
from keys.services.events import PUBLISHED
from keys.services.shared_secrets import reseal_secrets
from tests.test_receivers import receiver, say, url_of

State = WebhookDelivery.State


def later(**length):
    return time_machine.travel(timezone.now() + timedelta(**length), tick=False)


def fields_of(request) -> dict[str, str]:
    return {name.lower(): value for name, value in request[1].items()}


@pytest.fixture(autouse=True)
def _at_home(settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def server():
    with receiver(say(204)) as running:
        yield running


@pytest.fixture
def hook(acme, admin, developer, viewer, server):
    """A webhook of acme's that listens on this machine, and its secret."""
    webhook, secret = services.create_webhook(
        actor=admin, organization=acme, url=url_of(server), description="Alerts"
    )
    webhook.secret = secret
    return webhook


class TestMessages:
    def test_a_receiver_verifies_what_it_gets_with_the_librarys_own_code(
        self, hook, server, acme, developer
    ):
        key = services.issue_key(actor=developer, organization=acme, name="Backend")
        assert webhook_sending.send_due() == 1
        (request,) = server.seen
        body = Receiver(hook.secret).verify(request[2], fields_of(request))
        assert fields_of(request)["content-type"] == "application/json"
        assert (body["type"], body["version"]) == ("apikey.issued", 1)
        assert body["data"]["key"] == {
            "id": key.pk,
            "identifier": key.identifier,
            "hash": key.hash,
            "label": key.label,
            "name": "Backend",
            "owner": developer.pk,
            "expires_at": None,
        }
        assert body["data"]["organization"] == {"id": acme.pk, "slug": "acme"}
        assert body["data"]["actor"] == "developer@acme.example"

    def test_no_secret_is_in_any_message(self, hook, acme, developer):
        key = services.issue_key(actor=developer, organization=acme, name="Backend")
        new = services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
        sent = "".join(WebhookDelivery.objects.values_list("body", flat=True))
        assert WebhookDelivery.objects.count() == 2
        for secret in (key.secret, new.secret, hook.secret):
            assert secret not in sent
            assert secret not in str(list(AuditEvent.objects.values("changes")))
            assert secret not in str(list(Webhook.objects.values()))

    def test_a_message_that_was_altered_is_refused(self, hook, server, acme, developer):
        services.issue_key(actor=developer, organization=acme, name="Backend")
        webhook_sending.send_due()
        (request,) = server.seen
        with pytest.raises(WebhookVerificationError):
            Receiver(hook.secret).verify(request[2] + b" ", fields_of(request))

    def test_it_is_told_of_the_chosen_events_only(self, hook, admin, acme, developer):
        services.update_webhook(actor=admin, webhook=hook, events=["apikey.revoked"])
        key = services.issue_key(actor=developer, organization=acme, name="Backend")
        services.revoke_key(actor=developer, key=key)
        assert [each.event for each in WebhookDelivery.objects.all()] == ["apikey.revoked"]

    def test_other_organizations_are_nobodys_news(self, hook, strangers_key):
        assert not WebhookDelivery.objects.exists()

    def test_a_new_secret_and_the_old_one_both_sign_for_a_day(
        self, hook, server, admin, acme, developer
    ):
        new = services.rotate_webhook_secret(actor=admin, webhook=hook)
        services.test_webhook(actor=admin, webhook=hook)
        webhook_sending.send_due()
        for secret in (hook.secret, new):
            Receiver(secret).verify(server.seen[0][2], fields_of(server.seen[0]))
        delivery = WebhookDelivery.objects.select_related("webhook").get()
        headers = webhook_sending.sign(delivery, timezone.now() + timedelta(hours=25))
        assert len(headers["webhook-signature"].split()) == 1

    def test_without_the_pepper_nothing_is_sent_and_it_says_why(
        self, hook, server, admin, settings
    ):
        services.test_webhook(actor=admin, webhook=hook)
        settings.KEY_PEPPERS = {9: b"x" * 32}
        webhook_sending.send_due()
        assert server.seen == []
        assert WebhookDelivery.objects.get().error == "sealed"

    def test_after_a_migration_only_the_newest_pepper_is_needed(
        self, hook, server, admin, settings
    ):
        services.rotate_webhook_secret(actor=admin, webhook=hook)
        settings.KEY_PEPPERS = {**settings.KEY_PEPPERS, 9: b"x" * 32}
        reseal_secrets()
        settings.KEY_PEPPERS = {9: b"x" * 32}
        services.test_webhook(actor=admin, webhook=hook)
        webhook_sending.send_due()
        Receiver(hook.secret).verify(server.seen[0][2], fields_of(server.seen[0]))


class TestPatience:
    def test_nothing_is_lost_while_a_receiver_is_away_for_a_day(self, acme, admin, developer):
        with receiver(say(503, b"busy")) as running:
            webhook, _secret = services.create_webhook(
                actor=admin, organization=acme, url=url_of(running)
            )
            services.issue_key(actor=developer, organization=acme, name="Backend")
            for hour in range(25):
                with later(hours=hour):
                    webhook_sending.send_due()
            assert 5 < len(running.seen) < 15
            ids = {fields_of(each)["webhook-id"] for each in running.seen}
            delivery = WebhookDelivery.objects.get()
            assert (delivery.state, delivery.status) == (State.WAITING, 503)
            assert delivery.response == "busy"
        with receiver(say(200)) as running:
            Webhook.objects.update(url=url_of(running))
            with later(hours=36):
                webhook_sending.send_due()
            assert {fields_of(each)["webhook-id"] for each in running.seen} == ids
        delivery.refresh_from_db()
        webhook.refresh_from_db()
        assert delivery.state == State.DELIVERED
        assert webhook.failing_since is None

    def test_one_that_fails_for_days_is_switched_off_with_a_mail(self, acme, admin, owner):
        Message.objects.all().delete()
        with receiver(say(500)) as running:
            webhook, _secret = services.create_webhook(
                actor=admin, organization=acme, url=url_of(running)
            )
            services.test_webhook(actor=admin, webhook=webhook)
            for hour in range(0, 24 * 7, 6):
                with later(hours=hour):
                    webhook_sending.send_due()
        webhook.refresh_from_db()
        assert not webhook.enabled
        assert webhook.stopped_at
        told = Message.objects.filter(kind=Kind.WEBHOOK).values_list("person__email", flat=True)
        assert set(told) == {"owner@acme.example", "admin@acme.example"}
        assert AuditEvent.objects.filter(action="webhook.stopped").count() == 1

    def test_one_that_is_gone_for_good_is_switched_off_at_once(self, acme, admin):
        with receiver(say(410)) as running:
            webhook, _secret = services.create_webhook(
                actor=admin, organization=acme, url=url_of(running)
            )
            services.test_webhook(actor=admin, webhook=webhook)
            webhook_sending.send_due()
        webhook.refresh_from_db()
        assert not webhook.enabled

    @pytest.mark.parametrize(("status", "state"), [(300, State.WAITING), (299, State.DELIVERED)])
    def test_who_only_points_elsewhere_has_not_taken_it(self, acme, admin, status, state):
        with receiver(say(status)) as running:
            webhook, _secret = services.create_webhook(
                actor=admin, organization=acme, url=url_of(running)
            )
            services.test_webhook(actor=admin, webhook=webhook)
            webhook_sending.send_due()
        assert webhook.deliveries.get().state == state

    def test_of_who_does_not_answer_no_words_are_kept(self, hook, server, admin):
        services.test_webhook(actor=admin, webhook=hook)
        server.shutdown()
        server.server_close()
        webhook_sending.send_due()
        delivery = hook.deliveries.get()
        assert (delivery.status, delivery.response) == (None, "")
        assert delivery.error

    def test_one_that_does_not_answer_is_left_alone_for_a_while(self, hook, server, admin):
        for _ in range(5):
            services.test_webhook(actor=admin, webhook=hook)
        server.shutdown()
        server.server_close()
        assert webhook_sending.send_due() == 1
        with later(seconds=40):
            assert webhook_sending.send_due() == 1

    def test_one_that_has_not_answered_for_long_is_left_alone_for_longer(self, hook, server, admin):
        for _ in range(5):
            services.test_webhook(actor=admin, webhook=hook)
        server.shutdown()
        server.server_close()
        tried = {}
        for minutes in (0, 10, 11, 19, 21, 600, 655, 665):
            with later(minutes=minutes):
                tried[minutes] = webhook_sending.send_due()
        assert tried == {0: 1, 10: 1, 11: 0, 19: 0, 21: 1, 600: 1, 655: 0, 665: 1}

    @pytest.mark.django_db(transaction=True)
    def test_slow_receivers_of_one_organization_hold_up_no_other(
        self, server, acme, admin, other, stranger
    ):
        asked, let_go = threading.Event(), threading.Event()

        def answer_late(handler):
            asked.set()
            assert let_go.wait(10)
            say(204)(handler)

        with receiver(answer_late) as slow:
            for actor, organization, target in (
                (admin, acme, slow),
                (admin, acme, slow),
                (stranger, other, server),
            ):
                webhook, _secret = services.create_webhook(
                    actor=actor, organization=organization, url=url_of(target)
                )
                services.test_webhook(actor=actor, webhook=webhook)

            def work():
                try:
                    return webhook_sending.send_due()
                finally:
                    connection.close()

            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(work)
                assert asked.wait(10)
                assert webhook_sending.send_due() == 1
                assert (len(server.seen), len(slow.seen)) == (1, 1)
                let_go.set()
                assert sending.result() == 2

    def test_deleted_while_it_is_told_something_it_leaves_nothing(self, hook, server, admin):
        delivery = services.test_webhook(actor=admin, webhook=hook)
        services.delete_webhook(actor=admin, webhook=hook)
        webhook_sending.attempt(delivery)
        assert len(server.seen) == 1
        assert not WebhookDelivery.objects.exists()

    def test_what_is_saved_as_it_was_is_no_event_and_forgives_nothing(self, hook, admin):
        hook.failing_since = timezone.now()
        hook.save()
        events = AuditEvent.objects.count()
        services.update_webhook(actor=admin, webhook=hook, description=hook.description)
        hook.refresh_from_db()
        assert hook.failing_since
        assert AuditEvent.objects.count() == events

    def test_enabled_again_it_gets_what_waited(self, hook, server, admin, acme, developer):
        services.test_webhook(actor=admin, webhook=hook)
        services.update_webhook(actor=admin, webhook=hook, enabled=False)
        services.issue_key(actor=developer, organization=acme, name="Not told")
        assert webhook_sending.send_due() == 0
        services.update_webhook(actor=admin, webhook=hook, enabled=True)
        assert webhook_sending.send_due() == 1
        assert len(server.seen) == 1

    def test_who_dies_while_sending_leaves_it_to_the_next_under_the_same_id(
        self, hook, server, admin, monkeypatch
    ):
        services.test_webhook(actor=admin, webhook=hook)

        def die(*_args, **_options):
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(webhook_sending, "_conclude", die)
            with pytest.raises(SystemExit):
                webhook_sending.send_due()
        assert webhook_sending.send_due() == 0
        with later(minutes=3):
            webhook_sending.send_due()
        first, second = (fields_of(each)["webhook-id"] for each in server.seen)
        assert first == second

    @pytest.mark.django_db(transaction=True)
    def test_several_workers_send_each_message_once(self, hook, server, admin):
        for _ in range(12):
            services.test_webhook(actor=admin, webhook=hook)
        together = threading.Barrier(4)

        def work(_number):
            try:
                together.wait()
                return webhook_sending.send_due()
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(work, range(4))) == 12
        ids = [fields_of(each)["webhook-id"] for each in server.seen]
        assert len(ids) == len(set(ids)) == 12

    def test_a_private_receiver_is_refused_when_the_installation_says_so(
        self, hook, server, admin, settings
    ):
        """Its address may have been public when it was entered."""
        Webhook.objects.update(url=url_of(server, "localhost").replace("http:", "https:"))
        services.test_webhook(actor=admin, webhook=hook)
        settings.WEBHOOK_ALLOWED_NETWORKS = []
        webhook_sending.send_due()
        assert server.seen == []
        assert WebhookDelivery.objects.get().error == "refused"

    def test_of_a_huge_answer_a_little_is_kept(self, acme, admin):
        with receiver(say(200, b"\x00x" * 100_000)) as running:
            webhook, _secret = services.create_webhook(
                actor=admin, organization=acme, url=url_of(running)
            )
            services.test_webhook(actor=admin, webhook=webhook)
            webhook_sending.send_due()
        assert WebhookDelivery.objects.get().response == "x" * webhook_sending.MAX_KEPT


class TestReplay:
    def test_what_arrived_is_sent_again_under_the_same_id(self, hook, server, admin):
        delivery = services.test_webhook(actor=admin, webhook=hook)
        with pytest.raises(ValidationError):
            services.replay_delivery(actor=admin, delivery=delivery)
        webhook_sending.send_due()
        delivery.refresh_from_db()
        services.replay_delivery(actor=admin, delivery=delivery)
        webhook_sending.send_due()
        first, second = server.seen
        assert fields_of(first)["webhook-id"] == fields_of(second)["webhook-id"]
        assert first[2] == second[2]


class TestWhoMay:
    @pytest.mark.parametrize("name", ["staff", "developer", "viewer", "stranger"])
    def test_only_who_manages_changes_webhooks(self, request, hook, acme, name):
        person = request.getfixturevalue(name)
        delivery = services.test_webhook(actor=policy.OPERATOR, webhook=hook)
        WebhookDelivery.objects.update(state=State.DELIVERED)
        delivery.refresh_from_db()
        new = {"organization": acme, "url": "https://example.com/"}
        for service, arguments in (
            (services.create_webhook, new),
            (services.update_webhook, {"webhook": hook, "enabled": False}),
            (services.delete_webhook, {"webhook": hook}),
            (services.rotate_webhook_secret, {"webhook": hook}),
            (services.test_webhook, {"webhook": hook}),
            (services.replay_delivery, {"delivery": delivery}),
        ):
            with pytest.raises(PermissionDenied):
                service(actor=person, **arguments)
        assert Webhook.objects.count() == WebhookDelivery.objects.count() == 1

    @pytest.mark.parametrize(
        ("fields", "at_fault"),
        [
            ({"url": "https://10.0.0.1/"}, "url"),
            ({"url": "ftp://example.com/"}, "url"),
            ({"url": ""}, "url"),
            ({"url": "https://example.com/\x00"}, "url"),
            ({"events": ["apikey.nothing"]}, "events"),
            ({"description": "x" * 201}, "description"),
        ],
    )
    def test_what_is_wrong_is_told_by_field(self, acme, admin, fields, at_fault):
        with pytest.raises(ValidationError) as error:
            services.create_webhook(
                actor=admin, organization=acme, **{"url": "https://example.com/", **fields}
            )
        assert set(error.value.error_dict) == {at_fault}
        assert not Webhook.objects.exists()

    def test_an_event_that_there_is_not_is_named(self, acme, admin):
        wish = {"url": "https://example.com/", "events": ["apikey.nothing"]}
        with pytest.raises(ValidationError, match=r"There is no event 'apikey\.nothing'"):
            services.create_webhook(actor=admin, organization=acme, **wish)

    def test_there_are_so_many_at_most(self, acme, admin, monkeypatch):
        monkeypatch.setattr(services.webhooks, "MAX_WEBHOOKS", 1)
        services.create_webhook(actor=admin, organization=acme, url="https://example.com/")
        with pytest.raises(ValidationError):
            services.create_webhook(actor=admin, organization=acme, url="https://example.com/")


def test_the_names_of_events_are_what_receivers_were_told():
    names = {
        "apikey": (
            "issued updated disabled enabled rotated handed_over secret_retired revoked locked "
            "unlocked expiring expired old_secret_used"
        ),
        "leak": "reported",
        "membership": "created updated deleted",
        "approval": "requested approved denied",
        "policy": "updated",
    }
    assert {*PUBLISHED} == {f"{of}.{each}" for of, all_ in names.items() for each in all_.split()}


class TestPages:
    def page(self, name, *more):
        return reverse(f"keys:{name}", args=["acme", *more])

    def test_the_secret_is_shown_once(self, client, acme, admin):
        client.force_login(admin)
        form = {"url": "https://example.com/hooks", "token": "x" * 32, "events": ["apikey.issued"]}
        reply = client.post(self.page("webhooks"), form)
        webhook = acme.webhooks.get()
        assert reply.text.count("whsec_") == 1
        assert "no-store" in reply["Cache-Control"]
        assert webhook.events == ["apikey.issued"]
        assert "whsec_" not in client.get(self.page("webhook", webhook.pk)).text
        again = client.post(self.page("webhooks"), form, follow=True)
        assert "whsec_" not in again.text
        assert acme.webhooks.count() == 1

    def test_a_bad_address_stands_at_its_field(self, client, acme, admin):
        client.force_login(admin)
        form = {"url": "https://user:secret@example.com/", "token": "x" * 32}
        reply = client.post(self.page("webhooks"), form)
        assert "Leave out the name and password" in reply.text
        assert not acme.webhooks.exists()

    def test_a_test_shows_what_was_answered_and_can_be_sent_again(
        self, client, hook, server, admin
    ):
        client.force_login(admin)
        reply = client.post(self.page("webhook-test", hook.pk))
        address = reply["Location"]
        assert "Waiting" in client.get(address).text
        webhook_sending.send_due()
        text = client.get(address).text
        assert "Delivered" in text
        assert "204" in text
        assert "webhook.test" in text
        client.post(address)
        assert webhook_sending.send_due() == 1
        assert "Delivered" in client.get(self.page("webhook", hook.pk)).text

    def test_an_answer_is_shown_as_text(self, client, acme, admin):
        client.force_login(admin)
        with receiver(say(500, b"<script>alert(1)</script>")) as running:
            webhook, _secret = services.create_webhook(
                actor=admin, organization=acme, url=url_of(running)
            )
            delivery = services.test_webhook(actor=admin, webhook=webhook)
            webhook_sending.send_due()
        text = client.get(self.page("webhook-delivery", webhook.pk, delivery.pk)).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text

    def test_editing_switching_renewing_deleting(self, client, hook, acme, admin):
        client.force_login(admin)
        new = {"url": "https://example.com/new", "description": "New"}
        client.post(self.page("webhook-edit", hook.pk), new)
        client.post(self.page("webhook-switch", hook.pk))
        hook.refresh_from_db()
        assert (hook.url, hook.description, hook.enabled) == (*new.values(), False)
        reply = client.post(self.page("webhook-rotate", hook.pk), {"token": "y" * 32})
        assert reply.text.count("whsec_") == 1
        client.post(self.page("webhook-delete", hook.pk))
        assert not acme.webhooks.exists()

    def test_another_organizations_webhook_is_not_there(self, client, hook, other, stranger):
        client.force_login(stranger)
        address = reverse("keys:webhook", args=["other", hook.pk])
        assert client.get(address).status_code == 404


def test_a_message_is_thin_json(hook, admin, acme):
    services.test_webhook(actor=admin, webhook=hook)
    body = json.loads(WebhookDelivery.objects.get().body)
    assert set(body) == {"type", "version", "timestamp", "data"}
