"""Who may do what to which rows: THE table, and that lists and rows never disagree.

The expectations are written out by hand; nothing here is computed from roles.py.
"""

from datetime import timedelta
from functools import cache

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from keys import policy, services, snapshots
from keys.models import (
    AllowedIP,
    APIKey,
    ApprovalRequest,
    AuditEvent,
    Decision,
    Invitation,
    KeySecret,
    KeyUsage,
    LeakReport,
    Membership,
    MinuteBucket,
    Organization,
    OrganizationBucket,
    OrganizationMinute,
    Role,
    Scope,
    ScopeUse,
    ServerAddress,
    UsageBucket,
    User,
    Webhook,
    WebhookDelivery,
    Workspace,
)
from keys.networks import parse_address
from keys.roles import Permission, Reach
from tests.conftest import join, make_person

# Columns: people first, then credentials.
#   owner        owns acme, in the role admin
#   admin        a member in the role admin
#   dev          a member in the role developer
#   viewer       a member in the role readonly
#   strngr       owns another organization
#   staff        staff of the installation, a member nowhere
#   root         superuser of the installation, a member nowhere
#   anon         nobody
#   operat       whoever runs manage.py
#   k.dev        a key of the developer: READ CREATE UPDATE DELETE
#   k.read       a key of the developer: READ
#   k.mng        a key of acme itself: READ CREATE UPDATE DELETE MANAGE
#   k.upd        a key of acme itself: READ UPDATE
#   k.cust       a key of the developer: only orders:read, which a service asks for
#   k.othr       a key of the other organization: READ MANAGE
#   k.gone       a key with all five scopes, whose owner was removed from acme
#   k.demo       a key with all five scopes, whose owner is now in the role readonly
#
# Objects: own_key is the developer's, colleagues_key the admin's, shared_key acme's own
# (k.mng), demoted_key is k.demo, other_* belong to the other organization; other_shared_key is
# its own.
TABLE = """
permission           object               owner admin dev viewer strngr staff root anon operat k.dev k.read k.mng k.upd k.cust k.othr k.gone k.demo
view_organization    acme                 x     x     x   x      .      x     x    .    x      x     x      x     x     .      .      .      x
view_organization    other                .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
change_organization  acme                 x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
change_organization  other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
own_organization     acme                 x     .     .   .      .      .     x    .    x      .     .      .     .     .      .      .      .
own_organization     other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      .      .      .
leave_organization   acme                 x     x     x   x      .      .     .    .    x      .     .      .     .     .      .      .      .
leave_organization   other                .     .     .   .      x      .     .    .    x      .     .      .     .     .      .      .      .
reveal_sharedsecret  acme                 x     x     x   .      .      .     x    .    x      x     .      x     .     .      .      .      .
reveal_sharedsecret  other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
rotate_sharedsecret  acme                 x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
rotate_sharedsecret  other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .

view_workspace       workspace            x     x     x   x      .      x     x    .    x      x     x      x     x     .      .      .      x
view_workspace       other_workspace      .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
add_workspace        acme                 x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
add_workspace        other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
change_workspace     workspace            x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
change_workspace     other_workspace      .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
delete_workspace     workspace            x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
delete_workspace     other_workspace      .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .

view_scope           built_in_scope       x     x     x   x      x      x     x    .    x      x     x      x     x     x      x      x      x
view_scope           scope                x     x     x   x      .      x     x    .    x      x     x      x     x     .      .      .      x
view_scope           other_scope          .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
add_scope            acme                 x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
add_scope            other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
change_scope         built_in_scope       .     .     .   .      .      .     .    .    .      .     .      .     .     .      .      .      .
change_scope         scope                x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
change_scope         other_scope          .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
delete_scope         built_in_scope       .     .     .   .      .      .     .    .    .      .     .      .     .     .      .      .      .
delete_scope         scope                x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
delete_scope         other_scope          .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .

view_role            built_in_role        x     x     x   x      x      x     x    .    x      x     x      x     x     x      x      x      x
view_role            role                 x     x     x   x      .      x     x    .    x      x     x      x     x     .      .      .      x
view_role            other_role           .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
add_role             acme                 x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
add_role             other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
change_role          built_in_role        .     .     .   .      .      .     .    .    .      .     .      .     .     .      .      .      .
change_role          role                 x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
change_role          other_role           .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
delete_role          built_in_role        .     .     .   .      .      .     .    .    .      .     .      .     .     .      .      .      .
delete_role          role                 x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
delete_role          other_role           .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .

view_membership      membership           x     x     x   x      .      x     x    .    x      x     x      x     x     .      .      .      x
view_membership      other_membership     .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
add_membership       acme                 x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
add_membership       other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
change_membership    membership           x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
change_membership    owners_membership    x     .     .   .      .      .     x    .    x      .     .      .     .     .      .      .      .
change_membership    other_membership     .     .     .   .      x      .     x    .    x      .     .      .     .     .      .      .      .
delete_membership    membership           x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
delete_membership    owners_membership    x     .     .   .      .      .     x    .    x      .     .      .     .     .      .      .      .
delete_membership    other_membership     .     .     .   .      x      .     x    .    x      .     .      .     .     .      .      .      .

view_invitation      invitation           x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
view_invitation      other_invitation     .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
delete_invitation    invitation           x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
delete_invitation    other_invitation     .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .

view_apikey          own_key              x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
view_apikey          colleagues_key       x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
view_apikey          shared_key           x     x     .   .      .      x     x    .    x      .     .      x     x     .      .      .      .
view_apikey          demoted_key          x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      x
view_apikey          other_key            .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
add_apikey           acme                 x     x     x   .      .      .     x    .    x      x     .      x     .     .      .      .      .
add_apikey           other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
change_apikey        own_key              x     x     x   .      .      .     x    .    x      x     .      x     .     .      .      .      .
change_apikey        colleagues_key       x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
change_apikey        shared_key           x     x     .   .      .      .     x    .    x      .     .      x     x     .      .      .      .
change_apikey        demoted_key          x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
change_apikey        other_key            .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
delete_apikey        own_key              x     x     x   .      .      x     x    .    x      x     .      x     .     .      .      .      .
delete_apikey        colleagues_key       x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
delete_apikey        shared_key           x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
delete_apikey        demoted_key          x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
delete_apikey        other_key            .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
rotate_apikey        own_key              .     .     x   .      .      .     x    .    x      x     .      .     .     .      .      .      .
rotate_apikey        colleagues_key       .     x     .   .      .      .     x    .    x      .     .      .     .     .      .      .      .
rotate_apikey        shared_key           x     x     .   .      .      .     x    .    x      .     .      x     x     .      .      .      .
rotate_apikey        demoted_key          .     .     .   .      .      .     x    .    x      .     .      .     .     .      .      .      .
rotate_apikey        other_key            .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
rotate_apikey        other_shared_key     .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
assign_apikey        acme                 x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
assign_apikey        other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
verify_apikey        acme                 x     x     x   x      .      .     x    .    x      x     x      x     x     .      .      .      x
verify_apikey        other                .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
lock_apikey          own_key              .     .     .   .      .      x     x    .    x      .     .      .     .     .      .      .      .
lock_apikey          colleagues_key       .     .     .   .      .      x     x    .    x      .     .      .     .     .      .      .      .
lock_apikey          shared_key           .     .     .   .      .      x     x    .    x      .     .      .     .     .      .      .      .
lock_apikey          acme                 .     .     .   .      .      x     x    .    x      .     .      .     .     .      .      .      .
lock_apikey          other                .     .     .   .      .      x     x    .    x      .     .      .     .     .      .      .      .

view_approvalrequest    own_request         x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
view_approvalrequest    colleagues_request  x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
view_approvalrequest    other_request       .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
change_approvalrequest  own_request         .     .     x   .      .      .     x    .    x      x     .      .     .     .      .      .      .
change_approvalrequest  colleagues_request  .     x     .   .      .      .     x    .    x      .     .      .     .     .      .      .      .
change_approvalrequest  other_request       .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
approve_approvalrequest own_request         x     x     .   .      .      .     x    .    x      .     .      .     .     .      .      .      .
approve_approvalrequest colleagues_request  x     .     .   .      .      .     x    .    x      .     .      .     .     .      .      .      .
approve_approvalrequest other_request       .     .     .   .      .      .     x    .    x      .     .      .     .     .      .      .      .

view_auditevent      audit_event          x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
view_auditevent      other_audit_event    .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .

view_webhook         webhook              x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
view_webhook         other_webhook        .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
change_webhook       webhook              x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
change_webhook       other_webhook        .     .     .   .      x      .     x    .    x      .     .      .     .     .      x      .      .
view_webhook         delivery             x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
view_apikey          leak                 x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
view_apikey          colleagues_leak      x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
change_apikey        leak                 x     x     x   .      .      .     x    .    x      x     .      x     .     .      .      .      .

view_organization    server_address       x     x     x   x      .      x     x    .    x      x     x      x     x     .      .      .      x
change_organization  server_address       x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
view_apikey          allowed_ip           x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
change_apikey        allowed_ip           x     x     x   .      .      .     x    .    x      x     .      x     .     .      .      .      .
view_apikey          colleagues_ip        x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
change_apikey        colleagues_ip        x     x     .   .      .      .     x    .    x      .     .      x     .     .      .      .      .
view_apikey          other_ip             .     .     .   .      x      x     x    .    x      .     .      .     .     .      x      .      .
view_apikey          secret               x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
view_apikey          totals               x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
view_apikey          usage_bucket         x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
view_apikey          minute_bucket        x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
view_apikey          scope_use            x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
view_apikey          decision             x     x     x   .      .      x     x    .    x      x     x      x     .     .      .      .      .
view_apikey          colleagues_secret    x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
view_apikey          colleagues_totals    x     x     .   .      .      x     x    .    x      .     .      x     .     .      .      .      .
"""  # noqa: E501

