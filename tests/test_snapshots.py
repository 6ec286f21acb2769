"""What is remembered of keys: the same as what is stored, found by the whole secret only."""

import asyncio
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections, transaction

from keys import generations, policy, secrets, services, snapshots
from keys.models import APIKey, KeySecret, RateLimit, Role
from keys.networks import parse_address
from keys.rates import Rate
from keys.verification import Code

HERE = parse_address("203.0.113.9")


@pytest.fixture(autouse=True)
def memory(own_board):
    """An empty memory that is trusted, as in a worker."""
    snapshots.forget()
    generations.trust_until(2**63)
    yield
    snapshots.forget()
    generations.trust_until(0)


def ask(secret: str, **question) -> Code:
    return services.verify_key(secret=secret, address=HERE, **question).code


def is_remembered(secret: str) -> bool:
    """Say whether the next judgement of this secret asks the database nothing about it."""
    before = snapshots.counts().from_memory
    snapshots.find(secret)
    return snapshots.counts().from_memory == before + 1


class TestEntries:
    """One query finds what the models say."""

    @pytest.fixture
    def various(self, acme, owner, admin, developer, staff):
        """Keys of every kind, by what became of them."""
        orders = services.create_scope(actor=owner, organization=acme, code="orders:read")
        clerk = services.create_role(actor=owner, organization=acme, name="clerk", scopes=[orders])
        services.add_server_address(actor=owner, organization=acme, network="192.0.2.0/24")
        future = datetime(2099, 1, 1, tzinfo=UTC)

        def issue(actor, name, **fields):
            return services.issue_key(actor=actor, organization=acme, name=name, **fields)

        keys = {
            "plain": issue(owner, "Plain"),
            "named": issue(owner, "Größe", owner=None, role=clerk, external_user="u-7"),
            "scoped": issue(developer, "Scoped", scopes=["READ", "DELETE"]),
            "managing": issue(owner, "Managing", scopes=["MANAGE", "orders:read"]),
            "limited": issue(
                admin, "Limited", limit=Decimal("2.5"), limit_reset="weekly",
                include_byok_in_limit=True, not_before=future, expires_at=future + timedelta(1),
            ),
            "confined": issue(
                owner, "Confined", assign_server_ips=True,
                allowed_ips=[
                    "10.0.0.0/8", {"network": "10.1.0.0/16", "deny": True},
                    {"network": "172.16.0.1", "active": False},
                ],
            ),
        }  # fmt: skip
        stopped = issue(developer, "Stopped", scopes=["READ"])
        services.disable_key(actor=developer, key=stopped)
        services.lock_key(actor=staff, key=stopped)
        services.revoke_key(actor=developer, key=stopped)
        rotated = issue(developer, "Rotated", scopes=["READ"])
        services.rotate_key(actor=developer, key=rotated, quiet_hours=3)
        leaver = issue(admin, "Leaver", scopes=["MANAGE", "orders:read"])
        services.remove_member(actor=owner, membership=acme.memberships.get(user=admin))
        return {**keys, "stopped": stopped, "rotated": rotated, "leaver": leaver}

    def test_an_entry_says_what_the_models_say(self, various, acme):
        for name, key in various.items():
            entry = snapshots.find(key.secret)
            row = snapshots.find_secret(key.secret)
            assert entry.snapshot == snapshots.take(row), name
            stored = APIKey.objects.with_details().get(pk=key.pk)
            for field in ("name", "slug", "label", "workspace_id", "external_user", "limit",
                          "limit_reset", "include_byok_in_limit"):  # fmt: skip
                assert getattr(entry, field) == getattr(stored, field), (name, field)
            assert entry.role == (stored.role.name if stored.role else None)
            assert (entry.owner and entry.owner.id) == stored.owner_id
            assert entry.organization_slug == acme.slug
            assert (entry.secret_id, entry.nonce) == (row.pk, row.nonce)
            assert entry.is_steady == (name != "rotated")

    def test_rates_are_of_the_key_and_of_its_organization(self, key, acme):
        RateLimit.objects.create(key=key, amount=5, period="second")
        RateLimit.objects.create(organization=acme, amount=9, period="day")
        assert snapshots.find(key.secret).rates == (
            Rate("key", key.pk, 5, "second"),
            Rate("organization", acme.pk, 9, "day"),
        )

    def test_a_key_is_every_callers_own(self, key, django_assert_num_queries):
        entry = snapshots.find(key.secret)
        first = entry.key()
        with django_assert_num_queries(0):
            second = entry.key()
            assert second == key
            assert second.scope_codes == key.scope_codes
            assert str(second.organization) == "Acme"
        first.name = first.organization.name = first.owner.email = "changed"
        first.scopes.clear()
        assert (second.name, second.organization.name) == ("Backend", "Acme")
        assert (second.owner.email, entry.key().name) == ("developer@acme.example", "Backend")
        assert len(entry.key().scope_codes) == 4

    def test_one_query_by_an_index_however_many_keys(self, key, django_assert_num_queries):
        """T15."""
        for secret in (key.secret, secrets.generate("native")):
            with django_assert_num_queries(1) as queries:
                snapshots.find(secret)
        explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(explain + queries.captured_queries[0]["sql"])
            plan = str(cursor.fetchall())
        assert "digest" in plan
        assert "SCAN keys_keysecret" not in plan
        assert "Seq Scan on keys_keysecret" not in plan


