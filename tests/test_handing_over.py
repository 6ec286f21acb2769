"""A key of somebody who leaves goes on without them, with a new secret."""

import json
import re
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from django.utils import timezone

from keys import policy, services
from keys.forms.rotating import HandOverForm
from keys.models import APIKey, AuditEvent, KeyUsage, Scope, WebhookDelivery
from keys.networks import parse_address
from keys.rules import RoleTerms
from keys.verification import Code
from tests.key_pages import issue, secret_on, words_of

HERE = parse_address("192.0.2.7")


def options_of(text: str) -> list[str]:
    """Return what the page says of each key to choose."""
    return re.findall(r'<label class="option" for="id_keys.*?</label>', text, flags=re.DOTALL)


def code(secret) -> Code:
    return services.verify_key(secret=secret, address=HERE).code


def test_a_key_that_was_handed_over_outlives_who_leaves(acme, admin, developer, key):
    known = key.secret
    given = services.hand_over_key(actor=admin, key=key, owner=None)
    assert (given.pk, given.owner) == (key.pk, None)
    assert code(known) is Code.SECRET_RETIRED
    assert code(given.secret) is Code.VALID
    services.remove_member(actor=admin, membership=acme.memberships.get(user=developer))
    assert code(given.secret) is Code.VALID


def test_whoever_sees_to_it_may_take_it_themselves(acme, admin, key):
    given = services.hand_over_key(actor=admin, key=key, owner=admin)
    assert given.owner == admin
    assert code(given.secret) is Code.VALID


def test_the_old_secret_works_for_as_long_as_was_said(acme, admin, key):
    known = key.secret
    services.hand_over_key(actor=admin, key=key, owner=None, overlap=timedelta(hours=1))
    assert code(known) is Code.VALID


def test_what_happened_is_in_the_trail_without_a_secret(acme, admin, developer, key):
    given = services.hand_over_key(actor=admin, key=key, owner=None)
    handed_over, rotated = AuditEvent.objects.order_by("-pk")[:2][::-1]
    assert (handed_over.action, rotated.action) == ("apikey.handed_over", "apikey.rotated")
    assert handed_over.changes == {"owner": [str(developer), None]}
    assert handed_over.actor_user_id == admin.pk
    assert given.secret not in f"{handed_over.changes}{rotated.changes}"


def test_programs_are_told_once_that_it_was_handed_over(acme, admin, key):
    services.create_webhook(actor=admin, organization=acme, url="https://example.com/")
    given = services.hand_over_key(actor=admin, key=key, owner=None)
    told = [json.loads(each.body) for each in WebhookDelivery.objects.order_by("pk")]
    assert [each["type"] for each in told] == ["apikey.handed_over", "apikey.rotated"]
    assert told[0]["data"]["changed"] == ["owner"]
    assert told[0]["data"]["key"]["owner"] is None
    assert given.secret not in str(told)


def test_a_key_of_somebody_who_left_already_stays_disabled(acme, admin, developer, key):
    services.remove_member(actor=admin, membership=acme.memberships.get(user=developer))
    key.refresh_from_db()
    given = services.hand_over_key(actor=admin, key=key, owner=None)
    assert given.disabled
    assert code(given.secret) is Code.DISABLED
    services.enable_key(actor=admin, key=given)
    assert code(given.secret) is Code.VALID


@pytest.mark.parametrize("who", ["developer", "viewer", "stranger", "staff"])
def test_who_does_not_manage_hands_over_nothing(request, acme, other, key, who):
    with pytest.raises(PermissionDenied):
        services.hand_over_key(actor=request.getfixturevalue(who), key=key, owner=None)
    assert code(key.secret) is Code.VALID


def test_nobody_gets_a_key_in_the_name_of_a_third(acme, admin, owner, key):
    with pytest.raises(PermissionDenied, match="you see its secret"):
        services.hand_over_key(actor=admin, key=key, owner=owner)


def test_a_key_that_may_more_than_whoever_takes_it_is_refused(acme, admin, owner, key):
    role = services.create_role(
        actor=owner,
        organization=acme,
        name="Clerk",
        scopes=Scope.objects.filter(code__in=["READ", "UPDATE", "MANAGE"]),
    )
    services.update_member(actor=owner, membership=acme.memberships.get(user=admin), role=role)
    for new_owner in (admin, None):
        with pytest.raises(PermissionDenied):
            services.hand_over_key(actor=admin, key=key, owner=new_owner)
    assert code(key.secret) is Code.VALID


def test_rules_for_keys_of_the_organization_hold(acme, admin, owner, key):
    services.update_policy(actor=owner, organization=acme, shared_key_days=10)
    with pytest.raises(ValidationError):
        services.hand_over_key(actor=admin, key=key, owner=None)
    key.refresh_from_db()
    assert key.owner is not None
    assert code(key.secret) is Code.VALID


