"""`manage.py revoke_key`: end a key at once, and say where that is known."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from keys import policy, services
from keys.models import APIKey


class Command(BaseCommand):
    """Revokes as the operator."""

    help = "Revoke a key for good. With --wait, say which hosts confirmed that none accepts it."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "identifier", help="the key's identifier, as its page's address has it; no secret"
        )
        parser.add_argument(
            "--wait",
            action="store_true",
            help="wait until every host confirmed that it knows; fails when some did not",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        key = APIKey.objects.live().filter(identifier=options["identifier"]).first()
        if key is None:
            # Not repeated: somebody may have given a secret.
            raise CommandError("There is no such key, or it is revoked already.")
        try:
            if options["wait"]:
                self._tell(services.revoke_key_everywhere(actor=policy.OPERATOR, key=key))
            else:
                services.revoke_key(actor=policy.OPERATOR, key=key)
                self.stdout.write(f"“{key.name}” is revoked.")
        except APIKey.DoesNotExist:
            raise CommandError("Somebody else revoked it at this moment.") from None

    def _tell(self, revocation: services.Revocation) -> None:
        self.stdout.write(f"“{revocation.key.name}” is revoked.")
        for host in revocation.confirmed:
            self.stdout.write(f"confirmed: {host}")
        for host in revocation.missing:
            self.stdout.write(f"not confirmed: {host}")
        if revocation.missing:
            raise CommandError(
                "Some hosts did not confirm: cut off, or stopped. They stop accepting the key by "
                f"themselves, {revocation.lease_seconds:g} s after it was revoked at the latest."
            )
        if not revocation.confirmed:
            self.stdout.write("No process judges keys at this moment.")
