"""`/v1/auth` and `POST /v1/verify`, answered ahead of Django from what a process remembers.

What is usual is answered here, in some microseconds; all else is left to the views, which
give the same answers. Keys of which more than memory decides (limits, rates) are judged by
the same service as everywhere, only without the way through Django's middleware.
"""

import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, cast

from django.db import connections
from django.utils import timezone

from keys import journal as journals
from keys import outcomes, policy, roles, snapshots, tokens, usage
from keys.api import answers
from keys.api.answers import Answer
from keys.api.authentication import secret_among
from keys.api.environment import Environment, Place, Posted, Reader, Way
from keys.entries import Entry
from keys.journal import Journal
from keys.models import AuditEvent, Decision, Organization
from keys.roles import Permission, Reach
from keys.services import Verdict
from keys.services.audit import Origin, acting_from
from keys.services.verifying import settle
from keys.verification import Code, Question

logger = logging.getLogger(__name__)

# Strangers choose what is asked: nothing long is remembered, and some twenty MB of bodies.
_LONGEST_QUERY, _LONGEST_BODY, _MOST_POSTED = 128, 1024, 32_768
_AUTH, _VERIFY, _API = (journals.DOORS[door] for door in ("auth", "verify", "api"))
_NO_SCOPES: frozenset[str] = frozenset()


@dataclass(slots=True)
class Remembered:
    """An answer, and from when until when time alone does not change it, in microseconds."""

    outcome: int
    since: int
    until: int
    answer: Answer


