"""A key is exchanged for tokens that stand for it: never for more, never for longer."""

import base64
import hmac
import ipaddress
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import call_command
from django.utils import timezone

from keys import encryption, policy, services, snapshots, tokens
from keys.models import APIKey, AuditEvent, KeySecret, Membership, Organization, Role, UsageBucket
from keys.models.keys import Dialect
from keys.services import ExchangeRefusedError, sessions
from keys.tokens import Kind
from keys.verification import Code

HOME = ipaddress.ip_address("192.0.2.1")
NOW = datetime(2026, 11, 19, 15, 30, tzinfo=UTC)


@pytest.fixture
def shared_secret(acme) -> str:
    return services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme)


@pytest.fixture
def ci(acme, developer) -> APIKey:
    """The developer's key for a client of the exchange."""
    return services.issue_key(
        actor=developer,
        organization=acme,
        name="CI",
        slug="ci",
        dialect=Dialect.NETOGRAPHY,
        scopes=["READ", "CREATE"],
    )


@pytest.fixture
def exchange(shared_secret):
    """Exchange a key of `acme` and return its session's tokens."""

    def exchange(key, appkey=None, address=HOME, **claims) -> services.SessionTokens:
        said = {
            "iat": int(timezone.now().timestamp()),
            "jti": 5,
            "appname": key.slug,
            "appkey": appkey or key.secret,
            "shortname": "acme",
        }
        token = jwt.encode(said | claims, shared_secret, algorithm="HS256")
        session, _verdict = services.exchange_request_token(token=token, address=address)
        return session

    return exchange


def call(token: str, address=HOME) -> services.Verdict:
    """Present a token as a caller of the API does."""
    return services.authenticate_key(secret=token, address=address)


def refresh(session: services.SessionTokens, address=HOME) -> services.SessionTokens:
    return services.refresh_session(token=session.refresh_token, address=address)[0]


def test_a_token_calls_as_the_key_that_it_stands_for(ci, exchange):
    """T5: no exchange widens anything."""
    verdict = call(exchange(ci).access_token)
    assert verdict.is_valid
    assert verdict.key == ci
    assert verdict.snapshot == snapshots.take(ci.current_secret)
    assert policy.held_scopes(verdict.key, ci.organization) == {"READ", "CREATE"}


def test_a_token_loses_what_its_key_loses(ci, exchange, owner):
    """T5, T22: rights are looked up at each call."""
    session = exchange(ci)
    services.update_key(actor=owner, key=ci, scopes=["READ"])
    assert call(session.access_token).snapshot.scopes == {"READ"}
    Membership.objects.filter(user=ci.owner).update(role=Role.objects.get(name="readonly"))
    services.update_key(actor=policy.OPERATOR, key=ci, scopes=["READ", "CREATE"])
    assert call(session.access_token).snapshot.scopes == {"READ"}


def test_a_token_is_not_taken_for_the_secret_that_a_newer_pepper_wraps(ci, exchange, settings):
    session = exchange(ci)
    settings.KEY_PEPPERS = settings.KEY_PEPPERS | {2: b"a newer pepper of thirty-two bytes."}
    assert call(session.access_token).is_valid
    assert call(ci.secret).is_valid


def disable(key):
    services.disable_key(actor=policy.OPERATOR, key=key)


def lock(key):
    services.lock_key(actor=policy.OPERATOR, key=key)


def revoke(key):
    services.revoke_key(actor=policy.OPERATOR, key=key)


def rotate(key):
    services.rotate_key(actor=policy.OPERATOR, key=key)


def expire(key):
    APIKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())


def delete(key):
    APIKey.objects.filter(pk=key.pk).delete()


def suspend(key):
    services.suspend_organization(actor=policy.OPERATOR, organization=key.organization)


def end_membership(key):
    services.remove_member(
        actor=policy.OPERATOR, membership=key.organization.memberships.get(user=key.owner)
    )


def deactivate_owner(key):
    key.owner.is_active = False
    key.owner.save()


def allow_elsewhere(key):
    services.update_key(actor=policy.OPERATOR, key=key, allowed_ips=["203.0.113.0/24"])


