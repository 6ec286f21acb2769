"""The pages of one key, as the people of the cast meet them."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.utils import timezone

from keys import policy, services
from keys.models import APIKey, AuditEvent, Decision, KeySecret
from keys.models.keys import Status
from keys.networks import parse_address
from keys.verification import Code
from tests.key_pages import (
    ELSEWHERE,
    demote,
    issue,
    page_of,
    sign_in,
    text_of,
    verdict_on,
    words_of,
)

pytestmark = pytest.mark.django_db
IS_TOLD = True

OFFICE = parse_address("192.0.2.7")

TABS = ["detail", "limits", "access", "rotation", "activity", "key-audit", "danger", "print"]


# Every tab


@pytest.fixture
def busy_key(acme, developer) -> APIKey:
    """A key with everything that a page could show, used and refused."""
    services.add_server_address(actor=policy.OPERATOR, organization=acme, network="198.51.100.1")
    key = issue(
        developer,
        acme,
        "Busy",
        scopes=["READ", "CREATE", "UPDATE", "DELETE"],
        allowed_ips=["127.0.0.1", {"network": "192.0.2.0/24", "comment": "office"}],
        assign_server_ips=True,
        limit=Decimal(50),
        limit_reset="weekly",
    )
    for number in range(12):
        verdict_on(key, parse_address(f"192.0.2.{number}"), scopes=["READ"], user_agent="curl/8")
        verdict_on(key, ELSEWHERE)
    return services.rotate_key(actor=developer, key=key, overlap=timedelta(days=1))


@pytest.mark.parametrize("person", ["developer", "owner", "staff"])
def test_every_tab_keeps_to_its_query_budget(
    person, request, busy_key, django_assert_max_num_queries
):
    client = sign_in(request.getfixturevalue(person))
    client.get(page_of(busy_key))
    # One asks whether it is remembered already that staff looked.
    most = 14 if person == "staff" else 13
    for tab in TABS:
        with django_assert_max_num_queries(most, info=tab):
            assert client.get(page_of(busy_key, tab)).status_code == 200, tab


def test_every_tab_names_the_key_its_status_and_its_label(developer, busy_key):
    client = sign_in(developer)
    for tab in TABS:
        page = words_of(client.get(page_of(busy_key, tab)))
        for words in ("Busy", "Active", busy_key.label):
            assert words in page, tab


def test_staff_lock_is_told_with_its_reason_on_every_tab(staff, developer, key):
    services.lock_key(actor=staff, key=key, reason="Found in a public repository")
    client = sign_in(developer)
    for tab in TABS:
        page = words_of(client.get(page_of(key, tab)))
        assert "Found in a public repository" in page, tab
        assert page_of(key, "edit") not in client.get(page_of(key, tab)).content.decode(), tab


@pytest.mark.parametrize(
    ("changes", "page", "words"),
    [
        ({"disabled": True}, "enable", "until somebody enables the key again"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "edit", "choose a later expiry"),
        ({"not_before": datetime(2099, 1, 1, tzinfo=UTC)}, "edit", "refused until then"),
        ({"limit": Decimal(0)}, "edit", "until the limit is raised"),
    ],
)
def test_header_says_what_to_do_now_and_leads_there(changes, page, words, developer, key):
    APIKey.objects.filter(pk=key.pk).update(**changes)
    response = sign_in(developer).get(page_of(key))
    assert words in words_of(response)
    notice = re.search(
        r'class="notice [^"]*notice--step".*?</div>.*?</div>', text_of(response), re.S
    )
    assert page_of(key, page) in notice[0]


def test_person_who_only_reads_is_offered_no_change_on_any_tab(developer, acme, busy_key):
    demote(developer, acme)
    client = sign_in(developer)
    changes = ["edit", "rotate", "disable", "enable", "revoke", "lock"]
    for tab in TABS:
        page = text_of(client.get(page_of(busy_key, tab)))
        for change in changes:
            assert page_of(busy_key, change) not in page, (tab, change)
        assert "<form" not in page.split("<main")[1].split("</main>")[0] or tab in (
            "activity",
            "access",
        ), tab
    for change in changes:
        assert client.get(page_of(busy_key, change)).status_code == 403
        assert client.post(page_of(busy_key, change)).status_code == 403
    access = text_of(client.get(page_of(busy_key, "access")))
    assert "/remove/" not in access
    assert 'name="network"' not in access


def test_revoked_key_keeps_its_pages_and_offers_no_change(developer, busy_key):
    services.revoke_key(actor=developer, key=busy_key)
    client = sign_in(developer)
    for tab in TABS:
        response = client.get(page_of(busy_key, tab))
        assert "Revoked" in words_of(response)
        for change in ("edit", "rotate", "disable", "revoke"):
            assert page_of(busy_key, change) not in text_of(response), (tab, change)
    assert "It is over" in words_of(client.get(page_of(busy_key, "danger")))


# Overview


def test_overview_shows_use_and_refusals(owner, acme):
    key = issue(owner, acme, allowed_ips=["192.0.2.0/24"])
    verdict_on(key, OFFICE, user_agent="curl/8")
    verdict_on(key, ELSEWHERE)
    page = words_of(sign_in(owner).get(page_of(key)))
    assert "from 192.0.2.7 with curl/8" in page
    assert "Address not allowed" in page
    assert "203.0.113.50" in page.split("Top addresses")[1]


@pytest.mark.parametrize("span", ["1h", "24h", "7d", "30d", "", "forever", "\0"])
def test_overview_looks_as_far_back_as_asked(span, owner, key):
    response = sign_in(owner).get(page_of(key), {"range": span})
    chosen = span if span in ("1h", "24h", "7d", "30d") else "30d"
    assert response.context["span"] == chosen
    assert len(response.context["slots"]) > 5


def test_overview_leads_from_a_finding_to_where_it_is_put_right(developer, acme):
    key = issue(developer, acme, expires_at=timezone.now() + timedelta(days=3))
    response = sign_in(developer).get(page_of(key))
    findings = text_of(response).split('id="findings"')[1].split("</section>")[0]
    assert page_of(key, "edit") in findings
    assert page_of(key, "access") in findings
    assert "Usable from anywhere" in findings


def test_finding_is_told_to_who_may_only_read_and_nothing_is_offered(developer, acme):
    key = issue(developer, acme)
    demote(developer, acme)
    response = sign_in(developer).get(page_of(key))
    findings = text_of(response).split('id="findings"')[1].split("</section>")[0]
    assert "Never expires" in findings
    assert "<a" not in findings


def test_ids_are_whole_and_copyable(owner, key):
    page = text_of(sign_in(owner).get(page_of(key)))
    for value in (key.identifier, key.hash, key.slug):
        assert f">{value}</code>" in page


# Limits


def test_key_without_a_limit_says_so_and_offers_one(developer, viewer, acme, key):
    assert "No limit" in words_of(sign_in(developer).get(page_of(key, "limits")))
    assert page_of(key, "edit") in text_of(sign_in(developer).get(page_of(key, "limits")))


def test_limits_say_what_is_left_and_when_it_is_full_again(developer, acme):
    with time_machine.travel(datetime(2026, 3, 4, 12, tzinfo=UTC), tick=False):
        key = issue(developer, acme, limit=Decimal("10.5"), limit_reset="daily")
        verdict_on(key, cost=Decimal("4.25"))
        page = words_of(sign_in(developer).get(page_of(key, "limits")))
    assert "Left 6.25" in page
    assert "Spent in this period 4.25" in page
    assert "next on 5 Mar 2026, 00:00 UTC" in page


def test_limits_say_when_it_is_spent_at_this_pace(developer, acme):
    with time_machine.travel(datetime(2026, 3, 2, 0, tzinfo=UTC), tick=False):
        key = issue(developer, acme, limit=Decimal(100), limit_reset="weekly")
    with time_machine.travel(datetime(2026, 3, 2, 1, tzinfo=UTC), tick=False):
        verdict_on(key, cost=Decimal(50))
    with time_machine.travel(datetime(2026, 3, 3, 0, tzinfo=UTC), tick=False):
        page = words_of(sign_in(developer).get(page_of(key, "limits")))
    assert "At this pace it is spent on Wednesday, 4 Mar 2026, 00:00 UTC." in page


def test_spent_limit_is_told(developer, acme):
    key = issue(developer, acme, limit=Decimal(1))
    verdict_on(key)
    assert "It is spent" in words_of(sign_in(developer).get(page_of(key, "limits")))


# Rotation


@pytest.fixture
def rotated(developer, key) -> APIKey:
    """The developer's key, of which the old secret still works."""
    services.rotate_key(actor=developer, key=key, overlap=timedelta(days=7))
    return key


