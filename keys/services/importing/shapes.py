"""How the secrets of an import look: few shapes, whatever the file says."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from keys.foreign import Shape
from keys.models import ImportedFormat

# Everything that is presented and is no secret of ours is held against all of them.
MOST_SHAPES = 64
# What no key has had for so long is no import's that is under way.
_ABANDONED_AFTER = timedelta(days=1)

# Scheme, prefix and alphabet.
Name = tuple[str, str, str]


class Shapes:
    """The shapes that the installation knows, and those that an import adds."""

    def __init__(self) -> None:
        self._rows = {(row.scheme, row.prefix, row.alphabet): row for row in _stored()}
        self._known = {name: row.shape for name, row in self._rows.items()}
        # Those that this import uses, and those of them that nobody else takes away.
        self._used: set[Name] = set()
        self._kept: set[Name] = set()
        # Number of each row that it made -> the date that it gave it.
        self._made: dict[int, datetime] = {}

    def settle(self, shape: Shape) -> Shape:
        """Return the shape under which such secrets are looked for, as it is up to now."""
        name = _name(shape)
        if name not in self._known and len(self._known) >= MOST_SHAPES:
            # Too many prefixes: what looks like anything has none.
            shape = replace(shape, prefix="", alphabet="visible")
            name = _name(shape)
        known = self._known.get(name)
        self._known[name] = found = known.widened(shape) if known else shape
        self._used.add(name)
        return found

    def row_of(self, shape: Shape) -> ImportedFormat:
        """Return the stored row of a shape that was settled, and stored since."""
        return self._rows[_name(self.settle(shape))]

    def store(self) -> None:
        """Let every process look for what was settled; it is there before the first secret is."""
        new = [name for name in self._used if not self._is_stored(name)]
        if not new:
            return
        with transaction.atomic():
            for name in new:
                row = self._rows[name] = self._store(name, self._known[name])
                self._known[name] = row.shape
        self._kept.update(new)

    def drop_unused(self) -> None:
        """Take back what an import stored that then wrote no key, and that no other uses."""
        with transaction.atomic():
            rows = ImportedFormat.objects.select_for_update().filter(pk__in=self._made)
            _delete_unused(row for row in rows if row.created_at == self._made[row.pk])

    def _is_stored(self, name: Name) -> bool:
        return name in self._kept and self._rows[name].shape == self._known[name]

    def _store(self, name: Name, shape: Shape) -> ImportedFormat:
        scheme, prefix, alphabet = name
        lengths = {"shortest": shape.shortest, "longest": shape.longest}
        row, is_new = ImportedFormat.objects.select_for_update(no_key=True).get_or_create(
            scheme=scheme, prefix=prefix, alphabet=alphabet, defaults=lengths
        )
        if is_new:
            self._made[row.pk] = row.created_at
            return row
        both = row.shape.widened(shape)
        is_anothers = name not in self._kept and not row.secrets.exists()
        if is_anothers:
            # An import under way made it. Should that fail, the date says that we use it.
            row.created_at = max(timezone.now(), row.created_at + timedelta(microseconds=1))
        if is_anothers or both != row.shape:
            row.shortest, row.longest = both.shortest, both.longest
            row.save(update_fields=["shortest", "longest", "created_at"])
        return row


def drop_abandoned(*, now: datetime) -> int:
    """Delete what no key has and no import is about to use; return how many shapes that were.

    Imports that failed together leave it, processes that were killed, and keys since deleted.
    """
    with transaction.atomic():
        # What somebody is writing keys of is used, and not waited for.
        rows = ImportedFormat.objects.select_for_update(skip_locked=True)
        return _delete_unused(rows.filter(created_at__lt=now - _ABANDONED_AFTER))


def _delete_unused(rows: Iterable[ImportedFormat]) -> int:
    unused = [row.pk for row in rows if not row.secrets.exists()]
    return ImportedFormat.objects.filter(pk__in=unused).delete()[0]


def _stored() -> Iterable[ImportedFormat]:
    return ImportedFormat.objects.all()


def _name(shape: Shape) -> Name:
    return (shape.scheme.value, shape.prefix, shape.alphabet)
