"""What takes a second person: asked for, decided on, used by whoever asked, and only once."""

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from keys import policy, services
from keys.models import APIKey, ApprovalRequest, AuditEvent, Role
from keys.networks import parse_address
from keys.rules import RoleTerms
from keys.services.approval_reasons import Reason
from keys.services.enforcing import ApprovalRequiredError
from tests.conftest import join, make_person

DAY = timedelta(days=1)
HERE = parse_address("192.0.2.1")

pytestmark = pytest.mark.django_db


def role(name) -> Role:
    return Role.objects.get(organization=None, name=name)


@pytest.fixture
def strict(owner, admin, acme):
    """Developers need approval for DELETE, and for what lives longer than 30 days."""
    terms = RoleTerms(role("developer"), frozenset(), frozenset({"DELETE"}), 30)
    services.update_policy(actor=owner, organization=acme, roles=[terms])


@pytest.fixture
def asked(strict, acme, developer) -> ApprovalRequest:
    """A developer's request for a key that deletes."""
    return ask(developer, acme)


def ask(actor, organization, **terms) -> ApprovalRequest:
    wanted = {
        "name": "Cleaner",
        "scopes": ["READ", "DELETE"],
        "expires_at": timezone.now() + 10 * DAY,
        **terms,
    }
    return services.request_key(
        actor=actor, organization=organization, reason="Old files pile up.", **wanted
    )


def url(name, *args) -> str:
    return reverse(f"keys:{name}", args=["acme", *args])


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))


class TestWhatNeedsApproval:
    """Scopes and lifetimes that a role does not give alone."""

    @pytest.mark.parametrize(
        ("terms", "needs"),
        [
            ({"scopes": ["READ"], "expires_at": 30}, False),
            ({"scopes": ["READ", "DELETE"], "expires_at": 30}, True),
            ({"scopes": ["READ"], "expires_at": 31}, True),
            ({"scopes": ["READ"], "expires_at": None}, True),
            ({"role": "developer", "expires_at": 1}, True),
            ({"role": "readonly", "expires_at": 1}, False),
        ],
    )
    def test_a_new_key(self, strict, acme, developer, terms, needs):
        days = terms["expires_at"]
        terms = {**terms, "expires_at": days and timezone.now() + days * DAY}
        if "role" in terms:
            terms["role"] = role(terms["role"])
        arguments = {"actor": developer, "organization": acme, "name": "New", **terms}
        if not needs:
            services.issue_key(**arguments)
            return
        with pytest.raises(ApprovalRequiredError, match="In the role developer"):
            services.issue_key(**arguments)
        assert not acme.api_keys.exists()

    def test_a_key_that_acts_for_the_person_needs_it_as_well(self, acme, developer, key, strict):
        with pytest.raises(ApprovalRequiredError):
            services.issue_key(
                actor=key, organization=acme, name="Child", scopes=["DELETE"],
                expires_at=timezone.now() + DAY,
            )  # fmt: skip

    @pytest.mark.parametrize(
        ("changes", "needs"),
        [
            ({"scopes": ["READ", "DELETE"]}, True),
            ({"scopes": ["READ", "CREATE"]}, False),
            ({"expires_at": 60}, True),
            ({"expires_at": None}, True),
            ({"expires_at": 25}, False),
            ({"name": "Other"}, False),
        ],
    )
    def test_widening_a_key(self, strict, acme, developer, changes, needs):
        now = timezone.now()
        key = services.issue_key(
            actor=developer, organization=acme, name="New", scopes=["READ"],
            expires_at=now + 20 * DAY,
        )  # fmt: skip
        if changes.get("expires_at"):
            changes = {"expires_at": now + changes["expires_at"] * DAY}
        if not needs:
            services.update_key(actor=developer, key=key, **changes)
            return
        with pytest.raises(ApprovalRequiredError):
            services.update_key(actor=developer, key=key, **changes)
        assert fresh(key).scope_codes == ["READ"]

    def test_what_the_key_had_before_the_rule_stays(self, acme, developer, key, strict):
        services.update_key(actor=developer, key=key, name="Renamed")
        services.rotate_key(actor=developer, key=key)

    def test_other_roles_need_none(self, strict, acme, owner):
        services.issue_key(actor=owner, organization=acme, name="New", scopes=["DELETE"])


