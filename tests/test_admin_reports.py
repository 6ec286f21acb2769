"""Reports and the first page of the staff door."""

import csv
import io
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.utils import timezone

from keys import policy, services, tallies
from keys.admin import counting, dashboard
from keys.admin.reports import REPORTS
from keys.models import APIKey, KeySecret, UsageBucket
from keys.verification import Code
from tests.conftest import join, make_person
from tests.staff_pages import page


def table(client, report: str) -> list[dict[str, str]]:
    """Return the rows of a report's file by column."""
    response = client.get(f"/admin/reports/{report}.csv")
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def use(key, requests: int, outcome: Code, age: timedelta = timedelta(0)) -> UsageBucket:
    hour = (timezone.now() - age).replace(minute=0, second=0, microsecond=0)
    bucket = UsageBucket.objects.create(
        key=key, secret=key.secrets.first(), hour=hour, outcome=outcome, requests=requests
    )
    tallies.recount(key.organization)
    return bucket


class TestReports:
    @pytest.mark.parametrize("report", REPORTS)
    def test_each_is_a_page_and_a_file(self, as_staff, key, report):
        shown = as_staff.get(f"/admin/reports/{report}/")

        assert shown.status_code == 200
        assert str(REPORTS[report].title) in shown.text
        file = as_staff.get(f"/admin/reports/{report}.csv")
        assert file["Content-Type"] == "text/csv; charset=utf-8"
        assert f'filename="{report}.csv"' in file["Content-Disposition"]
        assert "no-store" in file["Cache-Control"]

    def test_there_are_no_others(self, as_staff):
        assert as_staff.get("/admin/reports/nothing/").status_code == 404
        assert as_staff.get("/admin/reports/nothing.csv").status_code == 404
        assert as_staff.post("/admin/reports/peppers/").status_code == 405

    def test_members_who_are_not_staff_get_none(self, client, owner, acme):
        client.force_login(owner)
        for report in REPORTS:
            assert client.get(f"/admin/reports/{report}.csv", follow=True).status_code == 403

    def test_keys_are_counted_by_organization_and_status(
        self, as_staff, staff, acme, other, key, manage_key
    ):
        services.lock_key(actor=staff, key=key, reason="Leaked")

        first, second = table(as_staff, "keys-by-organization")

        assert (first["Organization"], first["All"]) == ("Acme", "2")
        assert (first["Locked by staff"], first["Active"], first["Revoked"]) == ("1", "1", "0")
        assert (second["Organization"], second["All"]) == ("Other", "0")

    def test_the_oldest_secret_in_use_comes_first(self, as_staff, developer, key, read_only_key):
        services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))

        rows = table(as_staff, "oldest-secrets")

        assert [row["Key"] for row in rows] == ["Dashboard", "Backend"]
        assert rows[1]["Label"] == key.secrets.order_by("-pk").first().label

    def test_keys_without_an_end_are_listed(self, as_staff, owner, key, manage_key):
        soon = timezone.now() + timedelta(days=3)
        services.update_key(actor=owner, key=manage_key, expires_at=soon)

        assert [row["Key"] for row in table(as_staff, "never-expiring")] == ["Backend"]

    def test_refused_keys_are_ranked(self, as_staff, key, read_only_key, manage_key):
        use(key, 3, Code.EXPIRED)
        use(read_only_key, 9, Code.LOCKED)
        use(read_only_key, 4, Code.VALID)
        use(manage_key, 99, Code.LOCKED, age=timedelta(days=8))

        rows = table(as_staff, "most-refused")

        assert [(row["Key"], row["Refused"], row["Accepted"]) for row in rows] == [
            ("Dashboard", "9", "4"),
            ("Backend", "3", "0"),
        ]

    def test_people_without_a_second_factor_are_listed(self, as_staff, acme, owner, developer):
        Authenticator.objects.create(user=developer, type=Authenticator.Type.TOTP, data={})
        Authenticator.objects.create(user=owner, type=Authenticator.Type.RECOVERY_CODES, data={})
        make_person("nowhere@else.example")

        rows = table(as_staff, "without-second-factor")

        assert [(row["Person"], row["Owns an organization"]) for row in rows] == [
            ("owner@acme.example", "yes")
        ]

    def test_superusers_see_those_of_staff_too(self, as_superuser, owner):
        rows = table(as_superuser, "without-second-factor")

        assert [row["Person"] for row in rows] == ["root@keyhaven.example", "owner@acme.example"]

    def test_organizations_with_one_owner_are_listed(self, as_staff, owner, acme, other):
        second = join(other, make_person("second@other.example"), "admin")
        services.update_member(
            actor=policy.OPERATOR, membership=second, role=second.role, is_owner=True
        )

        rows = table(as_staff, "one-owner")

        assert [(row["Organization"], row["Owner"]) for row in rows] == [
            ("Acme", "owner@acme.example")
        ]

    def test_a_pepper_can_go_when_nothing_depends_on_it(
        self, as_staff, key, manage_key, settings, developer
    ):
        settings.KEY_PEPPERS = {1: b"a" * 40, 2: b"b" * 40, 7: b"c" * 40}
        KeySecret.objects.filter(key=key).update(pepper_id=2)
        KeySecret.objects.filter(key=manage_key).update(pepper_id=1)
        services.revoke_key(actor=policy.OPERATOR, key=manage_key)

        newest, used, unused = table(as_staff, "peppers")

        assert (newest["Pepper"], newest["What to do"]) == ("7", "In use for new secrets.")
        assert (used["Pepper"], used["Secrets that work with it"]) == ("2", "1")
        assert used["What to do"].startswith("Keep it")
        assert (unused["Secrets that work with it"], unused["Secrets in all"]) == ("0", "1")
        assert unused["What to do"].startswith("Nothing depends on it")

    def test_a_name_that_poses_as_a_formula_is_text_in_the_file(self, as_staff, acme, owner):
        services.issue_key(actor=owner, organization=acme, name='=HYPERLINK("http://x")')

        assert table(as_staff, "never-expiring")[0]["Key"].startswith("'=")

    def test_a_page_shows_the_first_rows_and_says_so(self, as_staff, acme, owner, monkeypatch):
        from keys.admin import report_pages

        monkeypatch.setattr(report_pages, "ROWS_SHOWN", 2)
        for number in range(3):
            services.issue_key(actor=owner, organization=acme, name=f"Key {number}")

        text = as_staff.get("/admin/reports/never-expiring/").text

        assert "Key 1" in text
        assert "Key 2" not in text
        assert "These are the first 2" in text


