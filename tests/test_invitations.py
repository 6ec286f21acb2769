"""Joining an organization by the link of a mail: once, in time, by whom it was sent to."""

import re
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.mail.backends.locmem import EmailBackend
from django.urls import reverse
from django.utils import timezone

from keys import policy, services
from keys.models import Invitation, Membership, Role, Scope, User
from tests.conftest import PASSWORD, join, make_person
from tests.key_pages import words_of

HERE = reverse("keys:invitation")
NEWCOMER = "newcomer@acme.example"


def role(name: str) -> Role:
    return Role.objects.get(organization=None, name=name)


@pytest.fixture
def invite(acme, owner, django_capture_on_commit_callbacks):
    """Invite somebody as the mail server takes it; return the path of the link."""

    def call(email=NEWCOMER, actor=owner, name="developer", **fields) -> str:
        with django_capture_on_commit_callbacks(execute=True):
            services.invite(
                actor=actor, organization=acme, emails=[email], role=role(name), **fields
            )
        return link()

    return call


def link() -> str:
    return re.search(r"http://127.0.0.1:8000(/\S+)", mail.outbox[-1].body)[1]


def sign_up(client, **typed):
    passwords = {"password1": PASSWORD, "password2": PASSWORD}
    return client.post(f"{reverse('account_signup')}?next={HERE}", passwords | typed, follow=True)


class TestTheMail:
    def test_says_who_invites_to_what_until_when_as_text_and_as_a_page(self, invite, owner):
        path = invite()
        [sent] = mail.outbox
        assert sent.to == [NEWCOMER]
        assert sent.subject == "[Keyhaven] Invitation to Acme"
        [(page, kind)] = sent.alternatives
        assert kind == "text/html"
        for body in (sent.body, page):
            assert "owner@acme.example invites you to Acme at Keyhaven, as developer." in body
            assert f"http://127.0.0.1:8000{path}" in body
            assert NEWCOMER in body
        assert Invitation.objects.get().sent_at

    def test_its_token_is_nowhere_in_the_database(self, invite, acme):
        token = invite().rstrip("/").rpartition("/")[2]
        row = Invitation.objects.values().get()
        assert len(token) == 43
        assert token not in str(row)
        assert token not in str(list(acme.audit_events.values()))

    def test_when_the_mail_server_is_down_the_page_says_so(
        self, invite, client, owner, acme, monkeypatch, caplog, django_capture_on_commit_callbacks
    ):
        def refuse(self, messages):
            raise ConnectionRefusedError

        monkeypatch.setattr(EmailBackend, "send_messages", refuse)
        with django_capture_on_commit_callbacks(execute=True):
            services.invite(
                actor=owner, organization=acme, emails=[NEWCOMER], role=role("readonly")
            )
        assert "The mail invitation was not sent: ConnectionRefusedError." in caplog.text
        client.force_login(owner)
        text = client.get(reverse("keys:members", args=["acme"])).text
        assert "The mail server has not taken the mail yet" in text


class TestTheLink:
    def test_leads_to_a_page_whose_address_and_session_hold_no_token(self, client, invite):
        path = invite()
        token = path.rstrip("/").rpartition("/")[2]
        reply = client.get(path)
        assert reply["Location"] == HERE
        assert "no-store" in reply["Cache-Control"]
        page = client.get(HERE)
        assert "Join Acme" in page.text
        assert token not in page.text
        assert token not in str(dict(client.session))
        assert not Membership.objects.filter(user__email=NEWCOMER).exists()

    def test_of_a_mail_that_was_answered_taken_back_replaced_or_too_old_is_dead(
        self, client, invite, owner
    ):
        first = invite()
        second = invite()
        assert first != second
        dead = [first, "/accounts/invitation/nothing/"]
        services.revoke_invitation(actor=owner, invitation=Invitation.objects.get())
        dead.append(second)
        dead.append(invite())
        Invitation.objects.filter(revoked_at=None).update(expires_at=timezone.now())
        for path in dead:
            reply = client.get(path, follow=True)
            assert reply.status_code == 200
            assert "This invitation does not work any more" in reply.text

    def test_that_dies_while_its_page_is_open_joins_nobody(self, client, invite, stranger):
        client.get(invite(stranger.email))
        client.force_login(stranger)
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        reply = client.post(HERE, follow=True)
        assert "This invitation does not work any more" in reply.text
        assert not Membership.objects.filter(user=stranger, organization__slug="acme").exists()