def old_secret(key):
    return key.secrets.get(superseded_at__isnull=False)


def test_rotation_tells_which_secret_is_current_and_when_the_old_one_ends(developer, rotated):
    page = words_of(sign_in(developer).get(page_of(rotated, "rotation")))
    assert f"{KeySecret.objects.filter(key=rotated).first().label} Current" in page
    assert f"{old_secret(rotated).label} Old, still works" in page
    assert "in 7 days" in page
    assert page_of(rotated, "rotate") in text_of(
        sign_in(developer).get(page_of(rotated, "rotation"))
    )


def test_overlap_is_ended_after_a_question(developer, rotated):
    client = sign_in(developer)
    address = page_of(rotated, "retire", old_secret(rotated).pk)
    assert address in text_of(client.get(page_of(rotated, "rotation")))
    assert "It was never used" in words_of(client.get(address))
    assert verdict_on(rotated) is Code.VALID
    assert "no longer works" in words_of(client.post(address, follow=True))
    assert verdict_on(rotated) is Code.SECRET_RETIRED


def test_old_secret_closes_when_it_was_quiet(developer, rotated):
    client = sign_in(developer)
    address = page_of(rotated, "quiet", old_secret(rotated).pk)
    response = client.post(address, {"hours": "3"}, follow=True)
    assert "ends when it was not used for 3 hours" in words_of(response)
    assert "in 3 hours" in words_of(response)
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        assert verdict_on(rotated) is Code.VALID
    with time_machine.travel(timezone.now() + timedelta(hours=4)):
        assert verdict_on(rotated) is Code.VALID
    with time_machine.travel(timezone.now() + timedelta(hours=8)):
        assert verdict_on(rotated) is Code.SECRET_RETIRED


