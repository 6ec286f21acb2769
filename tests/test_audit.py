"""Every change is remembered, with no secret in it; what fails half-way leaves nothing."""

import json
import logging
from datetime import timedelta
from decimal import Decimal
from unittest.mock import ANY

import pytest
from django.apps import apps
from django.db import connection

from keys import policy, services
from keys.models import APIKey, AuditEvent, Role, WebhookDelivery
from keys.networks import parse_address
from keys.services import audit
from keys.services.audit import Origin, acting_from
from tests.conftest import join, make_person

IS_TOLD = True

DOOR = AuditEvent.Door


def stored() -> list[list[tuple]]:
    """Return everything the app stores: the rows of each table."""
    models = apps.get_app_config("keys").get_models(include_auto_created=True)
    with connection.cursor() as cursor:
        return [_rows(cursor, model._meta) for model in models]


def _rows(cursor, options) -> list[tuple]:
    cursor.execute(f"SELECT * FROM {options.db_table} ORDER BY {options.pk.column}")  # noqa: S608
    return cursor.fetchall()


def dump() -> str:
    """Return everything the app stores, as one text."""
    return repr(stored())


@pytest.fixture
def story(acme, owner, staff, developer, other, superuser):
    """One call of every service that changes something: [(action, actor, call)]."""
    cast = {}

    def keep(name, row, /):
        cast[name] = row
        return row

    def issue():
        return keep(
            "key",
            services.issue_key(
                actor=developer,
                organization=acme,
                name="Backend",
                scopes=["READ"],
                allowed_ips=["10.0.0.0/8"],
                limit=Decimal(5),
            ),
        )

    def on_key(service, actor=developer, **wish):
        return lambda: keep("key", service(actor=actor, key=cast["key"], **wish))

    def on(service, name, actor=owner, /, **wish):
        argument = {"ip": "allowed_ip", "pool": "server_address", "member": "membership"}
        return lambda: service(actor=actor, **{argument.get(name, name): cast[name]}, **wish)

    def of_acme(name, service, actor=owner, /, **wish):
        return lambda: keep(name, service(actor=actor, organization=acme, **wish))

    def test_webhook():
        delivery = services.test_webhook(actor=owner, webhook=cast["webhook"])
        WebhookDelivery.objects.update(state=WebhookDelivery.State.DELIVERED)
        delivery.refresh_from_db()
        keep("delivery", delivery)

    def settle():
        services.settle_leak(actor=owner, report=report)

    found = services.issue_key(actor=owner, organization=acme, name="Found")
    report = acme.leak_reports.create(
        key=found, label=found.label, reported_at=found.created_at, action="notify"
    )
    newcomer = make_person("newcomer@acme.example")
    readonly = Role.objects.get(organization=None, name="readonly")
    return cast, [
        ("apikey.issued", developer, issue),
        ("apikey.updated", developer, on_key(services.update_key, name="Renamed")),
        ("apikey.updated", developer, on_key(services.update_key, allowed_ips=["10.0.0.1"])),
        ("apikey.disabled", developer, on_key(services.disable_key)),
        ("apikey.enabled", developer, on_key(services.enable_key)),
        (
            "apikey.updated",
            developer,
            lambda: keep(
                "ip",
                services.add_allowed_ip(actor=developer, key=cast["key"], network="10.0.0.2"),
            ),
        ),
        (
            "apikey.updated",
            developer,
            on(services.change_allowed_ip, "ip", developer, active=False),
        ),
        (
            "apikey.updated",
            developer,
            on(services.change_allowed_ip, "ip", developer, comment="VPN"),
        ),
        ("apikey.updated", developer, on(services.remove_allowed_ip, "ip", developer)),
        (
            "apikey.rotated",
            developer,
            on_key(services.rotate_key, overlap=timedelta(days=1)),
        ),
        (
            "apikey.secret_retired",
            developer,
            lambda: services.retire_secret(
                actor=developer, secret=cast["key"].secrets.order_by("pk").first()
            ),
        ),
        ("apikey.locked", staff, on_key(services.lock_key, staff, reason="Abuse")),
        ("apikey.unlocked", staff, on_key(services.unlock_key, staff)),
        ("apikey.revoked", developer, on_key(services.revoke_key)),
        (
            "organization.created",
            superuser,
            lambda: services.create_organization(
                actor=superuser, name="New", slug="new", owner=owner
            ),
        ),
        (
            "organization.updated",
            owner,
            lambda: services.update_organization(actor=owner, organization=acme, name="ACME"),
        ),
        (
            "organization.suspended",
            staff,
            lambda: services.suspend_organization(actor=staff, organization=acme),
        ),
        (
            "organization.resumed",
            staff,
            lambda: services.resume_organization(actor=staff, organization=acme),
        ),
        (
            "organization.shared_secret_revealed",
            owner,
            of_acme("shared secret", services.reveal_shared_secret),
        ),
        (
            "organization.shared_secret_rotated",
            owner,
            of_acme("new shared secret", services.rotate_shared_secret),
        ),
        (
            "user.created",
            superuser,
            lambda: keep(
                "person", services.create_person(actor=superuser, email="ada@acme.example")
            ),
        ),
        (
            "user.updated",
            superuser,
            on(services.update_person, "person", superuser, first_name="A"),
        ),
        (
            "user.password_changed",
            superuser,
            on(services.note_password_change, "person", superuser),
        ),
        (
            "user.signed_in",
            owner,
            lambda: services.note_account_event(person=owner, action="signed_in"),
        ),
        (
            "workspace.created",
            owner,
            of_acme("workspace", services.create_workspace, name="Sandbox"),
        ),
        ("workspace.updated", owner, on(services.update_workspace, "workspace", name="Lab")),
        ("workspace.deleted", owner, on(services.delete_workspace, "workspace")),
        ("scope.created", owner, of_acme("scope", services.create_scope, code="orders:read")),
        ("scope.updated", owner, on(services.update_scope, "scope", description="See orders")),
        ("scope.deleted", owner, on(services.delete_scope, "scope")),
        ("role.created", owner, of_acme("role", services.create_role, name="clerk")),
        ("role.updated", owner, on(services.update_role, "role", name="teller")),
        ("role.deleted", owner, on(services.delete_role, "role")),
        (
            "membership.created",
            owner,
            of_acme("member", services.add_member, user=newcomer, role=readonly),
        ),
        ("membership.updated", owner, on(services.update_member, "member", is_owner=True)),
        ("membership.deleted", owner, on(services.remove_member, "member")),
        (
            "invitation.sent",
            owner,
            lambda: keep(
                "invitation",
                services.invite(
                    actor=owner, organization=acme, emails=["x@y.example"], role=readonly
                )[0],
            ),
        ),
        ("invitation.sent_again", owner, on(services.resend_invitation, "invitation")),
        ("invitation.revoked", owner, on(services.revoke_invitation, "invitation")),
        (
            "serveraddress.created",
            owner,
            of_acme("pool", services.add_server_address, network="10.0.0.0/8"),
        ),
        (
            "serveraddress.updated",
            owner,
            on(services.update_server_address, "pool", comment="Frankfurt"),
        ),
        ("serveraddress.deleted", owner, on(services.remove_server_address, "pool")),
        ("policy.updated", owner, of_acme("policy", services.update_policy, idle_days=400)),
        (
            "webhook.created",
            owner,
            lambda: keep(
                "webhook",
                services.create_webhook(actor=owner, organization=acme, url="https://example.com/")[
                    0
                ],
            ),
        ),
        ("webhook.updated", owner, on(services.update_webhook, "webhook", description="Chat")),
        ("webhook.secret_rotated", owner, on(services.rotate_webhook_secret, "webhook")),
        ("webhook.tested", owner, test_webhook),
        ("webhook.replayed", owner, on(services.replay_delivery, "delivery")),
        ("webhook.deleted", owner, on(services.delete_webhook, "webhook")),
        ("leak.settled", owner, settle),
        (
            "apikey.exported",
            developer,
            lambda: services.note_export(
                actor=developer, organization=acme, count=3, filters={"status": "active"}
            ),
        ),
        (
            "audit.exported",
            owner,
            of_acme("file", services.note_audit_export, file_format="csv", filters={}),
        ),
        (
            "audit.read",
            owner,
            lambda: services.note_read(
                actor=owner, obj=acme, organization=acme, action="audit.read"
            ),
        ),
    ]


