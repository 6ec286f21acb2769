"""Keys at the staff door."""

import pytest

from keys import services
from keys.admin import buttons
from keys.models import APIKey, AuditEvent
from keys.networks import parse_address
from tests.staff_pages import act, page, press


class TestKeys:
    def test_the_key_page_shows_the_mask_and_never_a_secret_or_digest(self, as_staff, key):
        text = as_staff.get(page("apikey_change", key.pk)).text

        assert key.label in text
        assert key.secret not in text
        assert key.secrets.get().digest not in text

    def test_the_key_page_says_how_often_it_may_be_used(self, as_staff, key, owner):
        rates = [{"amount": 600, "period": "minute"}]
        services.update_key(actor=owner, key=key, rate_limits=rates)
        assert "600 requests a minute" in as_staff.get(page("apikey_change", key.pk)).text

    def test_staff_cannot_issue_or_change_keys(self, as_staff, key):
        assert as_staff.get("/admin/keys/apikey/add/").status_code == 403
        assert as_staff.post(page("apikey_change", key.pk), {"name": "Mine"}).status_code == 403
        key.refresh_from_db()
        assert key.name == "Backend"

    def test_superusers_cannot_either(self, as_superuser, key):
        assert as_superuser.get("/admin/keys/apikey/add/").status_code == 403
        assert as_superuser.post(page("apikey_change", key.pk), {"name": "Mine"}).status_code == 403

    def test_a_locked_key_stops_and_an_unlocked_one_works_again(self, as_staff, key):
        press(as_staff, key, "lock", reason="Seen in a public repository")
        assert services.verify_key(secret=key.secret, address=None).code == "LOCKED"
        key.refresh_from_db()
        assert key.lock_reason == "Seen in a public repository"

        press(as_staff, key, "unlock")
        assert services.verify_key(secret=key.secret, address=None).is_valid
        unlocked, locked = AuditEvent.objects.filter(object_id=str(key.pk), door="admin")
        assert (unlocked.action, locked.action) == ("apikey.unlocked", "apikey.locked")
        assert locked.changes == {"reason": "Seen in a public repository"}

    def test_a_button_asks_before_it_does_anything(self, as_staff, key):
        question = as_staff.get(page("apikey_press", key.pk, "lock"))

        assert "Lock “Backend”?" in question.text
        assert key.label in question.text
        key.refresh_from_db()
        assert key.locked_at is None

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            ("", "This field is required."),
            ("  ", "This field is required."),
            ("x" * 201, "at most 200 characters"),
            ("\x00", "Null characters are not allowed."),
        ],
    )
    def test_a_lock_needs_a_reason_that_can_be_shown(self, as_staff, key, reason, words):
        response = press(as_staff, key, "lock", reason=reason)

        assert words in response.text
        key.refresh_from_db()
        assert key.locked_at is None

    def test_the_page_offers_what_applies(self, as_staff, key):
        text = as_staff.get(page("apikey_change", key.pk)).text

        assert page("apikey_press", key.pk, "lock") in text
        assert page("apikey_press", key.pk, "unlock") not in text
        assert page("apikey_press", key.pk, "revoke") in text

    def test_there_are_no_other_buttons(self, as_staff, key):
        assert as_staff.get(page("apikey_press", key.pk, "explode")).status_code == 404
        assert press(as_staff, key, "explode").status_code == 404
        assert as_staff.get(page("apikey_press", 10**9, "lock")).status_code == 404
        assert as_staff.put(page("apikey_press", key.pk, "lock")).status_code == 405

    def test_a_revoked_key_stops_for_good_and_stays_known(self, as_staff, key):
        assert "for good" in as_staff.get(page("apikey_press", key.pk, "revoke")).text

        response = as_staff.post(page("apikey_press", key.pk, "revoke"), follow=True)

        key.refresh_from_db()
        assert key.revoked_at is not None
        assert "Revoked Backend." in response.text
        assert AuditEvent.objects.filter(action="apikey.revoked", door="admin").count() == 1

    def test_a_key_is_never_deleted(self, as_superuser, key):
        assert as_superuser.post(page("apikey_delete", key.pk), {"post": "yes"}).status_code == 403
        act(as_superuser, "apikey", "delete_selected", key, post="yes")
        assert APIKey.objects.filter(pk=key.pk).exists()

    def test_many_keys_are_revoked_from_the_list(self, as_staff, key, read_only_key, manage_key):
        asked = act(as_staff, "apikey", "revoke", key, read_only_key)
        assert "Revoke 2 API keys for good?" in asked.text
        assert not APIKey.objects.exclude(revoked_at=None).exists()

        act(as_staff, "apikey", "revoke", key, read_only_key, post="yes")

        assert set(APIKey.objects.exclude(revoked_at=None)) == {key, read_only_key}
        assert AuditEvent.objects.filter(action="apikey.revoked").count() == 2

    def test_a_revoked_key_is_not_revoked_or_locked_again(self, as_staff, staff, key):
        services.revoke_key(actor=staff, key=key)

        for button in ("revoke", "lock"):
            response = as_staff.post(
                page("apikey_press", key.pk, button), {"reason": "Late"}, follow=True
            )
            assert "There was nothing to do" in response.text
            act(as_staff, "apikey", button, key, post="yes", reason="Late")
        assert AuditEvent.objects.filter(action="apikey.revoked").count() == 1
        assert not AuditEvent.objects.filter(action="apikey.locked").exists()

    def test_many_keys_are_locked_from_the_list_for_one_reason(self, as_staff, key, manage_key):
        asked = act(as_staff, "apikey", "lock", key, manage_key)
        assert "Lock 2 API keys?" in asked.text
        unsaid = act(as_staff, "apikey", "lock", key, manage_key, post="yes", reason="")
        assert "This field is required." in unsaid.text
        assert not APIKey.objects.exclude(locked_at=None).exists()

        act(as_staff, "apikey", "lock", key, manage_key, post="yes", reason="Leaked")

        assert APIKey.objects.filter(locked_at__isnull=False, lock_reason="Leaked").count() == 2

    def test_no_more_are_taken_at_once_than_somebody_reads(self, as_staff, key, monkeypatch):
        monkeypatch.setattr(buttons, "MOST_AT_ONCE", 0)

        response = as_staff.post(
            page("apikey_changelist"),
            {"action": "revoke", "_selected_action": [key.pk], "post": "yes"},
            follow=True,
        )

        assert "Choose at most 0 at once." in response.text
        assert APIKey.objects.live().count() == 1

    def test_the_key_page_shows_how_it_was_judged(self, as_staff, key):
        services.verify_key(secret=key.secret, address=parse_address("192.0.2.7"))
        services.verify_key(secret=key.secret, address=None, scopes=["orders:read"])

        text = as_staff.get(page("apikey_change", key.pk)).text

        assert "192.0.2.7" in text
        assert "A scope is missing" in text
        everything = as_staff.get(page("decision_changelist", key__id__exact=key.pk)).text
        assert everything.count('class="field-at') == 2

    def test_moments_are_shown_with_their_zone(self, as_staff, key):
        assert " UTC" in as_staff.get(page("apikey_change", key.pk)).text

    @pytest.mark.parametrize(
        "term",
        [
            lambda key: key.identifier,
            lambda key: key.hash,
            lambda key: key.name,
            lambda key: key.slug,
            lambda key: key.label,
            lambda key: "developer@acme.example",
            lambda key: "acme",
        ],
    )
    def test_a_key_is_found_by_every_name_it_has(self, as_staff, key, strangers_key, term):
        text = as_staff.get(page("apikey_changelist"), {"q": term(key)}).text

        assert page("apikey_change", key.pk) in text
        assert page("apikey_change", strangers_key.pk) not in text

    def test_a_key_is_found_by_its_number(self, as_staff, key):
        # Others may be found too: a digit occurs in many a name.
        assert (
            page("apikey_change", key.pk)
            in as_staff.get(page("apikey_changelist"), {"q": key.pk}).text
        )

    @pytest.mark.parametrize("term", ["nothing like it", "9" * 40, "%", "🗝"])
    def test_a_search_for_nonsense_finds_nothing_and_never_fails(self, as_staff, key, term):
        response = as_staff.get(page("apikey_changelist"), {"q": term})

        assert response.status_code == 200
        assert page("apikey_change", key.pk) not in response.text

    def test_a_search_with_a_nul_byte_never_fails(self, as_staff, key):
        assert as_staff.get(page("apikey_changelist"), {"q": "\x00"}).status_code == 200

    def test_a_whole_key_in_the_search_box_is_refused_and_leaves_the_address(self, as_staff, key):
        response = as_staff.get(page("apikey_changelist"), {"q": key.secret}, follow=True)

        assert response.redirect_chain == [(page("apikey_changelist"), 302)]
        assert "Consider rotating it" in response.text
        assert key.secret not in response.text

    @pytest.mark.parametrize(
        ("status", "is_listed"), [("locked", True), ("active", False), ("no-such", True)]
    )
    def test_keys_are_filtered_by_status(self, as_staff, staff, key, status, is_listed):
        services.lock_key(actor=staff, key=key)

        text = as_staff.get(page("apikey_changelist"), {"status": status}).text

        assert (page("apikey_change", key.pk) in text) is is_listed

    @pytest.mark.parametrize(
        ("attention", "is_listed"),
        [("owner_gone", False), ("never_expires", True), ("never_used", True), ("expiring", False)],
    )
    def test_keys_are_filtered_by_what_they_want(self, as_staff, key, attention, is_listed):
        text = as_staff.get(page("apikey_changelist", attention=attention)).text

        assert (page("apikey_change", key.pk) in text) is is_listed

    def test_keys_of_people_who_left_are_listed(self, as_staff, acme, owner, developer, key):
        services.remove_member(actor=owner, membership=acme.memberships.get(user=developer))

        text = as_staff.get(page("apikey_changelist", attention="owner_gone")).text

        assert page("apikey_change", key.pk) in text

    def test_keys_are_filtered_by_organization(self, as_staff, acme, other, key, strangers_key):
        text = as_staff.get(page("apikey_changelist", organization=other.pk)).text

        assert page("apikey_change", strangers_key.pk) in text
        assert page("apikey_change", key.pk) not in text