class TestSomebodyNew:
    """Opens an account through the link, although nobody may sign up."""

    def test_opens_an_account_that_counts_as_confirmed_and_joins(self, client, invite, acme):
        assert "lets nobody sign up" in client.get(reverse("account_signup")).text
        client.get(invite())
        reply = sign_up(client)
        assert "Join Acme" in reply.text
        person = User.objects.get(email=NEWCOMER)
        assert EmailAddress.objects.get(user=person).verified
        assert not acme.memberships.filter(user=person).exists()
        reply = client.post(HERE, follow=True)
        assert "Welcome to Acme." in reply.text
        assert acme.memberships.get(user=person).role.name == "developer"
        event = acme.audit_events.first()
        assert (event.action, event.actor_user) == ("membership.created", person)
        assert event.changes["invited_by"] == "owner@acme.example"
        assert len(mail.outbox) == 1

    def test_who_comes_without_the_link_is_told_of_it(self, client, invite):
        assert "You were invited? Open yours through the link" in client.get("/", follow=True).text
        signing_up = client.get(reverse("account_signup")).text
        assert "You were invited? Open your account through the link in the mail" in signing_up

    def test_is_asked_for_a_name_that_the_others_read(self, client, invite, acme, owner):
        client.get(invite())
        assert "What others may call you" in client.get(reverse("account_signup")).text
        sign_up(client, first_name="Nora", last_name="Berg")
        assert 'name="first_name"' not in client.get(HERE).text
        client.post(HERE)
        client.force_login(owner)
        text = client.get(reverse("keys:audit", args=["acme"])).text
        assert f"<strong>Nora Berg</strong> ({NEWCOMER})" in text

    def test_who_gave_none_may_when_accepting(self, client, invite, acme):
        client.get(invite())
        sign_up(client)
        assert 'name="first_name"' in client.get(HERE).text
        refused = client.post(HERE, {"first_name": "owner@acme.example"})
        assert "Leave out the @" in refused.text
        assert not acme.memberships.filter(user__email=NEWCOMER).exists()
        client.post(HERE, {"first_name": "Nora"})
        assert acme.memberships.get(user__email=NEWCOMER).user.display_name == "Nora"

    def test_opens_none_for_another_address(self, client, invite):
        client.get(invite())
        sign_up(client, email="other@acme.example")
        assert not User.objects.filter(email="other@acme.example").exists()
        assert User.objects.filter(email=NEWCOMER).exists()

    def test_opens_none_once_the_invitation_is_taken_back(self, client, invite, owner):
        client.get(invite())
        services.revoke_invitation(actor=owner, invitation=Invitation.objects.get())
        assert "lets nobody sign up" in sign_up(client).text
        assert not User.objects.filter(email=NEWCOMER).exists()

    def test_opens_none_where_a_link_was_followed_that_a_new_mail_replaced(
        self, client, invite, owner
    ):
        client.get(invite())
        services.resend_invitation(actor=owner, invitation=Invitation.objects.get())
        assert "does not work any more" in client.get(HERE).text
        assert "lets nobody sign up" in sign_up(client).text
        assert not User.objects.filter(email=NEWCOMER).exists()


