"""Signing in by an OpenID Connect provider: whose account that opens, and whose it never does."""

import html
import math
import re
import time
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
import requests
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import (
    TOTP,
    generate_totp_secret,
)
from allauth.socialaccount.models import SocialAccount
from django.conf import settings as configured
from django.core import mail
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import reverse

from keys import services
from keys.models import APIKey, AuditEvent, Invitation, Role, User
from tests import openid
from tests.conftest import PASSWORD, make_person
from tests.key_pages import fill, secret_on
from tests.servers import free_port
from tests.test_accounts import heading
from tests.test_step_up import grow_old


@pytest.fixture(scope="module")
def served():
    with openid.provider() as provider:
        yield provider


@pytest.fixture
def provider(served, settings, db):
    """The provider that the portal trusts, where the owner of acme just signed in."""
    for name, value in served.settings().items():
        setattr(settings, name, value)
    served.lies.clear()
    served.asked.clear()
    served.claims = known("owner@acme.example")
    return served


def known(email, **more):
    """What the provider says of somebody with a confirmed address."""
    about = {"sub": f"sub of {email}", "email": email, "email_verified": True}
    return {**about, "auth_time": int(time.time()), **more}


def leave(client, path=None, **typed) -> str:
    """Press the button; return where the browser is led."""
    page = client.post(path or reverse("single_sign_on_login"), typed)
    assert page.status_code == 200, page.text
    return html.unescape(re.search(r"""content="0;URL='([^"]+)'">""", page.text)[1])


def come_back(client, address):
    """Go where the provider is, and with its answer back; return the page that shows."""
    back = requests.get(address, allow_redirects=False, timeout=10).headers["Location"]
    return client.get(f"{urlsplit(back).path}?{urlsplit(back).query}")


def sign_in(client, path=None, **typed):
    return come_back(client, leave(client, path, **typed))


def who(client) -> str | None:
    """Return the address of who is signed in."""
    user_id = client.session.get("_auth_user_id")
    return User.objects.get(pk=user_id).email if user_id else None


def actions() -> list[str]:
    events = AuditEvent.objects.filter(action__startswith="user.")
    return list(events.order_by("pk").values_list("action", flat=True))


def invite(acme, owner, email) -> None:
    role = Role.objects.get(organization=None, name="developer")
    services.invite(actor=owner, organization=acme, emails=[email], role=role)


class TestButton:
    def test_it_is_there_only_where_a_provider_is(self, client, provider, settings):
        page = client.get(reverse("account_login"))
        assert "Sign in by Acme ID" in page.text
        settings.OIDC_ISSUER = ""
        assert "Acme ID" not in client.get(reverse("account_login")).text
        for name in ("login", "callback"):
            assert client.get(reverse(f"single_sign_on_{name}")).status_code == 404

    def test_a_link_asks_before_it_leaves(self, client, provider):
        page = client.get(reverse("single_sign_on_login"))
        assert heading(page) == "Sign in by Acme ID"
        assert not provider.asked

    def test_who_leaves_takes_a_proof_along_and_no_secret(self, client, provider):
        asked = dict(parse_qsl(urlsplit(leave(client)).query))
        assert asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"] == "http://testserver/accounts/sso/callback/"
        assert set(asked["scope"].split()) == {"openid", "email"}
        assert len(asked["nonce"]) == 64
        assert openid.CLIENT_SECRET not in str(asked) + str(dict(client.session))

    def test_a_query_adds_nothing_to_what_is_asked(self, client, provider):
        path = reverse("single_sign_on_login")
        address = leave(client, f"{path}?scope=admin&auth_params=prompt%3Dnone")
        assert "admin" not in address
        assert "prompt" not in address

    def test_the_policy_of_the_page_that_leads_on_stays_strict(self, client, provider):
        page = client.post(reverse("single_sign_on_login"))
        assert "form-action 'self';" in page["Content-Security-Policy"] + ";"
        assert "no-store" in page["Cache-Control"]


