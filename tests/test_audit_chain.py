"""The audit trail shows it when somebody who can write to the database changed what happened."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from itertools import pairwise
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from keys import audit_chain, audit_checks, audit_guard, audit_retention, chain, policy, services
from keys.audit_checks import Kind, check
from keys.models import INSTALLATION, AuditEvent, AuditHead
from keys.services import chores
from tests.conftest import make_person

pytestmark = pytest.mark.django_db
IS_TOLD = True

TABLE = AuditEvent._meta.db_table


@pytest.fixture
def trail(acme, owner, developer, key, other, strangers_key):
    """The events of acme, among those of others."""
    for number in range(3):
        services.create_workspace(actor=owner, organization=acme, name=f"Lab {number}")
    return list(acme.audit_events.order_by("sequence"))


def attack(sql: str, *parameters) -> None:
    """Do what somebody who owns the database can do, past what guards it."""
    audit_guard.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def kinds(number: int) -> set[Kind]:
    return {finding.kind for finding in check(number)}


def verify(*arguments) -> tuple[int, str]:
    """Return the exit code of `verify_audit` and what it printed."""
    printed = io.StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=printed)
    except SystemExit as end:
        return end.code, printed.getvalue()
    return 0, printed.getvalue()


def test_what_happened_in_an_organization_is_one_chain(trail, acme):
    assert [event.sequence for event in trail] == list(range(1, len(trail) + 1))
    assert trail[0].previous_hash == ""
    for before, after in pairwise(trail):
        assert after.previous_hash == before.hash
    head = AuditHead.objects.get(chain=acme.pk)
    assert (head.sequence, head.hash) == (trail[-1].sequence, trail[-1].hash)


def test_whole_chains_pass(trail, superuser):
    services.create_person(actor=superuser, email="ada@acme.example")
    assert AuditHead.objects.get(chain=INSTALLATION).sequence == 1
    for number in audit_checks.chains():
        assert check(number) == []
    code, printed = verify()
    assert code == 0
    assert f"acme: whole, {len(trail)} events" in printed
    assert "(installation): whole, 1 events" in printed


def other_value(column: str, event: AuditEvent):
    """Return another value for a column of an event."""
    match column:
        case "id":
            return event.pk + 100_000
        case "organization_id" | "actor_user_id" | "actor_key_id":
            return None if getattr(event, column) else 1
        case "at":
            return event.at + timedelta(microseconds=1)
        case "sequence":
            return 1000
        case "changes":
            return json.dumps({**event.changes, "more": 1})
        case "address":
            return "192.0.2.99"
    return f"{getattr(event, column)}x"[-8:]


@pytest.mark.parametrize("column", [field.column for field in AuditEvent._meta.concrete_fields])
def test_altered_column_is_found(column, trail, acme):
    event = trail[2]
    attack(
        f"UPDATE {TABLE} SET {column} = %s WHERE id = %s",  # noqa: S608
        other_value(column, event),
        event.pk,
    )
    findings = check(acme.pk)
    assert any(finding.sequence == event.sequence for finding in findings), findings
    assert verify("--organization", "acme")[0] == 1


@pytest.mark.parametrize("place", [0, 2, -1])
def test_removed_event_is_found_wherever_it_was(place, trail, acme):
    event = trail[place]
    attack(f"DELETE FROM {TABLE} WHERE id = %s", event.pk)  # noqa: S608
    (finding,) = check(acme.pk)
    assert (finding.kind, finding.sequence) == (Kind.REMOVED, event.sequence)
    assert str(finding) == f"event {event.sequence} is missing"
    # Writing goes on, and that it was removed is found ever after.
    services.create_workspace(actor=policy.OPERATOR, organization=acme, name="Later")
    assert finding in check(acme.pk)


def test_the_end_cut_off_with_the_number_set_back_is_found(trail, acme):
    cut = trail[3].sequence
    attack(f"DELETE FROM {TABLE} WHERE sequence > %s AND organization_id = %s", cut, acme.pk)  # noqa: S608
    attack(
        "UPDATE keys_audithead SET sequence = %s, hash = %s WHERE chain = %s",
        cut,
        trail[3].hash,
        acme.pk,
    )
    assert kinds(acme.pk) == {Kind.HEAD_ALTERED}
    # The next event does not launder it.
    services.create_workspace(actor=policy.OPERATOR, organization=acme, name="Later")
    assert [(each.kind, each.sequence) for each in check(acme.pk)] == [(Kind.DETACHED, cut + 1)]


def test_removed_head_is_found_and_leaves_a_mark(trail, acme):
    attack("DELETE FROM keys_audithead WHERE chain = %s", acme.pk)
    assert kinds(acme.pk) == {Kind.HEAD_MISSING, Kind.BEYOND} or kinds(acme.pk) == {
        Kind.HEAD_MISSING
    }
    services.create_workspace(actor=policy.OPERATOR, organization=acme, name="Later")
    assert [(each.kind, each.sequence) for each in check(acme.pk)] == [
        (Kind.DETACHED, len(trail) + 1)
    ]


def test_inserted_event_is_found(trail, acme):
    AuditEvent.objects.create(
        organization=acme, action="apikey.revoked", object_id="1", door="page"
    )
    assert kinds(acme.pk) == {Kind.INSERTED}
    last = trail[-1]
    AuditEvent.objects.create(
        organization=acme,
        action="apikey.revoked",
        door="page",
        sequence=last.sequence + 1,
        previous_hash=last.hash,
        hash="0" * 64,
        signed_under=last.signed_under,
    )
    assert kinds(acme.pk) == {Kind.INSERTED, Kind.ALTERED, Kind.BEYOND}


@pytest.mark.parametrize(
    "columns", [("id",), ("sequence",), ("hash", "previous_hash"), ("action", "at")]
)
def test_swapped_events_are_found(columns, trail, acme):
    first, second = trail[1], trail[4]

    def move(column, value, event_id):
        attack(f"UPDATE {TABLE} SET {column} = %s WHERE id = %s", value, event_id)  # noqa: S608

    for column in columns:
        one, another = getattr(first, column), getattr(second, column)
        if column == "id":
            move("id", 10**9, one)
            move("id", one, another)
            move("id", another, 10**9)
        else:
            # Numbers are unique at any moment.
            move(column, 10**9 if column == "sequence" else another, first.pk)
            move(column, one, second.pk)
            move(column, another, first.pk)
    found = {finding.sequence for finding in check(acme.pk)}
    assert found & {first.sequence, second.sequence}


def test_altered_head_is_found_whatever_was_altered(trail, acme):
    head = AuditHead.objects.filter(chain=acme.pk).values().get()
    for column, value in head.items():
        if column == "chain":
            continue
        other = timezone.now() if column.endswith("_at") else 1 if isinstance(value, int) else "f"
        attack(f"UPDATE keys_audithead SET {column} = %s WHERE chain = %s", other, acme.pk)  # noqa: S608
        assert Kind.HEAD_ALTERED in kinds(acme.pk), column
        attack(f"UPDATE keys_audithead SET {column} = %s WHERE chain = %s", value, acme.pk)  # noqa: S608
    assert check(acme.pk) == []


def test_what_the_database_alone_knows_signs_nothing(trail, acme, settings):
    """Whoever has the database, and no key of the environment, cannot make another chain."""
    event = trail[-1]
    settings.KEY_PEPPERS = {1: b"guessed-0123456789-abcdefghijklmnop"}
    forged = {**audit_chain.values_of(event, chain.EVENT_FIELDS), "action": "nothing"}
    forged["signed_under"] = audit_chain.signer().current
    forged["hash"] = audit_chain.signer().event_hash(forged)
    settings.KEY_PEPPERS = {1: b"only-for-tests-0123456789-abcdefghijklmnop"}
    attack(
        f"UPDATE {TABLE} SET action = 'nothing', hash = %s, signed_under = %s WHERE id = %s",  # noqa: S608
        *(forged["hash"], forged["signed_under"], event.pk),
    )
    assert kinds(acme.pk) == {Kind.UNKNOWN_KEY}


def test_chain_goes_on_under_a_new_key_while_the_old_one_is_known(trail, acme, settings):
    old = settings.KEY_PEPPERS
    settings.AUDIT_KEYS = {1: b"a" * 32}
    services.create_workspace(actor=policy.OPERATOR, organization=acme, name="New key")
    settings.AUDIT_KEYS = {1: b"a" * 32, 2: b"b" * 32}
    services.create_workspace(actor=policy.OPERATOR, organization=acme, name="Newer key")
    assert len({event.signed_under for event in acme.audit_events.all()}) == 3
    assert check(acme.pk) == []
    # A pepper that was taken away is listed among the audit keys instead.
    settings.KEY_PEPPERS = {7: b"c" * 32}
    assert Kind.UNKNOWN_KEY in kinds(acme.pk)
    settings.AUDIT_KEYS = {**settings.AUDIT_KEYS, 0: old[1]}
    assert check(acme.pk) == []


def test_trail_and_head_set_back_together_are_found_by_a_head_kept_elsewhere(trail, acme, tmp_path):
    kept_head = AuditHead.objects.filter(chain=acme.pk).values().get()
    services.create_workspace(actor=policy.OPERATOR, organization=acme, name="Regretted")
    witness = tmp_path / "heads.jsonl"
    witness.write_text(verify("--head")[1])
    assert verify("--expect", str(witness))[0] == 0
    attack(
        f"DELETE FROM {TABLE} WHERE organization_id = %s AND sequence > %s",  # noqa: S608
        acme.pk,
        len(trail),
    )
    AuditHead.objects.filter(chain=acme.pk).update(**kept_head)
    assert check(acme.pk) == []
    code, printed = verify("--expect", str(witness))
    assert code == 1
    assert f"event {len(trail) + 1} is missing, which there was" in printed
    # Another story told instead.
    services.create_workspace(actor=policy.OPERATOR, organization=acme, name="Another")
    assert "was another when its head was kept" in verify("--expect", str(witness))[1]
    forged = json.loads(witness.read_text().splitlines()[0])
    witness.write_text(json.dumps({**forged, "sequence": 1}))
    assert "is not signed by this installation" in verify("--expect", str(witness))[1]


def test_database_itself_refuses_to_alter_events(trail, acme):
    def refused(sql):
        with (
            pytest.raises(DatabaseError, match="never altered"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)

    audit_guard.prepare()
    refused(f"UPDATE {TABLE} SET action = 'nothing'")  # noqa: S608
    refused(f"DELETE FROM {TABLE}")  # noqa: S608
    assert check(acme.pk) == []


def test_old_events_go_when_that_is_the_policy_and_the_head_says_so(trail, acme, settings):
    later = timezone.now() + timedelta(days=100)
    assert audit_retention.remove_old(now=later) == {}
    settings.AUDIT_KEPT_DAYS = 30
    assert audit_retention.remove_old(now=timezone.now()) == {}
    assert audit_retention.remove_old(now=later)[acme.pk] == len(trail)
    (left,) = acme.audit_events.all()
    assert (left.action, left.changes) == ("audit.trimmed", {"events": len(trail)})
    head = AuditHead.objects.get(chain=acme.pk)
    assert (head.anchor_sequence, head.anchor_hash) == (len(trail), trail[-1].hash)
    assert check(acme.pk) == []
    services.create_workspace(actor=policy.OPERATOR, organization=acme, name="Later")
    assert check(acme.pk) == []
    attack(f"DELETE FROM {TABLE} WHERE id = %s", left.pk)  # noqa: S608
    assert kinds(acme.pk) == {Kind.REMOVED}


def test_part_of_a_trail_goes_by_its_age(trail, acme, settings, monkeypatch):
    settings.AUDIT_KEPT_DAYS = 1
    monkeypatch.setattr(audit_retention, "_REMOVED_AT_ONCE", 2)
    now = trail[4].at + timedelta(days=1)
    assert audit_retention.remove_old(now=now)[acme.pk] == 4
    kept = acme.audit_events.order_by("sequence")
    assert [event.pk for event in kept][:-1] == [event.pk for event in trail[4:]]
    assert check(acme.pk) == []


def test_nothing_of_a_broken_chain_is_removed(trail, acme, settings):
    settings.AUDIT_KEPT_DAYS = 30
    attack(f"UPDATE {TABLE} SET action = 'nothing' WHERE id = %s", trail[1].pk)  # noqa: S608
    audit_retention.remove_old(now=timezone.now() + timedelta(days=100))
    assert acme.audit_events.count() == len(trail)


def test_removing_more_than_the_head_says_is_found(trail, acme, settings):
    settings.AUDIT_KEPT_DAYS = 1
    audit_retention.remove_old(now=trail[2].at + timedelta(days=1))
    attack("UPDATE keys_audithead SET anchor_sequence = 4 WHERE chain = %s", acme.pk)
    assert Kind.HEAD_ALTERED in kinds(acme.pk)


def test_worker_follows_chains_on_and_the_head_tells_how_far(trail, acme, caplog):
    caplog.set_level("INFO")
    assert audit_checks.check_some() == AuditEvent.objects.count()
    head = AuditHead.objects.get(chain=acme.pk)
    assert (head.verified_sequence, head.problem) == (len(trail), "")
    assert f"ends with event {len(trail)}, {trail[-1].hash}" in caplog.text
    assert audit_checks.check_some() == 0
    services.create_workspace(actor=policy.OPERATOR, organization=acme, name="Later")
    newest = acme.audit_events.first()
    attack(f"UPDATE {TABLE} SET action = 'nothing' WHERE id = %s", newest.pk)  # noqa: S608
    assert audit_checks.check_some() == 1
    head.refresh_from_db()
    assert head.problem == f"event {newest.sequence} (id {newest.pk}) was altered"
    assert audit_chain.is_signed(head)


def test_worker_logs_a_head_once_where_both_checks_are_due(trail, acme, caplog):
    caplog.set_level("INFO")
    for chore in chores.CHORES:
        if "audit chains" in chore.name:
            chore.work(now=timezone.now())
    assert caplog.text.count(f"The audit chain {acme.pk} ends with event") == 1


def test_events_of_an_older_release_are_adopted_in_the_open(trail, acme):
    AuditEvent.objects.create(
        organization=acme, action="apikey.revoked", object_id="1", door="page"
    )
    assert verify("--organization", "acme")[0] == 1
    assert verify("--organization", "acme", "--adopt")[0] == 0
    told = acme.audit_events.first()
    assert (told.action, told.changes, told.actor_label) == (
        "audit.adopted",
        {"events": 1},
        "operator",
    )


def test_findings_are_told_as_json(trail, acme):
    attack(f"DELETE FROM {TABLE} WHERE id IN (%s, %s)", trail[2].pk, trail[3].pk)  # noqa: S608
    code, printed = verify("--organization", "acme", "--json")
    told = json.loads(printed)
    assert (code, told["chain"], told["whole"]) == (1, "acme", False)
    assert told["findings"] == [
        {
            "kind": "removed",
            "sequence": trail[2].sequence,
            "until": trail[3].sequence,
            "event_id": None,
            "message": f"each of the events {trail[2].sequence} to {trail[3].sequence} is missing",
        }
    ]


def test_unknown_organization_and_odd_files_are_named(acme, tmp_path):
    odd = tmp_path / "odd"
    odd.write_text("{}\n")
    with pytest.raises(CommandError, match="no organization 'nobody'"):
        verify("--organization", "nobody")
    with pytest.raises(CommandError, match=r"Line 1 of .* is no head"):
        verify("--expect", str(odd))
    with pytest.raises(CommandError, match=r"Line 1 of .* is no event"):
        verify("--file", str(odd))
    odd.write_text("nonsense")
    with pytest.raises(CommandError, match=r"Line 1 of .* is no JSON"):
        verify("--file", str(odd))
    with pytest.raises(CommandError, match="No such file"):
        verify("--file", str(tmp_path / "none"))


def test_other_organizations_are_not_looked_at(trail, other):
    attack(f"DELETE FROM {TABLE} WHERE id = %s", trail[0].pk)  # noqa: S608
    assert verify("--organization", "other")[0] == 0


def test_person_is_of_no_organization(superuser):
    services.create_person(actor=superuser, email="ada@acme.example")
    assert make_person("bob@acme.example")
    (event,) = AuditEvent.objects.filter(organization=None)
    attack(f"UPDATE {TABLE} SET actor_label = 'nobody' WHERE id = %s", event.pk)  # noqa: S608
    assert kinds(INSTALLATION) == {Kind.ALTERED}


def test_what_happened_before_the_chains_is_chained_by_the_migration(trail, other):
    attack(
        f"UPDATE {TABLE} SET sequence = NULL, previous_hash = '', hash = '', signed_under = ''"  # noqa: S608
    )
    attack("DELETE FROM keys_audithead")
    migration = import_module("keys.migrations.0005_audit_chain")
    migration.chain_events(apps, SimpleNamespace(connection=connection))
    assert [check(number) for number in audit_checks.chains()] == [[], [], []]
    assert list(other.audit_events.order_by("pk").values_list("sequence", flat=True)) == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_changes_at_one_moment_are_chained_one_behind_the_other(owner, acme):
    """Each in a thread of its own; one of them holds the organization's row meanwhile."""

    def work(number: int) -> None:
        try:
            if number % 3:
                services.create_workspace(actor=owner, organization=acme, name=f"Lab {number}")
            else:
                services.rotate_shared_secret(actor=owner, organization=acme)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(18)))
    assert acme.audit_events.count() == 19
    assert check(acme.pk) == []