class TestSomebodyWithAnAccount:
    def test_signs_in_on_the_way_and_accepts_once(self, client, invite, acme, stranger):
        path = invite("STRANGER@other.example")
        client.get(path)
        client.post(
            f"{reverse('account_login')}?next={HERE}",
            {"login": stranger.email, "password": PASSWORD},
        )
        assert "Welcome to Acme." in client.post(HERE, follow=True).text
        assert acme.memberships.filter(user=stranger).exists()
        again = client.get(path, follow=True)
        assert "You are a member of Acme already." in again.text
        assert again.redirect_chain == [(reverse("keys:overview", args=["acme"]), 302)]
        services.leave_organization(actor=stranger, organization=acme)
        assert "does not work any more" in client.get(path, follow=True).text

    def test_a_used_link_tells_nobody_else_who_joined(self, client, invite, acme, stranger, owner):
        path = invite(stranger.email)
        services.accept_invitation(actor=stranger, invitation=acme.invitations.get())
        assert "does not work any more" in client.get(path, follow=True).text
        client.force_login(owner)
        assert "does not work any more" in client.get(path, follow=True).text

    def test_of_another_address_is_told_so_and_does_not_join(self, client, invite, acme, stranger):
        client.get(invite())
        client.force_login(stranger)
        assert "You are signed in as stranger@other.example" in client.get(HERE).text
        reply = client.post(HERE)
        assert "This invitation is for another address." in reply.text
        assert not acme.memberships.filter(user=stranger).exists()

    def test_who_never_confirmed_the_address_does_not_join(self, invite, acme, stranger):
        """Anybody can claim an address."""
        invite(stranger.email)
        EmailAddress.objects.update(verified=False)
        with pytest.raises(PermissionDenied):
            services.accept_invitation(actor=stranger, invitation=acme.invitations.get())

    def test_who_is_a_member_already_is_told_so(self, client, invite, acme, stranger):
        client.get(invite(stranger.email))
        join(acme, stranger, "readonly")
        client.force_login(stranger)
        assert "This person is a member already." in client.post(HERE).text


