"""The reports: what each answers across organizations, and the rows that answer it.

They read what they are about to its end, so each is a page of its own that somebody asks for.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Case, Count, Exists, Max, OuterRef, Q, Sum, When
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import policy, secrets
from keys.admin import rows
from keys.foreign import WRAPPED
from keys.models import APIKey, KeySecret, Membership, Organization, UsageBucket, User
from keys.models.keys import Status
from keys.verification import Code

Text = str | Promise
Row = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """One report: its columns by the keys of its rows, the first one linked to a row's `url`."""

    title: Text
    about: Text
    columns: dict[str, Text]
    # Yields the rows in the order in which they matter.
    find: Callable[[User, datetime], Iterable[Row]]
    # What it means when there are none.
    none: Text


def keys_by_organization(actor: User, now: datetime) -> Iterator[Row]:
    """How many keys of each status an organization has, the largest first."""
    keys = policy.visible(actor, APIKey.objects.order_by())
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for status in Status:
        with_status = keys.with_status(status, now).values_list("organization")
        for organization, number in with_status.annotate(number=Count("pk")):
            counts[organization][status.value] = number
    organizations = policy.visible(actor, Organization.objects.all())
    for each in sorted(organizations, key=lambda each: (-counts[each.pk].total(), each.name)):
        yield {
            "organization": each.name,
            "total": counts[each.pk].total(),
            **{status.value: counts[each.pk][status.value] for status in Status},
            "url": _address("organization", each.pk),
        }


def oldest_secrets(actor: User, now: datetime) -> Iterator[Row]:
    """The secrets that live keys present today, the oldest first."""
    secrets_in_use = policy.visible(actor, KeySecret.objects.order_by("pk")).filter(
        key__revoked_at=None, revoked_at=None, superseded_at=None
    )
    for secret in secrets_in_use.select_related("key__organization").iterator():
        yield {
            **_describe_key(secret.key),
            "label": secret.label,
            "created_at": secret.created_at,
            "age": (now - secret.created_at).days,
            "last_used_at": secret.last_used_at,
        }


def never_expiring(actor: User, now: datetime) -> Iterator[Row]:
    """The live keys that nothing but people will end, the oldest first."""
    keys = policy.visible(actor, APIKey.objects.live().filter(expires_at=None)).order_by("pk")
    for key in keys.select_related("organization", "owner", "totals").iterator():
        yield {
            **_describe_key(key),
            "owner": str(key.owner) if key.owner else "",
            "created_at": key.created_at,
            "last_used_at": key.totals.last_used_at,
        }


def most_refused(actor: User, now: datetime) -> Iterator[Row]:
    """The keys that were refused in the last seven days, the most refused first."""
    is_refused = ~Q(outcome=Code.VALID)
    buckets = UsageBucket.objects.filter(hour__gt=now - timedelta(days=7)).order_by()
    counted = (
        policy.visible(actor, buckets)
        .values("key", "key__name", "key__organization__name")
        .annotate(
            refused=Sum("requests", filter=is_refused, default=0),
            accepted=Sum("requests", filter=~is_refused, default=0),
            last_hour=Max("hour", filter=is_refused),
        )
        .filter(refused__gt=0)
        .order_by("-refused", "key")
    )
    for row in counted.iterator():
        yield {
            "key": row["key__name"],
            "organization": row["key__organization__name"],
            "refused": row["refused"],
            "accepted": row["accepted"],
            "last_hour": row["last_hour"],
            "url": _address("apikey", row["key"]),
        }


def without_second_factor(actor: User, now: datetime) -> Iterator[Row]:
    """The people whose password alone lets somebody in, staff and owners first."""
    owned = Membership.objects.filter(user=OuterRef("pk"), is_owner=True)
    people = rows.without_second_factor(rows.visible_people(actor)).annotate(
        is_owner=Exists(policy.visible(actor, owned))
    )
    may_see_accounts = actor.has_perm("keys.view_user")
    for person in people.order_by("-is_staff", "-is_owner", "email").iterator():
        yield {
            "person": person.email,
            "is_staff": _yes(person.is_staff),
            "is_owner": _yes(person.is_owner),
            "last_login": person.last_login,
            "url": _address("user", person.pk) if may_see_accounts else "",
        }


def one_owner(actor: User, now: datetime) -> Iterator[Row]:
    """The organizations that nobody can manage any more once their one owner leaves."""
    organizations = rows.with_one_owner(policy.visible(actor, Organization.objects.all()))
    owners = {
        each.organization_id: each.user.email
        for each in policy.visible(actor, Membership.objects.filter(is_owner=True)).select_related(
            "user"
        )
    }
    for organization in organizations.order_by("name").iterator():
        yield {
            "organization": organization.name,
            "slug": organization.slug,
            "owner": owners.get(organization.pk, ""),
            "created_at": organization.created_at,
            "url": _address("organization", organization.pk),
        }


