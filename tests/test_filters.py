"""Which keys a list shows, and in which order."""

from datetime import timedelta

import pytest
from django.utils import timezone

from keys import hygiene, services
from keys.filters import KeyFilter, KeyListFilter
from keys.models import APIKey, KeyUsage, Role
from keys.models.keys import Status
from keys.models.usage import LimitReset
from keys.orderings import ORDERINGS, take_page

pytestmark = pytest.mark.django_db


def names(actor, rf, **parameters) -> set[str]:
    request = rf.get("/")
    request.user = actor
    filters = KeyFilter(parameters, queryset=APIKey.objects.all(), request=request)
    assert not filters.errors, filters.errors
    return {key.name for key in filters.qs}


def listed(actor, organization, rf, **parameters) -> set[str]:
    """Return the names of the keys that the pages list."""
    request = rf.get("/")
    request.user, request.organization = actor, organization
    filters = KeyListFilter(parameters, queryset=APIKey.objects.all(), request=request)
    assert not filters.errors, filters.errors
    return {key.name for key in filters.qs}


@pytest.fixture
def issue(owner, acme):
    def issue(name, **fields):
        return services.issue_key(actor=owner, organization=acme, name=name, **fields)

    return issue


def test_search_finds_what_people_see_of_a_key(owner, rf, issue):
    key = issue("Billing server", slug="billing-1")
    issue("Other")
    label = key.label
    for text in ("billing", "SERVER", "billing-1", key.identifier, key.hash, label, label[-3:]):
        assert "Billing server" in names(owner, rf, search=text), text
    assert names(owner, rf, search="billing") == {"Billing server"}
    assert names(owner, rf, search="%") == set()


def test_search_finds_a_key_once_though_several_secrets_match(owner, rf, issue):
    key = issue("Billing server")
    services.rotate_key(actor=owner, key=key, overlap=timedelta(hours=1))
    request = rf.get("/")
    request.user = owner
    filters = KeyFilter({"search": "kh_"}, queryset=APIKey.objects.all(), request=request)
    assert len(filters.qs) == 1


@pytest.mark.parametrize("status", Status.values)
def test_status_filter_agrees_with_the_key(status, owner, rf, issue):
    now = timezone.now()
    issue("active")
    issue("pending", not_before=now + timedelta(days=1))
    services.revoke_key(actor=owner, key=issue("revoked", disabled=True))
    issue("disabled", disabled=True)
    APIKey.objects.filter(pk=issue("expired").pk).update(expires_at=now)
    APIKey.objects.filter(pk=issue("locked").pk).update(locked_at=now)
    assert names(owner, rf, status=status) == {status}


def test_scope_is_found_on_the_key_and_through_its_role(owner, rf, issue):
    issue("listed", scopes=["READ"])
    issue("followed", role=Role.objects.get(name="developer"))
    issue("other", scopes=["MANAGE"])
    assert names(owner, rf, scope="READ") == {"listed", "followed"}
    assert names(owner, rf, scope="read") == set()


def test_mine_are_the_persons_and_of_a_key_its_owners(owner, rf, issue):
    mine = issue("mine", scopes=["READ"])
    shared = issue("shared", owner=None, scopes=["READ"])
    assert names(owner, rf, owner="mine") == {"mine"}
    assert names(owner, rf, owner="organization") == {"shared"}
    assert names(mine, rf, owner="mine") == {"mine"}
    assert names(shared, rf, owner="mine") == {"shared"}


def test_expiring_means_within_fourteen_days(owner, rf, issue):
    now = timezone.now()
    issue("soon", expires_at=now + timedelta(days=13))
    issue("later", expires_at=now + timedelta(days=15))
    issue("never")
    revoked = issue("revoked", expires_at=now + timedelta(days=1))
    services.revoke_key(actor=owner, key=revoked)
    assert names(owner, rf, expiring="true") == {"soon"}
    assert all(key.expires_soon_at(now) is (key.name == "soon") for key in APIKey.objects.all())


def test_unused_and_unrestricted(owner, rf, issue):
    issue("listed", allowed_ips=["192.0.2.1"])
    issue("denied only", allowed_ips=[{"network": "192.0.2.1", "deny": True}])
    issue("switched off", allowed_ips=[{"network": "192.0.2.1", "active": False}])
    issue("servers", assign_server_ips=True)
    used = issue("used")
    KeyUsage.objects.filter(key=used).update(last_used_at=timezone.now())
    assert names(owner, rf, unused="true") == {"listed", "denied only", "switched off", "servers"}
    assert names(owner, rf, unused="false") == {"used"}
    assert names(owner, rf, unrestricted="true") == {"denied only", "switched off", "used"}
    assert names(owner, rf, unrestricted="false") == {"listed", "servers"}


def test_dialect_and_workspace(owner, acme, rf, issue):
    workspace = services.create_workspace(actor=owner, organization=acme, name="Staging")
    issue("here", workspace=workspace, dialect="openrouter")
    issue("there")
    assert names(owner, rf, workspace=str(workspace.pk)) == {"here"}
    assert names(owner, rf, dialect="native") == {"there"}