class TestFirstPage:
    def test_it_says_when_nothing_needs_anybody(self, as_staff, key):
        assert "Nothing: no suspension" in as_staff.get("/admin/").text

    def test_it_names_what_needs_somebody(self, as_staff, staff, acme, owner, developer, key):
        read = services.issue_key(actor=owner, organization=acme, name="Short", owner=None)
        APIKey.objects.filter(pk=read.pk).update(expires_at=timezone.now() + timedelta(days=2))
        locked = services.issue_key(actor=owner, organization=acme, name="Leaked", owner=None)
        services.lock_key(actor=staff, key=locked, reason="Leaked")
        services.remove_member(actor=owner, membership=acme.memberships.get(user=developer))
        services.suspend_organization(actor=staff, organization=acme)

        text = as_staff.get("/admin/").text

        for address in (
            page("organization_changelist", state="suspended"),
            page("apikey_changelist", status="locked"),
            page("apikey_changelist", attention="owner_gone"),
            page("apikey_changelist", attention="expiring"),
        ):
            assert f'href="{address}"' in text

    def test_a_key_refused_more_often_than_let_through_is_named(self, as_staff, key, manage_key):
        use(key, dashboard.SPIKE, Code.FORBIDDEN_ADDRESS)
        use(manage_key, dashboard.SPIKE, Code.LOCKED)
        use(manage_key, dashboard.SPIKE, Code.VALID)

        text = as_staff.get("/admin/").text

        assert "“Backend” of Acme is refused more often than let through" in text
        assert "“Management”" not in text

    def test_requests_of_the_last_day_are_summed(self, as_staff, key):
        use(key, 7, Code.VALID)
        use(key, 100, Code.VALID, age=timedelta(days=2))
        use(key, 2, Code.EXPIRED)

        numbers = {
            each.label: str(each.count) for each in as_staff.get("/admin/").context["numbers"]
        }

        assert numbers["Verified in 24 hours"] == "7"
        assert numbers["Refused in 24 hours"] == "2"

    def test_only_the_newest_use_is_read_and_then_it_says_so(self, as_staff, key, monkeypatch):
        monkeypatch.setattr(dashboard, "BUCKETS_READ", 1)
        use(key, 7, Code.VALID)
        use(key, 2, Code.EXPIRED)

        response = as_staff.get("/admin/")

        assert "at least" in response.text
        numbers = {each.label: str(each.count) for each in response.context["numbers"]}
        assert (numbers["Verified in 24 hours"], numbers["Refused in 24 hours"]) == ("7", "0")

    def test_counting_stops_where_nobody_reads_on(self, key, read_only_key, manage_key):
        keys = APIKey.objects.all()

        assert str(counting.count_up_to(keys, most=2)) == "2+"
        assert str(counting.count_up_to(keys, most=3)) == "3"
        assert str(counting.Count(1234567)) == "1,234,567"

    def test_it_costs_the_same_with_many_keys(
        self, as_staff, acme, owner, django_assert_max_num_queries
    ):
        for number in range(12):
            services.issue_key(actor=owner, organization=acme, name=f"Key {number}")
        with django_assert_max_num_queries(28) as queries:
            as_staff.get("/admin/")
        before = len(queries)
        for number in range(12):
            services.issue_key(actor=owner, organization=acme, name=f"More {number}")
        with django_assert_max_num_queries(before):
            as_staff.get("/admin/")
