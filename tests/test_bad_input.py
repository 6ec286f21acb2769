"""What is wrong with the input is told under its field's name, and nothing is written.

The same on every database: what one of them cannot store is refused on all.
"""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from django.apps import apps
from django.core import serializers
from django.core.exceptions import ValidationError
from django.utils import timezone as clock

from keys import services
from keys.models import Role, Scope
from keys.networks import parse_address

PAST = datetime(2020, 1, 1, tzinfo=UTC)
NAIVE = datetime(2090, 1, 1)  # noqa: DTZ001
BEYOND_UTC = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))
BEFORE_UTC = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))

BAD_TEXT = ["\x00", "a\x00b", "\ud800", "a\udfffb"]
BAD_NETWORKS = [
    "",
    "10.1.2.3/8",
    "010.1.2.3",
    "fe80::1%eth0",
    "10.1",
    "acme.example",
    "\x00",
    "\ud800",
]
BAD_AMOUNTS = [
    Decimal(10) ** 30,
    10**30,
    10**12 + 1,
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    float("nan"),
    -1,
    Decimal("-0.000001"),
    Decimal("0.0000001"),
    "ten",
    "",
    True,
]

BAD_VALUES = {
    "name": ["", *BAD_TEXT, "x" * 201],
    "description": [*BAD_TEXT, "x" * 501],
    "external_user": [*BAD_TEXT, "x" * 201],
    "slug": [*BAD_TEXT, "x" * 64, "/", "a/b", "..", " a"],
    "limit": BAD_AMOUNTS,
    "limit_reset": ["hourly", "DAILY", "", "\x00"],
    "expires_at": [PAST, NAIVE, BEYOND_UTC],
    "not_before": [NAIVE, BEYOND_UTC, BEFORE_UTC],
    "scopes": [[code] for code in ["WRITE", "read", "*", "", "\x00", "\ud800", "x" * 10_000]],
    "allowed_ips": [
        *[["10.0.0.1", text] for text in BAD_NETWORKS],
        [{}],
        [{"network": "10.0.0.1", "comment": "x" * 201}],
        [{"network": "10.0.0.1", "comment": "\x00"}],
        [{"network": "10.0.0.1", "comment": "\ud800"}],
        [f"10.0.{number // 256}.{number % 256}" for number in range(1001)],
    ],
}
# What only issuing takes.
BAD_VALUES_OF_A_NEW_KEY = {**BAD_VALUES, "dialect": ["klingon", ""]}
# Issuing without a slug makes one; changing it to nothing is refused.
BAD_VALUES_OF_A_CHANGE = {
    **BAD_VALUES,
    "name": [*BAD_VALUES["name"], None],
    "description": [*BAD_VALUES["description"], None],
    "slug": [*BAD_VALUES["slug"], None, ""],
    "disabled": [None],
    "workspace": [None],
}


@pytest.fixture
def refused(db):
    """Ask, and return the names of the fields at fault; nothing is written meanwhile."""

    def ask(service, **wish) -> set[str]:
        before = _dump()
        with pytest.raises(ValidationError) as refusal:
            service(**wish)
        assert _dump() == before
        if not hasattr(refusal.value, "error_dict"):
            return set()
        for messages in refusal.value.message_dict.values():
            assert all(messages)
        return set(refusal.value.message_dict)

    return ask


def _dump() -> str:
    rows = [
        row for model in apps.get_app_config("keys").get_models() for row in model.objects.all()
    ]
    return serializers.serialize("json", rows)


@pytest.mark.parametrize("field", BAD_VALUES_OF_A_NEW_KEY)
def test_a_key_is_not_issued(refused, owner, acme, field):
    for value in BAD_VALUES_OF_A_NEW_KEY[field]:
        wish = {"name": "Key", field: value}
        found = refused(services.issue_key, actor=owner, organization=acme, **wish)
        assert found == {field}, value


@pytest.mark.parametrize("field", BAD_VALUES_OF_A_CHANGE)
def test_a_key_is_not_changed(refused, developer, key, field):
    for value in BAD_VALUES_OF_A_CHANGE[field]:
        wish = {field: value}
        found = refused(services.update_key, actor=developer, key=key, **wish)
        assert found == {field}, value


def test_a_key_does_not_contradict_itself(refused, owner, acme, key, developer):
    soon, later = clock.now() + timedelta(days=1), clock.now() + timedelta(days=2)
    contradiction = {"expires_at": soon, "not_before": later}
    assert refused(
        services.issue_key, actor=owner, organization=acme, name="Key", **contradiction
    ) == {"expires_at"}
    assert refused(services.update_key, actor=developer, key=key, **contradiction) == {"expires_at"}


def test_an_expiry_of_this_very_moment_is_past(refused, owner, acme, time_machine):
    """T35: a lifetime of zero is none, not one without end."""
    now = datetime(2026, 3, 4, tzinfo=UTC)
    time_machine.move_to(now, tick=False)
    wish = {"organization": acme, "name": "Key", "expires_at": now}
    assert refused(services.issue_key, actor=owner, **wish) == {"expires_at"}


