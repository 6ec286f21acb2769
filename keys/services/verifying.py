"""Judge the key that somebody presents, count the outcome, charge the limit.

The one way in: API authentication, `POST /v1/verify` and `GET /v1/auth` all end here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import cast

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from keys import roles, secrets, snapshots, tokens, usage
from keys.models import APIKey, Decision, KeySecret, Organization
from keys.networks import Address
from keys.roles import Permission, Reach
from keys.services import audit, sessions
from keys.usage import Judgement
from keys.verification import Code, Question, Snapshot, judge


@dataclass(frozen=True)
class Verdict:
    """What became of a presented key.

    `key` and `snapshot` are there whenever the key is known and within what the asker
    may know; with NOT_FOUND they are None.
    """

    code: Code
    key: APIKey | None = None
    snapshot: Snapshot | None = None

    @property
    def is_valid(self) -> bool:
        return self.code is Code.VALID


def authenticate_key(*, secret: str, address: Address | None, user_agent: str = "") -> Verdict:
    """Judge the credential of an API call to the portal itself; such calls cost nothing.

    That is a key, or an access token of the token exchange, which stands for one secret
    of a key and is judged as that secret would be.
    """
    if not tokens.is_token(secret):
        return verify_key(
            secret=secret,
            address=address,
            cost=Decimal(0),
            user_agent=user_agent,
            door=Decision.Door.API,
        )
    try:
        row, _session_id = sessions.find_session(secret, tokens.Kind.ACCESS)
    except tokens.InvalidTokenError:
        return Verdict(Code.NOT_FOUND)
    return settle(
        row, door=Decision.Door.API, presented=None, address=address, user_agent=user_agent
    )


def verify_key(
    *,
    secret: str,
    address: Address | None,
    scopes: Iterable[str] = (),
    cost: Decimal = Decimal(1),
    byok_cost: Decimal = Decimal(0),
    user_agent: str = "",
    organization: Organization | None = None,
    door: Decision.Door = Decision.Door.VERIFY,
) -> Verdict:
    """Judge a presented key, count the outcome and charge what it costs.

    With an `organization`, a key of any other is NOT_FOUND, and that is not counted.
    An `address` of None passes no list of allowed IPs. Raises ValidationError for `cost`
    or `byok_cost` that is no amount, negative or more than usage.MAX_COST.
    """
    cost = usage.clean_cost(cost, "cost")
    byok_cost = usage.clean_cost(byok_cost, "byok_cost")
    row = snapshots.find_secret(secret)
    if row is None or (organization and row.key.organization_id != organization.pk):
        return Verdict(Code.NOT_FOUND)
    return settle(
        row,
        door=door,
        presented=secret,
        address=address,
        scopes=scopes,
        cost=cost,
        byok_cost=byok_cost,
        user_agent=user_agent,
    )


def settle(
    row: KeySecret,
    *,
    door: Decision.Door,
    presented: str | None,
    address: Address | None,
    user_agent: str,
    scopes: Iterable[str] = (),
    cost: Decimal = Decimal(0),
    byok_cost: Decimal = Decimal(0),
) -> Verdict:
    """Judge a key by one of its secrets, count the outcome and charge what it costs.

    Whoever calls made sure that the secret is the caller's; `presented` is its text, if
    that is known.
    """
    now = timezone.now()
    snapshot = snapshots.take(row)
    question = Question(now=now, address=address, scopes=frozenset(scopes))
    code = judge(snapshot, question)
    with transaction.atomic():
        if code is Code.VALID and not usage.charge(
            row.key,
            now=now,
            cost=cost,
            byok_cost=byok_cost,
            address=str(address) if address else None,
            user_agent=user_agent,
        ):
            code = Code.LIMIT_EXCEEDED
        origin = audit.current_origin()
        is_own_api = door is Decision.Door.API
        usage.record(
            Judgement(
                secret=row,
                at=now,
                outcome=code,
                door=door,
                address=str(address) if address else None,
                user_agent=user_agent,
                scopes=question.scopes,
                cost=cost,
                byok_cost=byok_cost,
                method=origin.method if is_own_api else "",
                path=origin.path if is_own_api else "",
                request_id=origin.request_id,
            )
        )
        if code is Code.VALID:
            _note_use(row, presented, now)
    return Verdict(code, row.key, snapshot)


def note_grant(
    *, verdict: Verdict, permission: Permission, reaches: Iterable[Reach] = (Reach.OWN,)
) -> None:
    """Count which scopes let a key through to the portal: the narrowest it holds.

    One for each of these `reaches`, where the permission is granted that far.
    """
    if verdict.key is None or verdict.snapshot is None:
        return
    held = verdict.snapshot.scopes
    codes = {roles.narrowest_scope(permission, held, reach) for reach in reaches} - {None}
    usage.note_scopes(verdict.key, cast(set[str], codes), now=timezone.now())


def _note_use(row: KeySecret, secret: str | None, now: datetime) -> None:
    changes: dict = {"last_used_at": now}
    pepper_id, pepper = secrets.current_pepper(settings.KEY_PEPPERS)
    if secret is not None and row.pepper_id != pepper_id:
        # Rewrapped at use, so that an old pepper can be retired without reissuing.
        changes |= {"pepper_id": pepper_id, "digest": secrets.digest(secret, pepper)}
    KeySecret.objects.filter(pk=row.pk).update(**changes)
