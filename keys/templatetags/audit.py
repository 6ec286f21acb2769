"""Audit events in words: what was done as a sentence, what it changed field by field."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import template
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from keys import policy
from keys.models import AuditEvent
from keys.models.leaks import LeakOutcome
from keys.templatetags.dates import exact

register = template.Library()

# Whole sentences, as languages order their parts differently.
_SENTENCES = {
    "apikey.issued": gettext_lazy("{actor} issued the key {object}"),
    "apikey.updated": gettext_lazy("{actor} changed the key {object}"),
    "apikey.rotated": gettext_lazy("{actor} rotated the secret of {object}"),
    "apikey.handed_over": gettext_lazy("{actor} handed over the key {object}"),
    "apikey.secret_retired": gettext_lazy("{actor} ended an old secret of {object}"),
    "apikey.disabled": gettext_lazy("{actor} disabled the key {object}"),
    "apikey.enabled": gettext_lazy("{actor} enabled the key {object}"),
    "apikey.revoked": gettext_lazy("{actor} revoked the key {object}"),
    "apikey.locked": gettext_lazy("{actor} locked the key {object}"),
    "apikey.unlocked": gettext_lazy("{actor} unlocked the key {object}"),
    "apikey.imported": gettext_lazy("{actor} imported the key {object}"),
    "apikey.import_finished": gettext_lazy("{actor} imported a file of keys into {object}"),
    "apikey.exported": gettext_lazy("{actor} downloaded a list of keys of {object}"),
    "organization.created": gettext_lazy("{actor} created the organization {object}"),
    "organization.updated": gettext_lazy("{actor} changed the organization {object}"),
    "organization.suspended": gettext_lazy("{actor} suspended the organization {object}"),
    "organization.resumed": gettext_lazy("{actor} let the organization {object} work again"),
    "organization.shared_secret_revealed": gettext_lazy(
        "{actor} saw the shared secret of {object}"
    ),
    "organization.shared_secret_rotated": gettext_lazy(
        "{actor} replaced the shared secret of {object}"
    ),
    "policy.updated": gettext_lazy("{actor} changed the policy of {object}"),
    "approval.requested": gettext_lazy("{actor} asked for approval of {object}"),
    "approval.approved": gettext_lazy("{actor} approved {object}"),
    "approval.denied": gettext_lazy("{actor} denied {object}"),
    "approval.withdrawn": gettext_lazy("{actor} withdrew the request for {object}"),
    "approval.issued": gettext_lazy("{actor} issued the approved key {object}"),
    "workspace.created": gettext_lazy("{actor} added the workspace {object}"),
    "workspace.updated": gettext_lazy("{actor} changed the workspace {object}"),
    "workspace.deleted": gettext_lazy("{actor} deleted the workspace {object}"),
    "scope.created": gettext_lazy("{actor} defined the scope {object}"),
    "scope.updated": gettext_lazy("{actor} changed the scope {object}"),
    "scope.deleted": gettext_lazy("{actor} deleted the scope {object}"),
    "role.created": gettext_lazy("{actor} defined the role {object}"),
    "role.updated": gettext_lazy("{actor} changed the role {object}"),
    "role.deleted": gettext_lazy("{actor} deleted the role {object}"),
    "membership.created": gettext_lazy("{actor} added the member {object}"),
    "membership.updated": gettext_lazy("{actor} changed the membership of {object}"),
    "membership.deleted": gettext_lazy("{actor} removed the member {object}"),
    "invitation.sent": gettext_lazy("{actor} invited {object}"),
    "invitation.sent_again": gettext_lazy("{actor} invited {object} again"),
    "invitation.revoked": gettext_lazy("{actor} took back the invitation of {object}"),
    "invitation.declined": gettext_lazy("{actor} declined the invitation"),
    "serveraddress.created": gettext_lazy("{actor} added the server address {object}"),
    "serveraddress.updated": gettext_lazy("{actor} changed the server address {object}"),
    "serveraddress.deleted": gettext_lazy("{actor} removed the server address {object}"),
    "webhook.created": gettext_lazy("{actor} added the webhook {object}"),
    "webhook.updated": gettext_lazy("{actor} changed the webhook {object}"),
    "webhook.deleted": gettext_lazy("{actor} deleted the webhook {object}"),
    "webhook.secret_rotated": gettext_lazy("{actor} gave a new secret to the webhook {object}"),
    "webhook.tested": gettext_lazy("{actor} sent a test to the webhook {object}"),
    "webhook.replayed": gettext_lazy("{actor} sent a message again to the webhook {object}"),
    "webhook.stopped": gettext_lazy("{actor} switched off the failing webhook {object}"),
    "leak.reported": gettext_lazy("Somebody found a key with the secret {object}"),
    "leak.settled": gettext_lazy("{actor} settled the report on the secret {object}"),
    "user.created": gettext_lazy("{actor} created the account {object}"),
    "user.updated": gettext_lazy("{actor} changed the account {object}"),
    "user.signed_in": gettext_lazy("{actor} signed in"),
    "user.sign_in_failed": gettext_lazy("Somebody failed to sign in as {object}"),
    "user.signed_up": gettext_lazy("{actor} opened an account"),
    "user.sessions_ended": gettext_lazy("{actor} ended their other sessions"),
    "user.password_set": gettext_lazy("{actor} chose another password"),
    "user.password_reset": gettext_lazy("{actor} set a new password by a link of a mail"),
    "user.email_added": gettext_lazy("{actor} added an email address"),
    "user.email_confirmed": gettext_lazy("{actor} confirmed an email address"),
    "user.email_changed": gettext_lazy("{actor} made another email address the primary one"),
    "user.email_removed": gettext_lazy("{actor} removed an email address"),
    "user.recovery_codes_made": gettext_lazy("{actor} made new recovery codes"),
    "user.single_sign_on_connected": gettext_lazy("{actor} signs in by single sign-on from now on"),
    "user.single_sign_on_removed": gettext_lazy("{actor} no longer signs in by single sign-on"),
    "user.single_sign_on_ended": gettext_lazy("Single sign-on signed {object} out"),
    "user.second_factor_added": gettext_lazy("{actor} set up a second factor"),
    "user.second_factor_removed": gettext_lazy("{actor} removed a second factor"),
    "user.password_changed": gettext_lazy("{actor} set another password for {object}"),
    "audit.read": gettext_lazy("{actor} read the audit trail of {object}"),
    "audit.exported": gettext_lazy("{actor} downloaded the audit trail of {object}"),
    "audit.trimmed": gettext_lazy("{actor} removed old events from the audit trail of {object}"),
    "audit.adopted": gettext_lazy(
        "{actor} added events of an older release to the audit trail of {object}"
    ),
    "organization.read": gettext_lazy("{actor} looked at the organization {object}"),
    "apikey.read": gettext_lazy("{actor} looked at the key {object}"),
    "user.read": gettext_lazy("{actor} looked at the account {object}"),
    "installation.searched": gettext_lazy("{actor} searched the installation"),
    "installation.read": gettext_lazy("{actor} looked through lists of the installation"),
    "installation.audit_read": gettext_lazy("{actor} read the audit trails of the installation"),
    "installation.exported": gettext_lazy("{actor} downloaded a report on the installation"),
    "demo.created": gettext_lazy("{actor} filled {object} with demo data"),
}
# Where whoever did it is the member of whom it tells.
_SENTENCES_OF_ONESELF = {
    "membership.created": gettext_lazy("{actor} joined the organization"),
    "membership.deleted": gettext_lazy("{actor} left the organization"),
}
_OF_ONE_SESSION = gettext_lazy("{actor} ended another session of theirs")
_OTHER = gettext_lazy("{actor}: {action} {object}")

# On the page of the key itself, which need not be named again.
_SENTENCES_HERE = {
    "apikey.issued": gettext_lazy("{actor} issued the key"),
    "apikey.imported": gettext_lazy("{actor} imported the key"),
    "apikey.updated": gettext_lazy("{actor} changed the key"),
    "apikey.rotated": gettext_lazy("{actor} rotated the secret"),
    "apikey.handed_over": gettext_lazy("{actor} handed over the key"),
    "apikey.secret_retired": gettext_lazy("{actor} ended an old secret"),
    "apikey.disabled": gettext_lazy("{actor} disabled the key"),
    "apikey.enabled": gettext_lazy("{actor} enabled the key"),
    "apikey.revoked": gettext_lazy("{actor} revoked the key"),
    "apikey.locked": gettext_lazy("{actor} locked the key"),
    "apikey.unlocked": gettext_lazy("{actor} unlocked the key"),
}

_ICONS = {
    "issued": "plus",
    "imported": "arrow-up-tray",
    "import_finished": "arrow-up-tray",
    "created": "plus",
    "updated": "pencil",
    "deleted": "minus",
    "rotated": "arrow-path",
    "shared_secret_rotated": "arrow-path",
    "shared_secret_revealed": "eye",
    "handed_over": "arrow-right-circle",
    "secret_retired": "clock",
    "disabled": "pause",
    "enabled": "play",
    "resumed": "play",
    "revoked": "x-mark",
    "locked": "lock-closed",
    "suspended": "lock-closed",
    "unlocked": "lock-open",
    "password_changed": "key",
    "exported": "arrow-down-tray",
    "requested": "hand-raised",
    "approved": "check",
    "denied": "x-mark",
    "declined": "x-mark",
    "withdrawn": "arrow-uturn-left",
    "read": "eye",
    "audit_read": "eye",
    "searched": "magnifying-glass",
    "trimmed": "scissors",
    "sent": "envelope",
    "sent_again": "envelope",
}
_GRAVE = {"denied", "revoked", "locked", "suspended", "deleted"}

# Of something new or gone, all that it was is recorded; of a change, [old, new] by field.
_RECORDS_WHOLE = {"issued", "imported", "created", "deleted", "sent", "sent_again"}

# The sentence says already what changed.
_SAYS_ALL = {"apikey.disabled", "apikey.enabled"}

# What events record beside the fields of a model.
_MORE_LABELS = {
    "allowed_ips": gettext_lazy("allowed IPs"),
    "by": gettext_lazy("through"),
    "done": gettext_lazy("Done at once"),
    "keys": gettext_lazy("keys"),
    "label": gettext_lazy("secret"),
    "list": gettext_lazy("list"),
    "old_secret_works_until": gettext_lazy("old secret works until"),
    "old_secret_signs_until": gettext_lazy("old secret signs until"),
    "quiet_hours": gettext_lazy("ends when quiet for"),
    "note": gettext_lazy("note"),
    "rate_limits": gettext_lazy("rate limits"),
    "roles": gettext_lazy("rules of roles"),
    "event": gettext_lazy("event"),
    "events": gettext_lazy("events"),
    "file_format": gettext_lazy("file format"),
    "file_sha256": gettext_lazy("fingerprint of the file (SHA-256)"),
    "format": gettext_lazy("file format"),
    "imported": gettext_lazy("keys imported"),
    "message": gettext_lazy("message"),
    "present": gettext_lazy("Here already"),
    "reason": gettext_lazy("reason"),
    "refused": gettext_lazy("With problems"),
    "report": gettext_lazy("report"),
    "user": gettext_lazy("person"),
    "invited_by": gettext_lazy("invited by"),
    "owner": gettext_lazy("owner"),
    "rows": gettext_lazy("Rows"),
    "scopes": gettext_lazy("scopes"),
    "sessions": gettext_lazy("sessions"),
}
# By what a list was narrowed that somebody downloaded.
_FILTER_LABELS = {
    "action": gettext_lazy("Did"),
    "actor": gettext_lazy("Who"),
    "address": gettext_lazy("From the address"),
    "dialect": gettext_lazy("Format"),
    "door": gettext_lazy("Through"),
    "expiring": gettext_lazy("Expires within 14 days"),
    "hygiene": gettext_lazy("Keys that"),
    "key": gettext_lazy("Key"),
    "object": gettext_lazy("To what"),
    "ordering": gettext_lazy("Order"),
    "request_id": gettext_lazy("In the request"),
    "role": gettext_lazy("Role"),
    "scope": gettext_lazy("Scope"),
    "search": gettext_lazy("Search"),
    "since": gettext_lazy("From (UTC)"),
    "status": gettext_lazy("Status"),
    "until": gettext_lazy("To (UTC)"),
    "unrestricted": gettext_lazy("Usable from anywhere"),
    "unused": gettext_lazy("Never used"),
    "workspace": gettext_lazy("Workspace"),
}
# What values stand for where no field of a model says it.
_MORE_CHOICES = {"done": LeakOutcome.choices}
_MORE_MOMENTS = {"old_secret_works_until", "old_secret_signs_until"}
_DAYS = {"rotation_days", "person_key_days", "shared_key_days", "idle_days"}
_HOURS = {"quiet_hours"}

_LONGEST_VALUE = 160
_LONGEST_LIST = 6


@dataclass(frozen=True)
class Difference:
    """What an event says of one field, in words.

    A change has `old` and `new`; of a list, what it gained and lost. Where something is
    recorded as it was made, there is only `new`.
    """

    label: str
    new: str = ""
    old: str | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as one line of plain text."""
        if self.added or self.removed:
            parts = [f"+ {each}" for each in self.added] + [f"− {each}" for each in self.removed]
            return f"{self.label}: {', '.join(parts)}"
        change = self.new if self.old is None else f"{self.old} → {self.new}"
        return f"{self.label}: {change}"


