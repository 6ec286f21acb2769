"""The one query that finds what is known of a key by one of its secrets, and the one for its row.

Each is written once, by the ORM, and then runs on the driver's own cursor: that is many times
cheaper than a queryset, and asks the same on every database.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import (
    Case,
    Exists,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    When,
)
from django.db.models.lookups import IsNull
from django.db.models.query import get_related_populators

from keys import policy
from keys.models import (
    AllowedIP,
    APIKey,
    KeySecret,
    Membership,
    RateLimit,
    Scope,
    ServerAddress,
)


def fetch(field_name: str, values: Sequence[Any]) -> dict[str, Any] | None:
    """Return what is known by the secret of which a field has one of these values, or None.

    Lists are JSON. Outside of a transaction a lost connection is opened again.
    """
    statement, names = _statement(field_name, len(values))
    row = statement.fetch(values)
    return None if row is None else dict(zip(names, row, strict=True))


def exists(digests: Sequence[str]) -> bool:
    """Say whether there is a secret with one of these digests, at a fraction of the cost."""
    return _existence(len(digests)).is_any(digests)


def fetch_key(pk: int) -> tuple[APIKey, str] | None:
    """Return a key with what it belongs to and, as JSON, number and code of its scopes; or None.

    Without what changes with each use: its totals, and when its secrets were used last.
    """
    statement, build = _key_statement()
    row = statement.fetch([pk])
    return None if row is None else build(row)


class _List(Func):
    """All values of a subquery as one JSON list; of none: an empty list, or null."""

    function = "JSON_GROUP_ARRAY"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="(JSON_AGG(%(expressions)s)::text)", **context
        )


class _Pair(Func):
    """Two values as a JSON list."""

    function = "JSON_ARRAY"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="JSON_BUILD_ARRAY", **context)


# Name -> where the ORM finds it from a secret.
_COLUMNS = {
    "secret_id": "pk",
    "nonce": "nonce",
    "pepper_id": "pepper_id",
    "superseded_at": "superseded_at",
    "retires_at": "retires_at",
    "quiet_hours": "quiet_hours",
    "secret_revoked_at": "revoked_at",
    "secret_last_used_at": "last_used_at",
    "key_id": "key_id",
    "organization_id": "key__organization_id",
    "name": "key__name",
    "slug": "key__slug",
    "workspace_id": "key__workspace_id",
    "external_user": "key__external_user",
    "not_before": "key__not_before",
    "expires_at": "key__expires_at",
    "disabled": "key__disabled",
    "locked_at": "key__locked_at",
    "revoked_at": "key__revoked_at",
    "limit": "key__limit",
    "limit_reset": "key__limit_reset",
    "include_byok_in_limit": "key__include_byok_in_limit",
    "follows_pool": "key__assign_server_ips",
    "organization_slug": "key__organization__slug",
    "suspended_at": "key__organization__suspended_at",
    "limiter_failure": "key__organization__limiter_failure",
    "role": "key__role__name",
    "owner_id": "key__owner_id",
    "email": "key__owner__email",
    "first_name": "key__owner__first_name",
    "last_name": "key__owner__last_name",
    "is_active": "key__owner__is_active",
}


def _annotations() -> dict[str, Any]:
    """Return what is asked about a key's other rows, by name."""
    key, organization = OuterRef("key_id"), OuterRef("key__organization_id")
    owner = OuterRef("key__owner_id")
    # What is left of the scopes that the key was given: what its owner holds today.
    left = Q(IsNull(owner, True)) | policy.held_by_member(owner, organization)
    labels = KeySecret.objects.filter(key=key).order_by("-pk").values("label")
    limits = _Pair("amount", "period")
    return {
        "is_member": Exists(Membership.objects.filter(user=owner, organization=organization)),
        "label": Subquery(labels[:1]),
        "scopes": Case(
            When(key__role=None, then=_listed(Scope.objects.filter(left, api_keys=key), F("code"))),
            default=_listed(Scope.objects.filter(left, roles=OuterRef("key__role_id")), F("code")),
        ),
        "networks": _listed(
            AllowedIP.objects.filter(key=key, active=True), _Pair("network", "deny")
        ),
        "pool": Case(
            When(
                key__assign_server_ips=True,
                then=_listed(ServerAddress.objects.filter(organization=organization), F("network")),
            )
        ),
        "own_rates": _listed(RateLimit.objects.filter(key=key), limits),
        "shared_rates": _listed(RateLimit.objects.filter(organization=organization), limits),
    }


def _listed(rows: QuerySet, value: Any) -> Subquery:
    listed = rows.order_by().annotate(listed=_List(value)).values("listed")
    return Subquery(listed, output_field=TextField())


