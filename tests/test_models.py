"""What rows say about themselves, and what the database refuses whoever asks."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from hypothesis import given
from hypothesis import strategies as st

from keys.models import (
    AllowedIP,
    APIKey,
    AuditEvent,
    KeySecret,
    Membership,
    Organization,
    Role,
    Scope,
    ServerAddress,
    UsageBucket,
    User,
    Workspace,
)
from keys.models.fields import MAX_AMOUNT, AmountField
from keys.models.keys import Status
from keys.models.usage import LimitReset

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def refused(write) -> bool:
    """Say whether the database refuses the write."""
    try:
        with transaction.atomic():
            write()
    except IntegrityError:
        return True
    return False


class TestStatus:
    """What a key is at a moment."""

    def test_the_first_reason_counts(self, key):
        assert key.status_at(NOW) is Status.ACTIVE
        key.not_before = NOW + timedelta(seconds=1)
        assert key.status_at(NOW) is Status.PENDING
        key.not_before, key.expires_at = None, NOW
        assert key.status_at(NOW) is Status.EXPIRED
        key.disabled = True
        assert key.status_at(NOW) is Status.DISABLED
        key.locked_at = NOW
        assert key.status_at(NOW) is Status.LOCKED
        key.revoked_at = NOW
        assert key.status_at(NOW) is Status.REVOKED

    def test_it_expires_and_begins_on_the_instant(self, key):
        key.expires_at = NOW
        assert key.status_at(NOW - timedelta(microseconds=1)) is Status.ACTIVE
        assert key.status_at(NOW) is Status.EXPIRED
        key.expires_at, key.not_before = None, NOW
        assert key.status_at(NOW - timedelta(microseconds=1)) is Status.PENDING
        assert key.status_at(NOW) is Status.ACTIVE

    def test_lists_select_by_the_same_rules(self, acme, key):
        """Every combination of reasons is in exactly the list of its own status."""
        moments = [None, NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=1)]
        workspace = acme.workspaces.get()
        combinations = itertools.product((None, NOW), (None, NOW), (False, True), moments, moments)
        keys = [
            APIKey(
                organization=acme,
                workspace=workspace,
                name="Key",
                slug=f"key-{number}",
                revoked_at=revoked_at,
                locked_at=locked_at,
                disabled=disabled,
                not_before=not_before,
                expires_at=expires_at,
            )
            for number, (revoked_at, locked_at, disabled, not_before, expires_at) in enumerate(
                combinations
            )
            if not (not_before and expires_at and expires_at <= not_before)
        ]
        APIKey.objects.bulk_create(keys)
        for status in Status:
            listed = set(APIKey.objects.with_status(status, NOW))
            every = APIKey.objects.all()
            assert listed == {each for each in every if each.status_at(NOW) == status}

    def test_an_unknown_status_is_an_error(self, db):
        with pytest.raises(ValueError, match="Unknown status"):
            APIKey.objects.with_status("sleeping", NOW)


class TestAmounts:
    """Costs and limits are exact, on every database."""

    @pytest.mark.parametrize(
        "amount",
        ["0", "0.000001", "0.1", "1", "10", "100", "12.5", "999999999999.999999", "1000000000000"],
    )
    def test_an_amount_comes_back_as_it_was_stored(self, key, amount):
        APIKey.objects.filter(pk=key.pk).update(limit=Decimal(amount))
        stored = APIKey.objects.get(pk=key.pk).limit
        assert stored == Decimal(amount)
        assert f"{stored:f}" == amount
        assert str(stored) == amount.lower() or "E" not in str(stored)

    @given(st.decimals(min_value=0, max_value=MAX_AMOUNT, places=6))
    def test_millionths_survive(self, amount):
        field = AmountField()
        stored = field.get_prep_value(amount)
        assert isinstance(stored, int)
        assert field.from_db_value(stored, None, None) == amount

    @pytest.mark.parametrize(
        "nonsense",
        [
            "abc",
            "",
            " ",
            "NaN",
            "sNaN",
            "Infinity",
            "-Infinity",
            "1e400",
            True,
            [],
            object(),
            "\x00",
            10**30,
            Decimal(10) ** 30,
            float("nan"),
            float("inf"),
            10**12 + 1,
            "0.0000001",
            -(10**30),
        ],
    )
    def test_what_is_no_amount_is_refused_in_words(self, nonsense):
        with pytest.raises(ValidationError):
            AmountField().clean(nonsense, None)

    @pytest.mark.parametrize("amount", [0, 1, 1.5, "1.5", Decimal("0.000001"), 10**12])
    def test_what_is_an_amount_is_taken(self, amount):
        assert AmountField().clean(amount, None) == Decimal(str(amount))


class TestLimitReset:
    """T35: when a period began; calendars are UTC's."""

    @pytest.mark.parametrize(
        ("reset", "now", "start"),
        [
            ("daily", "2026-03-04T00:00:00", "2026-03-04"),
            ("daily", "2026-03-04T23:59:59.999999", "2026-03-04"),
            ("daily", "2028-02-29T12:00:00", "2028-02-29"),
            # Monday to Sunday, across months and years.
            ("weekly", "2026-03-02T00:00:00", "2026-03-02"),
            ("weekly", "2026-03-08T23:59:59.999999", "2026-03-02"),
            ("weekly", "2026-03-01T23:59:59", "2026-02-23"),
            ("weekly", "2027-01-01T08:00:00", "2026-12-28"),
            ("weekly", "2028-03-01T08:00:00", "2028-02-28"),
            ("monthly", "2026-03-01T00:00:00", "2026-03-01"),
            ("monthly", "2026-03-31T23:59:59.999999", "2026-03-01"),
            ("monthly", "2028-02-29T23:59:59", "2028-02-01"),
            ("monthly", "2026-12-31T23:59:59", "2026-12-01"),
        ],
    )
    def test_a_period_begins_at_midnight(self, reset, now, start):
        now = datetime.fromisoformat(now).replace(tzinfo=UTC)
        expected = datetime.fromisoformat(start).replace(tzinfo=UTC)
        assert LimitReset.period_start(reset, now) == expected

    def test_without_a_reset_there_is_one_period(self):
        assert LimitReset.period_start(None, NOW) is None

    @given(
        reset=st.sampled_from(LimitReset.values),
        now=st.datetimes(
            min_value=datetime(2000, 1, 1),  # noqa: DTZ001
            max_value=datetime(2100, 1, 1),  # noqa: DTZ001
            timezones=st.just(UTC),
        ),
    )
    def test_a_moment_lies_in_its_period(self, reset, now):
        start = LimitReset.period_start(reset, now)
        end = LimitReset.period_end(reset, now)
        assert start <= now < end
        assert LimitReset.period_start(reset, end - timedelta(microseconds=1)) == start
        assert LimitReset.period_start(reset, end) == end