HEADER, *ROWS = [line.split() for line in TABLE.strip().splitlines() if line]
ACTORS = HEADER[2:]
PARTS_OF_A_KEY = (
    AllowedIP,
    Decision,
    KeySecret,
    KeyUsage,
    LeakReport,
    MinuteBucket,
    ScopeUse,
    UsageBucket,
)


@pytest.fixture
def cast(owner, admin, developer, viewer, stranger, staff, superuser, acme, other):
    """Every actor by its column's name, and every object by its row's name."""
    objects = {"acme": acme, "other": other}
    _furnish(objects, "", acme, owner)
    _furnish(objects, "other_", other, stranger)
    objects["built_in_scope"] = Scope.objects.get(code="MANAGE")
    objects["built_in_role"] = Role.objects.get(organization=None, name="admin")

    all_five = ["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"]
    keys = {
        "k.dev": _issue(developer, acme, all_five[:4], allowed_ips=["192.0.2.0/24"]),
        "k.read": _issue(developer, acme, ["READ"]),
        "k.mng": _issue(owner, acme, all_five, owner=None),
        "k.upd": _issue(owner, acme, ["READ", "UPDATE"], owner=None),
        "k.cust": _issue(policy.OPERATOR, acme, ["orders:read"], owner=developer),
        "k.othr": _issue(stranger, other, ["READ", "MANAGE"], allowed_ips=["192.0.2.0/24"]),
    }
    colleagues_key = _issue(admin, acme, ["READ"], allowed_ips=["198.51.100.0/24"])
    for name, person, organization in (
        ("own_request", developer, acme),
        ("colleagues_request", admin, acme),
        ("other_request", stranger, other),
    ):
        objects[name] = ApprovalRequest.objects.create(
            organization=organization,
            requester=person,
            kind="issue",
            terms={"name": "Wanted"},
            reason="For the night run.",
            ends_at=timezone.now() + timedelta(days=1),
        )
    removed = join(acme, make_person("removed@acme.example"), "admin")
    keys["k.gone"] = _issue(removed.user, acme, all_five)
    services.remove_member(actor=owner, membership=removed)
    demoted = join(acme, make_person("demoted@acme.example"), "admin")
    keys["k.demo"] = _issue(demoted.user, acme, all_five)
    services.update_member(
        actor=owner, membership=demoted, role=Role.objects.get(organization=None, name="readonly")
    )

    objects |= {
        "membership": acme.memberships.get(user=developer),
        "owners_membership": acme.memberships.get(user=owner),
        "own_key": keys["k.dev"],
        "colleagues_key": colleagues_key,
        "shared_key": keys["k.mng"],
        "demoted_key": keys["k.demo"],
        "other_key": keys["k.othr"],
        "allowed_ip": keys["k.dev"].allowed_ips.get(),
        "colleagues_ip": colleagues_key.allowed_ips.get(),
        "other_ip": keys["k.othr"].allowed_ips.get(),
        "secret": keys["k.dev"].current_secret,
        "colleagues_secret": colleagues_key.current_secret,
        "totals": keys["k.dev"].totals,
        "colleagues_totals": colleagues_key.totals,
    }
    objects["other_shared_key"] = _issue(stranger, other, ["READ"], owner=None)
    objects["delivery"] = services.test_webhook(actor=owner, webhook=objects["webhook"])
    for name, key in (("leak", keys["k.dev"]), ("colleagues_leak", colleagues_key)):
        objects[name] = LeakReport.objects.create(
            organization=acme, key=key, label=key.label, reported_at=timezone.now(), action="notify"
        )
    for key in (*keys.values(), colleagues_key):
        services.verify_key(secret=key.secret, address=parse_address("203.0.113.1"))
        ScopeUse.objects.create(key=key, code="READ", last_used_at=timezone.now())
    for name, model in {
        "usage_bucket": UsageBucket,
        "minute_bucket": MinuteBucket,
        "scope_use": ScopeUse,
        "decision": Decision,
    }.items():
        objects[name] = model.objects.get(key=keys["k.dev"])
    actors = {
        "owner": owner,
        "admin": admin,
        "dev": developer,
        "viewer": viewer,
        "strngr": stranger,
        "staff": staff,
        "root": superuser,
        "anon": AnonymousUser(),
        "operat": policy.OPERATOR,
        # As authentication finds them.
        **{name: snapshots.find_secret(key.secret).key for name, key in keys.items()},
    }
    return actors, objects


