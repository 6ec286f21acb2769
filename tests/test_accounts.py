"""The account pages: in the product's own voice, ready to type into, complete."""

import re
from html import escape

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.usersessions.models import UserSession
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import OperationalError, connection
from django.http.response import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from keys import policy, services
from keys.models import AuditEvent, User
from keys.templatetags.audit import plain_sentence
from portal import account_trail, errors
from tests.conftest import PASSWORD

NEW_PASSWORD = "another horse, another battery"

ENTRANCES = ["account_login", "account_reset_password", "account_reset_password_done"]
MANAGED = [
    "account_email",
    "account_change_password",
    "mfa_index",
    "mfa_list_webauthn",
    "usersessions_list",
    "account_logout",
]


def heading(response) -> str:
    return re.sub(r"\s+", " ", re.search(r"<h1[^>]*>(.*?)</h1>", response.text, re.S)[1]).strip()


class TestWords:
    @pytest.mark.parametrize("name", ENTRANCES)
    def test_who_is_signed_out_reads_whole_sentences(self, client, db, name):
        response = client.get(reverse(name))

        assert response.status_code == 200
        assert re.match(r"[A-Z][^A-Z]*( Keyhaven)?$", heading(response)), heading(response)
        assert "contact us" not in response.text.lower()

    @pytest.mark.parametrize("name", MANAGED)
    def test_who_is_signed_in_does_too_and_finds_the_way_back(self, client, owner, name):
        client.force_login(owner)
        response = client.get(reverse(name))

        assert response.status_code == 200
        assert re.match(r"[A-Z][^A-Z]*( Keyhaven\?)?$", heading(response)), heading(response)
        assert f'href="{reverse("keys:home")}"' in response.text
        assert "Back to your keys" in response.text

    @pytest.mark.parametrize(
        ("name", "field"),
        [("account_login", "login"), ("account_reset_password", "email")],
    )
    def test_typing_begins_in_the_first_field(self, client, db, name, field):
        focused = re.findall(r"<input[^>]*autofocus[^>]*>", client.get(reverse(name)).text)

        assert len(focused) == 1
        assert f'name="{field}"' in focused[0]

    def test_sessions_say_when_with_their_zone(self, client, owner):
        client.post(reverse("account_login"), {"login": owner.email, "password": PASSWORD})

        assert re.search(
            r'<time datetime="[^"]+" title="[^"]+ UTC">',
            client.get(reverse("usersessions_list")).text,
        )

    @pytest.mark.parametrize(
        ("agent", "name"),
        [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0", "Firefox on Linux"),
            ("Mozilla/5.0 (Macintosh; Mac OS X 10_15) Version/17.5 Safari/605", "Safari on macOS"),
            ("curl/8.5.0", "curl"),
            ("<b>Own program</b>", ""),
        ],
    )
    def test_sessions_name_the_browser_and_keep_what_it_said(self, owner, agent, name):
        client = Client(headers={"User-Agent": agent})
        client.post(reverse("account_login"), {"login": owner.email, "password": PASSWORD})
        page = client.get(reverse("usersessions_list")).text
        assert escape(agent) in page
        assert (f"<summary>{name}</summary>" in page) == bool(name)

    def test_the_newest_session_comes_first(self, owner):
        for client in (Client(), Client()):
            client.post(reverse("account_login"), {"login": owner.email, "password": PASSWORD})

        rows = client.get(reverse("usersessions_list")).text.partition("<tbody>")[2].split("<tr>")
        assert [("This one" in row) for row in rows[1:]] == [True, False]

    def test_signing_in_needs_no_announcement(self, client, owner, acme):
        response = client.post(
            reverse("account_login"), {"login": owner.email, "password": PASSWORD}, follow=True
        )

        assert response.status_code == 200
        assert "Successfully signed in" not in response.text


