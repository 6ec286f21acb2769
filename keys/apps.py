"""The one domain app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class KeysConfig(AppConfig):
    """Organizations, API keys, scopes and allowed IPs."""

    name = "keys"
    verbose_name = "Keyhaven"

    def ready(self) -> None:
        from keys import checks  # noqa: F401  (registers them)
        from keys.services.builtins import sync_built_ins
        from keys.services.shared_secrets import reseal_shared_secrets

        post_migrate.connect(sync_built_ins, sender=self)
        post_migrate.connect(reseal_shared_secrets, sender=self)
