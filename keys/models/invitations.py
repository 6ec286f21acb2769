"""Who was asked to join an organization, and has not answered yet or has."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from keys.models.keys import APIKey
from keys.models.organizations import Organization, Role


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Sets of invitations."""

    def unanswered(self) -> "InvitationQuerySet":
        """Return those that were neither accepted, declined nor revoked, expired ones included."""
        return self.filter(accepted_at=None, revoked_at=None)

    def open_at(self, now: datetime) -> "InvitationQuerySet":
        """Return those that could be accepted at that moment."""
        return self.unanswered().filter(expires_at__gt=now)


class Invitation(models.Model):
    """That an address was asked to join, by whom and as what.

    The mail that asks holds a token; here is its digest only. Who invited is a person or a
    key; neither is the operator.
    """

    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="invitations", verbose_name=_("organization")
    )
    email = models.EmailField(_("email address"), max_length=254)
    # With its role an invitation is gone: it asked to be something that nobody can be.
    role = models.ForeignKey(
        Role, models.CASCADE, related_name="invitations", verbose_name=_("role")
    )
    is_owner = models.BooleanField(_("owner"), default=False)
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("invited by"),
    )
    invited_by_key = models.ForeignKey(
        APIKey,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("invited by the key"),
    )
    created_at = models.DateTimeField(_("invited"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    # Empty while the mail server did not take the mail.
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("accepted by"),
    )
    # Taken back by who invites, or declined: the trail says which.
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                "organization",
                Lower("email"),
                condition=Q(accepted_at=None, revoked_at=None),
                name="invitation_one_unanswered",
                violation_error_message=_("This address is invited already."),
            )
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def inviter(self) -> str:
        """Who invited, as people read it; empty: the operator."""
        if self.invited_by is not None:
            return self.invited_by.name_and_address
        return self.invited_by_key.name if self.invited_by_key is not None else ""

    def is_open_at(self, now: datetime) -> bool:
        """Say whether it could be accepted at that moment; `open_at` selects by the same rule."""
        return self.accepted_at is None and self.revoked_at is None and self.expires_at > now