class TestKnownPeople:
    def test_a_confirmed_address_opens_the_account_that_has_it(self, client, provider, owner, acme):
        answer = sign_in(client)
        assert (answer.status_code, who(client)) == (302, owner.email)
        assert client.get(reverse("keys:overview", args=["acme"])).status_code == 200
        assert actions() == ["user.single_sign_on_connected", "user.signed_in"]
        event = AuditEvent.objects.get(action="user.signed_in")
        assert (event.actor_user_id, event.address) == (owner.pk, "127.0.0.1")
        assert event.changes == {"by": "Acme ID"}
        assert "connected" in mail.outbox[-1].subject
        owner.refresh_from_db()
        assert owner.check_password(PASSWORD)

    def test_afterwards_they_are_known_by_their_number_there(self, client, provider, owner):
        sign_in(client)
        provider.claims["email"] = "renamed@acme.example"
        again = Client()
        sign_in(again)
        assert who(again) == owner.email

    def test_the_page_that_they_wanted_comes_next(self, client, provider, owner, acme):
        wanted = reverse("keys:members", args=["acme"])
        assert sign_in(client, next=wanted)["Location"] == wanted

    def test_they_are_not_led_elsewhere(self, client, provider, owner):
        assert "evil" not in sign_in(client, next="https://evil.example/")["Location"]

    def test_the_address_may_come_from_userinfo(self, client, provider, owner):
        provider.lies["claims"] = {"email": None, "email_verified": None}
        sign_in(client)
        assert who(client) == owner.email

    def test_no_token_is_kept(self, client, provider, owner):
        TOTP.activate(owner, generate_totp_secret())
        sign_in(client)
        assert "of-no-use" not in str(dict(client.session))
        assert set(SocialAccount.objects.get().extra_data) == {"iss", "sub", "email", "auth_time"}

    def test_their_second_factor_is_asked_for_whatever_the_provider_did(
        self, client, provider, owner
    ):
        TOTP.activate(owner, generate_totp_secret())
        provider.claims["amr"] = ["mfa", "otp"]
        assert sign_in(client)["Location"].startswith(reverse("mfa_authenticate"))
        assert who(client) is None

    def test_an_organization_that_requires_one_asks_for_it(self, client, provider, owner, acme):
        services.update_policy(actor=owner, organization=acme, requires_second_factor=True)
        provider.claims["amr"] = ["mfa"]
        sign_in(client)
        assert client.get(reverse("keys:overview", args=["acme"])).status_code == 403

    def test_who_was_deactivated_stays_out(self, client, provider, owner):
        sign_in(client)
        owner.is_active = False
        owner.save()
        later = Client()
        assert sign_in(later)["Location"] == reverse("account_inactive")
        assert who(later) is None
        SocialAccount.objects.all().delete()
        assert sign_in(later)["Location"] == reverse("account_inactive")
        assert not SocialAccount.objects.exists()

    def test_an_account_that_staff_made_is_theirs_and_its_password_nobodys(self, client, provider):
        made = User.objects.create_user("new@acme.example", PASSWORD)
        provider.claims = known(made.email)
        sign_in(client)
        assert who(client) == made.email
        made.refresh_from_db()
        assert not made.has_usable_password()
        assert EmailAddress.objects.get(user=made).verified


