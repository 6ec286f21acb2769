"""Clients of a portal under load, who remember what they were answered."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

# So many of those that were ended last are tried again and again.
_TRIED_AGAIN = 30
_PAUSE_SECONDS = 0.002
# While nobody listens, so that whoever is to listen again has the processors.
_PAUSE_UNREACHED_SECONDS = 0.05
# Over so many connections each key is asked about.
CONNECTIONS = 3

UNANSWERED, UNREACHED = "unanswered", "unreached"


class UnansweredError(Exception):
    """Nobody knows what became of a request."""


class UnreachedError(Exception):
    """Nobody listens: the request was not sent."""


class Caller:
    """Calls a portal over one connection, which is opened anew when it broke."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, method: str, path: str, secret: str, body: Any = None) -> tuple[int, Any]:
        """Return status and body of the answer. Raises UnansweredError, UnreachedError."""
        headers = {"X-API-Key": secret, "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, content, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except ConnectionRefusedError as error:
            self._connection.close()
            time.sleep(_PAUSE_UNREACHED_SECONDS)
            raise UnreachedError from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise UnansweredError from error
        return answer.status, json.loads(text) if text else None

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@dataclass
class Tally:
    """How often a key was asked about, and what came of it."""

    statuses: Counter[str] = field(default_factory=Counter)
    # When it was accepted last, by the monotonic clock.
    accepted_at: float = 0.0

    @property
    def accepted(self) -> int:
        return self.statuses["VALID"] + self.statuses["204"]

    @property
    def failed(self) -> int:
        """Broken off, or answered that something went wrong."""
        return self.statuses[UNANSWERED] + self.statuses["503"] + self.statuses["500"]

    @property
    def answered(self) -> int:
        return self.statuses.total() - self.failed - self.statuses[UNREACHED]

    @staticmethod
    def of_all(tallies: Iterable["Tally"]) -> "Tally":
        """Return what several saw together."""
        tallies = list(tallies)
        together = sum((each.statuses.copy() for each in tallies), Counter())
        return Tally(together, max(each.accepted_at for each in tallies))


@dataclass
class Changes:
    """What was changed, as far as the portal said so; by the number of the key."""

    issued: dict[int, str] = field(default_factory=dict)
    disabled: dict[int, str] = field(default_factory=dict)
    revoked: dict[int, str] = field(default_factory=dict)
    # Of these nobody knows whether they were ended.
    unsure: set[int] = field(default_factory=set)
    # Keys that did not work right after the portal said that they were there.
    lost: list[int] = field(default_factory=list)
    acknowledged_at: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def acknowledged(self) -> int:
        return len(self.issued) + len(self.disabled) + len(self.revoked)

    @property
    def ended(self) -> dict[int, str]:
        return self.disabled | self.revoked


class Load:
    """Verifications by GET and POST, changes, and intruders, all at the same time."""

    def __init__(self, port: int, cast: dict[str, Any], asked: tuple[str, ...]) -> None:
        self.port, self.cast = port, cast
        # Of each connection, which nobody else writes.
        self._tallies = {name: [Tally() for _each in range(CONNECTIONS)] for name in asked}
        self.changes = Changes()
        # Who was let in that may not, and through which door.
        self.breaches: list[str] = []
        self.attempts = 0
        self._is_over = threading.Event()
        tasks = [
            *(self._asking(name, one) for name in asked for one in self._tallies[name]),
            self._change,
            self._intrude,
        ]
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._repeat, args=(each,)) for each in tasks]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        if self._errors and error[0] is None:
            raise self._errors[0]

    @property
    def tallies(self) -> dict[str, Tally]:
        """Return what became of each key that was asked about, until now."""
        return {name: Tally.of_all(each) for name, each in self._tallies.items()}

    def secret(self, name: str) -> str:
        return self.cast["keys"][name][1]

    def recovered_after(self, moment: float, *names: str) -> bool:
        """Say whether all of these were accepted, and a change acknowledged, since a moment."""
        return self.changes.acknowledged_at > moment and self.verifies_after(moment, *names)

    def verifies_after(self, moment: float, *names: str) -> bool:
        """Say whether all of these keys were accepted since a moment."""
        return all(self.tallies[each].accepted_at > moment for each in names)

    def _repeat(self, make: Callable[[Caller], Iterator[None]]) -> None:
        caller = Caller(self.port)
        try:
            for _done in make(caller):
                if self._is_over.wait(_PAUSE_SECONDS):
                    return
        except BaseException as error:
            self._errors.append(error)
            self._is_over.set()
        finally:
            caller.close()

    def _asking(self, name: str, tally: Tally) -> Callable[[Caller], Iterator[None]]:
        """Ask about one key: as a proxy does, one that is called posted as a service does."""
        secret = self.secret(name)

        def ask(caller: Caller) -> Iterator[None]:
            while True:
                asked_at = time.monotonic()
                code = verdict(caller, secret, self.secret("manager"), is_posted=name == "posted")
                tally.statuses[code] += 1
                if code in ("VALID", "204"):
                    tally.accepted_at = asked_at
                yield

        return ask

    def _change(self, caller: Caller) -> Iterator[None]:
        """Issue keys, see them work, end most of them, one half in each of two ways."""
        for number in itertools.count():
            key = self._issue(caller, number)
            if key is not None:
                yield
                if number % 3 != 2:
                    self._end(caller, key, is_for_good=number % 3 == 0)
            yield

    def _issue(self, caller: Caller, number: int) -> int | None:
        body = {
            "key_name": f"Key {number}",
            "key_scope": ["READ"],
            "organization_id": self.cast["organization"],
        }
        status, key = self._try(caller, "POST", "/v1/api-keys", body)
        if status != 201:
            return None
        self.changes.issued[key["id"]] = key["api_key"]
        seen = verdict(caller, key["api_key"])
        if seen in ("401", "403"):
            self.changes.lost.append(key["id"])
        return key["id"]

    def _end(self, caller: Caller, key: int, *, is_for_good: bool) -> None:
        path = f"/v1/api-keys/{key}"
        if is_for_good:
            status, _body = self._try(caller, "DELETE", path)
            ended = self.changes.revoked
        else:
            status, _body = self._try(caller, "PATCH", path, {"disabled": True})
            ended = self.changes.disabled
        if status in (200, 204):
            ended[key] = self.changes.issued[key]
            self._attempt(caller, "ended", ended[key])
        elif status != UNREACHED:
            self.changes.unsure.add(key)

    def _try(self, caller: Caller, method: str, path: str, body: Any = None) -> tuple[Any, Any]:
        told = None
        try:
            status, told = caller.call(method, path, self.secret("manager"), body)
        except UnansweredError:
            status = UNANSWERED
        except UnreachedError:
            status = UNREACHED
        self.changes.statuses[str(status)] += 1
        if status in (200, 201, 204):
            self.changes.acknowledged_at = time.monotonic()
        return status, told

    def _intrude(self, caller: Caller) -> Iterator[None]:
        """Try every key that may not be accepted, at three doors in turn."""
        while True:
            for name, secret in self.cast["intruders"].items():
                self._attempt(caller, name, secret)
                yield
            for secret in deque(list(self.changes.ended.values()), maxlen=_TRIED_AGAIN):
                self._attempt(caller, "ended", secret)
                yield

    def _attempt(self, caller: Caller, name: str, secret: str) -> None:
        door = self.attempts % 3
        self.attempts += 1
        if door == 0:
            seen = verdict(caller, secret)
        elif door == 1:
            seen = verdict(caller, secret, self.secret("manager"), is_posted=True)
        else:
            seen = called(caller, secret)
        if seen[:1] == "2" or seen == "VALID":
            self.breaches.append(f"{name} at door {door}: {seen}")


def verdict(caller: Caller, secret: str, asker: str = "", *, is_posted: bool = False) -> str:
    """Return the code or the status with which the portal judges a key, or why there is none."""
    try:
        if not is_posted:
            return str(caller.call("GET", "/v1/auth?scope=READ", secret)[0])
        body = {"key": secret, "scopes": ["READ"], "ip": "127.0.0.1"}
        status, told = caller.call("POST", "/v1/verify", asker, body)
    except UnansweredError:
        return UNANSWERED
    except UnreachedError:
        return UNREACHED
    return told["code"] if status == 200 else str(status)


def called(caller: Caller, secret: str) -> str:
    """Return the status with which the portal lets a key list keys, or why there is none."""
    try:
        return str(caller.call("GET", "/v1/api-keys", secret)[0])
    except UnansweredError:
        return UNANSWERED
    except UnreachedError:
        return UNREACHED