ENDINGS = {
    disable: Code.DISABLED,
    lock: Code.LOCKED,
    revoke: Code.REVOKED,
    rotate: Code.SECRET_RETIRED,
    expire: Code.EXPIRED,
    delete: Code.NOT_FOUND,
    suspend: Code.ORGANIZATION_SUSPENDED,
    end_membership: Code.OWNER_GONE,
    deactivate_owner: Code.OWNER_GONE,
    allow_elsewhere: Code.FORBIDDEN_ADDRESS,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_tokens_die_at_once_with_what_they_stand_for(ci, exchange, ending):
    """T22: the next call, the refresh and the exchange are all refused."""
    session = exchange(ci)
    assert call(session.access_token).is_valid
    ending(ci)
    assert call(session.access_token).code is ENDINGS[ending]
    with pytest.raises(ExchangeRefusedError):
        refresh(session)
    with pytest.raises(ExchangeRefusedError):
        exchange(ci)


def test_a_token_works_again_when_its_key_does(ci, exchange):
    session = exchange(ci)
    disable(ci)
    services.enable_key(actor=policy.OPERATOR, key=ci)
    assert call(session.access_token).is_valid


def test_during_an_overlap_both_secrets_tokens_work(ci, exchange, developer, time_machine):
    """T33: a token lives as long as its own secret."""
    time_machine.move_to(NOW, tick=False)
    session = exchange(ci)
    rotated = services.rotate_key(actor=developer, key=ci, overlap=timedelta(hours=1))
    old, new = exchange(ci), exchange(ci, rotated.secret)
    assert (old.expires_in, new.expires_in) == (3600, 86400)
    time_machine.move_to(NOW + timedelta(minutes=59), tick=False)
    assert all(call(each.access_token).is_valid for each in (session, old, new))
    time_machine.move_to(NOW + timedelta(minutes=60), tick=False)
    assert [call(each.access_token).is_valid for each in (session, old, new)] == [
        False,
        False,
        True,
    ]


def test_a_token_says_how_long_it_really_lasts(ci, exchange, settings, time_machine):
    time_machine.move_to(NOW, tick=False)
    settings.ACCESS_TOKEN_SECONDS = 600
    settings.REFRESH_TOKEN_SECONDS = 7200
    session = exchange(ci)
    assert (session.expires_in, session.refresh_expires_in) == (600, 7200)
    services.update_key(actor=policy.OPERATOR, key=ci, expires_at=NOW + timedelta(seconds=900))
    limited = exchange(ci)
    assert (limited.expires_in, limited.refresh_expires_in) == (600, 900)
    time_machine.move_to(NOW + timedelta(seconds=599), tick=False)
    assert call(session.access_token).is_valid
    time_machine.move_to(NOW + timedelta(seconds=600), tick=False)
    assert call(session.access_token).code is Code.NOT_FOUND


def test_a_session_goes_on_by_refreshing(ci, exchange, time_machine):
    time_machine.move_to(NOW, tick=False)
    session = exchange(ci)
    time_machine.move_to(NOW + timedelta(hours=23), tick=False)
    following = refresh(session)
    assert following.session_id == session.session_id
    time_machine.move_to(NOW + timedelta(hours=30), tick=False)
    assert call(following.access_token).is_valid
    with pytest.raises(ExchangeRefusedError):
        refresh(session)


def test_each_token_has_one_purpose(ci, exchange):
    session = exchange(ci)
    assert call(session.refresh_token).code is Code.NOT_FOUND
    with pytest.raises(ExchangeRefusedError):
        services.refresh_session(token=session.access_token, address=HOME)
    verified = services.verify_key(secret=session.access_token, address=HOME)
    assert verified.code is Code.NOT_FOUND  # a token is no key


def test_a_key_is_exchanged_under_its_own_name_only(ci, key, exchange):
    with pytest.raises(ExchangeRefusedError):
        exchange(ci, appname=key.slug)
    with pytest.raises(ExchangeRefusedError):
        exchange(ci, appkey=key.secret)
    assert not UsageBucket.objects.exists()


def test_a_key_of_another_organization_is_not_exchanged(strangers_key, exchange):
    """T10: the signature proves one organization, the key another."""
    with pytest.raises(ExchangeRefusedError):
        exchange(strangers_key)
    services.reveal_shared_secret(actor=policy.OPERATOR, organization=strangers_key.organization)
    with pytest.raises(ExchangeRefusedError):
        exchange(strangers_key, shortname="other")


def test_an_organization_without_a_shared_secret_takes_no_token(other, strangers_key):
    claims = {
        "iat": int(timezone.now().timestamp()),
        "appname": strangers_key.slug,
        "appkey": strangers_key.secret,
        "shortname": "other",
    }
    signed, _dot, _signature = jwt.encode(claims, "f" * 64, algorithm="HS256").rpartition(".")
    signature = hmac.digest(b"", signed.encode(), "sha256")
    token = f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    with pytest.raises(ExchangeRefusedError):
        services.exchange_request_token(token=token, address=HOME)


def test_a_key_of_any_dialect_is_exchanged(acme, developer, exchange):
    for dialect in Dialect:
        key = services.issue_key(
            actor=developer, organization=acme, name="Any", dialect=dialect, scopes=["READ"]
        )
        assert call(exchange(key).access_token).key == key


def test_a_repeated_request_is_answered_again(ci, exchange):
    """A reply may get lost; and whoever captured the request has the key itself."""
    first, second = exchange(ci, jti="same"), exchange(ci, jti="same")
    assert first.session_id != second.session_id
    assert call(first.access_token).is_valid


def test_address_lists_hold_for_the_exchange_the_calls_and_the_refresh(ci, exchange):
    services.update_key(actor=policy.OPERATOR, key=ci, allowed_ips=["192.0.2.0/24"])
    session = exchange(ci)
    elsewhere = ipaddress.ip_address("203.0.113.9")
    for address in (elsewhere, None):
        with pytest.raises(ExchangeRefusedError):
            exchange(ci, address=address)
        assert call(session.access_token, address).code is Code.FORBIDDEN_ADDRESS
        with pytest.raises(ExchangeRefusedError):
            refresh(session, address)
    assert call(refresh(session).access_token).is_valid


def test_a_login_is_remembered_and_other_use_is_none(ci, exchange, time_machine):
    time_machine.move_to(NOW - timedelta(minutes=5), tick=False)
    services.authenticate_key(secret=ci.secret, address=HOME)
    ci.totals.refresh_from_db()
    assert ci.totals.last_login_at is None
    time_machine.move_to(NOW, tick=False)
    session = exchange(ci)
    time_machine.move_to(NOW + timedelta(minutes=5), tick=False)
    call(session.access_token, ipaddress.ip_address("192.0.2.77"))
    ci.totals.refresh_from_db()
    assert (ci.totals.last_login_at, ci.totals.last_login_address) == (NOW, "192.0.2.1")
    assert ci.totals.last_used_at == NOW + timedelta(minutes=5)


def test_a_refused_exchange_is_counted_and_is_no_login(ci, exchange):
    disable(ci)
    with pytest.raises(ExchangeRefusedError):
        exchange(ci)
    ci.totals.refresh_from_db()
    assert (ci.totals.refused, ci.totals.last_login_at) == (1, None)
    assert UsageBucket.objects.get(key=ci).outcome == Code.DISABLED


def test_exchanging_and_calling_cost_nothing_and_count(ci, exchange):
    session = exchange(ci)
    call(session.access_token)
    refresh(session)
    ci.totals.refresh_from_db()
    assert (ci.totals.requests, ci.totals.cost) == (3, 0)


def test_what_tokens_are_signed_with_makes_none_alone(ci, exchange):
    """T18: whoever has SECRET_KEY, but not the database, mints nothing."""
    secret = KeySecret.objects.get(key=ci)
    guessed = tokens.Session(
        secret_id=secret.pk,
        key_id=ci.pk,
        organization_id=ci.organization_id,
        nonce="0" * 32,
        session_id="x",
    )

    def forge(session):
        now = timezone.now()
        return tokens.sign(
            session,
            Kind.ACCESS,
            signing_key=sessions._signing_key(),
            now=now,
            expires_at=now + timedelta(hours=1),
        )

    assert call(forge(guessed)).code is Code.NOT_FOUND
    assert call(forge(replace(guessed, nonce=secret.nonce))).is_valid


def test_another_installations_tokens_are_refused(ci, exchange, settings):
    session = exchange(ci)
    settings.SECRET_KEY = "another-installation-0123456789-abcdefghijklmnop"
    assert call(session.access_token).code is Code.NOT_FOUND


def test_a_token_tells_neither_the_key_nor_its_rights(ci, exchange):
    session = exchange(ci)
    for token in (session.access_token, session.refresh_token):
        claims = jwt.decode(token, options={"verify_signature": False})
        assert set(claims) == {"typ", "sub", "secret", "org", "nonce", "sid", "jti", "iat", "exp"}
        assert ci.secret not in json.dumps(claims)
        assert KeySecret.objects.get(key=ci).digest not in json.dumps(claims)


def test_the_shared_secret_is_made_at_first_need_and_stays(acme, developer, owner):
    assert Organization.objects.get(pk=acme.pk).sealed_shared_secret == ""
    first = services.reveal_shared_secret(actor=developer, organization=acme)
    assert len(first.encode()) >= 32
    assert services.reveal_shared_secret(actor=owner, organization=acme) == first


def test_the_shared_secret_is_nowhere_in_clear(acme, shared_secret):
    sealed = Organization.objects.get(pk=acme.pk).sealed_shared_secret
    assert shared_secret not in sealed
    assert shared_secret not in json.dumps([*AuditEvent.objects.values_list("changes", flat=True)])


def test_two_organizations_share_no_secret(acme, other):
    first, second = (
        services.reveal_shared_secret(actor=policy.OPERATOR, organization=each)
        for each in (acme, other)
    )
    assert first != second


def test_a_new_shared_secret_ends_the_old_one_but_no_session(acme, owner, ci, exchange):
    session = exchange(ci)
    old = services.reveal_shared_secret(actor=owner, organization=acme)
    new = services.rotate_shared_secret(actor=owner, organization=acme)
    assert new != old
    with pytest.raises(ExchangeRefusedError):
        exchange(ci)  # still signed with the old one
    assert call(session.access_token).is_valid
    assert call(refresh(session).access_token).is_valid


def test_revealing_and_rotating_are_remembered(acme, owner):
    services.reveal_shared_secret(actor=owner, organization=acme)
    services.rotate_shared_secret(actor=owner, organization=acme)
    events = AuditEvent.objects.filter(action__contains="shared_secret").order_by("pk")
    assert [(event.action, event.actor_user, event.changes) for event in events] == [
        ("organization.shared_secret_revealed", owner, {}),
        ("organization.shared_secret_rotated", owner, {}),
    ]


def test_who_issues_keys_sees_the_shared_secret_and_who_manages_replaces_it(
    acme, admin, developer, viewer, stranger, staff, key, manage_key
):
    may_see = {admin: True, developer: True, viewer: False, stranger: False, staff: False}
    for person, may in may_see.items():
        assert policy.allows(person, "keys.reveal_sharedsecret", acme) is may
        assert policy.allows(person, "keys.rotate_sharedsecret", acme) is (person == admin)
        if not may:
            with pytest.raises(PermissionDenied):
                services.reveal_shared_secret(actor=person, organization=acme)
        if person != admin:
            with pytest.raises(PermissionDenied):
                services.rotate_shared_secret(actor=person, organization=acme)


def test_a_migration_seals_shared_secrets_with_the_newest_pepper(
    acme, other, ci, exchange, settings
):
    """Then the older pepper can go, and nothing that works stops working."""
    exchange(ci)
    old, new = settings.KEY_PEPPERS, {2: b"a newer pepper of thirty-two bytes."}
    settings.KEY_PEPPERS = old | new
    session = exchange(ci)
    call_command("migrate", verbosity=0)
    sealed = Organization.objects.get(pk=acme.pk).sealed_shared_secret
    assert encryption.is_sealed_by_newest(sealed, settings.KEY_PEPPERS)
    settings.KEY_PEPPERS = new
    assert call(exchange(ci).access_token).is_valid
    assert call(session.access_token).is_valid


def test_a_migration_leaves_alone_what_no_pepper_opens(acme, shared_secret, settings):
    old, new = settings.KEY_PEPPERS, {2: b"a newer pepper of thirty-two bytes."}
    settings.KEY_PEPPERS = new
    call_command("migrate", verbosity=0)
    settings.KEY_PEPPERS = old | new
    assert shared_secret == services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme)