class Gate:
    """A WSGI application in front of another; `start` is called with the first request."""

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        start: Callable[[], object] = lambda: None,
    ) -> None:
        self._application = application
        self._start: Callable[[], object] | None = start
        self._doors = {"/v1/auth": self._answer_proxy, "/v1/verify": self._answer_asker}
        self._reader = Reader()
        # Digest of a body -> what it asks.
        self._posted: dict[bytes, Posted] = {}
        # Numbers of requests, unlike those of any other process.
        self._numbers = itertools.count(int.from_bytes(os.urandom(15), "big"))

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, or let the application answer it."""
        if self._start is not None and not self._has_started():
            return _refused(start_response)
        door = self._doors.get(environ.get("PATH_INFO", ""))
        if door is None:
            return self._application(environ, start_response)
        request = next(self._numbers).to_bytes(16, "big")
        try:
            answer = door(environ, request)
        except Exception:
            # Nothing that goes wrong here may be taken for yes.
            logger.exception(
                "Unhandled error in %s.",
                environ["PATH_INFO"],
                extra={"details": {"request_id": request.hex()}},
            )
            answer = answers.of_our_failure()
        if answer is None:
            return self._application(environ, start_response)
        start_response(answer.status, [*answer.headers, ("X-Request-Id", request.hex())])
        return answer.body if environ["REQUEST_METHOD"] != "HEAD" else []

    def _has_started(self) -> bool:
        # Another thread may be here at the same time; to start twice does no harm.
        if (start := self._start) is not None:
            try:
                start()
            except OSError:
                # The next request tries again: there may be room on the disk then.
                logger.exception("This process cannot serve: STATE_DIR cannot be used.")
                return False
            self._start = None
        return True

    def _answer_proxy(self, environ: Environment, request: bytes) -> Answer | None:
        way = self._reader.proxy_way(environ)
        if way is None:
            return None
        secret = secret_among(environ)
        if secret is None:
            return answers.of_nobody()
        entry = snapshots.find(secret)
        if entry is None:
            return answers.of_wrong_key()
        journal = usage.journal
        if journal is None or not entry.is_plain:
            return _settle_proxy(entry, secret, way, environ, request)
        now = time.time_ns() // 1000
        name = (way.query, way.place.name) if entry.is_confined else way.query
        known = entry.memory.get(name)
        if known is None or not known.since <= now < known.until:
            known = _answered_to_proxy(entry, way, name, now)
        text = way.text
        if text is None:
            text = way.text = journal.text(way.agent, way.asked.scopes)
        journal.append(
            entry.secret_id,
            entry.snapshot.key_id,
            now,
            known.outcome,
            _AUTH,
            text,
            way.cost,
            0,
            way.place.packed,
            request,
        )
        return known.answer

    def _answer_asker(self, environ: Environment, request: bytes) -> Answer | None:
        way = self._reader.asker_way(environ)
        if way is None:
            return None
        secret = secret_among(environ)
        if secret is None:
            return answers.of_nobody()
        asker = snapshots.find(secret)
        if asker is None:
            # A token of the exchange stands for a key: the view knows for which.
            return None if tokens.is_token(secret) else answers.of_wrong_key()
        journal = usage.journal
        if journal is None or not asker.is_plain:
            return None
        now = time.time_ns() // 1000
        place = way.place
        known = outcomes.find(asker, place.address, place.packed, _NO_SCOPES, now)
        who = (asker.secret_id, asker.snapshot.key_id, now, known.number, _API)
        if known.code is not Code.VALID:
            text = journal.text(way.agent, _NO_SCOPES, "POST", environ["PATH_INFO"])
            journal.append(*who, text, 0, 0, place.packed, request)
            return answers.of_wrong_key()
        granted = _granting(asker.snapshot.scopes)
        if granted is None:
            return None
        body = environ["wsgi.input"].read(way.length)
        question = self._question(body)
        if question is None:
            environ["wsgi.input"] = BytesIO(body)
            return None
        # The call itself, which costs nothing, and the scope that let it through.
        text = journal.text(way.agent, granted, "POST", environ["PATH_INFO"])
        journal.append(*who, text, 0, 0, place.packed, request, journals.HAS_GRANT)
        return self._answer_question(journal, asker, question, body, now, environ, way, request)

    def _question(self, body: bytes) -> Posted | None:
        """Return what a body asks, and of which key, by its digest."""
        # Services ask the same of a key again and again. By a digest of what they post, as
        # secrets are: no secret stays in memory.
        name = snapshots.digest_of(body)
        posted = self._posted.get(name)
        if posted is None:
            read = self._reader.posted(body)
            if read is None:
                return None
            secret, posted = read
            posted.digest = snapshots.digest_of(secret.encode())
            if len(body) <= _LONGEST_BODY:
                if len(self._posted) >= _MOST_POSTED:
                    self._posted.clear()
                self._posted[name] = posted
        return posted

    def _answer_question(
        self,
        journal: Journal,
        asker: Entry,
        posted: Posted,
        body: bytes,
        now: int,
        environ: Environment,
        way: Way,
        request: bytes,
    ) -> Answer:
        entry = snapshots.recall(posted.digest)
        if entry is None or not entry.is_plain:
            secret, _posted = cast(tuple, self._reader.posted(body))
            entry = snapshots.find(secret)
            if entry is None or entry.organization_id != asker.organization_id:
                return answers.of_unknown()
            if not entry.is_plain:
                return _settle_question(entry, secret, posted, environ, way.place, request)
        elif entry.snapshot.organization_id != asker.snapshot.organization_id:
            return answers.of_unknown()
        place = posted.place
        name = posted.confined if entry.is_confined else posted.free
        known = entry.memory.get(name)
        if known is None or not known.since <= now < known.until:
            known = _answered_to_asker(entry, posted, name, now)
        text = posted.text
        if text is None:
            text = posted.text = journal.text("", posted.scopes)
        journal.append(
            entry.secret_id,
            entry.snapshot.key_id,
            now,
            known.outcome,
            _VERIFY,
            text,
            posted.millionths,
            posted.byok_millionths,
            place.packed,
            request,
        )
        return known.answer


def _refused(start_response: Callable[..., Any]) -> Iterable[bytes]:
    answer = answers.of_our_failure()
    start_response(answer.status, list(answer.headers))
    return answer.body


def _settle_proxy(
    entry: Entry, secret: str, way: Way, environ: Environment, request: bytes
) -> Answer:
    with _acting(environ, way.place, request):
        verdict = settle(
            entry,
            door=Decision.Door.AUTH,
            presented=secret,
            address=way.place.address,
            user_agent=way.agent,
            scopes=way.asked.scopes,
            cost=way.asked.cost,
        )
    return answers.of_proxy(verdict, way.asked.status)


def _settle_question(
    entry: Entry, secret: str, posted: Posted, environ: Environment, place: Place, request: bytes
) -> Answer:
    with _acting(environ, place, request):
        verdict = settle(
            entry,
            door=Decision.Door.VERIFY,
            presented=secret,
            address=posted.place.address,
            user_agent="",
            scopes=posted.scopes,
            cost=posted.cost,
            byok_cost=posted.byok_cost,
        )
    question = Question(timezone.now(), posted.place.address, posted.scopes)
    return answers.of_question(verdict, question)


def _answered_to_proxy(entry: Entry, way: Way, name: Any, now: int) -> Remembered:
    asked, place = way.asked, way.place
    found = outcomes.find(entry, place.address, place.packed, asked.scopes, now)
    # All verdicts of this outcome share the one answer.
    answer = entry.memory.get((found.code, asked.status))
    if answer is None:
        answer = answers.of_proxy(Verdict(found.code, entry), asked.status)
        outcomes.keep(entry, (found.code, asked.status), answer)
    known = Remembered(found.number, found.since, found.until, answer)
    if len(way.query) <= _LONGEST_QUERY:
        outcomes.keep(entry, name, known)
    return known


def _answered_to_asker(entry: Entry, posted: Posted, name: Any, now: int) -> Remembered:
    place = posted.place
    found = outcomes.find(entry, place.address, place.packed, posted.scopes, now)
    question = Question(outcomes.moment_of(now), place.address, posted.scopes)
    answer = answers.of_question(Verdict(found.code, entry), question)
    known = Remembered(found.number, found.since, found.until, answer)
    if len(posted.scopes) <= outcomes.MOST_SCOPES:
        outcomes.keep(entry, name, known)
    return known


@lru_cache(maxsize=1024)
def _granting(scopes: frozenset[str]) -> frozenset[str] | None:
    """Return the scope by which a key that holds these may ask about others; None: it may not."""
    if not policy.holds(scopes, Permission.VERIFY_APIKEY, Organization):
        return None
    code = roles.narrowest_scope(Permission.VERIFY_APIKEY, scopes, Reach.OWN)
    return frozenset({code} if code else ())


def _acting(environ: Environment, place: Place, request: bytes) -> AbstractContextManager[None]:
    """Let what follows be known to come from this request, on connections that work."""
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
    return acting_from(
        Origin(
            AuditEvent.Door.API,
            str(place.address) if place.address else None,
            request.hex(),
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
        )
    )