class TestRefused:
    @pytest.mark.parametrize("said", [False, None, "true", "false", 1])
    def test_an_address_that_is_not_said_to_be_confirmed(self, client, provider, owner, said):
        provider.claims["email_verified"] = said
        page = sign_in(client)
        assert page.status_code == 403
        assert "does not say that your email address is confirmed" in page.text
        assert who(client) is None
        assert not SocialAccount.objects.exists()
        assert actions() == ["user.sign_in_failed"]

    def test_an_unconfirmed_address_of_whom_the_portal_knows(self, client, provider, owner):
        sign_in(client)
        before = SocialAccount.objects.get().extra_data
        provider.claims |= {"email": "victim@acme.example", "email_verified": False}
        assert sign_in(Client()).status_code == 403
        assert SocialAccount.objects.get().extra_data == before

    def test_an_address_that_somebody_else_only_claims_opens_nothing_of_theirs(
        self, client, provider, owner
    ):
        EmailAddress.objects.create(user=owner, email="victim@acme.example", verified=False)
        provider.claims = known("victim@acme.example")
        assert sign_in(client).status_code == 200
        assert who(client) is None
        owner.refresh_from_db()
        assert owner.check_password(PASSWORD)

    def test_an_address_that_becomes_somebodys_by_its_case_only(self, client, provider, db):
        make_person("kim@acme.example")
        provider.claims = known("\N{KELVIN SIGN}im@acme.example", sub="42")
        assert sign_in(client).status_code == 403
        assert who(client) is None

    def test_who_was_given_somebodys_address_later_is_not_them(self, client, provider, owner):
        sign_in(Client())
        provider.claims = known(owner.email, sub="somebody who came later")
        page = sign_in(client)
        assert page.status_code == 403
        assert "knows somebody else by your address" in page.text
        assert who(client) is None
        assert SocialAccount.objects.count() == 1

    def test_after_a_move_to_another_provider_the_address_counts_again(
        self, client, provider, owner
    ):
        sign_in(Client())
        SocialAccount.objects.update(uid="of before", extra_data={"iss": "https://old.example"})
        sign_in(client)
        assert who(client) == owner.email

    def test_a_domain_that_is_not_let_in(self, client, provider, owner, settings):
        settings.OIDC_EMAIL_DOMAINS = ["other.example"]
        assert sign_in(client).status_code == 403
        settings.OIDC_EMAIL_DOMAINS = ["other.example", "acme.example"]
        assert sign_in(client).status_code == 302

    @pytest.mark.parametrize(
        "claims",
        [
            {"iss": "http://127.0.0.1:1"},
            {"aud": "somebody-else"},
            {"aud": [openid.CLIENT_ID, "other"], "azp": "other"},
            {"nonce": "another"},
            {"nonce": None},
            {"exp": 1},
            {"exp": None},
            {"sub": None},
        ],
        ids=lambda each: "-".join(each),
    )
    def test_a_token_that_was_not_made_for_this_sign_in(self, client, provider, owner, claims):
        provider.lies["claims"] = claims
        self.assert_not_believed(client)

    @pytest.mark.parametrize("seconds", [30, -30])
    def test_the_provider_s_clock_may_be_a_little_off(self, client, provider, owner, seconds):
        there = int(time.time()) + seconds
        provider.lies["claims"] = {"iat": there, "exp": there + 20}
        assert sign_in(client).status_code == 302
        assert who(client) == owner.email

    @pytest.mark.parametrize("seconds", [30, -30])
    def test_a_token_is_believed_once_however_the_clocks_are(
        self, client, provider, owner, seconds
    ):
        there = int(time.time()) + seconds
        provider.lies["claims"] = {"jti": "same", "iat": there - 60, "exp": there}
        assert sign_in(Client()).status_code == 302
        assert sign_in(client).status_code == 502
        assert who(client) is None

    @pytest.mark.parametrize(
        "claims", [{"iat": 120, "exp": 400}, {"iat": -400, "exp": -120}], ids=["ahead", "behind"]
    )
    def test_a_clock_that_is_far_off_is_not_believed(self, client, provider, owner, claims):
        now = int(time.time())
        provider.lies["claims"] = {name: now + seconds for name, seconds in claims.items()}
        self.assert_not_believed(client)

    @pytest.mark.parametrize("lie", [{"signer": "forger"}, {"unsigned": True}], ids=str)
    def test_a_token_that_the_provider_did_not_sign(self, client, provider, owner, lie):
        provider.lies |= lie
        self.assert_not_believed(client)

    def test_a_token_signed_with_the_public_key_as_if_it_were_a_secret(
        self, client, provider, owner
    ):
        address = leave(client)
        nonce = dict(parse_qsl(urlsplit(address).query))["nonce"]
        claims = {
            "iss": provider.issuer,
            "aud": openid.CLIENT_ID,
            "nonce": nonce,
            **provider.claims,
        }
        claims |= {"iat": int(time.time()), "exp": int(time.time()) + 60}
        secret = provider.keys()["keys"][0]["n"]
        forged = jwt.encode(claims, secret, algorithm="HS256", headers={"kid": "1"})
        provider.lies["tokens"] = {"access_token": "x", "id_token": forged}
        assert come_back(client, address).status_code == 502
        assert who(client) is None

    @pytest.mark.parametrize(
        "lie",
        [
            {"published": {"issuer": "http://127.0.0.1:1"}},
            {"published": {"token_endpoint": None}},
            {"published": {"jwks_uri": 5}},
            {"published": {"token_endpoint_auth_methods_supported": 5}},
            {"published": {"authorization_endpoint": "javascript:alert(1)"}},
            {"published": {"token_endpoint": "//127.0.0.1/token"}},
        ],
        ids=str,
    )
    def test_a_provider_that_is_another_one_or_half_of_one(self, client, provider, owner, lie):
        provider.lies |= lie
        page = client.post(reverse("single_sign_on_login"))
        assert page.status_code == 502
        assert "not one to believe" in page.text

    @pytest.mark.parametrize(
        "lie",
        [
            {"tokens": {"access_token": "x"}},
            {"tokens": {"access_token": "x", "id_token": "nonsense"}},
            {"tokens": ["x"]},
            {"tokens": ["access_token"]},
            {"tokens": {"access_token": "x", "id_token": {}}},
            {"keys": {"keys": []}},
            {"keys": {"keys": [{}]}},
            {"keys": []},
            {"keys": {"keys": [{"kid": "1", "alg": "none"}]}},
            {"keys": b"[" * 100_000},
            {"keys": b" " * 2**20 + b'{"keys": []}'},
            {"claims": {"email": 5}},
            {"claims": {"email": "no address"}},
            {
                "claims": {
                    "email": f"{'x' * 64}@{'y' * 60}.{'z' * 60}.{'y' * 60}.{'z' * 60}.example"
                }
            },
            {"claims": {"exp": math.inf}},
            {"claims": {"sub": "with a \0"}},
            {"claims": {"sub": "half a \ud83d"}},
            {"claims": {"sub": "x" * 256}},
        ],
        ids=lambda each: str(each)[:60],
    )
    def test_answers_that_make_no_sense(self, client, provider, owner, lie):
        provider.lies |= lie
        page = sign_in(client)
        assert 400 <= page.status_code < 600
        assert page.status_code != 500
        assert heading(page) == "You were not signed in"
        assert who(client) is None

    def test_keys_that_are_said_to_lie_elsewhere(self, client, provider, owner):
        elsewhere = f"{provider.issuer}/authorize?redirect_uri={provider.issuer}/keys&state=x"
        provider.lies["published"] = {"jwks_uri": elsewhere}
        self.assert_not_believed(client)

    def test_what_userinfo_says_of_somebody_else(self, client, provider, owner):
        provider.lies["claims"] = {"email": None}
        provider.lies["userinfo"] = {**provider.claims, "sub": "another"}
        self.assert_not_believed(client)

    def assert_not_believed(self, client):
        page = sign_in(client)
        assert page.status_code == 502
        assert "not one to believe" in page.text
        assert who(client) is None
        assert not SocialAccount.objects.exists()

    def test_an_answer_that_comes_twice(self, client, provider, owner):
        address = leave(client)
        back = requests.get(address, allow_redirects=False, timeout=10).headers["Location"]
        path = f"{urlsplit(back).path}?{urlsplit(back).query}"
        assert client.get(path).status_code == 302
        client.logout()
        page = client.get(path)
        assert (page.status_code, who(client)) == (400, None)
        assert "is used up, or is too old" in page.text

    def test_an_answer_that_another_browser_asked_for(self, client, provider, owner):
        address = leave(Client())
        assert come_back(client, address).status_code == 400
        assert who(client) is None

    def test_who_turns_back_there_is_told_so(self, client, provider, owner):
        provider.lies["answer"] = {"error": "access_denied"}
        assert heading(client.get(sign_in(client)["Location"])) == "You turned back"

    def test_an_error_there_is_a_page_here(self, client, provider, owner):
        provider.lies["answer"] = {"error": "server_error"}
        page = sign_in(client)
        assert page.status_code == 403
        assert "It did not sign you in" in page.text

    def test_while_the_provider_is_away_that_is_said(self, client, provider, owner, settings):
        address = leave(client)
        back = requests.get(address, allow_redirects=False, timeout=10).headers["Location"]
        settings.OIDC_ISSUER = f"http://127.0.0.1:{free_port()}"
        for page in (
            client.post(reverse("single_sign_on_login")),
            client.get(f"{urlsplit(back).path}?{urlsplit(back).query}"),
        ):
            assert page.status_code == 503
            assert "It does not answer" in page.text
        assert who(client) is None

    def test_too_many_tries_are_slowed(self, client, provider, settings):
        settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login": "1/m/ip"}
        leave(client)
        assert client.post(reverse("single_sign_on_login")).status_code == 429