class TestAsking:
    """A request is refused as what it asks for would be."""

    def test_it_is_kept_with_its_reason_and_without_a_key(self, asked, acme):
        assert (asked.state, asked.reason) == ("pending", "Old files pile up.")
        assert asked.terms["scopes"] == ["READ", "DELETE"]
        assert [str(Reason.unpack(each)) for each in asked.needed_for] == [
            "In the role developer, giving DELETE to a key needs approval."
        ]
        assert not acme.api_keys.exists()
        assert actions()[-1] == "approval.requested"

    @pytest.mark.parametrize(
        ("terms", "error"),
        [
            ({"scopes": ["MANAGE"]}, PermissionDenied),
            ({"scopes": ["NOTHING"]}, ValidationError),
            ({"name": ""}, ValidationError),
            ({"scopes": ["READ"]}, ValidationError),
            ({"allowed_ips": ["nowhere"]}, ValidationError),
        ],
    )
    def test_what_could_not_be_issued_is_not_asked_for(self, strict, acme, developer, terms, error):
        with pytest.raises(error):
            ask(developer, acme, **terms)
        assert not ApprovalRequest.objects.exists()

    def test_nobody_asks_where_they_may_nothing(self, strict, acme, viewer, stranger):
        for person in (viewer, stranger):
            with pytest.raises(PermissionDenied):
                ask(person, acme)

    def test_a_reason_is_needed(self, strict, acme, developer):
        with pytest.raises(ValidationError, match="reason"):
            services.request_key(
                actor=developer, organization=acme, reason="", name="New", scopes=["DELETE"]
            )

    def test_what_was_asked_for_comes_back_as_it_was(self, strict, acme, owner, developer):
        end = timezone.now() + 10 * DAY
        terms = {
            "scopes": ["DELETE"],
            "expires_at": end,
            "limit": 25,
            "limit_reset": "monthly",
            "allowed_ips": ["192.0.2.0/24", {"network": "192.0.2.9", "deny": True}],
            "rate_limits": [{"amount": 5, "period": "minute"}],
            "workspace": acme.workspaces.get(),
            "description": "Cleans.",
        }
        request = ask(developer, acme, **terms)
        services.approve_request(actor=owner, request=request)
        key = services.issue_approved_key(actor=developer, request=request)
        assert (key.name, key.expires_at, key.limit, key.owner) == ("Cleaner", end, 25, developer)
        assert [(row.network, row.deny) for row in key.allowed_ips.order_by("pk")] == [
            ("192.0.2.0/24", False),
            ("192.0.2.9", True),
        ]
        assert key.rate_limits.get().amount == 5