class TestConstraints:
    """The database has the last word, whoever writes past the services."""

    def test_a_live_short_name_is_unique_in_its_organization(self, key, acme):
        again = {"organization": acme, "workspace": key.workspace, "name": "x", "slug": key.slug}
        assert refused(lambda: APIKey.objects.create(**again))
        APIKey.objects.filter(pk=key.pk).update(revoked_at=NOW)
        assert not refused(lambda: APIKey.objects.create(**again))

    @pytest.mark.parametrize(
        "contradiction",
        [
            {"expires_at": NOW, "not_before": NOW},
            {"expires_at": NOW, "not_before": NOW + timedelta(seconds=1)},
            {"limit": Decimal(-1)},
            {"limit_reset": "hourly"},
            {"limit_reset": ""},
            {"dialect": "klingon"},
        ],
    )
    def test_a_key_cannot_contradict_itself(self, key, contradiction):
        assert refused(lambda: APIKey.objects.filter(pk=key.pk).update(**contradiction))

    def test_two_secrets_never_share_a_digest(self, key, read_only_key):
        digest = key.current_secret.digest
        again = {"key": read_only_key, "digest": digest, "pepper_id": 1}
        assert refused(lambda: KeySecret.objects.create(**again))

    def test_an_organization_has_one_default_workspace(self, acme):
        assert refused(
            lambda: Workspace.objects.create(organization=acme, name="Second", is_default=True)
        )

    def test_names_are_unique_inside_an_organization(self, acme, other, owner):
        Workspace.objects.create(organization=acme, name="Sandbox")
        assert refused(lambda: Workspace.objects.create(organization=acme, name="Sandbox"))
        assert not refused(lambda: Workspace.objects.create(organization=other, name="Sandbox"))
        assert refused(lambda: Organization.objects.create(name="Acme", slug="acme"))

    def test_a_person_is_a_member_once(self, acme, developer):
        role = Role.objects.get(organization=None, name="admin")
        assert refused(
            lambda: Membership.objects.create(organization=acme, user=developer, role=role)
        )

    @pytest.mark.parametrize(
        ("of_acme", "code"),
        [(True, "READ"), (True, "orders"), (True, "*"), (False, "orders:read"), (False, "WRITE")],
    )
    def test_no_scope_poses_as_a_built_in_one(self, acme, of_acme, code):
        organization = acme if of_acme else None
        assert refused(lambda: Scope.objects.create(organization=organization, code=code))

    def test_a_scope_is_unique_in_its_organization(self, acme, other):
        Scope.objects.create(organization=acme, code="orders:read")
        assert refused(lambda: Scope.objects.create(organization=acme, code="orders:read"))
        assert not refused(lambda: Scope.objects.create(organization=other, code="orders:read"))
        assert refused(lambda: Scope.objects.create(organization=None, code="READ"))

    @pytest.mark.parametrize(
        ("of_acme", "number", "name"),
        [
            (True, 1, "clerk"),
            (True, 9, "clerk"),
            (True, 10, "admin"),
            (False, 4, "clerk"),
            (False, 1, "admin"),
            (False, 10, "admin"),
        ],
    )
    def test_no_role_poses_as_a_built_in_one(self, acme, of_acme, number, name):
        organization = acme if of_acme else None
        assert refused(
            lambda: Role.objects.create(organization=organization, number=number, name=name)
        )

    def test_an_address_is_listed_once_in_any_spelling(self, key, acme):
        AllowedIP.objects.create(key=key, network="::ffff:10.1.2.3")
        assert refused(lambda: AllowedIP.objects.create(key=key, network="10.1.2.3/32"))
        assert not refused(lambda: AllowedIP.objects.create(key=key, network="10.1.2.3", deny=True))
        ServerAddress.objects.create(organization=acme, network="10.1.2.3")
        assert refused(lambda: ServerAddress.objects.create(organization=acme, network="10.1.2.3"))

    def test_an_hour_has_one_bucket_an_outcome(self, key):
        bucket = {"key": key, "secret": key.current_secret, "hour": NOW, "outcome": "VALID"}
        UsageBucket.objects.create(**bucket)
        assert refused(lambda: UsageBucket.objects.create(**bucket))

    def test_two_people_never_share_an_address(self, owner):
        assert refused(lambda: User.objects.create_user("OWNER@acme.example"))

    def test_what_keys_hang_on_is_not_deleted_under_them(self, key, acme):
        for row in (acme, key.workspace, key.owner):
            with pytest.raises(models.ProtectedError):
                row.delete()