# What the events of the story say beside who did what to what; of an action the later ones count.
SAID = {
    "apikey.issued": {
        "name": "Backend",
        "slug": "backend",
        "description": "",
        "owner": "developer@acme.example",
        "workspace": "Default",
        "role": None,
        "scopes": ["READ"],
        "not_before": None,
        "expires_at": None,
        "disabled": False,
        "limit": "5",
        "limit_reset": None,
        "include_byok_in_limit": False,
        "rate_limits": [],
        "assign_server_ips": False,
        "allowed_ips": ["10.0.0.0/8"],
        "external_user": None,
        "dialect": "native",
        "label": ANY,
    },
    "apikey.updated": {
        "name": ["Backend", "Renamed"],
        "allowed_ips": [["10.0.0.1", "10.0.0.2 (inactive) # VPN"], ["10.0.0.1"]],
    },
    "apikey.disabled": {"disabled": [False, True]},
    "apikey.enabled": {"disabled": [True, False]},
    "apikey.rotated": {"label": [ANY, ANY], "old_secret_works_until": ANY},
    "apikey.secret_retired": {"label": ANY},
    "apikey.locked": {"reason": "Abuse"},
    "organization.created": {"name": "New", "slug": "new", "owner": "owner@acme.example"},
    "organization.updated": {"name": ["Acme", "ACME"]},
    "user.created": {
        "email": "ada@acme.example",
        "first_name": "",
        "last_name": "",
        "is_active": True,
        "is_staff": False,
        "is_superuser": False,
    },
    "user.updated": {"first_name": ["", "A"]},
    "workspace.created": {"name": "Sandbox", "is_default": False},
    "workspace.updated": {"name": ["Sandbox", "Lab"]},
    "scope.created": {"code": "orders:read", "description": ""},
    "scope.updated": {"description": ["", "See orders"]},
    "role.created": {"number": 10, "name": "clerk", "description": "", "scopes": []},
    "role.updated": {"name": ["clerk", "teller"]},
    "membership.created": {"user": "newcomer@acme.example", "role": "readonly", "is_owner": False},
    "membership.updated": {"is_owner": [False, True]},
    "membership.deleted": {"user": "newcomer@acme.example", "role": "readonly", "is_owner": True},
    "invitation.sent": {"role": "readonly", "is_owner": False, "expires_at": ANY},
    "invitation.sent_again": {"role": "readonly", "is_owner": False, "expires_at": ANY},
    "serveraddress.created": {"network": "10.0.0.0/8", "comment": ""},
    "serveraddress.updated": {"comment": ["", "Frankfurt"]},
    "policy.updated": {"idle_days": [None, 400]},
    "webhook.created": {"url": "https://example.com/", "description": "", "events": []},
    "webhook.updated": {"description": ["", "Chat"]},
    "webhook.secret_rotated": {"old_secret_signs_until": ANY},
    "webhook.replayed": {"message": ANY, "event": "webhook.test"},
    "apikey.exported": {"keys": 3, "status": "active"},
    "audit.exported": {"file_format": "csv"},
}