class TestDeciding:
    """Somebody else does, and gives no more than they hold."""

    def test_the_key_exists_after_whoever_asked_issued_it(self, asked, acme, owner, developer):
        services.approve_request(actor=owner, request=asked, note="Fine.")
        assert not acme.api_keys.exists()
        key = services.issue_approved_key(actor=developer, request=asked)
        verdict = services.verify_key(secret=key.secret, address=HERE, scopes=["DELETE"])
        assert verdict.is_valid
        assert (fresh(asked).state, fresh(asked).key, fresh(asked).decided_by) == (
            "done", key, owner,
        )  # fmt: skip
        assert actions()[-3:] == ["approval.approved", "apikey.issued", "approval.issued"]

    def test_nobody_decides_on_their_own_request(self, acme, owner, admin, manage_key):
        services.update_policy(
            actor=owner, organization=acme,
            roles=[RoleTerms(role("admin"), approval_scopes=frozenset({"DELETE"}))],
        )  # fmt: skip
        own_key = services.issue_key(
            actor=admin, organization=acme, name="Mine", scopes=["READ", "CREATE", "MANAGE"]
        )
        request = ask(admin, acme)
        # Nor by a key that acts for them, nor by one that may be in anybody's hands.
        for actor in (admin, own_key, manage_key):
            with pytest.raises(PermissionDenied):
                services.approve_request(actor=actor, request=request)
            with pytest.raises(PermissionDenied):
                services.deny_request(actor=actor, request=request, note="No.")
        assert services.approve_request(actor=owner, request=request).state == "approved"

    def test_only_who_manages_decides(self, asked, developer, viewer, stranger, staff):
        colleague = join(asked.organization, make_person("two@acme.example"), "developer").user
        for actor in (developer, colleague, viewer, stranger, staff):
            with pytest.raises(PermissionDenied):
                services.approve_request(actor=actor, request=asked)
        assert fresh(asked).state == "pending"

    def test_a_note_says_why_not(self, asked, owner, developer):
        with pytest.raises(ValidationError, match="Say why"):
            services.deny_request(actor=owner, request=asked, note=" ")
        denied = services.deny_request(actor=owner, request=asked, note="Use the other key.")
        assert (denied.state, denied.note) == ("denied", "Use the other key.")
        with pytest.raises(ValidationError, match="over: Denied"):
            services.issue_approved_key(actor=developer, request=asked)

    def test_what_is_approved_as_it_was_asked_for_is_kept_as_that(self, asked, owner):
        approved = services.approve_request(actor=owner, request=asked)
        assert approved.approved_terms == approved.terms

    def test_what_the_second_person_wrote_is_in_the_trail(self, asked, owner):
        services.approve_request(actor=owner, request=asked, note="Until Friday.")
        assert AuditEvent.objects.latest("pk").changes == {"note": "Until Friday."}

    def test_less_may_be_approved_and_no_more(self, asked, acme, owner, developer):
        sooner = timezone.now() + DAY
        for more in (
            {"scopes": ["READ", "DELETE", "UPDATE"]},
            {"expires_at": timezone.now() + 11 * DAY},
            {"expires_at": None},
        ):
            with pytest.raises(ValidationError, match="or less"):
                services.approve_request(actor=owner, request=asked, **more)
        with pytest.raises(ValidationError, match="or deny the request"):
            services.approve_request(actor=owner, request=asked, scopes=[])
        services.approve_request(actor=owner, request=asked, scopes=["DELETE"], expires_at=sooner)
        told = [each.changes for each in AuditEvent.objects.filter(object_type="approvalrequest")]
        assert told[1:] == [{"reason": "Old files pile up."}]
        assert told[0]["scopes"] == [["READ", "DELETE"], ["DELETE"]]
        assert told[0].keys() == {"scopes", "expires_at"}
        key = services.issue_approved_key(actor=developer, request=asked)
        assert (key.scope_codes, key.expires_at) == (["DELETE"], sooner)

    def test_who_approves_may_demand_from_where_the_key_works(self, asked, owner, developer):
        inside = {"network": "198.51.100.0/24", "comment": "Office"}
        approved = services.approve_request(
            actor=owner,
            request=asked,
            allowed_ips=[inside, {"network": "198.51.100.9", "deny": True}],
        )
        told = AuditEvent.objects.latest("pk").changes
        assert told == {"allowed_ips": [[], ["198.51.100.0/24 # Office", "not 198.51.100.9"]]}
        key = services.issue_approved_key(actor=developer, request=approved)
        for address, code in {"198.51.100.7": "VALID", "198.51.100.9": "FORBIDDEN_ADDRESS"}.items():
            verdict = services.verify_key(secret=key.secret, address=parse_address(address))
            assert verdict.code == code
        assert not services.verify_key(secret=key.secret, address=HERE).is_valid

    def test_the_addresses_that_are_asked_for_may_be_fewer_and_never_more(
        self, strict, acme, owner, developer
    ):
        wanted = ["192.0.2.0/24", {"network": "192.0.2.9", "deny": True}]
        request = ask(developer, acme, allowed_ips=wanted)
        for more in (
            [],
            ["192.0.2.0/24"],
            ["192.0.0.0/16", {"network": "192.0.2.9", "deny": True}],
            ["192.0.2.1", "198.51.100.7"],
        ):
            with pytest.raises(ValidationError, match="or less") as caught:
                services.approve_request(actor=owner, request=request, allowed_ips=more)
            assert list(caught.value.message_dict) == ["allowed_ips"]
        with pytest.raises(ValidationError, match="not an IP address"):
            services.approve_request(actor=owner, request=request, allowed_ips=["nowhere"])
        approved = services.approve_request(
            actor=owner, request=request, allowed_ips=["192.0.2.0/29"]
        )
        key = services.issue_approved_key(actor=developer, request=approved)
        assert [row.network for row in key.allowed_ips.all()] == ["192.0.2.0/29"]

    def test_who_approves_too_many_addresses_is_told_which(self, strict, acme, owner, developer):
        request = ask(developer, acme, allowed_ips=["192.0.2.0/24"])
        for typed, said in (
            (["192.0.2.7", "198.51.100.7", "203.0.113.0/24"], ": 198.51.100.7, 203.0.113.0/24."),
            ([], "from everywhere"),
        ):
            with pytest.raises(ValidationError, match=said):
                services.approve_request(actor=owner, request=request, allowed_ips=typed)

    def test_the_same_addresses_are_no_less(self, strict, acme, owner, developer):
        request = ask(developer, acme, allowed_ips=["192.0.2.7/32"])
        same = [{"network": "192.0.2.7", "deny": False, "comment": ""}]
        approved = services.approve_request(actor=owner, request=request, allowed_ips=same)
        assert approved.approved_terms == approved.terms

    def test_a_key_that_gets_more_may_be_bound_to_addresses(self, strict, acme, owner, developer):
        key = services.issue_key(
            actor=developer, organization=acme, name="New", scopes=["READ"],
            expires_at=timezone.now() + DAY, allowed_ips=["192.0.2.0/24"],
        )  # fmt: skip
        request = services.request_change(
            actor=developer, key=key, reason="It cleans.", scopes=["READ", "DELETE"]
        )
        with pytest.raises(ValidationError, match="or less"):
            services.approve_request(actor=owner, request=request, allowed_ips=["198.51.100.7"])
        services.approve_request(actor=owner, request=request, allowed_ips=["192.0.2.1"])
        key = fresh(key)
        assert "DELETE" in key.scope_codes
        assert [row.network for row in key.allowed_ips.all()] == ["192.0.2.1"]

    def test_nobody_approves_what_they_do_not_hold(self, strict, acme, owner, developer):
        orders = services.create_scope(actor=owner, organization=acme, code="orders:read")
        clerk = services.create_role(
            actor=owner,
            organization=acme,
            name="clerk",
            scopes=[*role("developer").scopes.all(), orders],
        )
        services.update_member(
            actor=owner, membership=acme.memberships.get(user=developer), role=clerk
        )
        services.update_policy(
            actor=owner, organization=acme,
            roles=[RoleTerms(clerk, approval_scopes=frozenset({"orders:read"}))],
        )  # fmt: skip
        request = ask(developer, acme, scopes=["orders:read"])
        narrow = services.issue_key(
            actor=owner, organization=acme, name="Manages", scopes=["READ", "MANAGE"]
        )
        with pytest.raises(PermissionDenied, match="do not hold"):
            services.approve_request(actor=narrow, request=request)

    def test_a_role_that_changed_meanwhile_counts(self, asked, acme, owner, developer):
        services.approve_request(actor=owner, request=asked)
        services.update_member(
            actor=owner, membership=acme.memberships.get(user=developer), role=role("readonly")
        )
        with pytest.raises(PermissionDenied):
            services.issue_approved_key(actor=developer, request=asked)
        assert not acme.api_keys.exists()

    @pytest.mark.parametrize(
        ("gains", "refused"), [("admin", "takes two people"), ("developer", "")]
    )
    def test_an_approval_is_of_what_the_role_gave(self, acme, owner, admin, gains, refused):
        terms = RoleTerms(role("admin"), approval_days=30)
        services.update_policy(actor=owner, organization=acme, two_person_rule=True, roles=[terms])
        clerk = services.create_role(
            actor=owner, organization=acme, name="clerk", scopes=role("readonly").scopes.all()
        )
        request = ask(owner, acme, scopes=[], role=clerk, expires_at=timezone.now() + 90 * DAY)
        services.approve_request(actor=admin, request=request)
        services.update_role(actor=owner, role=clerk, scopes=role(gains).scopes.all())
        arguments = {"actor": owner, "request": fresh(request)}
        if not refused:
            assert "CREATE" in services.issue_approved_key(**arguments).scope_codes
            return
        with pytest.raises(ApprovalRequiredError, match=refused) as caught:
            services.issue_approved_key(**arguments)
        # Of its long life there was agreement.
        assert len(caught.value.reasons) == 1
        assert fresh(request).state == "approved"
        assert not acme.api_keys.exists()

    def test_a_policy_that_changed_meanwhile_counts(self, asked, acme, owner, developer):
        services.approve_request(actor=owner, request=asked)
        services.update_policy(actor=owner, organization=acme, person_key_days=5)
        with pytest.raises(ValidationError, match="at most 5 days"):
            services.issue_approved_key(actor=developer, request=asked)

    def test_whoever_left_gets_nothing(self, asked, acme, owner, developer):
        services.approve_request(actor=owner, request=asked)
        services.remove_member(actor=owner, membership=acme.memberships.get(user=developer))
        with pytest.raises(PermissionDenied):
            services.issue_approved_key(actor=developer, request=asked)

    def test_only_whoever_asked_issues_it(self, key, asked, owner, admin):
        services.approve_request(actor=owner, request=asked)
        for actor in (owner, admin, policy.OPERATOR):
            with pytest.raises(PermissionDenied):
                services.issue_approved_key(actor=actor, request=asked)
        # A key that acts for them does as well.
        assert services.issue_approved_key(actor=key, request=asked).owner == key.owner

    def test_an_approval_ends(self, asked, owner, developer, time_machine):
        services.approve_request(actor=owner, request=asked)
        time_machine.move_to(timezone.now() + 7 * DAY)
        assert fresh(asked).state == "expired"
        with pytest.raises(ValidationError, match="over: Expired"):
            services.issue_approved_key(actor=developer, request=asked)

    def test_a_request_waits_a_month(self, asked, owner, time_machine):
        time_machine.move_to(timezone.now() + 30 * DAY)
        with pytest.raises(ValidationError, match="over: Expired"):
            services.approve_request(actor=owner, request=asked)

    def test_states_and_lists_agree(self, asked, acme, owner, developer, time_machine):
        services.deny_request(actor=owner, request=ask(developer, acme), note="No.")
        services.approve_request(actor=owner, request=ask(developer, acme))
        for days in (0, 8, 40):
            time_machine.move_to(timezone.now() + days * DAY)
            now = timezone.now()
            for state in ("pending", "approved", "denied", "withdrawn", "done", "expired"):
                listed = set(ApprovalRequest.objects.with_status(state, now))
                assert listed == {
                    each for each in ApprovalRequest.objects.all() if each.status_at(now) == state
                }

    def test_it_may_be_withdrawn(self, asked, owner, developer):
        with pytest.raises(PermissionDenied):
            services.withdraw_request(actor=owner, request=asked)
        services.withdraw_request(actor=developer, request=asked)
        with pytest.raises(ValidationError, match="over: Withdrawn"):
            services.approve_request(actor=owner, request=asked)


