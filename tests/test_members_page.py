"""The page of members, and what it changes."""

import pytest
from django.urls import reverse
from django.utils import timezone

from keys import policy, services
from keys.models import Membership, Role, Scope, ScopeUse, User
from keys.networks import parse_address
from keys.verification import Code
from tests.conftest import join, make_person


def page(name: str, *more) -> str:
    return reverse(f"keys:{name}", args=["acme", *more])


def member(organization, person) -> Membership:
    return organization.memberships.get(user=person)


def role(name: str) -> Role:
    return Role.objects.get(organization=None, name=name)


def row_of(text: str, name: str) -> str:
    start = text.index(f"<b>{name}")
    return text[start : text.index("</tr>", start)]


class TestTheList:
    """Who belongs to the organization."""

    def test_shows_role_owner_and_live_keys(self, client, admin, owner, developer, key):
        gone = services.issue_key(actor=developer, organization=key.organization, name="Gone")
        services.revoke_key(actor=developer, key=gone)
        client.force_login(admin)
        text = client.get(page("members")).text
        assert "Owner" in row_of(text, "owner@acme.example")
        row = row_of(text, "developer@acme.example")
        assert ">developer</span>" in row
        assert "Owner" not in row
        assert 'data-label="Keys">1<' in row
        assert "(you)" in row_of(text, "admin@acme.example")

    def test_says_to_who_manages_people_when_they_signed_in(self, client, admin, viewer):
        client.force_login(admin)
        assert 'data-label="Last sign-in"' in row_of(client.get(page("members")).text, viewer.email)
        client.force_login(viewer)
        assert "Last sign-in" not in client.get(page("members")).text

    def test_offers_an_admin_nothing_about_owners(self, client, admin, owner, viewer):
        client.force_login(admin)
        text = client.get(page("members")).text
        assert "Edit" not in row_of(text, owner.email)
        assert "Remove" not in row_of(text, owner.email)
        assert "Remove" in row_of(text, viewer.email)
        assert "Make them an owner too" not in text

    def test_offers_a_viewer_only_to_leave(self, client, viewer, owner):
        client.force_login(viewer)
        text = client.get(page("members")).text
        assert "owner@acme.example" in text
        assert "Leave…" in text
        for hidden in ("Edit<", "Remove…", "Send invitations"):
            assert hidden not in text

    def test_asks_equally_often_however_many_there_are_and_finds_them(
        self, client, admin, acme, key, django_assert_max_num_queries
    ):
        people = [
            User.objects.create(email=f"p{number}@acme.example", first_name="Pat")
            for number in range(30)
        ]
        Membership.objects.bulk_create(
            Membership(organization=acme, user=person, role=role("readonly")) for person in people
        )
        client.force_login(admin)
        with django_assert_max_num_queries(13):
            text = client.get(page("members")).text
        assert "Page 1 of 2" in text
        found = client.get(page("members"), {"search": "pat p17@"}).text
        assert "p17@acme.example" in found
        assert "p18@acme.example" not in found
        nobody = client.get(page("members"), {"search": "nobody"}).text
        assert "Nobody matches" in nobody
        assert client.get(page("members"), {"search": "x\x00"}).status_code == 200


