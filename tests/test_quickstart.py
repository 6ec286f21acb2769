"""The newcomer's first command."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from keys import hygiene, policy, series, services, snapshots, trigrams
from keys.management import demo
from keys.models import (
    APIKey,
    AuditEvent,
    Decision,
    KeyUsage,
    Message,
    Organization,
    UsageBucket,
    User,
)
from keys.models.keys import Dialect, Status
from keys.models.usage import LimitReset
from keys.series import Range

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def var(tmp_path, settings):
    settings.VAR_DIR = tmp_path / "var"
    return settings.VAR_DIR


def start() -> str:
    """Run quickstart without serving and return what it printed."""
    out = StringIO()
    call_command("quickstart", "--no-serve", stdout=out)
    return out.getvalue()


def printed_access(out: str) -> tuple[str, str]:
    """Return the password and the key that quickstart printed."""
    password = out.split(f"{demo.OWNER} / ")[1].splitlines()[0]
    key = out.split("Bearer ")[1].split('"')[0]
    return password, key


@pytest.mark.django_db
def test_it_says_how_to_sign_in_with_a_key_that_works_and_says_it_again(var, client):
    out = start()

    password, key = printed_access(out)
    assert f"Sign in: http://127.0.0.1:8000/ as owner@acme.example / {password}\n" in out
    assert "for trying it out" in out
    assert "HTTPS=off PUBLIC_URL=http://127.0.0.1:8000 " in out
    assert "printed: here invitations" in out
    assert "by the worker notices" in out
    assert User.objects.get(email=demo.OWNER).check_password(password)
    assert services.verify_key(secret=key, address=None).is_valid
    client.post("/accounts/login/", {"login": demo.OWNER, "password": password})
    assert client.session["_auth_user_id"] == str(User.objects.get(email=demo.OWNER).pk)

    # A second start prints the same and adds nothing.
    counts = APIKey.objects.count(), AuditEvent.objects.count(), UsageBucket.objects.count()
    assert printed_access(start()) == (password, key)
    assert counts == (
        APIKey.objects.count(),
        AuditEvent.objects.count(),
        UsageBucket.objects.count(),
    )


@pytest.mark.django_db
def test_tables_that_searching_needs_are_not_taken_for_somebody_elses():
    there = set(connection.introspection.table_names())
    known = {"django_migrations", *connection.introspection.django_table_names()}
    assert there - known <= trigrams.tables()


@pytest.mark.wide
@pytest.mark.django_db
def test_a_revoked_sample_key_is_replaced_at_the_next_start(var):
    _, key = printed_access(start())
    services.revoke_key(actor=policy.OPERATOR, key=snapshots.find_secret(key).key)

    _, replacement = printed_access(start())
    assert replacement != key
    assert services.verify_key(secret=replacement, address=None).is_valid


@pytest.mark.wide
@pytest.mark.django_db
def test_a_lost_password_is_replaced_and_a_chosen_one_is_not_printed(var):
    start()
    (var / "demo.json").unlink()

    password, _ = printed_access(start())
    owner = User.objects.get(email=demo.OWNER)
    assert owner.check_password(password)

    owner.set_password("something that I chose")
    owner.save()
    assert printed_access(start())[0] == "(the password that you chose)"


@pytest.mark.wide
@pytest.mark.django_db
def test_what_it_keeps_is_readable_by_its_owner_alone(var):
    start()

    assert stat.S_IMODE((var / "demo.json").stat().st_mode) == 0o600


@pytest.mark.django_db
def test_it_refuses_a_database_with_anything_else(var):
    User.objects.create_user("somebody@example.com", "a password of theirs")

    with pytest.raises(CommandError, match="holds other data than the demo"):
        start()
    assert not Organization.objects.exists()
    assert not var.exists()


@pytest.mark.django_db
def test_the_demo_has_people_in_every_role_and_keys_of_every_state():
    demo.create("the password of this demo")

    acme = Organization.objects.get(slug="acme")
    roles = {member.user.email: str(member.role) for member in acme.memberships.all()}
    assert roles == {
        "owner@acme.example": "admin",
        "admin@acme.example": "admin",
        "developer@acme.example": "developer",
        "viewer@acme.example": "readonly",
    }
    assert Organization.objects.get(members__email="stranger@other.example").slug == "other"
    assert User.objects.get(email=demo.STAFF).is_staff

    now = timezone.now()
    keys = APIKey.objects.with_details().filter(organization=acme)
    assert {key.status for key in keys} == set(Status)
    assert {key.dialect for key in keys} == set(Dialect)
    assert keys.filter(totals__last_used_at=None).exists()
    assert keys.filter(allowed_ips__deny=True).exists()
    assert keys.filter(secrets__retires_at__gt=now).exists()
    assert keys.filter(role__organization__isnull=False).exists()
    assert keys.expiring_soon(now).exists()
    left = {key.remaining_at(now) for key in keys if key.limit}
    assert 0 in left
    assert any(left)


@pytest.mark.wide
@pytest.mark.django_db
def test_the_demos_numbers_and_dates_agree_with_each_other():
    demo.create("the password of this demo")

    now = timezone.now()
    for total in KeyUsage.objects.select_related("key"):
        hours = UsageBucket.objects.filter(key=total.key)
        accepted = hours.filter(outcome="VALID").aggregate(n=Sum("requests"), cost=Sum("cost"))
        refused = hours.exclude(outcome="VALID").aggregate(n=Sum("requests"))
        assert total.requests == (accepted["n"] or 0)
        assert total.refused == (refused["n"] or 0)
        assert total.cost == (accepted["cost"] or 0)
        if total.key.limit is not None:
            period = LimitReset.period_start(total.key.limit_reset, now)
            assert total.spent_in(period) <= total.key.limit
    assert not UsageBucket.objects.filter(hour__gt=now).exists()
    moments = list(AuditEvent.objects.order_by("id").values_list("at", flat=True))
    assert moments == sorted(moments)
    assert moments[-1] <= now
    assert not Message.objects.exists()


@pytest.mark.wide
@pytest.mark.django_db
def test_the_demo_has_something_for_every_page():
    demo.create("the password of this demo")

    now = timezone.now()
    acme = Organization.objects.get(slug="acme")
    found = hygiene.counts(acme.api_keys.all(), organization=acme, now=now)
    # Nobody handed a key in.
    assert {check for check, count in found.items() if not count} == {"found"}
    admin = User.objects.get(email=demo.ADMIN)
    assert {each.slug for each in admin.organizations.all()} == {"acme", "other"}
    for span in Range:
        slots = series.outcomes(actor=admin, keys=acme.api_keys.all(), span=span, now=now)
        assert sum(slot.accepted for slot in slots), span
    rotated = acme.api_keys.get(name="Warehouse scanners")
    curves = series.by_secret(actor=admin, key=rotated, now=now)
    assert [sum(slot.accepted for slot in slots) > 0 for _secret, slots in curves] == [True, True]
    assert all(secret.last_used_at for secret, _slots in curves)
    assert acme.api_keys.exclude(lock_reason="").get().locked_at


@pytest.mark.wide
@pytest.mark.django_db
def test_the_demos_decisions_are_the_latest_of_its_requests():
    demo.create("the password of this demo")

    rows = list(Decision.objects.order_by("pk"))
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    assert rows[-1].at <= timezone.now()
    for row in rows:
        hour = row.at.replace(minute=0, second=0, microsecond=0)
        assert row.secret.usage_buckets.filter(hour=hour, outcome=row.outcome).exists()
        assert bool(row.path) == (row.door == "api")
    assert {row.door for row in rows} == {"api", "auth", "verify"}
    # Which of the refusals are among the latest depends on the hour.
    outcomes = {row.outcome for row in rows}
    assert "VALID" in outcomes
    assert len(outcomes) > 3


@pytest.mark.wide
@pytest.mark.django_db
def test_the_demos_keys_were_last_used_when_their_latest_request_was_let_through():
    demo.create("the password of this demo")

    accepted = Decision.objects.filter(outcome="VALID").order_by("at")
    shown = 0
    for key in APIKey.objects.with_details():
        last = accepted.filter(key=key).last()
        if last is None:
            continue
        shown += 1
        assert (key.totals.last_used_at, key.totals.last_address) == (last.at, last.address)
        assert last.secret.last_used_at == last.at
        assert all(use.last_used_at == last.at for use in key.scope_uses.all())
    assert shown > 5


def test_a_port_in_use_gives_one_clear_line(var):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError) as refused:
            call_command("quickstart", "--port", str(port), stdout=StringIO())
    assert f"Port {port} cannot be used" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("port", ["0", "70000", "http"])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(CommandError, match="--port"):
        call_command("quickstart", "--port", port)


def test_from_an_empty_folder_it_serves_until_interrupted(tmp_path):
    """A real process: secrets are generated, the first page answers, Ctrl-C ends it."""
    for name in ("keys", "templates", "static"):
        (tmp_path / name).symlink_to(ROOT / name)
    # Copied, since Python and settings look beside the file that a link leads to.
    shutil.copy(ROOT / "manage.py", tmp_path)
    shutil.copytree(ROOT / "portal", tmp_path / "portal")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(tmp_path / "manage.py"), "quickstart", "--port", str(port)]
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(  # noqa: S603
            command,
            # Started from somewhere else.
            cwd=tmp_path.parent,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        page = _wait_for(f"http://127.0.0.1:{port}/accounts/login/", process)
        assert "<form" in page
        # Ctrl-C in a terminal reaches the server and its worker.
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=15) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    printed = (tmp_path / "out").read_text()
    # Links of mails lead to where it serves.
    assert f"PUBLIC_URL=http://127.0.0.1:{port} " in printed
    assert f"Sign in: http://127.0.0.1:{port}/ as owner@acme.example / " in printed
    assert "Traceback" not in printed
    for name in ("secret_key", "key_peppers", "demo.json"):
        assert stat.S_IMODE((tmp_path / "var" / name).stat().st_mode) == 0o600
    assert json.loads((tmp_path / "var" / "demo.json").read_text())["key"] in printed


def _wait_for(address: str, process: subprocess.Popen) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310
                return response.read().decode()
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} never answered.")