@pytest.mark.parametrize("hours", ["", "0", "-1", "721", "9" * 30, "1.5", "\0", "soon"])
def test_odd_hours_change_nothing_and_are_named(hours, developer, rotated):
    client = sign_in(developer)
    address = page_of(rotated, "quiet", old_secret(rotated).pk)
    assert "Hours without use:" in words_of(client.post(address, {"hours": hours}, follow=True))
    assert old_secret(rotated).quiet_hours is None


@pytest.mark.parametrize("page", ["retire", "quiet"])
def test_current_secret_is_not_ended_and_anothers_is_not_found(page, developer, key, manage_key):
    client = sign_in(developer)
    address = page_of(key, page, key.secrets.get().pk)
    assert "current secret" in words_of(client.post(address, {"hours": "1"}, follow=True))
    theirs = page_of(key, page, manage_key.secrets.get().pk)
    assert client.post(theirs, {"hours": "1"}).status_code == 404
    assert verdict_on(key) is verdict_on(manage_key) is Code.VALID


def test_admin_is_not_offered_the_rotation_of_another_persons_key(admin, key):
    """T7: whoever sees a secret can act as its owner."""
    client = sign_in(admin)
    assert page_of(key, "rotate") not in text_of(client.get(page_of(key, "rotation")))
    assert client.get(page_of(key, "rotate")).status_code == 403