@register.filter
def sentence(event: AuditEvent) -> SafeString:
    """Say who did what to what. A key is linked where the view gave its event `object_url`."""
    return _fill(_text_of(event), event)


@register.filter
def sentence_here(event: AuditEvent) -> SafeString:
    """Say who did what, on the page of what they did it to."""
    return _fill(_SENTENCES_HERE.get(event.action) or _text_of(event), event)


@register.filter
def icon(event: AuditEvent) -> str:
    """Return the name of the icon that stands for what was done."""
    return _ICONS.get(_verb(event), "bolt")


@register.filter
def is_grave(event: AuditEvent) -> bool:
    """Say whether something was ended or stopped."""
    return _verb(event) in _GRAVE


@register.filter
def is_whole(event: AuditEvent) -> bool:
    """Say whether an event records all of what was made or ended, not a change of it."""
    return _verb(event) in _RECORDS_WHOLE


@register.filter
def differences(event: AuditEvent) -> list[Difference]:
    """Return what the event says of each field; of what is new, only what was said."""
    if event.action in _SAYS_ALL and "reason" not in event.changes:
        return []
    if is_whole(event):
        return [
            Difference(_label(event, field), _words(event, field, value))
            for field, value in event.changes.items()
            if value not in (None, "", [], False)
        ]
    return [_difference(event, field, value) for field, value in event.changes.items()]


