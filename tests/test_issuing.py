"""The page of a new key, and the summary beside its form, as the people of the cast meet them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from keys import services
from keys.models import AllowedIP, APIKey, AuditEvent, Role
from tests.key_pages import (
    HERE,
    HTMX,
    fill,
    listing,
    page_of,
    secret_on,
    sign_in,
    text_of,
    token_of,
    words_of,
)

pytestmark = pytest.mark.django_db


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


@pytest.mark.parametrize(
    ("network", "is_elsewhere"), [("192.0.2.0/24", True), ("127.0.0.1", False)]
)
def test_what_cannot_be_tried_from_here_is_said_to_be_so(developer, acme, network, is_elsewhere):
    client = sign_in(developer)
    form = fill(client, acme, allowed_ips=network, confirm_lockout="on")
    page = words_of(client.post(listing(acme, "create"), form))
    assert "Test it now" in page
    assert ("may not be used from your own address, 127.0.0.1" in page) is is_elsewhere


def test_list_that_holds_ones_own_address_is_not_asked_about(developer, acme):
    client = sign_in(developer)
    form = fill(client, acme, allowed_ips="127.0.0.0/8")
    assert secret_on(client.post(listing(acme, "create"), form))


def test_following_servers_that_one_is_not_at_is_asked_about_first(developer, acme):
    """An organization without server addresses included: then nothing is let through."""
    client = sign_in(developer)
    form = fill(client, acme, assign_server_ips="on")
    response = client.post(listing(acme, "create"), form)
    assert "Your own address, 127.0.0.1, is not let through" in text_of(response)
    assert not APIKey.objects.exists()


def test_following_servers_that_one_is_at_is_not_asked_about(developer, owner, acme):
    services.add_server_address(actor=owner, organization=acme, network="127.0.0.0/8")
    client = sign_in(developer)
    form = fill(client, acme, assign_server_ips="on")
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
    # An edited key may be held to addresses that somebody demanded.
    more = 1 if page == "edit" else 0
    with django_assert_max_num_queries(13 + more):
        assert client.get(address).status_code == 200
    if page in ("create", "edit"):
        with django_assert_max_num_queries(12 + more):
            client.post(address, {"name": "X", "preview": "1"}, headers=HTMX)
