"""Which secrets of other systems this installation took over: remembered by each process.

Nothing imported, nothing asked: garbage then costs no query. Otherwise what looks like an
imported secret costs the one query that a secret of ours does.
"""

import time
from collections.abc import Iterable
from typing import NamedTuple

from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    InterfaceError,
    OperationalError,
    connections,
)

from keys import foreign, secrets
from keys.board import EVERYTHING, is_settled
from keys.foreign import Scheme, Shape
from keys.generations import board
from keys.models import ImportedFormat

# How long shapes are believed while other hosts' changes are not heard of. A secret that was
# just imported elsewhere may be refused for so long; none is accepted that should not be.
_RECHECK_SECONDS = 1.0


_KEPT_BY_OTHERS = (Scheme.SHA256, Scheme.SHA512, Scheme.NETBOX)


class _Known(NamedTuple):
    everything: int
    read_at: float
    shapes: tuple[Shape, ...]


# Whether it was read in a transaction -> what was read. What a transaction has seen may be
# older than it seems, so it counts there alone.
_remembered: dict[bool, _Known] = {}


def digests_of(presented: str, *, is_trusting: bool) -> list[str]:
    """Return under which digests the secret may be stored if another system made it.

    Empty when nothing imported looks so, and where the secret begins as only ours do: no import
    makes others' mistyped keys worth a query. `is_trusting` says whether other hosts' changes
    are heard of. Raises board.StateError.
    """
    if presented.startswith(foreign.NEVER_FOREIGN):
        return []
    schemes = {shape.scheme for shape in _shapes(is_trusting) if shape.matches(presented)}
    if not schemes:
        return []
    return [
        *secrets.digests(presented, settings.KEY_PEPPERS),
        *wrapped_digests(presented, sorted(schemes)),
    ]


def all_digests(secret: str) -> list[str]:
    """Return under which digests the secret may be stored if any system made it.

    As many for every secret: what was imported here has no part in it.
    """
    return [
        *secrets.digests(secret, settings.KEY_PEPPERS),
        *wrapped_digests(secret, _KEPT_BY_OTHERS),
    ]


def wrapped_digests(secret: str, schemes: Iterable[foreign.Scheme]) -> list[str]:
    """Return under which digests a secret is stored while only another system's is known."""
    return foreign.wrapped_digests(secret, schemes, settings.KEY_PEPPERS, settings.IMPORTED_PEPPERS)


def _shapes(is_trusting: bool) -> tuple[Shape, ...]:
    everything = board().slots[EVERYTHING]
    known = _remembered.get(False)
    if known is not None and known.everything == everything and is_trusting:
        # In a transaction, too: nothing changed since, not by itself either.
        return known.shapes
    is_inside = connections[DEFAULT_DB_ALIAS].in_atomic_block
    known = _remembered.get(is_inside)
    if (
        known is not None
        and known.everything == everything
        and (is_trusting or time.monotonic() - known.read_at < _RECHECK_SECONDS)
    ):
        return known.shapes
    read_at = time.monotonic()
    try:
        shapes = _read(is_inside)
    except DatabaseError:
        if known is None:
            raise
        # Nobody is let in by a shape: what looks like one is still asked of the database.
        return known.shapes
    if is_settled(everything):
        _remembered[is_inside] = _Known(everything, read_at, shapes)
    return shapes


def _read(is_inside: bool) -> tuple[Shape, ...]:
    rows = ImportedFormat.objects.all()
    try:
        return tuple(row.shape for row in rows)
    except (OperationalError, InterfaceError):
        if is_inside:
            raise
        # The server ended an idle connection, or is another one since a failover.
        connections[DEFAULT_DB_ALIAS].close()
        return tuple(row.shape for row in rows)
