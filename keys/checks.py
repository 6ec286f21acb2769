"""What Django's system checks say about an installation of the portal.

Errors stop it from starting; warnings are for `manage.py check --deploy`, which says
what is only good for trying out.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from limits import parse

from keys.networks import parse_network

_CONSOLE_MAIL = "django.core.mail.backends.console.EmailBackend"
_LOCAL_CACHE = "django.core.cache.backends.locmem.LocMemCache"
_PGBOUNCER_PORT = "6432"
_NETWORK_FILE_SYSTEMS = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs"),
    *("gfs2", "lustre", "nfs", "nfs4", "ocfs2", "smb3"),
}
_STORAGES = ("local", "memory", "redis", "rediss", "redis+unix", "redis+sentinel", "redis+cluster")


@register(Tags.security)
def check_trusted_proxies(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001: proxies are few and known, or everybody could say which address they have."""
    everywhere = [text for text in settings.TRUSTED_PROXIES if parse_network(text).prefixlen == 0]
    return [
        Error(
            f"TRUSTED_PROXIES holds {text}, so that every caller could choose its own address.",
            hint="List the addresses of your own proxies.",
            id="keys.E001",
        )
        for text in everywhere
    ]


@register()
def check_rate(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """E002, E003: what limits callers can be understood."""
    found: list[CheckMessage] = []
    try:
        parse(settings.API_RATE)
    except ValueError:
        found.append(
            Error(
                f"API_RATE is {settings.API_RATE!r}, which is no rate.",
                hint="Write it as 600/minute.",
                id="keys.E002",
            )
        )
    scheme = settings.RATE_LIMIT_STORAGE.partition("://")[0]
    if scheme not in _STORAGES:
        found.append(
            Error(
                f"RATE_LIMIT_STORAGE begins with {scheme!r}, which is no known storage.",
                hint="Write it as local:// for one host, or redis://127.0.0.1:6379/1 for several.",
                id="keys.E003",
            )
        )
    return found


@register(Tags.security, deploy=True)
def check_processes(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """W001, W002: several processes count together."""
    if not _has_several_processes():
        return []
    found: list[CheckMessage] = []
    if settings.RATE_LIMIT_STORAGE.startswith("memory://"):
        found.append(
            Warning(
                "Every process counts requests by itself, so API_RATE is not what callers get.",
                hint="Set RATE_LIMIT_STORAGE to local://, or to a Redis server for several hosts.",
                id="keys.W001",
            )
        )
    if settings.CACHES["default"]["BACKEND"] == _LOCAL_CACHE:
        found.append(
            Warning(
                "Every process counts failed sign-ins by itself.",
                hint="Set CACHE_URL to a Redis server.",
                id="keys.W002",
            )
        )
    return found


@register(Tags.security, deploy=True)
def check_trial(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """W003, W004: nothing that was generated or chosen for trying out is left."""
    found: list[CheckMessage] = [
        Warning(
            f"{variable} is the one that quickstart generated in var/.",
            hint=f"Set {variable} or {variable}_FILE, and keep it where only the portal reads it.",
            id="keys.W003",
        )
        for variable in settings.GENERATED_SECRETS_IN_USE
    ]
    if settings.EMAIL_BACKEND == _CONSOLE_MAIL:
        found.append(
            Warning(
                "Mail is printed, not sent: nobody can confirm an address or reset a password.",
                hint="Set EMAIL_URL.",
                id="keys.W004",
            )
        )
    return found


@register(Tags.security, deploy=True)
def check_proxy(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """W005: somebody tells the portal which requests came over TLS."""
    if not settings.HTTPS or settings.TRUSTED_PROXIES or os.environ.get("GRANIAN_SSL_CERTIFICATE"):
        return []
    return [
        Warning(
            "HTTPS is on, but no proxy is trusted to say so and the server has no certificate: "
            "every request would be redirected for ever.",
            hint="Set TRUSTED_PROXIES to the proxy that ends TLS, or GRANIAN_SSL_CERTIFICATE.",
            id="keys.W005",
        )
    ]


@register(Tags.security, deploy=True)
def check_state(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """E004, W006: processes of one host, and of it alone, can share what they know."""
    directory = Path(settings.STATE_DIR)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        return [
            Error(
                f"STATE_DIR cannot be written to ({error.strerror}): {directory}",
                hint="Give it to whoever runs the portal, on a disk of this machine.",
                id="keys.E004",
            )
        ]
    kind = _file_system(directory)
    if kind not in _NETWORK_FILE_SYSTEMS:
        return []
    return [
        Warning(
            f"STATE_DIR lies on a file system of a network ({kind}), where processes do not see "
            "at once what others write.",
            hint="Set STATE_DIR to a directory on a disk of this machine, one for each host.",
            id="keys.W006",
        )
    ]


@register(Tags.security, deploy=True)
def check_feed(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """W007: hosts can hear of each other's changes."""
    is_pooled = _PGBOUNCER_PORT in str(settings.DATABASES["default"].get("PORT", "")).split(",")
    if not is_pooled or settings.FEED_DATABASE_URL:
        return []
    return [
        Warning(
            f"DATABASE_URL has the port of PgBouncer, {_PGBOUNCER_PORT}. Pooling by transaction "
            "passes no notifications on, and each key would be judged by asking the database.",
            hint="Set FEED_DATABASE_URL to the address of PostgreSQL itself.",
            id="keys.W007",
        )
    ]


def _file_system(directory: Path) -> str:
    """Return the kind of file system on which a directory lies, or "" where nothing says so."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    # Fields: …, mount point, options, then after a dash: the kind, …
    kinds = {line.split()[4]: line.partition(" - ")[2].split()[0] for line in lines}
    here = directory.resolve()
    return next((kinds[str(each)] for each in (here, *here.parents) if str(each) in kinds), "")


def _has_several_processes() -> bool:
    is_sqlite = settings.DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
    # SQLite is for one process; other databases are there for more.
    return os.environ.get("GRANIAN_WORKERS", "1") != "1" or not is_sqlite