def _issue(actor, organization, scopes, **fields) -> APIKey:
    return services.issue_key(
        actor=actor, organization=organization, name="Key", scopes=scopes, **fields
    )


def _furnish(objects, prefix, organization, owner) -> None:
    """Give an organization one row of each kind."""
    objects[f"{prefix}workspace"] = services.create_workspace(
        actor=owner, organization=organization, name="Sandbox"
    )
    objects[f"{prefix}scope"] = services.create_scope(
        actor=owner, organization=organization, code="orders:read"
    )
    objects[f"{prefix}role"] = services.create_role(
        actor=owner, organization=organization, name="clerk", scopes=[objects[f"{prefix}scope"]]
    )
    objects[f"{prefix}server_address"] = services.add_server_address(
        actor=owner, organization=organization, network="203.0.113.0/24"
    )
    [objects[f"{prefix}invitation"]] = services.invite(
        actor=owner,
        organization=organization,
        emails=["newcomer@acme.example"],
        role=objects[f"{prefix}role"],
    )
    objects[f"{prefix}webhook"], _secret = services.create_webhook(
        actor=owner, organization=organization, url="https://example.com/"
    )
    objects[f"{prefix}membership"] = organization.memberships.get(user=owner)
    objects[f"{prefix}audit_event"] = organization.audit_events.first()