def test_workspace_of_another_organization_is_no_choice(stranger, other, acme, rf, key):
    """A filter tells nothing about rows that the actor does not see."""
    request = rf.get("/")
    request.user = stranger
    workspace = str(key.workspace_id)
    filters = KeyFilter({"workspace": workspace}, queryset=APIKey.objects.all(), request=request)
    assert "workspace" in filters.errors


@pytest.mark.parametrize("name", ORDERINGS)
def test_pages_in_every_order_show_each_key_once(name, owner, issue):
    now = timezone.now()
    for number in range(11):
        key = issue(f"{'aB'[number % 2]}{number % 3}")
        if number % 3:
            KeyUsage.objects.filter(key=key).update(
                last_used_at=now - timedelta(minutes=number % 4)
            )
        if number % 2:
            APIKey.objects.filter(pk=key.pk).update(expires_at=now + timedelta(days=number % 4))
    keys, ordering = APIKey.objects.all(), ORDERINGS[name]
    wanted = list(ordering.sort(keys))
    forth, page = [], take_page(keys, ordering, size=4)
    forth.append(page)
    while page.after:
        page = take_page(keys, ordering, after=page.after, size=4)
        forth.append(page)
    assert [key for page in forth for key in page.keys] == wanted
    back = [page]
    while page.before:
        page = take_page(keys, ordering, before=page.before, size=4)
        back.append(page)
    assert [each.keys for each in reversed(back)] == [each.keys for each in forth]


def test_opposite_orders_are_each_others_reverse(issue):
    for name in ("b", "A", "a", "c"):
        issue(name)
    for name in ("created_at", "name", "last_used_at", "expires_at"):
        up = list(ORDERINGS[name].sort(APIKey.objects.all()))
        down = list(ORDERINGS[f"-{name}"].sort(APIKey.objects.all()))
        assert up == down[::-1]


# What only the pages have


def test_people_find_a_key_by_number_owner_and_last_four(owner, developer, acme, rf, issue):
    key = issue("Billing server")
    services.issue_key(actor=developer, organization=acme, name="Other")
    for text in (str(key.pk), f"#{key.pk}", key.secret[-4:], key.label.replace("...", "…")):
        assert "Billing server" in listed(owner, acme, rf, search=text), text
    assert listed(owner, acme, rf, search="developer@") == {"Other"}
    developer.first_name, developer.last_name = "Dana", "Okafor"
    developer.save()
    for text in ("dana", "Okafor", "okafor dana"):
        assert listed(owner, acme, rf, search=text) == {"Other"}, text
    assert listed(owner, acme, rf, search="dana hart") == set()
    assert listed(owner, acme, rf, search="9" * 18) == set()


def test_part_of_a_secret_is_not_searched_for(owner, acme, rf, issue):
    request = rf.get("/")
    request.user, request.organization = owner, acme
    key = issue("Billing server")
    parameters = {"search": f"Bearer {key.secret[:20]}"}
    filters = KeyListFilter(parameters, queryset=APIKey.objects.all(), request=request)
    assert "part of a secret" in filters.errors["search"][0]
    assert filters.asked_for == {}


@pytest.mark.parametrize("status", [*Status.values, "limit_reached", "any", ""])
def test_pages_leave_revoked_keys_out_unless_asked_for(status, owner, acme, rf, issue):
    issue("active")
    services.revoke_key(actor=owner, key=issue("revoked"))
    issue("disabled", disabled=True)
    shown = {
        "": {"active", "disabled"},
        "any": {"active", "disabled", "revoked"},
        "active": {"active"},
        "revoked": {"revoked"},
        "disabled": {"disabled"},
    }
    assert listed(owner, acme, rf, status=status) == shown.get(status, set())


@pytest.mark.parametrize("reset", [None, "daily", "weekly", "monthly"])
def test_limit_reached_agrees_with_what_is_left(reset, owner, acme, rf, issue):
    now = timezone.now()
    period = LimitReset.period_start(reset, now)
    long_ago = LimitReset.period_start("daily", now - timedelta(days=40))
    for name, limit, start, cost in [
        ("spent", 5, period, 5),
        ("overspent", 5, period, 6),
        ("left", 5, period, 4),
        ("spent before", 5, long_ago, 5),
        ("no limit", None, period, 5),
        ("nothing allowed", 0, long_ago, 0),
    ]:
        key = issue(name, limit=limit, limit_reset=reset if limit is not None else None)
        KeyUsage.objects.filter(key=key).update(period_start=start, period_cost=cost)
    issue("stopped", limit=0, disabled=True)
    found = listed(owner, acme, rf, status="limit_reached")
    assert found == {"spent", "overspent", "nothing allowed"}
    for key in APIKey.objects.select_related("totals").filter(disabled=False):
        assert (key.remaining_at(now) == 0) is (key.name in found), key.name


