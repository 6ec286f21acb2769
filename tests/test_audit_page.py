"""The audit trail as people read it: who may, what it says, how it is narrowed and taken away."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from keys import audit_checks, policy, services
from keys.audit_filters import ACTIONS, STAFF_ACTIONS, AuditFilter
from keys.filters import KeyListFilter
from keys.models import AuditEvent, AuditHead, Decision, Role
from keys.moves.columns import Format
from keys.services.audit import Origin, acting_from
from keys.templatetags import audit
from tests.key_pages import page_of, sign_in, text_of
from tests.staff_pages import act, page, press
from tests.test_audit import story  # noqa: F401 - a fixture: every service that changes something
from tests.test_doors import undone

pytestmark = pytest.mark.django_db
IS_TOLD = True


def trail(organization, page="audit") -> str:
    return reverse(f"keys:{page}", args=[organization.slug])


def table_of(response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.getvalue().decode())))


# In words


def test_every_action_is_told_as_a_sentence(story, acme):  # noqa: F811
    for _action, _actor, call in story[1]:
        call()
    for event in AuditEvent.objects.all():
        sentence = audit.plain_sentence(event)
        assert event.action in audit._SENTENCES, event.action
        assert event.action not in sentence
        assert sentence.startswith((event.actor_label, "The operator"))


def test_every_field_of_a_change_has_a_label_for_people(story, acme):  # noqa: F811
    for _action, _actor, call in story[1]:
        call()
    nameless = {
        (event.action, field)
        for event in AuditEvent.objects.all()
        for field in event.changes
        if not (field in audit._MORE_LABELS or audit._field_of(event, field))
        # A filter of a list, which has a test of its own.
        and event.action != "apikey.exported"
    }
    assert nameless == set()


def test_import_and_leak_are_told_without_technical_words(acme):
    event = AuditEvent(action="apikey.import_finished", object_type="organization")
    event.changes = {"format": "knox", "imported": 3, "file_sha256": "ab" * 32}
    labels = [each.label for each in audit.differences(event)]
    assert labels == ["File format", "Keys imported", "Fingerprint of the file (SHA-256)"]
    event = AuditEvent(action="leak.reported", object_type="leakreport")
    event.changes = {"done": "notify"}
    assert list(map(str, audit.differences(event))) == ["Done at once: People were told"]
    event = AuditEvent(action="apikey.disabled", object_type="apikey")
    event.changes = {"reason": "Not used for 90 days.", "idle_days": 90}
    told = list(map(str, audit.differences(event)))
    assert told[1] == "Unused keys are disabled after days: 90 days"


@pytest.mark.parametrize("filters", [KeyListFilter, AuditFilter])
def test_what_a_downloaded_list_was_narrowed_by_is_called_as_the_list_calls_it(filters):
    for name, each in filters.base_filters.items():
        event = AuditEvent(action="apikey.exported", object_type="organization")
        event.changes = {name: "x"}
        (told,) = audit.differences(event)
        assert told.label.lower() == str(each.label).lower(), name


def test_what_the_filter_offers_has_a_sentence_and_the_other_way_round():
    offered = {action for _group, choices in ACTIONS for action, _label in choices}
    of_organizations = {
        each for each in audit._SENTENCES if not each.startswith(("user.", "demo", "installation."))
    }
    assert offered == of_organizations
    for_staff = [action for _group, choices in STAFF_ACTIONS for action, _label in choices]
    assert sorted(for_staff) == sorted(audit._SENTENCES)


def test_change_is_told_by_field(owner, acme, key):
    expiry = datetime(2030, 1, 2, 3, 4, tzinfo=UTC)
    services.update_key(
        actor=owner, key=key, name="Front", expires_at=expiry, scopes=["READ"], limit_reset="daily"
    )
    told = set(map(str, audit.differences(AuditEvent.objects.first())))
    assert told == {
        "Name: Backend → Front",
        "Expires: none → 2 Jan 2030, 03:04 UTC",
        "Scopes: − CREATE, − DELETE, − UPDATE",
        "Limit resets: none → every day",
    }


def test_long_list_is_told_short(owner, acme, key):
    services.update_key(
        actor=owner, key=key, allowed_ips=[f"192.0.2.{number}" for number in range(1, 20)]
    )
    (told,) = audit.differences(AuditEvent.objects.first())
    first_five = [f"192.0.2.{number}" for number in range(1, 6)]
    assert told.added == (*first_five, "14 more")


def test_what_was_made_is_told_without_what_it_has_not(developer, acme, key):
    event = AuditEvent.objects.get(action="apikey.issued")
    labels = {each.label for each in audit.differences(event)}
    assert {"Name", "Scopes", "Owner", "Secret"} <= labels
    assert not labels & {"Expires", "Allowed IPs", "Disabled", "Limit"}


def test_role_of_two_scopes_is_no_change_from_one_to_the_other(owner, acme):
    services.create_role(
        actor=owner, organization=acme, name="clerk", scopes=_scopes("READ", "CREATE")
    )
    told = map(str, audit.differences(AuditEvent.objects.first()))
    assert "Scopes: CREATE, READ" in told


def test_imported_key_of_two_scopes_is_no_change_from_one_to_the_other(owner, acme):
    row = {"secret": "old-token-0123456789abcdef", "name": "Old", "scopes": ["READ", "UPDATE"]}
    services.import_keys(
        actor=owner,
        organization=acme,
        source=lambda: [json.dumps(row).encode()],
        options=services.ImportOptions(Format.PLAIN),
    )
    told = map(str, audit.differences(AuditEvent.objects.get(action="apikey.imported")))
    assert "Scopes: READ, UPDATE" in told


def test_member_is_named_without_the_role_of_that_day(owner, acme, developer):
    event = AuditEvent.objects.filter(action="membership.created").get()
    assert audit.plain_sentence(event) == "The operator added the member developer@acme.example"


def test_a_key_that_is_called_like_a_member_does_not_leave_for_them(
    owner, acme, manage_key, viewer
):
    services.update_key(actor=owner, key=manage_key, name=viewer.email)
    manage_key.refresh_from_db()
    services.remove_member(actor=manage_key, membership=acme.memberships.get(user=viewer))
    event = AuditEvent.objects.get(action="membership.deleted")
    assert event.actor_label == viewer.email
    for told in (audit.plain_sentence(event), audit.sentence(event)):
        assert "left the organization" not in told
        assert "removed the member" in told


def test_names_are_text_in_a_sentence(owner, acme):
    services.create_workspace(actor=owner, organization=acme, name="<b>{actor}</b>")
    event = AuditEvent.objects.first()
    assert "&lt;b&gt;{actor}&lt;/b&gt;" in audit.sentence(event)


def _scopes(*codes):
    from keys.models import Scope

    return list(Scope.objects.filter(organization=None, code__in=codes))


# The page


def test_admin_reads_the_trail_and_developer_is_told_that_they_may_not(admin, developer, acme, key):
    page = text_of(sign_in(admin).get(trail(acme)))
    assert "issued the key" in page
    assert reverse("keys:detail", args=["acme", key.identifier]) in page
    client = sign_in(developer)
    assert client.get(trail(acme)).status_code == 403
    assert trail(acme) not in text_of(client.get(reverse("keys:overview", args=["acme"])))


def test_trail_of_another_organization_is_nowhere_in_it(owner, acme, other, strangers_key):
    """T10."""
    assert "Elsewhere" not in text_of(sign_in(owner).get(trail(acme)))
    response = sign_in(owner).get(trail(acme), {"key": strangers_key.identifier})
    assert response.context["page"].rows == []


def test_trail_is_narrowed_by_who_what_where_and_when(owner, admin, developer, acme, key):
    with time_machine.travel(datetime(2020, 2, 28, 23, 59, tzinfo=UTC)):
        services.disable_key(actor=admin, key=key)
    client = sign_in(admin)

    def found(**filters) -> list[str]:
        return [event.action for event in client.get(trail(acme), filters).context["page"].rows]

    services.name_oneself(actor=admin, first_name="Anna", last_name="Admin")
    assert found(actor="ADMIN@", until="2020-12-31") == ["apikey.disabled"]
    assert found(actor="anna admin", until="2020-12-31") == ["apikey.disabled"]
    assert found(actor="anna owner") == []
    assert found(action="apikey.issued") == ["apikey.issued"]
    assert found(object="back", action="apikey.disabled") == ["apikey.disabled"]
    assert found(door="api") == []
    assert found(since="2020-02-28", until="2020-02-28") == ["apikey.disabled"]
    assert found(until="2020-02-27") == []
    assert "apikey.disabled" not in found(since="2020-02-29", until="9999-12-31")
    assert found(key=key.identifier) == ["apikey.disabled", "apikey.issued"]


def test_what_a_key_did_is_found_with_what_was_done_to_it(owner, acme, manage_key):
    services.issue_key(actor=manage_key, organization=acme, name="Child")
    page = sign_in(owner).get(trail(acme), {"key": manage_key.identifier})
    labels = [event.object_label for event in page.context["page"].rows]
    assert labels == ["Child", "Management"]
    assert "To or with the key Management" in text_of(page)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("action", "nonsense"),
        ("door", "window"),
        ("since", "yesterday"),
        ("until", "2020-13-45"),
        ("actor", "a\0b"),
        ("object", "x" * 201),
        ("key", "x" * 25),
        ("address", "somewhere"),
    ],
)
def test_odd_filter_is_named_and_left_out(name, value, owner, acme, key):
    response = sign_in(owner).get(trail(acme), {name: value})
    assert response.status_code == 200
    assert "That part of the filter was left out" in text_of(response)
    assert response.context["page"].rows


@pytest.mark.parametrize("place", ["zzz", "\0", "-1", "0", "9" * 400, "1.5"])
def test_trail_begins_anew_at_a_place_that_is_none(place, owner, acme, key):
    for side in ("after", "before"):
        response = sign_in(owner).get(trail(acme), {side: place})
        assert response.status_code == 200
        assert response.context["page"].rows


def test_trail_is_paged_forth_and_back(owner, acme, monkeypatch):
    monkeypatch.setattr("keys.views.audit.EVENTS_SHOWN", 5)
    for number in range(10):
        services.create_workspace(actor=owner, organization=acme, name=f"Lab {number}")
    client = sign_in(owner)

    def page(**place):
        return client.get(trail(acme), place).context["page"]

    first = page()
    second = page(after=first.older)
    third = page(after=second.older)
    assert [*first.rows, *second.rows, *third.rows] == list(acme.audit_events.all())
    assert (first.newer, third.older) == (None, None)
    assert page(before=third.newer) == second
    assert page(before=second.newer).newer is None


def test_filter_typed_into_the_form_gets_an_address_of_its_own(owner, acme, key):
    response = sign_in(owner).post(trail(acme), {"actor": " owner ", "door": "", "nonsense": "x"})
    assert response.url == trail(acme) + "?actor=owner"


def test_secret_typed_into_the_form_gets_into_no_address(owner, acme, key):
    response = sign_in(owner).post(trail(acme), {"object": key.secret, "door": "page"})
    assert response.url == trail(acme) + "?door=page"


def test_htmx_gets_the_events_alone(owner, acme, key):
    response = sign_in(owner).get(trail(acme), headers={"HX-Request": "true"})
    assert "issued the key" in text_of(response)
    assert "<html" not in text_of(response)


@pytest.mark.parametrize("count", [1, 12])
def test_trail_asks_the_database_as_often_for_many_events(
    count, owner, acme, django_assert_max_num_queries
):
    for number in range(count):
        services.issue_key(actor=owner, organization=acme, name=f"Key {number}")
    client = sign_in(owner)
    client.get(trail(acme))
    with django_assert_max_num_queries(12):
        assert client.get(trail(acme)).status_code == 200


# As a file


def test_file_holds_what_the_filter_lets_through(owner, acme, key):
    services.disable_key(actor=owner, key=key)
    response = sign_in(owner).get(trail(acme, "audit-export"), {"action": "apikey.disabled"})
    assert response["Content-Type"].startswith("text/csv")
    assert response["Content-Disposition"] == 'attachment; filename="acme-audit-trail.csv"'
    (row,) = table_of(response)
    assert row["What happened"] == "owner@acme.example disabled the key Backend"
    assert row["Changes"] == ""
    assert (row["Action"], row["Object"]) == ("apikey.disabled", "Backend")
    moment = datetime.fromisoformat(row["When (UTC)"])
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)


def test_file_holds_more_than_a_page(owner, acme, monkeypatch):
    monkeypatch.setattr("keys.views.audit.EVENTS_SHOWN", 5)
    for number in range(10):
        services.create_workspace(actor=owner, organization=acme, name=f"Lab {number}")
    rows = table_of(sign_in(owner).get(trail(acme, "audit-export")))
    assert len(rows) == acme.audit_events.count() > 10


def test_nothing_in_the_file_is_run_by_a_spreadsheet(owner, acme):
    services.create_workspace(actor=owner, organization=acme, name='=HYPERLINK("http://x")')
    rows = table_of(
        sign_in(owner).get(trail(acme, "audit-export"), {"action": "workspace.created"})
    )
    assert rows[0]["Object"] == '\'=HYPERLINK("http://x")'
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in rows[0].values())


def test_who_may_not_read_the_trail_gets_no_file(developer, stranger, acme):
    assert sign_in(developer).get(trail(acme, "audit-export")).status_code == 403
    assert sign_in(stranger).get(trail(acme, "audit-export")).status_code == 404


def test_lines_of_the_file_can_be_checked_without_the_database(owner, acme, key, tmp_path, capsys):
    response = sign_in(owner).get(trail(acme, "audit-export-lines"))
    assert response["Content-Type"].startswith("application/jsonl")
    file = tmp_path / "trail.jsonl"
    file.write_bytes(response.getvalue())
    lines = file.read_text().splitlines()
    assert len(lines) == acme.audit_events.count()
    assert json.loads(lines[-1])["action"] == "audit.exported"
    call_command("verify_audit", "--file", str(file))
    assert f"whole, {len(lines)} events" in capsys.readouterr().out
    file.write_text("\n".join([lines[0], lines[1].replace("operator", "nobody"), *lines[3:]]))
    with pytest.raises(SystemExit):
        call_command("verify_audit", "--file", str(file))
    told = capsys.readouterr().out
    assert "event 2 (id " in told
    assert "event 3 is missing" in told


def test_a_filter_that_is_too_long_is_refused_by_its_length(owner, acme):
    client = sign_in(owner)
    assert 'maxlength="200"' not in text_of(client.get(trail(acme)))
    answer = client.post(trail(acme), {"actor": "b" * 201, "door": "page"})
    assert answer.url == trail(acme) + "?door=page"
    assert "at most 200 characters; this has 201." in text_of(client.get(answer.url))
    page = text_of(client.get(trail(acme), {"object": "b" * 201}))
    assert "Search for at most 200 characters; this has 201." in page
    page = text_of(client.get(trail(acme), {"request_id": "b" * 65}))
    assert "Search for at most 64 characters; this has 65." in page


def test_who_takes_the_trail_away_is_remembered_with_the_filter_but_no_secret(owner, acme, key):
    client = sign_in(owner)
    client.get(trail(acme, "audit-export"), {"door": "api", "actor": key.secret}).getvalue()
    event = acme.audit_events.first()
    assert (event.action, event.actor_user) == ("audit.exported", owner)
    assert event.changes == {"file_format": "csv", "door": "api"}


def test_who_reads_the_trail_is_remembered_once_an_hour(owner, admin, acme):
    def reads() -> int:
        return acme.audit_events.filter(action="audit.read").count()

    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC)) as clock:
        for person in (owner, owner, admin):
            sign_in(person).get(trail(acme))
        assert reads() == 2
        clock.shift(timedelta(minutes=61))
        sign_in(owner).get(trail(acme), {"door": "page"})
        assert reads() == 3


def test_page_says_how_far_the_chain_was_verified(owner, acme):
    client = sign_in(owner)
    assert "not verified yet" in text_of(client.get(trail(acme)))
    audit_checks.check_some()
    assert "Verified up to event 2 of 2" in text_of(client.get(trail(acme)))
    AuditHead.objects.filter(chain=acme.pk).update(problem="")
    AuditHead.objects.filter(chain=acme.pk).update(verified_sequence=1)
    assert "not as the portal wrote it" in text_of(client.get(trail(acme)))


def test_trail_is_narrowed_by_address_and_request(owner, acme, key):
    with acting_from(Origin(AuditEvent.Door.API, "2001:db8::7", "f" * 32)):
        services.disable_key(actor=owner, key=key)
    client = sign_in(owner)

    def found(**filters) -> list[str]:
        return [event.action for event in client.get(trail(acme), filters).context["page"].rows]

    assert found(address="2001:DB8:0::7") == ["apikey.disabled"]
    assert found(address="192.0.2.1") == []
    assert found(request_id="f" * 32) == ["apikey.disabled"]


def test_staff_who_look_at_a_key_or_search_are_remembered(as_staff, staff, key):
    for _ in range(2):
        as_staff.get(reverse("admin:keys_apikey_change", args=[key.pk]))
        as_staff.post(reverse("admin:search"), {"term": key.secret})
    looked = AuditEvent.objects.filter(actor_user=staff).order_by("pk")
    assert [(each.action, each.object_id) for each in looked] == [
        ("apikey.read", str(key.pk)),
        ("installation.searched", str(staff.pk)),
    ]


def test_whatever_staff_look_at_in_their_admin_is_remembered(
    as_superuser, superuser, owner, acme, other, key
):
    [invitation] = services.invite(
        actor=owner, organization=acme, emails=["new@acme.example"],
        role=Role.objects.get(organization=None, name="readonly"),
    )  # fmt: skip
    clerk = services.create_role(actor=owner, organization=acme, name="clerk")
    decision = Decision.objects.create(
        key=key, secret=key.current_secret, at=timezone.now(), outcome="VALID", door="auth"
    )
    services.note_account_event(person=owner, action="signed_in")
    of_nobody = AuditEvent.objects.get(action="user.signed_in")
    any_of, one_of = ("user", superuser.pk, None), ("organization", acme.pk, acme)
    looks = {
        page("apikey_changelist"): ("installation.read", *any_of),
        page("apikey_changelist", organization=acme.pk): ("organization.read", *one_of),
        page("apikey_changelist", organization=2**70): ("installation.read", *any_of),
        page("apikey_change", key.pk): ("apikey.read", "apikey", key.pk, acme),
        page("apikey_history", key.pk): ("apikey.read", "apikey", key.pk, acme),
        page("auditevent_changelist"): ("installation.audit_read", *any_of),
        page("auditevent_changelist", organization=acme.pk): ("audit.read", *one_of),
        page("auditevent_change", acme.audit_events.first().pk): ("audit.read", *one_of),
        page("auditevent_change", of_nobody.pk): ("installation.audit_read", *any_of),
        page("organization_change", acme.pk): ("organization.read", *one_of),
        page("invitation_change", invitation.pk): ("organization.read", *one_of),
        page("decision_change", decision.pk): ("organization.read", *one_of),
        page("role_change", invitation.role.pk): ("installation.read", *any_of),
        page("role_changelist"): ("installation.read", *any_of),
        page("role_changelist", organization__id__exact=acme.pk): ("organization.read", *one_of),
        page("role_changelist", organization__id__exact=[acme.pk, other.pk]): (
            "installation.read",
            *any_of,
        ),
        page("scope_changelist", organization__id__exact=acme.pk): ("organization.read", *one_of),
        page("user_history", owner.pk): ("user.read", "user", owner.pk, None),
        page("role_delete", clerk.pk): ("organization.read", *one_of),
        page("organization_history", acme.pk): ("organization.read", *one_of),
        page("user_change", owner.pk): ("user.read", "user", owner.pk, None),
        "/admin/reports/oldest-secrets/": ("installation.read", *any_of),
        "/admin/reports/oldest-secrets.csv": ("installation.exported", *any_of),
    }
    for address, look in looks.items():
        with undone():
            last = AuditEvent.objects.order_by("pk").last().pk
            assert as_superuser.get(address).status_code == 200, address
            (event,) = AuditEvent.objects.filter(pk__gt=last)
            found = (event.action, event.object_type, int(event.object_id), event.organization)
            assert (found, event.actor_user, event.door) == (look, superuser, "admin"), address
            assert event.action not in audit.plain_sentence(event)
            if event.action == "installation.read":
                assert event.changes.keys() & {"list", "report"}, address


def test_staff_who_are_asked_first_have_looked_too(as_superuser, superuser, acme, owner, key):
    other = services.issue_key(actor=owner, organization=acme, name="Other", scopes=["READ"])
    of_key, of_other = ("apikey.read", str(key.pk)), ("apikey.read", str(other.pk))
    of_acme = ("organization.read", str(acme.pk))
    asked = [
        (lambda: as_superuser.get(page("apikey_press", key.pk, "lock")), [of_key]),
        (lambda: press(as_superuser, key, "lock", reason=""), [of_key]),
        (lambda: act(as_superuser, "apikey", "revoke", key, other), [of_key, of_other]),
        (lambda: as_superuser.get(page("organization_press", acme.pk, "suspend")), [of_acme]),
        (
            lambda: as_superuser.get(f"/admin/keys/user/{owner.pk}/password/"),
            [("user.read", str(owner.pk))],
        ),
    ]
    for ask, looks in asked:
        with undone():
            last = AuditEvent.objects.order_by("pk").last().pk
            assert ask().status_code == 200
            found = AuditEvent.objects.filter(pk__gt=last).values_list("action", "object_id")
            assert sorted(found) == sorted(looks)


def test_it_is_said_which_lists_of_the_installation_were_looked_through(
    as_superuser, superuser, key
):
    for address in ("apikey_changelist", "role_changelist", "apikey_changelist"):
        as_superuser.get(page(address))
    as_superuser.get("/admin/reports/oldest-secrets/")
    looks = AuditEvent.objects.filter(action="installation.read").order_by("pk")
    told = [str(each) for look in looks for each in audit.differences(look)]
    assert told == ["List: API keys", "List: Roles", "Report: oldest-secrets"]


def test_staff_read_the_trail_in_the_words_of_the_organization(as_staff, owner, acme, key):
    services.disable_key(actor=owner, key=key)
    services.enable_key(actor=owner, key=key)
    listed = as_staff.get(page("auditevent_changelist"))
    assert "owner@acme.example disabled the key Backend" in listed.text
    assert "apikey.disabled" not in listed.text
    assert "Key disabled" not in listed.text
    narrowed = as_staff.get(page("auditevent_changelist", did="apikey"))
    assert "– Key disabled" in narrowed.text
    assert "Backend" in narrowed.text
    one = as_staff.get(page("auditevent_changelist", did="apikey.disabled"))
    assert [each.action for each in one.context["cl"].result_list] == ["apikey.disabled"]
    # Nonsense narrows nothing.
    odd = as_staff.get(page("auditevent_changelist", did="x.y"))
    assert "apikey.enabled" in [each.action for each in odd.context["cl"].result_list]


def test_staff_who_look_at_pages_of_an_organization_are_remembered_too(staff, developer, key):
    home = reverse("keys:overview", args=["acme"])
    for client in (sign_in(developer), sign_in(staff)):
        for address in (page_of(key), page_of(key, "activity"), home, home):
            assert client.get(address).status_code == 200
        assert client.get(page_of(key, "rotate")).status_code in (200, 403)
        assert client.get(reverse("keys:detail", args=["acme", "nothing"])).status_code == 404
    looked = AuditEvent.objects.filter(action__endswith=".read").order_by("pk")
    assert [(each.action, each.actor_user, each.door) for each in looked] == [
        ("apikey.read", staff, "page"),
        ("organization.read", staff, "page"),
    ]


def test_staff_read_the_trail_of_every_organization(staff, acme, key):
    assert policy.allows(staff, "keys.view_auditevent", acme)
    assert "issued the key" in text_of(sign_in(staff).get(trail(acme)))
