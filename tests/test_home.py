"""Where people land: the home of an organization."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from keys import policy, services, tallies
from keys.models import MinuteBucket, UsageBucket
from keys.networks import parse_address
from keys.verification import Code
from tests.conftest import join
from tests.key_pages import sign_in, text_of

pytestmark = pytest.mark.django_db
IS_TOLD = True

HERE = parse_address("127.0.0.1")
HOUR = timedelta(hours=1)


def home_of(organization) -> str:
    return reverse("keys:overview", args=[organization.slug])


def count_use(key, ago: timedelta, outcome=Code.VALID, requests=1) -> None:
    moment = timezone.now() - ago
    UsageBucket.objects.create(
        key=key,
        secret=key.current_secret,
        hour=moment.replace(minute=0, second=0, microsecond=0),
        outcome=outcome,
        requests=requests,
    )
    tallies.recount(key.organization)


# Where one lands


def test_home_leads_to_the_organization_last_looked_at(owner, acme, other):
    join(other, owner, "readonly")
    client = sign_in(owner)
    assert client.get("/").url == home_of(acme)
    client.get(reverse("keys:list", args=["other"]))
    assert client.get("/").url == home_of(other)


def test_home_tells_somebody_without_an_organization_what_to_do(staff):
    response = sign_in(staff).get("/")
    assert response.status_code == 200
    assert "not in an organization yet" in text_of(response)
    assert "staff@keyhaven.example" in text_of(response)


# Without keys


def test_developer_of_an_organization_without_keys_is_told_how_to_begin(developer, acme):
    page = text_of(sign_in(developer).get(home_of(acme)))
    assert "lets a program call your services" in page
    assert page.count('class="button button--primary"') == 1
    assert reverse("keys:create", args=["acme"]) in page
    assert "curl -H" in page


def test_viewer_without_keys_is_not_offered_to_issue_one(viewer, acme, manage_key):
    page = text_of(sign_in(viewer).get(home_of(acme)))
    assert "No keys that you can see" in page
    assert reverse("keys:create", args=["acme"]) not in page


def test_home_of_revoked_keys_still_shows_their_past(owner, acme, key):
    services.revoke_key(actor=owner, key=key)
    seen = sign_in(owner).get(home_of(acme)).context
    assert seen["active"] == 0


# The four numbers


def test_numbers_count_what_the_person_sees(owner, developer, acme, key, manage_key):
    services.verify_key(secret=manage_key.secret, address=HERE)
    services.update_key(actor=owner, key=manage_key, expires_at=timezone.now() + 72 * HOUR)
    seen = sign_in(owner).get(home_of(acme)).context
    assert (seen["active"], seen["expiring"], seen["last_day"]["accepted"]) == (2, 1, 1)
    seen = sign_in(developer).get(home_of(acme)).context
    assert (seen["active"], seen["expiring"], seen["last_day"]["accepted"]) == (1, 0, 0)


def test_numbers_of_a_day_are_those_of_the_chart_of_a_day(owner, acme, key):
    for hours, requests in ((0, 5), (23, 7), (24, 100)):
        count_use(key, hours * HOUR, requests=requests)
        count_use(key, hours * HOUR, Code.LOCKED, requests=1)
    seen = sign_in(owner).get(home_of(acme)).context
    assert seen["last_day"] == {"accepted": 12, "refused": 2}
    assert sum(slot.accepted for slot in seen["slots"]) == 12
    assert sum(slot.refused for slot in seen["slots"]) == 2


def test_each_number_leads_to_where_it_can_be_seen(owner, acme, key):
    client = sign_in(owner)
    page = text_of(client.get(home_of(acme)))
    tiles = page.partition('class="tiles"')[2].partition('id="use"')[0]
    links = [part.partition('"')[0] for part in tiles.split('href="')[1:]]
    assert len(links) == 4
    for link in links:
        assert client.get(link.replace("&amp;", "&")).status_code == 200


# The chart and what it is made of


def test_chart_shows_a_day_up_to_now_unless_asked_otherwise(owner, acme, key):
    for hours, requests in ((0, 5), (20, 7), (25, 100)):
        count_use(key, hours * HOUR, requests=requests)
    slots = sign_in(owner).get(home_of(acme)).context["slots"]
    assert len(slots) == 24
    assert sum(slot.total for slot in slots) == 12


@pytest.mark.parametrize(
    ("asked", "total"), [("1h", 1), ("24h", 2), ("7d", 6), ("30d", 14), ("nonsense", 2)]
)
def test_range_is_chosen_by_a_plain_link(asked, total, owner, acme, key):
    MinuteBucket.objects.create(
        key=key,
        minute=timezone.now().replace(second=0, microsecond=0),
        outcome=Code.VALID,
        requests=1,
    )
    tallies.recount(acme)
    for ago, requests in ((2 * HOUR, 2), (72 * HOUR, 4), (480 * HOUR, 8)):
        count_use(key, ago, requests=requests)
    client = sign_in(owner)
    response = client.get(home_of(acme), {"range": asked})
    assert sum(slot.total for slot in response.context["slots"]) == total
    assert "?range=7d" in text_of(response)


def test_busiest_keys_and_reasons_of_refusal_are_ranked(owner, acme, key, manage_key):
    count_use(key, HOUR, requests=10)
    count_use(key, HOUR, Code.EXPIRED, requests=2)
    count_use(manage_key, HOUR, Code.FORBIDDEN_ADDRESS, requests=3)
    response = sign_in(owner).get(home_of(acme), {"range": "24h"})
    assert [(use.name, use.accepted, use.refused) for use in response.context["top_keys"]] == [
        ("Backend", 10, 2),
        ("Management", 0, 3),
    ]
    assert response.context["reasons"] == [(Code.FORBIDDEN_ADDRESS, 3), (Code.EXPIRED, 2)]
    assert "The address is not allowed" in text_of(response)


def test_use_of_other_peoples_keys_is_in_no_ranking(developer, acme, key, manage_key):
    count_use(manage_key, HOUR, requests=10)
    response = sign_in(developer).get(home_of(acme))
    assert response.context["top_keys"] == []
    assert "Management" not in text_of(response)


def test_htmx_gets_the_use_alone(owner, acme, key):
    response = sign_in(owner).get(home_of(acme), {"range": "7d"}, headers={"HX-Request": "true"})
    assert "<html" not in text_of(response)
    assert 'id="use"' in text_of(response)
    assert "HX-Request" in response["Vary"]


# Hygiene and changes


def test_what_is_worth_a_look_leads_to_its_keys(owner, acme, key):
    page = text_of(sign_in(owner).get(home_of(acme)))
    assert "1 key never expires" in page
    assert reverse("keys:hygiene-check", args=["acme", "never_expires"]) in page


def test_latest_changes_are_for_those_who_may_see_them(owner, developer, acme, key):
    page = text_of(sign_in(owner).get(home_of(acme)))
    assert "issued the key" in page
    assert reverse("keys:audit", args=["acme"]) in page
    page = text_of(sign_in(developer).get(home_of(acme)))
    assert "issued the key" not in page
    assert reverse("keys:audit", args=["acme"]) not in page


def test_suspended_organization_says_so(owner, acme, key):
    services.suspend_organization(actor=policy.OPERATOR, organization=acme)
    assert "suspended this organization" in text_of(sign_in(owner).get(home_of(acme)))


@pytest.mark.parametrize("count", [2, 40])
def test_home_asks_the_database_as_often_for_many_keys(
    count, owner, acme, django_assert_max_num_queries
):
    for number in range(count):
        key = services.issue_key(actor=owner, organization=acme, name=f"Key {number}")
        count_use(key, HOUR)
    client = sign_in(owner)
    client.get(home_of(acme))
    with django_assert_max_num_queries(16):
        assert client.get(home_of(acme)).status_code == 200