def test_every_check_of_hygiene_is_a_filter(owner, acme, rf, issue):
    issue("open")
    issue("kept", allowed_ips=["192.0.2.1"], expires_at=timezone.now() + timedelta(days=5))
    assert listed(owner, acme, rf, hygiene="no_ip_list") == {"open"}
    assert listed(owner, acme, rf, hygiene="never_expires") == {"open"}
    assert listed(owner, acme, rf, hygiene="expiring") == {"kept"}
    for check in hygiene.CHECKS:
        listed(owner, acme, rf, hygiene=check)


def test_very_many_keys_come_in_the_order_of_their_use_as_few_do(
    acme, key, manage_key, monkeypatch
):
    """Among very many, the usage is read in the order of its own index."""
    KeyUsage.objects.filter(key=key).update(last_used_at=timezone.now())
    keys = acme.api_keys.live()
    for name in ("last_used_at", "-last_used_at"):
        few = take_page(keys, ORDERINGS[name], size=1)
        monkeypatch.setattr("keys.search.FEW_KEYS", 0)
        many = take_page(keys, ORDERINGS[name], size=1)
        assert (many.keys, many.after) == (few.keys, few.after)
        following = take_page(keys, ORDERINGS[name], size=1, after=many.after)
        assert following.keys != many.keys
        assert take_page(keys, ORDERINGS[name], size=1, before=following.before) == many
        monkeypatch.undo()


@pytest.mark.parametrize("few", [1_000, 0])
@pytest.mark.parametrize("name", ORDERINGS)
def test_some_among_very_many_keys_come_in_each_order_as_among_few(
    name, few, acme, issue, monkeypatch
):
    """Few are sorted at once, more are met on the way along the order: the same pages."""
    for number in range(6):
        key = issue(f"{'aB'[number % 2]}{number}", disabled=number % 3 > 0)
        KeyUsage.objects.filter(key=key).update(last_used_at=timezone.now())
    everything, ordering = acme.api_keys.all(), ORDERINGS[name]
    disabled = everything.with_status(Status.DISABLED, timezone.now())
    monkeypatch.setattr("keys.search.FEW_KEYS", 0)
    monkeypatch.setattr("keys.search._FEW", few)
    first = take_page(disabled, ordering, size=3, among=everything)
    second = take_page(disabled, ordering, size=3, after=first.after, among=everything)
    assert first.keys + second.keys == list(ordering.sort(disabled))
    assert take_page(disabled, ordering, size=3, before=second.before, among=everything) == first


@pytest.mark.parametrize("few", [1_000, 0])
@pytest.mark.parametrize("ordering", ["", "last_used_at"])
def test_idle_keys_among_very_many_come_as_they_should(
    ordering, few, owner, acme, rf, issue, monkeypatch
):
    """They are looked for from the oldest on, whatever the order in which they come."""
    for number in range(7):
        key = issue(f"a{number}")
        if number % 3:
            created = timezone.now() - timedelta(days=100 + number)
            APIKey.objects.filter(pk=key.pk).update(created_at=created)
            used = timezone.now() - timedelta(days=90 + number)
            KeyUsage.objects.filter(key=key).update(last_used_at=used)
    monkeypatch.setattr("keys.search.FEW_KEYS", 0)
    monkeypatch.setattr("keys.search._FEW", few)
    request = rf.get("/")
    request.user, request.organization = owner, acme
    everything = APIKey.objects.all()
    parameters = {"hygiene": "idle", "ordering": ordering}
    filters = KeyListFilter(parameters, queryset=everything, request=request)
    chosen = filters.chosen_ordering
    first = take_page(filters.qs, chosen, size=2, among=everything)
    second = take_page(filters.qs, chosen, size=2, after=first.after, among=everything)
    assert [each.name for each in first.keys + second.keys] == ["a5", "a4", "a2", "a1"]


@pytest.mark.parametrize("most", [30_000, 0])
@pytest.mark.parametrize("ordering", ["", "created_at", "name"])
@pytest.mark.parametrize(
    "asked", [{"status": "expired"}, {"expiring": "true"}, {"hygiene": "expiring"}]
)
def test_keys_found_by_their_end_among_very_many_come_as_they_should(
    asked, ordering, most, owner, acme, rf, issue, monkeypatch
):
    days = -5 if "status" in asked else 5
    for number in range(7):
        key = issue(f"{'aB'[number % 2]}{number}")
        if number % 3:
            end = timezone.now() + timedelta(days=days, minutes=number)
            APIKey.objects.filter(pk=key.pk).update(expires_at=end)
    monkeypatch.setattr("keys.search.FEW_KEYS", 0)
    monkeypatch.setattr("keys.search._MOST_ENDS", most)
    request = rf.get("/")
    request.user, request.organization = owner, acme
    everything = APIKey.objects.all()
    parameters = {**asked, "ordering": ordering}
    filters = KeyListFilter(parameters, queryset=everything, request=request)
    chosen = filters.chosen_ordering
    first = take_page(filters.qs, chosen, size=2, among=everything)
    second = take_page(filters.qs, chosen, size=2, after=first.after, among=everything)
    wanted = list(ORDERINGS[ordering or "-created_at"].sort(filters.qs))
    assert len(wanted) == 4
    assert first.keys + second.keys == wanted
