"""The list of keys, as the people of the cast meet it."""

import csv
import io
import re

import pytest
from django.urls import reverse
from django.utils import timezone

from keys import hygiene, services
from keys.models import APIKey, AuditEvent, KeySecret, KeyUsage, Membership, Role
from keys.secrets import FORMATS, generate
from tests.conftest import make_many
from tests.key_pages import issue, listing, page_of, sign_in, text_of

pytestmark = pytest.mark.django_db


def names_on(response) -> list[str]:
    return [key.name for key in response.context["page"].keys]


# The list


def test_keys_that_fail_a_check_are_looked_for_by_the_page(owner, acme, monkeypatch):
    """Nobody waits here either until a million keys were looked at one by one."""
    monkeypatch.setattr(hygiene, "MOST_LOOKED_THROUGH", 2)
    issue(owner, acme, name="Open")
    for number in range(3):
        issue(owner, acme, name=f"Kept {number}", allowed_ips=["192.0.2.1"])
    client, asked = sign_in(owner), {"hygiene": "no_ip_list"}
    first = client.get(listing(acme), asked)
    assert names_on(first) == []
    assert "None among these 2 keys" in text_of(first)
    after = first.context["page"].after
    link = f'href="{listing(acme)}?hygiene=no_ip_list&amp;after={after}"'
    assert link in first.content.decode()
    second = client.get(listing(acme), {**asked, "after": after})
    assert names_on(second) == ["Open"]
    assert "Begin with the oldest" in text_of(first)
    oldest = client.get(listing(acme), {**asked, "ordering": "created_at"})
    assert names_on(oldest) == ["Open"]
    assert "2 keys were looked at for these" in text_of(oldest)
    assert names_on(client.get(listing(acme), {**asked, "search": "open"})) == ["Open"]


def test_developer_sees_their_own_keys_and_admin_sees_all(developer, admin, acme, key, manage_key):
    assert "Management" not in text_of(sign_in(developer).get(listing(acme)))
    everything = text_of(sign_in(admin).get(listing(acme)))
    assert "Management" in everything
    assert "Backend" in everything


def test_viewer_is_offered_nothing_that_would_be_refused(viewer, acme):
    client = sign_in(viewer)
    page = text_of(client.get(listing(acme)))
    assert "No keys yet" in page
    assert "your role does not issue any" in page
    assert listing(acme, "create") not in page
    assert client.get(listing(acme, "create")).status_code == 403


def test_list_names_what_is_wrong_with_a_filter(owner, acme, key):
    response = sign_in(owner).get(
        listing(acme), {"status": "shiny", "workspace": "x", "ordering": "y", "search": "a\0b"}
    )
    assert response.status_code == 200
    assert "Status: Select a valid choice" in text_of(response)
    assert "Backend" in text_of(response)


def test_page_that_emptied_beyond_its_place_leads_back_to_the_start(owner, acme):
    """Who revoked the last page's keys is not told that no key is left."""
    older, newer = [issue(owner, acme, name=name) for name in ("Older", "Newer")]
    services.revoke_key(actor=owner, key=older)
    page = sign_in(owner).get(listing(acme), {"ordering": "name", "before": newer.identifier})
    assert names_on(page) == []
    assert "None further on" in text_of(page)
    assert f'href="{listing(acme)}?ordering=name"' in text_of(page)
    assert "No live keys" not in text_of(page)


def test_list_pages_forth_and_back_without_counting(owner, acme):
    keys = make_many(acme, owner, 60)
    client = sign_in(owner)
    first = client.get(listing(acme))
    second = client.get(listing(acme), {"after": first.context["page"].after})
    third = client.get(listing(acme), {"after": second.context["page"].after})
    shown = [key.pk for page in (first, second, third) for key in page.context["page"].keys]
    assert shown == sorted((key.pk for key in keys), reverse=True)
    assert first.context["page"].before is None
    assert third.context["page"].after is None
    back = client.get(listing(acme), {"before": third.context["page"].before})
    assert back.context["page"].keys == second.context["page"].keys