def plain_sentence(event: AuditEvent) -> str:
    """Return the sentence without any markup."""
    return str(_text_of(event)).format(
        actor=_actor(event), object=_object(event), action=event.action
    )


def _text_of(event: AuditEvent) -> str | Promise:
    of_oneself = _SENTENCES_OF_ONESELF.get(event.action)
    # A key may be called like anybody.
    if of_oneself and event.actor_user_id and _object(event) == event.actor_label:
        return of_oneself
    if event.action == "user.sessions_ended" and event.changes.get("sessions") == 1:
        return _OF_ONE_SESSION
    return _SENTENCES.get(event.action) or _OTHER


def _fill(text: str | Promise, event: AuditEvent) -> SafeString:
    url = getattr(event, "object_url", "")
    return format_html(
        str(text),
        actor=_marked_actor(event),
        object=format_html('<a href="{}">{}</a>', url, _object(event))
        if url
        else format_html("<strong>{}</strong>", _object(event)),
        action=event.action,
    )


def _marked_actor(event: AuditEvent) -> SafeString:
    if event.actor_key_id is None:
        name = _name_of_actor(event)
        if name:
            return format_html("<strong>{}</strong> ({})", name, event.actor_label)
        return format_html("<strong>{}</strong>", _actor(event))
    return format_html(
        '<strong>{}</strong> <span class="tag">{}</span>', _actor(event), _("API key")
    )


