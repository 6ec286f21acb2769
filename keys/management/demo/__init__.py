"""The demo: two organizations with people, keys of every kind and state, and a past.

Everything in it is made by the services that the doors use, at moments of the last
year, so that dates, audit trail and use agree with each other. Only the use itself is
written in bulk: nobody waits for half a million verifications.
"""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from allauth.account.models import EmailAddress
from django.db import transaction
from django.utils import timezone

from keys import policy, services
from keys.management.demo import traffic
from keys.management.demo.cast import (
    ADMIN,
    DEVELOPER,
    FORMER,
    OWNER,
    PEOPLE,
    STAFF,
    STRANGER,
    VIEWER,
    acting_as,
    clock_at,
)
from keys.management.demo.keys import DemoKey, acme_keys, other_keys
from keys.models import APIKey, AuditEvent, Message, Organization, Role, Scope, User
from keys.rules import RoleTerms
from keys.services import audit

# The audit event by which a database is known to hold the demo.
MARK = "demo.created"

SAMPLE_KEY_NAME = "Quickstart"

# Days ago, when it all began.
_BEGIN = 400


def holds_demo() -> bool:
    """Say whether the database holds the demo."""
    return AuditEvent.objects.filter(action=MARK).exists()


def holds_anything() -> bool:
    """Say whether the database holds any person or organization."""
    return User.objects.exists() or Organization.objects.exists()


def create(password: str) -> str:
    """Fill an empty database, all or nothing, and return the secret of the sample key.

    Everybody in the demo signs in with this password.
    """
    now = timezone.now()
    # The same use in every demo; there is nothing to guess.
    chance = random.Random(2026)  # noqa: S311
    with transaction.atomic():
        with clock_at(now - timedelta(days=_BEGIN)):
            _create_people(password)
            acme, other = _create_organizations()
            audit.record(actor=policy.OPERATOR, action=MARK, obj=acme, organization=acme)
        # Days ago, what happened beside the life of keys.
        events = [(0.9, partial(_set_policy, acme)), (0.2, partial(_ask_for_a_key, acme, now))]
        _live_through([*acme_keys(acme, now), *other_keys(other)], events, now, chance)
        key = issue_sample_key()
        # Of what happened in the past nobody is told today.
        Message.objects.all().delete()
        return key


def issue_sample_key() -> str:
    """Issue the key that a newcomer tries first, and return its secret."""
    with acting_as(OWNER) as owner:
        return services.issue_key(
            actor=owner,
            organization=Organization.objects.get(slug="acme"),
            name=SAMPLE_KEY_NAME,
            role=Role.objects.get(organization=None, name="admin"),
            description="Printed by the quickstart command, for first steps with the API.",
        ).secret


def reset_passwords(password: str) -> None:
    """Let everybody in the demo sign in with this password."""
    for person in User.objects.filter(email__in=[*PEOPLE, STAFF]):
        person.set_password(password)
        person.save(update_fields=["password"])


def _create_people(password: str) -> None:
    people = [
        User.objects.create_user(email, password, first_name=first, last_name=last)
        for email, (first, last) in PEOPLE.items()
    ]
    people.append(User.objects.create_superuser(STAFF, password, first_name="Sasha"))
    people.append(User.objects.create_user(FORMER, first_name="Farah", last_name="Bennani"))
    EmailAddress.objects.bulk_create(
        EmailAddress(user=person, email=person.email, verified=True, primary=True)
        for person in people
    )


def _create_organizations() -> tuple[Organization, Organization]:
    acme, other = (
        services.create_organization(
            actor=policy.OPERATOR, name=name, slug=slug, owner=User.objects.get(email=email)
        )
        for name, slug, email in (
            ("Acme Logistics", "acme", OWNER),
            ("Other Freight", "other", STRANGER),
        )
    )
    roles = {role.name: role for role in Role.objects.filter(organization=None)}
    with acting_as(OWNER) as owner:
        for email, role in (
            (ADMIN, "admin"),
            (DEVELOPER, "developer"),
            (VIEWER, "developer"),
            (FORMER, "developer"),
        ):
            services.add_member(
                actor=owner,
                organization=acme,
                user=User.objects.get(email=email),
                role=roles[role],
            )
        _furnish(acme, owner)
    with acting_as(STRANGER) as stranger:
        services.add_member(
            actor=stranger,
            organization=other,
            user=User.objects.get(email=ADMIN),
            role=roles["developer"],
        )
    return acme, other


def _furnish(acme: Organization, owner: User) -> None:
    """Give the organization workspaces, scopes, a role and servers of its own."""
    for name in ("Production", "Staging"):
        services.create_workspace(actor=owner, organization=acme, name=name)
    for code, description in (
        ("orders:read", "See orders."),
        ("orders:write", "Place and change orders."),
        ("invoices:read", "See invoices."),
        ("shipments:write", "Book shipments."),
    ):
        services.create_scope(actor=owner, organization=acme, code=code, description=description)
    services.create_role(
        actor=owner,
        organization=acme,
        name="partner",
        description="What companies that work with us may do.",
        scopes=Scope.objects.filter(code__in=["orders:read", "invoices:read"]),
    )
    for network, comment in (("203.0.113.16/28", "Shop floor"), ("2001:db8:5:7::/64", "Backup")):
        services.add_server_address(
            actor=owner, organization=acme, network=network, comment=comment
        )


def _set_policy(acme: Organization) -> None:
    """Let the organization demand something that one of its keys does not fit."""
    developer = Role.objects.get(organization=None, name="developer")
    with acting_as(OWNER) as owner:
        services.update_policy(
            actor=owner,
            organization=acme,
            confined_scopes=["shipments:write"],
            roles=[RoleTerms(developer, approval_scopes=frozenset({"DELETE"}))],
        )


def _ask_for_a_key(acme: Organization, now: datetime) -> None:
    with acting_as(DEVELOPER) as developer:
        services.request_key(
            actor=developer,
            organization=acme,
            reason="The sandbox fills up with keys of test runs; this one clears them at night.",
            name="Sandbox clean-up",
            scopes=["READ", "DELETE"],
            workspace=acme.workspaces.get(name="Staging"),
            expires_at=now + timedelta(days=90),
        )


def _live_through(
    plans: list[DemoKey],
    events: Sequence[tuple[float, Callable[[], Any]]],
    now: datetime,
    chance: random.Random,
) -> None:
    """Let everything planned happen in its order, then write the use of the keys."""
    keys: dict[str, APIKey] = {}

    def issue(plan: DemoKey) -> None:
        keys[plan.name] = _issue(plan)

    def change(plan: DemoKey, act: Callable[[APIKey], Any]) -> None:
        act(keys[plan.name])

    moments: list[tuple[float, Callable[[], Any]]] = []
    for plan in plans:
        moments.append((plan.age, partial(issue, plan)))
        moments.extend((days, partial(change, plan, act)) for days, act in plan.later)
    # Nobody works at the same minute of every day.
    dated = [
        (now - timedelta(days=days, minutes=chance.randrange(1, 90)), happen)
        for days, happen in moments
    ]
    dated.extend((now - timedelta(days=days), happen) for days, happen in events)
    for moment, happen in sorted(dated, key=lambda each: each[0]):
        with clock_at(moment):
            happen()
    used = [(keys[plan.name], plan.traffic, plan.age) for plan in plans if plan.traffic]
    traffic.write(used, now, chance)


def _issue(plan: DemoKey) -> APIKey:
    with acting_as(plan.issuer) as issuer:
        return services.issue_key(
            actor=issuer, organization=plan.organization, name=plan.name, **plan.grant
        )
