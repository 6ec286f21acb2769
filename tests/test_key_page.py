"""The pages of one key, as the people of the cast meet them."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from keys import policy, services
from keys.models import AllowedIP, APIKey, AuditEvent, Decision, KeySecret, Role
from keys.models.keys import Status
from keys.networks import parse_address
from keys.verification import Code

pytestmark = pytest.mark.django_db

HERE = parse_address("127.0.0.1")
OFFICE = parse_address("192.0.2.7")
ELSEWHERE = parse_address("203.0.113.50")

TABS = ["detail", "limits", "access", "rotation", "activity", "key-audit", "danger", "print"]


def sign_in(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page_of(key, page="detail", *more) -> str:
    return reverse(f"keys:{page}", args=[key.organization.slug, key.identifier, *more])


def text_of(response) -> str:
    """Return what a page says, without its tags."""
    assert response.status_code == 200, response.status_code
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+([.,]?)", lambda space: space[1] or " ", text)


def issue(actor, organization, name="Office", **fields) -> APIKey:
    return services.issue_key(actor=actor, organization=organization, name=name, **fields)


def demote(person, organization) -> None:
    """Make somebody a mere reader."""
    services.update_member(
        actor=policy.OPERATOR,
        membership=organization.memberships.get(user=person),
        role=Role.objects.get(organization=None, name="readonly"),
    )


def networks_of(key) -> list[str]:
    """Return what is on the list of a key now, switched off or not."""
    return list(AllowedIP.objects.filter(key=key).values_list("network", flat=True))


def verdict_on(key, address=HERE, **question) -> Code:
    return services.verify_key(secret=key.secret, address=address, **question).code


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


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("person", ["developer", "owner", "staff"])
def test_every_tab_keeps_to_its_query_budget(
    tab, person, request, busy_key, django_assert_max_num_queries
):
    client = sign_in(request.getfixturevalue(person))
    client.get(page_of(busy_key))
    with django_assert_max_num_queries(12):
        assert client.get(page_of(busy_key, tab)).status_code == 200


def test_every_tab_names_the_key_its_status_and_its_label(developer, busy_key):
    client = sign_in(developer)
    for tab in TABS:
        page = text_of(client.get(page_of(busy_key, tab)))
        for words in ("Busy", "Active", busy_key.label):
            assert words in page, tab


def test_staff_lock_is_told_with_its_reason_on_every_tab(staff, developer, key):
    services.lock_key(actor=staff, key=key, reason="Found in a public repository")
    client = sign_in(developer)
    for tab in TABS:
        page = text_of(client.get(page_of(key, tab)))
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
    assert words in text_of(response)
    notice = re.search(r'class="notice [^"]*notice--step".*?</div>.*?</div>', _html(response), re.S)
    assert page_of(key, page) in notice[0]


def _html(response) -> str:
    return response.content.decode()


def test_person_who_only_reads_is_offered_no_change_on_any_tab(developer, acme, busy_key):
    demote(developer, acme)
    client = sign_in(developer)
    changes = ["edit", "rotate", "disable", "enable", "revoke", "lock"]
    for tab in TABS:
        page = _html(client.get(page_of(busy_key, tab)))
        for change in changes:
            assert page_of(busy_key, change) not in page, (tab, change)
        assert "<form" not in page.split("<main")[1].split("</main>")[0] or tab in (
            "activity",
            "access",
        ), tab
    for change in changes:
        assert client.get(page_of(busy_key, change)).status_code == 403
        assert client.post(page_of(busy_key, change)).status_code == 403
    access = _html(client.get(page_of(busy_key, "access")))
    assert "/remove/" not in access
    assert 'name="network"' not in access


def test_revoked_key_keeps_its_pages_and_offers_no_change(developer, busy_key):
    services.revoke_key(actor=developer, key=busy_key)
    client = sign_in(developer)
    for tab in TABS:
        response = client.get(page_of(busy_key, tab))
        assert "Revoked" in text_of(response)
        for change in ("edit", "rotate", "disable", "revoke"):
            assert page_of(busy_key, change) not in _html(response), (tab, change)
    assert "It is over" in text_of(client.get(page_of(busy_key, "danger")))


# Overview


def test_overview_shows_use_and_refusals(owner, acme):
    key = issue(owner, acme, allowed_ips=["192.0.2.0/24"])
    verdict_on(key, OFFICE, user_agent="curl/8")
    verdict_on(key, ELSEWHERE)
    page = text_of(sign_in(owner).get(page_of(key)))
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
    findings = _html(response).split('id="findings"')[1].split("</section>")[0]
    assert page_of(key, "edit") in findings
    assert page_of(key, "access") in findings
    assert "Usable from anywhere" in findings


def test_finding_is_told_to_who_may_only_read_and_nothing_is_offered(developer, acme):
    key = issue(developer, acme)
    demote(developer, acme)
    response = sign_in(developer).get(page_of(key))
    findings = _html(response).split('id="findings"')[1].split("</section>")[0]
    assert "Never expires" in findings
    assert "<a" not in findings


def test_ids_are_whole_and_copyable(owner, key):
    page = _html(sign_in(owner).get(page_of(key)))
    for value in (key.identifier, key.hash, key.slug):
        assert f">{value}</code>" in page


# Limits


def test_key_without_a_limit_says_so_and_offers_one(developer, viewer, acme, key):
    assert "No limit" in text_of(sign_in(developer).get(page_of(key, "limits")))
    assert page_of(key, "edit") in _html(sign_in(developer).get(page_of(key, "limits")))


def test_limits_say_what_is_left_and_when_it_is_full_again(developer, acme):
    with time_machine.travel(datetime(2026, 3, 4, 12, tzinfo=UTC), tick=False):
        key = issue(developer, acme, limit=Decimal("10.5"), limit_reset="daily")
        verdict_on(key, cost=Decimal("4.25"))
        page = text_of(sign_in(developer).get(page_of(key, "limits")))
    assert "Left 6.25" in page
    assert "Spent in this period 4.25" in page
    assert "next on 5 Mar 2026, 00:00 UTC" in page


def test_limits_say_when_it_is_spent_at_this_pace(developer, acme):
    with time_machine.travel(datetime(2026, 3, 2, 0, tzinfo=UTC), tick=False):
        key = issue(developer, acme, limit=Decimal(100), limit_reset="weekly")
    with time_machine.travel(datetime(2026, 3, 2, 1, tzinfo=UTC), tick=False):
        verdict_on(key, cost=Decimal(50))
    with time_machine.travel(datetime(2026, 3, 3, 0, tzinfo=UTC), tick=False):
        page = text_of(sign_in(developer).get(page_of(key, "limits")))
    assert "At this pace it is spent on Wednesday, 4 Mar 2026, 00:00 UTC." in page


def test_spent_limit_is_told(developer, acme):
    key = issue(developer, acme, limit=Decimal(1))
    verdict_on(key)
    assert "It is spent" in text_of(sign_in(developer).get(page_of(key, "limits")))


# Access: scopes


def scopes_on(response) -> dict[str, dict]:
    return {each["scope"].code: each for each in response.context["scopes"]}


def test_scopes_are_told_with_their_use(developer, key):
    for _time in range(3):
        verdict_on(key, scopes=["READ"])
    response = sign_in(developer).get(page_of(key, "access"))
    scopes = scopes_on(response)
    assert scopes["READ"]["use"].requests == 3
    assert scopes["DELETE"]["use"] is None
    assert "Never used" in text_of(response)
    # What is used has no "Remove" beside it; the three others do.
    assert _html(response).count('#id_access">Remove') == 3


def test_scopes_that_the_owner_lost_are_told_not_effective(developer, acme, key):
    """A key narrows with its owner."""
    demote(developer, acme)
    response = sign_in(developer).get(page_of(key, "access"))
    effective = {code: each["is_effective"] for code, each in scopes_on(response).items()}
    assert effective == {"READ": True, "CREATE": False, "UPDATE": False, "DELETE": False}
    assert text_of(response).count("Not effective") == 4  # thrice, and once explained


# Access: allowed IPs


def row_of(key, network):
    return key.allowed_ips.get(network=network)


def test_developer_adds_a_row(developer, key):
    client = sign_in(developer)
    row = {"network": "127.0.0.0/8", "effect": "allow", "comment": "this machine"}
    response = client.post(page_of(key, "access"), row, follow=True)
    assert "127.0.0.0/8 is on the list" in text_of(response)
    row = key.allowed_ips.get()
    assert (row.network, row.deny, row.comment) == ("127.0.0.0/8", False, "this machine")
    assert AuditEvent.objects.filter(action="apikey.updated").count() == 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("network", "10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("network", "0.0.0.0/0", "means everywhere"),
        ("network", "100%s", "names a zone"),
        ("network", "\0", "Null characters"),
        ("network", "", "required"),
        ("network", "127.0.0.1", "listed already"),
        ("effect", "maybe", "valid choice"),
        ("comment", "x" * 201, "at most 200"),
    ],
)
def test_odd_row_is_named_at_its_field_and_not_added(field, value, words, developer, acme):
    key = issue(developer, acme, allowed_ips=["127.0.0.1"])
    row = {"network": "192.0.2.1", "effect": "allow", "comment": "", field: value}
    response = sign_in(developer).post(page_of(key, "access"), row)
    assert words in " ".join(response.context["form"].errors[field])
    assert len(networks_of(key)) == 1


@pytest.mark.parametrize(
    ("listed", "row"),
    [
        ([], {"network": "192.0.2.1", "effect": "allow"}),
        (["127.0.0.1"], {"network": "127.0.0.0/8", "effect": "deny"}),
    ],
)
def test_row_that_shuts_out_who_adds_it_is_asked_about(listed, row, developer, acme):
    key = issue(developer, acme, allowed_ips=listed)
    client = sign_in(developer)
    row = {**row, "comment": ""}
    response = client.post(page_of(key, "access"), row)
    assert "Your own address, 127.0.0.1, is then not let through" in text_of(response)
    assert len(networks_of(key)) == len(listed)
    client.post(page_of(key, "access"), {**row, "confirm_lockout": "on"})
    assert len(networks_of(key)) == len(listed) + 1


def test_removing_the_last_row_asks_since_it_opens_the_key(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1"])
    client = sign_in(developer)
    address = page_of(key, "allowed-ip-remove", row_of(key, "192.0.2.1").pk)
    assert "the key works from anywhere" in text_of(client.post(address))
    assert len(networks_of(key)) == 1
    assert "is off the list" in text_of(client.post(address, {"confirmed": "on"}, follow=True))
    assert networks_of(key) == []


def test_removing_one_of_several_asks_nothing(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    client = sign_in(developer)
    client.post(page_of(key, "allowed-ip-remove", row_of(key, "192.0.2.1").pk))
    assert networks_of(key) == ["127.0.0.1"]


@pytest.mark.parametrize("action", ["allowed-ip-remove", "allowed-ip-switch"])
def test_taking_away_ones_own_address_is_asked_about(action, developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    client = sign_in(developer)
    address = page_of(key, action, row_of(key, "127.0.0.1").pk)
    page = text_of(client.post(address))
    assert "Your own address, 127.0.0.1, is not let through any more" in page
    assert "works from anywhere" not in page
    assert key.allowed_ips.filter(active=True).count() == 2
    client.post(address, {"confirmed": "on"})
    assert key.allowed_ips.filter(active=True).count() == 1


def test_row_is_switched_off_and_on(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    client = sign_in(developer)
    row = row_of(key, "192.0.2.1")
    address = page_of(key, "allowed-ip-switch", row.pk)
    assert "is switched off" in text_of(client.post(address, follow=True))
    assert verdict_on(key, parse_address("192.0.2.1")) is Code.FORBIDDEN_ADDRESS
    assert "counts again" in text_of(client.post(address, follow=True))
    assert verdict_on(key, parse_address("192.0.2.1")) is Code.VALID


def test_switching_off_the_last_row_asks_too(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1"])
    address = page_of(key, "allowed-ip-switch", row_of(key, "192.0.2.1").pk)
    assert "works from anywhere" in text_of(sign_in(developer).post(address))
    assert key.allowed_ips.get().active


def test_key_that_follows_the_servers_is_not_opened_by_its_last_row(developer, acme):
    services.add_server_address(actor=policy.OPERATOR, organization=acme, network="127.0.0.1")
    key = issue(developer, acme, allowed_ips=["192.0.2.1"], assign_server_ips=True)
    sign_in(developer).post(page_of(key, "allowed-ip-remove", row_of(key, "192.0.2.1").pk))
    assert networks_of(key) == []
    assert verdict_on(key, ELSEWHERE) is Code.FORBIDDEN_ADDRESS


def test_row_of_another_key_is_not_found(developer, acme, key):
    other = issue(developer, acme, allowed_ips=["192.0.2.1"])
    client = sign_in(developer)
    for action in ("allowed-ip-remove", "allowed-ip-switch"):
        address = page_of(key, action, other.allowed_ips.get().pk)
        assert client.post(address, {"confirmed": "on"}).status_code == 404
    assert other.allowed_ips.get().active


def test_row_of_a_locked_key_stays(developer, staff, acme):
    """T9: a locked key is not loosened by its people."""
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    services.lock_key(actor=staff, key=key)
    client = sign_in(developer)
    for action in ("allowed-ip-remove", "allowed-ip-switch"):
        address = page_of(key, action, row_of(key, "192.0.2.1").pk)
        assert client.post(address, {"confirmed": "on"}).status_code == 403
    row = {"network": "127.0.0.0/8", "effect": "allow"}
    assert client.post(page_of(key, "access"), row).status_code == 403
    assert key.allowed_ips.filter(active=True).count() == 2


def test_row_of_a_key_revoked_meanwhile_stays(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    services.revoke_key(actor=developer, key=key)
    client = sign_in(developer)
    row = {"network": "127.0.0.0/8", "effect": "allow", "comment": ""}
    for address, data in (
        (page_of(key, "allowed-ip-remove", row_of(key, "192.0.2.1").pk), {"confirmed": "on"}),
        (page_of(key, "access"), row),
    ):
        assert "nothing brings it back" in text_of(client.post(address, data, follow=True))
    assert len(networks_of(key)) == 2


def test_address_is_tested_by_what_enforces_it(owner, acme):
    key = issue(owner, acme, allowed_ips=["192.0.2.0/24"])
    client = sign_in(owner)
    access = page_of(key, "access")
    assert "is accepted" in text_of(client.get(access, {"address": "192.0.2.7"}))
    refused = text_of(client.get(access, {"address": "198.51.100.1"}))
    assert "the address is not allowed" in refused
    assert Code.FORBIDDEN_ADDRESS in refused
    for nonsense in ("10.1", "192.0.2.0/24", "fe80::1%eth0", "\0", "x" * 100):
        response = client.get(access, {"address": nonsense})
        assert response.status_code == 200
        assert response.context["address_form"].errors
    key.totals.refresh_from_db()
    assert (key.totals.requests, key.totals.refused) == (0, 0)


# Rotation


@pytest.fixture
def rotated(developer, key) -> APIKey:
    """The developer's key, of which the old secret still works."""
    services.rotate_key(actor=developer, key=key, overlap=timedelta(days=7))
    return key