class TestWidening:
    """More for a key counts from the approval on."""

    def test_the_key_gets_it_when_it_is_approved(self, acme, owner, developer, strict):
        key = services.issue_key(
            actor=developer, organization=acme, name="New", scopes=["READ"],
            expires_at=timezone.now() + DAY,
        )  # fmt: skip
        request = services.request_change(
            actor=developer, key=key, reason="It cleans up too.", scopes=["READ", "DELETE"]
        )
        assert fresh(key).scope_codes == ["READ"]
        services.approve_request(actor=owner, request=request)
        assert fresh(key).scope_codes == ["READ", "DELETE"]
        assert fresh(request).state == "done"

    def test_an_end_that_nobody_asked_to_change_becomes_no_later(
        self, acme, owner, developer, strict
    ):
        end = timezone.now() + 5 * DAY
        key = services.issue_key(
            actor=developer, organization=acme, name="New", scopes=["READ"], expires_at=end
        )
        request = services.request_change(
            actor=developer, key=key, reason="It cleans up too.", scopes=["READ", "DELETE"]
        )
        for later in (end + DAY, None):
            with pytest.raises(ValidationError, match="or less"):
                services.approve_request(actor=owner, request=request, expires_at=later)
        assert (fresh(key).expires_at, fresh(request).state) == (end, "pending")
        services.approve_request(actor=owner, request=request, expires_at=end - DAY)
        assert fresh(key).expires_at == end - DAY

    def test_what_was_taken_from_the_key_meanwhile_stays_away(self, acme, owner, developer, strict):
        key = services.issue_key(
            actor=developer, organization=acme, name="New", scopes=["READ", "CREATE"],
            expires_at=timezone.now() + DAY,
        )  # fmt: skip
        request = services.request_change(
            actor=developer, key=key, reason="It cleans.", scopes=["READ", "CREATE", "DELETE"]
        )
        services.update_key(actor=owner, key=key, scopes=["READ"])
        with pytest.raises(ValidationError, match="lost CREATE after") as refused:
            services.approve_request(actor=owner, request=request)
        assert list(refused.value.message_dict) == ["scopes"]
        assert (fresh(key).scope_codes, fresh(request).state) == (["READ"], "pending")
        services.approve_request(actor=owner, request=request, scopes=["READ", "DELETE"])
        assert fresh(key).scope_codes == ["READ", "DELETE"]

    def test_a_key_that_was_revoked_meanwhile_gets_nothing(self, acme, owner, developer, strict):
        key = services.issue_key(
            actor=developer, organization=acme, name="New", expires_at=timezone.now() + DAY
        )
        request = services.request_change(
            actor=developer, key=key, reason="Longer.", expires_at=timezone.now() + 90 * DAY
        )
        services.revoke_key(actor=developer, key=key)
        with pytest.raises(APIKey.DoesNotExist):
            services.approve_request(actor=owner, request=request)
        assert fresh(request).state == "pending"


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    """Two who do the same at once: one comes first, and the other finds it done."""

    def at_once(self, *calls):
        """Call all of these at one moment; return what each raised, or None."""
        barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

        def run(index, call):
            barrier.wait()
            try:
                call()
            except Exception as error:
                results[index] = error
            finally:
                connection.close()

        threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def test_two_decide(self, asked, owner, admin):
        results = self.at_once(
            lambda: services.approve_request(actor=owner, request=asked),
            lambda: services.deny_request(actor=admin, request=asked, note="No."),
        )
        assert [type(each) for each in results if each] == [ValidationError]
        assert fresh(asked).state in ("approved", "denied")
        assert (
            len([each for each in actions() if each in ("approval.approved", "approval.denied")])
            == 1
        )

    def test_whoever_asked_issues_twice(self, asked, acme, owner, developer):
        services.approve_request(actor=owner, request=asked)
        results = self.at_once(
            *[lambda: services.issue_approved_key(actor=developer, request=asked)] * 3
        )
        assert [type(each) for each in results if each] == [ValidationError] * 2
        assert acme.api_keys.count() == 1
