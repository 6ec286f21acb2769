"""Issuing, changing and ending keys: what becomes of the row."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from keys import policy, services
from keys.models import APIKey, AuditEvent, KeySecret, Role
from tests.conftest import make_person


@pytest.fixture
def clerk(acme, owner) -> Role:
    orders = services.create_scope(actor=owner, organization=acme, code="orders:read")
    return services.create_role(actor=owner, organization=acme, name="clerk", scopes=[orders])


def codes(key) -> set[str]:
    return set(APIKey.objects.get(pk=key.pk).scope_codes)


class TestIssuing:
    """A new key."""

    def test_by_default_it_is_ones_own_lasting_and_holds_nothing(self, acme, developer):
        key = services.issue_key(actor=developer, organization=acme, name="Backend")
        assert (key.owner, key.creator, key.workspace) == (
            developer,
            developer,
            acme.workspaces.get(),
        )
        assert (key.dialect, key.slug, key.status) == ("native", "backend", "active")
        assert (key.expires_at, key.limit, key.limit_reset) == (None, None, None)
        assert not key.scope_codes
        assert not key.allowed_ips.exists()
        assert key.totals.requests == 0

    def test_what_is_asked_for_is_kept(self, acme, owner):
        soon = timezone.now() + timedelta(days=1)
        wish = {
            "name": "Backend",
            "slug": "backend-2",
            "description": "Of the shop.",
            "dialect": "xyra",
            "not_before": soon,
            "expires_at": soon + timedelta(days=1),
            "disabled": True,
            "limit": Decimal("12.5"),
            "limit_reset": "weekly",
            "include_byok_in_limit": True,
            "assign_server_ips": True,
            "external_user": "user-7",
        }
        key = services.issue_key(actor=owner, organization=acme, **wish)
        stored = APIKey.objects.get(pk=key.pk)
        assert {field: getattr(stored, field) for field in wish} == wish

    def test_its_lists_are_those_that_are_stored(self, acme, owner):
        key = services.issue_key(
            actor=owner,
            organization=acme,
            name="Backend",
            scopes=["UPDATE", "READ", "DELETE"],
            allowed_ips=["192.0.2.9", "192.0.2.1"],
            rate_limits=[{"amount": 9, "period": "day"}, {"amount": 1, "period": "second"}],
        )
        stored = APIKey.objects.get(pk=key.pk)
        for name in ("scopes", "allowed_ips", "rate_limits", "secrets"):
            assert list(getattr(key, name).all()) == list(getattr(stored, name).all())
        assert key.label == stored.label
        assert key.scope_codes == stored.scope_codes

    def test_it_takes_few_queries(self, acme, developer, django_assert_max_num_queries):
        wish = {"actor": developer, "organization": acme, "scopes": ["READ", "UPDATE"]}
        services.issue_key(name="First", **wish)
        with django_assert_max_num_queries(30):
            services.issue_key(name="Second", **wish)

    def test_the_operator_issues_for_the_organization_or_a_member(self, acme, developer):
        wish = {"actor": policy.OPERATOR, "organization": acme, "name": "Key"}
        assert services.issue_key(**wish).owner is None
        assert services.issue_key(**wish, owner=developer).owner == developer
        with pytest.raises(ValidationError) as refusal:
            services.issue_key(**wish, owner=make_person("nobody@acme.example"))
        assert set(refusal.value.message_dict) == {"owner"}

    @pytest.mark.parametrize(
        ("name", "slug"),
        [
            ("Backend", "backend"),
            ("  My Key! ", "my-key"),
            ("Zürich", "zurich"),
            ("鍵", "key"),
            ("___", "key"),
            ("a_b", "a-b"),
            ("x" * 200, "x" * 50),
        ],
    )
    def test_a_short_name_is_made_of_the_name(self, acme, owner, name, slug):
        assert services.issue_key(actor=owner, organization=acme, name=name).slug == slug

    def test_keys_of_one_name_get_short_names_of_their_own(self, acme, other, owner, stranger):
        first, second = (
            services.issue_key(actor=owner, organization=acme, name="Backend") for _ in "ab"
        )
        assert first.slug == "backend"
        assert second.slug.startswith("backend-")
        elsewhere = services.issue_key(actor=stranger, organization=other, name="Backend")
        assert elsewhere.slug == "backend"

    def test_a_revoked_keys_short_name_is_free_again(self, acme, owner):
        first = services.issue_key(actor=owner, organization=acme, name="Key", slug="backend")
        services.revoke_key(actor=owner, key=first)
        again = services.issue_key(actor=owner, organization=acme, name="Key", slug="backend")
        assert again.slug == "backend"

    def test_a_name_is_no_way_around_the_length(self, acme, owner):
        name = "x" * 60
        slugs = {
            services.issue_key(actor=owner, organization=acme, name=name).slug for _ in range(3)
        }
        assert len(slugs) == 3
        assert max(map(len, slugs)) <= 63

    def test_none_ends_before_it_begins(self, acme, owner):
        soon = timezone.now() + timedelta(days=1)
        with pytest.raises(ValidationError) as refused:
            services.issue_key(
                actor=owner,
                organization=acme,
                name="Backend",
                not_before=soon,
                expires_at=soon - timedelta(hours=1),
            )
        assert refused.value.message_dict == {
            "expires_at": ["The key would expire before it becomes valid."]
        }
        assert not APIKey.objects.exists()


class TestGrant:
    """A key follows a role or lists scopes."""

    def test_listing_scopes_ends_following(self, acme, owner, clerk):
        key = services.issue_key(actor=owner, organization=acme, name="Key", role=clerk)
        services.update_key(actor=owner, key=key, scopes=["READ"])
        assert APIKey.objects.get(pk=key.pk).role is None
        assert codes(key) == {"READ"}

    def test_following_ends_the_list(self, acme, owner, clerk):
        key = services.issue_key(actor=owner, organization=acme, name="Key", scopes=["READ"])
        services.update_key(actor=owner, key=key, role=clerk)
        assert codes(key) == {"orders:read"}
        # And no forgotten list comes back when the role goes.
        services.update_key(actor=owner, key=key, role=None)
        assert codes(key) == set()

    def test_scopes_are_rows_or_codes_and_once_each(self, acme, owner, clerk):
        orders = clerk.scopes.get()
        key = services.issue_key(
            actor=owner, organization=acme, name="Key", scopes=[orders, "READ", "READ", orders]
        )
        assert codes(key) == {"READ", "orders:read"}
        assert key.scopes.count() == 2

    def test_a_scope_that_nobody_defined_is_named(self, acme, owner):
        with pytest.raises(ValidationError) as error:
            services.issue_key(actor=owner, organization=acme, name="Key", scopes=["READ", "x:y"])
        assert error.value.message_dict == {"scopes": ["Unknown scope: x:y."]}

    def test_a_role_that_only_revoked_keys_held_stays_with_them(self, acme, owner, clerk):
        key = services.issue_key(actor=owner, organization=acme, name="Key", role=clerk)
        assert "People or keys hold" in services.reason_to_keep_role(clerk)
        services.revoke_key(actor=owner, key=key)
        assert "Revoked keys held" in services.reason_to_keep_role(clerk)

    def test_what_is_not_said_stays(self, developer, key):
        before = codes(key)
        services.update_key(actor=developer, key=key, name="Renamed")
        assert codes(key) == before


class TestAllowedIPs:
    """The list as a whole, and row by row."""

    def test_replacing_the_list_keeps_rows_that_stay(self, developer, key):
        services.update_key(actor=developer, key=key, allowed_ips=["10.0.0.1", "10.0.0.2"])
        kept = key.allowed_ips.get(network="10.0.0.1")
        services.update_key(
            actor=developer,
            key=key,
            allowed_ips=[{"network": "::ffff:10.0.0.1", "comment": "VPN"}, "10.0.0.3"],
        )
        rows = {row.network: row for row in key.allowed_ips.order_by("pk")}
        assert set(rows) == {"10.0.0.1", "10.0.0.3"}
        assert (rows["10.0.0.1"].pk, rows["10.0.0.1"].comment) == (kept.pk, "VPN")

    def test_doubles_are_one(self, acme, owner):
        key = services.issue_key(
            actor=owner,
            organization=acme,
            name="Key",
            allowed_ips=["10.0.0.1", "10.0.0.1/32", "::ffff:10.0.0.1"],
        )
        assert [row.network for row in key.allowed_ips.all()] == ["10.0.0.1"]

    def test_an_error_says_which_entry(self, acme, owner):
        with pytest.raises(ValidationError) as refusal:
            services.issue_key(
                actor=owner, organization=acme, name="Key", allowed_ips=["10.0.0.1", "10.0.0.0/33"]
            )
        (problem,) = refusal.value.error_dict["allowed_ips"]
        assert problem.params["index"] == 1
        assert "10.0.0.0/33" in problem.messages[0]

    def test_what_is_wrong_beside_the_address_is_an_error_of_the_list_too(self, acme, owner):
        wish = [{"network": "10.0.0.1", "comment": "x" * 201}]
        with pytest.raises(ValidationError) as refusal:
            services.issue_key(actor=owner, organization=acme, name="Key", allowed_ips=wish)
        assert list(refusal.value.message_dict) == ["allowed_ips"]

    def test_rows_change_and_go(self, developer, key):
        row = services.add_allowed_ip(actor=developer, key=key, network="10.0.0.1")
        services.change_allowed_ip(
            actor=developer, allowed_ip=row, network="10.0.0.0/8", deny=True, comment="x"
        )
        row.refresh_from_db()
        assert (row.network, row.deny, row.comment) == ("10.0.0.0/8", True, "x")
        services.remove_allowed_ip(actor=developer, allowed_ip=row)
        assert not key.allowed_ips.exists()


class TestEnding:
    """A revoked key is history."""

    def test_nothing_brings_a_revoked_key_back(self, developer, staff, key):
        row = services.add_allowed_ip(actor=developer, key=key, network="10.0.0.1")
        secret = key.current_secret
        services.revoke_key(actor=developer, key=key)
        before = (APIKey.objects.values().get(pk=key.pk), AuditEvent.objects.count())
        for attempt in (
            lambda: services.enable_key(actor=developer, key=key),
            lambda: services.update_key(actor=developer, key=key, name="Again"),
            lambda: services.rotate_key(actor=developer, key=key),
            lambda: services.revoke_key(actor=developer, key=key),
            lambda: services.lock_key(actor=staff, key=key),
            lambda: services.unlock_key(actor=staff, key=key),
            lambda: services.retire_secret(actor=developer, secret=secret),
            lambda: services.add_allowed_ip(actor=developer, key=key, network="10.0.0.2"),
            lambda: services.change_allowed_ip(actor=developer, allowed_ip=row, active=False),
            lambda: services.remove_allowed_ip(actor=developer, allowed_ip=row),
        ):
            with pytest.raises(APIKey.DoesNotExist):
                attempt()
        assert (APIKey.objects.values().get(pk=key.pk), AuditEvent.objects.count()) == before
        assert KeySecret.objects.filter(key=key).count() == 1

    def test_disabling_is_not_the_end(self, developer, key):
        assert services.disable_key(actor=developer, key=key).status == "disabled"
        assert services.enable_key(actor=developer, key=key).status == "active"

    def test_the_current_secret_is_not_retired(self, developer, key):
        with pytest.raises(ValidationError, match="rotate or revoke"):
            services.retire_secret(actor=developer, secret=key.current_secret)

    def test_staff_revoke_what_leaked(self, staff, key):
        assert services.revoke_key(actor=staff, key=key).status == "revoked"


class TestLocking:
    """What staff say when they stop a key."""

    def test_the_reason_is_kept_until_the_key_is_unlocked(self, staff, key):
        services.lock_key(actor=staff, key=key, reason="Found in a public notebook.")
        locked = APIKey.objects.get(pk=key.pk)
        assert (locked.status, locked.lock_reason) == ("locked", "Found in a public notebook.")
        event = AuditEvent.objects.get(action="apikey.locked")
        assert event.changes == {"reason": "Found in a public notebook."}
        services.unlock_key(actor=staff, key=key)
        assert APIKey.objects.get(pk=key.pk).lock_reason == ""

    @pytest.mark.parametrize("reason", ["x" * 201, "a\x00b", "\ud800"])
    def test_an_odd_reason_is_refused_and_locks_nothing(self, staff, key, reason):
        with pytest.raises(ValidationError) as refusal:
            services.lock_key(actor=staff, key=key, reason=reason)
        assert set(refusal.value.message_dict) == {"lock_reason"}
        assert APIKey.objects.get(pk=key.pk).status == "active"
