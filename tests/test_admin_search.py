"""Search at the staff door: anything by any name it has, and no secret left anywhere."""

import pytest

from keys import services
from keys.models import AuditEvent
from tests.staff_pages import page

SEARCH = "/admin/search/"


def find(client, term: str, **options):
    return client.post(SEARCH, {"term": term}, **options)


class TestKeysAreFound:
    @pytest.mark.parametrize(
        "term",
        [
            lambda key: key.identifier,
            lambda key: key.hash,
            lambda key: key.name.upper(),
            lambda key: key.slug,
            lambda key: key.label,
            lambda key: f" {key.secret}\n",
        ],
        ids=["identifier", "hash", "name", "short name", "label", "whole key"],
    )
    def test_the_one_key_is_gone_to(self, as_staff, key, strangers_key, term):
        assert find(as_staff, term(key)).url == page("apikey_change", key.pk)

    def test_by_number_and_by_the_last_characters(self, as_staff, key, strangers_key):
        # Others may be found too: a number may be an organization's, an end another key's.
        for term in (str(key.pk), key.secret[-3:], key.secret[-4:]):
            response = find(as_staff, term, follow=True)
            assert page("apikey_change", key.pk) in response.text + response.request["PATH_INFO"]

    @pytest.mark.parametrize("ending", ["", "x", "-and-more"])
    def test_an_unknown_or_mistyped_key_is_not_repeated(self, as_staff, key, ending):
        secret = "kh_" + "A" * 40 + ending

        response = find(as_staff, secret)

        assert "No key has this secret." in response.text
        assert secret not in response.text

    @pytest.mark.parametrize("line", ["Authorization: Bearer %s", "key=%s", "“%s”", "%s..."])
    def test_the_key_in_a_line_is_found_and_not_repeated(self, as_staff, key, line):
        found = find(as_staff, line % key.secret)
        unknown = find(as_staff, line % ("kh_" + "A" * 47))

        assert found.url == page("apikey_change", key.pk)
        assert "A" * 47 not in unknown.text

    def test_a_list_does_not_repeat_the_key_in_a_line(self, as_staff, key):
        response = as_staff.get(page("apikey_changelist"), {"q": f"key={key.secret}"}, follow=True)

        assert "Consider rotating it" in response.text
        assert key.secret not in response.text

    def test_a_key_that_was_rotated_is_found_by_the_old_secret(self, as_staff, developer, key):
        old = key.secret
        services.rotate_key(actor=developer, key=key)

        assert find(as_staff, old).url == page("apikey_change", key.pk)


class TestEverythingElseIsFound:
    def test_an_organization_by_short_name(self, as_staff, acme, other):
        text = find(as_staff, "other").text

        assert page("organization_change", other.pk) in text
        assert page("organization_change", acme.pk) not in text

    def test_a_person_by_address(self, as_superuser, owner):
        assert find(as_superuser, "OWNER@acme.example").url == page("user_change", owner.pk)

    def test_staff_who_see_no_accounts_go_to_the_keys_of_a_person(self, as_staff, owner, acme):
        url = find(as_staff, "owner@acme.example").url

        assert url == page("apikey_changelist", owner__id__exact=owner.pk)
        assert as_staff.get(url).status_code == 200

    def test_staff_find_no_person_without_an_organization(self, as_staff, stranger):
        response = find(as_staff, stranger.email)

        assert "Nothing is called" in response.text

    def test_what_a_request_changed(self, as_staff, key):
        as_staff.post(page("apikey_press", key.pk, "lock"), {"reason": "Leaked"})
        event = AuditEvent.objects.get(action="apikey.locked")

        assert find(as_staff, event.request_id).url == page("auditevent_change", event.pk)

    def test_several_hits_are_listed_by_kind(self, as_staff, acme, key, manage_key, owner):
        services.update_key(actor=owner, key=manage_key, name="Acme manager")

        text = find(as_staff, "acme").text

        for heading in ("API keys", "Organizations", "People"):
            assert f">{heading}</h2>" in text
        assert page("apikey_change", manage_key.pk) in text
        assert page("organization_change", acme.pk) in text


@pytest.mark.parametrize(
    "term", ["nothing like it", "9" * 40, "²", "%", "_", "🗝", "\x00", "=1", ""]
)
def test_nonsense_finds_nothing_and_never_fails(as_staff, key, term):
    response = find(as_staff, term)

    assert response.status_code == 200
    assert page("apikey_change", key.pk) not in response.text


def test_a_term_in_the_address_is_not_looked_for(as_staff, key):
    response = as_staff.get(SEARCH, {"term": key.identifier})

    assert response.status_code == 200
    assert page("apikey_change", key.pk) not in response.text


def test_a_search_costs_few_queries(as_staff, acme, owner, key, django_assert_max_num_queries):
    for number in range(12):
        services.issue_key(actor=owner, organization=acme, name=f"Back {number}")
    find(as_staff, "back")  # that somebody searched is recorded once
    with django_assert_max_num_queries(19):  # the menu asks the policy about each list
        find(as_staff, "back")


class TestOddTerms:
    @pytest.mark.parametrize("term", ["1" * 5000, "x" * 100_000, "9" * 19, "²", "%", "\x00"])
    def test_find_nothing_and_do_not_fail(self, as_staff, key, term):
        assert page("apikey_change", key.pk) not in find(as_staff, term).text

    @pytest.mark.parametrize("model", ["apikey", "auditevent", "decision", "organization", "user"])
    def test_a_list_is_not_searched_for_thousands_of_words(self, as_superuser, key, model):
        response = as_superuser.get(page(f"{model}_changelist"), {"q": "a " * 2000})

        assert response.status_code == 200
        assert list(response.context["cl"].result_list) == []
        assert "Search for at most 200 characters" in response.text

    def test_a_term_that_is_too_long_is_refused_by_its_length(self, as_staff, key):
        text = find(as_staff, "back " * 50).text
        assert "Search for at most 200 characters; this has 249." in text
        assert "Nothing is called" not in text
