"""What an organization's policy demands of keys, at whatever is done to them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from keys import hygiene, policy, rules, services
from keys.models import APIKey, AuditEvent, KeyUsage, OrganizationPolicy, Role
from keys.models.policies import pattern_to_regex
from keys.rules import RoleTerms, Rules
from keys.services import policies
from keys.services.bulk import Enable, SetExpiry
from tests.conftest import make_person

NOW = datetime(2026, 11, 19, 15, 31, tzinfo=UTC)
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def set_policy(owner, acme):
    """Change the policy of acme as its owner does."""

    def change(**changes) -> Rules:
        found = services.update_policy(actor=owner, organization=acme, **changes)
        # Who asks next found the organization after that.
        acme._state.fields_cache.pop("policy", None)
        return found

    return change


def problems_of(call, **arguments) -> dict[str, list[str]]:
    """Return what a service objects to, by field."""
    with pytest.raises(ValidationError) as caught:
        call(**arguments)
    return caught.value.message_dict


def role(name) -> Role:
    return Role.objects.get(organization=None, name=name)


def broken(key) -> dict[int, list[str]]:
    row = APIKey.objects.get(pk=key.pk)
    return rules.broken_by(APIKey.objects.filter(pk=key.pk), rules.rules_of(row.organization), NOW)


class TestWithoutAPolicy:
    """Everything is as it was before there were policies."""

    def test_an_organization_demands_nothing(self, acme, key):
        assert rules.rules_of(acme) == Rules(acme)
        assert broken(key) == {}
        assert not OrganizationPolicy.objects.exists()

    def test_saving_what_is_there_records_nothing(self, owner, acme):
        before = AuditEvent.objects.count()
        services.update_policy(actor=owner, organization=acme, idle_days=None)
        assert AuditEvent.objects.count() == before

    def test_asking_costs_no_query_where_the_policy_came_along(
        self, acme, django_assert_num_queries
    ):
        found = type(acme).objects.select_related("policy").get(pk=acme.pk)
        with django_assert_num_queries(0):
            assert rules.loaded_rules(found).person_key_days is None


class TestLife:
    """Keys live at most so many days."""

    @pytest.mark.parametrize(("days", "fits"), [(89, True), (90, True), (91, False), (None, False)])
    def test_a_new_key_ends_in_time(self, set_policy, acme, developer, days, fits):
        set_policy(person_key_days=90)
        arguments = {
            "actor": developer,
            "organization": acme,
            "name": "New",
            "expires_at": None if days is None else NOW + days * DAY,
        }
        if fits:
            assert services.issue_key(**arguments).status == "active"
            return
        problems = problems_of(services.issue_key, **arguments)
        assert problems == {
            "expires_at": [
                (
                    "Keys of developer@acme.example live at most 90 days: "
                    "choose 2027-02-17 15:31 or earlier."
                )
            ]
        }
        assert not acme.api_keys.exists()

    def test_keys_of_the_organization_have_a_number_of_their_own(self, set_policy, acme, owner):
        set_policy(person_key_days=10, shared_key_days=30)
        arguments = {"actor": owner, "organization": acme, "expires_at": NOW + 20 * DAY}
        services.issue_key(**arguments, name="Shared", owner=None)
        assert "Keys of owner@acme.example live at most 10 days" in str(
            problems_of(services.issue_key, **arguments, name="Mine")
        )

    def test_a_key_that_issues_keys_is_bound_as_well(self, set_policy, acme, manage_key):
        """T41: the rule is about keys, whoever asks for them, by whatever door."""
        set_policy(shared_key_days=30)
        assert problems_of(
            services.issue_key, actor=manage_key, organization=acme, name="Child"
        ).keys() == {"expires_at"}

    def test_the_operator_is_bound_as_well(self, set_policy, acme):
        set_policy(shared_key_days=30)
        assert problems_of(
            services.issue_key, actor=policy.OPERATOR, organization=acme, name="Robot"
        ).keys() == {"expires_at"}

    def test_a_key_that_lives_too_long_goes_on(self, set_policy, key, developer):
        set_policy(person_key_days=90)
        assert APIKey.objects.get(pk=key.pk).status == "active"
        assert list(broken(key)) == [key.pk]
        # What nobody touches may stay, and less is always fine.
        services.update_key(actor=developer, key=key, name="Renamed", scopes=["READ"])
        services.rotate_key(actor=developer, key=key)
        changed = services.update_key(actor=developer, key=key, expires_at=NOW + 90 * DAY)
        assert broken(changed) == {}

    def test_nobody_extends_a_key_beyond_the_rule(self, set_policy, key, developer):
        set_policy(person_key_days=90)
        for end in (NOW + 91 * DAY, NOW + 1000 * DAY):
            problems = problems_of(services.update_key, actor=developer, key=key, expires_at=end)
            assert problems.keys() == {"expires_at"}

    def test_a_disabled_key_works_again_once_it_fits(self, set_policy, key, developer):
        services.disable_key(actor=developer, key=key)
        set_policy(person_key_days=90)
        assert problems_of(services.enable_key, actor=developer, key=key).keys() == {"expires_at"}
        changed = services.update_key(
            actor=developer, key=key, disabled=False, expires_at=NOW + 9 * DAY
        )
        assert changed.status == "active"


class TestAddresses:
    """Keys with given scopes work from listed addresses only."""

    @pytest.mark.parametrize(
        ("entries", "follows", "fits"),
        [
            (["192.0.2.0/24"], False, True),
            (["10.0.0.0/8"], False, True),
            ([], True, True),
            ([], False, False),
            ([{"network": "192.0.2.1", "deny": True}], False, False),
            ([{"network": "192.0.2.1", "active": False}], False, False),
            (["192.0.2.0/24", "0.0.0.0/0"], False, False),
            (["0.0.0.0/1", "128.0.0.0/1"], False, False),
            (["2000::/3"], True, False),
        ],
    )
    def test_a_key_with_such_a_scope_is_confined(
        self, set_policy, acme, developer, entries, follows, fits
    ):
        set_policy(confined_scopes=["DELETE"])
        arguments = {"actor": developer, "organization": acme, "name": "New"}
        confined = {"allowed_ips": entries, "assign_server_ips": follows}
        # Other scopes are free.
        services.issue_key(**arguments, scopes=["READ"])
        if fits:
            services.issue_key(**arguments, scopes=["READ", "DELETE"], **confined)
            return
        problems = problems_of(services.issue_key, **arguments, scopes=["DELETE"], **confined)
        assert "with the scope DELETE" in problems["allowed_ips"][0]

    def test_a_role_with_the_scope_counts(self, set_policy, acme, developer):
        set_policy(confined_scopes=["DELETE"])
        problems = problems_of(
            services.issue_key,
            actor=developer, organization=acme, name="New", role=role("developer"),
        )  # fmt: skip
        assert problems.keys() == {"allowed_ips"}

    def test_the_last_address_stays_on_the_list(self, set_policy, acme, developer):
        set_policy(confined_scopes=["DELETE"])
        key = services.issue_key(
            actor=developer, organization=acme, name="New", scopes=["DELETE"],
            allowed_ips=["192.0.2.1"],
        )  # fmt: skip
        row = key.allowed_ips.get()
        remove = {"actor": developer, "allowed_ip": row}
        assert problems_of(services.remove_allowed_ip, **remove).keys() == {"allowed_ips"}
        switch = {**remove, "active": False}
        assert problems_of(services.change_allowed_ip, **switch).keys() == {"allowed_ips"}
        everywhere = {"actor": developer, "key": key, "network": "::/0"}
        assert problems_of(services.add_allowed_ip, **everywhere).keys() == {"allowed_ips"}
        assert key.allowed_ips.count() == 1

    def test_giving_the_scope_later_asks_as_well(self, set_policy, developer, read_only_key):
        set_policy(confined_scopes=["DELETE"])
        change = {"actor": developer, "key": read_only_key, "scopes": ["READ", "DELETE"]}
        assert problems_of(services.update_key, **change).keys() == {"allowed_ips"}
        services.update_key(**change, allowed_ips=["192.0.2.1"])


class TestScopesOfRoles:
    """Members of a role give keys only some scopes."""

    @pytest.fixture(autouse=True)
    def _only_reading(self, set_policy):
        set_policy(roles=[RoleTerms(role("developer"), frozenset({"READ"}))])

    def test_a_member_gives_these_only(self, acme, developer):
        arguments = {"actor": developer, "organization": acme, "name": "New"}
        services.issue_key(**arguments, scopes=["READ"])
        problems = problems_of(services.issue_key, **arguments, scopes=["READ", "DELETE"])
        assert problems == {"scopes": ["In the role developer, keys get only READ; not DELETE."]}

    def test_others_give_what_they_hold(self, acme, owner):
        services.issue_key(actor=owner, organization=acme, name="New", scopes=["DELETE"])

    def test_the_operator_gives_a_member_no_more(self, acme, developer):
        problems = problems_of(
            services.issue_key,
            actor=policy.OPERATOR, organization=acme, name="New", owner=developer,
            scopes=["DELETE"],
        )  # fmt: skip
        assert problems.keys() == {"scopes"}

    def test_nor_does_a_manager(self, acme, owner, developer):
        key = services.issue_key(actor=developer, organization=acme, name="N", scopes=["READ"])
        change = {"actor": owner, "key": key, "scopes": ["READ", "DELETE"]}
        assert problems_of(services.update_key, **change).keys() == {"scopes"}

    def test_a_member_who_may_change_the_organizations_keys_widens_none(
        self, set_policy, acme, admin, manage_key
    ):
        set_policy(roles=[RoleTerms(role("admin"), frozenset({"READ"}))])
        key = services.issue_key(
            actor=policy.OPERATOR, organization=acme, name="Shared", owner=None, scopes=["READ"]
        )
        change = {"actor": admin, "key": key, "scopes": ["READ", "DELETE"]}
        assert problems_of(services.update_key, **change).keys() == {"scopes"}
        narrower = services.update_key(actor=admin, key=manage_key, scopes=["READ", "MANAGE"])
        assert narrower.scope_codes == ["READ", "MANAGE"]

    def test_a_key_that_had_more_may_lose_some(self, acme, developer):
        # As if it were from before the rule.
        key = services.issue_key(actor=developer, organization=acme, name="N", scopes=["READ"])
        key.scopes.set(role("developer").scopes.all())
        assert list(broken(key)) == [key.pk]
        services.update_key(actor=developer, key=key, scopes=["READ", "DELETE"])
        assert list(broken(key)) == [key.pk]


class TestRolesThatKeysFollow:
    """A role gains no scope that its keys could not be given."""

    @pytest.fixture
    def clerk(self, owner, acme) -> Role:
        """A role that one key follows, and reads by."""
        reads = role("readonly").scopes.all()
        clerk = services.create_role(actor=owner, organization=acme, name="clerk", scopes=reads)
        services.issue_key(actor=owner, organization=acme, name="Robot", role=clerk, owner=None)
        return clerk

    @pytest.mark.parametrize(
        ("terms", "problem"),
        [
            ({"scopes": frozenset({"READ"})}, "keys get only READ; not CREATE, DELETE, UPDATE."),
            ({"approval_scopes": frozenset({"DELETE"})}, "needs approval. Define another role"),
            ({"approval_days": 1}, ""),
        ],
    )
    def test_who_could_not_give_it_alone_adds_it_to_no_role(
        self, set_policy, owner, admin, clerk, terms, problem
    ):
        set_policy(roles=[RoleTerms(role("admin"), **terms)])
        change = {"role": clerk, "scopes": role("developer").scopes.all()}
        if problem:
            problems = problems_of(services.update_role, actor=admin, **change)
            assert problem in problems["scopes"][0]
            assert clerk.api_keys.get().scope_codes == ["READ"]
        else:
            services.update_role(actor=admin, **change)

    def test_a_role_that_no_key_follows_may_gain_it(self, set_policy, acme, owner, admin, clerk):
        set_policy(roles=[RoleTerms(role("admin"), frozenset({"READ"}))])
        services.revoke_key(actor=owner, key=clerk.api_keys.get())
        services.update_role(actor=admin, role=clerk, scopes=role("developer").scopes.all())
        # Its keys are asked about when they come to follow it.
        problems = problems_of(
            services.issue_key, actor=admin, organization=acme, name="New", role=clerk
        )
        assert problems.keys() == {"scopes"}

    def test_its_keys_keep_the_rules(self, set_policy, owner, acme, clerk):
        set_policy(confined_scopes=["DELETE"])
        change = {"actor": owner, "role": clerk, "scopes": role("developer").scopes.all()}
        problems = problems_of(services.update_role, **change)
        assert problems["scopes"][0].startswith("Robot: Keys of Acme with the scope DELETE")
        robot = clerk.api_keys.get()
        assert robot.scope_codes == ["READ"]
        services.update_key(actor=owner, key=robot, allowed_ips=["192.0.2.1"])
        services.update_role(**change)
        assert "DELETE" in clerk.api_keys.get().scope_codes

    def test_a_role_may_always_lose_some(self, set_policy, owner, acme, clerk):
        services.update_role(actor=owner, role=clerk, scopes=role("developer").scopes.all())
        set_policy(confined_scopes=["READ", "DELETE"])
        services.update_role(actor=owner, role=clerk, scopes=role("readonly").scopes.all())
        assert clerk.api_keys.get().scope_codes == ["READ"]


class TestNames:
    """Keys are named by a pattern."""

    @pytest.mark.parametrize(
        ("pattern", "name", "fits"),
        [
            ("prod-*", "prod-billing", True),
            ("prod-*", "billing", False),
            ("prod-*", "prod-", True),
            ("prod-*", "xprod-a", False),
            ("team?: *", "team1: x", True),
            ("team?: *", "team12: x", False),
            ("a.c", "abc", False),
            ("a.c", "a.c", True),
            ("*(x)*", "say (x) twice", True),
            ("[ab]*", "apple", False),
            ("*", "two\nlines", True),
            ("x*", "x\n", True),
            ("x", "x\n", False),
        ],
    )
    def test_a_name_fits_or_does_not(self, set_policy, acme, developer, pattern, name, fits):
        set_policy(name_pattern=pattern)
        # The database is asked, by either engine's own regular expressions.
        rows = acme.workspaces.model.objects.filter(organization=acme)
        rows.update(name=name)
        assert rows.filter(name__regex=pattern_to_regex(pattern)).exists() is fits

    def test_people_are_told_what_fits(self, set_policy, acme, developer, key):
        set_policy(name_pattern="prod-*")
        problems = problems_of(services.update_key, actor=developer, key=key, name="Something")
        assert problems == {
            "name": ["Names of keys of Acme look like prod-*, such as prod-billing."]
        }
        services.update_key(actor=developer, key=key, name="prod-backend")

    def test_a_pattern_that_takes_long_is_refused(self, set_policy):
        problems = problems_of(set_policy, name_pattern="*a*a*a*")
        assert "at most 3 asterisks" in problems["name_pattern"][0]


class TestPolicyItself:
    """Who changes it, what is refused, what is remembered."""

    def test_only_who_manages_changes_it(self, acme, developer, stranger, key):
        for actor in (developer, stranger, key):
            with pytest.raises(PermissionDenied):
                services.update_policy(actor=actor, organization=acme, idle_days=9)
        assert not OrganizationPolicy.objects.exists()

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"person_key_days": 0}, "person_key_days"),
            ({"shared_key_days": 4000}, "shared_key_days"),
            ({"confined_scopes": ["NOTHING"]}, "confined_scopes"),
            ({"leak_action": "shout"}, "leak_action"),
            ({"name_pattern": "x" * 101}, "name_pattern"),
            ({"two_person_rule": True}, "two_person_rule"),
        ],
    )
    def test_nonsense_is_named_and_writes_nothing(self, set_policy, acme, changes, field):
        assert problems_of(set_policy, idle_days=9, **changes).keys() == {field}
        assert not OrganizationPolicy.objects.exists()

    def test_a_role_of_another_organization_is_refused(self, set_policy, other, stranger):
        clerk = services.create_role(actor=stranger, organization=other, name="clerk")
        assert problems_of(set_policy, roles=[RoleTerms(clerk, frozenset({"READ"}))]) == {
            "roles": ["This organization has no such role."]
        }

    @pytest.mark.parametrize("scopes", [({"NOTHING"}, ()), ((), {"NOTHING"})])
    def test_a_scope_of_a_role_that_there_is_not_is_refused(self, set_policy, scopes):
        terms = RoleTerms(role("developer"), *map(frozenset, scopes))
        assert "NOTHING" in problems_of(set_policy, roles=[terms])["roles"][0]
        assert not OrganizationPolicy.objects.exists()

    def test_the_audit_trail_has_the_difference(self, set_policy, acme):
        set_policy(person_key_days=90, confined_scopes=["DELETE", "MANAGE"])
        set_policy(
            person_key_days=30,
            roles=[RoleTerms(role("developer"), frozenset({"READ"}), frozenset(), 7)],
        )
        event = AuditEvent.objects.first()
        assert (event.action, event.object_label) == ("policy.updated", "Acme")
        assert event.changes == {
            "person_key_days": [90, 30],
            "roles": [[], ["developer: gives READ; asks beyond 7 days"]],
        }

    def test_roles_are_told_in_their_order(self, set_policy, acme):
        set_policy(roles=[RoleTerms(role(name), approval_days=7) for name in ("readonly", "admin")])
        assert AuditEvent.objects.first().changes == {
            "roles": [[], ["admin: asks beyond 7 days", "readonly: asks beyond 7 days"]]
        }
        assert [each.role.name for each in rules.rules_of(acme).roles] == ["admin", "readonly"]

    def test_rules_that_say_nothing_are_not_kept(self, set_policy, acme):
        set_policy(roles=[RoleTerms(role("developer"), frozenset({"READ"}))])
        set_policy(roles=[RoleTerms(role("developer"))])
        assert rules.rules_of(acme).roles == ()

    def test_a_plan_names_the_keys_that_would_break(self, owner, acme, key, read_only_key):
        services.update_key(actor=owner, key=read_only_key, expires_at=NOW + 9 * DAY)
        plan = services.plan_policy(
            actor=owner, organization=acme, person_key_days=90, confined_scopes=["DELETE"]
        )
        assert [(each.rule.name, each.keys.rows, each.keys.count) for each in plan.breaches] == [
            ("lifetime", [key], 1),
            ("addresses", [key], 1),
        ]
        assert not OrganizationPolicy.objects.exists()

    def test_what_a_plan_names_is_what_hygiene_finds(self, owner, set_policy, acme, key, tmp_path):
        change = {"person_key_days": 90, "name_pattern": "prod-*"}
        plan = services.plan_policy(actor=owner, organization=acme, **change)
        set_policy(**change)
        keys = acme.api_keys.all()
        failing = hygiene.keys_failing("breaks_policy", keys, organization=acme, now=NOW)
        assert {row for each in plan.breaches for row in each.keys.rows} == set(failing)
        assert len(broken(key)[key.pk]) == 2


class TestInBulk:
    """What a bulk change would do against the policy is refused key by key."""

    def test_the_forecast_is_what_happens(self, set_policy, owner, acme, developer, key):
        fitting = services.issue_key(
            actor=developer, organization=acme, name="Fits", expires_at=NOW + DAY
        )
        for each in (key, fitting):
            services.disable_key(actor=developer, key=each)
        set_policy(person_key_days=90)
        for change in (SetExpiry(NOW + 100 * DAY), Enable()):
            arguments = {
                "actor": owner,
                "organization": acme,
                "change": change,
            }
            seen = [key.identifier, fitting.identifier]
            plan = services.plan_change(**arguments, identifiers=seen)
            prints = {item.key.identifier: item.fingerprint for item in plan.items}
            done = services.change_keys(**arguments, seen=prints)
            assert [item.reason for item in done.items] == [item.reason for item in plan.items]
            assert key in [item.key for item in done.skipped]


class TestIdleKeys:
    """Keys that nobody uses are disabled, where the policy says so."""

    @pytest.fixture(autouse=True)
    def _idle_after_30_days(self, set_policy):
        set_policy(idle_days=30)

    def let_lie(self, key, days):
        moment = NOW - days * DAY
        APIKey.objects.filter(pk=key.pk).update(created_at=moment, updated_at=moment)

    def test_an_idle_key_is_disabled_and_it_is_said_why(self, key, read_only_key):
        self.let_lie(key, 31)
        assert policies.disable_idle_keys() == 1
        assert APIKey.objects.get(pk=key.pk).status == "disabled"
        assert APIKey.objects.get(pk=read_only_key.pk).status == "active"
        event = AuditEvent.objects.first()
        assert (event.action, event.actor_label) == ("apikey.disabled", "operator")
        assert event.changes == {
            "disabled": [False, True],
            "reason": "Not used for 30 days.",
            "idle_days": 30,
        }
        assert policies.disable_idle_keys() == 0

    def test_a_key_in_use_works_on(self, key):
        self.let_lie(key, 400)
        KeyUsage.objects.filter(key=key).update(last_used_at=NOW - 29 * DAY)
        assert policies.disable_idle_keys() == 0

    def test_whoever_enables_it_again_has_as_long_again(self, key, developer):
        self.let_lie(key, 31)
        policies.disable_idle_keys()
        services.enable_key(actor=developer, key=APIKey.objects.get(pk=key.pk))
        assert policies.disable_idle_keys() == 0

    def test_a_key_that_ended_by_then_needs_no_disabling(self, developer, key):
        services.update_key(actor=developer, key=key, expires_at=NOW + 30 * DAY)
        assert policies.disable_idle_keys(now=NOW + 40 * DAY) == 0

    def test_elsewhere_keys_may_lie(self, strangers_key):
        self.let_lie(strangers_key, 400)
        assert policies.disable_idle_keys() == 0


def test_a_person_may_belong_to_roles_elsewhere(set_policy, acme, other, stranger, developer):
    """T11: the rule of one organization is not asked in another."""
    set_policy(roles=[RoleTerms(role("admin"), frozenset({"READ"}))], person_key_days=1)
    services.issue_key(actor=stranger, organization=other, name="N", scopes=["DELETE"])
    person = make_person("both@acme.example")
    services.add_member(actor=policy.OPERATOR, organization=other, user=person, role=role("admin"))
    services.add_member(
        actor=policy.OPERATOR, organization=acme, user=person, role=role("developer")
    )
    services.issue_key(
        actor=person, organization=acme, name="N", scopes=["DELETE"], expires_at=NOW + DAY
    )
