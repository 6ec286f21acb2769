"""Every route × every actor × the status they get. A route without a row fails.

The rows are about one key, the developer's, in the organization acme. At the API each actor
comes with a key that follows their role and is named after it; `staff` comes with the session
of a member of staff, which is no credential there.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLPattern
from django.utils import timezone

from keys import policy, services
from keys.api.authentication import KeyAuthentication
from keys.api.permissions import ANY_KEY, ANYONE, PolicyPermission
from keys.api.urls import DOCUMENTED, MODULES
from keys.api.views import Dialect
from keys.models import APIKey, ApprovalRequest
from keys.roles import Permission

ACTORS = ("anonymous", "viewer", "developer", "admin", "owner", "stranger", "staff")
DIALECTS = [module.DIALECT.dialect for module in MODULES]

# Statuses in the order of ACTORS.
# Reads of the developer's key: by the developer and whoever manages.
SEES_KEY = "401 404 200 200 200 404 401"
# What all members see; a stranger sees it of their own organization.
LISTS = "401 200 200 200 200 200 401"
# One row of what all members see: to the stranger it is not there.
SEES = "401 200 200 200 200 404 401"
MANAGES_NEW = "401 403 403 201 201 201 401"
MANAGES = "401 403 403 200 200 404 401"
DELETES = "401 403 403 204 204 404 401"
CHANGES_KEY = "401 403 200 200 200 404 401"
ADDS_TO_KEY = "401 403 201 201 201 404 401"
DELETES_KEY = "401 403 204 204 204 404 401"
# A new secret is for the key's own person.
ROTATES_KEY = "401 403 200 403 403 404 401"

NEW_KEY = {"key_name": "New", "key_scope": ["READ"], "organization_id": None}

# Method and route: (statuses, body).
NATIVE = {
    "GET native:key-list": (LISTS, None),
    "POST native:key-list": ("401 403 201 201 201 201 401", NEW_KEY),
    "GET native:key-detail": (SEES_KEY, None),
    "PATCH native:key-detail": (CHANGES_KEY, {"description": "New"}),
    "DELETE native:key-detail": (DELETES_KEY, None),
    "POST native:key-rotate": (ROTATES_KEY, {"overlap": 60}),
    "POST native:key-hand-over": (MANAGES, {"overlap": 60}),
    "POST native:key-disable": (CHANGES_KEY, {}),
    "POST native:key-enable": (CHANGES_KEY, {}),
    "GET native:allowed-ip-list": (SEES_KEY, None),
    "POST native:allowed-ip-list": (ADDS_TO_KEY, {"network": "192.0.2.99"}),
    "GET native:allowed-ip-detail": (SEES_KEY, None),
    "PATCH native:allowed-ip-detail": (CHANGES_KEY, {"comment": "New"}),
    "DELETE native:allowed-ip-detail": ("401 403 204 204 204 404 401", None),
    "GET native:secret-list": (SEES_KEY, None),
    "DELETE native:secret-detail": ("401 403 204 204 204 404 401", None),
    "GET native:organization-list": (LISTS, None),
    "GET native:organization-detail": (SEES, None),
    "PATCH native:organization-detail": (MANAGES, {"name": "New"}),
    "GET native:server-address-list": (SEES, None),
    "POST native:server-address-list": ("401 403 403 201 201 404 401", {"network": "192.0.2.99"}),
    "GET native:server-address-detail": (SEES, None),
    "DELETE native:server-address-detail": (DELETES, None),
    "GET native:workspace-list": (LISTS, None),
    "POST native:workspace-list": (MANAGES_NEW, {"name": "New"}),
    "GET native:workspace-detail": (SEES, None),
    "PATCH native:workspace-detail": (MANAGES, {"name": "New"}),
    "DELETE native:workspace-detail": (DELETES, None),
    "GET native:scope-list": (LISTS, None),
    "POST native:scope-list": (MANAGES_NEW, {"code": "bills:read"}),
    "GET native:scope-detail": (SEES, None),
    "PATCH native:scope-detail": (MANAGES, {"description": "New"}),
    "DELETE native:scope-detail": (DELETES, None),
    "GET native:role-list": (LISTS, None),
    "POST native:role-list": (MANAGES_NEW, {"name": "New"}),
    "GET native:role-detail": (SEES, None),
    "PATCH native:role-detail": (MANAGES, {"description": "New"}),
    "DELETE native:role-detail": (DELETES, None),
    "GET native:member-list": (LISTS, None),
    "GET native:member-detail": (SEES, None),
    "PATCH native:member-detail": (MANAGES, {"role": "developer"}),
    "DELETE native:member-detail": (DELETES, None),
    "GET native:invitation-list": ("401 403 403 200 200 200 401", None),
    "POST native:invitation-list": (
        MANAGES_NEW,
        {"email": "new@acme.example", "role": "readonly"},
    ),
    "GET native:invitation-detail": ("401 403 403 200 200 404 401", None),
    "DELETE native:invitation-detail": (DELETES, None),
    "GET native:policy": (SEES, None),
    "PATCH native:policy": (MANAGES, {"idle_days": 400}),
    "POST native:policy-preview": (MANAGES, {"idle_days": 400}),
    # The developer's request: seen by them and whoever decides.
    "GET native:approval-list": (LISTS, None),
    # Nobody has to approve this here.
    "POST native:approval-list": (
        "401 403 400 400 400 400 401",
        {"reason": "New", "key": {}},
    ),
    "GET native:approval-detail": (SEES_KEY, None),
    "POST native:approval-approve": (MANAGES, {}),
    "POST native:approval-deny": (MANAGES, {"note": "New"}),
    "POST native:approval-withdraw": ("401 403 200 403 403 404 401", {}),
    # It is not approved yet.
    "POST native:approval-issue": ("401 403 400 403 403 404 401", {}),
    "GET native:audit-event-list": ("401 403 403 200 200 200 401", None),
    "GET native:audit-event-detail": ("401 403 403 200 200 404 401", None),
    "POST native:verify": (LISTS, {"key": "kh_nobody"}),
    "GET native:webhook-list": ("401 403 403 200 200 200 401", None),
    "POST native:webhook-list": (MANAGES_NEW, {"url": "https://example.com/new"}),
    "GET native:webhook-detail": ("401 403 403 200 200 404 401", None),
    "PATCH native:webhook-detail": (MANAGES, {"description": "New"}),
    "DELETE native:webhook-detail": (DELETES, None),
    "POST native:webhook-rotate": (MANAGES, None),
    "POST native:webhook-test": ("401 403 403 202 202 404 401", None),
    "GET native:delivery-list": ("401 403 403 200 200 404 401", None),
    "GET native:delivery-detail": ("401 403 403 200 200 404 401", None),
    "POST native:delivery-replay": ("401 403 403 202 202 404 401", None),
    # Anybody may hand in what they found; this is no key.
    "POST native:leaks": ("400 400 400 400 400 400 400", {"secret": "nothing"}),
    # Whoever holds a key may know it.
    "GET native:own-key": ("401 200 200 200 200 200 401", None),
    # The presented key is judged, whoever's it is.
    **{
        f"{method} native:auth": ("401 204 204 204 204 204 401", None)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    },
}

I3D = {
    "GET i3d:key-list": ("403 200 200 200 200 200 403", None),
    "POST i3d:key-list": ("403 403 200 200 200 200 403", {"note": "New"}),
    "PUT i3d:key-detail": ("403 403 200 200 200 404 403", {"note": "New"}),
    "DELETE i3d:key-detail": ("403 403 204 204 204 404 403", None),
    "GET i3d:whitelist": ("403 404 200 200 200 404 403", None),
    "POST i3d:whitelist": ("403 403 200 200 200 404 403", {"ipRange": "192.0.2.99/32"}),
    "PUT i3d:whitelist-entry": ("403 403 200 200 200 404 403", {"comments": "New"}),
    "DELETE i3d:whitelist-entry": ("403 403 204 204 204 404 403", None),
}

NETOGRAPHY = {
    "GET netography:key-list": (LISTS, None),
    "POST netography:key-list": (
        "401 403 201 201 201 201 401",
        {"appname": "new", "roles": ["readonly"]},
    ),
    "GET netography:key-detail": (SEES_KEY, None),
    "PUT netography:key-detail": (CHANGES_KEY, {"description": "New", "roles": ["readonly"]}),
    "DELETE netography:key-detail": (DELETES_KEY, None),
    "PUT netography:key-regenerate": (ROTATES_KEY, {}),
    # These take no key but a proof in the body; nobody has one here.
    "POST netography:token": ("401 401 401 401 401 401 401", {"jwt": "nothing"}),
    "POST netography:refresh": ("415 415 415 415 415 415 415", {"refresh_token": "nothing"}),
    "POST netography:password": ("401 401 401 401 401 401 401", {}),
}

OPENROUTER = {
    "GET openrouter:current-key": ("401 200 200 200 200 200 401", None),
    "GET openrouter:current-key-alias": ("401 200 200 200 200 200 401", None),
    "GET openrouter:key-list": (LISTS, None),
    "POST openrouter:key-list": ("401 403 201 201 201 201 401", {"name": "New"}),
    "GET openrouter:key-detail": (SEES_KEY, None),
    # Its clients know 401 where others say 403.
    "PATCH openrouter:key-detail": ("401 401 200 200 200 404 401", {"name": "New"}),
    "DELETE openrouter:key-detail": ("401 401 200 200 200 404 401", None),
}

XYRA = {
    "GET xyra:key-list": (LISTS, None),
    "POST xyra:key-list": ("401 403 200 200 200 200 401", {"memo": "New"}),
    "DELETE xyra:key-detail": ("401 403 200 200 200 404 401", None),
    "GET xyra:admin-key-list": ("401 403 403 200 200 200 401", None),
    "POST xyra:admin-key-list": ("401 403 403 200 200 200 401", {"memo": "New"}),
    "DELETE xyra:admin-key-detail": ("401 403 403 200 200 404 401", None),
    "GET xyra:user-key-list": ("401 403 403 200 200 404 401", None),
    "DELETE xyra:user-key-detail": ("401 403 403 200 200 404 401", None),
}

API = NATIVE | I3D | NETOGRAPHY | OPENROUTER | XYRA

# Pages answer with a session; who is signed out goes to the sign-in page.
PAGE = "302 200 200 200 200 404 200"
REDIRECTS = "302 302 302 302 302 404 302"
KEY_PAGE = "302 404 200 200 200 404 200"
CHANGE_PAGE = "302 404 200 200 200 404 403"
CHANGED = "302 404 302 302 302 404 403"
MANAGERS_PAGE = "302 403 403 200 200 404 403"
MANAGED = "302 403 403 302 302 404 403"
EVERYBODYS_PAGE = "200 200 200 200 200 200 200"
LOCK_PAGE = "302 404 403 403 403 404 200"
LOCKED = "302 404 403 403 403 404 302"

PAGES = {
    "GET keys:home": ("302 302 302 302 302 302 200", None),
    "GET keys:overview": (PAGE, None),
    "GET keys:hygiene": (PAGE, None),
    "GET keys:hygiene-check": (PAGE, None),
    "GET keys:settings": (PAGE, None),
    "POST keys:settings": ("302 403 403 200 200 404 403", {}),
    "GET keys:policy": (PAGE, None),
    "POST keys:policy": ("302 403 403 200 200 404 403", {}),
    "GET keys:approvals": (PAGE, None),
    "GET keys:approval": (KEY_PAGE, None),
    "POST keys:approval": (
        "302 404 403 302 302 404 403",
        {"action": "approve", "scopes": ["READ"]},
    ),
    "POST keys:approval-issue": ("302 404 302 403 403 404 403", {}),
    "GET keys:role-ask": (MANAGERS_PAGE, None),
    "POST keys:role-ask": (MANAGERS_PAGE, {}),
    "GET keys:audit": ("302 403 403 200 200 404 200", None),
    "POST keys:audit": ("302 403 403 302 302 404 302", {"actor": "owner"}),
    "GET keys:audit-export": ("302 403 403 200 200 404 200", None),
    "GET keys:audit-export-lines": ("302 403 403 200 200 404 200", None),
    "GET keys:list": (PAGE, None),
    "POST keys:search": ("302 302 302 302 302 404 302", {"search": "x"}),
    "GET keys:export": (PAGE, None),
    "GET keys:bulk": (REDIRECTS, None),
    "POST keys:bulk": (PAGE, {"action": "revoke", "key": "x"}),
    "GET keys:create": ("302 403 200 200 200 404 403", None),
    "POST keys:create": ("302 403 200 200 200 404 403", {}),
    "GET keys:detail": (KEY_PAGE, None),
    "GET keys:edit": (CHANGE_PAGE, None),
    "POST keys:edit": (CHANGE_PAGE, {}),
    "GET keys:rotate": ("302 404 200 403 403 404 403", None),
    "POST keys:rotate": ("302 404 200 403 403 404 403", {"overlap": "0"}),
    # Whoever manages takes a key over, into the organization's hands or their own.
    "GET keys:hand-over": ("302 404 403 200 200 404 403", None),
    "POST keys:hand-over": (
        "302 404 403 200 200 404 403",
        {"to": "organization", "overlap": "0"},
    ),
    "GET keys:first-use": (KEY_PAGE, None),
    "GET keys:disable": (CHANGE_PAGE, None),
    "POST keys:disable": (CHANGED, {}),
    "GET keys:enable": (CHANGE_PAGE, None),
    "POST keys:enable": (CHANGED, {}),
    "GET keys:revoke": (KEY_PAGE, None),
    "POST keys:revoke": ("302 404 302 302 302 404 302", {}),
    "GET keys:revoke-everywhere": (KEY_PAGE, None),
    "POST keys:revoke-everywhere": ("302 404 302 302 302 404 302", {}),
    "GET keys:lock": (LOCK_PAGE, None),
    "POST keys:lock": (LOCKED, {}),
    "GET keys:unlock": (LOCK_PAGE, None),
    "POST keys:unlock": (LOCKED, {}),
    "GET keys:limits": (KEY_PAGE, None),
    "GET keys:access": (KEY_PAGE, None),
    "POST keys:access": (CHANGE_PAGE, {}),
    "POST keys:allowed-ip-remove": (CHANGE_PAGE, {}),
    "POST keys:allowed-ip-switch": (CHANGE_PAGE, {}),
    "GET keys:rotation": (KEY_PAGE, None),
    "GET keys:activity": (KEY_PAGE, None),
    "GET keys:key-audit": (KEY_PAGE, None),
    "GET keys:danger": (KEY_PAGE, None),
    "GET keys:print": (KEY_PAGE, None),
    "GET keys:retire": (CHANGE_PAGE, None),
    "POST keys:retire": (CHANGED, {}),
    "POST keys:quiet": (CHANGED, {}),
    "GET keys:explain": (PAGE, None),
    "POST keys:explain": (PAGE, {}),
    "GET keys:members": (PAGE, None),
    "POST keys:members": (MANAGERS_PAGE, {}),
    "GET keys:member-edit": (MANAGERS_PAGE, None),
    "POST keys:member-edit": (MANAGERS_PAGE, {}),
    "GET keys:member-keys": (MANAGERS_PAGE, None),
    "POST keys:member-keys": (MANAGERS_PAGE, {"to": "organization", "overlap": "0"}),
    "GET keys:member-remove": (MANAGERS_PAGE, None),
    "POST keys:member-remove": (MANAGED, {}),
    "GET keys:member-transfer": ("302 403 403 403 200 404 403", None),
    "POST keys:member-transfer": ("302 403 403 403 302 404 403", {}),
    "GET keys:leave": ("302 200 200 200 200 404 403", None),
    "POST keys:leave": ("302 302 302 302 302 404 403", {}),
    "POST keys:invitation-resend": (MANAGED, {}),
    "POST keys:invitation-revoke": (MANAGED, {}),
    # Whoever followed the link of a mail; here nobody did.
    "GET keys:invitation": (EVERYBODYS_PAGE, None),
    "POST keys:invitation": (EVERYBODYS_PAGE, {}),
    # By who was invited; nobody of these was.
    "POST keys:invitation-accept": ("302 302 302 302 302 302 302", {}),
    "POST keys:invitation-decline": ("302 302 302 302 302 302 302", {}),
    "GET keys:invitation-link": ("302 302 302 302 302 302 302", None),
    "GET keys:roles": (PAGE, None),
    "GET keys:permissions": (PAGE, None),
    "GET keys:role-create": (MANAGERS_PAGE, None),
    "POST keys:role-create": (MANAGERS_PAGE, {}),
    "GET keys:role-edit": (MANAGERS_PAGE, None),
    "POST keys:role-edit": (MANAGERS_PAGE, {}),
    "GET keys:role-delete": (MANAGERS_PAGE, None),
    "POST keys:role-delete": (MANAGED, {}),
    "GET keys:scope-create": (MANAGERS_PAGE, None),
    "POST keys:scope-create": (MANAGERS_PAGE, {}),
    "GET keys:scope-edit": (MANAGERS_PAGE, None),
    "POST keys:scope-edit": (MANAGERS_PAGE, {}),
    "GET keys:scope-delete": (MANAGERS_PAGE, None),
    "POST keys:scope-delete": (MANAGED, {}),
    "GET keys:workspaces": (PAGE, None),
    "POST keys:workspaces": (MANAGERS_PAGE, {}),
    "GET keys:workspace-edit": (MANAGERS_PAGE, None),
    "POST keys:workspace-edit": (MANAGERS_PAGE, {}),
    "GET keys:workspace-delete": (MANAGERS_PAGE, None),
    "POST keys:workspace-delete": (MANAGED, {}),
    "GET keys:import": ("302 403 200 200 200 404 403", None),
    "POST keys:import": ("302 403 200 200 200 404 403", {}),
    "GET keys:server-addresses": (PAGE, None),
    "POST keys:server-addresses": (MANAGERS_PAGE, {}),
    "GET keys:server-address-edit": (MANAGERS_PAGE, None),
    "POST keys:server-address-edit": (MANAGERS_PAGE, {}),
    "GET keys:server-address-remove": (MANAGERS_PAGE, None),
    "POST keys:server-address-remove": (MANAGED, {}),
    "GET keys:shared-secret": ("302 403 200 200 200 404 403", None),
    "POST keys:shared-secret": ("302 403 200 200 200 404 403", {}),
}

# Who manages changes webhooks; staff look.
WEBHOOK_PAGE = "302 403 403 200 200 404 200"
WEBHOOK_FORM = "302 403 403 200 200 404 403"
WEBHOOK_CHANGED = "302 403 403 302 302 404 403"

PAGES |= {
    "GET keys:webhooks": (WEBHOOK_PAGE, None),
    "POST keys:webhooks": (WEBHOOK_FORM, {}),
    "GET keys:webhook": (WEBHOOK_PAGE, None),
    "GET keys:webhook-edit": (WEBHOOK_FORM, None),
    "POST keys:webhook-edit": (WEBHOOK_FORM, {}),
    "POST keys:webhook-switch": (WEBHOOK_CHANGED, {}),
    "GET keys:webhook-delete": (WEBHOOK_FORM, None),
    "POST keys:webhook-delete": (WEBHOOK_CHANGED, {}),
    "POST keys:webhook-rotate": (WEBHOOK_CHANGED, {}),
    "POST keys:webhook-test": (WEBHOOK_CHANGED, {}),
    "GET keys:webhook-delivery": (WEBHOOK_PAGE, None),
    "POST keys:webhook-delivery": (WEBHOOK_CHANGED, {}),
    "GET keys:leaks": (PAGE, None),
    "POST keys:leak-settle": ("302 404 302 302 302 404 403", {}),
    # Anybody may hand in what they found.
    "GET keys:found": ("200 200 200 200 200 200 200", None),
    "POST keys:found": ("200 200 200 200 200 200 200", {}),
    "GET keys:scanner-rules": ("200 200 200 200 200 200 200", None),
    "GET keys:own-name": ("302 200 200 200 200 200 200", None),
    "POST keys:session-end": ("302 302 302 302 302 302 302", {}),
    "POST keys:own-name": ("302 302 302 302 302 302 302", {}),
    "GET keys:notifications": ("302 200 200 200 200 200 200", None),
    "POST keys:notifications": ("302 302 302 302 302 302 302", {}),
}

# For everybody: documentation, and what makes signing in possible.
PUBLIC = {
    "keys:found",
    "keys:scanner-rules",
    "keys:invitation",
    "keys:invitation-link",
    "set_language",
    "docs:index",
    *(f"docs:{module.DIALECT.dialect}" for module in DOCUMENTED),
    *(f"docs:{module.DIALECT.dialect}-document" for module in DOCUMENTED),
    "account_login",
    "account_logout",
    "account_signup",
    "account_inactive",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "account_confirm_email",
    "account_email_verification_sent",
    "single_sign_on_login",
    "single_sign_on_callback",
    "single_sign_on_logout",
    "socialaccount_login_cancelled",
}


def walk(patterns, prefix: str = "", namespace: str = "") -> Iterator[tuple[str, str, object]]:
    """Yield (regular expression or route, name, view) of every URL pattern."""
    for pattern in patterns:
        where = prefix + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLPattern):
            name = f"{namespace}:{pattern.name}" if namespace else pattern.name or ""
            yield where, name, pattern.callback
        else:
            inner = ":".join(filter(None, (namespace, pattern.namespace)))
            yield from walk(pattern.url_patterns, where, inner)


ROUTES = list(walk(get_resolver().url_patterns))
API_ROUTES = [route for route in ROUTES if issubclass(getattr(route[2], "cls", object), Dialect)]


def methods_of(view) -> list[str]:
    """Return the methods that a REST framework view answers, but for HEAD."""
    names = set(view.cls.http_method_names) - {"head"}
    if hasattr(view, "actions"):
        return sorted(names & set(view.actions))
    return sorted(name for name in names if name in vars(view.cls) or _handles(view, name))


def _handles(view, method: str) -> bool:
    return any(method in vars(each) for each in view.cls.__mro__ if issubclass(each, Dialect))


def path_of(where: str, values: dict[str, object]) -> str:
    """Return a path of a route: its parameters filled in."""
    where = where.removesuffix(r"/?\Z")
    where = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda match: str(values[match[1]]), where)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(values[match[1]]), where)


@contextmanager
def undone():
    """Undo afterwards what was written inside."""

    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def people(owner, admin, developer, viewer, stranger, staff, other):
    """The cast by name."""
    return {
        "anonymous": None, "viewer": viewer, "developer": developer, "admin": admin,
        "owner": owner, "stranger": stranger, "staff": staff,
    }  # fmt: skip


@pytest.fixture
def target(acme, owner, developer, viewer) -> dict[str, object]:
    """What the rows are about, by the names of path parameters."""
    key = services.issue_key(
        actor=developer,
        organization=acme,
        name="Target",
        scopes=["READ"],
        allowed_ips=["192.0.2.1"],
    )
    key = services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
    services.create_scope(actor=owner, organization=acme, code="orders:read")
    role = services.create_role(actor=owner, organization=acme, name="clerk")
    address = services.add_server_address(actor=owner, organization=acme, network="192.0.2.9")
    workspace = services.create_workspace(actor=owner, organization=acme, name="Lab")
    [invitation] = services.invite(
        actor=owner, organization=acme, emails=["newcomer@acme.example"], role=role
    )
    asked = ApprovalRequest.objects.create(
        organization=acme, requester=developer, kind="issue", reason="For the night run.",
        terms={"name": "Wanted", "scopes": ["READ"]}, ends_at=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    return {
        "key_id": key.pk, "identifier": key.identifier, "hash": key.hash, "appname": key.slug,
        "user_id": developer.pk, "apiKeyId": key.pk,
        "allowed_ip_id": key.allowed_ips.get().pk, "allowed_ip": key.allowed_ips.get().pk,
        "apiKeyWhitelistId": key.allowed_ips.get().pk,
        "secret_id": key.secrets.last().pk, "secret": key.secrets.last().pk,
        "organization_id": acme.pk, "organization": "acme",
        "server_address_id": address.pk, "workspace_id": workspace.pk,
        "scope_id": acme.scopes.get().pk, "role_id": role.pk,
        "member_id": acme.memberships.get(user=viewer).pk,
        "check": "never_expires",
        **_told_of(owner, acme, key),
        "invitation_id": invitation.pk, "token": "nothing", "session_id": 0,
        "approval_id": asked.pk, "approval_request_id": asked.pk,
        "audit_event_id": acme.audit_events.first().pk,
    }  # fmt: skip


def _told_of(owner, acme, key) -> dict[str, object]:
    """A webhook with a message that arrived, and a report that the key was found."""
    webhook, _secret = services.create_webhook(
        actor=owner, organization=acme, url="https://example.com/"
    )
    delivery = services.test_webhook(actor=owner, webhook=webhook)
    type(delivery).objects.filter(pk=delivery.pk).update(state="delivered")
    report = acme.leak_reports.create(
        key=key, label=key.label, reported_at=timezone.now(), action="notify"
    )
    return {"webhook_id": webhook.pk, "delivery_id": delivery.pk, "report_id": report.pk,
            "scanner": "gitleaks"}  # fmt: skip


@pytest.fixture
def secrets(people, acme, other) -> dict[str, str]:
    """A key of each person that follows their role."""
    return {
        name: _issue_in_role(person, other if name == "stranger" else acme).secret
        for name, person in people.items()
        if person is not None and not person.is_staff
    }


def _issue_in_role(person, organization) -> APIKey:
    role = organization.memberships.get(user=person).role
    return services.issue_key(
        actor=person if role.name != "readonly" else policy.OPERATOR,
        organization=organization,
        name=f"{person}'s",
        owner=person,
        role=role,
    )


def statuses(row: str) -> dict[str, int]:
    return dict(zip(ACTORS, map(int, row.split()), strict=True))


# The API


def test_every_route_of_the_api_has_its_rows():
    """T19: a route that nobody thought about fails here."""
    served = {
        f"{method.upper()} {name}"
        for _where, name, view in API_ROUTES
        for method in methods_of(view)
        if name and "-prefixed:" not in name
    }
    assert served == set(API)


def test_what_is_mounted_under_a_prefix_is_what_is_at_the_root():
    def names(suffix: str) -> set[str]:
        return {
            name for _where, name, _view in API_ROUTES
            if name.partition(":")[0] in [dialect + suffix for dialect in DIALECTS]
        }  # fmt: skip

    assert {name.replace("-prefixed:", ":") for name in names("-prefixed")} == names("")


@pytest.mark.parametrize("actor", ACTORS)
def test_at_the_api_each_actor_gets_what_the_table_says(people, secrets, target, acme, actor):
    client = Client()
    if actor == "staff":
        client.force_login(people["staff"])
    own = people["stranger"].memberships.get().organization if actor == "stranger" else acme
    wrong = []
    for where, name, view in API_ROUTES:
        if name.partition(":")[0] not in DIALECTS:
            continue
        values = dict(target)
        if name == "i3d:whitelist-entry":
            values["pk"] = target["allowed_ip_id"]
        for method in methods_of(view):
            row, body = API[f"{method.upper()} {name}"]
            if body and "organization_id" in body:
                body = {**body, "organization_id": own.pk}
            with undone():
                response = client.generic(
                    method.upper(),
                    path_of(where, values),
                    json.dumps(body) if body is not None else "",
                    content_type="application/json",
                    headers=_credential(secrets.get(actor)),
                )
            expected = statuses(row)[actor]
            if response.status_code != expected:
                wrong.append((method, name, expected, response.status_code))
    assert wrong == []


def _credential(secret: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def test_every_view_of_the_api_declares_what_it_asks_for():
    """T19: by action, with a permission that exists; only these are for anyone."""
    for_anyone = {
        *("native:auth", "native:leaks"),
        *("netography:token", "netography:refresh", "netography:password"),
    }
    for _where, name, view in API_ROUTES:
        for method in methods_of(view):
            action = view.actions[method] if hasattr(view, "actions") else method
            declared = view.cls.permissions.get(action)
            assert declared, (name, action)
            if declared == ANYONE:
                assert not name or name.replace("-prefixed:", ":") in for_anyone
            elif declared != ANY_KEY:
                Permission(declared)


def test_there_is_one_authenticator_and_one_permission_class():
    """T32: a view of its own mind about who calls would be found here."""
    for _where, name, view in API_ROUTES:
        assert list(view.cls.permission_classes) == [PolicyPermission], name
        permissions = set(view.cls.permissions.values())
        expected = [] if permissions == {ANYONE} else [KeyAuthentication]
        assert list(view.cls.authentication_classes) == expected, name


@pytest.mark.django_db
def test_a_view_that_declares_nothing_is_refused(rf, manage_key):
    """T19: default deny, for a key that may do everything."""

    class Forgotten(MODULES[1].DIALECT):
        def get(self, request):
            raise AssertionError("reached")

    request = rf.get("/v1/forgotten", headers={"Authorization": f"Bearer {manage_key.secret}"})
    request.client_address = None
    assert Forgotten.as_view()(request).status_code == 403


# Pages


def test_every_page_has_its_rows():
    pages = {name for _where, name, _view in ROUTES if name.startswith("keys:")}
    assert pages == {row.partition(" ")[2] for row in PAGES}


@pytest.mark.parametrize("actor", ACTORS)
def test_on_pages_each_actor_gets_what_the_table_says(people, target, actor):
    places = {name: where for where, name, _view in ROUTES}
    client = Client()
    if people[actor]:
        client.force_login(people[actor])
    wrong = []
    for row, (expected, body) in PAGES.items():
        method, name = row.split()
        path = path_of(places[name], target)
        with undone():
            response = client.get(path) if method == "GET" else client.post(path, body)
        if response.status_code != statuses(expected)[actor]:
            wrong.append((row, statuses(expected)[actor], response.status_code))
        if actor == "anonymous" and name not in PUBLIC:
            assert response["Location"].startswith("/accounts/login/"), row
    assert wrong == []


def test_pages_refuse_other_methods(people, target):
    places = {name: where for where, name, _view in ROUTES}
    client = Client()
    client.force_login(people["owner"])
    for name in {row.partition(" ")[2] for row in PAGES}:
        known = {row.partition(" ")[0] for row in PAGES if row.partition(" ")[2] == name}
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - known:
            response = client.generic(method, path_of(places[name], target))
            assert response.status_code == 405, (method, name)


# What other packages bring


REST = [
    (where, name)
    for where, name, view in ROUTES
    if not name.startswith("keys:") and not issubclass(getattr(view, "cls", object), Dialect)
]
ANYTHING = {
    "object_id": "1", "content_type_id": "1", "id": "1", "button": "lock", "key": "x",
    "uidb36": "x", "pk": "1", "app_label": "keys", "url": "nothing", "report": "peppers",
}  # fmt: skip


def _concrete(where: str) -> str:
    return path_of(where.replace("^", "").replace("$", ""), ANYTHING)


@pytest.mark.django_db
@pytest.mark.parametrize(("where", "name"), REST)
def test_whoever_is_signed_out_goes_to_the_sign_in_page(client, where, name):
    """allauth, the admin and what comes with them: all but what PUBLIC lists."""
    response = client.get(_concrete(where))
    is_refused = response.status_code == 302 and "/login/" in response["Location"]
    if name in PUBLIC or where == "favicon.ico":
        assert not is_refused
        assert response.status_code < 500
    else:
        assert is_refused, (response.status_code, where)


@pytest.mark.parametrize("actor", ["viewer", "developer", "admin", "owner", "stranger"])
def test_nobody_but_staff_enters_the_admin(people, actor):
    client = Client()
    client.force_login(people[actor])
    for where, name in REST:
        if where.startswith("admin/") and name != "admin:logout":
            response = client.get(_concrete(where))
            assert response.status_code in (302, 403, 404), where
            if response.status_code == 302:
                assert not response["Location"].startswith("/admin/keys"), where


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/nothing", "/organizations", "/v4/account/apiKey", "/api/v2/keys"]
)
def test_what_is_nowhere_is_404_for_everybody(client, path):
    assert client.get(path).status_code == 404
