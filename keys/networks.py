"""Where a request comes from, and whether a list of networks holds that address. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from django.utils.translation import gettext

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Nothing else occurs in an address or a CIDR range. Python's parser would also
# take zone ids and other scripts' digits, which other software reads differently.
_PLAIN = re.compile(r"[0-9A-Fa-f:./]{2,49}")

# How many ranges a sentence names.
_MAX_PARTS = 6

# So much of an IPv6 address its subscriber does not choose.
_SUBSCRIBER_BITS = 64

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def gettext_noop(sentence: str) -> str:
    """Mark a sentence for translation. Django's own needs the settings, which read networks."""
    return sentence


_MISWRITTEN = gettext_noop(
    "“%(text)s” is not an IP address or range; use the form 192.0.2.1, "
    "192.0.2.0/24 or 2001:db8::/32."
)
_NEITHER = gettext_noop("“%(text)s” is not an IP address or range.")
_NO_ADDRESS = gettext_noop(
    "“%(text)s” is not an IP address; use the form 192.0.2.1 or 2001:db8::1."
)


class AddressError(ValueError):
    """Says in the reader's language what is wrong with an address or range, and the likely fix.

    `english` says it where there are no languages yet: while the settings are read.
    """

    def __init__(self, sentence: str, **values: object) -> None:
        self.sentence, self.values = sentence, values
        super().__init__(self.english)

    @property
    def english(self) -> str:
        return self.sentence % self.values

    def __str__(self) -> str:
        return gettext(self.sentence) % self.values


def parse_network(text: str) -> Network:
    """Return the network that `text` names: an address or a CIDR range, IPv4 or IPv6.

    Raises AddressError.
    IPv4-mapped IPv6 (`::ffff:10.0.0.0/104`) becomes the IPv4 network it stands for.
    """
    text = text.strip()
    if "%" in text:
        raise AddressError(
            gettext_noop("“%(text)s” names a zone; give the address without it."), text=text
        )
    if not _PLAIN.fullmatch(text):
        raise AddressError(_MISWRITTEN, text=text)
    address, slash, prefix = text.partition("/")
    if slash and not (prefix.isdecimal() and str(int(prefix)) == prefix):
        raise AddressError(
            gettext_noop("“%(text)s”: write the size of a range as a number, as in 192.0.2.0/24."),
            text=text,
        )
    try:
        network = ipaddress.ip_network(text, strict=False)
        exact = ipaddress.ip_address(address)
    except ValueError:
        raise AddressError(_explain_bad_address(address), text=text) from None
    if network.network_address != exact:
        raise AddressError(
            gettext_noop("“%(text)s” has host bits set; did you mean %(network)s?"),
            text=text,
            network=network,
        )
    return _unmap_network(network)


def canonical_network(text: str) -> str:
    """Return the one spelling of a network: an address alone, or `address/prefix`.

    Raises AddressError.
    """
    network = parse_network(text)
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def spanned_network(first: Address, last: Address) -> str:
    """Return the one network, canonical, that holds exactly the addresses from first to last.

    Raises AddressError when there is none, and then names the networks that do together.
    """
    try:
        parts = list(islice(ipaddress.summarize_address_range(first, last), _MAX_PARTS + 1))
    except (TypeError, ValueError):  # of two versions, or backwards
        raise AddressError(
            gettext_noop("No range goes from %(first)s to %(last)s."), first=first, last=last
        ) from None
    if len(parts) == 1:
        return canonical_network(str(parts[0]))
    names = ", ".join([*map(str, parts[:_MAX_PARTS]), *(["…"] if len(parts) > _MAX_PARTS else [])])
    raise AddressError(
        gettext_noop("%(first)s to %(last)s is no one CIDR range; list each of %(names)s."),
        first=first,
        last=last,
        names=names,
    )


def parse_address(text: str) -> Address:
    """Return the address that `text` names, IPv4-mapped IPv6 unfolded.

    Raises AddressError when it is anything but one plain address.
    """
    try:
        network = parse_network(text)
    except AddressError as error:
        if error.sentence not in (_MISWRITTEN, _NEITHER):
            raise
        # Whoever wants one address shall not be told of ranges.
        raise AddressError(_NO_ADDRESS, **error.values) from None
    if "/" in text:
        raise AddressError(
            gettext_noop("“%(text)s” is a range; give one address."), text=text.strip()
        )
    return network.network_address