class _Statement:
    """A query by so many values of a field, as text for the driver."""

    def __init__(self, rows: QuerySet, marks: Sequence[Any]) -> None:
        """`rows` lists the columns, of secrets whose field has one of the `marks`."""
        self.compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
        self._sql, params = self.compiler.as_sql()
        self._converters = self.compiler.get_converters([each[0] for each in self.compiler.select])
        self._params = list(params)
        self._places = [self._params.index(mark) for mark in marks]
        # The driver of SQLite has placeholders of its own.
        is_sqlite = self.compiler.connection.vendor == "sqlite"
        self._text = self._sql % (("?",) * len(self._params)) if is_sqlite else self._sql

    def fetch(self, values: Sequence[Any]) -> list[Any] | None:
        """Return the columns of the one row, or None when there is none."""
        params = self._params.copy()
        for place, value in zip(self._places, values, strict=True):
            params[place] = value
        row = self._execute(params)
        if row is None:
            return None
        [converted] = self.compiler.apply_converters([list(row)], self._converters)
        return converted

    def is_any(self, values: Sequence[Any]) -> bool:
        """Say whether there is a row, by a query that has no other parameters."""
        return self._execute(values) is not None

    def _execute(self, params: Sequence[Any]) -> Any:
        connection = _thread.connection()
        if connection.in_atomic_block or connection.force_debug_cursor:
            with connection.cursor() as cursor:
                cursor.execute(self._sql, params)
                return cursor.fetchone()
        errors = connection.Database
        if connection.connection is not None:
            try:
                return _thread.ask(connection.connection, self._text, params)
            except (errors.OperationalError, errors.InterfaceError, errors.NotSupportedError):
                # The server ended an idle connection, or is another one since a failover; or
                # the tables are others than when it planned.
                connection.close()
        connection.ensure_connection()
        with connection.wrap_database_errors:
            return _thread.ask(connection.connection, self._text, params)


class _Thread(threading.local):
    """The connection of a thread and a cursor on it: to look for them costs as much as to ask."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._driver: Any = None
        self._cursor: Any = None

    def connection(self) -> Any:
        """Return Django's connection of the thread."""
        # Where an event loop runs, Django has one for each of its contexts.
        if asyncio._get_running_loop() is not None:
            return connections[DEFAULT_DB_ALIAS]
        if self._connection is None:
            self._connection = connections[DEFAULT_DB_ALIAS]
        return self._connection

    def ask(self, driver: Any, text: str, params: Sequence[Any]) -> Any:
        """Return the first row that is found over the driver's connection, or None."""
        if driver is not self._driver:
            self._driver, self._cursor = driver, _cursor_of(driver)
        self._cursor.execute(text, params)
        # All of them: as long as there are rows to fetch, SQLite stays at what was true before.
        rows = self._cursor.fetchall()
        return rows[0] if rows else None


_thread = _Thread()


def _cursor_of(driver: Any) -> Any:
    """Return a cursor on the driver's connection; PostgreSQL plans each of its statements once.

    To plan costs it ten times what it costs to look. Where a pooler passes each transaction to
    another server, none knows what was planned.
    """
    if connections[DEFAULT_DB_ALIAS].vendor != "postgresql" or settings.FEED_DATABASE_URL:
        return driver.cursor()
    # Django's own cursors put values into the text, and leave it at that.
    driver.prepare_threshold = 0
    return psycopg.Cursor(driver)


def _marks(field_name: str, count: int) -> list[Any]:
    """Return values of a type that the field takes, to be found among the parameters again."""
    marks = [-1 - number for number in range(count)]
    return marks if field_name == "pk" else [str(mark) for mark in marks]


@lru_cache(maxsize=64)
def _statement(field_name: str, count: int) -> tuple[_Statement, list[str]]:
    annotations = _annotations()
    marks = _marks(field_name, count)
    # Two imports may know one secret by different digests: the first has it.
    rows = KeySecret.objects.filter(**{f"{field_name}__in": marks}).order_by("pk")
    rows = rows.annotate(**{f"of_{name}": each for name, each in annotations.items()})
    columns = (*_COLUMNS.values(), *(f"of_{name}" for name in annotations))
    return _Statement(rows.values_list(*columns), marks), [*_COLUMNS, *annotations]


@lru_cache(maxsize=1)
def _key_statement() -> tuple[_Statement, Callable[[list[Any]], tuple[APIKey, str]]]:
    """Return the query for a key, and what makes one of a row that it finds."""
    own, followed = Scope.objects.filter(api_keys=OuterRef("pk")), OuterRef("role_id")
    scopes = Case(
        When(role=None, then=_listed(own, _Pair("id", "code"))),
        default=_listed(Scope.objects.filter(roles=followed), _Pair("id", "code")),
    )
    [mark] = _marks("pk", 1)
    rows = APIKey.objects.filter(pk__in=[mark]).order_by().annotate(of_scopes=scopes)
    statement = _Statement(
        rows.select_related("organization", "workspace", "owner", "role"), [mark]
    )
    compiler = statement.compiler
    # As a queryset makes instances of rows.
    places = compiler.klass_info["select_fields"]
    own_columns = slice(places[0], places[-1] + 1)
    names = [column.target.attname for column, *_other in compiler.select[own_columns]]
    related = get_related_populators(  # type: ignore[call-arg]  # of a later Django
        compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS
    )
    of_scopes = compiler.annotation_col_map["of_scopes"]

    def build(row: list[Any]) -> tuple[APIKey, str]:
        key = APIKey.from_db(DEFAULT_DB_ALIAS, names, row[own_columns])
        for each in related:
            each.populate(row, key)
        return key, row[of_scopes]

    return statement, build


@lru_cache(maxsize=64)
def _existence(count: int) -> _Statement:
    marks = _marks("digest", count)
    return _Statement(
        KeySecret.objects.filter(digest__in=marks).order_by().values_list("pk"), marks
    )
