"""The processes that answer verifications, and what they counted that is not in the tables yet."""

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

# Who missed reports for so long is taken for dead, and forgotten after the second.
SILENT_AFTER = timedelta(seconds=15)
FORGOTTEN_AFTER = timedelta(hours=1)


class JournalSegment(models.Model):
    """How far one file of a worker's journal was added to the tables of usage.

    Changed in the same transaction as those, so that nothing in it is counted twice.
    """

    id = models.CharField(primary_key=True, max_length=32)
    host = models.CharField(max_length=64)
    position = models.PositiveBigIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("journal segment")
        verbose_name_plural = _("journal segments")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.id}: {self.position}"


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Sets of workers. Times are the database's: the clocks of hosts differ."""

    def live(self) -> "WorkerQuerySet":
        """Return the workers that reported lately."""
        return self.filter(seen_at__gt=Now() - SILENT_AFTER)

    def forgotten(self) -> "WorkerQuerySet":
        """Return the workers that are gone for so long that nobody asks for them."""
        return self.filter(seen_at__lt=Now() - FORGOTTEN_AFTER)


class Worker(models.Model):
    """One process that answers verifications, as it last reported."""

    id = models.CharField(primary_key=True, max_length=32)
    host = models.CharField(_("host"), max_length=64)
    pid = models.PositiveIntegerField(_("process"))
    started_at = models.DateTimeField(_("started"))
    seen_at = models.DateTimeField(_("last report"))
    # From the commit of a change to the moment from which this worker judges by it.
    lag_p50_ms = models.FloatField(_("lag, median (ms)"), null=True, blank=True)
    lag_p99_ms = models.FloatField(_("lag, 99th percentile (ms)"), null=True, blank=True)
    # Whether it may judge by what it remembers, or has to ask the database each time.
    is_trusting = models.BooleanField(_("judges from memory"), default=True)
    remembered = models.PositiveIntegerField(_("keys in memory"), default=0)
    hits = models.PositiveBigIntegerField(_("judged from memory"), default=0)
    misses = models.PositiveBigIntegerField(_("asked the database"), default=0)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["host", "started_at"]

    def __str__(self) -> str:
        return f"{self.host} {self.pid}"

    @property
    def hit_percent(self) -> float | None:
        """How many of a hundred keys were judged from memory; None before the first."""
        judged = self.hits + self.misses
        return 100 * self.hits / judged if judged else None
