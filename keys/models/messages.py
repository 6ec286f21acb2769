"""What people are told by mail: what waits, what was said of which key, who wants what."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from keys.models.invitations import Invitation
from keys.models.keys import APIKey
from keys.models.organizations import Organization


class Kind(models.TextChoices):
    """What mails are about. Of those of `ALWAYS_SENT` nobody can be spared."""

    ISSUED = "issued", _("A key was issued")
    EXPIRING = "expiring", _("A key expires in 14, 7 or 1 days, or today")
    EXPIRED = "expired", _("A key expired")
    OLD_SECRET = "old_secret", _("A replaced secret is still used")
    IDLE = "idle", _("A key was disabled because nobody used it")
    APPROVAL = "approval", _("Somebody asks for a key, or it was decided")
    POLICY = "policy", _("The rules for keys changed")
    WEBHOOK = "webhook", _("A webhook was switched off")
    MEMBER = "member", _("You became a member")
    REMOVED = "removed", _("You were removed from an organization")
    LEAK = "leak", _("Somebody found a key")


# Whoever reads of it too late, or not at all, loses more than peace.
ALWAYS_SENT = frozenset({Kind.LEAK})


class Message(models.Model):
    """One thing to tell one person by mail, written together with the change that it tells of.

    What is of one kind and for one person when it is sent goes as one mail. `next_at` is when
    it is due; whoever sends it moves that on first, so that nobody else does.
    """

    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="messages", verbose_name=_("organization")
    )
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("person")
    )
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    # Names and numbers; never a secret.
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(_("created"))
    next_at = models.DateTimeField(_("due"), null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    # Why the last attempt failed: the kind of error, not what the server said.
    error = models.CharField(_("error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["next_at", "id"], name="message_due", condition=Q(next_at__isnull=False)
            ),
            models.Index(fields=["created_at"], name="message_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Letter(models.Model):
    """A mail to an address, sealed while it waits: it holds a link by which somebody gets in.

    `next_at` is as of a message; there is no row once it was sent.
    """

    to = models.EmailField(_("to"), max_length=254)
    about = models.CharField(_("about"), max_length=60)
    sealed_content = models.TextField(editable=False)
    invitation = models.ForeignKey(
        Invitation, models.CASCADE, null=True, blank=True, related_name="letters"
    )
    created_at = models.DateTimeField(_("created"))
    expires_at = models.DateTimeField(_("given up"))
    next_at = models.DateTimeField(_("due"), db_index=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"))
    # Why the last attempt failed: the kind of error, not what the server said.
    error = models.CharField(_("error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("letter")
        verbose_name_plural = _("letters")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.about} {self.pk}"


class KeyNotice(models.Model):
    """That people were told this of a key, so that they are told once.

    `moment` says what of: the end of the key that was ahead, or when a secret was replaced.
    """

    key = models.ForeignKey(APIKey, models.CASCADE, related_name="+")
    topic = models.CharField(max_length=20)
    moment = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["key", "topic", "moment"], name="key_notice_once")
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.moment}"


class NotificationSettings(models.Model):
    """Which mails a person does not want, and in which language the others are."""

    person = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="notification_settings"
    )
    unwanted = models.JSONField(default=list)
    language = models.CharField(_("language"), max_length=10, blank=True)

    class Meta:
        verbose_name = _("notification settings")
        verbose_name_plural = _("notification settings")
        ordering = ["id"]

    def __str__(self) -> str:
        return str(self.person)


class Chore(models.Model):
    """When a periodic job is due next, and how it went: one row for all hosts."""

    name = models.CharField(_("name"), max_length=60, primary_key=True)
    next_at = models.DateTimeField(_("due"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("chore")
        verbose_name_plural = _("chores")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
