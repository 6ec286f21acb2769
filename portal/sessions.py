"""Sessions, as they are stored: `SESSION_ENGINE`."""

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.db import InternalError, OperationalError


class SessionStore(db.SessionStore):
    """A session in the database; one that cannot be stored is not taken for one that ended."""

    def save(self, must_create: bool = False) -> None:
        """Store it. Raises UpdateError when it ended meanwhile, else what the database says."""
        try:
            super().save(must_create)
        except UpdateError as error:
            # Django makes one of whatever the database says, a full disk too.
            failure = error.__context__
            if isinstance(failure, OperationalError | InternalError):
                # With its cause, which tells whether it may pass.
                raise failure from failure.__cause__
            raise