def test_nobody_takes_alone_what_lives_longer_than_they_may_give_alone(acme, admin, owner, key):
    role = acme.memberships.get(user=admin).role
    services.update_policy(
        actor=owner, organization=acme, roles=[RoleTerms(role, approval_days=30)]
    )
    for new_owner in (admin, None):
        with pytest.raises(ValidationError, match="30 days"):
            services.hand_over_key(actor=admin, key=key, owner=new_owner)
    assert code(key.secret) is Code.VALID


@pytest.mark.parametrize("whose", ["organization", "own"])
def test_what_is_so_already_is_said(acme, admin, manage_key, whose):
    key, owner = manage_key, None
    if whose == "own":
        key = services.issue_key(actor=admin, organization=acme, name="Mine", scopes=["READ"])
        owner = admin
    with pytest.raises(ValidationError) as problem:
        services.hand_over_key(actor=admin, key=key, owner=owner)
    assert "already" in str(problem.value)


def test_a_key_that_another_took_meanwhile_stays_theirs(acme, admin, owner, key):
    seen = APIKey.objects.get(pk=key.pk)
    taken = services.hand_over_key(actor=owner, key=key, owner=owner)
    done = services.hand_over_keys(actor=admin, keys=[seen], owner=None)
    assert (done.given, [reason for _key, reason in done.kept]) == (
        [],
        ["It was changed meanwhile; look at it again."],
    )
    assert APIKey.objects.get(pk=key.pk).owner == owner
    assert code(taken.secret) is Code.VALID