def test_the_table_holds_for_rows_and_for_lists(cast, monkeypatch):
    """Cell by cell. Listed is what passes alone, and what one may change one may see.

    The latter so that every door answers 404 before it answers 403.
    """
    actors, objects = cast
    # What people hold does not change meanwhile, and is asked 1,300 times.
    monkeypatch.setattr(policy, "_scopes_of_member", cache(policy._scopes_of_member))
    allowed, wrong = set(), []
    for column, actor in actors.items():
        seen = {model: _listed(actor, model) for model in {type(row) for row in objects.values()}}
        for permission, model in _asked(objects):
            rows = {row for row in objects.values() if isinstance(row, model)}
            listed = _listed(actor, model, permission)
            alone = {row for row in rows if policy.allows(actor, permission, row)}
            assert listed & rows == alone, (column, permission, model)
            assert listed <= seen[model], (column, permission, model)
            allowed |= {(column, permission, row) for row in alone}
    for permission, name, *cells in ROWS:
        for column, cell in zip(ACTORS, cells, strict=True):
            may = (column, f"keys.{permission}", objects[name]) in allowed
            if may != (cell == "x"):
                wrong.append(f"{column} {'may' if may else 'may not'} {permission} {name}")
    assert wrong == []


def _asked(objects) -> set[tuple[str, type]]:
    return {(f"keys.{permission}", type(objects[name])) for permission, name, *_ in ROWS}