@pytest.mark.parametrize("place", ["zzz", "\0", "x" * 9000, "a" * 24])
def test_list_begins_anew_at_a_place_that_does_not_exist(place, owner, acme, key):
    response = sign_in(owner).get(listing(acme), {"after": place})
    assert response.status_code == 200
    assert "Backend" in text_of(response)


@pytest.mark.parametrize("count", [10, 1000, pytest.param(10_000, marks=pytest.mark.wide)])
def test_list_asks_the_database_as_often_for_many_keys(
    count, owner, acme, django_assert_max_num_queries
):
    """Also where it is narrowed, sorted and somewhere in the middle."""
    make_many(acme, owner, count)
    client = sign_in(owner)
    client.get(listing(acme))
    middle = APIKey.objects.order_by("pk")[count // 2].identifier
    for query in (
        {},
        {"ordering": "name", "after": middle},
        {"search": "key", "scope": "READ", "hygiene": "no_ip_list"},
        {"workspace": str(acme.workspaces.get().pk), "ordering": "-last_used_at"},
    ):
        # Among very many, what is typed is looked up in each of its indexes.
        with django_assert_max_num_queries(19 if "search" in query and count > 1000 else 16):
            response = client.get(listing(acme), query)
        assert len(response.context["page"].keys) >= min(count // 2 - 1, 25), query


def test_htmx_gets_the_rows_alone(owner, acme, key):
    response = sign_in(owner).get(listing(acme), headers={"HX-Request": "true"})
    assert "Backend" in text_of(response)
    assert "<html" not in text_of(response)
    assert "HX-Request" in response["Vary"]


# Searching


def test_search_leads_to_a_list_with_an_address_of_its_own(owner, acme, key, manage_key):
    client = sign_in(owner)
    response = client.post(
        listing(acme, "search"), {"search": " back ", "status": "active", "unused": ""}
    )
    assert response.url == listing(acme) + "?search=back&status=active"
    found = text_of(client.get(response.url))
    assert "Backend" in found
    assert "Management" not in found


def test_whole_secret_leads_to_its_key_and_into_no_address(owner, acme, key):
    response = sign_in(owner).post(listing(acme, "search"), {"search": f" {key.secret}\n"})
    assert response.url == page_of(key)
    assert key.secret not in response.url


def test_secret_in_a_pasted_line_gets_into_no_address(owner, acme, key):
    client = sign_in(owner)
    for line in (f"Authorization: Bearer {key.secret}", f'"{key.secret}"', f"KEY={key.secret}"):
        response = client.post(listing(acme, "search"), {"search": line})
        assert response.url == page_of(key)
    response = client.post(listing(acme, "search"), {"search": f"Bearer {key.secret[:-1]}"})
    assert response.url == listing(acme)


def test_secret_of_another_organization_is_no_find(owner, acme, strangers_key):
    """T10: pasting a secret tells nothing about other organizations."""
    client = sign_in(owner)
    response = client.post(listing(acme, "search"), {"search": strangers_key.secret})
    assert response.url == listing(acme) + "?secret=unknown"
    page = text_of(client.get(response.url))
    assert "No key that you can see" in page
    assert strangers_key.secret not in page


def test_secret_of_somebody_elses_key_is_no_find_for_a_developer(developer, acme, manage_key):
    response = sign_in(developer).post(listing(acme, "search"), {"search": manage_key.secret})
    assert response.url == listing(acme) + "?secret=unknown"


@pytest.mark.parametrize("dialect", FORMATS)
def test_a_whole_secret_of_no_key_finds_none_mistyped_or_not(owner, acme, key, dialect):
    client, unknown = sign_in(owner), generate(dialect)
    mistyped = unknown[:20] + ("1" if unknown[20] != "1" else "2") + unknown[21:]
    for text in (unknown, mistyped, f"Authorization: Bearer {mistyped}"):
        answer = client.post(listing(acme, "search"), {"search": text}, follow=True)
        page = text_of(answer)
        assert "has that secret. Look for a typing error in it." in page
        assert "part of a secret" not in page
        assert names_on(answer) == []
        assert "Nothing matches" in page
        assert "Look among revoked keys" not in page
        assert unknown[:20] not in page
        assert answer.redirect_chain == [(listing(acme) + "?secret=unknown", 302)]
    assert names_on(client.post(listing(acme, "search"), {"search": "back"}, follow=True))


def test_part_of_a_secret_gets_into_no_address(owner, acme, key):
    client = sign_in(owner)
    for part in (key.secret[:-1], key.secret + "x", key.secret[:20]):
        response = client.post(listing(acme, "search"), {"search": part, "status": "active"})
        assert response.url == listing(acme) + "?status=active"
        assert "part of a secret" in text_of(client.get(response.url))


def test_a_search_that_is_too_long_is_refused_by_its_length(owner, acme, key):
    client = sign_in(owner)
    page = text_of(client.get(listing(acme)))
    assert "maxlength" not in page.partition('id="id_search"')[2].partition(">")[0]
    answer = client.post(listing(acme, "search"), {"search": "back " * 50, "status": "active"})
    assert answer.url == listing(acme) + "?status=active"
    assert "Search for at most 200 characters; this has 249." in text_of(client.get(answer.url))
    page = text_of(client.get(listing(acme), {"search": "b" * 201}))
    assert "Search for at most 200 characters; this has 201." in page


def test_label_of_a_secret_is_searched_for(owner, acme, key):
    client = sign_in(owner)
    response = client.post(listing(acme, "search"), {"search": key.label}, follow=True)
    assert "Backend" in text_of(response)


def test_pasted_secret_makes_htmx_load_the_whole_page(owner, acme, key):
    response = sign_in(owner).post(
        listing(acme, "search"), {"search": key.secret}, headers={"HX-Request": "true"}
    )
    assert response["HX-Redirect"] == page_of(key)


def test_part_of_a_secret_in_an_address_is_neither_searched_for_nor_shown_again(owner, acme, key):
    part = key.secret[:30]
    page = text_of(sign_in(owner).get(listing(acme), {"search": part}))
    assert "part of a secret" in page
    assert f'value="{part}' not in page
    assert sign_in(owner).get(listing(acme, "export"), {"search": part}).status_code == 200
    assert part not in str(list(AuditEvent.objects.values()))


def test_last_four_characters_find_their_key(owner, acme, key, manage_key):
    found = sign_in(owner).post(listing(acme, "search"), {"search": key.secret[-4:]}, follow=True)
    assert "Backend" in names_on(found)


# What is shown


def test_revoked_keys_are_history_and_shown_when_asked_for(owner, acme, key, manage_key):
    services.revoke_key(actor=owner, key=manage_key)
    client = sign_in(owner)
    assert names_on(client.get(listing(acme))) == ["Backend"]
    assert names_on(client.get(listing(acme), {"status": "revoked"})) == ["Management"]
    assert len(names_on(client.get(listing(acme), {"status": "any"}))) == 2
    nothing = text_of(client.get(listing(acme), {"search": "Management"}))
    assert "?search=Management&amp;status=revoked" in nothing


def test_saved_filter_in_use_is_marked(owner, acme, key):
    client = sign_in(owner)

    def current(**query) -> list[str]:
        page = text_of(client.get(listing(acme), query))
        return re.findall(r'aria-current="page">([^<]+)</a>\s*(?:<a|</nav>)', page)

    assert "All but revoked" in current()
    assert "All but revoked" in current(ordering="name")
    assert "Never used" in current(unused="true")
    assert "Idle" in current(hygiene="idle", ordering="-name")
    assert not {"All but revoked", "Idle", "Mine"} & set(current(hygiene="idle", owner="mine"))


def test_every_saved_filter_is_understood(owner, acme, key):
    client = sign_in(owner)
    for saved, _is_current in client.get(listing(acme)).context["saved_filters"]:
        response = client.get(f"{listing(acme)}?{saved.query}")
        assert not response.context["filters"].errors
        assert [each for each, is_current in response.context["saved_filters"] if is_current] == [
            saved
        ]


def test_filters_without_a_name_are_chips_that_come_off(owner, acme, key):
    page = text_of(sign_in(owner).get(listing(acme), {"search": "back", "status": "active"}))
    assert 'href="/organizations/acme/keys/?status=active">Search: back' in page
    assert 'href="/organizations/acme/keys/?search=back">Status: Active' in page


def test_keys_that_follow_a_role_are_listed_by_it(owner, acme, key):
    role = services.create_role(actor=owner, organization=acme, name="Deploy")
    issue(owner, acme, "Follower", role=role)
    response = sign_in(owner).get(listing(acme), {"role": role.pk})
    assert names_on(response) == ["Follower"]
    assert "Role: Deploy" in text_of(response)


def test_role_of_another_organization_is_no_choice(owner, stranger, acme, other, key):
    """T10."""
    role = services.create_role(actor=stranger, organization=other, name="Foreign")
    response = sign_in(owner).get(listing(acme), {"role": role.pk})
    assert "Foreign" not in text_of(response)
    assert "role" in response.context["filters"].errors


def test_heading_sorts_and_turns_the_order_around(owner, acme):
    for name in ("Beta", "Alpha"):
        issue(owner, acme, name)
    client = sign_in(owner)
    headings = client.get(listing(acme), {"owner": "mine"}).context["headings"]
    assert headings["name"].query == "owner=mine&ordering=name"
    assert headings["name"].direction == ""
    first = client.get(f"{listing(acme)}?{headings['name'].query}")
    assert names_on(first) == ["Alpha", "Beta"]
    assert 'aria-sort="ascending"' in text_of(first)
    second = client.get(f"{listing(acme)}?{first.context['headings']['name'].query}")
    assert names_on(second) == ["Beta", "Alpha"]
    assert 'aria-sort="descending"' in text_of(second)


def test_owner_is_named_where_others_keys_are_seen(developer, owner, acme, key, manage_key):
    assert "yours" not in text_of(sign_in(developer).get(listing(acme)))
    page = text_of(sign_in(owner).get(listing(acme)))
    assert developer.display_name in page
    assert "the organization's" in page


def test_row_says_what_a_key_is_and_why(owner, acme):
    key = issue(owner, acme, "Batch", limit=1, limit_reset="daily")
    KeyUsage.objects.filter(key=key).update(
        period_cost=1,
        period_start=timezone.now().replace(hour=0, minute=0, second=0, microsecond=0),
    )
    page = text_of(sign_in(owner).get(listing(acme)))
    assert "Limit reached" in page
    assert "the limit resets every day" in page


def test_organization_without_keys_says_what_a_key_is(owner, acme):
    page = text_of(sign_in(owner).get(listing(acme)))
    assert "No keys yet" in page
    assert "lets a program call your services" in page
    assert "http://testserver/v1/auth" in page
    assert reverse("docs:index") in page
    assert page.count("button--primary") == 2
    assert 'role="search"' not in page


def test_organization_whose_keys_are_all_revoked_says_so(owner, acme, key):
    services.revoke_key(actor=owner, key=key)
    page = text_of(sign_in(owner).get(listing(acme)))
    assert "No live keys" in page
    assert "?status=revoked" in page


# Who is offered what


def test_those_who_change_no_key_are_offered_no_bulk_action(owner, developer, acme, key):
    Membership.objects.filter(user=developer).update(
        role=Role.objects.get(organization=None, name="readonly")
    )
    page = text_of(sign_in(developer).get(listing(acme)))
    assert "Backend" in page
    assert 'name="key"' not in page
    assert 'value="revoke"' not in page
    assert 'value="disable"' in text_of(sign_in(owner).get(listing(acme)))


def test_nothing_is_offered_for_revoked_keys(owner, acme, key):
    services.revoke_key(actor=owner, key=key)
    page = text_of(sign_in(owner).get(listing(acme), {"status": "revoked"}))
    assert "Backend" in page
    assert 'name="key"' not in page
    assert 'name="action"' not in page


def test_owner_is_told_why_staff_locked_a_key(staff, owner, acme, key):
    services.lock_key(actor=staff, key=key, reason="It stands in a public notebook.")
    assert "Reason: It stands in a public notebook." in text_of(sign_in(owner).get(listing(acme)))


def test_staff_are_offered_what_staff_may_do(staff, acme, key):
    page = text_of(sign_in(staff).get(listing(acme)))
    assert 'value="revoke"' in page
    assert 'value="disable"' not in page


# Export


def table_of(response) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_export_holds_what_the_list_shows_and_no_secret(owner, acme, developer, key, manage_key):
    services.update_key(
        actor=owner, key=key, allowed_ips=["192.0.2.0/24", {"network": "192.0.2.9", "deny": True}]
    )
    client = sign_in(owner)
    response = client.get(listing(acme, "export"), {"search": "back"})
    today = timezone.now().date()
    assert f'filename="acme-api-keys-{today}.csv"' in response["Content-Disposition"]
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    (row,) = table_of(response)
    assert row["identifier"] == key.identifier
    assert (row["name"], row["label"], row["status"]) == ("Backend", key.label, "active")
    assert (row["owner"], row["scopes"]) == (developer.email, "READ CREATE UPDATE DELETE")
    assert (row["allowed_ips"], row["denied_ips"]) == ("192.0.2.0/24", "192.0.2.9")
    everything = b"".join(client.get(listing(acme, "export")).streaming_content).decode()
    assert "Management" in everything
    assert key.secret not in everything
    assert KeySecret.objects.get(key=key).digest not in everything


def test_export_goes_on_beyond_one_chunk_in_the_order_of_the_list(owner, acme, monkeypatch):
    monkeypatch.setattr("keys.views.key_export.CHUNK", 2)
    for name in "edcba":
        issue(owner, acme, name)
    response = sign_in(owner).get(listing(acme, "export"), {"ordering": "name"})
    assert [row["name"] for row in table_of(response)] == list("abcde")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_export_holds_no_key_twice_when_one_leaves_the_list_meanwhile(
    owner, acme, monkeypatch, kind
):
    monkeypatch.setattr("keys.views.key_export.CHUNK", 2)
    issued = {name: issue(owner, acme, name) for name in "abcde"}
    asked = {"ordering": "name", "status": "active", "as": kind}
    pieces = iter(sign_in(owner).get(listing(acme, "export"), asked).streaming_content)
    text = ""
    while issued["b"].identifier not in text:
        text += next(pieces).decode()
    services.disable_key(actor=owner, key=issued["b"])
    services.revoke_key(actor=owner, key=issued["d"])
    text += b"".join(pieces).decode()
    assert {name: text.count(key.identifier) for name, key in issued.items()} == {
        "a": 1, "b": 1, "c": 1, "d": 0, "e": 1}  # fmt: skip


def test_exported_name_is_no_formula(owner, acme):
    for name in ("=1+1", "+1", "-1", "@sum", "plain"):
        issue(owner, acme, name)
    rows = table_of(sign_in(owner).get(listing(acme, "export"), {"ordering": "created_at"}))
    assert [row["name"] for row in rows] == ["'=1+1", "'+1", "'-1", "'@sum", "plain"]


def test_export_shows_each_what_they_see_and_is_recorded(developer, acme, key, manage_key):
    client = sign_in(developer)
    response = client.get(listing(acme, "export"), {"search": "back", "status": "active"})
    assert [row["name"] for row in table_of(response)] == ["Backend"]
    event = AuditEvent.objects.get(action="apikey.exported")
    assert (event.actor_user, event.organization, event.door) == (developer, acme, "page")
    assert event.changes == {"keys": 1, "search": "back", "status": "active"}
    assert client.head(listing(acme, "export")).status_code == 405