# Activity


def test_activity_tells_how_each_request_was_judged(developer, acme):
    key = issue(developer, acme, scopes=["READ"], allowed_ips=["192.0.2.0/24"])
    verdict_on(key, OFFICE, scopes=["READ"], user_agent="curl/8")
    verdict_on(key, ELSEWHERE)
    response = sign_in(developer).get(page_of(key, "activity"))
    page = words_of(response)
    assert [each.outcome for each in response.context["page"].rows] == [
        Code.FORBIDDEN_ADDRESS,
        Code.VALID,
    ]
    for words in ("Accepted", "The address is not allowed", "192.0.2.7", "curl/8", "READ"):
        assert words in page


def test_activity_leads_to_an_explanation_of_the_same_request(developer, acme):
    key = issue(developer, acme, scopes=["READ"], allowed_ips=["192.0.2.0/24"])
    verdict_on(key, ELSEWHERE, scopes=["orders:read"])
    client = sign_in(developer)
    link = re.search(
        r'href="([^"]*/explain/\?key=[^"]*address[^"]*)"',
        text_of(client.get(page_of(key, "activity"))),
    )[1].replace("&amp;", "&")
    explanation = client.get(link).context["explanation"]
    assert explanation.code is Code.FORBIDDEN_ADDRESS
    assert explanation.secret.key == key
    assert explanation.question.scopes == {"orders:read"}


