"""What no reply of the native dialect holds, what calls cost, and exact values."""

import re
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from keys import secrets, services
from keys.models import (
    AllowedIP,
    APIKey,
    AuditEvent,
    KeySecret,
    KeyUsage,
    Membership,
    Organization,
    Role,
    Scope,
    ServerAddress,
    User,
    Workspace,
)
from tests.api.native.wire import KEYS, LISTS, path_of, refused, told


def test_no_reply_but_the_first_holds_a_secret(ask, manage_key, key, strangers_things, body, acme):
    """T21: every GET of the dialect, scanned for secrets, digests and peppers."""
    secrets_made = [manage_key.secret, key.secret]
    rotated = told(ask("post", path_of(key, "/rotate"), _own(key), {"overlap": 60}))
    secrets_made += [
        rotated["api_key"],
        told(ask("post", KEYS, manage_key.secret, body), 201)["api_key"],
    ]
    digests = [row.digest for each in APIKey.objects.all() for row in each.secrets.all()]
    paths = [*LISTS, path_of(key), path_of(key, "/secrets"), path_of(key, "/allowed-ips"),
             f"/v1/organizations/{acme.pk}/server-addresses"]  # fmt: skip
    for path in paths:
        text = ask("get", path, manage_key.secret).content.decode()
        assert not any(secret in text for secret in [*secrets_made, *digests]), path
        assert not any(secrets.find_format(word) for word in re.findall(r"[\w-]+", text)), path
        assert "pepper" not in text
        assert "password" not in text


def _own(key: APIKey) -> str:
    # A key may not rotate itself, so another one of the same owner does.
    return services.issue_key(
        actor=key.owner, organization=key.organization, name="Sibling", scopes=key.scope_codes
    ).secret


def test_replies_are_not_stored_on_the_way(ask, key):
    assert ask("get", KEYS, key.secret)["Cache-Control"] == "no-store"
    assert ask("get", "/v1/nothing")["Cache-Control"] == "no-store"


def test_a_client_cannot_say_where_it_comes_from(ask, key, owner, settings):
    """T24: the default believes no header; a trusted proxy's last foreign hop counts."""
    services.add_allowed_ip(actor=owner, key=key, network="203.0.113.9")
    claims = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "True-Client-IP": "203.0.113.9",
    }
    assert ask("get", KEYS, key.secret, headers=claims).status_code == 401
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    assert ask("get", KEYS, key.secret, headers=claims).status_code == 200
    for forged in ("203.0.113.9, 198.51.100.1", "203.0.113.9, nonsense", "nonsense"):
        spoofed = {"X-Forwarded-For": forged}
        assert ask("get", KEYS, key.secret, headers=spoofed).status_code == 401
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert ask("get", KEYS, key.secret, headers=claims).status_code == 401


def test_management_calls_are_limited_per_caller(ask, key, read_only_key, settings):
    settings.API_RATE = "3/minute"
    answers = [ask("get", KEYS, key.secret) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert refused(answers[-1], 429) == {}
    assert int(answers[-1]["Retry-After"]) > 0
    assert ask("get", KEYS, read_only_key.secret).status_code == 200


def _populate(acme: Organization, number: int) -> None:
    """Put that many more rows of everything straight into the database."""
    names = [f"thing {number} {index}" for index in range(number)]
    people = User.objects.bulk_create(
        User(email=f"{name.replace(' ', '.')}@acme.example") for name in names
    )
    developer = Role.objects.get(organization=None, name="developer")
    Membership.objects.bulk_create(
        Membership(organization=acme, user=person, role=developer) for person in people
    )
    Workspace.objects.bulk_create(Workspace(organization=acme, name=name) for name in names)
    Scope.objects.bulk_create(
        Scope(organization=acme, code=f"{name.replace(' ', '-')}:read") for name in names
    )
    first = 10 + acme.roles.count()
    roles = Role.objects.bulk_create(
        Role(organization=acme, name=name, number=first + index) for index, name in enumerate(names)
    )
    ServerAddress.objects.bulk_create(
        ServerAddress(organization=acme, network=f"10.{number}.0.{index}")
        for index in range(number)
    )
    AuditEvent.objects.bulk_create(
        AuditEvent(organization=acme, action="x", actor_key_id=index, object_id=index)
        for index in range(number)
    )
    default = acme.workspaces.get(is_default=True)
    keys = APIKey.objects.bulk_create(
        APIKey(organization=acme, workspace=default, name=name, slug=name, owner=person, role=role)
        for name, person, role in zip(names, people, [*roles[::2], *[None] * number], strict=False)
    )
    KeyUsage.objects.bulk_create(KeyUsage(key=key) for key in keys)
    AllowedIP.objects.bulk_create(
        AllowedIP(key=key, network=network)
        for key in keys
        for network in ("192.0.2.1", "192.0.2.2")
    )
    KeySecret.objects.bulk_create(
        KeySecret(key=key, digest=key.hash, pepper_id=1, label="kh_abc...xyz") for key in keys
    )
    read = Scope.objects.get(code="READ")
    APIKey.scopes.through.objects.bulk_create(
        APIKey.scopes.through(apikey=key, scope=read) for key in keys if key.role is None
    )


@pytest.mark.usefixtures("at_one_moment")
def test_every_list_takes_the_same_queries_for_ten_rows_and_a_hundred(
    ask, manage_key, acme, django_assert_max_num_queries
):
    paths = [*LISTS, f"/v1/organizations/{acme.pk}/server-addresses"]
    _populate(acme, 10)
    ask("get", KEYS, manage_key.secret)  # the first use of an hour opens its bucket
    few = {}
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            told(ask("get", path, manage_key.secret))
        few[path] = len(queries)
    _populate(acme, 90)
    for path in paths:
        with django_assert_max_num_queries(few[path]):
            rows = told(ask("get", path, manage_key.secret))
        assert len(rows) == 1 if path == "/v1/organizations" else len(rows) > 90
    assert max(few.values()) <= 28, few


def test_amounts_are_exact_to_the_millionth(ask, manage_key, body):
    made = told(ask("post", KEYS, manage_key.secret, {**body, "limit": 0.000001}), 201)
    assert APIKey.objects.get(pk=made["id"]).limit == Decimal("0.000001")
    assert made["limit"] == 0.000001


@pytest.mark.parametrize(
    ("since", "status"),
    [("3814-09-03T15:49:45-21:22", 200), ("0001-01-01T00:00:00%2B23:00", 400)],
)
def test_a_moment_is_understood_in_any_zone(since, status, ask, manage_key):
    answer = ask("get", f"/v1/audit-events?since={since}", manage_key.secret)
    assert answer.status_code == status
