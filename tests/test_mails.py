"""What people are told by mail: written with the change, sent by the worker, once."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from smtplib import SMTPRecipientsRefused, SMTPServerDisconnected

import pytest
import time_machine
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection, transaction
from django.utils import timezone
from django.utils.formats import date_format

from keys import policy, services
from keys.models import Message
from keys.models.messages import Kind
from keys.rules import RoleTerms
from keys.services import mails, outbox
from tests.conftest import join, make_person

IS_TOLD = True

NOW = timezone.now()


class Broken(EmailBackend):
    """A mail server that is away."""

    def open(self):
        raise SMTPServerDisconnected


class Choosy(EmailBackend):
    """A mail server that takes no mail for one address."""

    def send_messages(self, messages):
        if any("developer@" in each.to[0] for each in messages):
            raise SMTPRecipientsRefused({})
        return super().send_messages(messages)


def later(**length):
    return time_machine.travel(timezone.now() + timedelta(**length), tick=False)


def send_all() -> list:
    """Send what is due once all that is gathered is."""
    mail.outbox.clear()
    with later(minutes=10):
        mails.send_due()
    return mail.outbox


def kinds(person) -> list[str]:
    return list(Message.objects.filter(person=person).values_list("kind", flat=True))


@pytest.fixture
def quiet(acme, admin, developer, viewer):
    """The cast, with nothing to tell."""
    Message.objects.all().delete()


class TestIssuing:
    def test_the_owner_of_a_new_key_is_told_with_a_link_and_no_secret(
        self, quiet, acme, developer, settings
    ):
        settings.PUBLIC_URL = "https://keys.example"
        key = services.issue_key(actor=developer, organization=acme, name="Backend")
        (letter,) = send_all()
        assert letter.to == ["developer@acme.example"]
        assert "Backend" in letter.subject
        html = letter.alternatives[0][0]
        address = f"https://keys.example/organizations/acme/keys/{key.identifier}/"
        for text in (letter.body, html):
            assert address in text
            assert key.label in text
            assert key.secret not in text
        assert key.secret not in str(Message.objects.values())

    def test_of_an_organizations_key_those_are_told_who_manage_it(self, quiet, acme, owner):
        services.issue_key(actor=owner, organization=acme, name="Shared", owner=None)
        assert {each.to[0] for each in send_all()} == {"owner@acme.example", "admin@acme.example"}

    def test_many_keys_of_a_moment_are_one_mail(self, quiet, acme, developer, monkeypatch):
        monkeypatch.setattr(mails, "MOST_LISTED", 5)
        for number in range(8):
            services.issue_key(actor=developer, organization=acme, name=f"Robot {number}")
        (letter,) = send_all()
        assert letter.subject.endswith("8 keys were issued")
        assert "Robot 0" in letter.body
        assert "And 3 more." in letter.body

    def test_a_name_is_text_and_breaks_no_line_of_the_subject(self, quiet, acme, developer):
        services.issue_key(actor=developer, organization=acme, name="<b>x</b> & y")
        (letter,) = send_all()
        assert "<b>x</b> & y" in letter.body
        assert "&lt;b&gt;x&lt;/b&gt; &amp; y" in letter.alternatives[0][0]

    def test_what_was_rolled_back_is_not_told(self, quiet, acme, developer):
        with transaction.atomic():
            services.issue_key(actor=developer, organization=acme, name="Never")
            transaction.set_rollback(True)
        assert not Message.objects.exists()

    def test_of_a_key_whose_owner_left_the_managers_hear(self, quiet, acme, owner, developer, key):
        services.remove_member(actor=owner, membership=acme.memberships.get(user=developer))
        people = {each.email for each in services_outbox().responsible_for(key)}
        assert people == {"owner@acme.example", "admin@acme.example"}


def services_outbox():
    from keys.services import outbox

    return outbox


class TestChoosing:
    def test_who_does_not_want_a_kind_does_not_get_it(self, quiet, acme, developer):
        services.choose_notifications(actor=developer, unwanted=[Kind.ISSUED])
        services.issue_key(actor=developer, organization=acme, name="Quiet")
        assert kinds(developer) == []

    def test_the_language_is_the_readers(self, quiet, acme, developer):
        services.choose_notifications(actor=developer, unwanted=[], language="de")
        services.issue_key(actor=developer, organization=acme, name="Backend")
        (letter,) = send_all()
        assert '<html lang="de">' in letter.alternatives[0][0]

    @pytest.mark.parametrize("unwanted", [[Kind.LEAK], ["nothing"]])
    def test_mails_of_leaks_cannot_be_switched_off(self, developer, unwanted):
        from django.core.exceptions import ValidationError

        with pytest.raises(ValidationError) as refused:
            services.choose_notifications(actor=developer, unwanted=unwanted)
        assert list(refused.value.message_dict) == ["unwanted"]

    def test_the_page_saves_the_choice(self, client, quiet, developer):
        client.force_login(developer)
        wanted = [each for each in Kind if each not in (Kind.LEAK, Kind.ISSUED)]
        reply = client.post(
            "/accounts/notifications/", {"wanted": wanted, "language": "de"}, follow=True
        )
        assert reply.status_code == 200
        chosen = developer.notification_settings
        assert (chosen.unwanted, chosen.language) == (["issued"], "de")
        assert client.post("/accounts/notifications/", {"wanted": ["x"]}).status_code == 200
        developer.refresh_from_db()
        assert developer.notification_settings.unwanted == ["issued"]

    def test_a_person_who_may_not_sign_in_gets_nothing(self, quiet, acme, developer):
        services.issue_key(actor=developer, organization=acme, name="Backend")
        services.update_person(actor=policy.OPERATOR, person=developer, is_active=False)
        assert send_all() == []
        assert mails.send_due() == 0


class TestIdleness:
    def test_who_answers_for_a_key_hears_that_it_was_idle(self, acme, owner, developer, key):
        services.update_policy(actor=owner, organization=acme, idle_days=30)
        Message.objects.all().delete()
        with later(days=40):
            assert services.disable_idle_keys(now=timezone.now()) == 1
        assert kinds(developer) == [Kind.IDLE]

    def test_a_key_that_somebody_disabled_is_no_news(self, acme, owner, developer, key):
        Message.objects.all().delete()
        services.disable_key(actor=owner, key=key)
        services.remove_member(actor=owner, membership=acme.memberships.get(user=developer))
        assert kinds(developer) == [Kind.REMOVED]


class TestApproval:
    def test_who_may_decide_is_asked_and_who_asked_hears_the_decision(
        self, quiet, acme, owner, admin, developer
    ):
        role = acme.memberships.get(user=developer).role
        services.update_policy(
            actor=owner,
            organization=acme,
            roles=[RoleTerms(role, approval_scopes=frozenset({"DELETE"}))],
        )
        Message.objects.all().delete()
        asked = services.request_key(
            actor=developer, organization=acme, reason="Cleaning up.", name="Mop",
            scopes=["DELETE"],
        )  # fmt: skip
        assert kinds(owner) == kinds(admin) == [Kind.APPROVAL]
        assert kinds(developer) == []
        services.deny_request(actor=admin, request=asked, note="Not now.")
        assert kinds(developer) == [Kind.APPROVAL]
        assert Message.objects.get(person=developer).data == {
            "organization": "Acme", "slug": "acme", "name": str(asked), "request": asked.pk,
            "step": "denied", "actor": "admin@acme.example", "text": "Not now.",
            "kind": "issue", "ends_at": asked.ends_at.isoformat(),
        }  # fmt: skip
        assert "Not now." in next(each.body for each in send_all() if "developer" in each.to[0])

    def test_their_mails_say_by_name_and_address_who_asked(self, quiet, acme, owner, developer):
        services.name_oneself(actor=developer, first_name="Dora", last_name="Dev")
        developer.refresh_from_db()
        role = acme.memberships.get(user=developer).role
        terms = RoleTerms(role, approval_scopes=frozenset({"DELETE"}))
        services.update_policy(actor=owner, organization=acme, roles=[terms])
        Message.objects.all().delete()
        services.request_key(
            actor=developer, organization=acme, reason="Cleaning up.", name="Mop",
            scopes=["DELETE"],
        )  # fmt: skip
        question = next(each.body for each in send_all() if each.to == [owner.email])
        assert developer.name_and_address in question
        assert "Dora" in question

    def test_their_mails_lead_to_the_request_and_say_by_when(self, quiet, acme, owner, developer):
        role = acme.memberships.get(user=developer).role
        terms = RoleTerms(role, approval_scopes=frozenset({"DELETE"}))
        services.update_policy(actor=owner, organization=acme, roles=[terms])
        Message.objects.all().delete()
        asked = services.request_key(
            actor=developer, organization=acme, reason="Cleaning up.", name="Mop",
            scopes=["DELETE"],
        )  # fmt: skip
        link = f"/organizations/acme/approvals/{asked.pk}/"
        question = next(each.body for each in send_all() if each.to == [owner.email])
        assert link in question
        assert f"by {date_format(asked.ends_at, 'DATETIME_FORMAT')}; then it is over" in question
        agreed = services.approve_request(actor=owner, request=asked)
        answer = next(each.body for each in send_all() if each.to == [developer.email])
        assert link in answer
        assert (
            f"Issue the key yourself by {date_format(agreed.ends_at, 'DATETIME_FORMAT')}" in answer
        )

    @pytest.mark.parametrize(
        ("steps", "subject", "begins"),
        [
            (["requested"], "Asked for: “Mop”", "Somebody asks for approval:"),
            (["approved"], "Approved: “Mop”", "A request was approved:"),
            (["denied"], "Denied: “Mop”", "A request was denied:"),
            (["denied"] * 2, "2 requests were denied", "2 requests were denied:"),
            (["denied", "approved"], "2 requests for approval", "2 requests for approval:"),
        ],
    )
    def test_their_subject_and_first_line_say_what_became_of_it(
        self, quiet, acme, developer, steps, subject, begins
    ):
        data = {
            "organization": "Acme", "slug": "acme", "name": "Mop", "request": 7,
            "actor": "owner@acme.example", "text": "",
        }  # fmt: skip
        told = [Message(kind=Kind.APPROVAL, data={**data, "step": each}) for each in steps]
        written = mails.compose(told)
        assert written.subject == subject
        assert written.text.startswith(begins)

    def test_the_operator_has_an_article(self, quiet, acme, developer):
        services.issue_key(
            actor=policy.OPERATOR, organization=acme, name="Backend", owner=developer
        )
        assert "issued by the operator." in send_all()[0].body

    def test_who_asked_hears_what_of_it_was_not_approved(self, quiet, acme, owner, developer):
        role = acme.memberships.get(user=developer).role
        terms = RoleTerms(role, approval_scopes=frozenset({"DELETE"}))
        services.update_policy(actor=owner, organization=acme, roles=[terms])
        asked = services.request_key(
            actor=developer, organization=acme, reason="Cleaning up.", name="Mop",
            scopes=["READ", "DELETE"],
        )  # fmt: skip
        Message.objects.all().delete()
        services.approve_request(
            actor=owner, request=asked, scopes=["DELETE"], allowed_ips=["192.0.2.7"]
        )
        (answer,) = send_all()
        assert (
            "Not all of it: Scopes: READ, DELETE → DELETE; Allowed IPs: not said → 192.0.2.7."
        ) in answer.body

    def test_a_mail_that_an_older_release_wrote_is_sent_without_the_end(
        self, quiet, acme, developer
    ):
        data = {
            "organization": "Acme", "slug": "acme", "name": "Mop", "request": 7,
            "step": "approved", "actor": "owner@acme.example", "text": "",
        }  # fmt: skip
        outbox.write(kind=Kind.APPROVAL, people=[developer], organization=acme, data=data)
        (mail,) = send_all()
        assert re.search(r"approved it in Acme\.$", mail.body, re.MULTILINE)

    def test_whose_keys_a_new_rule_may_stop_hear_of_it(self, acme, owner, developer, viewer, key):
        Message.objects.all().delete()
        services.update_policy(actor=owner, organization=acme, person_key_days=30)
        assert kinds(developer) == kinds(owner) == [Kind.POLICY]
        assert kinds(viewer) == []
        assert Message.objects.filter(person=developer).get().data == {
            "organization": "Acme", "slug": "acme", "name": "Acme", "actor": "owner@acme.example",
        }  # fmt: skip


class TestMembers:
    def test_a_new_member_is_told_in_which_role(self, quiet, acme, owner):
        person = join(acme, make_person("new@acme.example"), "readonly", is_told=True).user
        assert kinds(person) == [Kind.MEMBER]
        assert Message.objects.get(person=person).data == {
            "organization": "Acme", "slug": "acme", "name": "Acme", "role": "readonly",
            "actor": "",
        }  # fmt: skip
        assert "The operator made you a member, in the role readonly." in send_all()[0].body

    def test_who_was_removed_is_told_of_it_and_of_their_keys(self, quiet, acme, owner, developer):
        services.issue_key(actor=developer, organization=acme, name="Backend")
        Message.objects.all().delete()
        services.remove_member(actor=owner, membership=acme.memberships.get(user=developer))
        (letter,) = send_all()
        assert letter.to == [developer.email]
        assert letter.subject.endswith("You are no longer a member of Acme")
        assert (
            "You were removed from Acme. The keys that you own there no longer work." in letter.body
        )
        assert owner.email not in letter.body
        assert "/organizations/acme/" not in letter.body

    def test_who_had_no_keys_reads_of_none_and_who_left_of_nothing(
        self, quiet, acme, owner, developer, viewer
    ):
        services.remove_member(actor=owner, membership=acme.memberships.get(user=viewer))
        services.leave_organization(actor=developer, organization=acme)
        (letter,) = send_all()
        assert letter.to == [viewer.email]
        assert "no longer work" not in letter.body


class TestSending:
    def test_nothing_is_lost_while_the_mail_server_is_away_for_a_day(
        self, quiet, acme, developer, settings
    ):
        services.issue_key(actor=developer, organization=acme, name="Backend")
        genuine = settings.EMAIL_BACKEND
        settings.EMAIL_BACKEND = f"{__name__}.Broken"
        for hour in range(1, 25):
            with later(hours=hour):
                assert mails.send_due() == 0
        settings.EMAIL_BACKEND = genuine
        with later(hours=25):
            assert mails.send_due() == 1
            assert mails.send_due() == 0
        assert len(mail.outbox) == 1

    def test_an_address_that_is_refused_is_tried_for_days_and_then_given_up(
        self, quiet, acme, developer, owner, settings, caplog
    ):
        settings.EMAIL_BACKEND = f"{__name__}.Choosy"
        services.issue_key(actor=developer, organization=acme, name="Backend")
        services.issue_key(actor=owner, organization=acme, name="Other")
        with later(minutes=2):
            assert mails.send_due() == 1
        for hour in range(1, 24 * 6):
            with later(hours=hour):
                mails.send_due()
        message = Message.objects.get(person=developer)
        assert message.next_at is None
        assert message.sent_at is None
        assert 15 < message.attempts < 40
        assert message.error == "SMTPRecipientsRefused"
        assert "developer@" not in caplog.text

    def test_who_dies_while_sending_leaves_it_to_the_next(self, quiet, acme, developer):
        services.issue_key(actor=developer, organization=acme, name="Backend")
        with later(minutes=2):
            assert len(mails._claim(timezone.now())) == 1
            assert mails.send_due() == 0
        with later(minutes=8):
            assert mails.send_due() == 1

    @pytest.mark.django_db(transaction=True)
    def test_several_workers_send_each_mail_once(self, acme, owner):
        people = [
            join(acme, make_person(f"p{n}@acme.example"), "readonly", is_told=True)
            for n in range(12)
        ]
        Message.objects.exclude(kind=Kind.MEMBER).delete()

        def work(_number):
            try:
                return mails.send_due()
            finally:
                connection.close()

        mail.outbox.clear()
        with ThreadPoolExecutor(4) as pool:
            sent = list(pool.map(work, range(4)))
        assert sum(sent) == len(people)
        assert sorted(each.to[0] for each in mail.outbox) == sorted(
            each.user.email for each in people
        )


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_words_for_one_and_for_many(quiet, acme, developer, key, kind):
    from keys.services import outbox
    from keys.services.wording import WORDING

    data = {
        **outbox.facts_of(key), "actor": "somebody", "address": "192.0.2.1", "role": "admin",
        "outcome": "notify", "source": "https://example.com/x", "webhook": 1, "step": "denied",
        "text": "No.", "used_at": NOW.isoformat(), "ends_at": NOW.isoformat(),
        "expires_at": NOW.isoformat(), "request": 1, "kind": "issue",
        "had_keys": True,
    }  # fmt: skip
    one = mails.compose([Message(kind=kind, data=data, person=developer)])
    many = mails.compose([Message(kind=kind, data=data, person=developer)] * 3)
    assert "Backend" in one.text
    assert one.subject != many.subject
    assert "%(" not in one.subject + one.text + one.html + many.subject + many.text
    assert WORDING[kind].kind == kind