def _listed(actor, model, permission=None) -> set:
    return set(policy.visible(actor, model._default_manager.all(), permission))


def test_the_table_asks_every_permission():
    assert {f"keys.{permission}" for permission, *_ in ROWS} == {*Permission}


def test_the_table_shows_every_kind_of_row(cast):
    _, objects = cast
    assert {type(row) for row in objects.values()} == set(EVERY_MODEL)


EVERY_MODEL = (
    Organization,
    Workspace,
    Scope,
    Role,
    Membership,
    Invitation,
    ServerAddress,
    AuditEvent,
    ApprovalRequest,
    Webhook,
    WebhookDelivery,
    APIKey,
    *PARTS_OF_A_KEY,
)


@pytest.mark.wide
def test_a_key_never_exceeds_its_owner(cast):
    """T3: a credential narrows, for every permission and every row."""
    actors, _ = cast
    for column in ("k.dev", "k.read", "k.cust", "k.gone", "k.demo"):
        key = actors[column]
        for permission in Permission:
            for model in EVERY_MODEL:
                everything = model._default_manager.all()
                of_owner = policy.visible(key.owner, everything, permission).values("pk")
                beyond = policy.visible(key, everything, permission).exclude(pk__in=of_owner)
                assert not beyond.exists(), (column, permission, model)


@pytest.mark.wide
def test_a_key_never_leaves_its_organization(cast):
    """T10, T20: whatever it holds, it reaches nothing of another organization."""
    actors, _ = cast
    for column in (each for each in ACTORS if each.startswith("k.")):
        key = actors[column]
        for permission in Permission:
            for model in EVERY_MODEL:
                reached = policy.visible(key, model._default_manager.all(), permission)
                elsewhere = reached.exclude(**{_path(model): key.organization_id})
                assert set(elsewhere) <= set(_built_in(model)), (column, permission, model)


def _path(model) -> str:
    if model is Organization:
        return "pk"
    if model is WebhookDelivery:
        return "webhook__organization"
    return "key__organization" if model in PARTS_OF_A_KEY else "organization"


def _built_in(model):
    return model.objects.filter(organization=None) if model in (Scope, Role) else ()


def test_a_list_for_a_person_is_one_query(cast, django_assert_num_queries):
    actors, _ = cast
    for model in EVERY_MODEL:
        for column in ("owner", "dev", "staff", "root"):
            with django_assert_num_queries(1):
                list(policy.visible(actors[column], model._default_manager.all()))


def test_a_list_for_a_key_costs_the_same_however_many_rows_there_are(
    cast, developer, acme, django_assert_max_num_queries
):
    actors, _ = cast
    for _ in range(10):
        _issue(developer, acme, ["READ"])
    # Authentication loaded the key's scopes; one asks what its owner holds, one lists.
    with django_assert_max_num_queries(2):
        assert len(policy.visible(actors["k.dev"], APIKey.objects.all())) == 13


@pytest.mark.parametrize("name", ["keys.view_nothing", "view_apikey", "KEYS.VIEW_APIKEY", "keys."])
def test_a_permission_that_does_not_exist_is_an_error(owner, acme, name):
    with pytest.raises(ValueError, match="is not a valid Permission"):
        policy.visible(owner, APIKey.objects.all(), name)
    with pytest.raises(ValueError, match="is not a valid Permission"):
        policy.allows(owner, name, acme)


def test_require_says_no_more_than_no(viewer, acme):
    policy.require(viewer, Permission.VIEW_ORGANIZATION, acme)
    with pytest.raises(PermissionDenied, match="do not have permission"):
        policy.require(viewer, Permission.ADD_APIKEY, acme)


def test_nothing_is_visible_to_somebody_deactivated(owner, acme, key):
    owner.is_active = False
    owner.save()
    for model in EVERY_MODEL:
        assert not policy.visible(owner, model._default_manager.all()).exists()
    assert policy.held_scopes(owner, acme) == frozenset()


def test_a_deactivated_superuser_is_nobody(superuser, acme):
    superuser.is_active = False
    superuser.save()
    assert not policy.visible(superuser, Organization.objects.all()).exists()
    assert policy.held_scopes(superuser, acme) == frozenset()


