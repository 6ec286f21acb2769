"""A key in sentences: every fact is told, and nothing that is not so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.template import Context, Template

from keys import services
from keys.roles import BuiltInScope
from keys.summaries import (
    Facts,
    Risk,
    credit,
    deletable_kinds,
    facts_of,
    risk_of,
    summarize,
    widenings,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FACTS = Facts(
    organization="Acme",
    owner="Dora",
    scopes=frozenset({"READ"}),
    allowed=("192.0.2.0/24",),
    expires_at=NOW + timedelta(days=90),
)


def words(facts: Facts) -> str:
    summary = summarize(facts, now=NOW)
    parts = (
        summary.abilities,
        summary.origin,
        summary.period,
        summary.credit,
        summary.dangers,
        summary.advice,
    )
    return " ".join(sentence for part in parts for sentence in part)


def wider(before: Facts, **changes) -> list[str]:
    return widenings(before, replace(before, **changes), now=NOW)


# What, from where, until when, for how much


def test_persons_key_reaches_that_persons_keys():
    text = words(replace(FACTS, scopes=frozenset({"READ", "CREATE", "UPDATE", "DELETE"})))
    assert "read the keys of Dora in Acme" in text
    assert "issue keys in the name of Dora" in text
    assert "change, disable and rotate the keys of Dora" in text
    assert "revoke the keys of Dora" in text


def test_organizations_key_reaches_what_belongs_to_nobody():
    text = words(replace(FACTS, owner=None, scopes=frozenset({"READ", "DELETE"})))
    assert "read the keys that belong to Acme itself" in text
    assert "revoke the keys that belong to Acme itself" in text
    assert "Dora" not in text


def test_managing_key_reaches_everything():
    assert "manage all of Acme" in words(replace(FACTS, scopes=frozenset(BuiltInScope)))


def test_key_without_scopes_only_proves_who_calls():
    assert "do nothing else here" in words(replace(FACTS, scopes=frozenset()))


def test_scopes_of_services_are_named_and_left_to_them():
    assert "carries orders:read, which means" in words(
        replace(FACTS, scopes=frozenset({"orders:read"}))
    )
    assert "carries orders:read, orders:write, which mean what" in words(
        replace(FACTS, scopes=frozenset({"orders:write", "orders:read"}))
    )


def test_role_is_named():
    assert "follows the role clerk" in words(replace(FACTS, role="clerk"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"allowed": ()}, "It works from anywhere."),
        ({}, "It works from 192.0.2.0/24 only."),
        ({"allowed": ("::1", "::2", "::3", "::4")}, "from ::1, ::2, ::3 and 1 more only."),
        ({"allowed": (), "denied": ("::1",)}, "anywhere but ::1."),
        ({"denied": ("192.0.2.9",)}, "Even so it is refused from 192.0.2.9."),
        ({"allowed": (), "follows_servers": True}, "of which there are none yet"),
        (
            {"follows_servers": True, "servers": ("::1", "::2")},
            "2 server addresses, and from those added later. It also works from 192.0.2.0/24.",
        ),
        ({"unclear": frozenset({"allowed_ips"})}, "look at the allowed IPs"),
    ],
)
def test_where_it_works_is_told(changes, sentence):
    assert sentence in words(replace(FACTS, **changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "It works until 19 Feb 2027, for 90 days."),
        ({"expires_at": None}, "It never expires."),
        ({"expires_at": NOW + timedelta(hours=3)}, "It works until 21 Nov 2026, 15:00 UTC."),
        ({"expires_at": NOW - timedelta(hours=3)}, "It expired on 21 Nov 2026, 09:00 UTC."),
        ({"not_before": NOW + timedelta(days=1)}, "does not work before 22 Nov 2026, 12:00 UTC."),
        ({"unclear": frozenset({"expires_at"})}, "look at the expiry date"),
    ],
)
def test_how_long_it_works_is_told(changes, sentence):
    assert sentence in words(replace(FACTS, **changes))


@pytest.mark.parametrize("amount", [{"limit": Decimal(5)}, {"rates": ((5, "day"),)}])
def test_a_key_with_an_amount_is_not_said_to_issue_others(amount):
    creating = replace(FACTS, scopes=frozenset({"CREATE"}), limit=None)
    said = summarize(creating, now=NOW)
    assert any("can issue keys" in each for each in [*said.abilities, *said.dangers])
    said = summarize(replace(creating, **amount), now=NOW)
    assert not any("issue keys" in each for each in [*said.abilities, *said.dangers])


@pytest.mark.parametrize(
    ("limit", "reset", "sentence"),
    [
        (None, None, "It may spend without limit."),
        (Decimal(1), None, "It may spend 1 credit in all."),
        (Decimal("0.5"), "daily", "It may spend 0.5 credits a day."),
        (Decimal("1E+2"), "weekly", "It may spend 100 credits a week."),
        (Decimal(0), "monthly", "It may spend 0 credits a month."),
    ],
)
def test_how_much_it_may_spend_is_told(limit, reset, sentence):
    assert credit(replace(FACTS, limit=limit, limit_reset=reset)) == sentence


# If it leaks


def test_kinds_that_can_be_deleted_come_from_the_grant_table():
    assert deletable_kinds(FACTS) == []
    assert deletable_kinds(replace(FACTS, scopes=frozenset({"DELETE"}))) == ["keys of Dora"]
    shared = replace(FACTS, owner=None, scopes=frozenset({"DELETE"}))
    assert deletable_kinds(shared) == ["keys that belong to it itself"]
    assert deletable_kinds(replace(FACTS, scopes=frozenset({"MANAGE"}))) == [
        "API keys", "members", "roles", "scopes", "workspaces",
    ]  # fmt: skip
    own = frozenset({"orders:delete", "bills:*", "lists:read", "DELETE"})
    assert deletable_kinds(replace(FACTS, scopes=own)) == ["keys of Dora", "bills", "orders"]


@pytest.mark.parametrize(
    ("changes", "risk"),
    [
        ({}, Risk.NARROW),
        ({"allowed": ()}, Risk.NARROW),
        ({"allowed": (), "expires_at": None}, Risk.WIDE),
        ({"scopes": frozenset({"READ", "DELETE"})}, Risk.NARROW),
        ({"scopes": frozenset({"DELETE"}), "allowed": ()}, Risk.WIDE),
        ({"scopes": frozenset({"DELETE"}), "allowed": (), "expires_at": None}, Risk.VERY_WIDE),
        ({"scopes": frozenset({"MANAGE"})}, Risk.WIDE),
        ({"scopes": frozenset({"MANAGE"}), "allowed": ()}, Risk.VERY_WIDE),
        ({"scopes": frozenset({"MANAGE"}), "expires_at": None}, Risk.VERY_WIDE),
        ({"scopes": frozenset(), "allowed": (), "expires_at": None}, Risk.NARROW),
    ],
)
def test_risk_grows_with_power_reach_and_time(changes, risk):
    assert risk_of(replace(FACTS, **changes)) is risk


def test_advice_is_for_what_is_missing_only():
    assert summarize(FACTS, now=NOW).advice == []
    open_forever = replace(FACTS, allowed=(), expires_at=None, scopes=frozenset({"orders:read"}))
    assert len(summarize(open_forever, now=NOW).advice) == 3


# Wider than before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scopes": frozenset({"READ", "DELETE"})}, "It gets the scope DELETE."),
        ({"role": "clerk"}, "It follows the role clerk from now on"),
        ({"allowed": ()}, "It works from anywhere; until now"),
        ({"allowed": ("192.0.2.7", "198.51.100.1")}, "It works from 198.51.100.1 as well."),
        ({"follows_servers": True}, "also from future ones"),
        ({"expires_at": None}, "It never expires; until now it did on 19 Feb 2027."),
        ({"expires_at": NOW + timedelta(days=100)}, "It works until 1 Mar 2027"),
        ({"limit": None}, "It may spend without limit."),
        ({"limit": Decimal(11)}, "It may spend 11 credits a month."),
        ({"limit_reset": "daily"}, "It may spend 10 credits a day."),
        ({"counts_byok": False}, "no longer counts against its limit"),
        ({"not_before": None}, "It works earlier than 22 Nov 2026, 12:00 UTC."),
        ({"denied": ()}, "It is no longer refused from 192.0.2.9."),
        ({"rates": ((11, "hour"),)}, "It may make at most 11 requests an hour."),
        ({"rates": ()}, "It may make as many requests as it likes; until now"),
    ],
)
def test_widening_is_told(changes, sentence):
    before = replace(
        FACTS,
        limit=Decimal(10),
        limit_reset="monthly",
        counts_byok=True,
        not_before=NOW + timedelta(days=1),
        denied=("192.0.2.9",),
        rates=((10, "hour"),),
    )
    told = wider(before, **changes)
    assert len(told) == 1, told
    assert sentence in told[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scopes": frozenset()},
        {"allowed": ("192.0.2.7",)},
        {"denied": ("192.0.2.0/25",)},
        {"expires_at": NOW + timedelta(days=1)},
        {"limit": Decimal(1)},
        {"not_before": NOW + timedelta(days=1)},
        {"rates": ((10, "day"),)},
        {"unclear": frozenset({"allowed_ips", "expires_at", "limit"}), "allowed": ()},
    ],
)
def test_narrowing_is_no_widening(changes):
    assert wider(FACTS, **changes) == []


# Of keys


@pytest.mark.django_db
def test_summary_of_a_key_tells_what_it_is(developer, owner, acme):
    services.add_server_address(actor=owner, organization=acme, network="198.51.100.7")
    key = services.issue_key(
        actor=developer,
        organization=acme,
        name="Backend",
        scopes=["READ"],
        allowed_ips=["192.0.2.7", {"network": "192.0.2.9", "active": False}],
        assign_server_ips=True,
        limit=5,
        limit_reset="daily",
    )
    facts = facts_of(key)
    assert (facts.allowed, facts.servers, facts.limit) == (("192.0.2.7",), ("198.51.100.7",), 5)
    page = Template("{% load summary %}{% key_summary key %}").render(Context({"key": key}))
    for sentence in ("read the keys of developer@acme.example", "5 credits a day", "never expires"):
        assert sentence in page


@pytest.mark.django_db
def test_names_in_a_summary_are_text(owner, acme):
    services.update_organization(actor=owner, organization=acme, name="<b>Acme</b>")
    key = services.issue_key(actor=owner, organization=acme, name="X", scopes=["MANAGE"])
    page = Template("{% load summary %}{% key_summary key %}").render(Context({"key": key}))
    assert "&lt;b&gt;Acme" in page
