"""An organization with very many keys, written past the services: a benchmark's ground."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from random import Random

from keys.models import AllowedIP, APIKey, KeySecret, KeyUsage, Organization, UsageBucket, User
from keys.models.organizations import Role, Scope
from keys.policy import OPERATOR
from keys.services import create_organization
from keys.verification import Code

# So many keys are asked about all the time: they have a bucket for every hour of a month.
BUSY_KEYS = 200
HOURS = 24 * 30
_BATCH = 5_000


def populate(count: int, *, now: datetime) -> tuple[Organization, User]:
    """Make an organization with `count` keys and a month of use; return it and its owner.

    A tenth of the keys is confined to an address, a tenth is disabled, a tenth never
    expires, a third was never used. The same seed gives the same population.
    """
    owner = User.objects.create_user(f"owner{count}@bench.example", "x")
    organization = create_organization(
        actor=OPERATOR, name=f"{count} keys", slug=f"bench-{count}", owner=owner
    )
    _write(APIKey, _keys(organization, owner, count, now))
    keys = list(organization.api_keys.order_by("pk").values_list("pk", flat=True))
    _write(KeySecret, (_secret(pk, count) for pk in keys))
    secrets = dict(
        KeySecret.objects.filter(key__organization=organization).values_list("key", "pk")
    )
    random = Random(count)  # noqa: S311 - of figures, not of secrets
    _write(KeyUsage, (_usage(pk, random, now) for pk in keys))
    _write(AllowedIP, (AllowedIP(key_id=pk, network="192.0.2.1") for pk in keys[::10]))
    read = Scope.objects.get(organization=None, code="READ")
    listed = APIKey.scopes.through
    _write(listed, (listed(apikey_id=pk, scope_id=read.pk) for pk in keys))
    _write(UsageBucket, _buckets(secrets, random, now))
    return organization, owner


def _keys(organization: Organization, owner: User, count: int, now: datetime) -> Iterator[APIKey]:
    workspace = organization.workspaces.get()
    role = Role.objects.get(organization=None, name="readonly")
    for number in range(count):
        yield APIKey(
            organization=organization,
            workspace=workspace,
            owner=owner if number % 2 else None,
            role=role if number % 7 == 0 else None,
            name=f"Service {number}",
            slug=f"service-{number}",
            disabled=number % 10 == 3,
            expires_at=None if number % 10 == 5 else now + timedelta(days=number % 365, hours=1),
            limit=1000 if number % 4 == 0 else None,
            limit_reset="monthly" if number % 4 == 0 else None,
        )


def _secret(pk: int, count: int) -> KeySecret:
    return KeySecret(
        key_id=pk, digest=f"{count:032x}{pk:032x}", pepper_id=1, label=f"kh_{pk:04x}…{pk % 9973:04}"
    )


def _usage(pk: int, random: Random, now: datetime) -> KeyUsage:
    if random.random() < 1 / 3:
        return KeyUsage(key_id=pk)
    age = timedelta(minutes=random.randrange(60 * 24 * 120))
    return KeyUsage(key_id=pk, requests=random.randrange(10_000), last_used_at=now - age)


def _buckets(secrets: dict[int, int], random: Random, now: datetime) -> Iterator[UsageBucket]:
    hour = now.replace(minute=0, second=0, microsecond=0)
    for index, (key, secret) in enumerate(secrets.items()):
        ages = range(HOURS) if index < BUSY_KEYS else random.sample(range(HOURS), 3)
        for age in ages:
            yield UsageBucket(
                key_id=key,
                secret_id=secret,
                hour=hour - timedelta(hours=age),
                outcome=Code.FORBIDDEN_ADDRESS if age % 9 == 4 else Code.VALID,
                requests=random.randrange(1, 500),
            )


def _write(model, rows) -> None:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        model.objects.bulk_create(batch)
