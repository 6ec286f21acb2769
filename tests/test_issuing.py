"""The pages that issue, change and rotate a key, as the people of the cast meet them."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from keys import services
from keys.models import AllowedIP, APIKey, AuditEvent, KeySecret, Role
from keys.models.keys import Status
from keys.networks import parse_address
from keys.verification import Code

pytestmark = pytest.mark.django_db

HERE = parse_address("127.0.0.1")
ELSEWHERE = parse_address("203.0.113.50")
HTMX = {"HX-Request": "true"}


def sign_in(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page_of(key, page="detail") -> str:
    return reverse(f"keys:{page}", args=[key.organization.slug, key.identifier])


def listing(organization, page="list") -> str:
    return reverse(f"keys:{page}", args=[organization.slug])


def text_of(response) -> str:
    return response.content.decode()


def token_of(response) -> str:
    return re.search(r'name="token" value="(\w+)"', text_of(response))[1]


def fill(client, organization, **changes) -> dict:
    """Return the new-key form as a browser would send it, with these changes."""
    response = client.get(listing(organization, "create"))
    form = response.context["form"]
    values = {
        "token": token_of(response),
        "name": "Billing server",
        "description": "",
        "owner": "mine",
        "workspace": str(form["workspace"].value()),
        "access": "scopes",
        "scopes": ["READ"],
        "allowed_ips": "",
        "expiry": "90",
        "limit": "",
        "limit_reset": "",
        "dialect": "native",
        "slug": "",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def secret_on(response) -> str:
    found = re.search(r'id="secret">([^<]+)<', text_of(response))
    assert found, text_of(response)
    return found[1]


def _issue(actor, organization, name, **fields):
    return services.issue_key(actor=actor, organization=organization, name=name, **fields)


# Issuing


def test_developer_issues_a_key_and_sees_its_secret_once(developer, acme):
    """T40: the secret that is shown is one that verifies."""
    client = sign_in(developer)
    response = client.post(listing(acme, "create"), fill(client, acme))
    secret = secret_on(response)
    key = APIKey.objects.get(name="Billing server")
    assert services.verify_key(secret=secret, address=HERE).key == key
    assert (key.owner, key.scope_codes) == (developer, ["READ"])
    assert timedelta(89) < key.expires_at - timezone.now() < timedelta(91)
    assert "no-store" in response["Cache-Control"]
    for address in (page_of(key), listing(acme), page_of(key, "edit")):
        assert secret not in text_of(client.get(address))
    assert secret not in str(dict(client.session))
    assert secret not in str(list(AuditEvent.objects.values()))


def test_reloading_the_secret_page_issues_no_second_key(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme)
    secret = secret_on(client.post(listing(acme, "create"), form))
    again = client.post(listing(acme, "create"), form)
    assert "already shown" in text_of(again)
    assert secret not in text_of(again)
    assert APIKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_form_sent_twice_at_the_same_moment_issues_one_key(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme)

    def send(_number):
        other = Client()
        other.cookies = client.cookies
        try:
            return text_of(other.post(listing(acme, "create"), form))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        pages = list(threads.map(send, range(4)))
    assert APIKey.objects.count() == 1
    assert sum('id="secret"' in page for page in pages) == 1
    assert sum("already shown" in page for page in pages) == 3


def test_form_with_a_mistake_keeps_what_was_typed_and_can_be_sent_again(developer, acme):
    client = sign_in(developer)
    form = fill(
        client, acme, description="Reads invoices", allowed_ips="10.0.0.1/8", confirm_lockout="on"
    )
    response = client.post(listing(acme, "create"), form)
    page = text_of(response)
    assert response.status_code == 200
    assert "did you mean 10.0.0.0/8?" in page
    assert "Line 1" in page
    assert "Reads invoices" in page
    assert not APIKey.objects.exists()
    form |= {"token": token_of(response), "allowed_ips": "10.0.0.0/8"}
    assert secret_on(client.post(listing(acme, "create"), form))


def test_own_address_missing_from_the_list_is_asked_about_first(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, allowed_ips="192.0.2.0/24 # office\n!192.0.2.9")
    response = client.post(listing(acme, "create"), form)
    assert "Your own address, 127.0.0.1, is not let through" in text_of(response)
    assert 'name="confirm_lockout"' in text_of(response)
    assert not APIKey.objects.exists()
    form |= {"token": token_of(response), "confirm_lockout": "on"}
    secret_on(client.post(listing(acme, "create"), form))
    rows = AllowedIP.objects.values_list("network", "deny", "comment")
    assert set(rows) == {("192.0.2.0/24", False, "office"), ("192.0.2.9", True, "")}


def test_list_that_holds_ones_own_address_is_not_asked_about(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, allowed_ips="127.0.0.0/8")
    assert secret_on(client.post(listing(acme, "create"), form))


def test_developer_gives_no_scope_beyond_their_own(developer, acme):
    """T2, T8: what the page does not offer, the form does not take."""
    client = sign_in(developer)
    for scopes in (["MANAGE"], ["READ", "MANAGE"], ["manage"], ["*"], ["nope:nope"]):
        response = client.post(listing(acme, "create"), fill(client, acme, scopes=scopes))
        assert "Select a valid choice" in text_of(response), scopes
    assert not APIKey.objects.exists()


def test_developer_follows_no_role_beyond_their_own(developer, acme):

    client = sign_in(developer)
    admin_role = Role.objects.get(organization=None, name="admin")
    form = fill(client, acme, access="role", role=admin_role.pk)
    assert "Select a valid choice" in text_of(client.post(listing(acme, "create"), form))
    assert not APIKey.objects.exists()


def test_developer_issues_no_key_in_the_organizations_name(developer, owner, acme):
    """T7: another principal's key needs a permission of its own."""
    client = sign_in(developer)
    form = fill(client, acme, owner="organization")
    assert "Select a valid choice" in text_of(client.post(listing(acme, "create"), form))
    assert not APIKey.objects.exists()
    boss = sign_in(owner)
    secret_on(boss.post(listing(acme, "create"), fill(boss, acme, owner="organization")))
    assert APIKey.objects.get().owner is None


