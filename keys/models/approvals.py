"""What people asked others to approve."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from keys.models.keys import APIKey
from keys.models.organizations import Organization

# How long a request waits for an answer, and an approval for whoever asked.
WAITS = timedelta(days=30)
OPEN_AFTER_APPROVAL = timedelta(days=7)


class ApprovalKind(models.TextChoices):
    """What somebody asks for."""

    ISSUE = "issue", _("A new key")
    WIDEN = "widen", _("More for a key")
    ROLE = "role", _("A role for a person")


class ApprovalStatus(models.TextChoices):
    """What became of a request."""

    PENDING = "pending", _("Waiting")
    APPROVED = "approved", _("Approved")
    DENIED = "denied", _("Denied")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    DONE = "done", _("Carried out")
    # Nobody writes this: it is told from `ends_at`.
    EXPIRED = "expired", _("Expired")


class ApprovalRequestQuerySet(models.QuerySet["ApprovalRequest"]):
    """Sets of requests."""

    def open_at(self, now: datetime) -> "ApprovalRequestQuerySet":
        """Return the requests that wait at that moment: for an answer, or to be used."""
        return self.filter(
            status__in=(ApprovalStatus.PENDING, ApprovalStatus.APPROVED), ends_at__gt=now
        )

    def with_status(self, status: str, now: datetime) -> "ApprovalRequestQuerySet":
        """Return the requests of which `request.status_at(now)` is this."""
        is_open = Q(status__in=(ApprovalStatus.PENDING, ApprovalStatus.APPROVED))
        if status == ApprovalStatus.EXPIRED:
            return self.filter(is_open, ends_at__lte=now)
        return self.filter(~is_open | Q(ends_at__gt=now), status=status)


class ApprovalRequest(models.Model):
    """That somebody wants to give a key, or a person, what takes a second person to give."""

    organization = models.ForeignKey(
        Organization,
        models.CASCADE,
        related_name="approval_requests",
        verbose_name=_("organization"),
    )
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="approval_requests",
        verbose_name=_("asked by"),
    )
    kind = models.CharField(_("kind"), max_length=5, choices=ApprovalKind)
    # As services take them, by canonical name and in plain JSON; never a secret.
    terms = models.JSONField(_("terms"))
    reason = models.CharField(_("reason"), max_length=500)
    # Why approval was needed when it was asked for, as services tell it in sentences.
    needed_for = models.JSONField(_("needs approval because"), default=list, blank=True)
    status = models.CharField(
        _("status"),
        max_length=9,
        choices=[each for each in ApprovalStatus.choices if each[0] != ApprovalStatus.EXPIRED],
        default=ApprovalStatus.PENDING,
    )
    # What was approved: the terms, or less.
    approved_terms = models.JSONField(_("approved terms"), null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("decided by"),
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=500, blank=True)
    # The key to widen, or the one that was issued.
    key = models.ForeignKey(
        APIKey,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="approval_requests",
        verbose_name=_("API key"),
    )
    created_at = models.DateTimeField(_("asked"), auto_now_add=True)
    # Until when it waits for the next step.
    ends_at = models.DateTimeField(_("waits until"))

    objects = ApprovalRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("request for approval")
        verbose_name_plural = _("requests for approval")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization", "status", "-id"], name="approval_by_status"),
            models.Index(fields=["organization", "requester", "-id"], name="approval_by_person"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=ApprovalKind.values), name="approval_known_kind"
            ),
            # Nobody decides on what they asked for themselves.
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(decided_by=models.F("requester")),
                name="approval_by_somebody_else",
            ),
        ]

    def __str__(self) -> str:
        return str(self.terms.get("name") or self.terms.get("person") or self.key or self.pk)

    @property
    def state(self) -> str:
        """What became of the request until now."""
        return self.status_at(timezone.now())

    def status_at(self, now: datetime) -> str:
        """What became of the request until that moment; `with_status` selects by the same."""
        is_open = self.status in (ApprovalStatus.PENDING, ApprovalStatus.APPROVED)
        return ApprovalStatus.EXPIRED if is_open and self.ends_at <= now else self.status