def subscriber(address: Address) -> Network:
    """Return the network of whoever has this address: of IPv6, one is given as many as a /64."""
    size = address.max_prefixlen if address.version == 4 else _SUBSCRIBER_BITS
    return ipaddress.ip_network((address, size), strict=False)


def is_everywhere(network: str) -> bool:
    """Say whether a canonical network holds every address of its kind."""
    return network.endswith("/0")


def contains(networks: Iterable[str], address: Address) -> bool:
    """Say whether one of these canonical networks holds the address."""
    return any(
        address.version == network.version and address in network
        for network in map(_interned_network, networks)
    )


def covers(networks: Iterable[str], network: str) -> bool:
    """Say whether one of these canonical networks holds all of that one."""
    inner = _interned_network(network)
    return any(
        inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]
        for outer in map(_interned_network, networks)
    )


def meets(networks: Iterable[str], network: str) -> bool:
    """Say whether one of these canonical networks has an address in common with that one."""
    other = _interned_network(network)
    return any(
        other.version == each.version and other.overlaps(each)
        for each in map(_interned_network, networks)
    )


class Confinement(NamedTuple):
    """From where something may be used, in canonical networks, as in a verification."""

    # None: from anywhere; empty: from nowhere.
    allowed: tuple[str, ...] | None
    denied: tuple[str, ...]

    def is_within(self, outer: "Confinement") -> bool:
        """Say whether `outer` allows every address that this allows."""
        if outer.allowed is not None and (
            self.allowed is None
            or not all(covers(outer.allowed, network) for network in self.allowed)
        ):
            return False
        return all(self._refuses(network) for network in outer.denied)

    def _refuses(self, network: str) -> bool:
        if covers(self.denied, network):
            return True
        return self.allowed is not None and not meets(self.allowed, network)


class Source(NamedTuple):
    """Where a request came from."""

    # None when it cannot be told.
    address: Address | None
    # Whether the peer of the connection is a trusted proxy, whose headers count.
    is_proxied: bool


def source(meta: Mapping[str, str], trusted_proxies: Sequence[str]) -> Source:
    """Return where a request came from.

    `meta` is the WSGI environment. Without trusted proxies that is the peer of the
    connection, whatever the headers say. When the peer is a trusted proxy,
    X-Forwarded-For is read from right to left up to the first hop that is not one
    of ours; a malformed hop makes the address None rather than a guess. So does a
    header without text: servers hand on as empty what they could not decode.
    """
    try:
        peer = parse_address(meta.get("REMOTE_ADDR", ""))
    except ValueError:
        return Source(None, is_proxied=False)
    if not contains(trusted_proxies, peer):
        return Source(peer, is_proxied=False)
    forwarded = meta.get("HTTP_X_FORWARDED_FOR")
    address = peer if forwarded is None else _last_hop(forwarded, trusted_proxies)
    return Source(address, is_proxied=True)


def client_address(meta: Mapping[str, str], trusted_proxies: Sequence[str]) -> Address | None:
    """Return the address a request came from, or None when it cannot be told, as `source` does."""
    return source(meta, trusted_proxies).address


def _last_hop(forwarded: str, trusted_proxies: Sequence[str]) -> Address | None:
    """Return the last address of the list that is no trusted proxy; where all are, the first."""
    hop = None
    for text in reversed(forwarded.split(",")):
        try:
            hop = parse_address(text)
        except ValueError:
            return None
        if not contains(trusted_proxies, hop):
            break
    return hop


@lru_cache(maxsize=65536)
def _interned_network(text: str) -> Network:
    return parse_network(text)


def _unmap_network(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.ipv4_mapped
        return ipaddress.IPv4Network((address, network.prefixlen - 96))
    return network


def _explain_bad_address(address: str) -> str:
    octets = address.split(".")
    if any(len(octet) > 1 and octet.startswith("0") for octet in octets) and ":" not in address:
        return gettext_noop(
            "“%(text)s” has leading zeros, which some software reads as octal; leave them out."
        )
    return _NEITHER