def test_owner_like_fields_that_the_form_lacks_change_nothing(developer, owner, acme, other):
    """T1: the organization is the path's, the owner is the person who asks."""
    client = sign_in(developer)
    extra = {"organization": other.pk, "organization_id": other.pk, "owner_id": owner.pk}
    form = fill(client, acme, user=owner.pk, creator=owner.pk) | extra
    secret_on(client.post(listing(acme, "create"), form))
    key = APIKey.objects.get()
    assert (key.organization, key.owner, key.creator) == (acme, developer, developer)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "required"),
        ("name", "x" * 201, "at most 200"),
        ("name", "a\0b", "Null characters"),
        ("description", "x" * 501, "at most 500"),
        ("description", "\0", "Null characters"),
        ("slug", "a/b", "Use letters, digits"),
        ("workspace", "nonsense", "not a valid UUID"),
        ("workspace", "\0", "Null characters"),
        ("access", "nonsense", "valid choice"),
        ("scopes", ["\0"], "valid choice"),
        ("allowed_ips", "010.1.2.3", "octal"),
        ("allowed_ips", "fe80::1%eth0", "zone"),
        ("allowed_ips", "0.0.0.0/0", "means everywhere"),
        ("allowed_ips", "192.0.2.1 # \0", "Null characters"),
        ("allowed_ips", "127.0.0.1 # " + "x" * 300, "at most 200"),
        ("expiry", "1000000000", "valid choice"),
        ("limit", "-1", "greater than or equal to 0"),
        ("limit", "9" * 400, "less than or equal to"),
        ("limit", "NaN", "number"),
        ("limit", "0.0000001", "decimal places"),
        ("limit_reset", "hourly", "valid choice"),
        ("dialect", "klingon", "valid choice"),
        ("not_before", "yesterday", "valid date"),
        ("token", "x", "valid value"),
    ],
)
def test_bad_input_is_named_at_its_field_and_writes_nothing(field, value, message, developer, acme):
    client = sign_in(developer)
    response = client.post(listing(acme, "create"), fill(client, acme, **{field: value}))
    assert response.status_code == 200
    problems = " ".join(response.context["form"].errors.get(field, []))
    assert message in problems, response.context["form"].errors
    assert not APIKey.objects.exists()


