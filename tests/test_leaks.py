"""Keys that somebody found: the finder learns nothing, the people concerned everything."""

import json
import re
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from keys import secrets, services
from keys.models import APIKey, AuditEvent, FoundSecret, LeakReport, Message, WebhookDelivery
from keys.models.messages import Kind
from keys.networks import parse_address
from keys.services import leaks
from keys.verification import Code

pytestmark = pytest.mark.django_db


def works(secret: str) -> bool:
    verdict = services.verify_key(secret=secret, address=parse_address("192.0.2.7"))
    return verdict.code is Code.VALID


def find(secret: str, **more) -> LeakReport | None:
    return leaks.look_up(services.hand_in_secret(secret=secret, **more))


def wants(organization, owner, action: str) -> None:
    services.update_policy(actor=owner, organization=organization, leak_action=action)
    Message.objects.all().delete()


def shown(response) -> str:
    """Return a page but for what is drawn by lot against forgery."""
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", response.text)


class TestLookingUp:
    def test_owner_and_organization_are_told_at_once(self, acme, owner, developer, key):
        report = find(key.secret, source_url="https://paste.example/x", comment="In a paste.")
        assert (report.key, report.label, report.action) == (key, key.label, "notify")
        told = Message.objects.filter(kind=Kind.LEAK)
        assert {each.person for each in told} == {owner, developer}
        assert all(each.next_at == each.created_at for each in told)
        event = AuditEvent.objects.get(action="leak.reported")
        assert (event.actor_label, event.organization) == ("operator", acme)
        assert event.changes == {
            "key": "Backend",
            "label": key.label,
            "source_url": "https://paste.example/x",
            "done": "notify",
        }
        assert works(key.secret)

    def test_webhooks_hear_of_it(self, acme, owner, key):
        services.create_webhook(actor=owner, organization=acme, url="https://example.com/")
        find(key.secret)
        body = json.loads(WebhookDelivery.objects.get(event="leak.reported").body)
        assert body["data"]["key"]["identifier"] == key.identifier

    def test_the_secret_is_kept_nowhere(self, acme, owner, key):
        services.create_webhook(actor=owner, organization=acme, url="https://example.com/")
        found = services.hand_in_secret(secret=key.secret)
        assert key.secret not in str(FoundSecret.objects.values())
        leaks.look_up(found)
        for model in (LeakReport, Message, AuditEvent, WebhookDelivery, FoundSecret):
            assert key.secret not in str(list(model.objects.values()))

    def test_where_the_policy_disables_the_key_stops(self, acme, owner, key):
        wants(acme, owner, "disable")
        assert find(key.secret).action == "disable"
        assert not works(key.secret)
        assert APIKey.objects.get(pk=key.pk).disabled

    def test_where_it_rotates_the_secret_stops_and_the_key_lives(self, acme, owner, developer, key):
        wants(acme, owner, "rotate")
        assert find(key.secret).action == "rotate"
        assert not works(key.secret)
        again = services.rotate_key(actor=developer, key=APIKey.objects.get(pk=key.pk))
        assert works(again.secret)

    def test_one_that_cannot_be_stopped_is_told_of_as_one_that_goes_on(
        self, acme, owner, key, monkeypatch
    ):
        def fail(**options):
            raise ValidationError("It cannot be.")

        wants(acme, owner, "disable")
        monkeypatch.setattr(leaks, "disable_key", fail)
        assert find(key.secret).action == "notify"
        assert Message.objects.filter(kind=Kind.LEAK, person=owner).exists()

    def test_an_old_secret_ends_alone(self, acme, owner, developer, key):
        wants(acme, owner, "rotate")
        new = services.rotate_key(actor=developer, key=key, overlap=timedelta(days=1))
        assert works(key.secret)
        assert find(key.secret).action == "rotate"
        assert not works(key.secret)
        assert works(new.secret)

    @pytest.mark.parametrize("action", ["notify", "disable", "rotate"])
    def test_what_no_longer_works_is_reported_all_the_same(self, acme, owner, key, action):
        wants(acme, owner, action)
        services.revoke_key(actor=owner, key=key)
        assert find(key.secret).action == "nothing"
        assert Message.objects.filter(kind=Kind.LEAK).exists()

    def test_many_reports_of_one_key_are_one(self, acme, owner, key):
        for _ in range(3):
            find(key.secret)
        report = LeakReport.objects.get()
        assert report.times == 3
        assert Message.objects.filter(kind=Kind.LEAK, person=owner).count() == 1
        services.settle_leak(actor=owner, report=report)
        assert find(key.secret).pk != report.pk

    def test_a_locked_key_is_acted_on_as_well(self, acme, owner, staff, key):
        wants(acme, owner, "rotate")
        services.lock_key(actor=staff, key=key)
        assert find(key.secret).action == "rotate"

    def test_nobodys_key_is_nobodys_news(self, acme):
        assert find(secrets.generate("native")) is None
        assert not LeakReport.objects.exists()
        assert not FoundSecret.objects.exists()

    def test_a_key_under_an_older_pepper_is_found(self, acme, key, settings):
        settings.KEY_PEPPERS = {**settings.KEY_PEPPERS, 7: b"a newer one, of more than 32 bytes"}
        assert find(key.secret).key == key

    def test_what_was_not_looked_up_is_by_the_worker(self, acme, key):
        from django.utils import timezone

        services.hand_in_secret(secret=key.secret)
        services.hand_in_secret(secret=secrets.generate("openrouter"))
        assert leaks.look_up_found(now=timezone.now()) == 2
        assert LeakReport.objects.get().key == key

    def test_one_that_cannot_be_looked_up_holds_up_no_other(self, acme, key, monkeypatch):
        from django.utils import timezone

        first = services.hand_in_secret(secret=secrets.generate("native"))
        services.hand_in_secret(secret=key.secret)
        genuine = leaks.look_up

        def look_up(found):
            if found == first:
                raise RuntimeError("broken")
            return genuine(found)

        monkeypatch.setattr(leaks, "look_up", look_up)
        leaks.look_up_found(now=timezone.now())
        assert LeakReport.objects.get().key == key
        assert FoundSecret.objects.get() == first

    def test_who_looks_it_up_second_finds_nothing(self, acme, key):
        found = services.hand_in_secret(secret=key.secret)
        assert leaks.look_up(found)
        assert leaks.look_up(found) is None
        assert LeakReport.objects.get().times == 1


