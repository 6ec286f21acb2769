"""What each new connection to PostgreSQL is told, so that it plans for what we ask.

Pages look up some rows among very many, and stop when they have enough. PostgreSQL's defaults
are for disks that turn: it reads whole tables rather than follow an index a few thousand
times, and compiles what then takes a moment.
"""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_SETTINGS = "SET random_page_cost = 1.1; SET jit = off"


def watch() -> None:
    """Tell every connection that is made from now on."""
    connection_created.connect(_tell, dispatch_uid="keys.connections")


def _tell(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if connection.vendor == "postgresql":
        # Past Django's cursor: it is no query of whoever happens to be the first.
        connection.connection.execute(_SETTINGS)
