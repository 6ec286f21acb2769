"""Keys that somebody found: taken in, looked up, acted on, settled.

Whoever hands in a secret learns nothing: what is done at once is the same for every text that
could be a key. It is looked up afterwards.
"""

import logging
from datetime import datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from limits import parse

from keys import foreign, imported_formats, networks, policy, rates, secrets
from keys.models import APIKey, AuditEvent, FoundSecret, KeySecret, LeakReport
from keys.models.keys import Status
from keys.models.leaks import LeakOutcome
from keys.policy import Actor
from keys.roles import Permission
from keys.rules import rules_of
from keys.services import audit
from keys.services.audit import Origin, acting_from
from keys.services.keys import disable_key
from keys.services.rotation import retire_secret, rotate_key
from keys.services.validation import validate

logger = logging.getLogger(__name__)

_ENDED = frozenset({Status.REVOKED, Status.EXPIRED})


class TooManyReportsError(Exception):
    """This address handed in more than one finds; it may again later."""


def hand_in_secret(*, secret: str, source_url: str = "", comment: str = "") -> FoundSecret:
    """Take in a secret that somebody found; `look_up` does the rest.

    Anybody may, so often: raises TooManyReportsError. ValidationError by field for what cannot
    be a key of this installation. That is decided by the text alone: our keys by their checksum,
    which anybody can compute; others by what any import could bring. What was imported here is
    not asked for: whoever tries one text after the other would learn from the answers how those
    secrets look, and whose software the organizations here used before.
    """
    origin = audit.current_origin()
    _limit(origin.address)
    secret = secret.strip()
    digests = _possible_digests(secret)
    if not digests:
        raise ValidationError(
            {"secret": _("This is not a key of this installation. Look whether all of it is here.")}
        )
    for name, text in (("source_url", source_url), ("comment", comment)):
        if secrets.holds_part(text) or secret in text:
            raise ValidationError({name: _("Leave out the key itself here.")})
    found = FoundSecret(
        digests=sorted(digests),
        source_url=source_url,
        comment=comment,
        address=origin.address,
        door=origin.door,
        request_id=origin.request_id,
    )
    validate(found, exclude=["digests"])
    found.save()
    return found


def look_up(found: FoundSecret) -> LeakReport | None:
    """Find out whose secret was handed in, and act as that organization wants; None: nobody's."""
    origin = Origin(AuditEvent.Door(found.door), found.address, found.request_id)
    with acting_from(origin), transaction.atomic():
        # Of several who look, one finds it.
        if not FoundSecret.objects.filter(pk=found.pk).delete()[0]:
            return None
        secret = KeySecret.objects.filter(digest__in=found.digests).first()
        return _report(found, secret) if secret else None


def look_up_later(found: FoundSecret) -> None:
    """Look up what was just handed in; whatever goes wrong, the worker tries again."""
    try:
        look_up(found)
    except Exception:
        logger.exception("What was handed in is looked up later.")


def look_up_found(*, now: datetime) -> int:
    """Look up what was handed in and is not looked up yet; return how much that was.

    One that cannot be looked up holds up no other.
    """
    waiting = list(FoundSecret.objects.all()[:1000])
    for found in waiting:
        look_up_later(found)
    return len(waiting)


def settle_leak(*, actor: Actor, report: LeakReport) -> LeakReport:
    """Say that all was done about a found key. Raises PermissionDenied."""
    policy.require(actor, Permission.CHANGE_APIKEY, report.key)
    with transaction.atomic():
        report = LeakReport.objects.select_for_update().get(pk=report.pk)
        if report.settled_at is None:
            report.settled_at, report.settled_by = timezone.now(), str(actor)[:300]
            report.save(update_fields=["settled_at", "settled_by"])
            audit.record(
                actor=actor, action="leak.settled", obj=report, organization=report.organization
            )
    return report


def _possible_digests(secret: str) -> list[str]:
    """Return under which digests a key may be stored; none if the text cannot be one."""
    if secrets.find_format(secret) is not None:
        return list(secrets.digests(secret, settings.KEY_PEPPERS))
    return imported_formats.all_digests(secret) if foreign.is_importable(secret) else []


def _limit(address: str | None) -> None:
    rate = parse(settings.LEAK_REPORT_RATE)
    sender = networks.subscriber(networks.parse_address(address)) if address else "unknown"
    try:
        is_within = rates.ask(lambda limiter: limiter.hit(rate, "leak", str(sender)))
    except rates.StoreAwayError:
        return  # a leak is worse than a flood
    if not is_within:
        raise TooManyReportsError


def _report(found: FoundSecret, secret: KeySecret) -> LeakReport:
    # Two reports of one key come one after the other.
    key = APIKey.objects.select_for_update(no_key=True).get(pk=secret.key_id)
    known = LeakReport.objects.filter(key=key, label=secret.label, settled_at=None).first()
    if known is not None:
        # People know already; a flood of reports is no flood of mails.
        LeakReport.objects.filter(pk=known.pk).update(times=F("times") + 1)
        return known
    report = LeakReport.objects.create(
        organization=key.organization,
        key=key,
        label=secret.label,
        reported_at=found.created_at,
        source_url=found.source_url,
        comment=found.comment,
        reporter_address=found.address,
        action=_act(key, secret),
    )
    report.key = APIKey.objects.select_related("organization", "owner").get(pk=key.pk)
    audit.record(
        actor=policy.OPERATOR,
        action="leak.reported",
        obj=report,
        organization=key.organization,
        changes={
            "key": key.name,
            "label": secret.label,
            "source_url": report.source_url,
            "done": report.action,
        },
    )
    return report


def _act(key: APIKey, secret: KeySecret) -> LeakOutcome:
    """Do what the organization wants done with a key that was found, and return what it was."""
    now = timezone.now()
    if key.status_at(now) in _ENDED or not secret.works_at(now):
        return LeakOutcome.NOTHING
    wanted = LeakOutcome(rules_of(key.organization).leak_action)
    try:
        with transaction.atomic():
            if wanted is LeakOutcome.DISABLE and not key.disabled:
                disable_key(actor=policy.OPERATOR, key=key)
            elif wanted is LeakOutcome.ROTATE and secret == key.current_secret:
                # Nobody sees the new one: who may see one rotates once more, or the key is revoked.
                rotate_key(actor=policy.OPERATOR, key=key)
            elif wanted is LeakOutcome.ROTATE:
                retire_secret(actor=policy.OPERATOR, secret=secret)
    except ValidationError as problem:
        logger.error("Key %s leaked and could not be stopped: %s", key.pk, problem.messages)
        return LeakOutcome.NOTIFY
    return wanted