class TestInviting:
    """People are asked by mail; that is the only way to join."""

    def test_an_admin_invites_several_people_at_once(self, client, admin, acme):
        client.force_login(admin)
        reply = client.post(
            page("members"),
            {
                "emails": "New@Other.example, x@y.example\nnew@other.example",
                "role": role("admin").pk,
            },
            follow=True,
        )
        assert "2 invitations are on their way." in reply.text
        assert {each.email for each in acme.invitations.all()} == {
            "New@Other.example",
            "x@y.example",
        }
        assert "x@y.example" in reply.text

    def test_who_has_an_account_and_who_has_none_get_one_answer(
        self, client, admin, acme, stranger
    ):
        client.force_login(admin)
        answers = [
            client.post(
                page("members"), {"emails": email, "role": role("readonly").pk}, follow=True
            ).text.count("1 invitation is on its way.")
            for email in ("nobody@nowhere.example", stranger.email)
        ]
        assert answers == [1, 1]
        assert acme.memberships.count() == 2

    @pytest.mark.parametrize(
        ("typed", "problem"),
        [
            ({"emails": "no-address a@b.example"}, "No email address: no-address."),
            ({"emails": "viewer@acme.example"}, "A member already: viewer@acme.example."),
            ({"emails": "a@b.example", "role": ""}, "required"),
            ({"emails": "a@b.example", "role": "999"}, "not one of the available"),
            ({"emails": " ".join(f"p{n}@b.example" for n in range(51))}, "at most 50 people"),
        ],
    )
    def test_what_is_wrong_is_named_and_what_was_typed_stays(
        self, client, admin, acme, viewer, typed, problem
    ):
        client.force_login(admin)
        reply = client.post(page("members"), {"role": role("developer").pk, **typed})
        assert problem in reply.text
        assert reply.context["form"]["emails"].value() == typed["emails"]
        assert not acme.invitations.exists()

    def test_only_an_owner_invites_an_owner(self, client, admin, owner, acme):
        typed = {"emails": "a@b.example", "role": role("readonly").pk, "is_owner": "on"}
        client.force_login(admin)
        client.post(page("members"), typed)
        assert not acme.invitations.get().is_owner
        client.force_login(owner)
        client.post(page("members"), typed)
        assert acme.invitations.get().is_owner

    def test_nobody_gives_a_role_with_scopes_that_they_do_not_hold(
        self, client, acme, owner, stranger
    ):
        """T3: offered neither, nor taken when sent by hand."""
        keeper = services.create_role(
            actor=owner,
            organization=acme,
            name="keeper",
            scopes=Scope.objects.filter(code__in=["READ", "MANAGE"]),
        )
        person = make_person("keeper@acme.example")
        services.update_member(actor=owner, membership=join(acme, person, "readonly"), role=keeper)
        client.force_login(person)
        assert ">developer</option>" not in client.get(page("members")).text
        typed = {"emails": stranger.email, "role": role("developer").pk}
        assert "not one of the available" in client.post(page("members"), typed).text
        assert not acme.invitations.exists()

    def test_one_that_nobody_answered_is_sent_again_or_taken_back(self, client, admin, acme):
        [invited] = services.invite(
            actor=admin, organization=acme, emails=["a@b.example"], role=role("readonly")
        )
        client.force_login(admin)
        reply = client.post(page("invitation-resend", invited.pk), follow=True)
        assert "a@b.example has a new link" in reply.text
        assert acme.invitations.get().token_digest != invited.token_digest
        reply = client.post(page("invitation-revoke", invited.pk), follow=True)
        assert "The invitation of a@b.example was taken back." in reply.text
        assert "<td" in reply.text
        assert "Take back" not in reply.text
        assert client.post(page("invitation-revoke", invited.pk)).status_code == 404

    def test_a_viewer_does_not_see_who_is_invited(self, client, admin, viewer, acme):
        services.invite(
            actor=admin, organization=acme, emails=["a@b.example"], role=role("readonly")
        )
        client.force_login(viewer)
        assert "a@b.example" not in client.get(page("members")).text


class TestChanging:
    """Another role, or an owner."""

    def test_who_owns_no_key_is_asked_about_too(self, client, admin, acme, viewer):
        client.force_login(admin)
        edit = page("member-edit", member(acme, viewer).pk)
        typed = {"role": role("developer").pk}
        reply = client.post(edit, typed)
        change = reply.context["form"].change
        assert change.gained == ["CREATE", "DELETE", "UPDATE"]
        assert "What 1 person may do changes at once." in reply.text
        assert member(acme, viewer).role == role("readonly")
        client.post(edit, {**typed, "agreed": change.mark})
        assert member(acme, viewer).role == role("developer")

    def test_names_the_keys_that_lose_something_and_which_used_it(
        self, client, admin, acme, developer, key, read_only_key
    ):
        ScopeUse.objects.create(key=key, code="DELETE", requests=1, last_used_at=timezone.now())
        client.force_login(admin)
        edit = page("member-edit", member(acme, developer).pk)
        reply = client.post(edit, {"role": role("readonly").pk})
        change = reply.context["form"].change
        assert [each.name for each in change.keys.rows] == ["Backend"]
        assert [use.code for use in change.missed.rows] == ["DELETE"]

    def test_an_owner_makes_another_and_steps_back(self, client, acme, owner, admin):
        client.force_login(owner)
        theirs, mine = member(acme, admin), member(acme, owner)
        typed = {"role": role("admin").pk}
        client.post(page("member-edit", theirs.pk), {**typed, "is_owner": "on"})
        assert member(acme, admin).is_owner
        reply = client.post(page("member-edit", mine.pk), typed)
        assert reply["Location"] == reverse("keys:home")
        assert not member(acme, owner).is_owner

    def test_the_last_owner_stays_one(self, client, acme, owner):
        client.force_login(owner)
        reply = client.post(page("member-edit", member(acme, owner).pk), {"role": role("admin").pk})
        assert "keeps at least one owner" in reply.text
        assert member(acme, owner).is_owner

    def test_an_admin_changes_no_owner(self, client, acme, owner, admin):
        client.force_login(admin)
        for name in ("member-edit", "member-remove"):
            address = page(name, member(acme, owner).pk)
            assert client.get(address).status_code == 403
            assert client.post(address, {"role": role("readonly").pk}).status_code == 403
        assert member(acme, owner).role == role("admin")