def test_without_its_pepper_a_shared_secret_can_only_be_replaced(
    acme, owner, ci, exchange, settings
):
    exchange(ci)
    settings.KEY_PEPPERS = {2: b"a newer pepper of thirty-two bytes."}
    with pytest.raises(ExchangeRefusedError):
        exchange(ci)
    with pytest.raises(ValidationError, match="pepper"):
        services.reveal_shared_secret(actor=owner, organization=acme)
    new = services.rotate_shared_secret(actor=owner, organization=acme)
    assert services.reveal_shared_secret(actor=owner, organization=acme) == new


def test_netosecret_holds_all_that_a_client_needs(ci, developer, shared_secret):
    text = services.assemble_netosecret(
        actor=developer, key=ci, portal_url="https://keys.example/netography/"
    )
    assert len(text) % 4 == 0
    assert json.loads(base64.b64decode(text, validate=True)) == {
        "url": "https://keys.example/netography/api/v1",
        "shortname": "acme",
        "appname": "ci",
        "sharedsecret": shared_secret,
        "appkey": ci.secret,
    }


def test_netosecret_is_not_for_who_may_not_see_the_shared_secret(ci, viewer):
    with pytest.raises(PermissionDenied):
        services.assemble_netosecret(actor=viewer, key=ci, portal_url="https://keys.example")
