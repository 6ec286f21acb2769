"""What many keys at once cost: issuing them one by one, and the API's list of a hundred."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from keys import generations, services, usage
from keys.api.dialects.native.key_serializer import KeySerializer
from keys.models import APIKey, Organization, User
from keys.models.listing import with_lists
from tests.benchmarks.report import table

ISSUED = 100
LISTED = 100


class Plainest(serializers.ModelSerializer):
    """What REST framework makes of a key by itself."""

    class Meta:
        model = APIKey
        fields = "__all__"


def measure(organization: Organization, owner: User, rounds: int) -> str:
    """Return a table: keys issued in a second, and the list beside the plainest serializer.

    As in a server: uses are kept in a file, and changes of other hosts are heard of.
    """
    with TemporaryDirectory() as directory:
        usage.keep_journal(Path(directory))
        generations.trust_until(2**63 - 1)
        try:
            return _measure(organization, owner, rounds)
        finally:
            generations.trust_until(0)
            usage.drop_journal()


def _measure(organization: Organization, owner: User, rounds: int) -> str:
    secret = services.issue_key(
        actor=owner, organization=organization, name="Lister", owner=None, scopes=["MANAGE", "READ"]
    ).secret
    client = Client(SERVER_NAME="localhost", headers={"Authorization": f"Bearer {secret}"})

    def ours() -> None:
        response = client.get(f"/v1/api-keys?limit={LISTED}")
        if response.status_code != 200:
            raise SystemExit(f"The list answered {response.status_code}.")

    def serialized() -> None:
        keys = with_lists(organization.api_keys.live())[:LISTED]
        JSONRenderer().render(KeySerializer(keys, many=True).data)

    def plainest() -> None:
        keys = organization.api_keys.live().prefetch_related("scopes")[:LISTED]
        JSONRenderer().render(Plainest(keys, many=True).data)

    ours()
    with CaptureQueriesContext(connection) as asked:
        ours()
    queries = len(asked)
    works = (ours, serialized, plainest)
    times = [[_time(work) for work in works] for _round in range(rounds)]
    our_time, serialized_time, plain_time = (median(each) for each in zip(*times, strict=True))
    began = perf_counter()
    for number in range(ISSUED):
        services.issue_key(
            actor=owner, organization=organization, name=f"Issued {number}", scopes=["READ"]
        )
    issued = ISSUED / (perf_counter() - began)
    return table(
        ["what", "figure"],
        [
            ["keys issued by the service, a second", f"{issued:.0f}"],
            [f"GET of {LISTED} keys, ms", f"{our_time:.1f}"],
            ["… queries, the caller's included", str(queries)],
            ["its keys read and serialized, ms", f"{serialized_time:.1f}"],
            ["the plainest serializer of the same, ms", f"{plain_time:.1f}"],
            ["×, of serializing", f"{serialized_time / plain_time:.2f}"],
            ["×, of the whole call", f"{our_time / plain_time:.2f}"],
        ],
    )


def _time(work: Callable[[], None]) -> float:
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1000