def test_every_service_leaves_one_event(story):
    """T23: nothing comes to be, changes or ends without a trace of who did it."""
    _, chapters = story
    said = {}
    for action, actor, call in chapters:
        before = AuditEvent.objects.count()
        call()
        event = AuditEvent.objects.first()
        assert AuditEvent.objects.count() == before + 1, action
        assert (event.action, event.actor_user, event.actor_label) == (action, actor, str(actor))
        # People belong to no organization by themselves.
        assert (event.organization is None) == action.startswith("user.")
        said.setdefault(action, {}).update(event.changes or {})
    assert {action: changes for action, changes in said.items() if changes} == SAID


def test_the_story_calls_every_service_that_changes_something(story):
    """A service that is not told of here would go without these checks."""
    told = {action for action, _, _ in story[1]}
    not_changing = {
        "Verdict",
        "SessionTokens",
        "Explanation",
        "ExchangeRefusedError",
        "ImportOptions",
        "ImportReport",
        "verify_key",
        "authenticate_key",
        "note_grant",
        "find_secret",
        "find_invitation",
        "find_invitation_for",
        "find_invitations_of",
        "find_joined",
        "has_address",
        "reason_against_invitation",
        "explain_secret",
        "plan_change",
        "rates_of",
        "look_at_rates",
        "Revocation",
        "reason_to_keep_owner",
        "reason_to_keep_role",
        "reason_to_keep_scope",
        "reason_to_keep_workspace",
        "reason_to_stay_disabled",
        # Tokens stand for a key that is there; they are uses of it.
        "exchange_request_token",
        "refresh_session",
        "assemble_netosecret",
        "plan_policy",
        "TooManyReportsError",
        # What it leads to is told when it is looked up.
        "hand_in_secret",
        # What a letter tells of leaves a trace of its own.
        "send_letters",
        "write_letter",
        # Whether somebody wants a mail is their own business.
        "choose_notifications",
    }
    # Their trace is that of another: an update of the key or person, the end of a membership.
    in_other_words = {
        "add_allowed_ip",
        "change_allowed_ip",
        "remove_allowed_ip",
        "narrow_key",
        "change_keys",
        "hand_over_key",
        "hand_over_keys",
        "name_oneself",
        "revoke_key_everywhere",
        "leave_organization",
        "transfer_ownership",
        "accept_invitation",
        "add_server_addresses",
        "import_keys",
        "disable_idle_keys",
        # test_invitations.py follows it.
        "decline_invitation",
        # test_audit_page.py follows it.
        "note_report_export",
        # test_approvals.py follows each of these.
        "approve_request",
        "deny_request",
        "issue_approved_key",
        "request_change",
        "request_key",
        "request_role",
        "withdraw_request",
    }
    changing = set(services.__all__) - not_changing - in_other_words
    assert len(changing) == len(told)