class TestNewPeople:
    def test_whom_nobody_invited_gets_no_account(self, client, provider, acme):
        provider.claims = known("nobody@acme.example")
        assert heading(sign_in(client)) == "Accounts are made for you"
        assert not User.objects.filter(email="nobody@acme.example").exists()

    def test_who_is_invited_joins(self, client, provider, acme, owner):
        invite(acme, owner, "new@acme.example")
        provider.claims = known("New@acme.example")
        answer = sign_in(client)
        assert answer["Location"] == reverse("keys:invitation")
        assert who(client) == "new@acme.example"
        assert client.post(answer["Location"])["Location"] == reverse(
            "keys:overview", args=["acme"]
        )
        assert acme.memberships.get(user__email="new@acme.example").role.name == "developer"
        assert actions() == ["user.signed_up", "user.signed_in"]
        assert not User.objects.get(email="new@acme.example").has_usable_password()

    @pytest.mark.parametrize("what", ["taken back", "too old", "of another address"])
    def test_an_invitation_that_is_no_more_lets_nobody_in(
        self, client, provider, acme, owner, what
    ):
        email = "other@acme.example" if what == "of another address" else "new@acme.example"
        invite(acme, owner, email)
        if what == "taken back":
            services.revoke_invitation(actor=owner, invitation=Invitation.objects.get())
        if what == "too old":
            Invitation.objects.update(expires_at="2020-01-01T00:00:00Z")
        provider.claims = known("new@acme.example")
        assert heading(sign_in(client)) == "Accounts are made for you"
        assert not User.objects.filter(email="new@acme.example").exists()

    def test_who_comes_twice_at_once_gets_one_account(self, client, provider, acme, owner):
        invite(acme, owner, "new@acme.example")
        provider.claims = known("new@acme.example")

        def overtake(instance, **more):
            pre_save.disconnect(overtake, SocialAccount)
            first = make_person("first@acme.example")
            SocialAccount.objects.create(user=first, provider=instance.provider, uid=instance.uid)

        pre_save.connect(overtake, SocialAccount)
        page = sign_in(client)
        assert (page.status_code, heading(page)) == (409, "You were not signed in")
        assert not User.objects.filter(email="new@acme.example").exists()

    @pytest.mark.parametrize("name", ["OIDC_CREATES_ACCOUNTS", "ACCOUNT_OPEN_SIGNUP"])
    def test_an_installation_may_let_all_in_whom_it_knows(
        self, client, provider, acme, settings, name
    ):
        setattr(settings, name, True)
        provider.claims = known("new@acme.example")
        sign_in(client)
        assert who(client) == "new@acme.example"
        assert client.get(reverse("keys:overview", args=["acme"])).status_code == 404

    def test_by_default_it_does_not(self):
        assert configured.OIDC_CREATES_ACCOUNTS is False