class TestWithoutTheLink:
    """Who signs in and did not follow the link sees what waits for their addresses."""

    def test_a_confirmed_address_sees_it_at_home_and_accepts(self, client, invite, acme):
        person = make_person(NEWCOMER.upper())
        invite()
        client.force_login(person)
        page = client.get(reverse("keys:home"))
        assert "owner@acme.example invites you, as developer." in page.text
        assert "Ask an admin" not in page.text
        accept = reverse("keys:invitation-accept", args=[acme.invitations.get().pk])
        assert f'action="{accept}"' in page.text
        done = client.post(accept, follow=True)
        assert "Welcome to Acme." in done.text
        assert acme.memberships.get(user=person).role.name == "developer"
        assert "does not wait for you" in client.post(accept, follow=True).text

    def test_who_declines_is_not_in_and_the_link_is_dead(self, client, invite, acme, owner):
        person = make_person(NEWCOMER)
        path = invite()
        decline = reverse("keys:invitation-decline", args=[acme.invitations.get().pk])
        client.force_login(person)
        assert f'action="{decline}"' in client.get(reverse("keys:home")).text
        done = client.post(decline, follow=True)
        assert "You declined the invitation to Acme." in done.text
        assert "You are not in an organization yet" in done.text
        assert not acme.memberships.filter(user=person).exists()
        assert "It was used, declined, taken back" in client.get(path, follow=True).text
        assert "does not wait for you" in client.post(decline, follow=True).text
        event = acme.audit_events.get(action="invitation.declined")
        assert event.object_label == NEWCOMER
        invite()
        assert acme.invitations.unanswered().count() == 1

    def test_whoever_invited_reads_in_the_trail_that_it_was_declined(
        self, client, invite, acme, owner
    ):
        person = make_person(NEWCOMER)
        invite()
        services.decline_invitation(actor=person, invitation=acme.invitations.get())
        client.force_login(owner)
        trail = client.get(reverse("keys:audit", args=["acme"]))
        assert "declined the invitation" in trail.text
        assert NEWCOMER not in client.get(reverse("keys:members", args=["acme"])).text

    def test_who_declines_stays_unknown_but_for_the_address_that_was_invited(
        self, client, invite, acme, owner
    ):
        person = make_person("me@home.example", first_name="Maria")
        EmailAddress.objects.create(user=person, email=NEWCOMER, verified=True)
        invite()
        client.force_login(person)
        client.post(reverse("keys:invitation-decline", args=[acme.invitations.get().pk]))
        event = acme.audit_events.get(action="invitation.declined")
        assert (event.actor_user, event.actor_label, event.address) == (None, NEWCOMER, None)
        client.force_login(owner)
        trail = words_of(client.get(reverse("keys:audit", args=["acme"])))
        assert f"{NEWCOMER} declined the invitation" in trail
        assert "me@home.example" not in trail
        assert "Maria" not in trail

    def test_the_trail_says_who_joined_and_left_by_themselves(self, client, invite, acme, owner):
        person = make_person(NEWCOMER)
        invite()
        services.accept_invitation(actor=person, invitation=acme.invitations.get())
        services.leave_organization(actor=person, organization=acme)
        client.force_login(owner)
        trail = words_of(client.get(reverse("keys:audit", args=["acme"])))
        assert f"{NEWCOMER} joined the organization" in trail
        assert f"{NEWCOMER} left the organization" in trail

    def test_the_page_of_the_link_offers_to_decline(self, client, invite, acme):
        person = make_person(NEWCOMER)
        path = invite()
        client.force_login(person)
        decline = reverse("keys:invitation-decline", args=[acme.invitations.get().pk])
        assert f'action="{decline}"' in client.get(path, follow=True).text
        assert "You declined" in client.post(decline, follow=True).text

    @pytest.mark.parametrize("why", ["never confirmed", "another"])
    def test_of_an_address_that_is_not_confirmed_nothing_is_told(self, client, invite, acme, why):
        person = make_person(NEWCOMER if why == "never confirmed" else "b@acme.example")
        if why == "never confirmed":
            EmailAddress.objects.filter(user=person).update(verified=False)
        invite()
        invited = acme.invitations.get()
        assert services.find_invitations_of(person=person) == []
        with pytest.raises(PermissionDenied):
            services.decline_invitation(actor=person, invitation=invited)
        client.force_login(person)
        for name in ("invitation-accept", "invitation-decline"):
            done = client.post(reverse(f"keys:{name}", args=[invited.pk]), follow=True)
            assert "Acme" not in done.text
        assert acme.invitations.unanswered().count() == 1

    def test_what_cannot_be_accepted_is_not_offered(self, invite, acme, owner, time_machine):
        person = make_person(NEWCOMER)
        invite()
        invited = acme.invitations.get()
        assert services.find_invitations_of(person=person) == [invited]
        Invitation.objects.filter(pk=invited.pk).update(expires_at=timezone.now())
        assert services.find_invitations_of(person=person) == []
        with pytest.raises(ValidationError):
            services.decline_invitation(actor=person, invitation=invited)

    def test_a_member_of_another_organization_sees_it_on_its_page(
        self, client, invite, other, stranger
    ):
        invite(stranger.email)
        client.force_login(stranger)
        page = client.get(reverse("keys:overview", args=[other.slug]))
        assert "invites you, as developer." in page.text


