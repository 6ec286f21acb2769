"""The pages of hygiene: what is counted, listed and offered, to whom."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from keys import hygiene, policy, services
from keys.hygiene import CHECKS
from keys.models import APIKey, KeySecret, KeyUsage, LeakReport, Membership, Role, Scope, ScopeUse
from keys.templatetags.hygiene import WORDINGS
from keys.views.hygiene import REMEDIES
from tests.conftest import make_many
from tests.key_pages import sign_in, text_of

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def overview(organization) -> str:
    return reverse("keys:hygiene", args=[organization.slug])


def page_of(organization, check: str) -> str:
    return reverse("keys:hygiene-check", args=[organization.slug, check])


@pytest.fixture
def tidy(acme, developer) -> APIKey:
    """A key that fails no check."""
    return services.issue_key(
        actor=developer,
        organization=acme,
        name="Tidy",
        scopes=["READ"],
        expires_at=timezone.now() + 90 * DAY,
        allowed_ips=["192.0.2.0/24"],
    )


def grow_old(key, days=40) -> None:
    APIKey.objects.filter(pk=key.pk).update(created_at=timezone.now() - days * DAY)
    KeySecret.objects.filter(key=key).update(created_at=timezone.now() - days * DAY)


def use(key, *codes) -> None:
    now = timezone.now()
    KeyUsage.objects.filter(key=key).update(last_used_at=now)
    for code in codes:
        ScopeUse.objects.create(key=key, code=code, last_used_at=now)


def test_every_check_has_words_and_a_remedy():
    assert set(WORDINGS) == set(REMEDIES) == set(CHECKS)


def test_overview_counts_what_the_person_sees(owner, developer, acme, key, manage_key):
    seen = sign_in(owner).get(overview(acme))
    assert {check.name: count for check, count in seen.context["failing"]} == {
        "never_expires": 2,
        "no_ip_list": 2,
    }
    assert "2 keys never expire" in text_of(seen)
    seen = sign_in(developer).get(overview(acme))
    assert "1 key never expires" in text_of(seen)


def test_tidy_organization_is_told_so(developer, acme, tidy):
    page = text_of(sign_in(developer).get(overview(acme)))
    assert "All clear" in page
    assert "Every key has an end" in page


def test_organization_without_keys_is_not_called_tidy(developer, viewer, acme):
    page = text_of(sign_in(developer).get(overview(acme)))
    assert "All clear" not in page
    assert reverse("keys:create", args=["acme"]) in page
    assert reverse("keys:create", args=["acme"]) not in text_of(sign_in(viewer).get(overview(acme)))


def test_missing_policy_on_age_is_not_praised(owner, acme, tidy):
    services.update_organization(actor=owner, organization=acme, rotation_days=None)
    page = text_of(sign_in(owner).get(overview(acme)))
    assert "there is no policy on their age" in page
    assert "No secret is older" not in page


def test_missing_policy_on_keys_is_not_praised(owner, acme, tidy):
    page = text_of(sign_in(owner).get(overview(acme)))
    assert "There is no policy on keys" in page
    services.update_policy(actor=owner, organization=acme, person_key_days=100)
    assert "No key breaks a rule" in text_of(sign_in(owner).get(overview(acme)))


def test_ages_and_ends_are_counted_once_each(owner, acme, key, tidy, manage_key):
    grow_old(key, days=100)
    seen = sign_in(owner).get(overview(acme)).context
    assert [bar.count for bar in seen["ages"]] == [2, 0, 1, 0, 0]
    assert [bar.count for bar in seen["ends"]] == [0, 0, 0, 1, 0, 2]
    assert max(bar.percent for bar in seen["ages"]) == 100


@pytest.mark.parametrize("check", list(CHECKS))
def test_page_of_a_check_lists_the_keys_that_fail_it(check, owner, developer, acme, key, tidy):
    now = timezone.now()
    grow_old(key, days=400)
    match check:
        case "found":
            LeakReport.objects.create(
                organization=acme, key=key, label="kh_a...b", reported_at=now, action="notify"
            )
        case "owner_gone":
            Membership.objects.filter(user=developer).delete()
            tidy.delete()
        case "expiring":
            APIKey.objects.filter(pk=key.pk).update(expires_at=now + DAY)
        case "over_scoped":
            use(key, "READ")
        case "breaks_policy":
            services.update_policy(actor=owner, organization=acme, person_key_days=365)
    response = sign_in(owner).get(page_of(acme, check))
    assert response.status_code == 200
    assert [each.name for each, _unused in response.context["rows"]] == ["Backend"]
    assert escape(str(CHECKS[check].advice)) in text_of(response)
    for action in REMEDIES[check].actions:
        assert f'name="action" value="{action}"' in text_of(response)


def test_check_without_keys_says_that_it_is_clear(owner, acme, tidy):
    assert "Every key has an end" in text_of(sign_in(owner).get(page_of(acme, "never_expires")))


@pytest.mark.parametrize("check", ["nonsense", "never-expires", "__class__"])
def test_check_that_does_not_exist_is_not_found(check, owner, acme):
    assert sign_in(owner).get(f"/organizations/acme/hygiene/{check}/").status_code == 404


def test_unused_scopes_are_named(owner, acme, key):
    grow_old(key)
    use(key, "READ")
    page = text_of(sign_in(owner).get(page_of(acme, "over_scoped")))
    for code in ("CREATE", "UPDATE", "DELETE"):
        assert f'<span class="tag tag--off">{code}</span>' in page
    assert '<span class="tag tag--off">READ</span>' not in page


def test_rotation_is_offered_to_whom_it_would_work_for(owner, developer, acme, key):
    grow_old(key, days=400)
    rotate = reverse("keys:rotate", args=["acme", key.identifier])
    assert rotate in text_of(sign_in(developer).get(page_of(acme, "older_than_policy")))
    page = text_of(sign_in(owner).get(page_of(acme, "older_than_policy")))
    assert rotate not in page
    assert "its owner rotates it" in page


def test_who_may_change_nothing_is_told_and_offered_nothing(developer, staff, acme, key):
    readonly = Role.objects.get(organization=None, name="readonly")
    membership = acme.memberships.get(user=developer)
    services.update_member(actor=policy.OPERATOR, membership=membership, role=readonly)
    page = text_of(sign_in(developer).get(page_of(acme, "never_expires")))
    assert "may not change any of them" in page
    assert 'name="action"' not in page
    assert 'name="key"' not in page


def test_who_may_only_revoke_is_offered_no_other_change(owner, developer, acme, key):
    grow_old(key, days=100)
    scopes = Scope.objects.filter(organization=None, code__in=["READ", "DELETE"])
    sweeper = services.create_role(
        actor=owner, organization=acme, name="Sweeper", scopes=list(scopes)
    )
    membership = acme.memberships.get(user=developer)
    services.update_member(actor=owner, membership=membership, role=sweeper)
    client = sign_in(developer)
    page = text_of(client.get(page_of(acme, "idle")))
    assert 'value="revoke"' in page
    assert 'value="disable"' not in page
    assert "may not change any of them" in text_of(client.get(page_of(acme, "never_expires")))


def test_keys_of_another_organization_are_in_no_count(owner, acme, other, strangers_key, tidy):
    """T10."""
    client = sign_in(owner)
    assert client.get(overview(acme)).context["failing"] == []
    assert "Elsewhere" not in text_of(client.get(page_of(acme, "no_ip_list")))


def test_selected_keys_go_to_the_bulk_preview(owner, acme, key, manage_key):
    client = sign_in(owner)
    response = client.post(
        reverse("keys:bulk", args=["acme"]),
        {"action": "expire", "key": [key.identifier], "next": page_of(acme, "never_expires")},
    )
    assert response.status_code == 200
    assert "Backend" in text_of(response)
    assert page_of(acme, "never_expires") in text_of(response)


@pytest.mark.parametrize("count", [3, 60])
def test_pages_ask_the_database_as_often_for_many_keys(
    count, owner, acme, django_assert_max_num_queries
):
    make_many(acme, owner, 2 * count)
    client = sign_in(owner)
    client.get(overview(acme))
    with django_assert_max_num_queries(12):
        client.get(overview(acme))
    with django_assert_max_num_queries(14):
        assert len(client.get(page_of(acme, "no_ip_list")).context["rows"]) == min(count, 25)


def test_a_page_looks_at_some_keys_and_leads_to_the_next(owner, acme, tidy, monkeypatch):
    """Nobody waits until a million keys were looked at one by one."""
    monkeypatch.setattr(hygiene, "MOST_LOOKED_THROUGH", 2)
    for number in range(6):
        networks = [] if number in (2, 3, 5) else ["192.0.2.0/24"]
        services.issue_key(
            actor=owner, organization=acme, name=str(number), scopes=["READ"], allowed_ips=networks
        )
    client, address = sign_in(owner), page_of(acme, "no_ip_list")

    def visit(query=""):
        response = client.get(address + query)
        page = response.context["page"]
        return [key.name for key in page.keys], page, text_of(response)

    names, page, text = visit()
    assert names == []
    assert "None among these 2 keys" in text
    names, page, text = visit(f"?after={page.after}")
    assert names == ["2"]
    assert "2 keys were looked at for these" in text
    names, page, text = visit(f"?after={page.after}")
    assert names == ["3"]
    names, last, text = visit(f"?after={page.after}")
    assert (names, last.after) == (["5"], None)
    assert "looked at" not in text
    names, page, text = visit(f"?before={last.before}")
    assert names == ["3"]
    names, page, text = visit(f"?before={page.before}")
    assert names == ["2"]
    names, page, text = visit(f"?before={page.before}")
    assert (names, page.before) == ([], None)
    assert "None further on" in text
    assert "nothing left to do" not in text


def test_beyond_the_last_key_that_fails_a_page_leads_back_to_it(owner, acme, tidy, monkeypatch):
    """All is clear where all was looked at, and not where some of it was."""
    monkeypatch.setattr(hygiene, "MOST_LOOKED_THROUGH", 2)
    key = services.issue_key(actor=owner, organization=acme, name="Open", scopes=["READ"])
    client, address = sign_in(owner), page_of(acme, "no_ip_list")
    services.issue_key(
        actor=owner, organization=acme, name="Tidy too", scopes=["READ"], allowed_ips=["192.0.2.1"]
    )
    first = client.get(address).context["page"]
    assert [each.name for each in first.keys] == ["Open"]
    response = client.get(f"{address}?after={first.after}")
    assert response.context["page"].keys == []
    assert "None further on" in text_of(response)
    assert f'href="{address}"' in text_of(response)
    assert "nothing left to do" not in text_of(response)
    services.update_key(actor=owner, key=key, allowed_ips=["192.0.2.2"])
    seen = client.get(address).context["page"]
    assert "nothing left to do" not in text_of(client.get(f"{address}?after={seen.after}"))


def test_where_all_was_looked_at_all_is_clear(owner, acme, tidy):
    page = sign_in(owner).get(page_of(acme, "no_ip_list"))
    assert "nothing left to do" in text_of(page)


# Dropping scopes that are not used


def test_narrowing_leaves_what_was_used(developer, acme, key):
    grow_old(key)
    use(key, "READ", "UPDATE")
    services.narrow_key(actor=developer, key=APIKey.objects.get(pk=key.pk))
    assert set(APIKey.objects.get(pk=key.pk).scope_codes) == {"READ", "UPDATE"}
    assert hygiene.findings(APIKey.objects.get(pk=key.pk), now=timezone.now()) == [
        CHECKS["never_expires"],
        CHECKS["no_ip_list"],
    ]


def test_narrowing_a_key_that_follows_a_role_lists_its_scopes(owner, acme):
    role = Role.objects.get(organization=None, name="developer")
    key = services.issue_key(actor=owner, organization=acme, name="Follower", role=role)
    grow_old(key)
    use(key, "READ")
    services.narrow_key(actor=owner, key=APIKey.objects.get(pk=key.pk))
    key = APIKey.objects.get(pk=key.pk)
    assert (key.role, key.scope_codes) == (None, ["READ"])


@pytest.mark.parametrize("age", [1, 40])
def test_narrowing_without_use_to_tell_by_is_refused(age, developer, acme, key):
    grow_old(key, days=age)
    if age == 1:
        use(key, "READ")
    with pytest.raises(ValidationError, match="no scope"):
        services.narrow_key(actor=developer, key=APIKey.objects.get(pk=key.pk))
    assert len(APIKey.objects.get(pk=key.pk).scope_codes) == 4


def test_viewer_narrows_nothing(viewer, acme, key):
    grow_old(key)
    use(key, "READ")
    with pytest.raises(PermissionDenied):
        services.narrow_key(actor=viewer, key=APIKey.objects.get(pk=key.pk))


def test_unused_scopes_are_dropped_from_many_keys_after_a_preview(owner, acme, key, tidy):
    grow_old(key)
    use(key, "READ")
    client = sign_in(owner)
    address = reverse("keys:bulk", args=["acme"])
    form = {"action": "narrow", "key": [key.identifier, tidy.identifier]}
    preview = client.post(address, form)
    assert "Drop the unused scopes of 1 key?" in text_of(preview)
    assert '<span class="tag tag--off">CREATE</span>' in text_of(preview)
    assert "It holds no scope of which it is known" in text_of(preview)
    assert len(APIKey.objects.get(pk=key.pk).scope_codes) == 4
    (item,) = preview.context["plan"].changing
    done = client.post(
        address,
        {
            "action": "narrow",
            "key": [f"{key.identifier}:{item.fingerprint}"],
            "step": "confirm",
            "token": "x" * 32,
            "next": page_of(acme, "over_scoped"),
        },
        follow=True,
    )
    assert "1 key holds only what it uses" in text_of(done)
    assert APIKey.objects.get(pk=key.pk).scope_codes == ["READ"]


def test_narrowing_many_keys_looks_at_them_in_few_queries(
    owner, acme, django_assert_max_num_queries
):
    keys = [
        services.issue_key(actor=owner, organization=acme, name=f"Key {number}", scopes=["READ"])
        for number in range(30)
    ]
    client = sign_in(owner)
    form = {"action": "narrow", "key": [key.identifier for key in keys]}
    with django_assert_max_num_queries(15):
        client.post(reverse("keys:bulk", args=["acme"]), form)