class TestOnesName:
    def test_is_changed_by_oneself_and_recorded(self, client, owner):
        client.force_login(owner)
        page = client.get(reverse("keys:own-name"))
        assert "beside your address, owner@acme.example" in page.text
        client.post(reverse("keys:own-name"), {"first_name": " Olga ", "last_name": "Weber"})
        owner.refresh_from_db()
        assert owner.name_and_address == "Olga Weber (owner@acme.example)"
        event = AuditEvent.objects.get(action="user.updated")
        assert event.actor_user == owner
        assert event.changes == {"first_name": ["", "Olga"], "last_name": ["", "Weber"]}
        assert "Your name is saved" in client.get(reverse("keys:own-name")).text

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("admin@acme.example", "Leave out the @"),
            ("admin\uff20acme.example", "Leave out the @"),
            ("admin\ufe6bacme.example", "Leave out the @"),
            ("Sign in at https://evil.example", "Leave out links"),
            ("HTTP\uff1a//evil.example", "Leave out links"),
            ("WWW.evil.example", "Leave out links"),
            ("www\uff0eevil.example", "Leave out links"),
            ("A\n\nYour key leaked.", "characters that nobody sees"),
            ("A\u2028Your key leaked.", "characters that nobody sees"),
            ("A\u2029Your key leaked.", "characters that nobody sees"),
            ("A\x1b[31mB", "characters that nobody sees"),
            ("A\u202emoc.live", "characters that nobody sees"),
            ("A\u200bB", "characters that nobody sees"),
            ("\u200b", "characters that nobody sees"),
            ("\u2800", "characters that nobody sees"),
            ("\u3164", "characters that nobody sees"),
            ("\ufe0f", "characters that nobody sees"),
        ],
    )
    def test_is_neither_an_address_nor_a_message_nor_nothing(self, client, owner, name, words):
        client.force_login(owner)
        page = client.post(reverse("keys:own-name"), {"first_name": name})
        assert words in page.text
        with pytest.raises(ValidationError, match=words) as refused:
            services.name_oneself(actor=owner, first_name="", last_name=name)
        assert set(refused.value.error_dict) == {"last_name"}
        owner.refresh_from_db()
        assert owner.display_name == "owner@acme.example"

    @pytest.mark.parametrize(
        ("name", "kept"),
        [
            ("J.\u00a0R.  R.", "J. R. R."),
            ("Rene\u0301e-Ann O\u2019Hara", "Ren\u00e9e-Ann O\u2019Hara"),
            ("\uff21da", "Ada"),
            ("王小明", "王小明"),
            ("-", "-"),
        ],
    )
    def test_is_kept_in_one_spelling(self, owner, name, kept):
        assert services.name_oneself(actor=owner, first_name=name, last_name="").first_name == kept

    def test_is_measured_as_it_is_kept(self, client, owner):
        client.force_login(owner)
        page = client.post(reverse("keys:own-name"), {"first_name": "\ufdfa" * 150})
        assert "at most 150 characters" in page.text

    def test_is_no_address_either_where_superusers_give_it(self, superuser, owner):
        person = {"actor": superuser, "first_name": "owner\uff20acme.example"}
        with pytest.raises(ValidationError, match="Leave out the @"):
            services.update_person(person=owner, **person)
        with pytest.raises(ValidationError, match="Leave out the @"):
            services.create_person(email="new@acme.example", **person)

    @pytest.mark.parametrize("actor", ["owner", "staff", "manage_key"])
    def test_only_superusers_make_and_change_people(self, actor, request, viewer):
        actor = request.getfixturevalue(actor)
        with pytest.raises(PermissionDenied):
            services.create_person(actor=actor, email="new@acme.example")
        with pytest.raises(PermissionDenied):
            services.update_person(actor=actor, person=viewer, is_superuser=True)
        assert not User.objects.filter(email="new@acme.example").exists()
        assert not User.objects.get(pk=viewer.pk).is_superuser

    def test_what_stays_the_same_is_not_written(self, owner, superuser):
        services.name_oneself(actor=owner, first_name="Olga", last_name="")
        with CaptureQueriesContext(connection) as asked:
            services.name_oneself(actor=owner, first_name="Olga", last_name="")
            services.update_person(actor=superuser, person=owner, first_name="Olga")
        assert not [each for each in asked if each["sql"].startswith("UPDATE")]

    def test_is_not_changed_all_the_time(self, client, owner, settings):
        settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "change_name": "2/m/user"}
        client.force_login(owner)
        answers = [client.post(reverse("keys:own-name"), {"first_name": name}) for name in "ABC"]
        assert [each.status_code for each in answers] == [302, 302, 429]
        owner.refresh_from_db()
        assert owner.first_name == "B"
        assert client.get(reverse("keys:own-name")).status_code == 200


