"""Lists over OpenRouter's wire, byte by byte."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from keys import policy, services
from keys.models import APIKey, Role
from keys.roles import BuiltInScope
from tests.api.openrouter.wire import KEYS, NOT_FOUND, names, refusal
from tests.conftest import make_many


def test_a_list_is_newest_first_a_hundred_a_page(ask, acme, owner, manage_key):
    make_many(acme, owner, 103, name="K")
    first = names(ask("get", KEYS, manage_key.secret))
    assert first == [f"K {number}" for number in range(102, 2, -1)]
    assert names(ask("get", f"{KEYS}?offset=100", manage_key.secret)) == ["K 2", "K 1", "K 0"]
    assert names(ask("get", f"{KEYS}?offset=103", manage_key.secret)) == []
    assert names(ask("get", f"{KEYS}?offset={10**30}", manage_key.secret)) == []


@pytest.mark.parametrize(
    "query",
    [
        "offset=-1",
        "offset=x",
        "offset=1.5",
        f"offset={'9' * 5000}",
        "offset=%00",
        "include_disabled=yes",
        "include_disabled=1",
        "include_expired=TRUE",
        "workspace_id=default",
        "workspace_id=%00",
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_name(query, ask, manage_key):
    response = ask("get", f"{KEYS}?{query}", manage_key.secret)
    assert response.status_code == 400
    assert refusal(response).startswith(f"{query.partition('=')[0]}: ")


def test_disabled_locked_and_expired_keys_are_left_out_unless_asked_for(
    ask, acme, owner, staff, manage_key, time_machine
):
    def issue(name, **fields):
        return services.issue_key(actor=owner, organization=acme, name=name, **fields)

    issue("on")
    issue("off", disabled=True)
    services.lock_key(actor=staff, key=issue("locked"))
    issue("old", expires_at=datetime.now(UTC) + timedelta(hours=1))
    services.revoke_key(actor=owner, key=issue("revoked"))
    time_machine.move_to(datetime.now(UTC) + timedelta(hours=2))

    def listed(query=""):
        return set(names(ask("get", f"{KEYS}{query}", manage_key.secret)))

    assert listed() == {"on"}
    assert listed("?include_disabled=false&include_expired=false") == {"on"}
    assert listed("?include_disabled=true") == {"on", "off", "locked"}
    assert listed("?include_expired=true") == {"on", "old"}
    assert listed("?include_disabled=true&include_expired=true") == {"on", "off", "locked", "old"}
    rows = ask("get", f"{KEYS}?include_disabled=true", manage_key.secret).json()["data"]
    assert {row["name"]: row["disabled"] for row in rows} == {
        "on": False,
        "off": True,
        "locked": True,
    }


def test_a_list_is_one_workspaces(ask, acme, other, owner, manage_key, create):
    lab = services.create_workspace(actor=owner, organization=acme, name="Lab")
    create(name="default")
    made = create(name="lab", workspace_id=str(lab.pk))
    assert made["data"]["workspace_id"] == str(lab.pk)
    assert names(ask("get", KEYS, manage_key.secret)) == ["default"]
    assert names(ask("get", f"{KEYS}?workspace_id={lab.pk}", manage_key.secret)) == ["lab"]
    for unseen in (other.workspaces.get().pk, uuid.uuid4()):
        response = ask("get", f"{KEYS}?workspace_id={unseen}", manage_key.secret)
        assert response.status_code == 404
        assert response.json() == NOT_FOUND


def test_management_keys_are_not_rows(ask, acme, owner, manage_key, create):
    services.issue_key(
        actor=owner, organization=acme, name="By role", role=Role.objects.get(name="admin")
    )
    services.issue_key(actor=owner, organization=acme, name="Reads", scopes=["READ"])
    create(name="Worker")
    assert names(ask("get", KEYS, manage_key.secret)) == ["Worker", "Reads"]
    for each in APIKey.objects.all():
        assert each.is_management == (BuiltInScope.MANAGE in policy.held_scopes(each, acme))
        assert each.is_management != APIKey.objects.ordinary().filter(pk=each.pk).exists()


@pytest.mark.parametrize("number", [1, 100])
def test_a_list_takes_as_many_queries_for_one_key_as_for_a_hundred(
    number, ask, acme, owner, manage_key, journal, django_assert_max_num_queries
):
    make_many(acme, owner, number)
    # Three to authenticate, one permission; the rest is for the page.
    with django_assert_max_num_queries(15):
        assert len(names(ask("get", KEYS, manage_key.secret))) == number
