"""The staff door: what staff see and do, through the same policy and services as everybody."""

import re

import pytest
from django.urls import reverse

from keys import services
from keys.audit_filters import LOOKS
from tests.staff_pages import page

LISTS = ("organization", "apikey", "decision", "role", "scope", "auditevent")


class TestTheDoor:
    def test_anonymous_people_are_sent_to_the_one_sign_in_page(self, client, db):
        response = client.get("/admin/", follow=True)

        assert response.redirect_chain[-1][0].startswith("/accounts/login/")

    def test_members_who_are_not_staff_do_not_come_in(self, client, owner, acme):
        client.force_login(owner)

        assert client.get("/admin/", follow=True).status_code == 403
        assert client.get(page("apikey_changelist"), follow=True).status_code == 403

    @pytest.mark.parametrize("path", ["/status/", "/admin/"])
    def test_they_are_told_whose_pages_these_are(self, client, owner, acme, path):
        client.force_login(owner)
        reply = client.get(path, follow=True)
        assert "owner@acme.example is not staff" in reply.text
        assert "admin of the organization" not in reply.text

    def test_staff_who_find_nothing_are_led_back_to_their_own_pages(self, as_staff):
        missed = as_staff.get("/admin/nothing/")
        assert missed.status_code == 404
        assert "not a member of" not in missed.text
        assert f'href="{reverse("admin:index")}"' in missed.text
        assert "Back to your keys" in as_staff.get("/nothing/").text

    def test_the_latest_changes_are_changes(self, as_staff, acme, owner):
        key = services.issue_key(actor=owner, organization=acme, name="Backend")
        as_staff.get(page("role_changelist"))
        as_staff.get(page("apikey_change", key.pk))
        events = as_staff.get("/admin/").context["events"]
        assert "apikey.issued" in [event.action for event in events]
        assert not [event for event in events if event.action in LOOKS]
        assert "looked through lists" in as_staff.get(page("auditevent_changelist")).text

    def test_ones_own_password_is_changed_on_the_accounts_pages(self, as_staff):
        response = as_staff.get(reverse("admin:password_change"))

        assert response.url == reverse("account_change_password")

    def test_staff_see_every_list_but_peoples_accounts(self, as_staff, key, strangers_key):
        for name in LISTS:
            assert as_staff.get(page(f"{name}_changelist")).status_code == 200
        assert as_staff.get(page("user_changelist")).status_code == 403

    def test_each_list_costs_a_constant_number_of_queries(
        self, as_staff, acme, owner, key, django_assert_max_num_queries
    ):
        for number in range(12):
            services.issue_key(actor=owner, organization=acme, name=f"Key {number}")
        for name in LISTS:
            with django_assert_max_num_queries(30):
                as_staff.get(page(f"{name}_changelist"))

    def test_no_page_has_inline_styles_or_scripts(self, as_superuser, key, acme, developer):
        addresses = [
            "/admin/",
            page("apikey_changelist"),
            page("apikey_change", key.pk),
            page("apikey_press", key.pk, "lock"),
            "/admin/search/",
            "/admin/reports/",
            "/admin/reports/peppers/",
            page("organization_changelist"),
            page("organization_change", acme.pk),
            page("organization_add"),
            page("user_change", developer.pk),
            page("user_add"),
            page("role_add"),
            page("auditevent_changelist"),
        ]
        for address in addresses:
            text = as_superuser.get(address).text
            assert "<style" not in text
            assert not re.search(r'\sstyle="', text)
            assert not re.search(r"<script(?![^>]*\bsrc=)", text)


@pytest.mark.parametrize(
    "address",
    [
        "organization_changelist?sealed_shared_secret__startswith=g",
        "auditevent_changelist?organization__sealed_shared_secret__startswith=g",
        "apikey_changelist?name__regex=(a",
        "apikey_changelist?name=%00",
        "apikey_changelist?dialect__exact=%00",
        "auditevent_changelist?address=nowhere",
        "auditevent_changelist?object_id=%00",
        "user_changelist?password__startswith=a",
    ],
)
def test_no_list_is_narrowed_by_what_no_page_offers(as_superuser, db, address):
    name, _sign, query = address.partition("?")
    assert as_superuser.get(f"{page(name)}?{query}").status_code == 400


def test_lists_are_narrowed_by_what_their_pages_offer(as_superuser, acme, key):
    for address in (
        f"apikey_changelist?organization={acme.pk}&dialect__exact=native",
        "apikey_changelist?status=active",
        "apikey_changelist?organization=nonsense&attention=nonsense",
        f"auditevent_changelist?object_type=apikey&object_id={key.pk}",
        "auditevent_changelist?door__exact=api",
        "role_changelist?organization__isnull=True",
        "user_changelist?is_staff__exact=1",
        "organization_changelist?state=suspended",
        f"decision_changelist?key__id__exact={key.pk}&outcome=refused",
    ):
        name, _sign, query = address.partition("?")
        response = as_superuser.get(f"{page(name)}?{query}", follow=True)
        assert response.status_code == 200, address
