"""Sessions that end because the provider says so: OpenID Connect's back-channel logout."""

# ruff: noqa: F811 (fixtures of a neighbour's, which tests have as arguments)

import time
from contextlib import contextmanager

import jwt
import pytest
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.usersessions.models import UserSession
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from keys.models import AuditEvent
from keys.templatetags.audit import plain_sentence
from tests.conftest import PASSWORD, make_person
from tests.servers import free_port
from tests.test_accounts import heading
from tests.test_single_sign_on import actions, known, provider, served, sign_in, who  # noqa: F401
from tests.test_step_up import grow_old


class TestSignedOutThere:
    """The provider ends a session, and what came by that ends here (back-channel logout)."""

    @pytest.fixture
    def here(self, client, provider, owner, acme):
        """The owner, signed in by a session at the provider."""
        provider.claims["sid"] = "first"
        sign_in(client)
        return client

    def signed_in(self, provider, **claims) -> Client:
        provider.claims |= claims
        client = Client()
        sign_in(client)
        return client

    def told(self, token, **more):
        # As a program posts, which has no cookie of ours.
        client = Client(enforce_csrf_checks=True)
        return client.post(reverse("single_sign_on_logout"), {"logout_token": token}, **more)

    def test_what_came_by_that_session_ends_and_nothing_else(self, here, provider, owner):
        other = self.signed_in(provider, sid="second")
        by_password = Client()
        by_password.force_login(owner)
        token = provider.logout_token(sub=provider.claims["sub"], sid="first")
        answer = self.told(token, REMOTE_ADDR="192.0.2.44")
        assert (answer.status_code, answer.content) == (200, b"")
        assert "no-store" in answer["Cache-Control"]
        assert [who(each) for each in (here, other, by_password)] == [None, *[owner.email] * 2]
        event = AuditEvent.objects.get(action="user.single_sign_on_ended")
        assert (event.object_id, event.address) == (str(owner.pk), "192.0.2.44")
        assert event.changes == {"by": "Acme ID", "sessions": 1}
        assert plain_sentence(event) == "Single sign-on signed owner@acme.example out"

    def test_the_session_alone_names_it_too(self, here, provider, owner):
        other = self.signed_in(provider, sid="second")
        assert self.told(provider.logout_token(sid="first")).status_code == 200
        assert (who(here), who(other)) == (None, owner.email)

    def test_the_person_alone_ends_all_that_came_from_there(self, here, provider, owner):
        other = self.signed_in(provider, sid="second")
        by_password = Client()
        by_password.force_login(owner)
        make_person("other@acme.example")
        provider.claims = known("other@acme.example", sid="first")
        somebody_else = self.signed_in(provider)
        assert self.told(provider.logout_token(sub="sub of owner@acme.example")).status_code == 200
        assert [who(each) for each in (here, other, by_password, somebody_else)] == [
            *(None, None, owner.email, "other@acme.example")
        ]
        assert AuditEvent.objects.get(action="user.single_sign_on_ended").changes["sessions"] == 2

    def test_where_sign_ins_named_no_session_the_person_does(self, client, provider, owner):
        sign_in(client)
        assert self.told(provider.logout_token(sid="first")).status_code == 200
        assert who(client) == owner.email
        self.told(provider.logout_token(sub=provider.claims["sub"], sid="first"))
        assert who(client) is None

    def test_a_session_behind_a_second_factor_is_known_too(self, client, provider, owner):
        give_code = self.begin(client, provider, owner, sid="first")
        give_code()
        assert who(client) == owner.email
        self.told(provider.logout_token(sid="first"))
        assert who(client) is None

    @pytest.mark.parametrize(
        ("sid", "ended"),
        [
            ("first", {"sid": "first"}),
            ("first", {"sub": "sub of owner@acme.example"}),
            ("first", {"sub": "sub of owner@acme.example", "sid": "first"}),
            (None, {"sub": "sub of owner@acme.example", "sid": "first"}),
        ],
        ids=str,
    )
    def test_a_sign_in_that_waits_for_a_second_factor_comes_to_nothing(
        self, client, provider, owner, sid, ended
    ):
        give_code = self.begin(client, provider, owner, sid=sid)
        assert self.told(provider.logout_token(**ended)).status_code == 200
        page = give_code()
        assert (page.status_code, heading(page)) == (403, "You were not signed in")
        assert "It ended your session there meanwhile." in page.text
        assert who(client) is None
        assert not UserSession.objects.exists()
        assert actions()[-2:] == ["user.signed_in", "user.single_sign_on_ended"]

    @pytest.mark.parametrize(
        "ended",
        [
            {"sid": "second"},
            {"sub": "somebody else"},
            {"sub": "sub of owner@acme.example", "sid": "second"},
            {"sub": "somebody else", "sid": "first"},
        ],
        ids=str,
    )
    def test_a_sign_in_that_waits_minds_no_session_but_its_own(
        self, client, provider, owner, ended
    ):
        give_code = self.begin(client, provider, owner, sid="first")
        self.told(provider.logout_token(**ended))
        give_code()
        assert who(client) == owner.email

    def test_who_was_signed_out_there_may_sign_in_again_at_once(self, client, provider, owner):
        self.told(provider.logout_token(sub=provider.claims["sub"]))
        self.begin(client, provider, owner)()
        assert who(client) == owner.email

    def test_an_old_token_stops_nobody_who_waits(self, client, provider, owner):
        give_code = self.begin(client, provider, owner)
        made = int(time.time()) - 90
        self.told(provider.logout_token(sub=provider.claims["sub"], iat=made))
        give_code()
        assert who(client) == owner.email

    def begin(self, client, provider, person, **claims):
        """Come back from the provider, and return what gives the second factor's code."""
        secret = generate_totp_secret()
        TOTP.activate(person, secret)
        provider.claims |= claims
        asked = sign_in(client)["Location"]
        code = format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))
        assert who(client) is None
        return lambda: client.post(asked, {"code": code})

    def test_who_confirmed_there_by_another_session_ends_with_that(self, here, provider, owner):
        provider.claims["sid"] = "second"
        grow_old(here)
        sign_in(here, reverse("single_sign_on_confirm"))
        self.told(provider.logout_token(sid="first"))
        assert who(here) == owner.email
        self.told(provider.logout_token(sid="second"))
        assert who(here) is None

    def test_who_confirmed_there_and_signed_in_by_a_password_stays(self, here, provider, owner):
        by_password = Client()
        by_password.post(reverse("account_login"), {"login": owner.email, "password": PASSWORD})
        grow_old(by_password)
        sign_in(by_password, reverse("single_sign_on_confirm"))
        self.told(provider.logout_token(sub=provider.claims["sub"]))
        assert (who(here), who(by_password)) == (None, owner.email)

    def test_nobody_is_signed_in_any_more_and_all_is_well(self, provider, owner):
        assert self.told(provider.logout_token(sub="nobody")).status_code == 200
        assert actions() == []

    @pytest.mark.parametrize(
        "claims",
        [
            {"iss": "http://127.0.0.1:1"},
            {"iss": None},
            {"aud": "somebody-else"},
            {"aud": None},
            {"iat": None},
            {"iat": 32503680000},
            {"iat": "now"},
            {"iat": -(10**18)},
            {"exp": None},
            {"exp": 1},
            {"jti": None},
            {"jti": 5},
            {"nonce": "x"},
            {"events": None},
            {"events": {}},
            {"events": {"http://schemas.openid.net/event/backchannel-logout": None}},
            {"events": ["http://schemas.openid.net/event/backchannel-logout"]},
            {"sub": None},
            {"sub": 5},
            {"sub": ""},
            {"sid": ["first"]},
        ],
        ids=str,
    )
    def test_a_token_that_is_none_to_end_sessions_by(self, here, provider, owner, claims):
        token = provider.logout_token(**{"sub": provider.claims["sub"], **claims})
        with self.nothing_asked_of(provider):
            self.assert_refused(self.told(token), here, owner)

    @pytest.mark.parametrize("lie", [{"signer": "forger"}, {"unsigned": True}], ids=str)
    def test_a_token_that_the_provider_did_not_sign(self, here, provider, owner, lie):
        provider.lies |= lie
        self.assert_refused(self.told(provider.logout_token(sid="first")), here, owner)

    @pytest.mark.parametrize(
        "token",
        [
            *("", "nonsense", "a.b.c", "\0", "x" * 100_000),
            jwt.encode({}, None, algorithm="none"),
            jwt.encode({"iss": "x", "aud": "y"}, None, algorithm="none", headers={"kid": "1"}),
        ],
    )
    def test_what_is_no_token(self, here, provider, owner, token):
        with self.nothing_asked_of(provider):
            self.assert_refused(self.told(token), here, owner)

    def test_a_token_that_names_no_key(self, here, provider, owner):
        signed = provider.logout_token(sid="first")
        claims = jwt.decode(signed, options={"verify_signature": False})
        with self.nothing_asked_of(provider):
            token = jwt.encode(claims, None, algorithm="none")
            self.assert_refused(self.told(token), here, owner)

    def test_a_token_of_a_sign_in_ends_none(self, here, provider, owner):
        token = provider.logout_token(events=None, nonce="n", **provider.claims)
        self.assert_refused(self.told(token), here, owner)

    def test_a_token_that_comes_twice_does_no_harm(self, here, provider, owner):
        token = provider.logout_token(sid="first")
        assert [self.told(token).status_code for _ in range(2)] == [200, 200]
        assert actions()[-1] == "user.single_sign_on_ended"
        assert actions().count("user.single_sign_on_ended") == 1

    def test_what_failed_here_is_done_when_the_provider_says_it_again(
        self, here, provider, owner, monkeypatch
    ):
        token = provider.logout_token(sid="first")

        def fail(self):
            raise OperationalError("The database is away.")

        with monkeypatch.context() as patched:
            patched.setattr(UserSession, "end", fail)
            program = Client(raise_request_exception=False)
            path = reverse("single_sign_on_logout")
            assert program.post(path, {"logout_token": token}).status_code == 503
        assert who(here) == owner.email
        assert self.told(token).status_code == 200
        assert who(here) is None

    def test_an_old_one_ends_nothing_that_was_signed_in_later(self, here, provider, owner):
        made = int(time.time()) - 90
        token = provider.logout_token(sub=provider.claims["sub"], iat=made)
        assert self.told(token).status_code == 200
        assert who(here) == owner.email

    def test_while_the_provider_is_away_nothing_is_believed(self, here, provider, owner, settings):
        token = provider.logout_token(sid="first")
        settings.OIDC_ISSUER = f"http://127.0.0.1:{free_port()}"
        self.assert_refused(self.told(token), here, owner)

    def test_it_is_a_door_only_where_a_provider_is_and_for_posts(self, client, provider, settings):
        assert client.get(reverse("single_sign_on_logout")).status_code == 405
        settings.OIDC_ISSUER = ""
        assert self.told("x").status_code == 404

    def test_who_tries_is_slowed_and_the_provider_is_not(self, provider, owner, settings):
        rates = {"single_sign_on_logout": "2/m/ip"}
        settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, **rates}
        for _ in range(4):
            assert self.told(provider.logout_token(sid="first")).status_code == 200
        assert [self.told("nonsense").status_code for _ in range(3)] == [400, 400, 429]

    @contextmanager
    def nothing_asked_of(self, provider):
        before = provider.requests
        yield
        assert provider.requests == before

    def assert_refused(self, answer, client, owner):
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"
        assert "no-store" in answer["Cache-Control"]
        assert who(client) == owner.email