@pytest.mark.parametrize("role", ["99999999999999999999999", "\0", "x"])
def test_bad_role_is_named(role, developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, access="role", role=role)
    response = client.post(listing(acme, "create"), form)
    assert response.context["form"].errors["role"]


def test_limit_that_resets_needs_a_limit(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, limit_reset="daily")
    errors = client.post(listing(acme, "create"), form).context["form"].errors
    assert list(errors) == ["limit"]


@pytest.mark.parametrize(
    ("expires_at", "message"),
    [("", "Say when"), ("2001-01-01T00:00", "in the future"), ("soon", "valid date")],
)
def test_custom_expiry_is_a_moment_to_come(expires_at, message, developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, expiry="custom", expires_at=expires_at)
    errors = client.post(listing(acme, "create"), form).context["form"].errors
    assert message in errors["expires_at"][0]
    assert not APIKey.objects.exists()


def test_form_sent_from_another_site_is_refused(developer, acme):
    client = Client(enforce_csrf_checks=True)
    client.force_login(developer)
    response = client.post(listing(acme, "create"), {"name": "Stolen"})
    assert response.status_code == 403
    assert "too old" in text_of(response)
    assert not APIKey.objects.exists()


def test_superuser_issues_for_an_organization_without_being_its_member(superuser, acme):
    client = sign_in(superuser)
    form = fill(client, acme, owner="organization")
    secret_on(client.post(listing(acme, "create"), form))
    assert APIKey.objects.get().owner is None


# Changing


def edit_form(client, key, **changes) -> dict:
    form = client.get(page_of(key, "edit")).context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {
        name: value for name, value in {**values, **changes}.items() if value not in (None, False)
    }


def test_saving_a_form_unchanged_changes_nothing(owner, acme):
    """T37: neither secret, dates nor owner move, and nothing is recorded."""
    key = _issue(
        owner,
        acme,
        "Office",
        description="Line one\nLine two",
        allowed_ips=[{"network": "127.0.0.1", "comment": "me"}, {"network": "::1", "deny": True}],
        limit="12.5",
        limit_reset="weekly",
        scopes=["READ"],
        expires_at=timezone.now() + timedelta(days=5),
    )
    before = APIKey.objects.filter(pk=key.pk).values().get()
    rows = set(AllowedIP.objects.values_list("pk", "network", "comment"))
    events = AuditEvent.objects.count()
    client = sign_in(owner)
    assert client.post(page_of(key, "edit"), edit_form(client, key)).status_code == 302
    after = APIKey.objects.filter(pk=key.pk).values().get()
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    assert set(AllowedIP.objects.values_list("pk", "network", "comment")) == rows
    assert AuditEvent.objects.count() == events


def test_developer_edits_their_key(developer, acme, key):
    client = sign_in(developer)
    form = edit_form(
        client, key, name="Front end", scopes=["READ"], expiry="7", limit="10", limit_reset="daily"
    )
    response = client.post(page_of(key, "edit"), form, follow=True)
    assert "“Front end” was saved" in text_of(response)
    key = APIKey.objects.get(pk=key.pk)
    assert (key.name, key.scope_codes, key.limit, key.limit_reset) == (
        "Front end",
        ["READ"],
        10,
        "daily",
    )
    assert key.expires_at < timezone.now() + timedelta(days=8)


