"""A backup as the README says, restored into a new database: keys verify, the trail is whole."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from tests.servers import ROOT, portal_settings

pytestmark = pytest.mark.wide

POSTGRESQL = "postgres://postgres@127.0.0.1:5432"

CREATE = """
from keys import policy, services
from keys.models import User
owner = User.objects.create_user("owner@acme.example", None)
services.create_organization(actor=policy.OPERATOR, name="Acme", slug="acme", owner=owner)
"""
ASK = """
from keys import services
verdict = services.verify_key(secret={secret!r}, address=None)
print(verdict.code.value)
"""


def manage(env: dict[str, str], *arguments: str, code: int = 0) -> str:
    ended = subprocess.run(  # noqa: S603
        [sys.executable, ROOT / "manage.py", *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def issued_key(env: dict[str, str], name: str) -> str:
    options = ["--organization", "acme", "--name", name, "--role", "admin", "--json"]
    return json.loads(manage(env, "issue_key", *options))["secret"]


def prepared(directory: Path, database: str) -> dict[str, str]:
    directory.mkdir()
    return {**portal_settings(directory), "DATABASE_URL": database}


@contextmanager
def of_sqlite(directory: Path):
    old, new = directory / "old.sqlite3", directory / "new.sqlite3"
    if shutil.which("sqlite3") is None:
        pytest.skip("The program sqlite3 is not here.")

    def backup() -> None:
        subprocess.run(["sqlite3", old, f".backup {directory}/backup"], check=True)  # noqa: S603, S607

    def restore() -> None:
        shutil.copy(directory / "backup", new)

    yield f"sqlite:///{old}", f"sqlite:///{new}", backup, restore


@contextmanager
def of_postgresql(directory: Path):
    server = os.environ.get("DATABASE_URL", "").rpartition("/")[0]
    server = server if connection.vendor == "postgresql" else POSTGRESQL
    if shutil.which("pg_dump") is None:
        pytest.skip("PostgreSQL's programs are not here.")
    try:
        admin = psycopg.connect(f"{server}/postgres", autocommit=True, connect_timeout=2)
    except psycopg.OperationalError:
        pytest.skip("No PostgreSQL answers here.")
    names = [f"keyhaven_backup_{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        admin.execute(f"CREATE DATABASE {name}")
    old, new = (f"{server}/{name}" for name in names)
    file = directory / "keyhaven.dump"

    def backup() -> None:
        subprocess.run(["pg_dump", "--format=custom", f"--file={file}", old], check=True)  # noqa: S603, S607

    def restore() -> None:
        subprocess.run(["pg_restore", "--no-owner", f"--dbname={new}", file], check=True)  # noqa: S603, S607

    yield old, new, backup, restore
    for name in names:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    admin.close()


@pytest.fixture(params=[of_sqlite, of_postgresql], ids=["sqlite", "postgresql"])
def databases(request, tmp_path):
    """Addresses of a database and of a new one; what backs up the first, and restores it there."""
    with request.param(tmp_path) as found:
        yield found


def test_what_is_restored_judges_keys_and_knows_what_is_missing(databases, tmp_path):
    old_url, new_url, backup, restore = databases
    old = prepared(tmp_path / "old", old_url)
    manage(old, "migrate")
    manage(old, "shell", "-c", CREATE)
    kept = issued_key(old, "Kept")
    backup()
    kept_heads = tmp_path / "kept.jsonl"
    kept_heads.write_text(manage(old, "verify_audit", "--head"))
    lost = issued_key(old, "Lost")
    later_heads = tmp_path / "later.jsonl"
    later_heads.write_text(manage(old, "verify_audit", "--head"))

    restore()
    new = prepared(tmp_path / "new", new_url)
    manage(new, "migrate")
    manage(new, "forget_snapshots")
    told = manage(new, "verify_audit", "--expect", str(kept_heads))
    assert "acme: whole" in told
    assert "(installation): whole" in told
    # The secret works under the same peppers, the one issued since then is gone and told.
    assert manage(new, "shell", "-c", ASK.format(secret=kept)).strip().endswith("VALID")
    assert manage(new, "shell", "-c", ASK.format(secret=lost)).strip().endswith("NOT_FOUND")
    told = manage(new, "verify_audit", "--expect", str(later_heads), code=1)
    assert "is missing, which there was when the head was kept elsewhere" in told
