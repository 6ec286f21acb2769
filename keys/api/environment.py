"""What the gate reads of a WSGI environment: what is usual; anything else it leaves to the views.

Each function answers None for what is not usual. That is no refusal: the views decide.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.serializers import ValidationError

from keys import journal, networks, usage
from keys.api.authentication import printable
from keys.api.dialects.native.dialect import refuse_unknown_parameters
from keys.api.dialects.native.verification import (
    ASKED_PARAMETERS,
    MAX_SCOPES,
    Asked,
    read_asked,
)
from keys.api.fields import Amount
from keys.journal import Text
from keys.networks import Address
from keys.usage import MAX_COST

Environment = dict[str, Any]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_BODY = frozenset({None, "", "0"})
_JSON = frozenset({"application/json", "application/json; charset=utf-8"})
_LENGTH = re.compile(r"[0-9]{1,9}")
_TEXT = re.compile(r"[!-~]{1,100}")
_SECRET = re.compile(r"[!-~]{1,1000}")
_MEMBERS = frozenset({"key", "ip", "scopes", "cost", "byok_cost"})
_AMOUNT = Amount()
_ONE, _ZERO = Decimal(1), Decimal(0)
_NOTHING_ASKED = Asked(frozenset(), Decimal(0), HTTPStatus.NO_CONTENT)
# Strangers choose what is remembered: so many readings, of no more characters than these.
_MOST_REMEMBERED, _LONGEST_REMEMBERED, _LONGEST_WAY = 8192, 256, 1024
# All of a request that decides how it is read, but for its key, its body and its path.
_OF_WAY = (
    *("REQUEST_METHOD", "QUERY_STRING", "SCRIPT_NAME", "CONTENT_LENGTH", "CONTENT_TYPE"),
    *("HTTP_TRANSFER_ENCODING", "HTTP_USER_AGENT", "REMOTE_ADDR", "HTTP_X_FORWARDED_FOR"),
    *("HTTP_HOST", "HTTP_X_FORWARDED_PROTO", "wsgi.url_scheme"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key is used from: its address, and that in 16 bytes.

    `name` tells places apart: packed, an unknown address looks like `::`.
    """

    address: Address | None
    packed: bytes
    name: bytes | None

    @classmethod
    def of(cls, address: Address | None) -> "Place":
        """Return the place of an address."""
        packed = journal.pack_address(address)
        return cls(address, packed, packed if address else None)


@dataclass(slots=True, eq=False)
class Way:
    """What requests have in common that are the same but for key and body.

    `asked` is what a proxy asks, `length` that of a question's body. In `text` it is kept
    what the journal says of them.
    """

    place: Place
    agent: str
    query: str = ""
    asked: Asked = _NOTHING_ASKED
    cost: int = 0
    length: int = 0
    text: Text | None = None


@dataclass(slots=True, eq=False)
class Posted:
    """What the body of a question says, but for the key; costs also in millionths.

    `free` and `confined` name it among what is remembered of a key: of one for which it does
    not matter where it is used from, and of one for which it does.
    """

    place: Place
    scopes: frozenset[str]
    cost: Decimal
    byok_cost: Decimal
    millionths: int
    byok_millionths: int
    free: tuple
    confined: tuple
    text: Text | None = None
    # Of the key, as snapshots.py has it.
    digest: bytes = b""


NOWHERE = Place.of(None)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON.")


_json = json.JSONDecoder(parse_constant=_refuse_constant)


