"""Under which digests a secret of a file is stored, and by which it may be here already."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from keys import imported_formats, secrets
from keys.foreign import WRAPPED, Scheme, Shape, wrap
from keys.models import KeySecret
from keys.moves.candidates import GivenSecret, TroubleError


@dataclass(frozen=True, slots=True)
class PlannedSecret:
    """A secret as it is to be written."""

    row: KeySecret
    # Where another system made it: how it looks, and what that system kept of it, wrapped.
    shape: Shape | None
    origin: str | None
    origin_pepper: int
    # All digests under which it may be stored.
    names: tuple[str, ...]


class Planner:
    """Knows this installation's peppers."""

    def __init__(self) -> None:
        self._number, self._pepper = secrets.current_pepper(settings.KEY_PEPPERS)
        self._by_fingerprint = fingerprints(settings.KEY_PEPPERS)

    def plan(self, given: GivenSecret) -> PlannedSecret:
        """Return how a secret is written. Raises TroubleError."""
        if given.text is not None:
            return self._plan_known(given, given.text)
        if given.digest is not None and given.scheme is not None:
            return self._plan_foreign(given, given.digest, given.scheme)
        return self._plan_stored(given)

    def _plan_known(self, given: GivenSecret, text: str) -> PlannedSecret:
        if given.shape is None:
            names = tuple(secrets.digests(text, settings.KEY_PEPPERS))
        else:
            names = tuple(imported_formats.all_digests(text))
        stored = secrets.digest(text, self._pepper)
        return self._planned(given, stored, self._number, None, names)

    def _plan_foreign(self, given: GivenSecret, digest: bytes, scheme: Scheme) -> PlannedSecret:
        if scheme is Scheme.NETBOX:
            theirs, _colon, _rest = digest.partition(b":")
            _require_pepper(int(theirs) in settings.IMPORTED_PEPPERS)
        names = {
            number: wrap(digest, scheme, pepper) for number, pepper in settings.KEY_PEPPERS.items()
        }
        stored = names[self._number]
        return self._planned(given, stored, WRAPPED, stored, tuple(names.values()))

    def _plan_stored(self, given: GivenSecret) -> PlannedSecret:
        number = self._by_fingerprint.get(given.pepper or "")
        if number is None or given.stored is None:
            raise TroubleError(
                "secrets",
                _("This secret is stored under a pepper that this installation does not have."),
                _("Whoever runs the portal adds it to KEY_PEPPERS, under a lower number."),
            )
        _require_pepper(
            bool(settings.IMPORTED_PEPPERS)
            or not given.is_wrapped
            or given.scheme is not Scheme.NETBOX
        )
        names = tuple(filter(None, (given.stored, given.stored_origin)))
        known_by = WRAPPED if given.is_wrapped else number
        planned = self._planned(given, given.stored, known_by, given.stored_origin, names)
        return planned if planned.shape is None else _with_pepper(planned, number)

    def _planned(
        self,
        given: GivenSecret,
        stored: str,
        pepper_id: int,
        origin: str | None,
        names: tuple[str, ...],
    ) -> PlannedSecret:
        row = KeySecret(digest=stored, pepper_id=pepper_id, label=given.label, **given.facts)
        return PlannedSecret(row, given.shape, origin, self._number, names)


def fingerprints(peppers: Mapping[int, bytes]) -> dict[str, int]:
    """Return {fingerprint: number} of these peppers."""
    return {secrets.fingerprint(pepper): number for number, pepper in peppers.items()}


def _with_pepper(planned: PlannedSecret, number: int) -> PlannedSecret:
    return PlannedSecret(planned.row, planned.shape, planned.origin, number, planned.names)


def _require_pepper(is_known: bool) -> None:
    if not is_known:
        raise TroubleError(
            "pepper_id",
            _("Nothing here knows the pepper that NetBox kept this token under."),
            _("Whoever runs the portal adds it to IMPORTED_PEPPERS."),
        )