def _actor(event: AuditEvent) -> str:
    is_nobody = event.actor_user_id is None and event.actor_key_id is None
    if is_nobody and event.actor_label == str(policy.OPERATOR):
        return _("The operator")
    return event.actor_label


def _name_of_actor(event: AuditEvent) -> str:
    """Return the name that whoever did it goes by today, where the view loaded the person."""
    is_loaded = AuditEvent._meta.get_field("actor_user").is_cached(event)
    return event.actor_user.get_full_name() if is_loaded and event.actor_user else ""


def _object(event: AuditEvent) -> str:
    if event.object_type == "membership":
        # Labelled with the role that they had then, which is not who they are.
        person = event.changes.get("user")
        return person if isinstance(person, str) else event.object_label.rpartition(" (")[0]
    return event.object_label


def _verb(event: AuditEvent) -> str:
    return event.action.rpartition(".")[2]


def _difference(event: AuditEvent, field: str, value: Any) -> Difference:
    label = _label(event, field)
    if not (isinstance(value, list) and len(value) == 2):
        return Difference(label, _words(event, field, value))
    old, new = value
    if isinstance(old, list) and isinstance(new, list):
        return Difference(
            label,
            added=_short([str(each) for each in new if each not in old]),
            removed=_short([str(each) for each in old if each not in new]),
        )
    return Difference(label, _words(event, field, new), _words(event, field, old))


