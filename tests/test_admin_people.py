"""Accounts and the audit trail at the staff door."""

import json

import pytest
from django.urls import reverse

from keys import services
from keys.models import AuditEvent, User
from tests.conftest import PASSWORD
from tests.staff_pages import act, errors, page

IS_TOLD = True


class TestAuditEvents:
    def test_staff_read_them(self, as_staff, key):
        event = AuditEvent.objects.get(action="apikey.issued")

        text = as_staff.get(page("auditevent_change", event.pk)).text

        assert "developer@acme.example" in text
        assert "CREATE, DELETE, READ, UPDATE" in text

    def test_the_page_of_one_is_headed_by_its_sentence(self, as_staff, key):
        event = AuditEvent.objects.get(action="apikey.issued")
        text = as_staff.get(page("auditevent_change", event.pk)).text
        assert "<h1>developer@acme.example issued the key Backend</h1>" in text
        assert "apikey.issued Backend" not in text

    def test_nobody_alters_them(self, as_superuser, key):
        event = AuditEvent.objects.first()

        assert as_superuser.get(page("auditevent_add")).status_code == 403
        for address in (
            page("auditevent_change", event.pk),
            page("auditevent_delete", event.pk),
        ):
            assert as_superuser.post(address, {"post": "yes"}).status_code == 403
        act(as_superuser, "auditevent", "delete_selected", event, post="yes")
        assert AuditEvent.objects.filter(pk=event.pk).exists()

    def test_a_change_shows_the_old_and_the_new_value(self, as_staff, key, developer):
        services.update_key(actor=developer, key=key, name="Front")
        event = AuditEvent.objects.get(action="apikey.updated")

        assert "Backend → Front" in as_staff.get(page("auditevent_change", event.pk)).text


class TestPeople:
    NEW = {
        "email": "New@acme.example",
        "first_name": "Nina",
        "last_name": "",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
    }

    def test_a_superuser_creates_an_account(self, as_superuser):
        as_superuser.post(page("user_add"), self.NEW)

        person = User.objects.get(email="New@acme.example")
        assert person.check_password(PASSWORD)
        event = AuditEvent.objects.get(action="user.created")
        assert event.object_label == "New@acme.example"
        assert PASSWORD not in json.dumps(event.changes)

    def test_a_password_of_nobody_is_not_changed(self, as_superuser):
        for nobody in ("abc", "999999", "_00", "9" * 30):
            path = reverse("admin:auth_user_password_change", args=[nobody])
            assert as_superuser.get(path).status_code in (302, 404)

    def test_an_account_without_a_password_waits_for_its_person_to_set_one(self, as_superuser):
        as_superuser.post(
            page("user_add"), {"email": "later@acme.example", "usable_password": "false"}
        )

        assert not User.objects.get(email="later@acme.example").has_usable_password()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"email": "OWNER@acme.example"}, "exists already"),
            ({"email": "nonsense"}, "valid email address"),
            ({"password2": "another one entirely"}, "match"),
            ({"password1": "short", "password2": "short"}, "too short"),
        ],
    )
    def test_nonsense_is_answered_beside_the_field(self, as_superuser, owner, changes, words):
        response = as_superuser.post(page("user_add"), {**self.NEW, **changes})

        assert words in errors(response)
        assert User.objects.count() == 2

    def test_a_superuser_makes_staff_and_deactivates(self, as_superuser, owner):
        as_superuser.post(page("user_change", owner.pk), {"first_name": "Olivia", "is_staff": "on"})

        owner.refresh_from_db()
        assert (owner.first_name, owner.is_staff, owner.is_active) == ("Olivia", True, False)
        changes = AuditEvent.objects.get(action="user.updated").changes
        assert changes["is_staff"] == [False, True]

    def test_a_superuser_does_not_shut_themselves_out(self, as_superuser, superuser):
        response = as_superuser.post(page("user_change", superuser.pk), {"is_active": "on"})

        assert "Somebody else has to take this from you." in errors(response)
        superuser.refresh_from_db()
        assert superuser.is_superuser

    def test_the_hash_of_a_password_is_neither_shown_nor_editable(self, as_superuser, owner):
        before = owner.password
        data = {"first_name": "", "is_active": "on", "password": "forged"}

        text = as_superuser.get(page("user_change", owner.pk)).text
        as_superuser.post(page("user_change", owner.pk), data)

        owner.refresh_from_db()
        assert before not in text
        assert owner.password == before

    def test_another_password_is_given_and_audited(self, as_superuser, owner):
        address = reverse("admin:auth_user_password_change", args=[owner.pk])
        new = "a new one of some length"

        as_superuser.post(address, {"usable_password": "true", "password1": new, "password2": new})

        owner.refresh_from_db()
        assert owner.check_password(new)
        assert AuditEvent.objects.get(action="user.password_changed").object_id == str(owner.pk)

    def test_accounts_are_never_deleted(self, as_superuser, owner):
        address = page("user_delete", owner.pk)
        assert as_superuser.post(address, {"post": "yes"}).status_code == 403
        act(as_superuser, "user", "delete_selected", owner, post="yes")
        assert User.objects.filter(pk=owner.pk).exists()

    def test_staff_do_not_see_accounts(self, as_staff, owner):
        assert as_staff.get(page("user_change", owner.pk)).status_code == 403
        assert as_staff.post(page("user_add"), self.NEW).status_code == 403
