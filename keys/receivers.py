"""Sending a request to an address that somebody else chose, without becoming their tool.

Such an address may name this machine, a neighbour, or a cloud's metadata. So a name is resolved
here, each of its addresses is looked at, and the connection goes to one that was: a name that
leads elsewhere the second time changes nothing. No redirect is followed, no proxy of the
environment is asked, and an answer costs no more than so many bytes and seconds.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpcore
from django.utils.translation import gettext_lazy as _

from keys import networks
from keys.networks import Address

MAX_URL_LENGTH = 500
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
# So much of an answer is read, and no more.
MAX_ANSWER_BYTES = 16_384

# Not for the public, beside what `is_global` knows in every version of Python: relays and
# translators lead to IPv4 addresses of their own choice.
_NOT_PUBLIC = (
    *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
    *("224.0.0.0/3", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23"),
    *("2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/9", "ff00::/8"),
)

# Below it, services live that were never meant to be asked by a stranger's HTTP.
_FIRST_FREE_PORT = 1024


class NotAllowedError(Exception):
    """The address must not be asked; says why, for whoever chose it."""


class NoAnswerError(Exception):
    """Nothing came back: `reason` is a word of `REASONS`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


# Word -> what it says to people.
REASONS = {
    "refused": _("The address is not allowed: it is not public, or its name leads nowhere."),
    "unreachable": _("Nothing accepted the connection."),
    "tls": _("The connection could not be secured: look at the certificate."),
    "timeout": _("There was no answer in time."),
    "broken": _("What answered does not speak HTTP."),
}


@dataclass(frozen=True)
class Answer:
    """What a receiver answered: its status, and the beginning of its text."""

    status: int
    text: str


def is_public(address: Address) -> bool:
    """Say whether anybody on the internet could mean this address, and only its owner."""
    return (
        address.is_global
        and not address.is_multicast
        and not networks.contains(_NOT_PUBLIC, address)
    )


def is_allowed(address: Address, allowed: Iterable[str]) -> bool:
    """Say whether the portal may connect there: it is public, or in an allowed network."""
    return is_public(address) or networks.contains(allowed, address)


def check_url(url: str, allowed: Iterable[str]) -> SplitResult:
    """Return the parts of an address that may be asked, as far as its text tells.

    Where a name leads is looked at when it is asked. `allowed` are networks that need not be
    public. Raises NotAllowedError.
    """
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise NotAllowedError(_("Enter an address such as https://example.com/hooks."))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotAllowedError(_("Enter an address such as https://example.com/hooks.")) from None
    allowed = list(allowed)
    if parts.scheme != "https" and not (parts.scheme == "http" and allowed):
        raise NotAllowedError(_("The address begins with https://."))
    if not parts.hostname or "\\" in url:
        raise NotAllowedError(_("Enter an address such as https://example.com/hooks."))
    if parts.username is not None or parts.password is not None:
        raise NotAllowedError(
            _("Leave out the name and password: a signature says who is calling.")
        )
    if parts.fragment:
        raise NotAllowedError(_("Leave out what follows the #: no receiver sees it."))
    address = _literal(parts.hostname)
    if address is not None and not is_allowed(address, allowed):
        raise NotAllowedError(_("This address is not public; the portal does not connect to it."))
    if port is not None and port != 443 and port < _FIRST_FREE_PORT and parts.scheme == "https":
        raise NotAllowedError(_("Use port 443, or one from 1024."))
    return parts


def post(url: str, body: bytes, headers: Mapping[str, str], allowed: Iterable[str]) -> Answer:
    """Send a POST and return what is answered. Raises NotAllowedError and NoAnswerError."""
    allowed = list(allowed)
    parts = check_url(url, allowed)
    backend = _CheckedBackend(
        allowed, is_plain=parts.scheme == "http", until=time.monotonic() + TOTAL_SECONDS
    )
    fields = [*headers.items(), ("Host", parts.netloc), ("Connection", "close")]
    timeouts = {"connect": CONNECT_SECONDS, "read": TOTAL_SECONDS, "write": TOTAL_SECONDS}
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=_trusting(), network_backend=backend, max_keepalive_connections=0
            ) as pool,
            pool.stream(
                "POST",
                url,
                headers=fields,
                content=body,
                extensions={"timeout": timeouts},
            ) as response,
        ):
            return Answer(response.status, _beginning(response))
    except httpcore.TimeoutException:
        raise NoAnswerError("timeout") from None
    except httpcore.ConnectError as error:
        is_tls = isinstance(error.__context__, ssl.SSLError)
        raise NoAnswerError("tls" if is_tls else "unreachable") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, ValueError):
        raise NoAnswerError("broken") from None


def resolve(host: str, port: int, seconds: float) -> list[Address]:
    """Return the addresses to which a name leads now; none when it leads nowhere.

    Raises httpcore.ConnectTimeout when nobody tells within so many seconds.
    """
    found: Future[list[Address]] = Future()
    # The system has no such limit: a thread of its own waits for what nobody waits for any more.
    threading.Thread(target=_look_up, args=(host, port, found), daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError:
        raise httpcore.ConnectTimeout from None


def _look_up(host: str, port: int, found: Future[list[Address]]) -> None:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        texts = dict.fromkeys(str(each[4][0]).partition("%")[0] for each in infos)
        found.set_result([networks.parse_address(text) for text in texts])
    except (OSError, UnicodeError):
        found.set_result([])
    except Exception as error:  # told to whoever waits
        found.set_exception(error)


def _literal(host: str) -> Address | None:
    try:
        return networks.parse_address(host)
    except ValueError:
        return None


def _beginning(response: httpcore.Response) -> str:
    taken = b""
    for part in response.iter_stream():
        taken += part
        if len(taken) >= MAX_ANSWER_BYTES:
            break
    return taken[:MAX_ANSWER_BYTES].decode("utf-8", errors="replace")


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to addresses that were looked at, and to none in place of them."""

    def __init__(self, allowed: list[str], *, is_plain: bool, until: float) -> None:
        self.allowed, self.is_plain, self.until = allowed, is_plain, until
        self.inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = resolve(host, port, self._left(CONNECT_SECONDS))
        # One that is not allowed spoils the name: whoever owns it plays games.
        if not addresses or not all(self._may_ask(each) for each in addresses):
            raise NotAllowedError(REASONS["refused"])
        error: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in addresses:
            try:
                stream = self.inner.connect_tcp(
                    str(address), port, self._left(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as problem:
                error = problem
            else:
                return _Hurried(stream, self.until)
        assert error is not None  # noqa: S101 - there was an address
        raise error

    def _may_ask(self, address: Address) -> bool:
        if self.is_plain:
            return networks.contains(self.allowed, address)
        return is_allowed(address, self.allowed)

    def _left(self, timeout: float | None) -> float:
        return _seconds_left(self.until, timeout)


class _Hurried(httpcore.NetworkStream):
    """A stream that ends at a moment, however often a little of something comes."""

    def __init__(self, inner: httpcore.NetworkStream, until: float) -> None:
        self.inner, self.until = inner, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.inner.read(max_bytes, _seconds_left(self.until, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, _seconds_left(self.until, timeout))

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _seconds_left(self.until, timeout)
        return _Hurried(self.inner.start_tls(ssl_context, server_hostname, left), self.until)

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


def _seconds_left(until: float, timeout: float | None) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left if timeout is None else min(left, timeout)
