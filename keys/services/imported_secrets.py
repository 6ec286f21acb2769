"""What becomes of secrets that another system made once they are here."""

import hmac

from django.conf import settings

from keys import secrets
from keys.foreign import Scheme, known_digests, wrap
from keys.models import ImportedSecret


def rewrap_origin(secret_id: int, secret: str) -> None:
    """Keep by the newest pepper what another system kept of a secret that was just presented."""
    number, pepper = secrets.current_pepper(settings.KEY_PEPPERS)
    row = ImportedSecret.objects.filter(secret=secret_id).exclude(digest=None).first()
    if row is None or row.digest is None or row.pepper_id == number:
        return
    scheme = Scheme(row.format.scheme)
    old = settings.KEY_PEPPERS.get(row.pepper_id)
    for digest in known_digests(secret, scheme, settings.IMPORTED_PEPPERS):
        # Of several peppers of the other system, the one that this secret was kept under.
        if old is not None and hmac.compare_digest(wrap(digest, scheme, old), row.digest):
            row.digest, row.pepper_id = wrap(digest, scheme, pepper), number
            row.save(update_fields=["digest", "pepper_id"])