def _label(event: AuditEvent, field: str) -> str:
    described = _field_of(event, field)
    more = _FILTER_LABELS | _MORE_LABELS if _verb(event) == "exported" else _MORE_LABELS
    label = described.verbose_name if described else more.get(field)
    return capfirst(str(label or field.replace("_", " ")))


def _words(event: AuditEvent, field: str, value: Any) -> str:
    described = _field_of(event, field)
    if field == "owner" and value is None:
        return _("the organization")
    if value is None or value == [] or value == "":
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if field == "list":
        return _of_list(str(value))
    if isinstance(value, list):
        return ", ".join(_short([str(each) for each in value]))
    if field in _MORE_MOMENTS or isinstance(described, models.DateTimeField):
        return _moment(str(value))
    if field in _DAYS and isinstance(value, int):
        return ngettext("%d day", "%d days", value) % value
    if field in _HOURS and isinstance(value, int):
        return ngettext("%d hour", "%d hours", value) % value
    choices = dict(described.flatchoices if described else _MORE_CHOICES.get(field, ()))
    return str(choices.get(value) or Truncator(str(value)).chars(_LONGEST_VALUE))


def _of_list(model: str) -> str:
    """Return what a list of such rows is called."""
    try:
        return capfirst(str(apps.get_model("keys", model)._meta.verbose_name_plural))
    except LookupError:  # an older release had it
        return model


def _field_of(event: AuditEvent, name: str) -> models.Field | None:
    """Return the model's field of that name, if it says in words what it is."""
    if name in _MORE_LABELS:
        return None
    # The organization is what people know; its policy is a row of its own, also of the rule by
    # which a key was disabled.
    is_of_policy = event.action == "policy.updated" or name == "idle_days"
    model = "organizationpolicy" if is_of_policy else event.object_type
    try:
        field = apps.get_model("keys", model)._meta.get_field(name)
    except (LookupError, FieldDoesNotExist):
        return None
    return field if isinstance(field, models.Field) else None


def _moment(text: str) -> str:
    try:
        return exact(datetime.fromisoformat(text))
    except ValueError:
        return text


def _short(values: list[str]) -> tuple[str, ...]:
    if len(values) <= _LONGEST_LIST:
        return tuple(values)
    shown, rest = values[: _LONGEST_LIST - 1], len(values) - _LONGEST_LIST + 1
    return (*shown, ngettext("%d more", "%d more", rest) % rest)
