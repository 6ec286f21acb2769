"""Judge the key that somebody presents, count it against its rates, charge the limit, record.

The one way in: API authentication, `POST /v1/verify` and `GET /v1/auth` all end here.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import cast

from django.conf import settings
from django.utils import timezone

from keys import outcomes, rates, roles, secrets, snapshots, tokens, usage
from keys.entries import Entry
from keys.journal import DOORS, Journal, pack_address, pack_request
from keys.models import APIKey, Decision, KeySecret, Organization
from keys.networks import Address
from keys.rates import FREE, Standing
from keys.roles import Permission, Reach
from keys.services import audit, sessions
from keys.services.imported_secrets import rewrap_origin
from keys.usage import Judgement
from keys.verification import Code, Question, Snapshot, judge


@dataclass(frozen=True)
class Verdict:
    """What became of a presented key.

    `entry` says whose it is, whenever the key is known and within what the asker may know;
    with NOT_FOUND it is None. `rates` is where it stands with its rate limits, where the use
    was counted against them.
    """

    code: Code
    entry: Entry | None = None
    rates: Standing = FREE

    @property
    def is_valid(self) -> bool:
        return self.code is Code.VALID

    @property
    def snapshot(self) -> Snapshot | None:
        """What the key was judged by."""
        return self.entry.snapshot if self.entry else None

    @cached_property
    def key(self) -> APIKey | None:
        """The key itself, an instance of this verdict's own."""
        return self.entry.key() if self.entry else None


def authenticate_key(*, secret: str, address: Address | None, user_agent: str = "") -> Verdict:
    """Judge the credential of an API call to the portal itself; such calls cost nothing.

    That is a key, or an access token of the token exchange, which stands for one secret
    of a key and is judged as that secret would be.
    """
    entry = snapshots.find(secret)
    presented: str | None = secret
    if entry is None and tokens.is_token(secret):
        entry, presented = _find_session(secret), None
    if entry is None:
        return Verdict(Code.NOT_FOUND)
    return settle(
        entry,
        door=Decision.Door.API,
        presented=presented,
        address=address,
        user_agent=user_agent,
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
    entry = snapshots.find(secret)
    if entry is None or (organization and entry.organization_id != organization.pk):
        return Verdict(Code.NOT_FOUND)
    return settle(
        entry,
        door=door,
        presented=secret,
        address=address,
        scopes=scopes,
        cost=cost,
        byok_cost=byok_cost,
        user_agent=user_agent,
    )


def settle(
    entry: Entry,
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
    if usage.journal is not None and entry.is_plain:
        return _settle_from_memory(
            entry, usage.journal, door, address, user_agent, frozenset(scopes), cost, byok_cost
        )
    now = timezone.now()
    question = Question(now=now, address=address, scopes=frozenset(scopes))
    code = judge(entry.snapshot, question)
    standing = FREE
    if code is Code.VALID:
        bounds = rates.bounding(entry.rates, is_portal_call=door is Decision.Door.API)
        standing = rates.take(bounds, entry.limiter_failure)
        if not standing.is_within:
            code = Code.RATE_LIMITED
    method, path, request_id = _of_request(door)
    judgement = Judgement(
        secret_id=entry.secret_id,
        key_id=entry.key_id,
        at=now,
        outcome=code,
        door=door,
        address=address,
        user_agent=user_agent,
        scopes=question.scopes,
        cost=cost,
        byok_cost=byok_cost,
        method=method,
        path=path,
        request_id=request_id,
    )
    code = usage.count(judgement, has_limit=entry.limit is not None)
    if code is Code.VALID:
        _note_use(entry, presented, now)
    return Verdict(code, entry, standing)


def _settle_from_memory(
    entry: Entry,
    journal: Journal,
    door: Decision.Door,
    address: Address | None,
    user_agent: str,
    scopes: frozenset[str],
    cost: Decimal,
    byok_cost: Decimal,
) -> Verdict:
    """Do the same for a key of which its outcome alone decides: a quarter of the time."""
    now = time.time_ns() // 1000
    packed = pack_address(address)
    known = outcomes.find(entry, address, packed, scopes, now)
    method, path, request_id = _of_request(door)
    journal.append(
        entry.secret_id,
        entry.key_id,
        now,
        known.number,
        DOORS[door],
        journal.text(user_agent, scopes, method, path),
        usage.millionths(cost),
        usage.millionths(byok_cost),
        packed,
        pack_request(request_id),
    )
    return Verdict(known.code, entry)


def _of_request(door: Decision.Door) -> tuple[str, str, str]:
    """Return what is recorded of the request: method and path of calls to the portal itself."""
    origin = audit.current_origin()
    if door is Decision.Door.API:
        return origin.method, origin.path, origin.request_id
    return "", "", origin.request_id


def note_grant(
    *, verdict: Verdict, permission: Permission, reaches: Iterable[Reach] = (Reach.OWN,)
) -> None:
    """Count which scopes let a key through to the portal: the narrowest it holds.

    One for each of these `reaches`, where the permission is granted that far.
    """
    if verdict.entry is None:
        return
    held = verdict.entry.snapshot.scopes
    codes = {roles.narrowest_scope(permission, held, reach) for reach in reaches} - {None}
    usage.note_scopes(
        secret_id=verdict.entry.secret_id,
        key_id=verdict.entry.key_id,
        codes=cast(set[str], codes),
        now=timezone.now(),
    )


def _note_use(entry: Entry, secret: str | None, now: datetime) -> None:
    changes: dict = {}
    if not entry.is_steady:
        # The end of an old secret that waits for quiet depends on it: it cannot be late.
        changes |= {"last_used_at": now}
    pepper_id, pepper = secrets.current_pepper(settings.KEY_PEPPERS)
    if secret is not None and entry.pepper_id != pepper_id:
        # Rewrapped at use, so that an old pepper can be retired without reissuing; and what
        # another system made is found as ours are from now on.
        changes |= {"pepper_id": pepper_id, "digest": secrets.digest(secret, pepper)}
        rewrap_origin(entry.secret_id, secret)
    if changes:
        KeySecret.objects.filter(pk=entry.secret_id).update(**changes)


def _find_session(token: str) -> Entry | None:
    try:
        entry, _session_id = sessions.find_session(token, tokens.Kind.ACCESS)
    except tokens.InvalidTokenError:
        return None
    return entry
