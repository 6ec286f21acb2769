"""An organization with very many keys, written past the services: a benchmark's ground."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from django.db.models import Max

from keys import tallies
from keys.models import (
    AllowedIP,
    APIKey,
    AuditEvent,
    KeySecret,
    KeyUsage,
    Organization,
    ScopeUse,
    UsageBucket,
    User,
)
from keys.models.organizations import Role, Scope
from keys.models.usage import LimitReset
from keys.policy import OPERATOR
from keys.services import create_organization
from keys.verification import Code
from tests.benchmarks.writing import multiply, numbered

# So many keys are written one by one; more are copies of these.
WRITTEN = 1_000
# So many of them are asked about all the time: they have a bucket for every hour of a month.
BUSY_KEYS = 100
HOURS = 24 * 30
LIMIT = 1_000
# Keys were issued one after the other until now, over so long a time.
ISSUED_OVER = timedelta(days=400)
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def populate(count: int, *, now: datetime) -> tuple[Organization, User]:
    """Make an organization with `count` keys and a month of use; return it and its owner.

    A tenth of the keys is confined to an address, a tenth is disabled, a tenth never
    expires, a third was never used, a quarter has a limit; one in fifty holds a scope that it
    does not use, one in a hundred is revoked, one in a thousand locked, some have spent
    their limit, one in a thousand belongs to somebody who left. Above 1,000, `count` is a
    multiple of that.
    """
    owner = User.objects.create_user(f"owner{count}@bench.example", "x")
    gone = User.objects.create_user(f"gone{count}@bench.example", "x")
    organization = create_organization(
        actor=OPERATOR, name=f"{count} keys", slug=f"bench-{count}", owner=owner
    )
    copies = max(count // WRITTEN, 1)
    first = 1 + (APIKey.objects.aggregate(last=Max("pk"))["last"] or 0)
    numbers = range(min(count, WRITTEN))
    keys = [first + number * copies for number in numbers]
    random = Random(count)  # noqa: S311 - of figures, not of secrets
    APIKey.objects.bulk_create(_keys(organization, owner, keys, now))
    APIKey.objects.filter(pk__in=keys[19::1000]).update(owner=gone)
    # The date of a key is that of its writing, however it is written.
    for number, pk in enumerate(keys):
        issued = now - ISSUED_OVER * (1 - number / len(keys))
        APIKey.objects.filter(pk=pk).update(created_at=issued)
    KeySecret.objects.bulk_create(_secret(pk, random) for pk in keys)
    KeySecret.objects.filter(key__in=keys).update(created_at=now - timedelta(days=20))
    KeySecret.objects.filter(key__in=keys[: len(keys) // 10]).update(created_at=now - ISSUED_OVER)
    usage = [_usage(number, pk, random, now) for number, pk in enumerate(keys)]
    KeyUsage.objects.bulk_create(usage)
    AllowedIP.objects.bulk_create(AllowedIP(key_id=pk, network="192.0.2.1") for pk in keys[::10])
    read = Scope.objects.get(organization=None, code="READ")
    listed = APIKey.scopes.through
    listed.objects.bulk_create(listed(apikey_id=pk, scope_id=read.pk) for pk in keys)
    update = Scope.objects.get(organization=None, code="UPDATE")
    listed.objects.bulk_create(listed(apikey_id=pk, scope_id=update.pk) for pk in keys[9::50])
    ScopeUse.objects.bulk_create(
        ScopeUse(key_id=each.key_id, code="READ", last_used_at=each.last_used_at)
        for each in usage
        if each.last_used_at
    )
    AuditEvent.objects.bulk_create(_event(organization, owner, pk) for pk in keys)
    UsageBucket.objects.bulk_create(_buckets(keys, random, now), batch_size=5_000)
    if copies > 1:
        _multiply(organization, keys, copies - 1, busy=keys[min(BUSY_KEYS, len(keys)) - 1])
    tallies.recount(organization)
    return organization, owner


def _multiply(organization: Organization, keys: list[int], copies: int, *, busy: int) -> None:
    """Copy each of the keys with what belongs to it; of the busy ones, their first hours only."""
    written = f"IN ({', '.join(map(str, keys))})"
    of_key = {"key_id": "key_id + n"}
    multiply(
        APIKey,
        copies,
        {
            "id": "id + n",
            "identifier": numbered("identifier", 16, 8),
            "hash": numbered("hash", 56, 8),
            # Numbered all over, as the keys of people are: who looks for one finds it anywhere.
            "name": f"'Service ' || ((id + n) * 7919 % {len(keys) * copies})",
            "slug": "slug || '-' || n",
        },
        f"id {written}",
    )
    # Secrets get numbers that tell whose copies they are, for the buckets to know.
    last = KeySecret.objects.aggregate(last=Max("pk"))["last"]
    multiply(
        KeySecret,
        copies,
        {
            **of_key,
            "id": f"{last} + (id * {copies}) + n",
            "digest": numbered("digest", 56, 8),
        },
        f"key_id {written}",
    )
    multiply(KeyUsage, copies, of_key, f"key_id {written}")
    multiply(AllowedIP, copies, of_key, f"key_id {written}")
    listed = APIKey.scopes.through
    multiply(listed, copies, {"apikey_id": "apikey_id + n"}, f"apikey_id {written}")
    multiply(ScopeUse, copies, of_key, f"key_id {written}")
    # As the release before wrote them: not chained, which numbers the events of the organization.
    unchained = f"organization_id = {organization.pk} AND sequence IS NULL"
    multiply(AuditEvent, copies, {}, unchained)
    multiply(
        UsageBucket,
        copies,
        {**of_key, "secret_id": f"{last} + (secret_id * {copies}) + n"},
        f"key_id {written} AND key_id > {busy}",
    )
    # Buckets are numbered as time goes: those of the busy keys are the latest.
    buckets = list(UsageBucket.objects.filter(key__in=keys, key__lte=busy).order_by("hour"))
    UsageBucket.objects.filter(key__in=keys, key__lte=busy).delete()
    for each in buckets:
        each.pk = None
    UsageBucket.objects.bulk_create(buckets, batch_size=5_000)


def _keys(
    organization: Organization, owner: User, numbers: list[int], now: datetime
) -> Iterator[APIKey]:
    workspace = organization.workspaces.get()
    role = Role.objects.get(organization=None, name="readonly")
    for number, pk in enumerate(numbers):
        yield APIKey(
            pk=pk,
            organization=organization,
            workspace=workspace,
            owner=owner if number % 2 else None,
            role=role if number % 7 == 0 else None,
            name=f"Service {number}",
            slug=f"service-{number}",
            disabled=number % 10 == 3,
            locked_at=now if number % 1000 == 1 else None,
            revoked_at=now if number % 100 == 7 else None,
            expires_at=None
            if number % 10 == 5
            else now + timedelta(days=number % 365 - 10, hours=1),
            limit=LIMIT if number % 4 == 0 else None,
            limit_reset="monthly" if number % 4 == 0 else None,
        )


def _secret(pk: int, random: Random) -> KeySecret:
    ends = "".join(random.choices(_BASE62, k=6))
    return KeySecret(
        key_id=pk, digest=f"{pk:056x}{0:08}", pepper_id=1, label=f"kh_{ends[:3]}...{ends[3:]}"
    )


def _usage(number: int, pk: int, random: Random, now: datetime) -> KeyUsage:
    limit = LIMIT if number % 4 == 0 else None
    if random.random() < 1 / 3:
        return KeyUsage(key_id=pk, limit=limit)
    age = timedelta(minutes=random.randrange(60 * 24 * 120))
    usage = KeyUsage(
        key_id=pk, limit=limit, requests=random.randrange(10_000), last_used_at=now - age
    )
    if limit:
        usage.period_start = LimitReset.period_start(LimitReset.MONTHLY, now)
        usage.period_cost = LIMIT if number % 500 == 0 else random.randrange(LIMIT)
    return usage


def _event(organization: Organization, owner: User, pk: int) -> AuditEvent:
    return AuditEvent(
        organization=organization,
        action="apikey.issued",
        actor_user_id=owner.pk,
        actor_label=str(owner),
        object_type="apikey",
        object_id=str(pk),
        object_label="Service",
        door=AuditEvent.Door.API,
    )


def _buckets(keys: list[int], random: Random, now: datetime) -> Iterator[UsageBucket]:
    hour = now.replace(minute=0, second=0, microsecond=0)
    secrets = KeySecret.objects.filter(key__in=keys).order_by("key").values_list("key", "pk")
    for index, (key, secret) in enumerate(secrets):
        for age in range(HOURS) if index < BUSY_KEYS else [random.randrange(HOURS)]:
            yield UsageBucket(
                key_id=key,
                secret_id=secret,
                hour=hour - timedelta(hours=age),
                outcome=(Code.FORBIDDEN_ADDRESS if age % 9 == 4 else Code.VALID).value,
                requests=random.randrange(1, 500),
            )