def test_rows_that_are_switched_off_survive_an_edit(owner, acme):
    off = {"network": "192.0.2.1", "active": False, "comment": "old office"}
    key = _issue(owner, acme, "Office", allowed_ips=[off, "127.0.0.1"])
    client = sign_in(owner)
    lines = "127.0.0.1\n198.51.100.0/24"
    form = edit_form(client, key, allowed_ips=lines, confirm_wider="on")
    assert client.post(page_of(key, "edit"), form).status_code == 302
    rows = key.allowed_ips.values_list("network", "active", "comment")
    assert ("192.0.2.1", False, "old office") in rows
    assert len(rows) == 3


def test_scopes_that_one_cannot_give_survive_an_edit_of_something_else(developer, admin, acme, key):
    services.create_scope(actor=admin, organization=acme, code="orders:read")
    services.update_key(actor=admin, key=key, scopes=["READ", "orders:read"])
    client = sign_in(developer)
    assert "orders:read, which you cannot give" in text_of(client.get(page_of(key, "edit")))
    assert client.post(page_of(key, "edit"), edit_form(client, key, name="B")).status_code == 302
    assert set(APIKey.objects.get(pk=key.pk).scope_codes) == {"READ", "orders:read"}


def test_key_revoked_meanwhile_is_not_brought_back_by_an_edit(developer, acme, key):
    client = sign_in(developer)
    form = edit_form(client, key, name="Late")
    services.revoke_key(actor=developer, key=key)
    response = client.post(page_of(key, "edit"), form, follow=True)
    assert "nothing brings it back" in text_of(response)
    key.refresh_from_db()
    assert (key.name, key.status) == ("Backend", Status.REVOKED)


def test_staff_lock_keeps_the_organization_from_changing_a_key(developer, staff, acme, key):
    """T9: a locked key is neither enabled, loosened nor extended by its people."""
    services.lock_key(actor=staff, key=key)
    client = sign_in(developer)
    assert client.post(page_of(key, "edit"), edit_form(client, key, expiry="never", name="X"))
    assert client.post(page_of(key, "enable")).status_code == 403
    form = edit_form(client, key, allowed_ips="127.0.0.1")
    assert client.post(page_of(key, "edit"), form).status_code == 403
    key.refresh_from_db()
    assert (key.name, key.status) == ("Backend", Status.LOCKED)


# Rotating


def test_rotation_leaves_the_old_secret_working_for_the_overlap(developer, acme, key):
    """T33: old and new both verify until the overlap is over."""
    client = sign_in(developer)
    form = {"token": token_of(client.get(page_of(key, "rotate"))), "overlap": "1h"}
    response = client.post(page_of(key, "rotate"), form)
    new = secret_on(response)
    assert new != key.secret
    assert "no-store" in response["Cache-Control"]
    for secret in (key.secret, new):
        assert services.verify_key(secret=secret, address=HERE).is_valid
    assert "already shown" in text_of(client.post(page_of(key, "rotate"), form))
    assert KeySecret.objects.filter(key=key).count() == 2


def test_admin_rotates_no_key_of_another_person(admin, acme, key):
    """T7: whoever sees a secret can act as its owner."""
    client = sign_in(admin)
    assert page_of(key, "rotate") not in text_of(client.get(page_of(key)))
    assert client.get(page_of(key, "rotate")).status_code == 403
    assert client.post(page_of(key, "rotate"), {"overlap": "0"}).status_code == 403


@pytest.mark.parametrize("overlap", ["", "1y", "\0", "-1"])
def test_odd_overlap_rotates_nothing(overlap, developer, acme, key):
    client = sign_in(developer)
    form = {"token": token_of(client.get(page_of(key, "rotate"))), "overlap": overlap}
    response = client.post(page_of(key, "rotate"), form)
    assert response.context["form"].errors["overlap"]
    assert key.secrets.count() == 1