class TestConfirming:
    """Who signs in at the provider alone confirms there, before what does most harm."""

    @pytest.fixture
    def late(self, client, provider, owner, acme):
        """The owner without a password, who signed in a while ago."""
        owner.set_unusable_password()
        owner.save()
        sign_in(client)
        grow_old(client)
        return client

    def test_what_was_typed_is_carried_out_after_that(self, late, provider, owner, acme):
        path = reverse("keys:create", args=["acme"])
        grow_old(late, -901)
        typed = fill(late, acme, name="Typed before")
        grow_old(late)
        asked = late.post(path, typed)
        assert asked["Location"].startswith(reverse("single_sign_on_confirm"))
        page = late.get(asked["Location"])
        assert heading(page) == "Confirm that it is you"
        answer = sign_in(late, reverse("single_sign_on_confirm"), next=path)
        assert secret_on(answer)
        assert APIKey.objects.get().name == "Typed before"
        assert provider.asked[-1]["prompt"] == "login"
        assert provider.asked[-1]["max_age"] == "0"

    def test_a_sign_in_there_long_ago_is_none_just_now(self, client, provider, owner, acme):
        provider.claims["auth_time"] -= 3600
        sign_in(client)
        asked = client.get(reverse("keys:create", args=["acme"]))
        assert asked.status_code == 302
        assert "?next=" in asked["Location"]

    @pytest.mark.parametrize(
        "told_at", [None, 0, True, "now", math.nan, math.inf, 10**400, 32503680000]
    )
    def test_a_provider_that_does_not_say_when_confirms_nothing(self, late, provider, told_at):
        provider.claims["auth_time"] = told_at
        page = sign_in(late, reverse("single_sign_on_confirm"))
        assert page.status_code == 403
        assert "Set a password" in page.text
        assert late.get(reverse("keys:create", args=["acme"])).status_code == 302

    def test_somebody_else_there_confirms_nothing(self, late, provider, acme):
        make_person("other@acme.example")
        provider.claims = known("other@acme.example")
        assert sign_in(late, reverse("single_sign_on_confirm")).status_code == 403
        assert late.get(reverse("keys:create", args=["acme"])).status_code == 302

    @pytest.mark.parametrize(
        "name", ["account_set_password", "mfa_activate_totp", "mfa_add_webauthn"]
    )
    def test_so_does_who_would_make_a_session_theirs(self, late, name):
        asked = late.get(reverse(name))
        assert asked.status_code == 302
        assert asked["Location"].startswith(reverse("single_sign_on_confirm"))