def test_only_the_operator_and_superusers_have_every_right(superuser, staff, owner, manage_key):
    assert policy.has_every_right(policy.OPERATOR)
    assert policy.has_every_right(superuser)
    for actor in (staff, owner, manage_key, AnonymousUser()):
        assert not policy.has_every_right(actor)
    superuser.is_active = False
    assert not policy.has_every_right(superuser)


def test_staff_oversee_the_installation_and_people_of_an_organization_do_not(
    superuser, staff, owner, manage_key
):
    for actor in (policy.OPERATOR, superuser, staff):
        assert policy.oversees_installation(actor)
    for actor in (owner, manage_key, AnonymousUser()):
        assert not policy.oversees_installation(actor)
    staff.is_active = False
    assert not policy.oversees_installation(staff)


def test_who_manages_sees_every_key(
    acme, owner, developer, stranger, staff, key, manage_key, strangers_key
):
    for actor in (policy.OPERATOR, owner, staff, manage_key):
        assert policy.sees_every_key(actor, acme)
    for actor in (developer, stranger, key, strangers_key, AnonymousUser()):
        assert not policy.sees_every_key(actor, acme)


def test_sums_over_every_key_are_for_who_sees_every_key(
    acme, owner, developer, viewer, stranger, staff, key, manage_key
):
    now = timezone.now()
    OrganizationBucket.objects.create(organization=acme, hour=now, outcome="VALID")
    OrganizationMinute.objects.create(organization=acme, minute=now, outcome="VALID")
    for model in (OrganizationBucket, OrganizationMinute):
        for actor in (policy.OPERATOR, owner, staff, manage_key):
            assert policy.visible(actor, model.objects.all()).exists()
        for actor in (developer, viewer, stranger, key):
            assert not policy.visible(actor, model.objects.all()).exists()


def test_a_lock_keeps_from_all_but_revoking(key):
    for locked_at, permission, is_kept in (
        (None, Permission.CHANGE_APIKEY, False),
        (timezone.now(), Permission.CHANGE_APIKEY, True),
        (timezone.now(), Permission.DELETE_APIKEY, False),
    ):
        key.locked_at = locked_at
        assert policy.is_locked_for(key, permission) is is_kept


def test_how_far_a_key_has_to_reach_for_a_row(acme, admin, key, manage_key):
    others_key = _issue(admin, acme, ["READ"], allowed_ips=["192.0.2.1"])
    reaches = {
        key: Reach.OWN,
        manage_key: Reach.SHARED,
        others_key: Reach.ORGANIZATION,
        others_key.allowed_ips.get(): Reach.ORGANIZATION,
        acme.workspaces.get(): Reach.OWN,
    }
    assert {row: policy.reach_needed(key, row) for row in reaches} == reaches


def test_an_unsaved_row_is_nobodys(owner, acme):
    assert not policy.allows(owner, Permission.CHANGE_APIKEY, APIKey(organization=acme))


