"""The settings of an organization: who reads them, who changes them, what they warn of."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from keys import policy, services
from keys.models import AuditEvent, KeySecret, Organization
from tests.key_pages import sign_in, text_of

pytestmark = pytest.mark.django_db


def settings_of(organization) -> str:
    return reverse("keys:settings", args=[organization.slug])


def fill(**changes) -> dict:
    """Return the form as a browser would send it, unchanged but for these."""
    unchanged = {"name": "Acme", "slug": "acme", "rotation": "365", "rotation_days": "365"}
    values = {**unchanged, "limiter_failure": "refuse", **changes}
    return {name: value for name, value in values.items() if value is not None}


def test_admin_renames_the_organization(admin, acme):
    response = sign_in(admin).post(settings_of(acme), fill(name="Acme Shipping"), follow=True)
    assert "The settings of Acme Shipping are saved" in text_of(response)
    assert Organization.objects.get(pk=acme.pk).name == "Acme Shipping"
    event = AuditEvent.objects.first()
    assert (event.action, event.changes) == (
        "organization.updated",
        {"name": ["Acme", "Acme Shipping"]},
    )


def test_saving_unchanged_changes_nothing(owner, acme):
    events = AuditEvent.objects.count()
    assert sign_in(owner).post(settings_of(acme), fill()).status_code == 302
    assert AuditEvent.objects.count() == events


def test_another_short_name_is_asked_about_first(owner, acme):
    client = sign_in(owner)
    asked = client.post(settings_of(acme), fill(slug="acme-2"))
    assert asked.status_code == 200
    assert "another organization may take the name" in text_of(asked)
    assert Organization.objects.get(pk=acme.pk).slug == "acme"
    confirmed = client.post(settings_of(acme), fill(slug="acme-2", confirm_slug="on"))
    assert confirmed.url == "/organizations/acme-2/settings/"
    assert client.get(confirmed.url).status_code == 200
    assert client.get(settings_of(acme)).status_code == 404


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "required"),
        ("name", "x" * 121, "at most 120"),
        ("name", "a\0b", "Null characters"),
        ("slug", "Acme", "lower-case"),
        ("slug", "-acme", "lower-case"),
        ("slug", "x" * 64, "at most 63"),
        ("rotation", "42", "valid choice"),
        ("rotation", None, "required"),
    ],
)
def test_bad_input_is_named_at_its_field_and_writes_nothing(field, value, message, owner, acme):
    response = sign_in(owner).post(settings_of(acme), fill(**{field: value}, confirm_slug="on"))
    assert response.status_code == 200
    assert message in " ".join(response.context["form"].errors[field])
    assert Organization.objects.get(pk=acme.pk).name == "Acme"


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ("", "Say after how many days"),
        ("0", "greater than or equal to 1"),
        ("3651", "less than or equal to 3650"),
        ("9" * 400, "less than or equal"),
        ("often", "whole number"),
    ],
)
def test_age_of_ones_own_is_a_number_of_days(days, message, owner, acme):
    response = sign_in(owner).post(settings_of(acme), fill(rotation="custom", rotation_days=days))
    assert message in " ".join(response.context["form"].errors["rotation_days"])


@pytest.mark.parametrize(
    ("choice", "days", "saved"),
    [("90", "nonsense", 90), ("custom", "42", 42), ("never", "365", None)],
)
def test_policy_on_age_is_chosen(choice, days, saved, owner, acme):
    client = sign_in(owner)
    client.post(settings_of(acme), fill(rotation=choice, rotation_days=days))
    assert Organization.objects.get(pk=acme.pk).rotation_days == saved
    assert client.get(settings_of(acme)).context["form"]["rotation"].value() == choice


def test_short_name_of_another_organization_is_refused(owner, acme, other):
    response = sign_in(owner).post(settings_of(acme), fill(slug="other", confirm_slug="on"))
    assert response.context["form"].errors["slug"]
    assert Organization.objects.get(pk=acme.pk).slug == "acme"


def test_each_age_says_how_many_keys_it_would_list(owner, acme, key, manage_key):
    KeySecret.objects.filter(key=key).update(created_at=timezone.now() - timedelta(days=200))
    response = sign_in(owner).get(settings_of(acme))
    counts = {option.data["value"]: count for option, count in response.context["rotation_options"]}
    assert counts == {"90": 1, "180": 1, "365": 0, "custom": None, "never": None}
    assert "lists 1 key today" in text_of(response)


def test_viewer_reads_and_is_told_whom_to_ask(viewer, acme):
    client = sign_in(viewer)
    page = text_of(client.get(settings_of(acme)))
    assert "may not change them" in page
    assert "owner@acme.example" in page
    assert "Save changes" not in page
    assert client.post(settings_of(acme), fill(name="Mine")).status_code == 403
    assert Organization.objects.get(pk=acme.pk).name == "Acme"


def test_stranger_finds_no_settings(stranger, other, acme):
    client = sign_in(stranger)
    assert client.get(settings_of(acme)).status_code == 404
    assert client.post(settings_of(acme), fill(name="Mine")).status_code == 404


def test_suspended_organization_says_so_with_the_day(owner, acme):
    services.suspend_organization(actor=policy.OPERATOR, organization=acme)
    page = text_of(sign_in(owner).get(settings_of(acme)))
    assert "none of its keys is accepted" in page
    assert "Suspended" in page


def test_name_is_text(owner, acme):
    client = sign_in(owner)
    client.post(settings_of(acme), fill(name="<script>alert(1)</script>"))
    assert "<script>alert" not in text_of(client.get(settings_of(acme)))


def test_superuser_changes_what_they_do_not_belong_to(superuser, acme):
    response = sign_in(superuser).post(settings_of(acme), fill(name="Renamed"))
    assert response.status_code == 302
    assert Organization.objects.get(pk=acme.pk).name == "Renamed"


def test_settings_ask_the_database_a_bounded_number_of_times(
    owner, acme, django_assert_max_num_queries
):
    for number in range(20):
        services.issue_key(actor=owner, organization=acme, name=f"Key {number}")
    client = sign_in(owner)
    client.get(settings_of(acme))
    with django_assert_max_num_queries(12):
        client.get(settings_of(acme))


class TestRateLimits:
    def test_an_admin_sets_them_for_all_keys_together(self, admin, acme):
        client = sign_in(admin)
        sent = fill(rate_second="20", rate_day="1000000", limiter_failure="allow")
        client.post(settings_of(acme), sent)
        acme = Organization.objects.get(pk=acme.pk)
        assert sorted(map(str, acme.rate_limits.all())) == ["1000000/day", "20/second"]
        assert acme.limiter_failure == "allow"
        form = client.get(settings_of(acme)).context["form"]
        assert [form[name].value() for name in ("rate_second", "rate_minute", "rate_day")] == [
            20,
            None,
            1000000,
        ]

    def test_saving_something_else_leaves_them(self, admin, acme):
        rates = [{"amount": 20, "period": "hour"}]
        services.update_organization(actor=admin, organization=acme, rate_limits=rates)
        events = AuditEvent.objects.count()
        sign_in(admin).post(settings_of(acme), fill(name="Acme Shipping", rate_hour="20"))
        assert str(acme.rate_limits.get()) == "20/hour"
        assert AuditEvent.objects.count() == events + 1

    @pytest.mark.parametrize(
        ("field", "value"), [("rate_hour", "0"), ("rate_day", "9" * 12), ("limiter_failure", "?")]
    )
    def test_what_is_no_rate_is_told_at_its_field(self, admin, acme, field, value):
        response = sign_in(admin).post(settings_of(acme), fill(**{field: value}))
        assert field in response.context["form"].errors
        assert not acme.rate_limits.exists()

    def test_who_may_not_change_them_reads_them(self, viewer, acme):
        services.update_organization(
            actor=policy.OPERATOR,
            organization=acme,
            rate_limits=[{"amount": 2500, "period": "minute"}],
        )
        page = text_of(sign_in(viewer).get(settings_of(acme)))
        assert "2,500 requests a minute" in page
        assert "Rate-limited keys are refused" in page
