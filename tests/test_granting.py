"""Nobody grants more than they hold, by whichever way they try."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys import policy, services
from keys.models import APIKey, AuditEvent, KeySecret, Role, Scope

BUILT_IN = ["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"]
OWN = ["orders:read", "orders:write"]
# What a caller may send instead of a scope.
NEAR_MISSES = ["read", "Manage", "MANAGE ", "*", "", "orders:*", "ORDERS:READ", "ADMIN", "\x00"]

grants = st.lists(st.sampled_from(BUILT_IN + OWN), unique=True)
requests = st.lists(st.sampled_from(BUILT_IN + OWN + NEAR_MISSES), max_size=6)
in_one_test = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def orders(acme, owner) -> list[Scope]:
    return [services.create_scope(actor=owner, organization=acme, code=code) for code in OWN]


@pytest.fixture
def issue(acme):
    """Issue a key of acme as somebody."""

    def issue_as(actor, scopes=(), **fields) -> APIKey:
        return services.issue_key(
            actor=actor, organization=acme, name="Key", scopes=scopes, **fields
        )

    return issue_as


def refused(ask) -> bool:
    """Say whether somebody is refused, or their wish is none; nothing is written then."""
    before = (APIKey.objects.count(), AuditEvent.objects.count(), KeySecret.objects.count())
    try:
        with transaction.atomic():
            ask()
    except (PermissionDenied, ValidationError):
        after = (APIKey.objects.count(), AuditEvent.objects.count(), KeySecret.objects.count())
        assert after == before
        return True
    return False


class TestIssuing:
    """T1, T2: a new key."""

    @in_one_test
    @given(parent_scopes=grants, child_scopes=requests)
    def test_a_key_issues_keys_with_a_part_of_its_own_scopes(
        self, acme, owner, orders, issue, parent_scopes, child_scopes
    ):
        """T2, for any parent and any request, empty and nonsense included."""
        parent = issue(owner, parent_scopes, owner=None)
        children = []
        was_refused = refused(lambda: children.append(issue(parent, child_scopes)))
        asked, held = set(child_scopes), policy.held_scopes(parent, acme)
        assert was_refused == (not asked <= held or not held & {"CREATE", "MANAGE"})
        for child in children:
            assert policy.held_scopes(child, acme) == asked

    @in_one_test
    @given(role_scopes=grants, child_scopes=requests)
    def test_people_issue_keys_with_a_part_of_their_own_scopes(
        self, acme, owner, developer, orders, issue, role_scopes, child_scopes
    ):
        """T2, for any role."""
        with transaction.atomic():
            role = services.create_role(
                actor=owner,
                organization=acme,
                name="clerk",
                scopes=Scope.objects.filter(code__in=role_scopes),
            )
            services.update_member(
                actor=owner, membership=acme.memberships.get(user=developer), role=role
            )
            held = policy.held_scopes(developer, acme)
            children = []
            was_refused = refused(lambda: children.append(issue(developer, child_scopes)))
            assert was_refused == (not set(child_scopes) <= held or not held & {"CREATE", "MANAGE"})
            for child in children:
                assert policy.held_scopes(child, acme) == set(child_scopes)
            transaction.set_rollback(True)

    @pytest.mark.parametrize(
        "wish",
        [
            ["MANAGE"],
            ["READ", "MANAGE"],
            ["DELETE"],
            ["orders:read"],
            ["*"],
            ["read"],
            ["MANAGE\x00"],
        ],
    )
    def test_a_read_and_create_key_grants_nothing_else(self, developer, orders, issue, wish):
        parent = issue(developer, ["READ", "CREATE"])
        assert refused(lambda: issue(parent, wish))

    def test_a_key_without_scopes_is_no_key_to_everything(self, acme, developer, issue):
        """T2: empty is nothing, not unlimited."""
        child = issue(issue(developer, ["CREATE"]), [])
        assert policy.held_scopes(child, acme) == frozenset()
        assert not policy.visible(child, APIKey.objects.all()).exists()

    def test_nobody_signed_in_issues_nothing(self, owner, acme, issue):
        """T1: not even for somebody they name."""
        assert refused(lambda: issue(AnonymousUser(), ["READ"], owner=owner))
        assert refused(lambda: issue(AnonymousUser()))

    def test_a_stranger_issues_nothing_here(self, owner, stranger, strangers_key, issue):
        """T1."""
        for actor in (stranger, strangers_key):
            assert refused(lambda: issue(actor))  # noqa: B023
            assert refused(lambda: issue(actor, owner=owner))  # noqa: B023
            assert refused(lambda: issue(actor, owner=None))  # noqa: B023

    def test_who_may_only_look_issues_nothing(self, viewer, read_only_key, staff, issue):
        """T43: the service refuses, whatever a door hides or shows."""
        for actor in (viewer, read_only_key, staff):
            assert refused(lambda: issue(actor))  # noqa: B023

    def test_nobody_issues_in_somebody_elses_name(
        self, owner, admin, developer, superuser, manage_key, issue
    ):
        """T7: the fresh secret would let them act as that person."""
        for actor in (admin, developer, superuser, manage_key):
            assert refused(lambda: issue(actor, ["READ"], owner=owner))  # noqa: B023

    def test_only_who_manages_issues_for_the_organization(self, admin, developer, key, issue):
        assert issue(admin, owner=None).owner is None
        assert refused(lambda: issue(developer, owner=None))
        assert refused(lambda: issue(key, owner=None))

    def test_a_key_issues_for_its_own_owner(self, developer, key, manage_key, issue):
        assert issue(key).owner == developer
        assert issue(manage_key).owner is None

    def test_only_who_manages_says_who_created_a_key(
        self, admin, developer, viewer, stranger, issue
    ):
        assert issue(admin, creator=viewer).creator == viewer
        assert issue(developer, creator=developer).creator == developer
        assert refused(lambda: issue(developer, creator=viewer))
        assert refused(lambda: issue(admin, creator=stranger))

    def test_a_role_is_a_way_to_grant_scopes(self, developer, issue):
        assert issue(developer, role=_built_in_role("developer")).role.name == "developer"
        assert refused(lambda: issue(developer, role=_built_in_role("admin")))

    def test_a_key_keeps_to_its_owner_when_that_person_loses_rights(
        self, acme, owner, developer, issue
    ):
        """T3: with the rights, the power to hand them on goes too."""
        parent = issue(developer, ["READ", "CREATE"])
        services.update_member(
            actor=owner,
            membership=acme.memberships.get(user=developer),
            role=_built_in_role("readonly"),
        )
        parent = APIKey.objects.get(pk=parent.pk)
        assert refused(lambda: issue(parent, ["READ"]))


class TestLifetime:
    """T5: what expires cannot make itself permanent."""

    @pytest.fixture
    def short_lived(self, developer, issue) -> APIKey:
        tomorrow = timezone.now() + timedelta(days=1)
        return issue(developer, ["READ", "CREATE", "UPDATE"], expires_at=tomorrow)

    def test_a_child_expires_with_its_parent(self, short_lived, issue):
        assert issue(short_lived).expires_at == short_lived.expires_at

    def test_a_child_may_expire_earlier(self, short_lived, issue):
        earlier = short_lived.expires_at - timedelta(hours=1)
        assert issue(short_lived, expires_at=earlier).expires_at == earlier

    def test_a_child_never_outlives_its_parent(self, short_lived, issue):
        later = short_lived.expires_at + timedelta(microseconds=1)
        assert refused(lambda: issue(short_lived, expires_at=None))
        assert refused(lambda: issue(short_lived, expires_at=later))

    def test_a_child_is_not_extended_by_its_parent(self, short_lived, issue):
        child = issue(short_lived)
        for wish in (None, short_lived.expires_at + timedelta(days=1)):
            assert refused(
                lambda: services.update_key(actor=short_lived, key=child, expires_at=wish)  # noqa: B023
            )

    def test_a_lasting_sibling_is_not_taken_over(self, short_lived, developer, issue):
        lasting = issue(developer, ["READ"])
        assert refused(lambda: services.rotate_key(actor=short_lived, key=lasting))


class TestAddresses:
    """T2: a key confined to some addresses issues no key that works from elsewhere."""

    @pytest.fixture
    def confined(self, developer, issue) -> APIKey:
        return issue(
            developer,
            ["READ", "CREATE", "UPDATE"],
            allowed_ips=["10.0.0.0/8", {"network": "10.9.0.0/16", "deny": True}],
        )

    def test_a_child_is_confined_as_its_parent_is(self, confined, issue):
        child = issue(confined)
        assert _listed(child) == {"10.0.0.0/8", "not 10.9.0.0/16"}

    def test_a_child_may_be_confined_further(self, confined, issue):
        child = issue(confined, allowed_ips=["10.1.2.3", "10.2.0.0/16"])
        assert {"10.1.2.3", "10.2.0.0/16"} <= _listed(child)

    @pytest.mark.parametrize(
        "wish",
        [
            [],
            ["0.0.0.0/0"],
            ["192.0.2.1"],
            ["10.1.2.3", "192.0.2.1"],
            ["10.9.1.1"],
            ["::/0"],
            ["10.0.0.0/7"],
            [{"network": "192.0.2.1", "deny": True}],
            [{"network": "10.1.2.3", "active": False}],
        ],
    )
    def test_a_child_never_works_from_elsewhere(self, confined, issue, wish):
        assert refused(lambda: issue(confined, allowed_ips=wish))

    def test_a_child_does_not_follow_the_servers_unless_its_parent_does(
        self, owner, acme, confined, issue
    ):
        services.add_server_address(actor=owner, organization=acme, network="192.0.2.0/24")
        assert refused(lambda: issue(confined, assign_server_ips=True))

    def test_a_child_of_a_key_on_the_servers_may_stay_there(self, owner, acme, developer, issue):
        services.add_server_address(actor=owner, organization=acme, network="192.0.2.0/24")
        parent = issue(developer, ["CREATE"], assign_server_ips=True)
        assert issue(parent).assign_server_ips
        assert issue(parent, allowed_ips=["192.0.2.7"], assign_server_ips=False)
        assert refused(lambda: issue(parent, assign_server_ips=False))

    def test_a_child_is_not_opened_later(self, confined, issue):
        child = issue(confined)
        row = child.allowed_ips.get(deny=False)
        denied = child.allowed_ips.get(deny=True)
        ways = [
            lambda: services.update_key(actor=confined, key=child, allowed_ips=[]),
            lambda: services.update_key(actor=confined, key=child, allowed_ips=["0.0.0.0/0"]),
            lambda: services.update_key(actor=confined, key=child, assign_server_ips=True),
            lambda: services.add_allowed_ip(actor=confined, key=child, network="192.0.2.1"),
            lambda: services.remove_allowed_ip(actor=confined, allowed_ip=row),
            lambda: services.remove_allowed_ip(actor=confined, allowed_ip=denied),
            lambda: services.change_allowed_ip(actor=confined, allowed_ip=row, network="192.0.2.1"),
            lambda: services.change_allowed_ip(actor=confined, allowed_ip=row, active=False),
            lambda: services.change_allowed_ip(actor=confined, allowed_ip=denied, active=False),
        ]
        assert [refused(way) for way in ways] == [True] * len(ways)

    def test_a_sibling_without_a_list_is_not_taken_over(self, confined, developer, issue):
        anywhere = issue(developer, ["READ"])
        assert refused(lambda: services.rotate_key(actor=confined, key=anywhere))

    def test_who_manages_is_not_bound_by_where_they_call_from(self, owner, issue):
        manager = issue(owner, BUILT_IN, owner=None, allowed_ips=["10.0.0.0/8"])
        assert _listed(issue(manager)) == set()


_AMOUNTS = {
    "limit": {"limit": Decimal(10), "limit_reset": "weekly"},
    "rate limits": {"rate_limits": [{"amount": 100, "period": "minute"}]},
}


class TestAmounts:
    """T2: several keys with little each would have more than the one that issued them."""

    @pytest.fixture(params=_AMOUNTS)
    def limited(self, request, developer, issue) -> APIKey:
        return issue(developer, ["READ", "CREATE", "UPDATE"], **_AMOUNTS[request.param])

    @pytest.mark.parametrize("wish", [{}, *_AMOUNTS.values(), {"limit": Decimal(1)}])
    def test_a_limited_key_issues_none(self, acme, limited, issue, wish):
        assert refused(lambda: issue(limited, **wish))
        assert acme.api_keys.count() == 1

    @pytest.mark.parametrize("amounts", [{}, *_AMOUNTS.values()])
    def test_it_takes_over_no_sibling(self, limited, developer, issue, amounts):
        sibling = issue(developer, ["READ"], **amounts)
        assert refused(lambda: services.rotate_key(actor=limited, key=sibling))

    @pytest.mark.parametrize("change", [*_AMOUNTS.values(), {"limit": None}, {"rate_limits": []}])
    def test_it_gives_no_sibling_another_amount(self, limited, developer, issue, change):
        little = {"limit": Decimal(1), "rate_limits": [{"amount": 1, "period": "day"}]}
        sibling = issue(developer, ["READ"], **little)
        assert refused(lambda: services.update_key(actor=limited, key=sibling, **change))

    def test_it_renews_itself_and_stops_others(self, limited, developer, issue):
        sibling = issue(developer, ["READ"])
        assert services.rotate_key(actor=limited, key=limited).limit == limited.limit
        assert services.disable_key(actor=limited, key=sibling).disabled

    def test_one_that_manages_issues_what_it_likes(self, owner, issue):
        manager = issue(owner, ["READ", "MANAGE"], limit=Decimal(1))
        assert issue(manager).limit is None


class TestChanging:
    """T3, T4: a key that exists."""

    def test_a_key_does_not_widen_itself(self, acme, owner, issue):
        """T3: not even one that manages the organization."""
        manager = issue(owner, ["READ", "UPDATE", "MANAGE"], owner=None, allowed_ips=["10.0.0.0/8"])
        row = manager.allowed_ips.get()
        ways = [
            lambda: services.update_key(actor=manager, key=manager, scopes=BUILT_IN),
            lambda: services.update_key(actor=manager, key=manager, role=_built_in_role("admin")),
            lambda: services.update_key(actor=manager, key=manager, allowed_ips=[]),
            lambda: services.update_key(actor=manager, key=manager, expires_at=None),
            lambda: services.update_key(actor=manager, key=manager, limit=None),
            lambda: services.enable_key(actor=manager, key=manager),
            lambda: services.add_allowed_ip(actor=manager, key=manager, network="0.0.0.0/0"),
            lambda: services.change_allowed_ip(actor=manager, allowed_ip=row, network="::/0"),
            lambda: services.remove_allowed_ip(actor=manager, allowed_ip=row),
        ]
        assert [refused(way) for way in ways] == [True] * len(ways)

    def test_a_key_may_rename_and_end_itself(self, key):
        services.update_key(actor=key, key=key, name="Renamed", description="By itself.")
        services.revoke_key(actor=key, key=key)
        key.refresh_from_db()
        assert key.name == "Renamed"
        assert key.revoked_at

    @in_one_test
    @given(parent_scopes=grants, sibling_scopes=grants, wish=requests)
    def test_a_sibling_gains_no_scope_that_the_changing_key_lacks(
        self, acme, owner, orders, issue, parent_scopes, sibling_scopes, wish
    ):
        """T4: the same check for keys of the same owner."""
        parent = issue(owner, parent_scopes, owner=None)
        sibling = issue(owner, sibling_scopes, owner=None)
        before = policy.held_scopes(sibling, acme)
        refused(lambda: services.update_key(actor=parent, key=sibling, scopes=wish))
        after = policy.held_scopes(APIKey.objects.get(pk=sibling.pk), acme)
        assert after <= before | policy.held_scopes(parent, acme)

    @in_one_test
    @given(parent_scopes=grants, sibling_scopes=grants)
    def test_a_key_takes_over_no_sibling_that_holds_more(
        self, acme, owner, orders, issue, parent_scopes, sibling_scopes
    ):
        """T4: a rotation hands the sibling's secret to whoever rotates it."""
        parent = issue(owner, parent_scopes, owner=None)
        sibling = issue(owner, sibling_scopes, owner=None)
        if not refused(lambda: services.rotate_key(actor=parent, key=sibling)):
            assert set(sibling_scopes) <= set(parent_scopes)

    def test_a_key_takes_over_no_sibling_that_may_hold_more_again(self, acme, owner, admin, issue):
        """What its owner lost today they may get back tomorrow."""
        updater = issue(admin, ["READ", "UPDATE"])
        manager = issue(admin, ["READ", "MANAGE"])
        services.update_member(
            actor=owner,
            membership=acme.memberships.get(user=admin),
            role=_built_in_role("developer"),
        )
        updater = APIKey.objects.get(pk=updater.pk)
        assert refused(lambda: services.rotate_key(actor=updater, key=manager))

    @pytest.mark.parametrize(
        "wish",
        [
            {"disabled": False},
            {"expires_at": None},
            {"limit": None},
            {"limit_reset": "daily"},
            {"include_byok_in_limit": False},
            {"allowed_ips": []},
            {"allowed_ips": ["192.0.2.0/24"]},
            {"assign_server_ips": True},
        ],
        ids=lambda wish: next(iter(wish)),
    )
    def test_a_key_lets_loose_no_sibling_that_holds_more(self, owner, issue, wish):
        """T3, T9: whoever has the stopped key's secret would have MANAGE again."""
        updater = issue(owner, ["READ", "UPDATE"])
        manager = issue(
            owner,
            ["READ", "MANAGE"],
            disabled=True,
            expires_at=timezone.now() + timedelta(days=1),
            limit=Decimal(5),
            include_byok_in_limit=True,
            allowed_ips=["192.0.2.1"],
        )
        assert refused(lambda: services.update_key(actor=updater, key=manager, **wish))
        row = manager.allowed_ips.get()
        assert refused(lambda: services.remove_allowed_ip(actor=updater, allowed_ip=row))
        assert services.update_key(actor=owner, key=manager, **wish)

    def test_a_key_may_stop_and_describe_a_sibling_that_holds_more(self, owner, issue):
        updater = issue(owner, ["READ", "UPDATE"])
        manager = issue(owner, ["READ", "MANAGE"])
        services.update_key(actor=updater, key=manager, description="Found in a log.")
        assert services.disable_key(actor=updater, key=manager).disabled
        assert refused(lambda: services.enable_key(actor=updater, key=manager))

    def test_people_rotate_their_own_keys_whatever_they_hold_today(self, acme, owner, admin, issue):
        manager = issue(admin, ["READ", "MANAGE"])
        services.update_member(
            actor=owner,
            membership=acme.memberships.get(user=admin),
            role=_built_in_role("developer"),
        )
        assert services.rotate_key(actor=admin, key=manager).secret

    def test_nobody_takes_over_another_persons_key(self, owner, admin, manage_key, key, issue):
        """T7."""
        for actor in (owner, admin, manage_key):
            assert refused(lambda: services.rotate_key(actor=actor, key=key))  # noqa: B023

    def test_a_developer_grants_no_more_by_changing_than_by_issuing(
        self, developer, orders, key, issue
    ):
        for wish in (["MANAGE"], ["orders:read"]):
            assert refused(
                lambda: services.update_key(actor=developer, key=key, scopes=wish)  # noqa: B023
            )
        assert refused(
            lambda: services.update_key(actor=developer, key=key, role=_built_in_role("admin"))
        )

    def test_nobody_changes_keys_of_others(self, developer, viewer, stranger, manage_key, key):
        """T11: the right action on the wrong object."""
        assert refused(lambda: services.update_key(actor=developer, key=manage_key, name="Mine"))
        assert refused(lambda: services.update_key(actor=viewer, key=key, name="Mine"))
        assert refused(lambda: services.update_key(actor=stranger, key=key, name="Mine"))

    def test_an_admin_elsewhere_is_nobody_here(self, stranger, strangers_key, key, manage_key):
        """T10, T11: every service on another organization's key."""
        for actor in (stranger, strangers_key):
            for target in (key, manage_key):
                for service in (
                    services.update_key,
                    services.disable_key,
                    services.enable_key,
                    services.rotate_key,
                    services.revoke_key,
                    services.lock_key,
                    services.unlock_key,
                ):
                    assert refused(lambda: service(actor=actor, key=target))  # noqa: B023
                assert refused(
                    lambda: services.retire_secret(actor=actor, secret=target.current_secret)  # noqa: B023
                )
                assert refused(
                    lambda: services.add_allowed_ip(actor=actor, key=target, network="10.0.0.1")  # noqa: B023
                )


