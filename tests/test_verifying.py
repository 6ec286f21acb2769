"""A presented key, judged with real rows: every outcome, and when it changes."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from keys import folding, rates, secrets, services, snapshots, usage
from keys.models import APIKey, KeySecret, KeyUsage, Role, UsageBucket
from keys.models.keys import Dialect
from keys.networks import parse_address
from keys.verification import Code, Question, explain, refusing

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
HERE = parse_address("203.0.113.9")


@pytest.fixture
def now(time_machine):
    time_machine.move_to(NOW, tick=False)
    return time_machine


def ask(key_or_secret, address=HERE, **question) -> Code:
    secret = getattr(key_or_secret, "secret", key_or_secret)
    return services.verify_key(secret=secret, address=address, **question).code


class TestOutcomes:
    """Every code is reached, and counted under its name."""

    @pytest.fixture
    def outcome_of(self, now, acme, owner, staff, developer, key):
        """Bring the key to an outcome, and return the question that shows it."""
        change = {"actor": developer, "key": key}

        def retire():
            services.rotate_key(**change)

        def leave():
            services.remove_member(actor=owner, membership=acme.memberships.get(user=developer))

        def use_up():
            services.update_key(**change, rate_limits=[{"amount": 1, "period": "day"}])
            rates.take(services.rates_of(APIKey.objects.get(pk=key.pk)), "refuse")

        steps = {
            Code.VALID: lambda: None,
            Code.NOT_FOUND: lambda: {"secret": secrets.generate("native")},
            Code.REVOKED: lambda: services.revoke_key(**change),
            Code.ORGANIZATION_SUSPENDED: lambda: services.suspend_organization(
                actor=staff, organization=acme
            ),
            Code.OWNER_GONE: leave,
            Code.LOCKED: lambda: services.lock_key(actor=staff, key=key),
            Code.DISABLED: lambda: services.disable_key(**change),
            Code.NOT_YET_VALID: lambda: services.update_key(
                **change, not_before=NOW + timedelta(hours=1)
            ),
            Code.EXPIRED: lambda: (
                services.update_key(**change, expires_at=NOW + timedelta(hours=1)),
                now.move_to(NOW + timedelta(hours=1), tick=False),
            ),
            Code.SECRET_RETIRED: retire,
            Code.FORBIDDEN_ADDRESS: lambda: services.update_key(
                **change, allowed_ips=["10.0.0.0/8"]
            ),
            Code.INSUFFICIENT_SCOPES: lambda: {"scopes": ["READ", "MANAGE"]},
            Code.LIMIT_EXCEEDED: lambda: services.update_key(**change, limit=Decimal("0.5")),
            Code.RATE_LIMITED: use_up,
        }

        def reach(code):
            question = steps[code]()
            question = question if isinstance(question, dict) else {}
            return services.verify_key(
                **{"secret": key.secret, "address": HERE, "cost": Decimal(1), **question}
            )

        assert set(steps) == set(Code)
        return reach

    @pytest.mark.parametrize("code", Code)
    def test_every_outcome_is_reached_and_counted(self, outcome_of, key, code):
        verdict = outcome_of(code)
        assert verdict.code is code
        assert verdict.is_valid == (code is Code.VALID)
        totals = KeyUsage.objects.get(key=key)
        if code is Code.NOT_FOUND:
            assert verdict.key is None
            assert not UsageBucket.objects.exists()
            assert (totals.requests, totals.refused) == (0, 0)
            return
        assert verdict.key == key
        bucket = UsageBucket.objects.get()
        assert (bucket.key, bucket.outcome, bucket.requests) == (key, code.value, 1)
        assert bucket.hour == timezone.now().replace(minute=0)
        if code is Code.VALID:
            assert (totals.requests, totals.refused, totals.cost) == (1, 0, 1)
            assert bucket.cost == 1
        else:
            assert (totals.requests, totals.refused, totals.cost) == (0, 1, 0)
            assert bucket.cost == 0
            assert totals.last_used_at is None

    @pytest.mark.parametrize(
        "code",
        [
            code
            for code in Code
            if code not in (Code.NOT_FOUND, Code.LIMIT_EXCEEDED, Code.RATE_LIMITED)
        ],
    )
    def test_the_explanation_of_a_real_key_agrees(self, outcome_of, key, code):
        """T31: what is shown about a key is what is enforced."""
        verdict = outcome_of(code)
        scopes = frozenset({"READ", "MANAGE"} if code is Code.INSUFFICIENT_SCOPES else ())
        question = Question(now=timezone.now(), address=HERE, scopes=scopes)
        refused = refusing(explain(verdict.snapshot, question))
        # The keys of who leaves are disabled as well.
        after = [Code.DISABLED] if code is Code.OWNER_GONE else []
        assert refused == ([] if code is Code.VALID else [code, *after])


class TestWhoIsAsking:
    """T10, T20: a key is known inside its own organization only."""

    def test_a_key_of_another_organization_is_not_found(self, key, acme, other):
        assert ask(key, organization=acme) is Code.VALID
        verdict = services.verify_key(secret=key.secret, address=HERE, organization=other)
        assert (verdict.code, verdict.key, verdict.snapshot) == (Code.NOT_FOUND, None, None)

    def test_asking_about_a_foreign_key_leaves_no_trace(self, key, other):
        ask(key, organization=other)
        assert not UsageBucket.objects.exists()
        assert KeySecret.objects.get(key=key).last_used_at is None


class TestSecrets:
    """What is presented must be the secret, all of it, under a pepper we have."""

    @pytest.mark.parametrize("dialect", Dialect.values)
    def test_what_issuing_returns_verifies(self, owner, acme, dialect):
        """T40: of every dialect, once and only then."""
        key = services.issue_key(
            actor=owner, organization=acme, name="Key", scopes=["READ"], dialect=dialect
        )
        assert ask(key) is Code.VALID
        assert secrets.find_format(key.secret) is secrets.FORMATS[dialect]
        assert not hasattr(APIKey.objects.get(pk=key.pk), "secret")
        renewed = services.rotate_key(actor=owner, key=key)
        assert renewed.secret != key.secret
        assert ask(renewed) is Code.VALID

    def test_a_typo_costs_no_query(self, key, django_assert_num_queries):
        typo = key.secret[:-1] + ("0" if key.secret[-1] != "0" else "1")
        # Which tells a process that nothing was imported, until something changes.
        assert ask("nonsense") is Code.NOT_FOUND
        with django_assert_num_queries(0):
            assert ask(typo) is Code.NOT_FOUND

    def test_a_well_formed_guess_costs_one_query(self, key, django_assert_num_queries):
        """T15: by an index, however many keys there are."""
        with django_assert_num_queries(1):
            assert ask(secrets.generate("native")) is Code.NOT_FOUND

    def test_what_is_public_of_a_key_does_not_open_it(self, key):
        """T6, T18: neither identifiers nor the stored digest."""
        stored = key.current_secret
        for text in (key.hash, key.identifier, key.slug, key.label, stored.digest, str(key.pk)):
            assert ask(text) is Code.NOT_FOUND

    def test_a_dump_without_the_pepper_verifies_nothing(self, key, manage_key, settings):
        """T17."""
        settings.KEY_PEPPERS = {1: b"another pepper of another installation"}
        assert {ask(key), ask(manage_key)} == {Code.NOT_FOUND}

    def test_the_pepper_alone_mints_nothing(self, key):
        """T18: a secret with a right checksum and digest is in no row."""
        for dialect in Dialect.values:
            assert ask(secrets.generate(dialect)) is Code.NOT_FOUND

    def test_the_database_holds_no_secret(self, key):
        """T17: nor any part of it beyond the label."""
        stored = key.current_secret
        assert len(stored.digest) == 64
        assert key.secret not in str(vars(stored))
        assert key.secret[6:-3] not in str(vars(stored))

    def test_no_password_hasher_is_on_the_way(self, key, settings):
        """T16: without any hasher configured, keys are still judged."""
        settings.PASSWORD_HASHERS = []
        assert ask(key) is Code.VALID


class TestPeppers:
    """Peppers rotate without reissuing a key."""

    OLD, NEW = b"the old pepper " * 3, b"the new pepper " * 3

    def test_a_key_moves_to_the_new_pepper_at_its_next_use(self, owner, acme, settings):
        settings.KEY_PEPPERS = {1: self.OLD}
        used, unused = (
            services.issue_key(actor=owner, organization=acme, name="Key", scopes=[]) for _ in "ab"
        )
        settings.KEY_PEPPERS = {1: self.OLD, 2: self.NEW}
        assert ask(used) is Code.VALID
        stored = used.secrets.get()
        assert stored.pepper_id == 2
        assert stored.digest == secrets.digest(used.secret, self.NEW)
        assert unused.secrets.get().pepper_id == 1
        # Then the old pepper can go; what was not used meanwhile goes with it.
        settings.KEY_PEPPERS = {2: self.NEW}
        assert ask(used) is Code.VALID
        assert ask(unused) is Code.NOT_FOUND

    def test_a_refused_use_moves_nothing(self, owner, acme, settings):
        settings.KEY_PEPPERS = {1: self.OLD}
        key = services.issue_key(actor=owner, organization=acme, name="Key", disabled=True)
        settings.KEY_PEPPERS = {1: self.OLD, 2: self.NEW}
        assert ask(key) is Code.DISABLED
        assert key.secrets.get().pepper_id == 1

    def test_new_secrets_use_the_new_pepper(self, developer, key, settings):
        settings.KEY_PEPPERS = {**settings.KEY_PEPPERS, 7: self.NEW}
        renewed = services.rotate_key(actor=developer, key=key, overlap=timedelta(days=1))
        assert [row.pepper_id for row in renewed.secrets.order_by("pk")] == [1, 7]
        assert ask(key) is Code.VALID
        assert ask(renewed) is Code.VALID


class TestManyKeys:
    """T12, T13: one key's answer is never another's."""

    def test_interleaved_keys_keep_their_own_answers(self, acme, owner, developer):
        keys = []
        for number in range(12):
            key = services.issue_key(
                actor=developer,
                organization=acme,
                name=f"Key {number}",
                scopes=["READ", "CREATE", "UPDATE"][: number % 4],
                allowed_ips=["10.0.0.0/8"] if number % 2 else [],
                disabled=number % 5 == 4,
            )
            keys.append((number, key))
        questions = list(itertools.product(keys, ["READ", "UPDATE"], ["10.1.2.3", "192.0.2.1"]))
        random.shuffle(questions)
        for (number, key), scope, text in questions:
            verdict = services.verify_key(
                secret=key.secret, address=parse_address(text), scopes=[scope]
            )
            assert verdict.key == key
            assert verdict.code is _expected(number, scope, text)


def _expected(number, scope, address) -> Code:
    if number % 5 == 4:
        return Code.DISABLED
    if number % 2 and address != "10.1.2.3":
        return Code.FORBIDDEN_ADDRESS
    held = ["READ", "CREATE", "UPDATE"][: number % 4]
    return Code.VALID if scope in held else Code.INSUFFICIENT_SCOPES


class TestGoing:
    """T22: who goes takes their keys along, at the very next use."""

    def test_a_deactivated_persons_key_stops(self, key, developer):
        assert ask(key) is Code.VALID
        developer.is_active = False
        developer.save()
        assert ask(key) is Code.OWNER_GONE

    def test_a_removed_members_key_stops(self, acme, owner, key, developer):
        services.remove_member(actor=owner, membership=acme.memberships.get(user=developer))
        assert ask(key) is Code.OWNER_GONE

    def test_the_organizations_own_key_outlives_who_issued_it(self, acme, owner, admin):
        key = services.issue_key(
            actor=admin, organization=acme, name="Key", scopes=["READ"], owner=None
        )
        services.remove_member(actor=owner, membership=acme.memberships.get(user=admin))
        assert ask(key) is Code.VALID

    def test_a_suspended_organizations_keys_stop_and_work_again(self, acme, staff, key, manage_key):
        services.suspend_organization(actor=staff, organization=acme)
        assert {ask(key), ask(manage_key)} == {Code.ORGANIZATION_SUSPENDED}
        services.resume_organization(actor=staff, organization=acme)
        assert {ask(key), ask(manage_key)} == {Code.VALID}

    def test_a_demoted_persons_key_loses_what_they_lost(self, acme, owner, key, developer):
        assert ask(key, scopes=["UPDATE"]) is Code.VALID
        services.update_member(
            actor=owner,
            membership=acme.memberships.get(user=developer),
            role=Role.objects.get(organization=None, name="readonly"),
        )
        assert ask(key, scopes=["UPDATE"]) is Code.INSUFFICIENT_SCOPES
        assert ask(key, scopes=["READ"]) is Code.VALID

    def test_a_scope_taken_off_a_role_is_gone_from_keys_that_follow_it(self, acme, owner):
        orders = services.create_scope(actor=owner, organization=acme, code="orders:read")
        clerk = services.create_role(actor=owner, organization=acme, name="clerk", scopes=[orders])
        key = services.issue_key(
            actor=owner, organization=acme, name="Till", owner=None, role=clerk
        )
        assert ask(key, scopes=["orders:read"]) is Code.VALID
        services.update_role(actor=owner, role=clerk, scopes=[])
        assert ask(key, scopes=["orders:read"]) is Code.INSUFFICIENT_SCOPES


class TestRotation:
    """T33, T34: a new secret for the same key."""

    def test_both_secrets_work_until_the_overlap_ends(self, now, developer, key):
        """T33: to the microsecond."""
        renewed = services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
        end = NOW + timedelta(hours=1)
        for moment, old in [
            (NOW, Code.VALID),
            (end - timedelta(milliseconds=1), Code.VALID),
            (end, Code.SECRET_RETIRED),
            (end + timedelta(milliseconds=1), Code.SECRET_RETIRED),
        ]:
            now.move_to(moment, tick=False)
            assert ask(key) is old
            assert ask(renewed) is Code.VALID

    def test_without_an_overlap_the_old_secret_is_dead_at_once(self, now, developer, key):
        renewed = services.rotate_key(actor=developer, key=key)
        assert ask(key) is Code.SECRET_RETIRED
        assert ask(renewed) is Code.VALID

    def test_another_rotation_never_prolongs_an_overlap(self, now, developer, key):
        services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
        services.rotate_key(actor=developer, key=key, overlap=timedelta(days=9))
        now.move_to(NOW + timedelta(hours=1), tick=False)
        assert ask(key) is Code.SECRET_RETIRED

    def test_an_overlap_does_not_outlive_the_key(self, now, developer, key):
        services.update_key(actor=developer, key=key, expires_at=NOW + timedelta(minutes=5))
        services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
        now.move_to(NOW + timedelta(minutes=5), tick=False)
        assert ask(key) is Code.EXPIRED

    def test_an_overlap_can_be_ended(self, now, developer, key):
        renewed = services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
        services.retire_secret(actor=developer, secret=renewed.secrets.order_by("pk").first())
        assert ask(key) is Code.SECRET_RETIRED
        assert ask(renewed) is Code.VALID

    def test_an_old_secret_ends_when_it_was_quiet_for_long_enough(self, now, developer, key):
        renewed = services.rotate_key(actor=developer, key=key, quiet_hours=2)
        now.move_to(NOW + timedelta(minutes=119), tick=False)
        assert ask(key) is Code.VALID
        now.move_to(NOW + timedelta(minutes=238), tick=False)
        assert ask(key) is Code.VALID
        now.move_to(NOW + timedelta(minutes=238, hours=2), tick=False)
        assert ask(key) is Code.SECRET_RETIRED
        assert ask(renewed) is Code.VALID

    def test_a_use_moves_its_end_at_once_whenever_it_is_counted(self, now, developer, key, journal):
        services.rotate_key(actor=developer, key=key, quiet_hours=2)
        for minutes in (119, 238):
            now.move_to(NOW + timedelta(minutes=minutes), tick=False)
            assert ask(key) is Code.VALID

    def test_use_before_the_rotation_does_not_end_it_sooner(self, now, developer, key):
        ask(key)
        now.move_to(NOW + timedelta(hours=9), tick=False)
        services.rotate_key(actor=developer, key=key, quiet_hours=2)
        assert ask(key) is Code.VALID

    def test_refusals_are_no_use_that_keeps_an_old_secret_alive(self, now, developer, key):
        services.rotate_key(actor=developer, key=key, quiet_hours=2)
        now.move_to(NOW + timedelta(hours=1), tick=False)
        assert ask(key, scopes=["MANAGE"]) is Code.INSUFFICIENT_SCOPES
        now.move_to(NOW + timedelta(hours=2), tick=False)
        assert ask(key) is Code.SECRET_RETIRED

    def test_a_secret_in_steady_use_ends_with_the_longest_overlap(self, now, developer, key):
        services.rotate_key(actor=developer, key=key, quiet_hours=720)
        end = NOW + timedelta(days=30)
        for moment, code in [(end - timedelta(days=1), Code.VALID), (end, Code.SECRET_RETIRED)]:
            now.move_to(moment, tick=False)
            assert ask(key) is code

    def test_an_overlap_and_quiet_hours_end_it_whichever_is_first(self, now, developer, key):
        services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1), quiet_hours=2)
        now.move_to(NOW + timedelta(hours=1), tick=False)
        assert ask(key) is Code.SECRET_RETIRED

    def test_another_rotation_never_makes_it_more_patient(self, now, developer, key):
        services.rotate_key(actor=developer, key=key, quiet_hours=2)
        services.rotate_key(actor=developer, key=key, quiet_hours=5)
        now.move_to(NOW + timedelta(hours=2), tick=False)
        assert ask(key) is Code.SECRET_RETIRED

    def test_an_overlap_under_way_can_wait_for_quiet(self, now, developer, key):
        services.rotate_key(actor=developer, key=key, overlap=timedelta(days=1))
        old = KeySecret.objects.earliest("pk")
        services.retire_secret(actor=developer, secret=old, quiet_hours=3)
        assert ask(key) is Code.VALID
        now.move_to(NOW + timedelta(hours=3), tick=False)
        assert ask(key) is Code.SECRET_RETIRED

    def test_patience_brings_no_secret_back(self, now, developer, key):
        services.rotate_key(actor=developer, key=key, quiet_hours=2)
        old = KeySecret.objects.earliest("pk")
        now.move_to(NOW + timedelta(hours=2), tick=False)
        with pytest.raises(ValidationError):
            services.retire_secret(actor=developer, secret=old, quiet_hours=24)
        assert ask(key) is Code.SECRET_RETIRED

    @pytest.mark.parametrize("hours", [0, -1, 721])
    def test_odd_quiet_hours_are_refused_and_change_nothing(self, developer, key, hours):
        with pytest.raises(ValidationError) as refusal:
            services.rotate_key(actor=developer, key=key, quiet_hours=hours)
        assert set(refusal.value.message_dict) == {"quiet_hours"}
        assert ask(key) is Code.VALID

    def test_identity_and_what_was_spent_stay(self, now, developer, key):
        """T34."""
        services.update_key(actor=developer, key=key, limit=Decimal(3), limit_reset="daily")
        ask(key, cost=Decimal(2))
        renewed = services.rotate_key(actor=developer, key=key)
        for field in ("pk", "identifier", "hash", "slug", "created_at", "owner_id", "limit"):
            assert getattr(renewed, field) == getattr(key, field) or field == "limit"
        assert renewed.remaining_at(NOW) == 1
        assert ask(renewed, cost=Decimal("1.000001")) is Code.LIMIT_EXCEEDED
        assert ask(renewed, cost=Decimal(1)) is Code.VALID


class TestExpiry:
    """T35: the arithmetic of ends."""

    @pytest.mark.parametrize(
        "moment",
        [
            "2028-02-29T00:00:00+00:00",
            "2026-03-29T02:30:00+01:00",
            "2026-10-25T02:30:00+02:00",
            "2026-12-31T23:59:59.999999-08:00",
            "2027-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59+00:00",
        ],
    )
    def test_an_expiry_is_kept_to_the_instant(self, now, developer, key, moment):
        expires_at = datetime.fromisoformat(moment)
        services.update_key(actor=developer, key=key, expires_at=expires_at)
        assert APIKey.objects.get(pk=key.pk).expires_at == expires_at
        now.move_to(expires_at - timedelta(milliseconds=1), tick=False)
        assert ask(key) is Code.VALID
        if expires_at.year < 9999:
            now.move_to(expires_at, tick=False)
            assert ask(key) is Code.EXPIRED

    def test_an_expired_key_can_be_prolonged(self, now, developer, key):
        services.update_key(actor=developer, key=key, expires_at=NOW + timedelta(hours=1))
        now.move_to(NOW + timedelta(hours=2), tick=False)
        services.update_key(actor=developer, key=key, expires_at=NOW + timedelta(hours=3))
        assert ask(key) is Code.VALID

    def test_another_change_never_touches_an_expiry(self, now, developer, key):
        """An expired key may be renamed, and stays expired."""
        services.update_key(actor=developer, key=key, expires_at=NOW + timedelta(hours=1))
        now.move_to(NOW + timedelta(hours=2), tick=False)
        services.update_key(actor=developer, key=key, name="Renamed")
        services.rotate_key(actor=developer, key=key)
        assert APIKey.objects.get(pk=key.pk).expires_at == NOW + timedelta(hours=1)


class TestAddresses:
    """T28, T29, T44: from where, with real rows."""

    def test_every_use_is_judged_by_its_own_address(self, developer, key):
        services.update_key(actor=developer, key=key, allowed_ips=["10.0.0.0/8", "2001:db8::/32"])
        for text, code in [
            ("10.1.2.3", Code.VALID),
            ("192.0.2.1", Code.FORBIDDEN_ADDRESS),
            ("::ffff:10.1.2.3", Code.VALID),
            ("::ffff:192.0.2.1", Code.FORBIDDEN_ADDRESS),
            ("2001:db8::7", Code.VALID),
            ("2001:db9::7", Code.FORBIDDEN_ADDRESS),
        ]:
            assert ask(key, parse_address(text)) is code
        assert ask(key, None) is Code.FORBIDDEN_ADDRESS

    def test_an_inactive_row_says_nothing(self, developer, key):
        row = services.add_allowed_ip(actor=developer, key=key, network="10.0.0.0/8")
        services.add_allowed_ip(actor=developer, key=key, network="192.0.2.0/24")
        services.change_allowed_ip(actor=developer, allowed_ip=row, active=False)
        assert ask(key, parse_address("10.1.2.3")) is Code.FORBIDDEN_ADDRESS
        assert ask(key, parse_address("192.0.2.1")) is Code.VALID

    def test_a_key_follows_the_organizations_servers(self, acme, owner, developer, key):
        services.update_key(actor=developer, key=key, assign_server_ips=True)
        # An empty pool is no list that allows all.
        assert ask(key) is Code.FORBIDDEN_ADDRESS
        row = services.add_server_address(actor=owner, organization=acme, network="203.0.113.0/24")
        assert ask(key) is Code.VALID
        services.remove_server_address(actor=owner, server_address=row)
        assert ask(key) is Code.FORBIDDEN_ADDRESS


class TestNoting:
    """What a use leaves behind."""

    def test_when_from_where_and_by_what(self, now, key):
        services.verify_key(secret=key.secret, address=HERE, user_agent="curl/8.5")
        totals = KeyUsage.objects.get(key=key)
        assert totals.last_used_at == NOW
        assert totals.last_address == "203.0.113.9"
        assert totals.last_user_agent == "curl/8.5"
        assert key.secrets.get().last_used_at == NOW

    def test_a_refused_use_does_not_look_like_a_use(self, now, developer, key):
        services.verify_key(secret=key.secret, address=HERE, user_agent="curl/8.5")
        services.disable_key(actor=developer, key=key)
        now.move_to(NOW + timedelta(hours=1), tick=False)
        services.verify_key(secret=key.secret, address=None, user_agent="thief/1.0")
        totals = KeyUsage.objects.get(key=key)
        assert (totals.last_used_at, totals.last_user_agent) == (NOW, "curl/8.5")

    def test_a_call_to_the_portal_itself_costs_nothing(self, developer, key):
        services.update_key(actor=developer, key=key, limit=Decimal(0))
        verdict = services.authenticate_key(secret=key.secret, address=HERE)
        assert verdict.is_valid
        assert KeyUsage.objects.get(key=key).cost == 0
        assert ask(key, cost=Decimal("0.000001")) is Code.LIMIT_EXCEEDED

    def test_a_use_writes_no_audit_event(self, acme, key):
        before = acme.audit_events.count()
        ask(key)
        assert acme.audit_events.count() == before


# Of a process that keeps no journal: the key, what its costs are counted by, one for each table
# of usage, and the savepoint around them.
# On PostgreSQL one more than on SQLite: it asks again whether terms changed meanwhile.
QUERIES_OF_A_VERIFICATION = 12


def test_a_verification_keeps_to_its_query_budget(now, key, django_assert_max_num_queries):
    ask(key)
    with django_assert_max_num_queries(QUERIES_OF_A_VERIFICATION):
        ask(key)


def test_a_worker_reads_the_key_and_writes_nothing(
    now, key, tmp_path, django_assert_max_num_queries
):
    usage.keep_journal(tmp_path)
    try:
        with django_assert_max_num_queries(2):
            assert ask(key, scopes=["READ"]) is Code.VALID
            assert ask(key, scopes=["MANAGE"]) is Code.INSUFFICIENT_SCOPES
        assert folding.fold_once(tmp_path) == 2
    finally:
        usage.drop_journal()
    assert KeyUsage.objects.get(key=key).requests == 1


def test_taking_a_snapshot_writes_nothing(key):
    row = snapshots.find_secret(key.secret)
    snapshot = snapshots.take(row)
    assert snapshot.key_id == key.pk
    assert snapshot.scopes == {"READ", "CREATE", "UPDATE", "DELETE"}
    assert KeySecret.objects.get(pk=row.pk).last_used_at is None