def test_what_fails_at_its_last_step_leaves_nothing(story, monkeypatch):
    """A crash before the end of any service undoes all of it."""

    class CrashError(Exception):
        pass

    def crash(**kwargs):
        raise CrashError

    _, chapters = story
    for action, _, call in chapters:
        before = dump()
        with monkeypatch.context() as patch:
            patch.setattr(audit, "record", crash)
            with pytest.raises(CrashError):
                call()
        assert dump() == before, action
        call()


def test_no_secret_is_stored_or_logged(story, caplog):
    """T6, T17, T21: not whole, not its random part, in no table and no log line."""
    cast, chapters = story
    caplog.set_level(logging.DEBUG)
    secrets = []
    for _, _, call in chapters:
        call()
        if hasattr(cast["key"], "secret"):
            secrets.append(cast["key"].secret)
            services.verify_key(secret=secrets[-1], address=parse_address("10.0.0.1"))
    assert len(set(secrets)) == 2
    stored, logged = dump(), caplog.text
    for secret in [*secrets, cast["shared secret"], cast["new shared secret"]]:
        # What the label shows is cut off both ends; the rest may be nowhere.
        random_part = secret.removeprefix("kh_")[3:-3]
        for text in (secret, random_part, random_part[:12]):
            assert text not in stored
            assert text not in logged


def test_events_tell_what_changed(developer, key):
    services.update_key(actor=developer, key=key, name="Renamed", limit=Decimal("2.50"))
    event = AuditEvent.objects.first()
    assert event.changes == {"name": ["Backend", "Renamed"], "limit": [None, "2.50"]}
    assert (event.object_type, event.object_id, event.object_label) == (
        "apikey",
        str(key.pk),
        "Renamed",
    )


def test_what_changes_nothing_is_no_event(developer, key, acme):
    before = AuditEvent.objects.count()
    services.update_key(actor=developer, key=key, name=key.name, disabled=False)
    services.update_organization(actor=policy.OPERATOR, organization=acme, name=acme.name)
    assert AuditEvent.objects.count() == before


def test_an_update_leaves_everything_else_alone(developer, key):
    """T37: neither secret nor identity nor creation."""
    before = APIKey.objects.values().get(pk=key.pk)
    secret = key.secrets.values().get()
    services.update_key(actor=developer, key=key, name="Renamed")
    after = APIKey.objects.values().get(pk=key.pk)
    changed = {field for field in before if before[field] != after[field]}
    assert changed == {"name", "updated_at"}
    assert key.secrets.values().get() == secret


def test_a_key_acts_under_its_own_name(acme, key):
    services.issue_key(actor=key, organization=acme, name="Child")
    event = AuditEvent.objects.first()
    assert (event.actor_key, event.actor_user, event.actor_label) == (key, None, "Backend")


def test_the_operator_acts_under_that_name(acme, owner):
    event = acme.audit_events.last()
    assert (event.actor_label, event.actor_user, event.door) == ("operator", None, DOOR.COMMAND)


def test_events_say_through_which_door_and_from_where(developer, key):
    with acting_from(Origin(DOOR.API, "192.0.2.1", "abc")):
        services.disable_key(actor=developer, key=key)
    event = AuditEvent.objects.first()
    assert (event.door, event.address, event.request_id) == ("api", "192.0.2.1", "abc")
    services.enable_key(actor=developer, key=key)
    assert AuditEvent.objects.first().door == "command"


def test_an_origin_ends_with_its_request_even_when_that_fails():
    before = audit.current_origin()
    with pytest.raises(RuntimeError), acting_from(Origin(DOOR.PAGE)):
        raise RuntimeError
    assert audit.current_origin() == before


def test_events_outlive_members_and_their_keys(acme, owner, developer, key):
    services.remove_member(actor=owner, membership=acme.memberships.get(user=developer))
    services.revoke_key(actor=owner, key=key)
    labels = [event.actor_label for event in acme.audit_events.filter(object_id=key.pk)]
    assert "developer@acme.example" in labels


def test_changes_are_plain_json(acme, owner, stranger):
    join(acme, stranger, "developer")
    for event in AuditEvent.objects.all():
        assert json.loads(json.dumps(event.changes)) == event.changes