class TestRolesAndMembers:
    """Scopes reach people and keys through roles too."""

    def test_who_does_not_manage_defines_nothing(
        self, acme, owner, developer, viewer, stranger, staff, key, orders
    ):
        """Not even what gives nobody anything."""
        here = {"organization": acme}
        role = {"role": services.create_role(actor=owner, **here, name="porter")}
        space = {"workspace": services.create_workspace(actor=owner, **here, name="Lab")}
        address = services.add_server_address(actor=owner, **here, network="192.0.2.9")
        before = AuditEvent.objects.count()
        for service, arguments in (
            (services.create_role, {**here, "name": "clerk"}),
            (services.update_role, {**role, "name": "doorkeeper"}),
            (services.delete_role, role),
            (services.create_scope, {**here, "code": "bills:pay"}),
            (services.update_scope, {"scope": orders[0], "description": "See orders"}),
            (services.delete_scope, {"scope": orders[0]}),
            (services.create_workspace, {**here, "name": "Sandbox"}),
            (services.update_workspace, {**space, "name": "Sandbox"}),
            (services.delete_workspace, space),
            (services.add_server_address, {**here, "network": "192.0.2.10"}),
            (services.update_server_address, {"server_address": address, "comment": "Office"}),
            (services.remove_server_address, {"server_address": address}),
            (services.update_organization, {**here, "name": "Mine"}),
        ):
            for actor in (developer, viewer, stranger, staff, key):
                with pytest.raises(PermissionDenied):
                    service(actor=actor, **arguments)
        assert AuditEvent.objects.count() == before

    def test_a_role_gets_no_scope_that_its_author_lacks(self, acme, owner, developer, orders):
        role = services.create_role(
            actor=owner,
            organization=acme,
            name="managers",
            scopes=Scope.objects.filter(code="MANAGE"),
        )
        services.update_member(
            actor=owner, membership=acme.memberships.get(user=developer), role=role
        )
        delete = Scope.objects.filter(code="DELETE")
        for ask in (
            lambda: services.create_role(
                actor=developer, organization=acme, name="deleters", scopes=delete
            ),
            lambda: services.update_role(actor=developer, role=role, scopes=delete),
        ):
            assert refused(ask)

    def test_a_key_does_not_widen_the_role_it_follows(self, acme, owner, issue):
        """T3."""
        role = services.create_role(
            actor=owner,
            organization=acme,
            name="managers",
            scopes=Scope.objects.filter(code="MANAGE"),
        )
        manager = issue(owner, role=role, owner=None)
        assert refused(
            lambda: services.update_role(
                actor=manager, role=role, scopes=Scope.objects.filter(organization=None)
            )
        )
        # Nor by a scope that it defines itself.
        scope = services.create_scope(actor=manager, organization=acme, code="mine:all")
        assert refused(
            lambda: services.update_role(
                actor=manager, role=role, scopes=[*role.scopes.all(), scope]
            )
        )

    def test_nobody_makes_a_member_of_more_than_they_are(self, acme, owner, stranger, issue):
        role = services.create_role(
            actor=owner,
            organization=acme,
            name="managers",
            scopes=Scope.objects.filter(code="MANAGE"),
        )
        manager = issue(owner, role=role, owner=None)
        assert refused(
            lambda: services.add_member(
                actor=manager, organization=acme, user=stranger, role=_built_in_role("admin")
            )
        )


