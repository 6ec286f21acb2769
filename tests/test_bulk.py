"""Many keys changed at once: looked at first, then done, once, and only where allowed."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from keys import services
from keys.models import APIKey, AuditEvent, Membership, Role
from keys.models.keys import Status
from keys.networks import parse_address
from keys.services import bulk
from tests.conftest import make_many
from tests.key_pages import sign_in, text_of

pytestmark = pytest.mark.django_db

HERE = parse_address("127.0.0.1")


@pytest.fixture
def url(acme) -> str:
    return reverse("keys:bulk", args=["acme"])


@pytest.fixture
def issue(owner, acme):
    def issue(name, **fields):
        return services.issue_key(actor=owner, organization=acme, name=name, **fields)

    return issue


def choose(client, url, action, keys, **more):
    """Send what the list sends."""
    return client.post(url, {"action": action, "key": [key.identifier for key in keys], **more})


def confirmation(response) -> dict:
    """Return the form that confirms a preview, as a browser would send it."""
    form = text_of(response).partition("bulk-confirm")[2].partition("</form>")[0]
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form)
    values = dict(fields)
    values["key"] = [value for name, value in fields if name == "key"]
    assert values["step"] == "confirm"
    return values


def changed_and_skipped(response) -> tuple[set[str], dict[str, str]]:
    plan = response.context["plan"]
    return (
        {item.key.name for item in plan.changing},
        {item.key.name: item.reason for item in plan.skipped},
    )


def states() -> dict:
    """Return everything about keys that a change could touch."""
    return {
        key.name: (
            key.disabled,
            key.revoked_at,
            key.expires_at,
            [row.network for row in key.allowed_ips.all()],
        )
        for key in APIKey.objects.prefetch_related("allowed_ips")
    }


# The preview


def test_preview_changes_nothing_and_names_what_would(owner, acme, url, issue):
    now = timezone.now()
    keys = [issue("A"), issue("B"), issue("off", disabled=True), issue("gone"), issue("locked")]
    services.revoke_key(actor=owner, key=keys[3])
    APIKey.objects.filter(pk=keys[4].pk).update(locked_at=now)
    before, events = states(), AuditEvent.objects.count()
    response = choose(sign_in(owner), url, "disable", keys)
    changing, skipped = changed_and_skipped(response)
    assert changing == {"A", "B"}
    assert skipped == {
        "off": "It is disabled already.",
        "gone": "It is revoked; nothing brings it back.",
        "locked": "Staff locked it; only they can change it.",
    }
    page = text_of(response)
    assert "Disable 2 keys?" in page
    assert "Staff locked it" in page
    assert (states(), AuditEvent.objects.count()) == (before, events)
    assert "no-store" in response["Cache-Control"]


def test_preview_asks_the_database_as_often_for_many_keys(
    owner, acme, url, django_assert_max_num_queries
):
    make_many(acme, owner, 100)
    client = sign_in(owner)
    client.get(reverse("keys:list", args=["acme"]))
    answers = {"network": "192.0.2.7", "may_lock_out": "on", "step": "preview"}
    for action, more in {"revoke": {}, "allow": answers}.items():
        with django_assert_max_num_queries(12):
            response = choose(client, url, action, APIKey.objects.all(), **more)
        assert len(response.context["plan"].changing) == 100


@pytest.mark.parametrize("action", ["disable", "enable", "revoke", "expire", "allow"])
@pytest.mark.parametrize("actor", ["viewer", "developer", "admin", "owner", "staff", "superuser"])
def test_what_the_preview_says_is_what_happens(
    action, actor, owner, developer, acme, url, issue, request
):
    """T19: of keys of every owner and state, for everybody."""
    now = timezone.now()
    person = request.getfixturevalue(actor)
    services.issue_key(actor=developer, organization=acme, name="developer's")
    services.issue_key(actor=developer, organization=acme, name="developer's, off", disabled=True)
    issue("owner's")
    issue("shared", owner=None, allowed_ips=["192.0.2.7"])
    issue("ends", expires_at=now + timedelta(days=3), allowed_ips=["127.0.0.1"])
    issue("later", not_before=now + timedelta(days=300))
    services.revoke_key(actor=owner, key=issue("revoked"))
    APIKey.objects.filter(pk=issue("locked", disabled=True).pk).update(locked_at=now)
    APIKey.objects.filter(pk=issue("expired").pk).update(expires_at=now)
    client = sign_in(person)
    more = {
        "expire": {"expiry": "custom", "expires_at": f"{now + timedelta(days=9):%Y-%m-%dT%H:%M}"},
        "allow": {"network": "192.0.2.7"},
    }
    response = choose(
        client, url, action, APIKey.objects.all(), step="preview", **more.get(action, {})
    )
    changing, skipped = changed_and_skipped(response)
    visible = {"developer": 2, "viewer": 0}.get(actor, APIKey.objects.count())
    assert len(changing) + len(skipped) == visible
    before = states()
    if changing:
        response = client.post(url, confirmation(response), follow=True)
        assert "skipped" not in text_of(response)
    assert {name for name, state in states().items() if state != before[name]} == changing
    written = AuditEvent.objects.filter(actor_user=person, door="page", object_type="apikey")
    assert written.count() == len(changing)


def test_keys_of_others_are_not_named(developer, acme, url, key, manage_key, strangers_key):
    """T10: what one does not see is missing, whoever's it is."""
    missing = [manage_key, strangers_key]
    response = choose(sign_in(developer), url, "revoke", [key, *missing])
    assert changed_and_skipped(response) == ({"Backend"}, {})
    page = text_of(response)
    assert "2 keys could not be found" in page
    for each in missing:
        assert each.name not in page


