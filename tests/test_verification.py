"""The decision by itself: the order of refusals, and that explanations agree with it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.networks import parse_address
from keys.verification import (
    Code,
    Question,
    Snapshot,
    explain,
    judge,
    missing_scopes,
    refusing,
    steady_until,
)

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
INSIDE, OUTSIDE = parse_address("10.1.2.3"), parse_address("192.0.2.1")

GOOD = Snapshot(
    key_id=1,
    organization_id=1,
    is_revoked=False,
    is_organization_suspended=False,
    is_owner_gone=False,
    is_locked=False,
    is_disabled=False,
    not_before=None,
    expires_at=None,
    is_secret_revoked=False,
    retires_at=None,
    scopes=frozenset({"READ", "orders:read"}),
    allowed=None,
    denied=(),
)
ASKED = Question(now=NOW, address=INSIDE)

# What refuses a key alone, in the order in which it counts.
REFUSALS = [
    (Code.REVOKED, {"is_revoked": True}),
    (Code.ORGANIZATION_SUSPENDED, {"is_organization_suspended": True}),
    (Code.OWNER_GONE, {"is_owner_gone": True}),
    (Code.LOCKED, {"is_locked": True}),
    (Code.DISABLED, {"is_disabled": True}),
    (Code.NOT_YET_VALID, {"not_before": NOW + MOMENT}),
    (Code.EXPIRED, {"expires_at": NOW}),
    (Code.SECRET_RETIRED, {"is_secret_revoked": True}),
    (Code.FORBIDDEN_ADDRESS, {"allowed": ()}),
    (Code.INSUFFICIENT_SCOPES, {"scopes": frozenset()}),
]


def test_a_good_key_is_valid():
    assert judge(GOOD, ASKED) is Code.VALID


def test_an_unknown_key_is_not_found():
    assert judge(None, ASKED) is Code.NOT_FOUND


@pytest.mark.parametrize(("code", "reason"), REFUSALS)
def test_one_reason_is_enough(code, reason):
    question = replace(ASKED, scopes=frozenset({"READ"}))
    assert judge(replace(GOOD, **reason), question) is code


@pytest.mark.parametrize("position", range(len(REFUSALS)))
def test_the_first_reason_names_the_outcome(position):
    """Every later reason is there too."""
    reasons = {}
    for _, reason in REFUSALS[position:]:
        reasons |= reason
    question = replace(ASKED, scopes=frozenset({"READ"}))
    assert judge(replace(GOOD, **reasons), question) is REFUSALS[position][0]


@pytest.mark.parametrize(
    ("field", "before", "at", "after"),
    [
        ("not_before", Code.NOT_YET_VALID, Code.VALID, Code.VALID),
        ("expires_at", Code.VALID, Code.EXPIRED, Code.EXPIRED),
        ("retires_at", Code.VALID, Code.SECRET_RETIRED, Code.SECRET_RETIRED),
    ],
)
def test_ends_are_exact(field, before, at, after):
    """T33, T35: a moment before, on the instant, a moment after."""
    key = replace(GOOD, **{field: NOW})
    assert judge(key, replace(ASKED, now=NOW - MOMENT)) is before
    assert judge(key, ASKED) is at
    assert judge(key, replace(ASKED, now=NOW + MOMENT)) is after


moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.timezones(),
)


@given(expires_at=moments, now=moments)
def test_zones_do_not_move_an_expiry(expires_at, now):
    """T35: over summer time, month ends and leap days."""
    key = replace(GOOD, expires_at=expires_at)
    same_key = replace(GOOD, expires_at=expires_at.astimezone(UTC))
    # By seconds: Python compares clocks, not instants, inside one zone.
    expected = Code.EXPIRED if expires_at.timestamp() <= now.timestamp() else Code.VALID
    now = now.astimezone(UTC)
    assert judge(same_key, Question(now=now, address=None)) is expected
    assert judge(key, Question(now=now, address=None)) is expected


class TestAddresses:
    """From where a key may be used."""

    @pytest.mark.parametrize(
        ("allowed", "denied", "address", "passes"),
        [
            (None, (), INSIDE, True),
            (None, (), None, True),
            (("10.0.0.0/8",), (), INSIDE, True),
            (("10.0.0.0/8",), (), OUTSIDE, False),
            (("10.0.0.0/8",), (), None, False),
            ((), (), INSIDE, False),
            ((), (), None, False),
            (("10.0.0.0/8",), ("10.1.0.0/16",), INSIDE, False),
            (("10.0.0.0/8",), ("10.2.0.0/16",), INSIDE, True),
            (None, ("10.0.0.0/8",), INSIDE, False),
            (None, ("10.0.0.0/8",), OUTSIDE, True),
            (None, ("10.0.0.0/8",), None, False),
            (("192.0.2.1", "10.1.2.3"), (), INSIDE, True),
        ],
    )
    def test_deny_beats_allow_and_an_unknown_address_passes_no_list(
        self, allowed, denied, address, passes
    ):
        key = replace(GOOD, allowed=allowed, denied=denied)
        code = judge(key, replace(ASKED, address=address))
        assert code is (Code.VALID if passes else Code.FORBIDDEN_ADDRESS)

    @given(
        address=st.ip_addresses(v=4),
        allowed=st.one_of(st.none(), st.lists(st.sampled_from(["10.0.0.0/8", "0.0.0.0/1"]))),
        denied=st.lists(st.sampled_from(["10.1.0.0/16", "128.0.0.0/1"])),
    )
    def test_ipv4_and_mapped_ipv4_are_judged_alike(self, address, allowed, denied):
        """T29."""
        key = replace(
            GOOD, allowed=None if allowed is None else tuple(allowed), denied=tuple(denied)
        )
        plain, mapped = (
            judge(key, replace(ASKED, address=parse_address(text)))
            for text in (str(address), f"::ffff:{address}")
        )
        assert plain is mapped


snapshots = st.builds(
    Snapshot,
    key_id=st.just(1),
    organization_id=st.just(1),
    is_revoked=st.booleans(),
    is_organization_suspended=st.booleans(),
    is_owner_gone=st.booleans(),
    is_locked=st.booleans(),
    is_disabled=st.booleans(),
    not_before=st.sampled_from([None, NOW, NOW + MOMENT]),
    expires_at=st.sampled_from([None, NOW, NOW + MOMENT]),
    is_secret_revoked=st.booleans(),
    retires_at=st.sampled_from([None, NOW, NOW + MOMENT]),
    scopes=st.frozensets(st.sampled_from(["READ", "orders:read"])),
    allowed=st.sampled_from([None, (), ("10.0.0.0/8",)]),
    denied=st.sampled_from([(), ("10.1.0.0/16",)]),
)
questions = st.builds(
    Question,
    now=st.just(NOW),
    address=st.sampled_from([None, INSIDE, OUTSIDE]),
    scopes=st.frozensets(st.sampled_from(["READ", "orders:read"])),
)


@given(snapshot=snapshots, question=questions)
def test_an_explanation_agrees_with_the_decision(snapshot, question):
    """T31: every check is told, and together they are the decision."""
    checks = explain(snapshot, question)
    told = [check.code for check in checks]
    counted = {Code.LIMIT_EXCEEDED, Code.RATE_LIMITED}
    assert set(told) == set(Code) - {Code.VALID, Code.NOT_FOUND} - counted
    assert len(told) == len(set(told))
    assert judge(snapshot, question) is next(iter(refusing(checks)), Code.VALID)


@given(snapshot=snapshots, question=questions)
def test_an_explanation_tells_all_that_the_decision_looked_at(snapshot, question):
    """With nothing but the inputs told, the same decision comes out."""
    checks = explain(snapshot, question)
    of_key = {field: value for check in checks for field, value in check.of_key.items()}
    of_question = {field: value for check in checks for field, value in check.of_question.items()}
    assert replace(GOOD, **of_key) == snapshot
    assert Question(**of_question) == question


@given(snapshot=snapshots, question=questions)
def test_what_is_missing_is_why_scopes_refuse(snapshot, question):
    missing = missing_scopes(snapshot, question.scopes)
    refused = refusing(explain(snapshot, question))
    assert bool(missing) == (Code.INSUFFICIENT_SCOPES in refused)


def test_missing_scopes_are_sorted():
    assert missing_scopes(GOOD, {"READ", "b:x", "a:x"}) == ["a:x", "b:x"]


_near = st.integers(-5, 5).map(lambda days: NOW + timedelta(days=days))


@given(
    not_before=st.none() | _near,
    expires_at=st.none() | _near,
    retires_at=st.none() | _near,
    share=st.floats(0, 1, exclude_max=True),
)
def test_an_outcome_lasts_as_long_as_it_is_called_steady(not_before, expires_at, retires_at, share):
    """T35: nothing that is remembered until then is ever wrong, to the microsecond."""
    key = replace(GOOD, not_before=not_before, expires_at=expires_at, retires_at=retires_at)
    until = steady_until(key, NOW)
    last = NOW + timedelta(days=30) if until is None else until - MOMENT
    later = NOW + (last - NOW) * share
    codes = {judge(key, Question(moment, INSIDE)) for moment in (NOW, later, last)}
    assert len(codes) == 1
    assert until is None or until in (not_before, expires_at, retires_at)
