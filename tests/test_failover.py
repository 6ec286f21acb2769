"""The primary database is killed in the middle of a run, and its standby takes over.

The cluster is the test's own. Two hosts write and judge on it; what they said was done is
there afterwards, and they find the new primary by themselves.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
from itertools import count

import pytest

from tests import clusters
from tests.hosts import ACCEPTED, REFUSED, Host, serving, wait_until
from tests.servers import ROOT, portal_settings

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.xdist_group("clusters"),
    pytest.mark.skipif(clusters.binaries() is None, reason="PostgreSQL's programs are not here."),
]

# Makes the tables; issues a key that manages, and one to be judged.
SEED = """
import json
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from keys import services
from keys.models import User
from keys.policy import OPERATOR
owner = User.objects.create_user("owner@acme.example", "not to sign in with")
acme = services.create_organization(actor=OPERATOR, name="Acme", slug="acme", owner=owner)
def issue(*scopes):
    return services.issue_key(
        actor=OPERATOR, organization=acme, owner=None, name="Key", scopes=scopes
    )
manager, judged, revoked = issue("READ", "CREATE", "DELETE", "MANAGE"), issue("READ"), issue("READ")
print(json.dumps({
    "organization": acme.pk,
    "manager": manager.secret,
    "judged": judged.secret, "judged_id": judged.pk,
    "revoked": revoked.secret, "revoked_id": revoked.pk,
}))
"""


class Client:
    """Issues keys, one after the other, and remembers those that were acknowledged."""

    def __init__(self, host: Host, seeded: dict) -> None:
        self.host = host
        self.seeded = seeded
        self.acknowledged: list[int] = []
        self.verified = 0
        self.failures = 0
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=work) for work in (self._issue, self._verify)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def _issue(self) -> None:
        for number in count():
            if self.is_over.wait(0.01):
                return
            body = {
                "key_name": f"Key {number}",
                "key_scope": ["READ"],
                "organization_id": self.seeded["organization"],
            }
            try:
                answer = call(self.host, "POST", "/v1/api-keys", self.seeded["manager"], body)
            except (OSError, http.client.HTTPException):
                answer = None
            if answer is None or answer[0] != 201:
                self.failures += 1
            else:
                self.acknowledged.append(answer[1]["id"])

    def _verify(self) -> None:
        while not self.is_over.wait(0.005):
            try:
                self.verified += self.host.asks(self.seeded["judged"]) == ACCEPTED
            except (OSError, http.client.HTTPException):
                self.failures += 1


def call(host: Host, method: str, path: str, secret: str, body: dict | None = None):
    """Return status and body of one call of a host's API."""
    connection = http.client.HTTPConnection(host.address, host.port, timeout=30)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()


def seed(url: str, directory) -> dict:
    """Fill an empty database."""
    return json.loads(run(SEED, portal_settings(directory, DATABASE_URL=url)))


def test_no_acknowledged_write_is_lost_when_the_primary_dies(tmp_path):
    with clusters.primary() as first, clusters.standby_of(first) as second:
        first.execute("CREATE DATABASE keyhaven")
        seeded = seed(first.url("keyhaven"), tmp_path)
        both = (
            f"postgres://postgres@127.0.0.1:{first.port},127.0.0.1:{second.port}/keyhaven"
            "?target_session_attrs=read-write"
        )
        with (
            serving(tmp_path / "a", database=both) as one,
            serving(tmp_path / "b", database=both) as other,
        ):
            assert one.asks(seeded["judged"]) == ACCEPTED
            assert other.asks(seeded["revoked"]) == ACCEPTED
            client = Client(one, seeded)
            wait_until(lambda: len(client.acknowledged) > 20, seconds=60)
            path = f"/v1/api-keys/{seeded['revoked_id']}?confirm=true"
            status, told = call(one, "DELETE", path, seeded["manager"])
            assert (status, len(told["confirmed"]), told["missing"]) == (200, 2, [])

            first.kill()
            before = len(client.acknowledged)
            time.sleep(1.5)
            second.promote()
            promoted_at = time.monotonic()
            wait_until(lambda: len(client.acknowledged) > before, seconds=60)
            print(f"writing again {time.monotonic() - promoted_at:.1f} s after the promotion")  # noqa: T201
            wait_until(lambda: len(client.acknowledged) > before + 20, seconds=60)
            wait_until(lambda: other.asks(seeded["judged"]) == ACCEPTED, seconds=60)
            client.stop()
            assert other.asks(seeded["revoked"]) in REFUSED
            assert one.asks(seeded["revoked"]) in REFUSED

            rows = read(second, "SELECT id FROM keys_apikey")
            assert set(client.acknowledged) <= {pk for (pk,) in rows}
            # Each use that was answered is counted, also those of the time between.
            expected = client.verified
            wait_until(lambda: uses(second, seeded["judged_id"]) >= expected, seconds=60)
            assert uses(second, seeded["judged_id"]) <= expected + 5


READ = """
import django
django.setup()
from django.db import connections, router
from keys import standby
from keys.models import Organization
def find():
    with connections[router.db_for_read(Organization)].cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), slug FROM keys_organization")
        yield from cursor.fetchall()
print(*standby.rows(find))
"""


def test_reports_are_read_from_the_standby_and_without_it_from_the_primary(tmp_path):
    with clusters.primary() as first, clusters.standby_of(first) as second:
        first.execute("CREATE DATABASE keyhaven")
        seed(first.url("keyhaven"), tmp_path)
        settings = portal_settings(
            tmp_path,
            DATABASE_URL=first.url("keyhaven"),
            DATABASE_REPLICA_URL=second.url("keyhaven"),
        )
        assert run(READ, settings) == "(True, 'acme')"
        second.kill()
        assert run(READ, settings) == "(False, 'acme')"


def run(program: str, settings: dict[str, str]) -> str:
    """Return the last line that a program says."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=settings,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def read(server: clusters.Server, statement: str) -> list[tuple]:
    return server.execute(statement, database="keyhaven")


def uses(server: clusters.Server, key_id: int) -> int:
    rows = read(server, f"SELECT requests FROM keys_keyusage WHERE key_id = {int(key_id)}")  # noqa: S608
    return rows[0][0]