# Carrying it out


def test_confirmed_change_is_done_and_recorded_for_each_key(owner, acme, url, issue):
    keys = [issue("A"), issue("B")]
    client = sign_in(owner)
    way_back = "/organizations/acme/keys/?owner=mine"
    preview = choose(client, url, "revoke", keys, next=way_back)
    response = client.post(url, confirmation(preview))
    assert response.url == way_back
    assert "2 keys are revoked for good." in text_of(client.get(way_back))
    assert {key.status for key in APIKey.objects.all()} == {Status.REVOKED}
    events = AuditEvent.objects.filter(action="apikey.revoked", actor_user=owner)
    assert {event.object_label for event in events} == {"A", "B"}


def test_second_sending_does_nothing_twice(owner, acme, url, issue):
    key = issue("A")
    client = sign_in(owner)
    form = confirmation(choose(client, url, "disable", [key]))
    client.post(url, form)
    services.enable_key(actor=owner, key=key)
    response = client.post(url, form, follow=True)
    assert "done already" in text_of(response)
    key.refresh_from_db()
    assert not key.disabled


def test_key_changed_meanwhile_is_skipped_and_named(owner, acme, url, issue):
    changed, listed, _kept, revoked = keys = [issue(name) for name in ("A", "B", "C", "D")]
    client = sign_in(owner)
    answers = {"expiry": "never", "step": "preview"}
    APIKey.objects.update(expires_at=timezone.now() + timedelta(days=5))
    form = confirmation(choose(client, url, "expire", keys, **answers))
    services.update_key(actor=owner, key=changed, expires_at=timezone.now() + timedelta(days=99))
    services.add_allowed_ip(actor=owner, key=listed, network="192.0.2.1")
    services.revoke_key(actor=owner, key=revoked)
    page = text_of(client.post(url, form, follow=True))
    assert "1 key has a new expiry." in page
    assert "3 keys were skipped." in page
    assert "“A”: It was changed meanwhile" in page
    assert "“D”: It is revoked" in page
    ends = dict(APIKey.objects.values_list("name", "expires_at"))
    assert ends["C"] is None
    assert ends["A"] is not None
    assert ends["B"] is not None


def test_somebody_who_lost_the_right_meanwhile_changes_nothing(developer, acme, url, key):
    client = sign_in(developer)
    form = confirmation(choose(client, url, "disable", [key]))
    Membership.objects.filter(user=developer).update(
        role=Role.objects.get(organization=None, name="readonly")
    )
    page = text_of(client.post(url, form, follow=True))
    assert "You may not change it." in page
    key.refresh_from_db()
    assert not key.disabled


def test_confirmation_without_a_preview_is_shown_one(owner, acme, url, key):
    """A key that was never shown is not changed."""
    client = sign_in(owner)
    response = choose(client, url, "revoke", [key], step="confirm")
    assert "Revoke 1 key for good?" in text_of(response)
    forged = {"token": "a" * 32, "step": "confirm"}
    page = text_of(
        client.post(url, {"action": "revoke", "key": key.identifier, **forged}, follow=True)
    )
    assert "It was changed meanwhile" in page
    key.refresh_from_db()
    assert key.status is Status.ACTIVE


@pytest.mark.parametrize(
    "way_back", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "\\\\evil"]
)
def test_way_back_stays_in_the_portal(way_back, owner, acme, url, key):
    client = sign_in(owner)
    response = choose(client, url, "disable", [key], next=way_back)
    assert "evil" not in text_of(response)
    assert client.post(url, {"next": way_back}).url == "/organizations/acme/keys/"


# What is asked


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({}, "Select at least one key first."),
        ({"key": ["x"] * 3}, "required"),
        ({"action": "explode", "key": "x"}, "valid choice"),
        ({"action": "revoke", "key": [f"k{n}" for n in range(501)]}, "at most 500"),
    ],
)
def test_odd_selection_is_told_what_is_wrong(sent, told, owner, acme, url, key):
    assert told in text_of(sign_in(owner).post(url, sent, follow=True))


def test_somebody_who_signed_in_again_lands_on_the_list(owner, acme, url):
    assert sign_in(owner).get(url).url == "/organizations/acme/keys/"


def test_expiry_is_asked_for_and_kept_until_it_is_confirmed(owner, acme, url, issue):
    keys = [issue("A"), issue("B")]
    client = sign_in(owner)
    asked = choose(client, url, "expire", keys)
    assert "For 2 keys:" in text_of(asked)
    preview = choose(client, url, "expire", keys, expiry="30", step="preview")
    form = confirmation(preview)
    assert form["expiry"] == "custom"
    client.post(url, form)
    ends = set(APIKey.objects.values_list("expires_at", flat=True))
    (end,) = ends
    assert timedelta(29, 23 * 3600) < end - timezone.now() <= timedelta(30)
    assert end == preview.context["change"].expires_at