class TestWhoInvites:
    """Gives nothing that they do not hold, neither then nor when it is accepted."""

    def test_gives_no_role_beyond_their_own(self, acme, owner):
        keeper = services.create_role(
            actor=owner,
            organization=acme,
            name="keeper",
            scopes=Scope.objects.filter(code__in=["READ", "MANAGE"]),
        )
        membership = join(acme, make_person("keeper@acme.example"), "readonly")
        services.update_member(actor=owner, membership=membership, role=keeper)
        for refused in ({"role": role("admin")}, {"role": keeper, "is_owner": True}):
            with pytest.raises(PermissionDenied):
                services.invite(
                    actor=membership.user, organization=acme, emails=[NEWCOMER], **refused
                )
        assert not acme.invitations.exists()

    @pytest.mark.parametrize("name", ["developer", "viewer", "stranger", "staff"])
    def test_must_manage_people(self, acme, owner, name, request):
        actor = request.getfixturevalue(name)
        [invitation] = services.invite(
            actor=owner, organization=acme, emails=[NEWCOMER], role=role("readonly")
        )
        for attempt in (
            lambda: services.invite(
                actor=actor, organization=acme, emails=["a@b.example"], role=role("readonly")
            ),
            lambda: services.resend_invitation(actor=actor, invitation=invitation),
            lambda: services.revoke_invitation(actor=actor, invitation=invitation),
        ):
            with pytest.raises(PermissionDenied):
                attempt()

    @pytest.mark.parametrize("fate", ["removed", "narrowed", "switched off"])
    def test_may_no_longer_and_the_invitation_is_void(
        self, client, invite, acme, owner, admin, stranger, fate
    ):
        client.get(invite(stranger.email, actor=admin))
        membership = acme.memberships.get(user=admin)
        if fate == "removed":
            services.remove_member(actor=owner, membership=membership)
        elif fate == "narrowed":
            services.update_member(actor=owner, membership=membership, role=role("developer"))
        else:
            services.update_person(actor=policy.OPERATOR, person=admin, is_active=False)
        client.force_login(stranger)
        assert "Who invited you may no longer do so." in client.get(HERE).text
        assert "Who invited you may no longer do so." in client.post(HERE).text
        assert not acme.memberships.filter(user=stranger).exists()

    def test_was_an_owner_and_is_none_now(self, invite, acme, owner, admin, stranger):
        services.update_member(
            actor=owner, membership=acme.memberships.get(user=admin), is_owner=True
        )
        invite(stranger.email, actor=admin, is_owner=True)
        services.update_member(
            actor=owner, membership=acme.memberships.get(user=admin), is_owner=False
        )
        with pytest.raises(ValidationError, match="no longer"):
            services.accept_invitation(actor=stranger, invitation=acme.invitations.get())
        services.resend_invitation(actor=owner, invitation=acme.invitations.get())
        joined = services.accept_invitation(actor=stranger, invitation=acme.invitations.get())
        assert joined.is_owner

    def test_was_a_key_that_is_revoked_now(self, invite, acme, owner, manage_key, stranger):
        invite(stranger.email, actor=manage_key)
        services.revoke_key(actor=owner, key=manage_key)
        with pytest.raises(ValidationError, match="no longer"):
            services.accept_invitation(actor=stranger, invitation=acme.invitations.get())

    def test_asks_so_many_at_a_time_and_no_more_while_nobody_answers(
        self, acme, owner, monkeypatch
    ):
        monkeypatch.setattr(services.invitations, "MAX_AT_ONCE", 2)
        monkeypatch.setattr(services.invitations, "MAX_UNANSWERED", 3)

        def ask(*names):
            services.invite(
                actor=owner,
                organization=acme,
                emails=[f"{name}@new.example" for name in names],
                role=role("readonly"),
            )

        with pytest.raises(ValidationError) as error:
            ask("a", "b", "c")
        assert error.value.message_dict == {"emails": ["Invite at most 2 people at a time."]}
        ask("a", "b")
        with pytest.raises(ValidationError) as error:
            ask("c", "d")
        assert set(error.value.error_dict) == {"emails"}
        ask("c")
        assert acme.invitations.count() == 3

    def test_by_another_organization_reaches_nothing_here(self, invite, acme, other, stranger):
        invite()
        with pytest.raises(PermissionDenied):
            services.revoke_invitation(actor=stranger, invitation=acme.invitations.get())


def test_a_role_that_somebody_is_invited_to_can_be_deleted_and_takes_the_invitation_along(
    acme, owner
):
    clerk = services.create_role(actor=owner, organization=acme, name="clerk")
    services.invite(actor=owner, organization=acme, emails=[NEWCOMER], role=clerk)
    services.delete_role(actor=owner, role=clerk)
    assert not acme.invitations.exists()


def test_staff_read_invitations_and_change_none(as_staff, invite, acme):
    invite()
    listed = as_staff.get("/admin/keys/invitation/")
    assert NEWCOMER in listed.text
    shown = as_staff.get(f"/admin/keys/invitation/{acme.invitations.get().pk}/change/")
    assert NEWCOMER in shown.text
    assert 'name="_save"' not in shown.text
    assert acme.invitations.get().token_digest not in shown.text
