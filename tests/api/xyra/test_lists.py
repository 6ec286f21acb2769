"""Lists over XyraPanel's wire, byte by byte."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from keys import policy, services
from keys.models import Role
from tests.api.xyra.wire import ADMIN, KEYS


@pytest.fixture
def seven(acme, manage_key):
    """Return the identifiers of seven keys, the manage key's among them, newest first."""
    made = [
        services.issue_key(actor=policy.OPERATOR, organization=acme, name=f"Key {number}")
        for number in range(6)
    ]
    return [key.identifier for key in reversed([manage_key, *made])]


@pytest.mark.parametrize(
    ("query", "page", "limit"),
    [
        ("", 1, 50),
        ("?page=2&limit=3", 2, 3),
        ("?limit=3", 1, 3),
        ("?page=3&limit=3", 3, 3),
        ("?page=4&limit=3", 4, 3),
        ("?limit=100", 1, 100),
        ("?limit=101", 1, 50),
        ("?limit=500", 1, 50),
        ("?limit=0&page=0", 1, 50),
        ("?limit=-1&page=-1", 1, 50),
        ("?limit=x&page=2", 2, 50),
        ("?limit=2&page=x", 1, 2),
        ("?limit=2.5&page=1e1", 1, 50),
        ("?limit=&page=", 1, 50),
        ("?limit=%EF%BC%93", 1, 50),
        ("?page=999999999999", 999999999999, 50),
        ("?page=" + "9" * 5000, 1, 50),
        ("?page=%00", 1, 50),
        ("?unknown=1", 1, 50),
    ],
)
@pytest.mark.wide
def test_a_page_that_is_no_good_is_silently_the_default(query, page, limit, seven, listed):
    body = listed(query)
    assert body["pagination"] == {
        "page": page,
        "perPage": limit,
        "total": 7,
        "totalPages": -(-7 // limit),
    }
    start = (page - 1) * limit
    assert [row["identifier"] for row in body["data"]] == seven[start : start + limit]


def test_nothing_has_no_pages(call, acme, manage_key, developer):
    path = f"/api/admin/users/{developer.pk}/api-keys"
    assert call("get", path, manage_key.secret).json() == {
        "data": [],
        "pagination": {"page": 1, "perPage": 50, "total": 0, "totalPages": 0},
    }


@pytest.mark.parametrize("path", [f"{KEYS}?limit=100", ADMIN])
def test_a_list_takes_as_many_queries_whatever_its_length(path, acme, manage_key, call, journal):
    def issue_keys(count):
        for number in range(count):
            services.issue_key(
                actor=policy.OPERATOR,
                organization=acme,
                name=f"Key {number}",
                role=Role.objects.get(number=2),
                allowed_ips=["192.0.2.1"],
            )

    issue_keys(2)
    call("get", path, manage_key.secret)
    with CaptureQueriesContext(connection) as few:
        assert len(call("get", path, manage_key.secret).json()["data"]) == 3
    issue_keys(20)
    with CaptureQueriesContext(connection) as many:
        assert len(call("get", path, manage_key.secret).json()["data"]) == 23
    assert len(many) == len(few) <= 20


def test_everybody_sees_what_is_theirs(key, read_only_key, manage_key, strangers_key, listed):
    def seen(caller):
        return [row["identifier"] for row in listed(secret=caller.secret)["data"]]

    own = [read_only_key.identifier, key.identifier]
    assert seen(key) == seen(read_only_key) == own
    assert seen(manage_key) == [manage_key.identifier, *own]
    assert seen(strangers_key) == [strangers_key.identifier]


def test_only_addresses_that_let_in_are_listed(acme, manage_key, owner, listed):
    key = services.issue_key(actor=policy.OPERATOR, organization=acme, name="Walled")
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.0/24")
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.9", deny=True)
    services.add_allowed_ip(actor=owner, key=key, network="10.0.0.1", active=False)
    assert listed()["data"][0]["allowed_ips"] == ["192.0.2.0/24"]