class TestForgottenPassword:
    def link(self) -> str:
        found = (re.search(r"http://testserver(/\S+)", sent.body) for sent in mail.outbox)
        return [match for match in found if match][-1][1]

    def test_a_link_sets_a_new_password_once(self, client, owner):
        client.post(reverse("account_reset_password"), {"email": owner.email})
        sent = mail.outbox[-1]
        assert sent.subject == "[Keyhaven] Choose a new password"
        assert "example.com" not in sent.body
        assert "at Keyhaven" in sent.body
        form = client.get(self.link(), follow=True)
        passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        done = client.post(form.redirect_chain[-1][0], passwords, follow=True)

        assert heading(done) == "Your password is set"
        assert mail.outbox[-1].to == [owner.email]
        owner.refresh_from_db()
        assert owner.check_password(NEW_PASSWORD)
        again = client.get(self.link(), follow=True)
        assert heading(again) == "This link does not work any more"

    def test_a_stranger_learns_nothing_from_it(self, client, owner):
        known = client.post(reverse("account_reset_password"), {"email": owner.email}, follow=True)
        unknown = client.post(
            reverse("account_reset_password"), {"email": "nobody@acme.example"}, follow=True
        )

        assert heading(known) == heading(unknown) == "Look into your mail"
        assert len(mail.outbox) == 1

    def test_two_different_passwords_are_refused_beside_the_field(self, client, owner):
        client.post(reverse("account_reset_password"), {"email": owner.email})
        form = client.get(self.link(), follow=True)
        response = client.post(
            form.redirect_chain[-1][0], {"password1": NEW_PASSWORD, "password2": "something else"}
        )

        assert 'class="errorlist"' in response.text
        owner.refresh_from_db()
        assert owner.check_password(PASSWORD)


def test_an_address_is_added_and_confirmed_by_a_link(client, owner):
    client.post(reverse("account_login"), {"login": owner.email, "password": PASSWORD})
    client.post(reverse("account_email"), {"action_add": "", "email": "second@acme.example"})
    sent = mail.outbox[-1]
    link = re.search(r"http://testserver(/\S+)", sent.body)[1]

    assert sent.subject == "[Keyhaven] Confirm your email address"
    assert heading(client.get(link)) == "Confirm your address"
    client.post(link)
    assert EmailAddress.objects.get(email="second@acme.example").verified


def test_a_page_that_broke_names_the_request(rf):
    request = rf.get("/organizations/acme/")
    request.id = "0123456789abcdef"

    response = errors.server_error(request)

    assert response.status_code == 500
    assert "0123456789abcdef" in response.text