class TestConnections:
    def test_one_is_connected_and_disconnected(self, client, provider, owner):
        client.force_login(owner)
        path = reverse("socialaccount_connections")
        assert "Connect Acme ID" in client.get(path).text
        connect = f"{reverse('single_sign_on_login')}?process=connect"
        assert sign_in(client, connect)["Location"] == path
        assert "owner@acme.example" in client.get(path).text
        client.post(path, {"account": SocialAccount.objects.get().pk})
        assert not SocialAccount.objects.exists()
        assert actions() == ["user.single_sign_on_connected", "user.single_sign_on_removed"]

    def test_who_has_no_password_stays_connected(self, client, provider, owner):
        owner.set_unusable_password()
        owner.save()
        sign_in(client)
        page = client.post(
            reverse("socialaccount_connections"), {"account": SocialAccount.objects.get().pk}
        )
        assert "Set one first" in page.text
        assert SocialAccount.objects.exists()

    def test_somebody_else_there_is_not_connected(self, client, provider, owner):
        provider.claims = known("other@acme.example")
        client.force_login(owner)
        connect = f"{reverse('single_sign_on_login')}?process=connect"
        assert sign_in(client, connect).status_code == 403
        assert not SocialAccount.objects.exists()

    def test_what_nobody_knows_is_not_done(self, client, provider, owner):
        assert sign_in(client, f"{reverse('single_sign_on_login')}?process=odd").status_code == 403
        assert who(client) is None

    def test_without_a_provider_the_page_says_so(self, client, provider, owner, settings):
        sign_in(client)
        settings.OIDC_ISSUER = ""
        path = reverse("socialaccount_connections")
        assert client.get(path).status_code == 200
        page = client.post(path, {"account": SocialAccount.objects.get().pk})
        assert "not set up here" in page.text