def old_secret(key):
    return key.secrets.get(superseded_at__isnull=False)


def test_rotation_tells_which_secret_is_current_and_when_the_old_one_ends(developer, rotated):
    page = text_of(sign_in(developer).get(page_of(rotated, "rotation")))
    assert f"{KeySecret.objects.filter(key=rotated).first().label} Current" in page
    assert f"{old_secret(rotated).label} Old, still works" in page
    assert "in 7 days" in page
    assert page_of(rotated, "rotate") in _html(sign_in(developer).get(page_of(rotated, "rotation")))


def test_overlap_is_ended_after_a_question(developer, rotated):
    client = sign_in(developer)
    address = page_of(rotated, "retire", old_secret(rotated).pk)
    assert address in _html(client.get(page_of(rotated, "rotation")))
    assert "It was never used" in text_of(client.get(address))
    assert verdict_on(rotated) is Code.VALID
    assert "no longer works" in text_of(client.post(address, follow=True))
    assert verdict_on(rotated) is Code.SECRET_RETIRED


def test_old_secret_closes_when_it_was_quiet(developer, rotated):
    client = sign_in(developer)
    address = page_of(rotated, "quiet", old_secret(rotated).pk)
    response = client.post(address, {"hours": "3"}, follow=True)
    assert "ends when it was not used for 3 hours" in text_of(response)
    assert "in 3 hours" in text_of(response)
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
    assert "Hours without use:" in text_of(client.post(address, {"hours": hours}, follow=True))
    assert old_secret(rotated).quiet_hours is None