class TestStaffLock:
    """T9: what staff locked, nobody else loosens."""

    @pytest.fixture
    def locked(self, staff, key) -> APIKey:
        services.add_allowed_ip(actor=key.owner, key=key, network="10.0.0.0/8")
        return services.lock_key(actor=staff, key=key)

    def test_nothing_of_it_changes(self, owner, developer, manage_key, locked):
        row = locked.allowed_ips.get()
        for actor in (owner, developer, manage_key):
            ways = [
                lambda: services.enable_key(actor=actor, key=locked),  # noqa: B023
                lambda: services.unlock_key(actor=actor, key=locked),  # noqa: B023
                lambda: services.update_key(actor=actor, key=locked, name="Other"),  # noqa: B023
                lambda: services.update_key(actor=actor, key=locked, allowed_ips=[]),  # noqa: B023
                lambda: services.update_key(actor=actor, key=locked, expires_at=None),  # noqa: B023
                lambda: services.rotate_key(actor=actor, key=locked),  # noqa: B023
                lambda: services.add_allowed_ip(actor=actor, key=locked, network="0.0.0.0/0"),  # noqa: B023
                lambda: services.change_allowed_ip(actor=actor, allowed_ip=row, active=False),  # noqa: B023
                lambda: services.remove_allowed_ip(actor=actor, allowed_ip=row),  # noqa: B023
            ]
            assert [refused(way) for way in ways] == [True] * len(ways)

    def test_it_may_still_be_revoked(self, developer, locked):
        assert services.revoke_key(actor=developer, key=locked).revoked_at

    def test_staff_let_it_work_again(self, staff, developer, locked):
        services.unlock_key(actor=staff, key=locked)
        assert services.update_key(actor=developer, key=locked, name="Mine again")

    def test_staff_lock_but_do_not_change(self, staff, key):
        assert refused(lambda: services.update_key(actor=staff, key=key, name="Theirs"))
        assert refused(lambda: services.rotate_key(actor=staff, key=key))

    def test_only_staff_lock(self, owner, manage_key, key):
        assert refused(lambda: services.lock_key(actor=owner, key=key))
        assert refused(lambda: services.lock_key(actor=manage_key, key=key))


def _built_in_role(name: str) -> Role:
    return Role.objects.get(organization=None, name=name)


def _listed(key: APIKey) -> set[str]:
    return {str(row) for row in key.allowed_ips.all()}
