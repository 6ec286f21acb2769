"""Take over keys that were issued elsewhere, with what is known of their secrets."""

from keys.services.importing.importer import import_keys
from keys.services.importing.report import ImportOptions, ImportReport

__all__ = ["ImportOptions", "ImportReport", "import_keys"]
