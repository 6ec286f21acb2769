"""Whether this process can serve, and what its host counts: for probes and for Prometheus."""

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q, Sum
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from keys import folding, metrics, rates
from keys.hosts import this_host
from keys.models import AuditHead, Letter, Message, WebhookDelivery, Worker

# Uses that wait longer than that to be counted say that nobody counts.
_LONGEST_BACKLOG_SECONDS = 120.0

# That the database is as this release wants it stays true while the process lives.
_migrated = False


def objections() -> list[str]:
    """Say why this process should be sent no requests; nothing: it is ready."""
    reasons = [] if _has_database() else ["database"]
    if not reasons and not _is_migrated():
        reasons.append("migrations")
    if not os.access(settings.STATE_DIR, os.W_OK | os.X_OK):
        reasons.append("state directory")
    if not rates.is_store_there():
        reasons.append("rate limit store")
    if not reasons and folding.backlog().seconds > _LONGEST_BACKLOG_SECONDS:
        reasons.append("fold backlog")
    return reasons


def measures() -> bytes:
    """Return what Prometheus reads: of the processes of this host, and of the database."""
    registry = metrics.registry()
    registry.register(_Stored())
    return generate_latest(registry)


class _Stored:
    """Reads what tables and journals know; called by the library."""

    def collect(self) -> Iterator[Metric]:
        is_there = _has_database()
        yield GaugeMetricFamily(
            "keyhaven_database_up", "Whether the database answers.", value=int(is_there)
        )
        if is_there:
            yield from _of_journals()
            yield from _of_workers()
            yield from _of_audit_trail()
            yield from _of_queues()


def _of_journals() -> Iterator[Metric]:
    backlog = folding.backlog()
    yield GaugeMetricFamily(
        "keyhaven_backlog_uses",
        "Uses that this host counted and that are not in the tables yet.",
        value=backlog.records,
    )
    yield GaugeMetricFamily(
        "keyhaven_backlog_seconds", "How long the oldest of them waits.", value=backlog.seconds
    )


def _of_workers() -> Iterator[Metric]:
    workers = Worker.objects.live().filter(host=this_host(Path(settings.STATE_DIR)))
    sums = workers.aggregate(
        hits=Sum("hits", default=0),
        misses=Sum("misses", default=0),
        remembered=Sum("remembered", default=0),
    )
    lookups = GaugeMetricFamily(
        "keyhaven_key_lookups",
        "Keys that living processes of this host looked up, in memory or in the database.",
        labels=["where"],
    )
    lookups.add_metric(["memory"], sums["hits"])
    lookups.add_metric(["database"], sums["misses"])
    yield lookups
    yield GaugeMetricFamily(
        "keyhaven_keys_remembered", "Keys in the memory of those.", value=sums["remembered"]
    )


def _of_audit_trail() -> Iterator[Metric]:
    events = AuditHead.objects.aggregate(events=Sum("sequence", default=0))["events"]
    yield CounterMetricFamily("keyhaven_audit_events", "Events of the audit trail.", value=events)
    yield GaugeMetricFamily(
        "keyhaven_audit_chains_broken",
        "Audit chains in which something was found to be altered.",
        value=AuditHead.objects.filter(~Q(problem="")).count(),
    )


def _of_queues() -> Iterator[Metric]:
    queues = GaugeMetricFamily(
        "keyhaven_queue_messages", "Messages that wait to be sent.", labels=["queue"]
    )
    mails = Message.objects.filter(next_at__isnull=False).count() + Letter.objects.count()
    queues.add_metric(["mail"], mails)
    queues.add_metric(["webhook"], WebhookDelivery.objects.filter(next_at__isnull=False).count())
    yield queues


def _has_database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        connection.close()
        return False
    return True


def _is_migrated() -> bool:
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated
