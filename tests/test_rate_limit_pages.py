"""Rate limits on the pages of keys: typed, told in words, asked about, and what is left."""

import pytest
import time_machine

from keys import rates, services
from keys.models import APIKey
from tests.key_pages import fill, issue, listing, page_of, sign_in, text_of, words_of
from tests.test_editing import edit_form

pytestmark = pytest.mark.django_db

MINUTE = {"amount": 1500, "period": "minute"}
DAY = {"amount": 5, "period": "day"}


def limits_of(key) -> list[str]:
    return sorted(map(str, APIKey.objects.get(pk=key.pk).rate_limits.all()))


def test_a_new_key_gets_those_that_were_typed(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, name="Batch", rate_second="10", rate_day="5000")
    client.post(listing(acme, "create"), form)
    key = acme.api_keys.get(name="Batch")
    assert limits_of(key) == ["10/second", "5000/day"]


def test_the_summary_tells_them_while_they_are_typed(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, preview="1", rate_second="1", rate_minute="1500", rate_day="50000")
    page = words_of(client.post(listing(acme, "create"), form))
    told = "It may make at most 1 request a second, 1,500 requests a minute and 50,000 requests"
    assert told in page


@pytest.mark.parametrize("typed", ["0", "-1", "1.5", "many", "9" * 30])
def test_what_is_no_number_of_requests_is_told_at_its_field(developer, acme, typed):
    client = sign_in(developer)
    form = fill(client, acme, rate_hour=typed)
    response = client.post(listing(acme, "create"), form)
    assert list(response.context["form"].errors) == ["rate_hour"]
    assert not acme.api_keys.exists()
    page = words_of(client.post(listing(acme, "create"), form | {"preview": "1"}))
    assert "How often it may be used cannot be told yet" in page


def test_an_edit_changes_them_and_leaves_what_is_not_touched(developer, acme):
    key = issue(developer, acme, rate_limits=[MINUTE, DAY])
    client = sign_in(developer)
    assert client.post(page_of(key, "edit"), edit_form(client, key)).status_code == 302
    assert limits_of(key) == ["1500/minute", "5/day"]
    form = edit_form(client, key, rate_minute="20", rate_hour="30")
    assert client.post(page_of(key, "edit"), form).status_code == 302
    assert limits_of(key) == ["20/minute", "30/hour", "5/day"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rate_day": "6"}, "It may make at most 1,500 requests a minute and 6 requests a day."),
        ({"rate_day": "", "rate_minute": ""}, "until now a rate limit said how many"),
    ],
)
def test_letting_a_key_go_faster_is_asked_about(developer, acme, changes, sentence):
    key = issue(developer, acme, rate_limits=[MINUTE, DAY])
    client = sign_in(developer)
    form = edit_form(client, key) | changes
    assert sentence in words_of(client.post(page_of(key, "edit"), form))
    assert limits_of(key) == ["1500/minute", "5/day"]
    client.post(page_of(key, "edit"), form | {"confirm_wider": "on"})
    assert limits_of(key) != ["1500/minute", "5/day"]


def test_a_looser_limit_that_another_makes_moot_is_not_asked_about(developer, acme):
    key = issue(developer, acme, rate_limits=[MINUTE, DAY])
    client = sign_in(developer)
    # Five a day are no more than 1,500 a minute.
    form = edit_form(client, key) | {"rate_minute": ""}
    assert client.post(page_of(key, "edit"), form).status_code == 302
    assert limits_of(key) == ["5/day"]


def test_the_limits_tab_says_what_is_left_of_the_keys_and_the_organizations(admin, acme):
    key = issue(admin, acme, rate_limits=[MINUTE])
    services.update_organization(actor=admin, organization=acme, rate_limits=[DAY])
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False):
        rates.take(services.rates_of(APIKey.objects.get(pk=key.pk)), "refuse")
        page = words_of(sign_in(admin).get(page_of(key, "limits")))
    assert "1,500 requests a minute this key 1,499" in page
    assert "5 requests a day all keys of Acme together 4" in page


def test_the_limits_tab_says_when_nothing_counts(admin, acme, settings):
    key = issue(admin, acme, rate_limits=[MINUTE])
    settings.RATE_LIMIT_STORAGE = "redis://127.0.0.1:1/0"
    client = sign_in(admin)
    page = words_of(client.get(page_of(key, "limits")))
    assert "Requests are refused until it does." in page
    assert "1,500 requests a minute" in page
    services.update_organization(actor=admin, organization=acme, limiter_failure="allow")
    assert "let through uncounted" in words_of(client.get(page_of(key, "limits")))


def test_a_key_without_any_is_offered_some(developer, viewer, acme, key):
    assert "No rate limits" in words_of(sign_in(developer).get(page_of(key, "limits")))
    assert "#id_rate_second" in text_of(sign_in(developer).get(page_of(key, "limits")))


def test_the_export_names_them(admin, acme):
    issue(admin, acme, rate_limits=[DAY, MINUTE])
    table = b"".join(sign_in(admin).get(listing(acme, "export")).streaming_content).decode()
    assert ",1500/minute 5/day," in table