class TestSeveral:
    """All keys of one person, each for itself."""

    def test_each_gets_its_own_new_secret(self, acme, admin, key, read_only_key):
        done = services.hand_over_keys(actor=admin, keys=[key, read_only_key], owner=None)
        assert [each.pk for each in done.given] == [key.pk, read_only_key.pk]
        assert done.kept == []
        assert {code(each.secret) for each in done.given} == {Code.VALID}
        assert {code(each.secret) for each in (key, read_only_key)} == {Code.SECRET_RETIRED}

    def test_what_stands_against_one_stops_no_other(self, acme, admin, owner, key, read_only_key):
        terms = RoleTerms(
            acme.memberships.get(user=admin).role, approval_scopes=frozenset({"DELETE"})
        )
        services.update_policy(actor=owner, organization=acme, roles=[terms])
        services.revoke_key(actor=admin, key=(gone := issue(owner, acme, "Gone")))
        wanted = [key, gone, read_only_key]
        done = services.hand_over_keys(actor=admin, keys=wanted, owner=None)
        assert [each.pk for each in done.given] == [read_only_key.pk]
        reasons = {each.name: reason for each, reason in done.kept}
        assert "needs approval" in reasons[key.name]
        assert reasons["Gone"] == "It was revoked meanwhile."
        assert code(key.secret) is Code.VALID

    def test_who_does_not_manage_gets_none(self, acme, developer, viewer, key):
        done = services.hand_over_keys(actor=viewer, keys=[key], owner=None)
        assert done.given == []
        assert code(key.secret) is Code.VALID

    def test_no_more_than_somebody_can_copy(self, acme, admin, key):
        with pytest.raises(ValidationError, match="at most 50"):
            services.hand_over_keys(actor=admin, keys=[key] * 51, owner=None)

    def test_the_page_shows_every_secret_once_and_leads_on(
        self, client, acme, admin, developer, key, read_only_key
    ):
        member = acme.memberships.get(user=developer)
        page = reverse("keys:member-keys", args=["acme", member.pk])
        removal = reverse("keys:member-remove", args=["acme", member.pk])
        client.force_login(admin)
        assert page in client.get(removal).text
        form = client.get(page).context["form"]
        typed = {"token": form.new_token, "to": "me", "overlap": "0", "keys": [key.pk]}
        shown = client.post(page, typed)
        (given,) = shown.context["done"].given
        assert code(given.secret) is Code.VALID
        assert f">{given.secret}</code>" in shown.text
        assert "Owner: developer@acme.example → admin@acme.example" in shown.text
        assert removal in shown.text
        again = client.post(page, typed)
        assert "This secret was already shown" in again.text
        assert given.secret not in again.text
        assert code(given.secret) is Code.VALID
        assert code(read_only_key.secret) is Code.VALID

    def test_a_key_that_another_took_meanwhile_is_not_theirs_to_give(
        self, client, acme, admin, owner, developer, key, read_only_key
    ):
        page = reverse("keys:member-keys", args=["acme", acme.memberships.get(user=developer).pk])
        client.force_login(admin)
        form = client.get(page).context["form"]
        taken = services.hand_over_key(actor=owner, key=key, owner=owner)
        typed = {"token": form.new_token, "to": "me", "overlap": "0", "keys": [key.pk]}
        shown = client.post(page, typed)
        assert shown.context["form"].errors["keys"] == [
            "A key that you chose is not among these any more; choose again."
        ]
        assert read_only_key.name in shown.text
        assert code(taken.secret) is Code.VALID

    def test_a_name_slips_no_line_among_the_secrets(self, client, acme, admin, developer):
        key = issue(developer, acme, "Backend\r\nkh_ATTACKER\u2028kh_TOO")
        page = reverse("keys:member-keys", args=["acme", acme.memberships.get(user=developer).pk])
        client.force_login(admin)
        form = client.get(page).context["form"]
        typed = {"token": form.new_token, "to": "me", "overlap": "0", "keys": [key.pk]}
        shown = client.post(page, typed)
        (given,) = shown.context["done"].given
        [file] = re.findall(r'<pre id="secrets" hidden>(.*?)</pre>', shown.text, flags=re.DOTALL)
        assert file.splitlines() == ["# Backend kh_ATTACKER kh_TOO", given.secret]

    def test_what_does_not_work_or_cannot_be_given_is_not_chosen_and_says_why(
        self, client, acme, admin, owner, developer, staff, read_only_key
    ):
        member = acme.memberships.get(user=developer)
        terms = RoleTerms(
            acme.memberships.get(user=admin).role, approval_scopes=frozenset({"CREATE"})
        )
        for name in ("Disabled", "Locked", "Expired"):
            issue(developer, acme, name)
        named = {each.name: each for each in acme.api_keys.all()}
        services.disable_key(actor=developer, key=named["Disabled"])
        services.lock_key(actor=staff, key=named["Locked"])
        past = timezone.now() - timedelta(days=1)
        APIKey.objects.filter(pk=named["Expired"].pk).update(expires_at=past)
        services.issue_key(actor=developer, organization=acme, name="Makes", scopes=["CREATE"])
        services.update_policy(actor=owner, organization=acme, roles=[terms])
        client.force_login(admin)
        text = client.get(reverse("keys:member-keys", args=["acme", member.pk])).text
        rows = {re.search(r"<b[^>]*>(.*?)</b>", row)[1]: row for row in options_of(text)}
        assert {name for name, row in rows.items() if " checked" in row} == {read_only_key.name}
        assert "Every request is refused until somebody enables" in rows["Disabled"]
        assert "Staff locked it; only they can change it." in rows["Locked"]
        assert ">Expired<" in rows["Expired"]
        assert "needs approval" in rows["Makes"]
        assert "You cannot hand it over" not in rows["Expired"]

    def test_what_each_may_and_when_it_was_used_last_is_shown(
        self, client, acme, admin, developer, key, read_only_key
    ):
        KeyUsage.objects.filter(key=key).update(last_used_at=timezone.now())
        member = acme.memberships.get(user=developer)
        client.force_login(admin)
        text = client.get(reverse("keys:member-keys", args=["acme", member.pk])).text
        rows = {re.search(r"<b[^>]*>(.*?)</b>", row)[1]: row for row in options_of(text)}
        assert "Last used <time" in rows[key.name]
        assert "READ, CREATE, UPDATE, DELETE" in rows[key.name]
        assert "Never used" in rows[read_only_key.name]

    def test_asks_equally_often_however_many_there_are(
        self, client, acme, admin, developer, django_assert_max_num_queries
    ):
        for number in range(12):
            issue(developer, acme, f"Job {number}", scopes=["READ"])
        member = acme.memberships.get(user=developer)
        client.force_login(admin)
        with django_assert_max_num_queries(26):
            client.get(reverse("keys:member-keys", args=["acme", member.pk]))

    def test_keys_of_others_cannot_be_slipped_in(self, client, acme, admin, viewer, key):
        member = acme.memberships.get(user=viewer)
        page = reverse("keys:member-keys", args=["acme", member.pk])
        client.force_login(admin)
        assert "No key to hand over" in client.get(page).text
        token = HandOverForm(actor=admin, organization=acme).new_token
        typed = {"token": token, "to": "me", "overlap": "0", "keys": [key.pk]}
        assert "No key to hand over" in client.post(page, typed).text
        assert code(key.secret) is Code.VALID