@pytest.mark.django_db(transaction=True)
class TestMemory:
    """What a process remembers is believed while it is true."""

    def test_memory_changes_no_answer(self, acme, owner, developer, settings):
        """T12: of many keys asked in turns, each keeps its own."""
        keys = [
            services.issue_key(
                actor=developer, organization=acme, name=f"Key {number}",
                scopes=["READ", "CREATE", "UPDATE"][: number % 4],
                allowed_ips=["10.0.0.0/8"] if number % 2 else [], disabled=number % 5 == 4,
            ).secret
            for number in range(6)
        ]  # fmt: skip
        asked = list(itertools.product(keys, ["READ", "UPDATE"], ["10.1.2.3", "192.0.2.1"]))

        def answers() -> list[Code]:
            return [
                services.verify_key(secret=secret, scopes=[scope], address=parse_address(text)).code
                for secret, scope, text in asked
            ]

        random.shuffle(asked)
        remembered = answers()
        settings.KEYS_REMEMBERED = 0
        snapshots.forget()
        misses = snapshots.counts().from_database
        assert answers() == remembered
        assert snapshots.counts().from_database == misses + len(asked)
        assert len(set(remembered)) == 4

    def test_a_known_key_asks_the_database_nothing(self, key, django_assert_num_queries):
        """T14: what is remembered is found again."""
        snapshots.find(key.secret)
        with django_assert_num_queries(0):
            assert all(is_remembered(key.secret) for _ in range(20))

    def test_nothing_but_the_whole_secret_finds_an_entry(self, key):
        """T13: no prefix, no suffix, no other case of it."""
        secret = key.secret
        assert snapshots.find(secret).key_id == key.pk
        twin = secrets.FORMATS["native"]
        alike = secret[:43] + "0" if secret[43] != "0" else secret[:43] + "1"
        for other in (secret[:-1], secret[1:], secret + "0", secret.swapcase(), f" {secret}",
                      alike + twin.checksum(alike), "kh_", ""):  # fmt: skip
            assert snapshots.find(other) is None
        assert snapshots.counts().remembered == 1

    def test_a_change_is_seen_by_the_next_question(self, developer, key):
        assert ask(key.secret) is Code.VALID
        assert is_remembered(key.secret)
        services.disable_key(actor=developer, key=key)
        assert ask(key.secret) is Code.DISABLED
        assert is_remembered(key.secret)
        services.enable_key(actor=developer, key=key)
        assert ask(key.secret) is Code.VALID
        services.revoke_key(actor=developer, key=key)
        assert ask(key.secret) is Code.REVOKED

    def test_who_goes_takes_remembered_keys_along(self, acme, owner, staff, developer, key):
        """T22: at the next question."""
        membership = acme.memberships.get(user=developer)
        readonly = Role.objects.get(organization=None, name="readonly")
        assert ask(key.secret, scopes=["UPDATE"]) is Code.VALID
        for change, code in [
            (lambda: services.update_member(actor=owner, membership=membership, role=readonly),
             Code.INSUFFICIENT_SCOPES),
            (lambda: services.suspend_organization(actor=staff, organization=acme),
             Code.ORGANIZATION_SUSPENDED),
            (lambda: services.resume_organization(actor=staff, organization=acme),
             Code.INSUFFICIENT_SCOPES),
            (lambda: services.update_person(
                actor=policy.OPERATOR, person=developer, is_active=False), Code.OWNER_GONE),
            (lambda: services.update_person(
                actor=policy.OPERATOR, person=developer, is_active=True),
             Code.INSUFFICIENT_SCOPES),
            (lambda: services.remove_member(actor=owner, membership=membership), Code.OWNER_GONE),
        ]:  # fmt: skip
            assert is_remembered(key.secret)
            change()
            assert ask(key.secret, scopes=["UPDATE"]) is code

    def test_a_name_is_read_again_where_keys_mention_it_and_nowhere_else(
        self, key, developer, viewer, stranger, other, superuser
    ):
        def name(person, first_name):
            services.name_oneself(actor=person, first_name=first_name, last_name="")

        snapshots.find(key.secret)
        for elsewhere in (stranger, superuser):
            name(elsewhere, "Ada")
            assert is_remembered(key.secret)
        name(viewer, "Vera")
        assert not is_remembered(key.secret)
        name(viewer, "Vera")
        assert is_remembered(key.secret)
        name(developer, "Dana")
        assert snapshots.find(key.secret).owner.display_name == "Dana"

    def test_what_was_never_committed_is_not_remembered(self, acme, owner, key):
        """A key of a transaction that is rolled back was never there."""
        with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
            new = services.issue_key(actor=owner, organization=acme, name="New", owner=None)
            assert ask(new.secret) is Code.VALID
            raise RuntimeError
        assert ask(new.secret) is Code.NOT_FOUND

    def test_unknown_keys_push_no_known_one_out(self, key):
        """T14: a flood of well-formed guesses."""
        snapshots.find(key.secret)
        for _ in range(50):
            assert snapshots.find(secrets.generate("native")) is None
        assert snapshots.counts().remembered == 1
        assert is_remembered(key.secret)

    def test_those_read_longest_ago_are_forgotten_first(self, key, read_only_key, settings):
        settings.KEYS_REMEMBERED = 1
        snapshots.find(key.secret)
        assert is_remembered(key.secret)
        snapshots.find(read_only_key.secret)
        assert is_remembered(read_only_key.secret)
        assert snapshots.counts().remembered == 1
        assert not is_remembered(key.secret)

    def test_an_old_pepper_is_replaced_at_the_first_use(self, key, settings):
        settings.KEY_PEPPERS = {**settings.KEY_PEPPERS, 9: b"the new pepper " * 3}
        assert ask(key.secret) is Code.VALID
        assert KeySecret.objects.get(key=key).pepper_id == 9
        assert ask(key.secret) is Code.VALID
        assert is_remembered(key.secret)

    def test_a_secret_that_waits_for_quiet_is_asked_about_each_time(self, developer, key):
        services.rotate_key(actor=developer, key=key, quiet_hours=2)
        assert ask(key.secret) is Code.VALID
        assert not is_remembered(key.secret)

    @pytest.mark.skipif(connection.vendor == "sqlite", reason="one host has nobody to hear from")
    def test_without_word_from_other_hosts_the_database_is_asked(self, key):
        snapshots.find(key.secret)
        assert is_remembered(key.secret)
        generations.trust_until(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        assert not is_remembered(key.secret)
        generations.trust_until(2**63)
        assert is_remembered(key.secret)

    @pytest.mark.skipif(connection.vendor == "sqlite", reason="there is no server to be lost")
    def test_a_connection_that_was_lost_is_opened_again(self, key):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [pid] = cursor.fetchone()
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        other.close()
        assert snapshots.find(key.secret).key_id == key.pk

    @pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite plans in no time")
    def test_the_database_plans_once_unless_each_transaction_is_on_another_server(
        self, key, settings
    ):
        def planned() -> tuple:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*), sum(generic_plans + custom_plans) "
                               "FROM pg_prepared_statements")  # fmt: skip
                return cursor.fetchone()

        connection.close()
        for asked in (1, 2):
            snapshots.forget()
            assert snapshots.find(key.secret)
            assert planned() == (1, asked)
        connection.close()
        settings.FEED_DATABASE_URL = "postgres://behind.the.pooler/keyhaven"
        snapshots.forget()
        assert snapshots.find(key.secret)
        assert planned() == (0, None)

    @pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite plans in no time")
    def test_what_was_planned_for_other_tables_is_planned_anew(self, key):
        def make_names(kind: str) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"ALTER TABLE keys_apikey ALTER COLUMN name TYPE {kind}")

        assert snapshots.find(key.secret)
        length = APIKey._meta.get_field("name").max_length
        try:
            make_names("text")
            snapshots.forget()
            assert snapshots.find(key.secret).key_id == key.pk
        finally:
            make_names(f"varchar({length})")


@pytest.mark.django_db(transaction=True)
def test_a_key_is_found_over_the_connection_of_an_event_loop_too(acme, owner, key, monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

    async def issue_and_ask():
        with transaction.atomic():
            fresh = services.issue_key(actor=owner, organization=acme, name="Fresh")
            verdict = services.verify_key(secret=fresh.secret, address=None)
            transaction.set_rollback(True)
        connections.close_all()
        return verdict.code

    def ask_without_a_loop_and_with_one():
        assert services.verify_key(secret=key.secret, address=None).key == key
        assert asyncio.run(issue_and_ask()) is Code.VALID
        assert services.verify_key(secret=key.secret, address=None).key == key
        connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(ask_without_a_loop_and_with_one).result()