class TestHandingOverOwnership:
    def test_is_asked_about_and_done_in_one_step(self, client, acme, owner, admin):
        client.force_login(owner)
        transfer = page("member-transfer", member(acme, admin).pk)
        assert "cannot take it back" in client.get(transfer).text
        reply = client.post(transfer, follow=True)
        assert "admin@acme.example is an owner now; you are none any more." in reply.text
        assert [row.user for row in acme.memberships.filter(is_owner=True)] == [admin]
        assert client.get(transfer).status_code == 403


class TestRemoving:
    """The membership ends; the page says first what stops."""

    def test_lists_the_keys_that_stop_and_then_they_do(self, client, admin, acme, developer, key):
        client.force_login(admin)
        remove = page("member-remove", member(acme, developer).pk)
        text = client.get(remove).text
        assert "1 key of theirs stops at its next request" in text
        assert "Backend" in text
        reply = client.post(remove, follow=True)
        assert "developer@acme.example is no longer a member." in reply.text
        assert "Stopped: Backend." in reply.text
        orphaned = reverse("keys:hygiene-check", args=["acme", "owner_gone"])
        assert f'<a href="{orphaned}">' in reply.text
        assert key.name in client.get(orphaned).text
        verdict = services.verify_key(secret=key.secret, address=parse_address("192.0.2.7"))
        assert verdict.code is Code.OWNER_GONE

    @pytest.mark.parametrize("name", ["member-remove", "member-edit", "member-keys"])
    def test_somebody_removed_in_another_tab_is_said_to_be_gone(
        self, client, owner, acme, developer, name
    ):
        client.force_login(owner)
        there = page(name, member(acme, developer).pk)
        services.remove_member(actor=owner, membership=member(acme, developer))
        for reply in (client.get(there, follow=True), client.post(there, follow=True)):
            assert reply.redirect_chain == [(page("members"), 302)]
            assert "developer@acme.example is no longer a member." in reply.text
        assert reverse("keys:members", args=["acme"]) in client.get(
            there, headers={"HX-Request": "true"}
        ).headers.get("HX-Redirect")

    def test_whoever_was_added_again_is_not_said_to_be_gone(self, client, owner, acme, developer):
        former = member(acme, developer)
        pk = former.pk
        services.remove_member(actor=owner, membership=former)
        services.add_member(actor=owner, organization=acme, user=developer, role=role("developer"))
        client.force_login(owner)
        assert client.post(page("member-remove", pk)).status_code == 404
        assert acme.memberships.filter(user=developer).exists()

    def test_only_who_reads_the_trail_learns_that_somebody_is_gone(
        self, client, owner, acme, developer, viewer, stranger, other
    ):
        pk = member(acme, developer).pk
        services.remove_member(actor=owner, membership=member(acme, developer))
        client.force_login(viewer)
        assert client.post(page("member-remove", pk)).status_code == 404
        client.force_login(stranger)
        for slug in ("acme", other.slug):
            there = reverse("keys:member-remove", args=[slug, pk])
            assert client.post(there).status_code == 404

    def test_names_ten_keys_and_counts_the_rest(self, client, admin, acme, developer):
        for number in range(12):
            services.issue_key(actor=developer, organization=acme, name=f"Job {number}")
        client.force_login(admin)
        text = client.get(page("member-remove", member(acme, developer).pk)).text
        assert "12 keys of theirs stop" in text
        assert "and 2 more" in text

    def test_one_leaves_by_oneself(self, client, acme, developer, key):
        client.force_login(developer)
        text = client.get(page("leave")).text
        assert "Leave Acme?" in text
        assert "1 key of yours stops" in text
        reply = client.post(page("leave"), follow=True)
        assert "You left Acme." in reply.text
        assert not acme.memberships.filter(user=developer).exists()
        assert client.get(page("members")).status_code == 404

    def test_the_last_owner_does_not_leave_and_is_told_why(self, client, acme, owner):
        client.force_login(owner)
        text = client.get(page("leave")).text
        assert "make somebody else an owner first" in text
        assert ">Leave<" not in text
        assert "make somebody else an owner first" in client.post(page("leave"), follow=True).text
        assert member(acme, owner).is_owner

    def test_a_stranger_reaches_nobody_under_their_own_organizations_address(
        self, client, acme, stranger, other, viewer
    ):
        """T10: the row is looked for in the organization of the path."""
        client.force_login(stranger)
        for name in ("member-edit", "member-remove"):
            foreign = reverse(f"keys:{name}", args=[other.slug, member(acme, viewer).pk])
            assert client.post(foreign, {"role": role("admin").pk}).status_code == 404
        assert policy.held_scopes(viewer, acme) == {"READ"}