def test_old_secret_works_until_it_is_quiet(developer, acme, key):
    client = sign_in(developer)
    form = {"token": token_of(client.get(page_of(key, "rotate"))), "overlap": "quiet"}
    errors = client.post(page_of(key, "rotate"), form).context["form"].errors
    assert "how many hours" in errors["quiet_hours"][0]
    for hours in ("0", "721", "x", "\0", "1" * 400):
        response = client.post(page_of(key, "rotate"), form | {"quiet_hours": hours})
        assert response.context["form"].errors["quiet_hours"], hours
    assert key.secrets.count() == 1
    secret_on(client.post(page_of(key, "rotate"), form | {"quiet_hours": "6"}))
    old = key.secrets.get(superseded_at__isnull=False)
    assert (old.quiet_hours, old.revoked_at) == (6, None)
    assert old.ends_at == old.superseded_at + timedelta(hours=6)
    assert services.verify_key(secret=key.secret, address=HERE).is_valid


def test_hours_do_not_matter_for_another_overlap(developer, acme, key):
    client = sign_in(developer)
    form = {"token": token_of(client.get(page_of(key, "rotate"))), "overlap": "0"}
    secret_on(client.post(page_of(key, "rotate"), form | {"quiet_hours": "nonsense"}))
    assert services.verify_key(secret=key.secret, address=HERE).code is Code.SECRET_RETIRED


def test_rotation_says_who_uses_the_old_secret(developer, acme, key):
    services.verify_key(secret=key.secret, address=ELSEWHERE, user_agent="deploy/7")
    page = text_of(sign_in(developer).get(page_of(key, "rotate")))
    assert key.label in page
    assert "was last used" in page
    assert "203.0.113.50" in page
    assert "deploy/7" in page


# The summary beside the form


def test_summary_follows_what_is_typed_and_issues_nothing(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, name="", scopes=["READ", "DELETE"], allowed_ips="192.0.2.7")
    form |= {"preview": "1", "limit": "2500", "limit_reset": "daily"}
    part = text_of(client.post(listing(acme, "create"), form, headers=HTMX))
    assert "<html" not in part
    assert "It can revoke the keys of developer@acme.example." in part
    assert "It works from 192.0.2.7 only." in part
    assert "2500 credits a day" in part.replace(",", "")
    page = text_of(client.post(listing(acme, "create"), form))
    assert "It works from 192.0.2.7 only." in page
    assert "field is required" not in page
    assert 'value="2500"' in page
    assert not APIKey.objects.exists()
    del form["preview"]
    assert secret_on(
        client.post(listing(acme, "create"), form | {"name": "Reports", "confirm_lockout": "on"})
    )


def test_summary_does_not_guess_what_is_mistyped(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, preview="1", allowed_ips="10.0.0.1/8", limit="much", expiry="custom")
    part = text_of(client.post(listing(acme, "create"), form, headers=HTMX))
    for field in ("allowed IPs", "expiry date", "limit"):
        assert f"look at the {field}" in part
    assert "anywhere" not in part


def test_own_address_is_taken_from_the_request_without_scripts(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, allowed_ips="192.0.2.0/24 # office", add_own_address="on")
    secret_on(client.post(listing(acme, "create"), form))
    rows = set(AllowedIP.objects.values_list("network", flat=True))
    assert rows == {"192.0.2.0/24", "127.0.0.1"}


@pytest.mark.parametrize("page", ["create", "edit", "rotate", "first-use"])
def test_page_asks_the_database_a_few_times(
    page, owner, acme, manage_key, django_assert_max_num_queries
):
    for number in range(30):
        services.create_workspace(actor=owner, organization=acme, name=f"Lab {number}")
        services.create_scope(actor=owner, organization=acme, code=f"orders:{number}")
    client = sign_in(owner)
    address = listing(acme, page) if page == "create" else page_of(manage_key, page)
    client.get(address)
    with django_assert_max_num_queries(12):
        assert client.get(address).status_code == 200
    if page in ("create", "edit"):
        with django_assert_max_num_queries(12):
            client.post(address, {"name": "X", "preview": "1"}, headers=HTMX)


# Widening