def test_a_short_name_is_taken_once(refused, owner, acme, developer, key, read_only_key):
    wish = {"organization": acme, "name": "Key", "slug": key.slug}
    assert refused(services.issue_key, actor=owner, **wish) == {"slug"}
    assert refused(services.update_key, actor=developer, key=read_only_key, slug=key.slug) == {
        "slug"
    }


def test_rows_of_another_organization_are_not_used(refused, owner, acme, other, stranger, key):
    workspace = other.workspaces.get()
    scope = services.create_scope(actor=stranger, organization=other, code="orders:read")
    # A twin of the same code does not make it ours.
    services.create_scope(actor=owner, organization=acme, code="orders:read")
    role = services.create_role(actor=stranger, organization=other, name="clerk")
    for field, value in [("workspace", workspace), ("scopes", [scope]), ("role", role)]:
        wish = {field: value}
        assert refused(services.issue_key, actor=owner, organization=acme, name="Key", **wish) == {
            field
        }
        assert refused(services.update_key, actor=owner, key=key, **wish) == {field}


def test_a_key_follows_a_role_or_lists_scopes(refused, owner, acme):
    role = Role.objects.get(organization=None, name="readonly")
    assert refused(
        services.issue_key, actor=owner, organization=acme, name="Key", role=role, scopes=["READ"]
    ) == {"scopes"}


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=30, microseconds=1)])
def test_an_overlap_is_neither_negative_nor_long(refused, developer, key, overlap):
    assert refused(services.rotate_key, actor=developer, key=key, overlap=overlap) == {"overlap"}


@pytest.mark.parametrize("network", BAD_NETWORKS)
def test_an_address_is_an_address(refused, owner, acme, developer, key, network):
    row = services.add_allowed_ip(actor=developer, key=key, network="10.0.0.0/8")
    add, change = services.add_allowed_ip, services.change_allowed_ip
    assert refused(add, actor=developer, key=key, network=network) == {"network"}
    assert refused(change, actor=developer, allowed_ip=row, network=network) == {"network"}
    pool = services.add_server_address
    assert refused(pool, actor=owner, organization=acme, network=network) == {"network"}


def test_an_address_is_listed_once(refused, owner, acme, developer, key):
    first = services.add_allowed_ip(actor=developer, key=key, network="10.0.0.1")
    second = services.add_allowed_ip(actor=developer, key=key, network="10.0.0.2")
    assert refused(
        services.add_allowed_ip, actor=developer, key=key, network="::ffff:10.0.0.1"
    ) == {"network"}
    assert refused(
        services.change_allowed_ip, actor=developer, allowed_ip=second, network=first.network
    ) == {"network"}
    services.add_server_address(actor=owner, organization=acme, network="10.0.0.1")
    assert refused(
        services.add_server_address, actor=owner, organization=acme, network="10.0.0.1/32"
    ) == {"network"}


@pytest.mark.parametrize("comment", [*BAD_TEXT, "x" * 201])
def test_a_comment_is_a_short_text(refused, owner, acme, developer, key, comment):
    wish = {"network": "10.0.0.1", "comment": comment}
    assert refused(services.add_allowed_ip, actor=developer, key=key, **wish) == {"comment"}
    assert refused(services.add_server_address, actor=owner, organization=acme, **wish) == {
        "comment"
    }


@pytest.mark.parametrize("name", ["", *BAD_TEXT, "x" * 121])
def test_names_are_short_texts(refused, owner, acme, name):
    sandbox = services.create_workspace(actor=owner, organization=acme, name="Sandbox")
    clerk = services.create_role(actor=owner, organization=acme, name="clerk")
    for service, wish in [
        (services.create_workspace, {"organization": acme}),
        (services.update_workspace, {"workspace": sandbox}),
        (services.create_role, {"organization": acme}),
        (services.update_role, {"role": clerk}),
        (services.update_organization, {"organization": acme}),
    ]:
        assert refused(service, actor=owner, name=name, **wish) == {"name"}


def test_names_are_taken_once(refused, owner, acme, other, superuser):
    services.create_workspace(actor=owner, organization=acme, name="Sandbox")
    services.create_role(actor=owner, organization=acme, name="clerk", number=10)
    services.create_scope(actor=owner, organization=acme, code="orders:read")
    member = acme.memberships.get(user=owner)
    for service, wish, field in [
        (services.create_workspace, {"organization": acme, "name": "Sandbox"}, "name"),
        (
            services.update_workspace,
            {"workspace": acme.workspaces.first(), "name": "Sandbox"},
            "name",
        ),
        (services.create_role, {"organization": acme, "name": "clerk"}, "name"),
        (services.create_role, {"organization": acme, "name": "teller", "number": 10}, "number"),
        (services.create_scope, {"organization": acme, "code": "orders:read"}, "code"),
        (services.update_organization, {"organization": acme, "slug": "other"}, "slug"),
        (services.add_member, {"organization": acme, "user": owner, "role": member.role}, "user"),
    ]:
        assert refused(service, actor=owner, **wish) == {field}
    assert refused(
        services.create_organization, actor=superuser, name="Again", slug="acme", owner=owner
    ) == {"slug"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "admin"),
        ("name", "readonly"),
        ("number", 1),
        ("number", 9),
        ("number", 0),
        ("number", -1),
        ("number", 10**30),
        ("number", "ten"),
        *[("description", text) for text in [*BAD_TEXT, "x" * 201]],
    ],
)
def test_a_role_is_an_organizations_own(refused, owner, acme, field, value):
    wish = {"name": "clerk", field: value}
    assert refused(services.create_role, actor=owner, organization=acme, **wish) == {field}


