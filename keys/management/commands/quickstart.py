"""Run the portal with demo data, to try it out."""

import json
import os
import secrets
import socket
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from keys import snapshots, trigrams
from keys.management import demo
from keys.models import Organization, User
from keys.models.keys import Status

HOST = "127.0.0.1"


class Command(BaseCommand):
    """Migrates, fills an empty database with the demo once, says how to sign in, serves."""

    help = "Run the portal with demo data, to try it out. Not for real keys."
    # Migrating checks what matters here.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=_port, default=8000, help="where to serve (8000)")
        parser.add_argument(
            "--no-serve", action="store_true", help="prepare everything, then return"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        if not options["no_serve"]:
            _refuse_used_port(port)
        self.stdout.write(
            self.style.WARNING(
                "This is Keyhaven with demo data, for trying it out on this machine."
            )
        )
        try:
            _refuse_other_data()
            self._step("Preparing the database", _migrate)
            access = self._prepare_access()
        except DatabaseError as error:
            raise CommandError(f"The database refused: {' '.join(str(error).split())}") from None
        self._welcome(f"http://{HOST}:{port}/", access)
        self._name_worker(port)
        if not options["no_serve"]:
            self.stdout.flush()
            _serve(port)

    def _prepare_access(self) -> dict[str, str]:
        """Return the demo's password and sample key, made now or kept from an earlier start."""
        access = _read_access()
        if not demo.holds_demo():
            password = secrets.token_urlsafe(12)
            key = self._step(
                "Filling in two organizations and 30 days of use", lambda: demo.create(password)
            )
            access = {"password": password, "key": key}
        else:
            if "password" not in access:
                access["password"] = secrets.token_urlsafe(12)
                demo.reset_passwords(access["password"])
            if not _is_usable(access.get("key", "")):
                access["key"] = demo.issue_sample_key()
        _write_access(access)
        return access

    def _step(self, title: str, work: Callable[[], Any]) -> Any:
        self.stdout.write(f"{title} …", ending=" ")
        self.stdout.flush()
        started = monotonic()
        result = work()
        self.stdout.write(f"{monotonic() - started:.1f} s")
        return result

    def _welcome(self, address: str, access: dict[str, str]) -> None:
        owner = User.objects.get(email=demo.OWNER)
        if owner.check_password(access["password"]):
            password = access["password"]
        else:
            password = "(the password that you chose)"  # noqa: S105
        others = ", ".join(email for email in [*demo.PEOPLE, demo.STAFF] if email != demo.OWNER)
        self.stdout.write(
            f"""
{self.style.SUCCESS("Ready.")}

Sign in: {address} as {demo.OWNER} / {password}
Others with the same password: {others}

A key of acme, ready to use:
  {access["key"]}
  curl -H "Authorization: Bearer {access["key"]}" {address}v1/api-keys

Both are kept in {_access_file()}, which only you can read.
Delete {settings.VAR_DIR} to start afresh. The README says how to install for real use.
"""
        )

    def _name_worker(self, port: int) -> None:
        """Say how to start what sends mails and webhooks, with settings as this server has them."""
        program = Path(settings.BASE_DIR) / "manage.py"
        self.stdout.write(
            "Unless EMAIL_URL names a mail server, mails are printed: here invitations and mails "
            "about\naccounts, such as for a new password; by the worker notices about keys, "
            "approvals and members.\nIt sends webhooks, too; in another terminal:\n"
            f"  HTTPS=off PUBLIC_URL={_public_url(port)} {sys.executable} {program} work\n"
        )


def _migrate() -> None:
    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)


def _refuse_other_data() -> None:
    """Raise CommandError when the database holds anything that is not the demo.

    Asked before anything is written, also before migrating.
    """
    tables = set(connection.introspection.table_names())
    known = {"django_migrations", *connection.introspection.django_table_names()}
    known |= trigrams.tables()
    people, organizations = (model._meta.db_table for model in (User, Organization))
    is_other = bool(tables - known)
    if not is_other and {people, organizations} <= tables:
        is_other = demo.holds_anything() and not demo.holds_demo()
    if is_other:
        raise CommandError(
            "This database holds other data than the demo, and quickstart is only for trying "
            "out. Set DATABASE_URL to an empty one."
        )


def _refuse_used_port(port: int) -> None:
    with socket.socket() as probe:
        # As servers do, so that a port just left is not taken for one in use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}); choose another with --port."
            ) from None


def _public_url(port: int) -> str:
    return os.environ.get("PUBLIC_URL") or f"http://{HOST}:{port}"


def _serve(port: int) -> None:
    """Become the server: Ctrl-C then reaches it as if it had been started by itself."""
    os.environ["PUBLIC_URL"] = _public_url(port)
    # Nothing is collected into it here, but a place that is missing is warned of.
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    module, _, name = settings.WSGI_APPLICATION.rpartition(".")
    command = [sys.executable, "-m", "granian", f"{module}:{name}"]
    command += ["--interface", "wsgi", "--host", HOST, "--port", str(port)]
    # Where the project is, from wherever it was started.
    command += ["--working-dir", str(settings.BASE_DIR)]
    # One process, since counts in memory are per process; SQLite lets one write at a time.
    command += ["--workers", "1", "--blocking-threads", "4", "--log-level", "warning"]
    # A terminal's Ctrl-C reaches the worker twice, directly and from its parent, and may
    # leave it waiting.
    command += ["--workers-kill-timeout", "2"]
    os.execv(sys.executable, command)  # noqa: S606


def _access_file() -> Path:
    return Path(settings.VAR_DIR) / "demo.json"


def _read_access() -> dict[str, str]:
    try:
        return json.loads(_access_file().read_text())
    except (FileNotFoundError, ValueError):
        return {}


def _write_access(access: dict[str, str]) -> None:
    path = _access_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(access, file, indent=2)


def _is_usable(secret: str) -> bool:
    row = snapshots.find_secret(secret)
    return row is not None and row.revoked_at is None and row.key.status is Status.ACTIVE


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise ArgumentTypeError(f"'{text}' is not a port: give a number from 1 to 65535.")
    return int(text)