def test_while_the_database_is_away_everybody_is_told_to_come_back(
    client, owner, acme, manage_key, monkeypatch
):
    client.force_login(owner)
    client.raise_request_exception = False

    def fail(*args):
        raise OperationalError("The database went away.")

    monkeypatch.setattr(policy, "visible", fail)
    page = client.get(reverse("keys:list", args=[acme.slug]))
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert "503" in page.text
    for path, member in [
        ("/v1/api-keys", "message"),
        ("/api/v1/keys", "error"),
        ("/v3/account/apiKey", "errorMessage"),
    ]:
        answer = client.get(path, headers={"Authorization": f"Bearer {manage_key.secret}"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert member in answer.json()


def test_refusal_says_once_that_the_role_does_not_allow_it(client, viewer, acme):
    client.force_login(viewer)
    page = client.get(reverse("keys:create", args=[acme.slug]))

    assert page.status_code == 403
    assert "your role does not allow it" in page.text
    assert "do not have permission" not in page.text


class TestSecrets:
    def test_what_makes_a_second_factor_is_kept_by_no_cache_and_not_compressed(self, client, owner):
        client.force_login(owner)
        client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
        set_up = client.get(reverse("mfa_activate_totp"), HTTP_ACCEPT_ENCODING="gzip")
        TOTP.activate(owner, generate_totp_secret())
        code = RecoveryCodes.activate(owner).get_unused_codes()[0]
        listed = client.get(reverse("mfa_view_recovery_codes"), HTTP_ACCEPT_ENCODING="gzip")

        assert set_up.context["form"].secret in set_up.text
        assert code in listed.text
        for response in (set_up, listed):
            assert "no-store" in response["Cache-Control"]
            assert "Content-Encoding" not in response


class TestTrace:
    """What happens to an account is recorded, its person is told, and other sessions end."""

    def sign_in(self, person, password=PASSWORD) -> Client:
        client = Client()
        client.post(reverse("account_login"), {"login": person.email, "password": password})
        return client

    def actions(self) -> list[str]:
        events = AuditEvent.objects.filter(action__startswith="user.")
        return list(events.order_by("pk").values_list("action", flat=True))

    def test_sign_ins_and_failed_ones_are_in_the_trail(self, owner):
        self.sign_in(owner, "not this one")
        self.sign_in(owner)
        assert self.actions() == ["user.sign_in_failed", "user.signed_in"]
        assert AuditEvent.objects.first().address == "127.0.0.1"

    def test_a_failed_one_is_written_after_the_answer_whose_time_tells_nothing(
        self, owner, monkeypatch
    ):
        written, close = [], HttpResponseBase.close

        def closing(response):
            written.append(self.actions())
            close(response)

        monkeypatch.setattr(HttpResponseBase, "close", closing)
        self.sign_in(owner, "not this one")
        assert (written, self.actions()) == ([[]], ["user.sign_in_failed"])
        event = AuditEvent.objects.get(action="user.sign_in_failed")
        assert (event.door, event.address) == ("page", "127.0.0.1")
        assert event.request_id

    def test_one_that_cannot_be_written_is_in_the_log(self, owner, monkeypatch, caplog):
        def fail(**more):
            raise OperationalError("The database is gone.")

        monkeypatch.setattr(account_trail.services, "note_account_event", fail)
        self.sign_in(owner, "not this one")
        assert "The database is gone." in caplog.text

    def test_a_guess_at_nobody_leaves_nothing(self, db, client):
        client.post(reverse("account_login"), {"login": "no@body.example", "password": "x"})
        assert self.actions() == []

    @pytest.mark.django_db(transaction=True)
    def test_a_second_factor_ends_other_sessions_and_its_person_is_told(self, owner):
        here, elsewhere = self.sign_in(owner), self.sign_in(owner)
        here.post(reverse("account_reauthenticate"), {"password": PASSWORD})
        secret = here.get(reverse("mfa_activate_totp")).context["form"].secret
        code = format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))
        here.post(reverse("mfa_activate_totp"), {"code": code})
        assert "user.second_factor_added" in self.actions()
        assert here.get(reverse("mfa_index")).status_code == 200
        assert elsewhere.get(reverse("mfa_index")).status_code == 302
        assert {address for sent in mail.outbox for address in sent.to} == {owner.email}

    def test_a_new_password_ends_other_sessions_and_its_person_is_told(self, owner):
        here, elsewhere = self.sign_in(owner), self.sign_in(owner)
        typed = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        here.post(reverse("account_change_password"), typed)
        assert elsewhere.get(reverse("mfa_index")).status_code == 302
        assert "password" in mail.outbox[-1].subject.lower()
        assert self.actions()[-1] == "user.password_set"

    def test_so_does_one_set_by_a_link_of_a_mail(self, client, owner):
        client.post(reverse("account_reset_password"), {"email": owner.email})
        link = re.search(r"http://testserver(/\S+)", mail.outbox[-1].body)[1]
        form = client.get(link, follow=True).redirect_chain[-1][0]
        client.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
        assert self.actions() == ["user.password_reset"]
        assert NEW_PASSWORD not in str(AuditEvent.objects.values_list("changes", flat=True))

    def test_sessions_that_were_ended_elsewhere_are_counted(self, owner):
        here, elsewhere = self.sign_in(owner), self.sign_in(owner)
        here.post(reverse("usersessions_list"))
        assert elsewhere.get(reverse("mfa_index")).status_code == 302
        event = AuditEvent.objects.get(action="user.sessions_ended")
        assert (event.actor_user_id, event.changes) == (owner.pk, {"sessions": 1})

    def test_one_other_session_is_ended_alone(self, owner):
        here, gone, stays = self.sign_in(owner), self.sign_in(owner), self.sign_in(owner)
        page = here.get(reverse("usersessions_list")).text
        of_gone = UserSession.objects.get(session_key=gone.session.session_key)
        end = reverse("keys:session-end", args=[of_gone.pk])
        assert f'action="{end}"' in page
        assert page.count("End this session") == 2
        assert "That session is ended." in here.post(end, follow=True).text
        assert gone.get(reverse("mfa_index")).status_code == 302
        assert stays.get(reverse("mfa_index")).status_code == 200
        event = AuditEvent.objects.get(action="user.sessions_ended")
        assert (event.actor_user_id, event.changes) == (owner.pk, {"sessions": 1})
        assert plain_sentence(event) == f"{owner.email} ended another session of theirs"
        event.changes = {"sessions": 2}
        assert plain_sentence(event) == f"{owner.email} ended their other sessions"
        assert "it may have ended already" in here.post(end, follow=True).text
        assert self.actions().count("user.sessions_ended") == 1

    def test_neither_ones_own_nor_somebody_elses_session_is_ended_so(self, owner, admin):
        here, of_another = self.sign_in(owner), self.sign_in(admin)
        for client in (here, of_another):
            row = UserSession.objects.get(session_key=client.session.session_key)
            here.post(reverse("keys:session-end", args=[row.pk]))
            assert client.get(reverse("mfa_index")).status_code == 200
        assert here.get(reverse("keys:session-end", args=[1])).status_code == 405
        assert "user.sessions_ended" not in self.actions()

    def test_ending_none_is_nothing(self, owner):
        self.sign_in(owner).post(reverse("usersessions_list"))
        assert "user.sessions_ended" not in self.actions()

    def test_addresses_that_come_and_go(self, owner):
        here, path = self.sign_in(owner), reverse("account_email")
        here.post(path, {"action_add": "", "email": "second@acme.example"})
        here.post(re.search(r"http://testserver(/\S+)", mail.outbox[-1].body)[1])
        here.post(path, {"action_primary": "", "email": "second@acme.example"})
        here.post(path, {"action_remove": "", "email": owner.email})
        told = [f"user.email_{step}" for step in ("added", "confirmed", "changed", "removed")]
        assert self.actions()[1:] == told
        changed = AuditEvent.objects.get(action="user.email_changed")
        assert changed.changes == {"email": [owner.email, "second@acme.example"]}

    @pytest.mark.django_db(transaction=True)
    def test_a_second_factor_that_is_given_up_and_codes_made_anew(self, owner):
        here = self.sign_in(owner)
        here.post(reverse("account_reauthenticate"), {"password": PASSWORD})
        TOTP.activate(owner, generate_totp_secret())
        here.post(reverse("mfa_generate_recovery_codes"))
        here.post(reverse("mfa_deactivate_totp"))
        told = self.actions()[1:]
        assert told[0] == "user.recovery_codes_made"
        assert set(told[1:]) == {"user.second_factor_removed"}

    def test_an_account_that_somebody_opened(self, client, db, settings):
        settings.ACCOUNT_OPEN_SIGNUP = True
        typed = {"email": "new@acme.example", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        client.post(reverse("account_signup"), typed)
        assert self.actions() == ["user.signed_up"]
