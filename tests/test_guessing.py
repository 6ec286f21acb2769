"""Guessing at passwords is limited where it comes from, and locks nobody out."""

import re

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail
from django.test import Client
from django.urls import reverse

from portal import devices
from tests.conftest import PASSWORD
from tests.servers import free_port

ATTACKER, VICTIM = "198.51.100.66", "192.0.2.7"
TOO_MANY = "Too many failed login attempts"
SIGN_IN = reverse("account_login")


def try_once(client, email, password, address):
    return client.post(SIGN_IN, {"login": email, "password": password}, REMOTE_ADDR=address)


def hammer(email, times=8, addresses=(ATTACKER,)):
    """Guess so often from each address; return the last answer."""
    for address in addresses:
        for number in range(times):
            answer = try_once(Client(), email, f"guess number {number}", address)
    return answer


def is_signed_in(answer) -> bool:
    return answer.status_code == 302


@pytest.fixture
def slow(settings):
    """Three guesses from anywhere in an hour, so that a test need not make a hundred."""
    settings.ACCOUNT_RATE_LIMITS = {
        **settings.ACCOUNT_RATE_LIMITS,
        "login_failed_anywhere": "3/h/key",
    }


def test_who_guesses_is_stopped_after_five_also_with_the_right_password(owner):
    assert TOO_MANY in hammer(owner.email, 6).text
    assert TOO_MANY in try_once(Client(), owner.email, PASSWORD, ATTACKER).text


def test_the_person_signs_in_from_elsewhere_meanwhile(owner):
    hammer(owner.email)
    assert is_signed_in(try_once(Client(), owner.email, PASSWORD, VICTIM))


def test_the_person_signs_in_from_the_same_network_in_a_browser_that_is_known(owner):
    own = Client()
    try_once(own, owner.email, PASSWORD, ATTACKER)
    own.post(reverse("account_logout"))
    hammer(owner.email, 12)
    assert TOO_MANY in try_once(Client(), owner.email, PASSWORD, ATTACKER).text
    assert is_signed_in(try_once(own, owner.email, PASSWORD, ATTACKER))


def test_one_ipv6_host_is_one_network_however_many_addresses_it_has(owner):
    hosts = [f"2001:db8::{number:x}" for number in range(1, 6)]
    hammer(owner.email, 1, hosts)
    assert TOO_MANY in try_once(Client(), owner.email, PASSWORD, "2001:db8::99").text


def test_a_forged_header_is_no_other_network(owner):
    hammer(owner.email)
    answer = Client().post(
        SIGN_IN,
        {"login": owner.email, "password": PASSWORD},
        REMOTE_ADDR=ATTACKER,
        headers={"X-Forwarded-For": VICTIM},
    )
    assert TOO_MANY in answer.text


def test_guessing_from_many_places_is_slowed(owner, slow):
    answer = hammer(owner.email, 1, [f"198.51.100.{number}" for number in range(4)])
    assert TOO_MANY in answer.text


def test_and_does_not_stop_a_browser_that_is_known(owner, admin, slow):
    own = Client()
    try_once(own, owner.email, PASSWORD, VICTIM)
    own.post(reverse("account_logout"))
    hammer(owner.email, 1, [f"198.51.100.{number}" for number in range(4)])
    assert TOO_MANY in try_once(Client(), owner.email, PASSWORD, VICTIM).text
    assert is_signed_in(try_once(own, owner.email, PASSWORD, VICTIM))
    own.post(reverse("account_logout"))
    hammer(admin.email, 1, [f"198.51.100.{number}" for number in range(4)])
    assert TOO_MANY in try_once(own, admin.email, PASSWORD, VICTIM).text