class TestAuditEvents:
    """Appended, never altered."""

    def test_events_are_never_altered_or_deleted(self, acme):
        event = acme.audit_events.create(actor_label="somebody", action="x")
        for alter in (
            event.save,
            event.delete,
            AuditEvent.objects.all().delete,
            lambda: AuditEvent.objects.update(action="nothing"),
            lambda: AuditEvent.objects.bulk_update([event], ["action"]),
            lambda: acme.audit_events.all().delete(),
            lambda: acme.audit_events.update(action="nothing"),
        ):
            with pytest.raises(TypeError, match="never"):
                alter()

    def test_events_outlive_who_did_them(self, acme, staff):
        event = AuditEvent.objects.create(actor_user=staff, actor_label=str(staff), action="x")
        staff.delete()
        event = AuditEvent.objects.get(pk=event.pk)
        assert event.actor_label == "staff@keyhaven.example"


class TestPeople:
    """Known by one address, in any spelling."""

    def test_a_person_is_found_by_any_spelling(self, owner):
        assert User.objects.get_by_natural_key("Owner@ACME.example") == owner

    def test_a_persons_name_is_their_address_until_they_give_one(self, owner):
        assert owner.display_name == "owner@acme.example"
        owner.first_name, owner.last_name = "Ada", "Lovelace"
        assert owner.display_name == "Ada Lovelace"

    def test_a_superuser_is_staff(self, db):
        root = User.objects.create_superuser("root@keyhaven.example", "a long password")
        assert root.is_staff
        assert root.is_superuser


class TestKeys:
    """Facts about one key."""

    def test_the_secret_is_on_the_fresh_instance_alone(self, key):
        assert key.secret.startswith("kh_")
        assert not hasattr(APIKey.objects.get(pk=key.pk), "secret")

    def test_the_label_is_that_of_the_newest_secret(self, key):
        assert key.label == f"{key.secret[:6]}...{key.secret[-3:]}"

    def test_details_load_in_a_constant_number_of_queries(
        self, key, read_only_key, manage_key, django_assert_num_queries
    ):
        with django_assert_num_queries(5):
            for each in APIKey.objects.with_details():
                assert each.label
                assert each.scope_codes
                assert each.remaining_at(NOW) is None
                assert not list(each.allowed_ips.all())

    def test_what_remains_is_never_below_zero(self, key):
        key.limit = Decimal("2.5")
        assert key.remaining_at(NOW) == Decimal("2.5")
        key.totals.period_cost = Decimal(3)
        assert key.remaining_at(NOW) == 0

    def test_what_another_period_spent_does_not_count(self, key):
        key.limit, key.limit_reset = Decimal(5), "daily"
        key.totals.period_cost = Decimal(3)
        key.totals.period_start = datetime(2026, 3, 3, tzinfo=UTC)
        assert key.remaining_at(NOW) == 5
        key.totals.period_start = datetime(2026, 3, 4, tzinfo=UTC)
        assert key.remaining_at(NOW) == 2


@pytest.mark.parametrize("slug", ["a", "acme", "acme-2", "0"])
def test_short_names_go_into_addresses(slug, acme):
    acme.slug = slug
    acme.clean_fields()


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a b", "a_b", "a/b", "a\n", "é", "a\x00"])
def test_other_short_names_are_refused(slug, acme):
    acme.slug = slug
    with pytest.raises(ValidationError) as refusal:
        acme.clean_fields()
    assert set(refusal.value.message_dict) == {"slug"}