@pytest.mark.parametrize("page", ["retire", "quiet"])
def test_current_secret_is_not_ended_and_anothers_is_not_found(page, developer, key, manage_key):
    client = sign_in(developer)
    address = page_of(key, page, key.secrets.get().pk)
    assert "current secret" in text_of(client.post(address, {"hours": "1"}, follow=True))
    theirs = page_of(key, page, manage_key.secrets.get().pk)
    assert client.post(theirs, {"hours": "1"}).status_code == 404
    assert verdict_on(key) is verdict_on(manage_key) is Code.VALID


def test_admin_is_not_offered_the_rotation_of_another_persons_key(admin, key):
    """T7: whoever sees a secret can act as its owner."""
    client = sign_in(admin)
    assert page_of(key, "rotate") not in _html(client.get(page_of(key, "rotation")))
    assert client.get(page_of(key, "rotate")).status_code == 403


# Activity


def test_activity_tells_how_each_request_was_judged(developer, acme):
    key = issue(developer, acme, scopes=["READ"], allowed_ips=["192.0.2.0/24"])
    verdict_on(key, OFFICE, scopes=["READ"], user_agent="curl/8")
    verdict_on(key, ELSEWHERE)
    response = sign_in(developer).get(page_of(key, "activity"))
    page = text_of(response)
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
        _html(client.get(page_of(key, "activity"))),
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
    assert "Nothing matches" in text_of(
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
    assert "No activity yet" in text_of(sign_in(developer).get(page_of(key, "activity")))


# Audit


def test_history_is_for_those_who_may_see_it(developer, admin, key):
    assert "issued the key" in text_of(sign_in(admin).get(page_of(key, "key-audit")))
    page = text_of(sign_in(developer).get(page_of(key, "key-audit")))
    assert "issued the key" not in page
    assert "For admins" in page


def test_history_is_narrowed_by_what_was_done(admin, developer, key):
    services.disable_key(actor=developer, key=key)
    client = sign_in(admin)
    page = text_of(client.get(page_of(key, "key-audit"), {"action": "apikey.disabled"}))
    assert "disabled the key" in page
    assert "issued the key" not in page
    page = text_of(client.get(page_of(key, "key-audit"), {"action": "nonsense", "since": "x"}))
    assert "issued the key" in page


def test_history_of_another_key_is_elsewhere(admin, key, manage_key):
    services.disable_key(actor=admin, key=manage_key)
    assert "disabled the key" not in text_of(sign_in(admin).get(page_of(key, "key-audit")))


# Stopping


def test_looking_at_a_confirmation_changes_nothing(owner, key):
    client = sign_in(owner)
    for action in ("disable", "enable", "revoke"):
        assert client.get(page_of(key, action)).status_code == 200
    key.refresh_from_db()
    assert key.status is Status.ACTIVE


def test_developer_disables_and_enables_their_key(developer, key):
    client = sign_in(developer)
    assert page_of(key, "disable") in _html(client.get(page_of(key, "danger")))
    client.post(page_of(key, "disable"))
    assert verdict_on(key) is Code.DISABLED
    assert page_of(key, "enable") in _html(client.get(page_of(key, "danger")))
    client.post(page_of(key, "enable"))
    assert verdict_on(key) is Code.VALID


def test_developer_revokes_their_key_for_good(developer, key):
    client = sign_in(developer)
    response = client.post(page_of(key, "revoke"), follow=True)
    assert "revoked for good" in text_of(response)
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
    assert "as staff" in text_of(page)
    assert page_of(key, "lock") in _html(page)
    assert page_of(key, "edit") not in _html(page)
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
    page = text_of(response)
    for words in (
        busy_key.identifier, busy_key.hash, "192.0.2.0/24", "office", "198.51.100.1", "DELETE",
        *(secret.label for secret in busy_key.secrets.all()), "issued the key", "full again every",
    ):  # fmt: skip
        assert words in page, words
    sheet = _html(response).split('class="sheet__part"', 1)[1].split("</main>")[0]
    assert not re.search(r"<(form|input|button|select)", sheet)
