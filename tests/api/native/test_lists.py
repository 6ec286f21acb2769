"""Lists of the native dialect: pages, filters, order."""

import pytest

from keys import services
from keys.models import APIKey
from tests.api.native.wire import KEYS, LISTS, refused, told, walk


@pytest.mark.parametrize(
    "ordering",
    ["", "created_at", "-created_at", "key_name", "-key_name", "expires_at", "-expires_at",
     "last_used_at"],
)  # fmt: skip
@pytest.mark.wide
def test_pages_together_are_the_whole_list_in_order(ask, manage_key, many, ordering):
    told(ask("get", KEYS, many[2].secret))
    whole = walk(ask, f"{KEYS}?ordering={ordering}", manage_key.secret)
    assert len(whole) == 8
    for limit in (1, 3, 8):
        pages = walk(ask, f"{KEYS}?ordering={ordering}&limit={limit}", manage_key.secret)
        assert [row["id"] for row in pages] == [row["id"] for row in whole]
    if ordering == "key_name":
        assert [row["key_name"] for row in whole] == sorted(row["key_name"] for row in whole)


def test_a_row_revoked_between_two_pages_shifts_nothing(ask, manage_key, many, owner):
    first = ask("get", f"{KEYS}?limit=3", manage_key.secret)
    last = told(first)[-1]
    services.revoke_key(actor=owner, key=APIKey.objects.get(pk=last["id"]))
    rest = walk(ask, f"{KEYS}?limit=3&after={last['id']}", manage_key.secret)
    assert [row["id"] for row in rest] == [key.pk for key in reversed(many[:4])] + [manage_key.pk]


def test_no_list_is_unbounded(ask, manage_key, many, monkeypatch):
    monkeypatch.setattr("keys.api.dialects.native.dialect.DEFAULT_PAGE_SIZE", 2)
    assert len(told(ask("get", KEYS, manage_key.secret))) == 2


BAD_PARAMETERS = [
    ("limit", "0"), ("limit", "1001"), ("limit", "ten"), ("limit", ""), ("limit", "-1"),
    ("limit", "9" * 5000), ("after", "nobody"), ("after", ""), ("after", "999999"),
    ("after", "9" * 400), ("after", "%00"), ("colour", "red"),
]  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
def test_a_bad_parameter_of_a_list_is_refused_by_name(ask, manage_key, path):
    for name, value in BAD_PARAMETERS:
        answer = ask("get", f"{path}?{name}={value}", manage_key.secret)
        assert set(refused(answer, 400)) == {name}, value


def test_the_place_of_a_page_cannot_be_a_row_that_is_not_visible(ask, read_only_key, strangers_key):
    answer = ask("get", f"{KEYS}?after={strangers_key.pk}", read_only_key.secret)
    assert "after" in refused(answer, 400)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("search=BACK", ["Backend"]), ("search=nothing", []), ("key_name=Dashboard", ["Dashboard"]),
        ("key_scope=MANAGE", ["Management"]), ("status=active", ["Backend", "Management"]),
        ("status=disabled", ["Dashboard"]), ("owner=organization", ["Management"]),
        ("owner=mine", ["Management"]), ("unused=false", ["Management"]),
        ("unused=true", ["Backend", "Dashboard"]), ("unrestricted=false", ["Backend"]),
        ("dialect=native&search=dashboard", ["Dashboard"]), ("role=admin", []),
        ("workspace_id=00000000-0000-4000-8000-000000000000", []),
    ],
)  # fmt: skip
def test_a_list_is_narrowed_under_the_wires_names(
    ask, manage_key, key, read_only_key, owner, query, names
):
    services.disable_key(actor=owner, key=read_only_key)
    services.add_allowed_ip(actor=owner, key=key, network="192.0.2.1")
    rows = told(ask("get", f"{KEYS}?ordering=key_name&{query}", manage_key.secret))
    assert [row["key_name"] for row in rows] == names


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "revoked"), ("status", "stauts"), ("owner", "somebody"), ("dialect", "latin"),
     ("workspace_id", "default"), ("unused", "perhaps"), ("expiring", "1"), ("ordering", "name"),
     ("ordering", "-secret"), ("search", "x" * 300), ("search", "a%00b"), ("key_scope", "%00"),
     ("scope", "READ")],
)  # fmt: skip
def test_a_bad_filter_value_is_refused_by_name(ask, manage_key, name, value):
    assert set(refused(ask("get", f"{KEYS}?{name}={value}", manage_key.secret), 400)) == {name}