class TestThePages:
    def page(self, key) -> str:
        return reverse("keys:hand-over", args=["acme", key.identifier])

    def test_removing_somebody_offers_to_hand_their_keys_over(
        self, client, acme, admin, developer, key
    ):
        client.force_login(admin)
        member = acme.memberships.get(user=developer)
        text = client.get(reverse("keys:member-remove", args=["acme", member.pk])).text
        assert reverse("keys:member-keys", args=["acme", member.pk]) in text
        assert "knows its secret, so it gets a new one" in text

    def test_who_leaves_is_told_to_have_them_taken_over(self, client, acme, developer, key):
        client.force_login(developer)
        text = client.get(reverse("keys:leave", args=["acme"])).text
        assert self.page(key) not in text
        assert "take it over before you leave" in text

    def test_the_new_secret_is_shown_once(self, client, acme, admin, key):
        client.force_login(admin)
        form = client.get(self.page(key)).context["form"]
        typed = {"token": form.new_token, "to": "organization", "overlap": "0"}
        shown = client.post(self.page(key), typed)
        assert "Owner: developer@acme.example → Acme" in shown.text
        secret = secret_on(shown)
        assert code(secret) is Code.VALID
        key.refresh_from_db()
        assert key.owner is None
        again = client.post(self.page(key), typed)
        assert secret not in again.text
        assert code(secret) is Code.VALID

    def test_a_refusal_is_shown_beside_what_was_chosen(self, client, acme, admin, manage_key):
        client.force_login(admin)
        form = client.get(self.page(manage_key)).context["form"]
        typed = {"token": form.new_token, "to": "organization", "overlap": "0"}
        text = client.post(self.page(manage_key), typed).text
        assert "belongs to the organization already" in text
        assert code(manage_key.secret) is Code.VALID

    @pytest.mark.parametrize("typed", [{}, {"to": "owner"}, {"overlap": "quiet"}])
    def test_nonsense_is_refused(self, client, acme, admin, key, typed):
        client.force_login(admin)
        form = client.get(self.page(key)).context["form"]
        sent = {"token": form.new_token, "to": "organization", "overlap": "0"} | typed
        if not typed:
            del sent["to"]
        assert "errorlist" in client.post(self.page(key), sent).text
        assert code(key.secret) is Code.VALID

    def test_the_page_of_dangers_leads_there_for_others_keys(
        self, client, acme, admin, developer, key
    ):
        danger = reverse("keys:danger", args=["acme", key.identifier])
        client.force_login(developer)
        assert self.page(key) not in client.get(danger).text
        client.force_login(admin)
        assert self.page(key) in client.get(danger).text


REACHES = "What a key may do with API keys, it may do with those of its owner"


@pytest.mark.parametrize(
    ("scopes", "is_said"), [(["READ"], True), (["READ", "MANAGE"], False), ([], False)]
)
def test_whose_keys_it_reaches_then_is_said_where_that_changes(
    client, acme, admin, developer, scopes, is_said
):
    key = services.issue_key(
        actor=policy.OPERATOR, organization=acme, name="Lister", owner=developer, scopes=scopes
    )
    client.force_login(admin)
    one = reverse("keys:hand-over", args=["acme", key.identifier])
    all_ = reverse("keys:member-keys", args=["acme", acme.memberships.get(user=developer).pk])
    for page in (one, all_):
        assert (REACHES in words_of(client.get(page))) is is_said


def test_nothing_is_said_of_a_key_that_belongs_to_nobody(client, acme, admin):
    key = services.issue_key(
        actor=policy.OPERATOR, organization=acme, name="Lister", owner=None, scopes=["READ"]
    )
    client.force_login(admin)
    page = client.get(reverse("keys:hand-over", args=["acme", key.identifier]))
    assert REACHES not in words_of(page)


def test_the_trail_says_whose_it_is_then(client, acme, admin, key):
    services.hand_over_key(actor=admin, key=key, owner=None)
    client.force_login(admin)
    words = words_of(client.get(reverse("keys:key-audit", args=["acme", key.identifier])))
    assert re.search(r"Owner: developer@acme.example → +became +the organization", words)


def test_hygiene_leads_whoever_manages_to_the_hand_over(client, acme, admin, developer, key):
    services.update_person(actor=policy.OPERATOR, person=developer, is_active=False)
    client.force_login(admin)
    text = client.get(reverse("keys:hygiene-check", args=["acme", "owner_gone"])).text
    assert reverse("keys:hand-over", args=["acme", key.identifier]) in text
    assert "hands it over" in text


def test_a_program_that_manages_does_so_too(client, acme, manage_key, key):
    answer = client.post(
        f"/v1/api-keys/{key.pk}/hand-over",
        {},
        content_type="application/json",
        headers={"Authorization": f"Bearer {manage_key.secret}"},
    )
    assert answer.status_code == 200, answer.text
    key_now = APIKey.objects.get(pk=key.pk)
    assert key_now.owner is None
    assert code(key.secret) is Code.SECRET_RETIRED
    [secret] = [each for each in answer.json().values() if str(each).startswith("kh_")]
    assert code(secret) is Code.VALID
