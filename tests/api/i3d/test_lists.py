"""Lists and categories over i3D.net's wire, byte by byte."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from keys import policy, services
from keys.api.dialects import i3d
from keys.models import APIKey, Role
from tests.api.i3d.wire import KEYS, custom_role, wrong

# Lists


@pytest.fixture
def eight(acme, manage_key):
    """Return the ids of eight keys, the manage key's among them, ascending."""
    made = [
        services.issue_key(actor=policy.OPERATOR, organization=acme, name=f"Key {number}")
        for number in range(7)
    ]
    return [manage_key.pk, *(key.pk for key in made)]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("start=0,results=25", slice(0, 8)),
        ("start=2,results=3", slice(2, 5)),
        ("results=3,start=2", slice(2, 5)),
        (" start = 2 , results = 3 ", slice(2, 5)),
        ("results=7", slice(0, 7)),
        ("start=5", slice(5, 8)),
        ("start=8,results=5", slice(0, 0)),
        ("start=999999999999999,results=999999999999999", slice(0, 0)),
        ("results=0", slice(0, 0)),
        ("", slice(0, 8)),
        ("nonsense", slice(0, 8)),
        ("start=x,results=2", slice(0, 2)),
        ("start=-1,results=2", slice(0, 2)),
        ("start=1.5", slice(0, 8)),
        ("start=３", slice(0, 8)),
        ("restart=3", slice(0, 8)),
        ("start=" + "9" * 5000, slice(0, 8)),
    ],
)
@pytest.mark.wide
def test_ranged_data_selects_by_position(header, expected, eight, listed):
    header = header.encode().decode("latin-1")
    assert [row["id"] for row in listed(**{"RANGED-DATA": header})] == eight[expected]


def test_without_ranged_data_there_are_25(acme, manage_key, listed):
    for number in range(30):
        services.issue_key(actor=policy.OPERATOR, organization=acme, name=f"Key {number}")
    rows = listed()
    assert len(rows) == 25
    assert rows == sorted(rows, key=lambda row: row["id"])
    assert len(listed(**{"RANGED-DATA": "start=25"})) == 6


def test_no_more_are_given_than_one_reply_should_hold(eight, listed, monkeypatch):
    monkeypatch.setattr(i3d, "MAX_RESULTS", 4)
    assert len(listed(**{"RANGED-DATA": "results=1000000"})) == 4


def test_a_list_takes_as_many_queries_whatever_its_length(acme, manage_key, listed, journal):
    def issue_keys(count):
        for number in range(count):
            services.issue_key(
                actor=policy.OPERATOR,
                organization=acme,
                name=f"Key {number}",
                scopes=["READ", "CREATE"] if number % 2 else [],
                role=None if number % 2 else Role.objects.get(number=2),
                allowed_ips=["192.0.2.1"],
            )

    issue_keys(2)
    listed()
    with CaptureQueriesContext(connection) as few:
        assert len(listed()) == 3
    issue_keys(20)
    with CaptureQueriesContext(connection) as many:
        assert len(listed()) == 23
    assert len(many) == len(few) <= 20


def test_everybody_sees_what_is_theirs(key, read_only_key, manage_key, strangers_key, listed):
    own = [key.pk, read_only_key.pk]
    assert [row["id"] for row in listed(key.secret)] == own
    assert [row["id"] for row in listed(read_only_key.secret)] == own
    assert [row["id"] for row in listed()] == [*own, manage_key.pk]
    assert [row["id"] for row in listed(strangers_key.secret)] == [strangers_key.pk]


def test_revoked_keys_are_gone_and_disabled_ones_are_not(key, manage_key, listed):
    services.disable_key(actor=policy.OPERATOR, key=key)
    assert [row["id"] for row in listed()] == [key.pk, manage_key.pk]
    services.revoke_key(actor=policy.OPERATOR, key=key)
    assert [row["id"] for row in listed()] == [manage_key.pk]


# Categories


@pytest.mark.parametrize("body", [{}, {"category": 0}, {"category": 3}])
def test_a_key_without_a_category_is_read_only(body, create):
    row = create(**body)
    assert row["category"] == 3
    assert APIKey.objects.get(pk=row["id"]).role.name == "readonly"


def test_a_category_is_the_number_of_a_role(acme, manage_key, create, change):
    role = custom_role(acme, 40, ["orders:read"])
    services.update_key(
        actor=policy.OPERATOR,
        key=manage_key,
        scopes=["READ", "CREATE", "UPDATE", "DELETE", "MANAGE", "orders:read"],
    )
    row = create(category=40)
    assert row["category"] == 40
    assert APIKey.objects.get(pk=row["id"]).role == role
    assert change(row["id"], category=2)["category"] == 2
    assert change(row["id"], category=0)["category"] == 3


def test_an_unknown_category_is_refused_with_the_valid_ones(acme, other, call, manage_key):
    custom_role(acme, 40, ["orders:read"])
    custom_role(other, 41, ["orders:read"])
    for number in (41, 999, -1, 10**30):  # another organization's number is nobody's here
        problems = wrong(call("post", KEYS, manage_key.secret, {"category": number}))
        assert problems == {
            "category": "No role has this number; choose one of "
            "1 (admin), 2 (developer), 3 (readonly), 40 (ops)."
        }


@pytest.mark.parametrize(
    ("scopes", "category"),
    [
        (["READ"], 3),
        (["READ", "CREATE", "UPDATE", "DELETE"], 2),
        (["orders:read"], 44),
        (["READ", "CREATE"], 0),
        ([], 0),
    ],
)
def test_listed_scopes_are_shown_as_a_category(acme, manage_key, listed, scopes, category):
    custom_role(acme, 50, ["orders:read"], "fifty")
    custom_role(acme, 44, name="forty-four").scopes.set(Role.objects.get(number=50).scopes.all())
    key = services.issue_key(actor=policy.OPERATOR, organization=acme, name="Lists", scopes=scopes)
    assert next(row for row in listed() if row["id"] == key.pk)["category"] == category


def test_nobody_gives_a_category_beyond_their_own(key, read_only_key, call):
    keys = APIKey.objects.count()
    response = call("post", KEYS, key.secret, {"category": 1})
    assert response.status_code == 403
    assert "MANAGE" in response.json()["errorMessage"]
    assert call("post", KEYS, read_only_key.secret, {"category": 3}).status_code == 403
    assert APIKey.objects.count() == keys
    assert call("post", KEYS, key.secret, {"category": 2}).status_code == 200