class TestHeldScopes:
    """What an actor holds, and may hand on."""

    def test_people_hold_what_their_role_says(self, acme, owner, developer, viewer):
        everything = {"READ", "CREATE", "UPDATE", "DELETE", "MANAGE"}
        assert policy.held_scopes(owner, acme) == everything
        assert policy.held_scopes(developer, acme) == everything - {"MANAGE"}
        assert policy.held_scopes(viewer, acme) == {"READ"}

    def test_who_manages_holds_what_the_organization_defines(self, acme, admin, developer):
        services.create_scope(actor=admin, organization=acme, code="orders:read")
        assert "orders:read" in policy.held_scopes(admin, acme)
        assert "orders:read" not in policy.held_scopes(developer, acme)

    def test_nobody_holds_anything_elsewhere(self, acme, other, owner, stranger, manage_key):
        assert policy.held_scopes(owner, other) == frozenset()
        assert policy.held_scopes(stranger, acme) == frozenset()
        assert policy.held_scopes(manage_key, other) == frozenset()
        assert policy.held_scopes(AnonymousUser(), acme) == frozenset()

    def test_staff_hold_nothing_to_hand_on(self, acme, staff):
        assert policy.held_scopes(staff, acme) == frozenset()

    def test_the_operator_and_superusers_hold_everything(self, acme, owner, superuser):
        services.create_scope(actor=owner, organization=acme, code="orders:read")
        everything = {"READ", "CREATE", "UPDATE", "DELETE", "MANAGE", "orders:read"}
        assert policy.held_scopes(policy.OPERATOR, acme) == everything
        assert policy.held_scopes(superuser, acme) == everything

    def test_a_key_holds_what_it_lists_and_its_owner_still_holds(self, acme, owner, key):
        assert policy.held_scopes(key, acme) == {"READ", "CREATE", "UPDATE", "DELETE"}
        services.update_member(
            actor=owner,
            membership=acme.memberships.get(user=key.owner),
            role=Role.objects.get(organization=None, name="readonly"),
        )
        key = APIKey.objects.get(pk=key.pk)
        assert policy.held_scopes(key, acme) == {"READ"}

    def test_a_key_follows_its_role(self, acme, owner):
        orders = services.create_scope(actor=owner, organization=acme, code="orders:read")
        clerk = services.create_role(actor=owner, organization=acme, name="clerk", scopes=[orders])
        key = services.issue_key(
            actor=owner, organization=acme, name="Till", owner=None, role=clerk
        )
        assert policy.held_scopes(key, acme) == {"orders:read"}
        services.update_role(actor=owner, role=clerk, scopes=[])
        assert policy.held_scopes(APIKey.objects.get(pk=key.pk), acme) == frozenset()

    def test_a_superusers_power_does_not_flow_into_a_key(self, acme, owner):
        """A key is judged by its owner's membership alone, as verification judges it."""
        root = join(
            acme, make_person("root@acme.example", is_staff=True, is_superuser=True), "readonly"
        )
        key = services.issue_key(
            actor=root.user, organization=acme, name="Key", scopes=["READ", "MANAGE"]
        )
        assert policy.held_scopes(key, acme) == {"READ"}
        services.remove_member(actor=owner, membership=root)
        key = APIKey.objects.get(pk=key.pk)
        assert policy.held_scopes(key, acme) == frozenset()
        assert not policy.visible(key, APIKey.objects.all()).exists()

    def test_scopes_to_choose_from_are_those_held(self, acme, owner, developer, other, stranger):
        services.create_scope(actor=owner, organization=acme, code="orders:read")
        services.create_scope(actor=stranger, organization=other, code="orders:write")
        codes = {scope.code for scope in policy.grantable_scopes(owner, acme)}
        assert codes == {"READ", "CREATE", "UPDATE", "DELETE", "MANAGE", "orders:read"}
        codes = {scope.code for scope in policy.grantable_scopes(developer, acme)}
        assert codes == {"READ", "CREATE", "UPDATE", "DELETE"}
        assert not policy.grantable_scopes(stranger, acme).exists()

    def test_a_key_chooses_from_what_it_holds(self, acme, key, read_only_key, strangers_key):
        codes = {scope.code for scope in policy.grantable_scopes(key, acme)}
        assert codes == {"READ", "CREATE", "UPDATE", "DELETE"}
        assert _names(policy.grantable_roles(read_only_key, acme)) == {"readonly"}
        assert not policy.grantable_scopes(strangers_key, acme).exists()

    def test_roles_to_choose_from_hold_nothing_that_one_lacks(self, acme, owner, developer, viewer):
        orders = services.create_scope(actor=owner, organization=acme, code="orders:read")
        services.create_role(actor=owner, organization=acme, name="clerk", scopes=[orders])
        services.create_role(actor=owner, organization=acme, name="nothing")
        assert _names(policy.grantable_roles(owner, acme)) == {
            "admin",
            "developer",
            "readonly",
            "clerk",
            "nothing",
        }
        assert _names(policy.grantable_roles(developer, acme)) == {
            "developer",
            "readonly",
            "nothing",
        }
        assert _names(policy.grantable_roles(viewer, acme)) == {"readonly", "nothing"}


def _names(roles) -> set[str]:
    return {role.name for role in roles}


def test_actors_of_an_unknown_kind_reach_nothing(acme, key):
    assert not policy.visible(AnonymousUser(), APIKey.objects.all()).exists()
    assert not policy.visible(object(), APIKey.objects.all()).exists()


def test_people_are_no_rows_of_the_policy(owner):
    with pytest.raises(ValueError, match="view_user"):
        policy.visible(owner, User.objects.all())