@pytest.mark.parametrize(
    ("answers", "field", "told"),
    [
        ({"expiry": ""}, "expiry", "required"),
        ({"expiry": "12"}, "expiry", "valid choice"),
        ({"expiry": "custom"}, "expires_at", "Say when"),
        ({"expiry": "custom", "expires_at": "\0"}, "expires_at", "valid date"),
        ({"expiry": "custom", "expires_at": "2001-01-01"}, "expires_at", "in the future"),
        ({"expiry": "custom", "expires_at": "9999-99-99"}, "expires_at", "valid date"),
    ],
)
def test_odd_expiry_is_named_at_its_field(answers, field, told, owner, acme, url, key):
    before = states()
    response = choose(sign_in(owner), url, "expire", [key], step="preview", **answers)
    assert told in " ".join(response.context["form"].errors[field])
    assert "Please look at" in text_of(response)
    assert states() == before


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("", "required"),
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("0.0.0.0/0", "means everywhere"),
        ("fe80::1%eth0", "zone"),
        ("\0", "Null characters"),
        ("x" * 300, "at most 100"),
    ],
)
def test_odd_network_is_named_at_its_field(network, told, owner, acme, url, key):
    before = states()
    response = choose(
        sign_in(owner), url, "allow", [key], network=network, comment="x", step="preview"
    )
    assert told in " ".join(response.context["form"].errors["network"])
    assert states() == before


# Lists of addresses


def test_own_address_is_not_locked_out_unawares(owner, acme, url, issue):
    issue("open")
    issue("confined here", allowed_ips=["127.0.0.0/8"])
    issue("confined elsewhere", allowed_ips=["198.51.100.1"])
    issue("denied", allowed_ips=[{"network": "127.0.0.1", "deny": True}])
    issue("listed", allowed_ips=["192.0.2.0/24"])
    issue("switched off", allowed_ips=[{"network": "192.0.2.0/24", "active": False}])
    issue("servers", assign_server_ips=True)
    client, keys = sign_in(owner), list(APIKey.objects.all())
    answers = {"network": "192.0.2.0/24", "comment": "Office", "step": "preview"}
    changing, skipped = changed_and_skipped(choose(client, url, "allow", keys, **answers))
    assert changing == {"confined here", "confined elsewhere", "denied", "servers"}
    assert skipped == {
        "open": "It would no longer work from your own address, 127.0.0.1.",
        "listed": "It is allowed already.",
        "switched off": "It is on the list, but switched off.",
    }
    preview = choose(client, url, "allow", keys, may_lock_out="on", **answers)
    assert changed_and_skipped(preview)[0] == changing | {"open"}
    client.post(url, confirmation(preview))
    row = APIKey.objects.get(name="open").allowed_ips.get()
    assert (row.network, row.comment) == ("192.0.2.0/24", "Office")


def test_a_full_list_takes_no_address_more(acme, issue, monkeypatch):
    monkeypatch.setattr(bulk, "MAX_ALLOWED_IPS", 2)
    for count in (1, 2):
        issue(f"{count} taken", allowed_ips=[f"192.0.2.{number}" for number in range(count)])
    change = bulk.AllowNetwork("198.51.100.0/24", may_lock_out=True)
    keys = APIKey.objects.with_details().order_by("pk")
    assert [change.objection(key) for key in keys] == [
        "",
        "A key has at most 2 allowed IPs.",
    ]


def test_server_addresses_count_as_a_way_in(owner, acme, issue):
    key = issue("servers", assign_server_ips=True)
    change = bulk.AllowNetwork("192.0.2.1", address=HERE, server_networks=("127.0.0.1",))
    assert not change.locks_out(APIKey.objects.with_details().get(pk=key.pk))


# The service itself


def test_more_than_500_keys_are_refused(owner, acme):
    named = {f"k{number}": "" for number in range(bulk.MAX_KEYS + 1)}
    with pytest.raises(ValidationError, match="at most 500"):
        services.change_keys(actor=owner, organization=acme, seen=named, change=bulk.Revoke())


def test_key_of_the_api_is_bound_in_bulk_as_it_is_alone(developer, acme, key, read_only_key):
    """T2: a key lets no other live longer than itself."""
    soon = timezone.now() + timedelta(days=1)
    services.update_key(actor=developer, key=key, expires_at=soon)
    key = APIKey.objects.with_details().get(pk=key.pk)
    change = bulk.SetExpiry(soon + timedelta(days=9))
    plan = services.plan_change(
        actor=key, organization=acme, identifiers=[read_only_key.identifier], change=change
    )
    seen = {item.key.identifier: item.fingerprint for item in plan.items}
    done = services.change_keys(actor=key, organization=acme, seen=seen, change=change)
    assert done.changing == []
    assert "beyond its own expiry" in done.skipped[0].reason
    read_only_key.refresh_from_db()
    assert read_only_key.expires_at is None
