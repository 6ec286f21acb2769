"""The one domain app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class KeysConfig(AppConfig):
    """Organizations, API keys, scopes and allowed IPs."""

    name = "keys"
    verbose_name = "Keyhaven"

    def ready(self) -> None:
        from keys import audit_guard, checks, connections, feed, generations, trigrams  # noqa: F401  (registers)
        from keys.services.builtins import sync_built_ins
        from keys.services.shared_secrets import reseal_secrets

        connections.watch()
        generations.watch()
        generations.announce = feed.announce
        post_migrate.connect(sync_built_ins, sender=self)
        post_migrate.connect(trigrams.prepare, sender=self)
        post_migrate.connect(audit_guard.prepare, sender=self)
        post_migrate.connect(reseal_secrets, sender=self)
