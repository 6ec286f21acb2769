"""How the secrets of an import look: few shapes, whatever the file says."""

from collections.abc import Iterable
from dataclasses import replace

from django.db import transaction

from keys.foreign import Shape
from keys.models import ImportedFormat

# Everything that is presented and is no secret of ours is held against all of them.
MOST_SHAPES = 64


class Shapes:
    """The shapes that the installation knows, and those that an import adds."""

    def __init__(self) -> None:
        self._rows = {(row.scheme, row.prefix, row.alphabet): row for row in _stored()}
        self._known = {name: row.shape for name, row in self._rows.items()}
        self._made: list[int] = []

    def settle(self, shape: Shape) -> Shape:
        """Return the shape under which such secrets are looked for, as it is up to now."""
        name = _name(shape)
        if name not in self._known and len(self._known) >= MOST_SHAPES:
            # Too many prefixes: what looks like anything has none.
            shape = replace(shape, prefix="", alphabet="visible")
            name = _name(shape)
        known = self._known.get(name)
        self._known[name] = found = known.widened(shape) if known else shape
        return found

    def row_of(self, shape: Shape) -> ImportedFormat:
        """Return the stored row of a shape that was settled, and stored since."""
        return self._rows[_name(self.settle(shape))]

    def store(self) -> None:
        """Let every process look for what was settled; it is there before the first secret is."""
        changed = {
            name: shape
            for name, shape in self._known.items()
            if name not in self._rows or self._rows[name].shape != shape
        }
        if not changed:
            return
        with transaction.atomic():
            for (scheme, prefix, alphabet), shape in changed.items():
                lengths = {"shortest": shape.shortest, "longest": shape.longest}
                row, is_new = ImportedFormat.objects.select_for_update(no_key=True).get_or_create(
                    scheme=scheme, prefix=prefix, alphabet=alphabet, defaults=lengths
                )
                if is_new:
                    self._made.append(row.pk)
                both = row.shape.widened(shape)
                if both != row.shape:
                    row.shortest, row.longest = both.shortest, both.longest
                    row.save(update_fields=["shortest", "longest"])
                self._rows[scheme, prefix, alphabet] = row

    def drop_unused(self) -> None:
        """Take back what an import stored that then wrote no key."""
        ImportedFormat.objects.filter(pk__in=self._made, secrets=None).delete()


def _stored() -> Iterable[ImportedFormat]:
    return ImportedFormat.objects.all()


def _name(shape: Shape) -> tuple[str, str, str]:
    return (shape.scheme.value, shape.prefix, shape.alphabet)