class TestFinder:
    @pytest.fixture
    def unknown(self):
        return secrets.generate("native")

    def test_the_form_answers_alike_whosever_key_it_is(self, client, key, unknown):
        answers = [client.post("/found/", {"secret": each}) for each in (key.secret, unknown)]
        assert [each.status_code for each in answers] == [200, 200]
        assert shown(answers[0]) == shown(answers[1])
        assert "Thank you" in answers[0].text
        assert "no-store" in answers[0]["Cache-Control"]
        assert LeakReport.objects.get().key == key

    def test_so_does_the_api(self, client, key, unknown):
        def post(secret):
            return client.post("/v1/leaks", {"secret": secret}, content_type="application/json")

        answers = [post(each) for each in (key.secret, unknown)]
        assert [each.status_code for each in answers] == [202, 202]
        assert answers[0].content == answers[1].content
        assert LeakReport.objects.get().key == key

    def test_until_the_answer_the_same_is_done(self, acme, key, unknown):
        """So that nobody tells by the time."""
        done = []
        for secret in (key.secret, unknown):
            with CaptureQueriesContext(connection) as queries:
                services.hand_in_secret(secret=secret)
            done.append([each["sql"].partition(" ")[0] for each in queries])
        assert done[0] == done[1]
        assert not LeakReport.objects.exists()

    @pytest.mark.parametrize("text", ["", "nothing", "kh_" + "a" * 47, "x" * 600, "kh_\x00"])
    def test_noise_is_told_from_keys_by_its_checksum(self, client, text):
        reply = client.post("/found/", {"secret": text})
        assert reply.status_code == 200
        assert "Thank you" not in reply.text
        assert "Nothing was handed in yet." in reply.text
        assert text == "" or text not in reply.text
        reply = client.post("/v1/leaks", {"secret": text}, content_type="application/json")
        assert reply.status_code == 400
        assert list(reply.json()["errors"]) == ["secret"]
        assert not FoundSecret.objects.exists()

    def test_the_key_does_not_belong_into_the_other_fields(self, client, key):
        for name in ("source_url", "comment"):
            reply = client.post("/found/", {"secret": key.secret, name: f"see {key.secret}"})
            assert "Leave out the key itself here." in reply.text
        assert not FoundSecret.objects.exists()

    @pytest.mark.parametrize("text", ["\x00", "\ud800", "x" * 501])
    def test_odd_text_is_refused_by_field(self, client, key, text):
        body = json.dumps({"secret": key.secret, "url": text})
        reply = client.post("/v1/leaks", body, content_type="application/json")
        assert reply.status_code == 400
        assert not FoundSecret.objects.exists()

    def test_one_address_hands_in_so_many(self, client, unknown, settings):
        settings.LEAK_REPORT_RATE = "2/hour"
        form = {"secret": unknown}
        statuses = [client.post("/found/", form).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        reply = client.post("/v1/leaks", form, content_type="application/json")
        assert reply.status_code == 429
        assert client.post("/found/", form, REMOTE_ADDR="192.0.2.9").status_code == 200

    def test_one_line_to_the_internet_hands_in_so_many_whatever_address_it_takes(
        self, client, unknown, settings
    ):
        settings.LEAK_REPORT_RATE = "2/hour"
        form = {"secret": unknown}
        addresses = ["2001:db8:5:7::1", "2001:db8:5:7:a::2", "2001:db8:5:7:ffff::3"]
        statuses = [
            client.post("/found/", form, REMOTE_ADDR=address).status_code for address in addresses
        ]
        assert statuses == [200, 200, 429]
        assert client.post("/found/", form, REMOTE_ADDR="2001:db8:5:8::1").status_code == 200

    def test_what_goes_wrong_afterwards_is_not_the_finders(self, client, key, monkeypatch):
        def fail(_found):
            raise RuntimeError("the disk is full")

        monkeypatch.setattr(leaks, "look_up", fail)
        assert client.post("/found/", {"secret": key.secret}).status_code == 200
        assert FoundSecret.objects.count() == 1

    def test_no_log_line_holds_the_secret(self, client, key, caplog):
        caplog.set_level("DEBUG")
        client.post("/found/", {"secret": key.secret})
        client.post("/v1/leaks", {"secret": key.secret}, content_type="application/json")
        client.post("/v1/leaks", f'{{"secret": "{key.secret}"', content_type="application/json")
        assert key.secret not in caplog.text


class TestSettling:
    def test_who_may_change_the_key_settles(self, developer, viewer, stranger, key):
        report = find(key.secret)
        for person in (viewer, stranger):
            with pytest.raises(PermissionDenied):
                services.settle_leak(actor=person, report=report)
        settled = services.settle_leak(actor=developer, report=report)
        assert settled.settled_by == "developer@acme.example"
        services.settle_leak(actor=developer, report=report)
        assert AuditEvent.objects.filter(action="leak.settled").count() == 1

    def test_the_pages_say_what_to_do_until_it_is_settled(self, client, developer, key):
        report = find(key.secret, source_url="https://paste.example/x")
        client.force_login(developer)
        detail = f"/organizations/acme/keys/{key.identifier}/"
        assert "Somebody found this key" in client.get(detail).text
        listed = client.get("/organizations/acme/leaks/").text
        assert "https://paste.example/x" in listed
        assert 'href="https://paste.example' not in listed
        assert "Mark as settled" in listed
        reply = client.post(f"/organizations/acme/leaks/{report.pk}/settle/", follow=True)
        assert "is settled" in reply.text
        assert "Somebody found this key" not in client.get(detail).text

    def test_a_colleague_sees_nothing_of_it(self, client, viewer, key):
        find(key.secret)
        client.force_login(viewer)
        assert key.label not in client.get("/organizations/acme/leaks/").text


def test_bad_input_is_told_by_field(acme, key):
    with pytest.raises(ValidationError) as error:
        services.hand_in_secret(secret=key.secret, comment="x" * 501)
    assert set(error.value.error_dict) == {"comment"}