def test_who_sets_a_new_password_by_mail_signs_in_at_once(owner, slow, client):
    hammer(owner.email, 1, [f"198.51.100.{number}" for number in range(4)])
    client.post(reverse("account_reset_password"), {"email": owner.email}, REMOTE_ADDR=VICTIM)
    link = re.search(r"http://testserver(/\S+)", mail.outbox[-1].body)[1]
    form = client.get(link, follow=True, REMOTE_ADDR=VICTIM)
    new = "another horse, another battery"
    client.post(
        form.redirect_chain[-1][0], {"password1": new, "password2": new}, REMOTE_ADDR=VICTIM
    )
    assert is_signed_in(try_once(Client(), owner.email, new, VICTIM))


def test_a_known_browser_is_limited_too(owner):
    """Somebody else may sit there."""
    own = Client()
    try_once(own, owner.email, PASSWORD, VICTIM)
    own.post(reverse("account_logout"))
    answers = [try_once(own, owner.email, f"guess {number}", VICTIM) for number in range(11)]
    assert TOO_MANY in answers[-1].text
    assert is_signed_in(try_once(Client(), owner.email, PASSWORD, "192.0.2.8"))


def test_a_success_does_not_make_room_for_more_guesses(owner, admin):
    for number in range(5):
        try_once(Client(), owner.email, f"guess {number}", ATTACKER)
        assert is_signed_in(try_once(Client(), admin.email, PASSWORD, ATTACKER)) or number == 4
    assert TOO_MANY in try_once(Client(), owner.email, PASSWORD, ATTACKER).text


@pytest.fixture
def hashed(monkeypatch):
    """The passwords that are hashed, which takes most of the time of a failed sign-in."""
    texts = []
    encode = MD5PasswordHasher.encode

    def remembering(hasher, password, salt):
        texts.append(password)
        return encode(hasher, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", remembering)
    return texts


def test_who_fails_waits_as_long_whether_there_is_such_an_account(owner, admin, viewer, hashed):
    admin.set_unusable_password()
    admin.save()
    viewer.is_active = False
    viewer.save()
    for email in ("nobody@acme.example", owner.email, admin.email, viewer.email):
        hashed.clear()
        assert not is_signed_in(try_once(Client(), email, "a guess", ATTACKER))
        assert len(hashed) == 1, email


def test_who_guessed_too_often_costs_nothing_whether_there_is_such_an_account(owner, hashed):
    for email in ("nobody@acme.example", owner.email):
        hammer(email, 6)
        hashed.clear()
        assert TOO_MANY in try_once(Client(), email, "a guess", ATTACKER).text
        assert hashed == []


def test_the_cookie_is_signed_private_and_names_nobody(owner, client):
    cookie = try_once(client, owner.email, PASSWORD, VICTIM).cookies[devices.COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/accounts/"
    assert "owner" not in cookie.value
    client.cookies[devices.COOKIE] = cookie.value[:-2] + "xx"
    client.post(reverse("account_logout"))
    hammer(owner.email, 6, [VICTIM])
    assert TOO_MANY in try_once(client, owner.email, PASSWORD, VICTIM).text


@pytest.mark.parametrize("value", ["", "x", "W10:1:x", "::::"])
def test_a_broken_cookie_is_none(owner, client, value):
    client.cookies[devices.COOKIE] = value
    assert is_signed_in(try_once(client, owner.email, PASSWORD, VICTIM))


def test_too_many_requests_are_answered_by_a_page(owner, client, settings):
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login": "1/m/ip"}
    try_once(client, owner.email, "wrong", VICTIM)
    answer = try_once(client, owner.email, PASSWORD, VICTIM)
    assert answer.status_code == 429
    assert "Too many tries" in answer.text


def test_nobody_guesses_while_nothing_counts_the_guesses(settings, owner, client):
    """Redis is away: neither a right password nor a wrong one is looked at."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{free_port()}/0",
        }
    }
    client.raise_request_exception = False
    for password in (PASSWORD, "guessed"):
        answer = try_once(client, owner.email, password, ATTACKER)
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert client.get(reverse("keys:home")).status_code == 302
    assert "_auth_user_id" not in client.session