def test_activity_is_narrowed_by_outcome_and_address(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.0/24"])
    for address in (OFFICE, ELSEWHERE, ELSEWHERE):
        verdict_on(key, address)
    client = sign_in(developer)

    def shown(**filters):
        return len(client.get(page_of(key, "activity"), filters).context["page"].rows)

    assert shown() == 3
    assert shown(outcome="refused") == 2
    assert shown(outcome="VALID") == 1
    assert shown(outcome="FORBIDDEN_ADDRESS", address="192.0.2.7") == 0
    assert shown(address="::ffff:192.0.2.7") == 1
    assert shown(address="nonsense", outcome="\0") == 3
    assert "Nothing matches" in words_of(
        client.get(page_of(key, "activity"), {"outcome": "EXPIRED"})
    )


def test_activity_pages_forth_and_back(developer, key):
    Decision.objects.bulk_create(
        Decision(
            key=key, secret=key.secrets.get(), at=timezone.now(), outcome=Code.VALID, door="verify"
        )
        for _number in range(60)
    )
    client = sign_in(developer)
    numbers, address = [], {}
    for _page in range(3):
        page = client.get(page_of(key, "activity"), address).context["page"]
        numbers += [each.pk for each in page.rows]
        address = {"after": page.older}
    assert numbers == sorted(Decision.objects.values_list("pk", flat=True), reverse=True)
    assert page.older is None
    back = client.get(page_of(key, "activity"), {"before": page.newer}).context["page"]
    assert [each.pk for each in back.rows] == numbers[25:50]
    for place in ("zzz", "-1", "\0", "9" * 40):
        assert client.get(page_of(key, "activity"), {"after": place}).status_code == 200


def test_key_without_activity_says_what_will_be_there(developer, key):
    assert "No activity yet" in words_of(sign_in(developer).get(page_of(key, "activity")))


# Audit


def test_history_is_for_those_who_may_see_it(developer, admin, key):
    assert "issued the key" in words_of(sign_in(admin).get(page_of(key, "key-audit")))
    page = words_of(sign_in(developer).get(page_of(key, "key-audit")))
    assert "issued the key" not in page
    assert "For admins" in page


def test_history_is_narrowed_by_what_was_done(admin, developer, key):
    services.disable_key(actor=developer, key=key)
    client = sign_in(admin)
    page = words_of(client.get(page_of(key, "key-audit"), {"action": "apikey.disabled"}))
    assert "disabled the key" in page
    assert "issued the key" not in page
    page = words_of(client.get(page_of(key, "key-audit"), {"action": "nonsense", "since": "x"}))
    assert "issued the key" in page


def test_history_of_another_key_is_elsewhere(admin, key, manage_key):
    services.disable_key(actor=admin, key=manage_key)
    assert "disabled the key" not in words_of(sign_in(admin).get(page_of(key, "key-audit")))


# Stopping


def test_looking_at_a_confirmation_changes_nothing(owner, key):
    client = sign_in(owner)
    for action in ("disable", "enable", "revoke"):
        assert client.get(page_of(key, action)).status_code == 200
    key.refresh_from_db()
    assert key.status is Status.ACTIVE


def test_developer_disables_and_enables_their_key(developer, key):
    client = sign_in(developer)
    assert page_of(key, "disable") in text_of(client.get(page_of(key, "danger")))
    client.post(page_of(key, "disable"))
    assert verdict_on(key) is Code.DISABLED
    assert page_of(key, "enable") in text_of(client.get(page_of(key, "danger")))
    client.post(page_of(key, "enable"))
    assert verdict_on(key) is Code.VALID


def test_developer_revokes_their_key_for_good(developer, key):
    client = sign_in(developer)
    response = client.post(page_of(key, "revoke"), follow=True)
    assert "revoked for good" in words_of(response)
    assert verdict_on(key) is Code.REVOKED
    for action in ("edit", "rotate", "disable", "enable", "revoke"):
        for answer in (client.get, client.post):
            assert answer(page_of(key, action)).url == page_of(key)
    assert AuditEvent.objects.filter(action="apikey.revoked").count() == 1


def test_change_made_on_a_page_is_recorded_with_its_origin(developer, key):
    sign_in(developer).post(page_of(key, "disable"))
    event = AuditEvent.objects.get(action="apikey.disabled")
    assert (event.actor_user, event.door, event.address) == (developer, "page", "127.0.0.1")
    assert event.request_id


def test_staff_lock_with_a_reason_and_unlock_but_do_not_change(staff, acme, key):
    client = sign_in(staff)
    page = client.get(page_of(key, "danger"))
    assert "as staff" in words_of(page)
    assert page_of(key, "lock") in text_of(page)
    assert page_of(key, "edit") not in text_of(page)
    assert client.get(page_of(key, "edit")).status_code == 403
    client.post(page_of(key, "lock"), {"reason": "Leaked"})
    key.refresh_from_db()
    assert key.lock_reason == "Leaked"
    assert verdict_on(key) is Code.LOCKED
    client.post(page_of(key, "unlock"))
    assert verdict_on(key) is Code.VALID


@pytest.mark.parametrize("reason", ["x" * 201, "\0"])
def test_odd_reason_locks_nothing(reason, staff, key):
    response = sign_in(staff).post(page_of(key, "lock"), {"reason": reason})
    assert response.context["form"].errors["reason"]
    assert verdict_on(key) is Code.VALID


# On paper


def test_sheet_holds_all_about_the_key_and_nothing_to_press(admin, busy_key):
    response = sign_in(admin).get(page_of(busy_key, "print"))
    page = words_of(response)
    for words in (
        busy_key.identifier, busy_key.hash, "192.0.2.0/24", "office", "198.51.100.1", "DELETE",
        *(secret.label for secret in busy_key.secrets.all()), "issued the key", "full again every",
    ):  # fmt: skip
        assert words in page, words
    sheet = text_of(response).split('class="sheet__part"', 1)[1].split("</main>")[0]
    # Paper knows no "3 days ago".
    assert not re.search(r"just now|\bago\b", sheet)
    assert not re.search(r"<(form|input|button|select)", sheet)
