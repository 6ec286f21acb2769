"""MANAGE is given by two people, where the organization asks for that."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from django.utils import timezone

from keys import policy, services
from keys.models import KeySecret
from keys.rules import RoleTerms
from keys.services import leaks
from keys.services.enforcing import ApprovalRequiredError
from tests.conftest import make_person
from tests.key_pages import page_of, sign_in, text_of, words_of
from tests.test_approvals import ask, fresh, role, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_people(owner, admin, acme):
    """It takes two people to give MANAGE."""
    services.update_policy(actor=owner, organization=acme, two_person_rule=True)


class TestTwoPeopleForManage:
    """No one person gives the right over everything."""

    def test_a_key_with_manage_is_asked_for(self, two_people, acme, owner, admin):
        arguments = {"organization": acme, "name": "Boss", "scopes": ["READ", "MANAGE"]}
        with pytest.raises(ApprovalRequiredError, match="takes two people"):
            services.issue_key(actor=owner, **arguments)
        request = services.request_key(actor=owner, reason="Terraform.", **arguments)
        with pytest.raises(PermissionDenied):
            services.approve_request(actor=owner, request=request)
        services.approve_request(actor=admin, request=request)
        assert services.issue_approved_key(actor=owner, request=request).is_management

    def test_a_key_with_manage_is_not_handed_over_by_one(self, acme, owner, admin):
        key = services.issue_key(
            actor=admin, organization=acme, name="Boss", scopes=["READ", "MANAGE"]
        )
        services.update_policy(actor=owner, organization=acme, two_person_rule=True)
        for new_owner in (owner, None):
            with pytest.raises(ValidationError, match="takes two people"):
                services.hand_over_key(actor=owner, key=key, owner=new_owner)
        assert fresh(key).owner == admin

    def test_a_key_without_it_is_handed_over_by_one(self, two_people, acme, owner, key):
        assert services.hand_over_key(actor=owner, key=key, owner=None).owner is None

    def test_a_secret_of_a_key_with_manage_is_not_shown_to_one(
        self, manage_key, acme, owner, admin, two_people
    ):
        other = services.issue_key(
            actor=policy.OPERATOR, organization=acme, name="Other", scopes=manage_key.scope_codes
        )
        before = fresh(manage_key).label
        for actor in (owner, admin, other):
            with pytest.raises(ValidationError, match=r"takes two people.*Ask for a new key"):
                services.rotate_key(actor=actor, key=manage_key)
        assert fresh(manage_key).label == before

    def test_who_has_a_key_with_manage_already_renews_it_alone(
        self, manage_key, acme, admin, two_people
    ):
        own = services.issue_key(
            actor=policy.OPERATOR, organization=acme, name="Own", owner=admin, scopes=["MANAGE"]
        )
        for actor, key in ((manage_key, manage_key), (admin, own), (policy.OPERATOR, own)):
            assert services.rotate_key(actor=actor, key=key).secret

    def test_a_new_secret_is_offered_to_whom_it_would_be_shown(
        self, manage_key, acme, owner, admin, two_people
    ):
        own = services.issue_key(
            actor=policy.OPERATOR, organization=acme, name="Own", owner=admin, scopes=["MANAGE"]
        )
        services.update_organization(actor=owner, organization=acme, rotation_days=30)
        long_ago = timezone.now() - timedelta(days=40)
        for rows in (acme.api_keys.all(), KeySecret.objects.all()):
            rows.update(created_at=long_ago)
        for key in (manage_key, own):
            leaks.look_up(services.hand_in_secret(secret=key.secret))
        client = sign_in(admin)
        for page in (
            *(page_of(own, tab) for tab in ("detail", "rotation")),
            url("hygiene-check", "older_than_policy"),
            url("leaks"),
        ):
            assert page_of(own, "rotate") in text_of(client.get(page)), page
        for page in (
            *(page_of(manage_key, tab) for tab in ("detail", "rotation")),
            url("hygiene-check", "older_than_policy"),
            url("leaks"),
        ):
            assert page_of(manage_key, "rotate") not in text_of(client.get(page)), page
        for page in (url("hygiene-check", "older_than_policy"), url("leaks")):
            assert page_of(manage_key, "revoke") in text_of(client.get(page)), page
            assert page_of(own, "revoke") not in text_of(client.get(page)), page

    def test_a_secret_of_a_key_without_it_is_shown_to_one(self, two_people, acme, admin):
        shared = services.issue_key(
            actor=policy.OPERATOR, organization=acme, name="Shared", scopes=["READ"]
        )
        assert services.rotate_key(actor=admin, key=shared).secret

    def test_a_key_that_manages_gives_it_to_no_other(self, acme, manage_key, two_people):
        with pytest.raises(ApprovalRequiredError):
            services.issue_key(
                actor=manage_key, organization=acme, name="Sibling", scopes=["MANAGE"]
            )
        with pytest.raises(PermissionDenied, match="A person has to ask"):
            ask(manage_key, acme, scopes=["MANAGE"])

    def test_a_role_with_manage_is_asked_for(self, two_people, acme, owner, admin, developer):
        membership = acme.memberships.get(user=developer)
        arguments = {"actor": owner, "membership": membership, "role": role("admin")}
        with pytest.raises(ApprovalRequiredError):
            services.update_member(**arguments)
        request = services.request_role(**arguments, reason="She leads the team.")
        services.approve_request(actor=admin, request=request)
        assert fresh(membership).role == role("admin")

    @pytest.mark.parametrize("part", [{"scopes": ["READ"]}, {"expires_at": None}])
    def test_a_role_is_approved_as_a_whole(self, two_people, acme, owner, admin, developer, part):
        membership = acme.memberships.get(user=developer)
        request = services.request_role(
            actor=owner, membership=membership, role=role("admin"), reason="She leads the team."
        )
        with pytest.raises(ValidationError, match="as a whole") as caught:
            services.approve_request(actor=admin, request=request, **part)
        assert list(caught.value.message_dict) == list(part)
        assert fresh(membership).role == role("developer")
        assert (fresh(request).state, fresh(request).approved_terms) == ("pending", None)

    def test_who_approves_a_role_holds_all_of_it(self, two_people, acme, owner, admin, developer):
        membership = acme.memberships.get(user=developer)
        request = services.request_role(
            actor=owner, membership=membership, role=role("admin"), reason="She leads the team."
        )
        narrow = services.issue_key(
            actor=policy.OPERATOR, organization=acme, name="Manages", owner=admin,
            scopes=["READ", "MANAGE"],
        )  # fmt: skip
        with pytest.raises(PermissionDenied, match="do not hold"):
            services.approve_request(actor=narrow, request=request)
        assert fresh(membership).role == role("developer")

    def test_nobody_joins_with_it(self, two_people, acme, owner):
        with pytest.raises(ValidationError, match="takes two people"):
            services.add_member(
                actor=owner, organization=acme, user=make_person("x@acme.example"),
                role=role("admin"),
            )  # fmt: skip

    def test_a_role_that_people_hold_does_not_get_it(self, two_people, acme, owner, developer):
        clerk = services.create_role(actor=owner, organization=acme, name="clerk")
        services.update_member(
            actor=owner, membership=acme.memberships.get(user=developer), role=clerk
        )
        with pytest.raises(ValidationError, match="takes two people"):
            services.update_role(actor=owner, role=clerk, scopes=role("admin").scopes.all())

    def test_only_an_owner_switches_it_off(self, two_people, acme, owner, admin):
        with pytest.raises(PermissionDenied):
            services.update_policy(actor=admin, organization=acme, two_person_rule=False)
        services.update_policy(actor=owner, organization=acme, two_person_rule=False)

    def test_the_operator_helps_where_nobody_else_is_left(self, two_people, acme):
        services.issue_key(
            actor=policy.OPERATOR, organization=acme, name="Rescue", scopes=["MANAGE"]
        )


class TestPages:
    """What people see of it."""

    def test_why_it_needs_approval_is_said_in_the_language_of_who_reads(
        self, two_people, acme, owner, admin
    ):
        needing = {"expires_at": None, "scopes": ["READ", "MANAGE"]}
        strict = RoleTerms(role("admin"), frozenset(), frozenset({"READ"}), 30)
        services.update_policy(actor=owner, organization=acme, roles=[strict])
        asked = ask(admin, acme, **needing)
        page = reverse("keys:approval", args=["acme", asked.pk])
        in_german = {"Accept-Language": "de"}
        for address in (page, reverse("keys:approvals", args=["acme"])):
            english = words_of(sign_in(owner).get(address))
            assert "At Acme it takes two people to give MANAGE." in english
            german = words_of(sign_in(owner).get(address, headers=in_german))
            assert "In der Rolle admin" in german
            assert "länger als 30 Tage" in german
            assert "it takes two people" not in german

    def test_who_would_rotate_alone_reads_what_to_do_instead(self, manage_key, owner, two_people):
        client = sign_in(owner)
        response = client.post(page_of(manage_key, "rotate"), {"token": "a" * 32, "overlap": "0"})
        assert "At Acme it takes two people to give MANAGE. Ask for a new key" in words_of(response)
        assert fresh(manage_key).label == manage_key.label

    def test_a_member_gets_manage_by_two(self, two_people, acme, owner, admin, developer):
        membership = acme.memberships.get(user=developer)
        client = sign_in(owner)
        edit = url("member-edit", membership.pk)
        data = {"role": role("admin").pk}
        mark = client.post(edit, data).context["form"].change.mark
        response = client.post(edit, {**data, "agreed": mark}, follow=True)
        assert "takes two people" in words_of(response)
        [(where, _status)] = response.redirect_chain
        client.post(where, {"reason": "She leads the team."})
        assert sign_in(admin).get(url("approvals")).context["waiting"][0].kind == "role"
