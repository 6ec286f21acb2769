"""The permission matrix, tried out: each actor attempts each change on each row by each door.

What is expected of a cell is what the policy answers about it at that moment; nothing is copied
from it. What has happened is read from the audit trail: there is a new event, or else the door
refused and no table holds anything new. A door that changes something and has no row here fails.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from keys import matrix, policy, services
from keys.admin.buttons import ButtonAdmin
from keys.admin.site import staff as staff_site
from keys.api.permissions import ANY_KEY, ANYONE
from keys.matrix import Door
from keys.models import (
    AllowedIP,
    APIKey,
    ApprovalRequest,
    AuditEvent,
    Invitation,
    KeySecret,
    Membership,
    Organization,
    Role,
    Scope,
    ServerAddress,
    User,
    Webhook,
    WebhookDelivery,
    Workspace,
)
from keys.moves.columns import Format
from keys.roles import Permission
from tests import tables
from tests.conftest import join, make_person
from tests.test_doors import API, API_ROUTES, DIALECTS, PAGES, ROUTES, methods_of, path_of, undone
from tests.test_importing import ROWS

P = Permission
SAFE = ("GET", "HEAD", "OPTIONS")

# Path parameter -> the kind of row that it names.
KINDS: dict[str, type[Model]] = {
    **dict.fromkeys(("key_id", "apiKeyId", "identifier", "hash", "appname"), APIKey),
    **dict.fromkeys(("allowed_ip", "allowed_ip_id", "apiKeyWhitelistId", "pk"), AllowedIP),
    **dict.fromkeys(("secret", "secret_id"), KeySecret),
    **dict.fromkeys(("approval_id", "approval_request_id"), ApprovalRequest),
    "member_id": Membership, "role_id": Role, "scope_id": Scope, "workspace_id": Workspace,
    "server_address_id": ServerAddress, "invitation_id": Invitation, "webhook_id": Webhook,
    "delivery_id": WebhookDelivery, "audit_event_id": AuditEvent,
}  # fmt: skip


@dataclass(frozen=True)
class Act:
    """One way to change something: a route with a method, and what is sent there."""

    door: Door
    name: str
    permission: Permission
    body: dict | None = None
    # What has to be so before there is anything to do, of the rows it is about.
    prepare: Callable[[dict], object] = lambda rows: None

    def __str__(self) -> str:
        return self.name

    @property
    def is_look(self) -> bool:
        """Whether it shows something, rather than change it."""
        return self.name.startswith("GET ")


def _owned(rows) -> None:
    _key(rows).filter(owner=None).update(owner=rows[Membership].user)


def _disabled(rows) -> None:
    _key(rows).update(disabled=True)


def _locked(rows) -> None:
    _key(rows).update(locked_at=timezone.now(), disabled=True)


def _key(rows):
    return APIKey.objects.filter(pk=rows[APIKey].pk)


def _approved(rows) -> None:
    ApprovalRequest.objects.filter(pk=rows[ApprovalRequest].pk).update(
        status="approved", approved_terms=rows[ApprovalRequest].terms, decided_at=timezone.now()
    )


# What forms that are carried out once come with.
ONCE = {"token": "a" * 32}


def page(name: str, permission: Permission, body=None, prepare=lambda rows: None) -> Act:
    """Return what a form of a page does."""
    return Act(Door.PAGES, f"POST keys:{name}", permission, {**ONCE, **(body or {})}, prepare)


def _workspace(rows) -> str:
    return str(rows[Organization].workspaces.get(is_default=True).pk)


def _keys_of_member(rows) -> list[int]:
    keys = rows[Organization].api_keys.live().filter(owner=rows[Membership].user)
    return list(keys.values_list("pk", flat=True))


def _readonly(rows) -> int:
    return Role.objects.get(organization=None, name="readonly").pk


# What is a function is asked for the rows at hand.
NEW_KEY = {
    "workspace": _workspace, "slug": "renamed", "confirm_wider": "on",
    "name": "New", "access": "scopes", "scopes": ["READ"], "expiry": "30", "dialect": "native",
    "owner": "mine", "limiter_failure": "allow", "limit_reset": "", "step": "confirm",
}  # fmt: skip
WEBHOOK = {"url": "https://example.com/new", "events": "apikey.issued"}
ACTS_ON_PAGES = [
    page("settings", P.CHANGE_ORGANIZATION,
         {"name": "Renamed", "slug": "renamed", "confirm_slug": "on", "rotation": "90",
          "limiter_failure": "refuse"}),
    page("policy", P.CHANGE_ORGANIZATION, {"idle_days": "400", "leak_action": "notify"}),
    page("approval", P.APPROVE_APPROVALREQUEST, {"action": "deny", "note": "No."}),
    page("approval-issue", P.CHANGE_APPROVALREQUEST, {}, _approved),
    page("create", P.ADD_APIKEY, NEW_KEY),
    page("create", P.ASSIGN_APIKEY, {**NEW_KEY, "owner": "organization"}),
    page("edit", P.CHANGE_APIKEY, NEW_KEY),
    page("rotate", P.ROTATE_APIKEY, {"overlap": "0"}),
    page("hand-over", P.ASSIGN_APIKEY, {"to": "organization", "overlap": "0"}, _owned),
    page("disable", P.CHANGE_APIKEY),
    page("enable", P.CHANGE_APIKEY, {}, _disabled),
    page("revoke", P.DELETE_APIKEY),
    page("revoke-everywhere", P.DELETE_APIKEY),
    page("lock", P.LOCK_APIKEY, {"reason": "Seen."}),
    page("unlock", P.LOCK_APIKEY, {}, _locked),
    page("access", P.CHANGE_APIKEY, {"effect": "allow", "network": "198.51.100.7",
                                     "confirm_lockout": "on"}),
    page("allowed-ip-remove", P.CHANGE_APIKEY, {"confirm_wider": "on"}),
    page("allowed-ip-switch", P.CHANGE_APIKEY, {"confirm_wider": "on"}),
    page("retire", P.CHANGE_APIKEY),
    page("quiet", P.CHANGE_APIKEY, {"hours": "1"}),
    page("members", P.ADD_MEMBERSHIP, {"emails": "new@acme.example", "role": _readonly}),
    page("member-edit", P.CHANGE_MEMBERSHIP, {"role": _readonly}),
    page("member-remove", P.DELETE_MEMBERSHIP),
    page("member-keys", P.ASSIGN_APIKEY,
         {"to": "organization", "overlap": "0", "keys": _keys_of_member}),
    page("leave", P.LEAVE_ORGANIZATION),
    page("member-transfer", P.OWN_ORGANIZATION),
    page("invitation-resend", P.ADD_MEMBERSHIP),
    page("invitation-revoke", P.DELETE_INVITATION),
    page("role-create", P.ADD_ROLE, {"name": "new", "scopes": ["READ"]}),
    page("role-edit", P.CHANGE_ROLE, {"name": "renamed", "scopes": ["READ"]}),
    page("role-delete", P.DELETE_ROLE),
    page("scope-create", P.ADD_SCOPE, {"code": "bills:read"}),
    page("scope-edit", P.CHANGE_SCOPE, {"description": "Renamed"}),
    page("scope-delete", P.DELETE_SCOPE),
    page("workspaces", P.ADD_WORKSPACE, {"name": "New"}),
    page("workspace-edit", P.CHANGE_WORKSPACE, {"name": "Renamed"}),
    page("workspace-delete", P.DELETE_WORKSPACE),
    page("server-addresses", P.CHANGE_ORGANIZATION, {"addresses": "192.0.2.77"}),
    page("server-address-edit", P.CHANGE_ORGANIZATION, {"comment": "Renamed"}),
    page("server-address-remove", P.CHANGE_ORGANIZATION),
    page("shared-secret", P.ROTATE_SHAREDSECRET, {"action": "replace", "confirmed": "on"}),
    page("webhooks", P.CHANGE_WEBHOOK, WEBHOOK),
    page("webhook-edit", P.CHANGE_WEBHOOK, WEBHOOK),
    page("webhook-switch", P.CHANGE_WEBHOOK),
    page("webhook-delete", P.CHANGE_WEBHOOK),
    page("webhook-rotate", P.CHANGE_WEBHOOK),
    page("webhook-test", P.CHANGE_WEBHOOK),
    page("webhook-delivery", P.CHANGE_WEBHOOK),
]  # fmt: skip
LOOKS_AT_PAGES = [
    Act(Door.PAGES, f"GET keys:{name}", permission)
    for name, permission in {
        "overview": P.VIEW_ORGANIZATION, "workspaces": P.VIEW_ORGANIZATION,
        "detail": P.VIEW_APIKEY, "activity": P.VIEW_APIKEY, "key-audit": P.VIEW_APIKEY,
        "approval": P.VIEW_APPROVALREQUEST, "webhook": P.VIEW_WEBHOOK, "audit": P.VIEW_AUDITEVENT,
        "audit-export": P.VIEW_AUDITEVENT, "shared-secret": P.REVEAL_SHAREDSECRET,
    }.items()
]  # fmt: skip
# Forms that change nothing of an organization's, or that other rows here stand for.
OTHER_FORMS = {
    "POST keys:search": "leads to the list",
    "POST keys:audit": "filters the trail",
    "POST keys:explain": "looks a secret up",
    "POST keys:notifications": "is about oneself",
    "POST keys:own-name": "is about oneself",
    "POST keys:found": "is for anybody",
    "POST keys:invitation": "asks who followed a link",
    "POST keys:invitation-accept": "asks who was invited: test_invitations.py",
    "POST keys:invitation-decline": "asks who was invited: test_invitations.py",
    "POST keys:session-end": "is about oneself",
    "POST keys:bulk": "asks for each key what its own page does: test_bulk.py",
    "POST keys:import": "takes a file in steps: test_import_page.py",
    "POST keys:leak-settle": "needs a report of each key: test_leaks.py",
    "POST keys:role-ask": "needs a role that takes approval: test_approvals.py",
}

# Routes of the API that change no row of an organization's.
OTHER_CALLS = {
    "POST native:verify": "counts uses",
    "POST native:leaks": "is for anybody",
    "POST native:approval-list": "needs a policy that asks for approval: test_approvals.py",
    "POST native:policy-preview": "writes nothing",
    **dict.fromkeys((f"{method} native:auth" for method in ("POST", "PUT", "PATCH", "DELETE")),
                    "counts uses"),
    "POST netography:token": "exchanges a proof",
    "POST netography:refresh": "exchanges a proof",
    "POST netography:password": "exchanges a proof",
}  # fmt: skip
PREPARED = {"POST native:key-enable": _disabled, "POST native:approval-issue": _approved}
# Where test_doors.py has a body with which nothing would change.
BODIES = {
    "POST native:approval-deny": {"note": "No."},
    "PATCH native:policy": {"idle_days": 400},
    "PATCH native:member-detail": {"role": "readonly"},
}


def calls() -> Iterator[Act]:
    """Yield the routes of the API with the permission they declare, but for lists.

    A list shows what of the rows the caller sees, which test_policy.py is about.
    """
    for _where, name, view in API_ROUTES:
        dialect = name.partition(":")[0]
        if dialect not in DIALECTS:
            continue
        for row, (_statuses, body) in API.items():
            method, _space, called = row.partition(" ")
            if called != name or row in OTHER_CALLS or (name.endswith("-list") and method in SAFE):
                continue
            action = getattr(view, "actions", {}).get(method.lower(), method.lower())
            if view.cls.permissions[action] in (ANY_KEY, ANYONE):
                continue
            yield Act(
                Door(dialect), row, Permission(view.cls.permissions[action]),
                BODIES.get(row, body), PREPARED.get(row, lambda rows: None),
            )  # fmt: skip


def buttons() -> Iterator[Act]:
    """Yield what staff do with a button."""
    for model, shown in staff_site._registry.items():
        for button in shown.buttons if isinstance(shown, ButtonAdmin) else ():
            yield Act(
                Door.STAFF,
                f"press {model._meta.model_name} {button.name}",
                button.permission,
                {"reason": "Seen.", "note": "Seen."},
                _locked if button.name == "unlock" else _suspended_for(button.name),
            )


def _suspended_for(button: str) -> Callable[[dict], object]:
    def prepare(rows):
        if button == "resume":
            rows[Organization].suspended_at = timezone.now()
            rows[Organization].save()

    return prepare


STAFF_FORMS = [
    Act(Door.STAFF, "delete role", P.DELETE_ROLE, {"post": "yes"}),
    Act(Door.STAFF, "delete scope", P.DELETE_SCOPE, {"post": "yes"}),
]
# What a page shows or a form does beside what it is there for.
DONE_IN_PASSING = {
    **dict.fromkeys(
        ((permission, Door.PAGES) for permission in (P.VIEW_WORKSPACE, P.VIEW_SCOPE, P.VIEW_ROLE)),
        "rows on a page of settings",
    ),
    (P.VIEW_MEMBERSHIP, Door.PAGES): "rows on the page of members",
    (P.VIEW_INVITATION, Door.PAGES): "rows on the page of members",
    (P.ASSIGN_APIKEY, Door.NATIVE): "a key for another principal: api/test_native.py",
    **dict.fromkeys(
        (
            (permission, Door.STAFF)
            for permission in (P.VIEW_MEMBERSHIP, P.ADD_MEMBERSHIP, P.CHANGE_MEMBERSHIP,
                               P.DELETE_MEMBERSHIP)
        ),
        "rows on the page of an organization: test_admin_organizations.py",
    ),
}  # fmt: skip
# What staff do in forms of several fields: test_admin_organizations.py, test_admin_people.py.
OTHER_STAFF_FORMS = {
    "add organization", "change organization", "add user", "change user",
    "add role", "change role", "add scope", "change scope",
}  # fmt: skip


def commands() -> Iterator[Act]:
    """Yield what whoever runs the installation does by commands, with the options that they get."""
    for (name, permission), options in COMMANDS.items():
        verb = "GET" if permission.codename.startswith("view_") else "run"
        yield Act(Door.COMMANDS, f"{verb} {name}", permission, {"options": options})


# {organization}, {identifier} and {file} are those of the rows at hand.
COMMANDS: dict[tuple[str, Permission], list[str]] = {
    ("issue_key", P.ADD_APIKEY): [
        "--organization={organization}", "--name=New", "--scope=READ",
    ],
    ("import_keys", P.ADD_APIKEY): [
        "{file}", "--organization={organization}", "--format=knox", "--scope=READ",
    ],
    ("revoke_key", P.DELETE_APIKEY): ["{identifier}"],
    ("export_keys", P.VIEW_APIKEY): ["--organization={organization}"],
    ("permission_matrix", P.VIEW_ORGANIZATION): ["--organization={organization}"],
    ("verify_audit", P.VIEW_AUDITEVENT): ["--organization={organization}"],
}  # fmt: skip
# About the installation, not about an organization's rows.
OTHER_COMMANDS = {"fold_usage", "forget_snapshots", "purge", "quickstart", "scanner_rules", "work"}
ACTS = [*ACTS_ON_PAGES, *LOOKS_AT_PAGES, *calls(), *buttons(), *STAFF_FORMS, *commands()]

# What gives READ to a key or a person, and what shows the secret of a key that has it: nobody
# gives a scope that they lack, or gets it by another key.
GIVES_READ = {
    "POST i3d:key-list", "POST native:key-list", "POST netography:key-list",
    "PUT netography:key-detail", "PATCH native:member-detail", "POST native:invitation-list",
    "POST native:key-rotate", "POST native:key-hand-over", "PUT netography:key-regenerate",
}  # fmt: skip
# Where a door cannot do what the policy permits: the act, who does it, what it is about, and why.
EVERY_ROW = ["row of acme", "row of other"]
STRICTER = [
    ("POST keys:approval-issue", P.CHANGE_APPROVALREQUEST, ["superuser"], EVERY_ROW,
        "only whoever asked for a key sees its secret"),
    ("POST keys:create", P.ADD_APIKEY, ["superuser"], EVERY_ROW,
        "a key of one's own takes a membership"),
    ("POST keys:member-transfer", P.OWN_ORGANIZATION, ["superuser"], EVERY_ROW,
        "who owns nothing there has nothing to hand over"),
    ("POST native:key-hand-over", P.ASSIGN_APIKEY, ["owner's key", "admin's key"],
        ["shared of acme"], "it belongs to the organization already"),
    ("DELETE xyra:user-key-detail", P.ASSIGN_APIKEY,
        ["owner's key", "admin's key", "key with MANAGE"],
        ["shared of acme"], "the address names a person, and it has none"),
    ("press apikey lock", P.LOCK_APIKEY, ["staff", "superuser"], ["locked of acme"],
        "it is locked already"),
]  # fmt: skip
STRICTER_CELLS = {
    (act, permission, actor, obj)
    for act, permission, actors, objects, _why in STRICTER
    for actor, obj in product(actors, objects)
}


@dataclass
class World:
    """An organization with a row of every kind; for keys one of every state."""

    organization: Organization
    rows: dict[type[Model], Model]
    keys: dict[str, APIKey] = field(default_factory=dict)

    def cells(self, act: Act, kinds: set[type[Model]]) -> Iterator[tuple[str, dict]]:
        """Yield (name, rows by kind) of everything here that an act could be about."""
        if not kinds & {APIKey, AllowedIP, KeySecret}:
            yield "row", self.rows
            return
        for name, key in self.keys.items():
            more = {APIKey: key, AllowedIP: key.allowed_ips.first(),
                    KeySecret: key.secrets.order_by("pk").first()}  # fmt: skip
            yield name, {**self.rows, **more}


def furnish(organization, owner, member, slug: str) -> dict[type[Model], Model]:
    """Make a row of every kind in an organization."""
    role = services.create_role(actor=owner, organization=organization, name="clerk")
    services.create_scope(actor=owner, organization=organization, code="orders:read")
    [invitation] = services.invite(
        actor=owner, organization=organization, emails=[f"{slug}@new.example"],
        role=Role.objects.get(organization=None, name="readonly"),
    )  # fmt: skip
    webhook, _secret = services.create_webhook(
        actor=owner, organization=organization, url="https://example.com/"
    )
    delivery = services.test_webhook(actor=owner, webhook=webhook)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(state="delivered")
    return {
        Organization: organization,
        AuditEvent: organization.audit_events.first(),
        Role: role,
        Scope: organization.scopes.get(),
        Workspace: services.create_workspace(actor=owner, organization=organization, name="Lab"),
        ServerAddress: services.add_server_address(
            actor=owner, organization=organization, network="192.0.2.9"
        ),
        Invitation: invitation,
        Webhook: webhook,
        WebhookDelivery: delivery,
        Membership: organization.memberships.get(user=member),
        ApprovalRequest: ApprovalRequest.objects.create(
            organization=organization, requester=member, kind="issue", reason="Night run.",
            terms={"name": "Wanted", "scopes": ["READ"]},
            ends_at=timezone.now() + timedelta(days=1),
        ),
    }  # fmt: skip


def new_key(organization, owner: User | None, name: str) -> APIKey:
    """Issue a key that may little, with an address and a secret that was replaced."""
    key = services.issue_key(
        actor=policy.OPERATOR, organization=organization, name=name, owner=owner, scopes=["READ"],
        allowed_ips=["192.0.2.1", "127.0.0.0/8"],
    )  # fmt: skip
    return services.rotate_key(actor=policy.OPERATOR, key=key, overlap=timedelta(hours=1))


@pytest.fixture
def worlds(acme, owner, developer, other, stranger, staff) -> list[World]:
    """The organization that most actors belong to, and another."""
    join(other, make_person("worker@other.example"), "developer")
    colleague = join(acme, make_person("colleague@acme.example"), "developer").user
    keys = {
        "developer's": new_key(acme, developer, "Theirs"),
        "colleague's": new_key(acme, colleague, "Colleague's"),
        "shared": new_key(acme, None, "Shared"),
        "locked": new_key(acme, developer, "Locked"),
    }
    services.lock_key(actor=staff, key=keys["locked"], reason="Seen.")
    here = World(acme, furnish(acme, owner, developer, "here"), keys)
    worker = other.memberships.get(is_owner=False).user
    there = World(other, furnish(other, stranger, worker, "there"))
    there.keys["elsewhere"] = new_key(other, worker, "Elsewhere")
    return [here, there]


@pytest.fixture
def people(acme, owner, admin, developer, viewer, stranger, staff, superuser) -> dict[str, User]:
    """Everybody who could sign in, by name."""
    clerk = make_person("clerk@acme.example")
    join(acme, clerk, "readonly")
    role = services.create_role(
        actor=owner, organization=acme, name="changer", scopes=Scope.objects.filter(code="UPDATE")
    )
    services.update_member(actor=owner, membership=acme.memberships.get(user=clerk), role=role)
    return {
        "owner": owner, "admin": admin, "developer": developer, "viewer": viewer, "clerk": clerk,
        "stranger": stranger, "staff": staff, "superuser": superuser,
    }  # fmt: skip


@pytest.fixture
def credentials(acme, other, people) -> dict[str, APIKey]:
    """A key in each person's role, and one of the organization's own for each built-in scope."""

    def issue(organization, name, **more):
        return services.issue_key(
            actor=policy.OPERATOR, organization=organization, name=name, **more
        )

    members = {name: each for name, each in people.items() if name not in ("staff", "superuser")}
    found = {}
    for name, person in members.items():
        organization = other if name == "stranger" else acme
        role = organization.memberships.get(user=person).role
        found[f"{name}'s key"] = issue(organization, f"{name}'s", owner=person, role=role)
    for scope in ("READ", "CREATE", "UPDATE", "DELETE", "MANAGE"):
        found[f"key with {scope}"] = issue(acme, scope, owner=None, scopes=[scope])
    return found


class Attempts:
    """Attempts acts, each undone, and compares what came of them with what the policy says."""

    def __init__(self, worlds, people, credentials, file: Path) -> None:
        self.worlds = worlds
        self.people = people
        self.credentials = credentials
        self.file = file
        self.clients: dict[str, Client] = {}
        self.places = {name: where for where, name, _view in ROUTES}
        self.cells: Counter = Counter()
        self.wrong: list[str] = []
        # Of STRICTER, what was met.
        self.stricter: set[tuple[str, Permission, str, str]] = set()

    def cells_of(self, act: Act) -> Iterator[tuple[str, str, dict, bool]]:
        """Yield (actor, object, its rows, whether the policy permits it)."""
        is_api = act.door.value in DIALECTS
        actors = self._actors_at(act.door)
        if actors is self.people:
            # Anew: all cells may take longer than nobody is asked again who they are.
            self.clients = {name: _signed_in(person) for name, person in self.people.items()}
        place = self.places.get(act.name.partition(" ")[2], "")
        kinds = {KINDS[each] for each in re.findall(r"<(?:\w+:)?(\w+)>", place) if each in KINDS}
        if act.door is Door.STAFF:
            kinds = {_model_named(act.name.split()[1])}
        if act.door is Door.COMMANDS and "{identifier}" in act.body["options"]:
            kinds = {APIKey}
        for world in self.worlds:
            for name, rows in world.cells(act, kinds):
                obj = _asked(act, kinds, rows)
                for actor, who in actors.items():
                    is_elsewhere = is_api and who.organization != world.organization
                    if is_elsewhere and isinstance(obj, Organization) and "<" not in place:
                        continue  # nothing there names another organization
                    with undone():
                        act.prepare(rows)
                        is_permitted = self.expected(act, who, obj, rows)
                        # What no door does, it has to refuse as what nobody may.
                        about = f"{name} of {world.organization.slug}"
                        cell = (act.name, act.permission, actor, about)
                        if is_permitted and cell in STRICTER_CELLS:
                            self.stricter.add(cell)
                            is_permitted = False
                        yield actor, name, rows, is_permitted

    def expected(self, act: Act, who, obj, rows) -> bool:
        """Ask the policy about a cell."""
        if act.door is Door.STAFF and not who.is_staff:
            return False
        if not policy.allows(who, act.permission, obj) or not _is_seen(act, who, obj, rows):
            return False
        if act.name in GIVES_READ and "READ" not in policy.held_scopes(who, rows[Organization]):
            return False
        if act.permission is P.LEAVE_ORGANIZATION:
            return not services.reason_to_keep_owner(obj.memberships.get(user=who))
        if isinstance(obj, APIKey) and not act.is_look:
            obj.refresh_from_db()
            is_revoking = act.name.startswith("DELETE xyra:")
            is_held = policy.is_locked_for(obj, P.DELETE_APIKEY if is_revoking else act.permission)
            return not is_held or policy.allows(who, P.LOCK_APIKEY, obj)
        return True

    def attempt(self, act: Act, actor: str, rows: dict) -> tuple[int, bool]:
        """Do it; return how the door answered, and whether anything came of it."""
        if act.door is Door.COMMANDS:
            status = self._run(act, rows)
        elif act.door is Door.STAFF:
            status = self._press(act, actor, rows).status_code
        else:
            status = self._send(act, actor, rows).status_code
        changed = AuditEvent.objects.exclude(action__endswith="read").filter(pk__gt=self._last)
        return status, status == 200 if act.is_look else changed.exists()

    def compare(self, act: Act, actor: str, name: str, rows: dict, is_permitted: bool) -> None:
        """Attempt one cell inside a transaction that is undone."""
        before = None if is_permitted else tables.state()
        self._last = AuditEvent.objects.order_by("pk").last().pk
        status, has_happened = self.attempt(act, actor, rows)
        has_happened |= before is not None and before != tables.state()
        self.cells[act.door] += 1
        # A form that does not offer a choice is shown again, and refuses as well.
        is_answered = status < 300 and act.door is not Door.PAGES
        if has_happened != is_permitted or (not is_permitted and is_answered):
            self.wrong.append(
                f"{act}: {actor} on {name} of {rows[Organization].slug}: the policy says "
                f"{'yes' if is_permitted else 'no'}, the door answered {status}"
                f" and {'did it' if has_happened else 'did nothing'}"
            )

    def _actors_at(self, door: Door) -> dict:
        if door is Door.COMMANDS:
            return {"operator": policy.OPERATOR}
        return self.credentials if door.value in DIALECTS else self.people

    def _run(self, act, rows) -> int:
        """Run a command; return what a page would answer, having seen who was recorded for it."""
        key = rows.get(APIKey)
        values = {"organization": rows[Organization].slug, "file": self.file,
                  "identifier": key.identifier if key else ""}  # fmt: skip
        told = io.StringIO()
        try:
            options = [each.format(**values) for each in act.body["options"]]
            call_command(act.name.split()[1], *options, stdout=told, stderr=told)
        except CommandError:
            return 403
        for event in AuditEvent.objects.filter(pk__gt=self._last):
            assert (event.door, event.actor_label) == ("command", str(policy.OPERATOR))
        return 200 if told.getvalue() else 404

    def _send(self, act, actor, rows):
        method, _space, route = act.name.partition(" ")
        path = path_of(self.places[route], _parameters(rows))
        body = act.body
        if act.is_look and act.door is Door.PAGES:
            return self.clients[actor].get(path)
        if act.door is Door.PAGES:
            return self._fill_in(act, actor, rows, path)
        if body and "organization_id" in body:
            body = {**body, "organization_id": rows[Organization].pk}
        return Client().generic(
            method,
            path,
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.credentials[actor].secret}"},
        )

    def _fill_in(self, act, actor, rows, path):
        filled = {name: each(rows) if callable(each) else each for name, each in act.body.items()}
        response = self.clients[actor].post(path, filled)
        change = getattr((response.context or {}).get("form"), "change", None)
        if change is None:
            return response
        # What it does to others is shown first, to be agreed to.
        return self.clients[actor].post(path, {**filled, "agreed": change.mark})

    def _press(self, act, actor, rows):
        verb, model, *button = act.name.split()
        path = f"/admin/keys/{model}/{rows[_model_named(model)].pk}/"
        path += f"press/{button[0]}/" if verb == "press" else f"{verb}/"
        return self.clients[actor].post(path, act.body)


def _is_seen(act: Act, who, obj: Model, rows) -> bool:
    """Say whether the actor finds what it is about: what nobody sees is to them as if not there."""
    needed = [rows[Organization]] if act.door is Door.PAGES else []
    if act.door is not Door.PAGES and not isinstance(obj, Organization):
        needed.append(obj)
    return all(policy.allows(who, policy.view_permission(type(row)), row) for row in needed)


def _signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def _model_named(name: str) -> type[Model]:
    return next(model for model in staff_site._registry if model._meta.model_name == name)


def _asked(act: Act, kinds: set[type[Model]], rows: dict) -> Model:
    """Return the row about which the policy is asked, as the table for auditors says."""
    if APIKey in kinds and act.permission is P.ASSIGN_APIKEY:
        return rows[APIKey]
    model = matrix.model_of(act.permission)
    about = {APIKey} if kinds & {AllowedIP, KeySecret} else kinds
    if model in about or (model is Webhook and WebhookDelivery in about):
        return rows[model]
    # Buttons on an organization reach its keys' locks.
    return rows[Organization]


def _parameters(rows: dict) -> dict[str, object]:
    organization = rows[Organization]
    found: dict[str, object] = {
        parameter: rows[kind].pk for parameter, kind in KINDS.items() if kind in rows
    }
    key = rows.get(APIKey)
    if key is not None:
        found |= {"identifier": key.identifier, "hash": key.hash, "appname": key.slug,
                  "user_id": key.owner_id or 0}  # fmt: skip
    return {"organization": organization.slug, "organization_id": organization.pk, **found}


@pytest.fixture
def attempts(worlds, people, credentials, tmp_path) -> Attempts:
    file = tmp_path / "keys.jsonl"
    file.write_text(json.dumps(ROWS[Format.KNOX][1]))
    return Attempts(worlds, people, credentials, file)


def test_every_form_of_a_page_has_its_row():
    """That each page has its methods in that table, test_doors.py sees to."""
    forms = {row for row in PAGES if row.startswith("POST ")}
    assert forms == {act.name for act in ACTS_ON_PAGES} | set(OTHER_FORMS)


def test_every_call_that_changes_something_has_its_row():
    changing = {row for row in API if row.partition(" ")[0] not in SAFE}
    assert changing == {act.name for act in calls() if not act.is_look} | set(OTHER_CALLS)


def test_every_form_of_staff_has_its_row(rf, superuser, worlds):
    request = rf.get("/")
    request.user = superuser
    offered = {
        f"{verb} {model._meta.model_name}"
        for model, shown in staff_site._registry.items()
        for verb, may in (
            ("add", shown.has_add_permission(request)),
            ("change", shown.has_change_permission(request)),
            ("delete", shown.has_delete_permission(request, worlds[0].rows.get(model))),
        )
        if may
    }
    assert offered == {act.name for act in STAFF_FORMS} | OTHER_STAFF_FORMS


def test_every_command_has_its_row():
    ours = {name for name, app in get_commands().items() if app == "keys"}
    assert ours == {name for name, _permission in COMMANDS} | OTHER_COMMANDS


def test_doors_told_to_auditors_are_those_where_it_can_be_done():
    done = {(act.permission, act.door) for act in ACTS}
    for _where, name, view in API_ROUTES:
        dialect = name.partition(":")[0]
        for method in methods_of(view) if dialect in DIALECTS else ():
            action = getattr(view, "actions", {}).get(method, method)
            if (declared := view.cls.permissions[action]) not in (ANY_KEY, ANYONE):
                done.add((Permission(declared), Door(dialect)))
    for act in OTHER_STAFF_FORMS:
        verb, model = act.split()
        if f"keys.{verb}_{model}" in set(Permission):
            done.add((Permission(f"keys.{verb}_{model}"), Door.STAFF))
    for model in staff_site._registry:
        if f"keys.view_{model._meta.model_name}" in set(Permission):
            done.add((Permission(f"keys.view_{model._meta.model_name}"), Door.STAFF))
    done |= set(DONE_IN_PASSING)
    told = {(permission, door) for permission in Permission for door in matrix.DOORS[permission]}
    assert told - done == done - told == set()


@pytest.mark.wide
def test_every_act_is_done_once_and_refused_once(attempts):
    """T8: the first cell of each kind in each row, at every door."""
    for act in ACTS:
        seen: set[bool] = set()
        for actor, name, rows, is_permitted in attempts.cells_of(act):
            if is_permitted not in seen:
                seen.add(is_permitted)
                attempts.compare(act, actor, name, rows, is_permitted)
        assert True in seen, f"nobody may {act}"
    assert not attempts.wrong, "\n".join(attempts.wrong)


@pytest.mark.endurance
def test_all_doors_agree_with_the_policy_cell_by_cell(attempts, capsys):
    """T8: actor × action × object × door: each does what the policy permits, and nothing else.

    Where none can do it all the same, STRICTER says why.
    """
    for act in ACTS:
        for actor, name, rows, is_permitted in attempts.cells_of(act):
            attempts.compare(act, actor, name, rows, is_permitted)
    with capsys.disabled():
        total = attempts.cells.total()
        print(f"\n{total} cells, {len(ACTS)} acts: {dict(attempts.cells)}")  # noqa: T201
    assert not attempts.wrong, "\n".join(attempts.wrong)
    assert attempts.stricter == STRICTER_CELLS