@pytest.mark.parametrize(
    "code", ["", "READ", "MANAGE", "orders", "*", "orders:", *BAD_TEXT, "o:" + "x" * 100]
)
def test_a_scope_is_a_resource_and_an_action(refused, owner, acme, code):
    assert refused(services.create_scope, actor=owner, organization=acme, code=code) == {"code"}


def test_roles_list_no_scopes_of_others(refused, owner, acme, other, stranger):
    foreign = services.create_scope(actor=stranger, organization=other, code="orders:read")
    clerk = services.create_role(actor=owner, organization=acme, name="clerk")
    wish = {"scopes": [foreign]}
    assert refused(services.create_role, actor=owner, organization=acme, name="teller", **wish) == {
        "scopes"
    }
    assert refused(services.update_role, actor=owner, role=clerk, **wish) == {"scopes"}


def test_people_get_no_role_of_others(refused, owner, acme, other, stranger, developer):
    foreign = services.create_role(actor=stranger, organization=other, name="clerk")
    member = acme.memberships.get(user=developer)
    assert refused(services.update_member, actor=owner, membership=member, role=foreign) == {"role"}
    assert refused(
        services.add_member, actor=owner, organization=acme, user=stranger, role=foreign
    ) == {"role"}


@pytest.mark.parametrize("slug", ["", "Acme", "a b", "-a", "x" * 64, *BAD_TEXT])
def test_an_organizations_short_name_goes_into_addresses(refused, owner, acme, superuser, slug):
    create, change = services.create_organization, services.update_organization
    assert refused(create, actor=superuser, name="New", slug=slug, owner=owner) == {"slug"}
    assert refused(change, actor=owner, organization=acme, slug=slug) == {"slug"}


@pytest.mark.parametrize("field", ["cost", "byok_cost"])
def test_a_use_costs_an_amount(refused, key, field):
    """A negative cost would give back what was spent."""
    for amount in [*BAD_AMOUNTS, 10**6 + 1]:
        wish = {"secret": key.secret, "address": None, field: amount}
        assert refused(services.verify_key, **wish) == {field}, amount


@pytest.mark.parametrize("secret", ["", "\x00", "\ud800", "kh_", "x" * 10**6])
def test_what_is_no_key_is_not_found(db, secret, django_assert_num_queries):
    # Which tells a process that nothing was imported, until something changes.
    services.verify_key(secret="nonsense", address=None)
    with django_assert_num_queries(0):
        assert services.verify_key(secret=secret, address=None).code == "NOT_FOUND"


@pytest.mark.parametrize("text", [*BAD_TEXT, "x" * 1000])
def test_odd_headers_and_scopes_do_not_disturb_a_verification(key, text):
    address = parse_address("192.0.2.1")
    verdict = services.verify_key(secret=key.secret, address=address, user_agent=text)
    assert verdict.is_valid
    verdict = services.verify_key(secret=key.secret, address=address, scopes=[text])
    assert verdict.code == "INSUFFICIENT_SCOPES"


def test_what_cannot_be_changed_is_no_argument(owner, acme, developer, key):
    """T38: an owner, an organization or an identity does not change; a typo is an error."""
    row = services.add_allowed_ip(actor=developer, key=key, network="10.0.0.1")
    for service, wish in [
        (services.update_key, {"key": key, "owner": owner}),
        (services.update_key, {"key": key, "organization": acme}),
        (services.update_key, {"key": key, "creator": owner}),
        (services.update_key, {"key": key, "hash": "0" * 64}),
        (services.update_key, {"key": key, "identifier": "a"}),
        (services.update_key, {"key": key, "dialect": "xyra"}),
        (services.update_key, {"key": key, "revoked_at": None}),
        (services.update_key, {"key": key, "locked_at": None}),
        (services.update_key, {"key": key, "created_at": PAST}),
        (services.change_allowed_ip, {"allowed_ip": row, "key": key}),
        (services.update_member, {"membership": acme.memberships.first(), "user": owner}),
        (services.update_scope, {"scope": Scope(organization=acme), "code": "a:b"}),
        (services.update_workspace, {"workspace": key.workspace, "is_default": False}),
        (services.update_organization, {"organization": acme, "suspended_at": None}),
    ]:
        with pytest.raises(TypeError, match="hangeable"):
            service(actor=owner, **wish)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("email", text) for text in ["", "nobody", "a@b\x00.example", "OWNER@acme.example"]],
        *[("first_name", text) for text in [*BAD_TEXT, "x" * 151]],
    ],
)
def test_a_person_is_known_by_one_address(refused, superuser, owner, field, value):
    wish = {"email": "new@acme.example", field: value}
    assert refused(services.create_person, actor=superuser, **wish) == {field}