def test_widening_a_key_is_asked_about_once(developer, acme):
    key = _issue(
        developer, acme, "Office", scopes=["READ"], allowed_ips=["127.0.0.1"], limit=5,
        expires_at=timezone.now() + timedelta(days=5),
    )  # fmt: skip
    client = sign_in(developer)
    form = edit_form(
        client, key, scopes=["READ", "DELETE"], allowed_ips="", limit="", expiry="never"
    )
    page = text_of(client.post(page_of(key, "edit"), form))
    for sentence in (
        "It gets the scope DELETE.",
        "until now a list said from where",
        "It never expires; until now",
        "It may spend without limit.",
    ):
        assert sentence in page
    key.refresh_from_db()
    assert key.limit == 5
    response = client.post(page_of(key, "edit"), form | {"confirm_wider": "on"})
    assert response.status_code == 302
    key = APIKey.objects.get(pk=key.pk)
    assert (key.limit, key.expires_at, key.scope_codes) == (None, None, ["READ", "DELETE"])


def test_narrowing_a_key_is_not_asked_about(developer, acme, key):
    client = sign_in(developer)
    form = edit_form(client, key, scopes=["READ"], limit="1", allowed_ips="127.0.0.1")
    assert client.post(page_of(key, "edit"), form).status_code == 302


# The secret's own page


def test_secret_is_in_the_page_alone(developer, acme):
    client = sign_in(developer)
    response = client.post(listing(acme, "create"), fill(client, acme))
    secret, page = secret_on(response), text_of(response)
    hidden = re.sub(r'<(span|code) class="reveal__value"[^>]*>[^<]*</\1>', "", page)
    assert secret in page
    assert secret not in hidden
    assert f'hx-get="{page_of(APIKey.objects.get(), "first-use")}"' in page


@pytest.mark.parametrize(
    ("scopes", "dialects"),
    [
        (["READ"], ["native", "openrouter", "i3d", "netography", "xyra"]),
        ([], ["native", "openrouter"]),
    ],
)
def test_code_is_offered_in_the_dialects_that_would_answer(scopes, dialects, developer, acme):
    client = sign_in(developer)
    response = client.post(listing(acme, "create"), fill(client, acme, scopes=scopes))
    offered = {snippet.dialect: snippet for snippet in response.context["snippets"]}
    assert list(offered) == dialects
    assert len(response.context["snippets"]) == 4 * len(dialects)


def test_first_use_is_told_while_it_is_waited_for(developer, acme, key):
    client = sign_in(developer)
    address = page_of(key, "first-use")
    assert "No call yet" in text_of(client.get(address))
    assert client.get(address, {"seen": "waiting"}, headers=HTMX).status_code == 204
    services.update_key(actor=developer, key=key, allowed_ips=["127.0.0.1"])
    services.verify_key(secret=key.secret, address=ELSEWHERE)
    refused = client.get(address, {"seen": "waiting"}, headers=HTMX)
    assert "A call was refused: the address is not allowed" in text_of(refused)
    assert client.get(address, {"seen": "refused"}, headers=HTMX).status_code == 204
    services.verify_key(secret=key.secret, address=HERE)
    used = client.get(address, {"seen": "refused"}, headers=HTMX)
    assert used.status_code == 286  # htmx asks no more
    assert "It works." in text_of(used)
    assert key.secret not in text_of(used)
    assert "no-store" in used["Cache-Control"]


def test_first_use_is_that_of_the_newest_secret(developer, acme, key):
    services.verify_key(secret=key.secret, address=HERE)
    services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
    services.verify_key(secret=key.secret, address=HERE)
    assert "No call yet" in text_of(sign_in(developer).get(page_of(key, "first-use")))


def test_first_use_is_not_waited_for_all_day(developer, acme, key):
    KeySecret.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    response = sign_in(developer).get(page_of(key, "first-use"), headers=HTMX)
    assert response.status_code == 286
    assert "Check again" in text_of(response)