def peppers(actor: User, now: datetime) -> Iterator[Row]:
    """How many secrets lie under each pepper, the newest first: which one can be retired."""
    in_use = Q(revoked_at=None, key__revoked_at=None) & (Q(retires_at=None) | Q(retires_at__gt=now))
    # What another system made lies, until its first use, under that of the import.
    under = Case(When(pepper_id=WRAPPED, then="imported__pepper_id"), default="pepper_id")
    counted = {
        row["under"]: row
        for row in policy.visible(actor, KeySecret.objects.order_by())
        .values(under=under)
        .annotate(
            total=Count("pk"),
            usable=Count("pk", filter=in_use),
            last_used_at=Max("last_used_at"),
        )
    }
    newest, _pepper = secrets.current_pepper(settings.KEY_PEPPERS)
    for number in sorted(counted.keys() | settings.KEY_PEPPERS.keys(), reverse=True):
        row = counted.get(number, {"total": 0, "usable": 0, "last_used_at": None})
        yield {
            "pepper": number,
            "usable": row["usable"],
            "total": row["total"],
            "last_used_at": row["last_used_at"],
            "advice": _advise(number, newest, row["usable"]),
            "url": "",
        }


def _advise(number: int, newest: int, usable: int) -> str:
    if number not in settings.KEY_PEPPERS:
        return _("Missing from KEY_PEPPERS: none of these secrets works.") if usable else _("Gone.")
    if number == newest:
        return _("In use for new secrets.")
    if usable:
        return _("Keep it: secrets depend on it.")
    return _("Nothing depends on it: take it out of KEY_PEPPERS.")


def _describe_key(key: APIKey) -> Row:
    return {
        "key": key.name,
        "organization": key.organization.name,
        "url": _address("apikey", key.pk),
    }


def _address(model: str, pk: int) -> str:
    return reverse(f"admin:keys_{model}_change", args=[pk])


def _yes(value: bool) -> str:
    return _("yes") if value else ""


_KEY = {"key": gettext_lazy("Key"), "organization": gettext_lazy("Organization")}
_LAST_USED = {"last_used_at": gettext_lazy("Last used")}

REPORTS = {
    "keys-by-organization": Report(
        title=gettext_lazy("Keys by organization and status"),
        about=gettext_lazy("How many keys each organization has, and what state they are in."),
        columns={
            "organization": gettext_lazy("Organization"),
            "total": gettext_lazy("All"),
            **{status.value: status.label for status in reversed(Status)},
        },
        find=keys_by_organization,
        none=gettext_lazy("There is no organization yet."),
    ),
    "oldest-secrets": Report(
        title=gettext_lazy("Oldest secrets"),
        about=gettext_lazy("Current secrets of live keys, the oldest first: due for rotation."),
        columns={
            **_KEY,
            "label": gettext_lazy("Label"),
            "created_at": gettext_lazy("Made"),
            "age": gettext_lazy("Age in days"),
            **_LAST_USED,
        },
        find=oldest_secrets,
        none=gettext_lazy("There is no live key yet."),
    ),
    "never-expiring": Report(
        title=gettext_lazy("Keys that never expire"),
        about=gettext_lazy("Live keys without an end, the oldest first."),
        columns={
            **_KEY,
            "owner": gettext_lazy("Owner"),
            "created_at": gettext_lazy("Issued"),
            **_LAST_USED,
        },
        find=never_expiring,
        none=gettext_lazy("Every live key expires some day."),
    ),
    "most-refused": Report(
        title=gettext_lazy("Most refused keys of 7 days"),
        about=gettext_lazy("Keys that were presented and refused, the most refused first."),
        columns={
            **_KEY,
            "refused": gettext_lazy("Refused"),
            "accepted": gettext_lazy("Accepted"),
            "last_hour": gettext_lazy("Last refused in the hour from"),
        },
        find=most_refused,
        none=gettext_lazy("No key was refused in the last 7 days."),
    ),
    "without-second-factor": Report(
        title=gettext_lazy("People without a second factor"),
        about=gettext_lazy(
            "Their password alone lets somebody in: no authenticator app, passkey or security key."
        ),
        columns={
            "person": gettext_lazy("Person"),
            "is_staff": gettext_lazy("Staff"),
            "is_owner": gettext_lazy("Owns an organization"),
            "last_login": gettext_lazy("Last signed in"),
        },
        find=without_second_factor,
        none=gettext_lazy("Everybody has a second factor."),
    ),
    "one-owner": Report(
        title=gettext_lazy("Organizations with one owner"),
        about=gettext_lazy("When that person leaves, nobody there can name another owner."),
        columns={
            "organization": gettext_lazy("Organization"),
            "slug": gettext_lazy("Short name"),
            "owner": gettext_lazy("Owner"),
            "created_at": gettext_lazy("Created"),
        },
        find=one_owner,
        none=gettext_lazy("Every organization has more than one owner."),
    ),
    "peppers": Report(
        title=gettext_lazy("Peppers in use"),
        about=gettext_lazy(
            "How many secrets depend on each pepper of KEY_PEPPERS, so that an old one can be "
            "retired."
        ),
        columns={
            "pepper": gettext_lazy("Pepper"),
            "usable": gettext_lazy("Secrets that work with it"),
            "total": gettext_lazy("Secrets in all"),
            **_LAST_USED,
            "advice": gettext_lazy("What to do"),
        },
        find=peppers,
        none="",
    ),
}