class Reader:
    """Reads requests, and remembers what it read before: whole ways, and their parts.

    There may be many ways, each of some user's of some client; of parts there are fewer.
    """

    def __init__(self) -> None:
        self._proxy_ways: dict[tuple, Way | None] = {}
        self._asker_ways: dict[tuple, Way | None] = {}
        self._places: dict[tuple, Place | None] = {}
        self._asked: dict[str, Asked | None] = {}
        self._addresses: dict[str, Place | None] = {}

    def proxy_way(self, environ: Environment) -> Way | None:
        """Return how a proxy asks, without a body; None also where it came the wrong way."""
        said = tuple(map(environ.get, _OF_WAY))
        try:
            return self._proxy_ways[said]
        except KeyError:
            read = partial(self._read_proxy_way, environ)
            return _kept(self._proxy_ways, said, _length(said), read, _LONGEST_WAY)

    def asker_way(self, environ: Environment) -> Way | None:
        """Return how a question is asked, before its body is read; None as above."""
        said = tuple(map(environ.get, _OF_WAY))
        try:
            return self._asker_ways[said]
        except KeyError:
            read = partial(self._read_asker_way, environ)
            return _kept(self._asker_ways, said, _length(said), read, _LONGEST_WAY)

    def _read_proxy_way(self, environ: Environment) -> Way | None:
        asked, place = self._read_asked(environ), self._place(environ)
        if asked is None or place is None:
            return None
        query, cost = environ.get("QUERY_STRING", ""), usage.millionths(asked.cost)
        return Way(place, _agent(environ), query=query, asked=asked, cost=cost)

    def _read_asker_way(self, environ: Environment) -> Way | None:
        length, place = _read_length(environ), self._place(environ)
        if length is None or place is None:
            return None
        return Way(place, _agent(environ), length=length)

    def _place(self, environ: Environment) -> Place | None:
        """Return where a request comes from, if it came by the host and scheme it should."""
        get = environ.get
        said = (
            get("REMOTE_ADDR"),
            get("HTTP_X_FORWARDED_FOR"),
            get("HTTP_HOST"),
            get("HTTP_X_FORWARDED_PROTO"),
            get("wsgi.url_scheme"),
        )
        try:
            return self._places[said]
        except KeyError:
            return _kept(self._places, said, _length(said), partial(_read_place, environ))

    def _read_asked(self, environ: Environment) -> Asked | None:
        get = environ.get
        if (
            get("CONTENT_LENGTH") not in _NO_BODY
            or environ["REQUEST_METHOD"] not in _METHODS
            or get("CONTENT_TYPE")
            or get("HTTP_TRANSFER_ENCODING")
            or get("SCRIPT_NAME")
        ):
            return None
        query = get("QUERY_STRING", "")
        try:
            return self._asked[query]
        except KeyError:
            return _kept(self._asked, query, len(query), partial(_read_asked, environ))

    def posted(self, body: bytes) -> tuple[str, Posted] | None:
        """Return the key that a question is about, and what else its body says."""
        try:
            data = _json.decode(body.decode())
        except (ValueError, RecursionError):
            return None
        if not isinstance(data, dict) or not data.keys() <= _MEMBERS:
            return None
        key, scopes = data.get("key"), data.get("scopes", [])
        if not isinstance(key, str) or not _SECRET.fullmatch(key):
            return None
        if (
            not isinstance(scopes, list)
            or len(scopes) > MAX_SCOPES
            or not all(map(_is_text, scopes))
        ):
            return None
        place = self._address(data["ip"]) if "ip" in data else NOWHERE
        cost = _read_amount(data["cost"]) if "cost" in data else _ONE
        byok_cost = _read_amount(data["byok_cost"]) if "byok_cost" in data else _ZERO
        if place is None or cost is None or byok_cost is None:
            return None
        asked = frozenset(scopes)
        return key, Posted(
            place,
            asked,
            cost,
            byok_cost,
            usage.millionths(cost),
            usage.millionths(byok_cost),
            ("verify", asked),
            ("verify", asked, place.name),
        )

    def _address(self, text: Any) -> Place | None:
        if not isinstance(text, str):
            return None
        try:
            return self._addresses[text]
        except KeyError:
            return _kept(self._addresses, text, len(text), partial(_read_address, text))


def _kept(
    memory: dict,
    name: Any,
    length: int,
    read: Callable[[], Any],
    longest: int = _LONGEST_REMEMBERED,
) -> Any:
    found = read()
    if length <= longest:
        if len(memory) >= _MOST_REMEMBERED:
            memory.clear()
        memory[name] = found
    return found


def _length(said: tuple) -> int:
    return sum(len(text) for text in said if text)


def _read_place(environ: Environment) -> Place | None:
    meta = dict(environ)
    address, is_proxied = networks.source(meta, settings.TRUSTED_PROXIES)
    if not is_proxied:
        meta.pop("HTTP_X_FORWARDED_PROTO", None)
    request = WSGIRequest(meta)
    try:
        request.get_host()
    except SuspiciousOperation:
        return None
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        return None
    return Place.of(address)


def _read_asked(environ: Environment) -> Asked | None:
    request = Request(WSGIRequest(dict(environ)))
    try:
        refuse_unknown_parameters(request, ASKED_PARAMETERS)
        asked = read_asked(request.query_params)
    except (APIException, SuspiciousOperation):
        return None
    return asked if asked.cost <= MAX_COST else None


def _read_length(environ: Environment) -> int | None:
    get = environ.get
    length = get("CONTENT_LENGTH") or ""
    if (
        environ["REQUEST_METHOD"] != "POST"
        or get("CONTENT_TYPE") not in _JSON
        or get("QUERY_STRING")
        or get("HTTP_TRANSFER_ENCODING")
        or get("SCRIPT_NAME")
        or not _LENGTH.fullmatch(length)
    ):
        return None
    return int(length) if int(length) <= settings.API_MAX_BODY_BYTES else None


def _agent(environ: Environment) -> str:
    return printable(environ.get("HTTP_USER_AGENT", ""))


def _read_address(text: str) -> Place | None:
    try:
        return Place.of(networks.parse_address(text))
    except ValueError:
        return None


def _read_amount(value: Any) -> Decimal | None:
    try:
        amount = _AMOUNT.run_validation(value)
    except ValidationError:
        return None
    return amount if amount <= MAX_COST else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and _TEXT.fullmatch(value) is not None
