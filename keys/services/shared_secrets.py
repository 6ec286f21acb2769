"""An organization's shared secret: what its clients sign with in the token exchange.

It opens nothing alone: the token that it signs carries a key, which is judged as ever.
"""

from contextlib import suppress

from django.apps import apps as installed_apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils.translation import gettext as _

from keys import encryption, policy, secrets
from keys.models import Organization
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit


def reveal_shared_secret(*, actor: Actor, organization: Organization) -> str:
    """Return the organization's shared secret, made now if there is none.

    Raises PermissionDenied; ValidationError when the pepper that sealed it is gone.
    """
    policy.require(actor, Permission.REVEAL_SHAREDSECRET, organization)
    with transaction.atomic():
        organization = Organization.objects.select_for_update().get(pk=organization.pk)
        if not organization.sealed_shared_secret:
            _replace(organization)
        try:
            shared_secret = read_shared_secret(organization)
        except encryption.UnreadableError:
            raise ValidationError(
                _("The pepper that sealed the shared secret is gone; replace the shared secret.")
            ) from None
        audit.record(
            actor=actor,
            action="organization.shared_secret_revealed",
            obj=organization,
            organization=organization,
        )
    return shared_secret


def rotate_shared_secret(*, actor: Actor, organization: Organization) -> str:
    """Give the organization a new shared secret and return it. Raises PermissionDenied.

    No client can exchange its key until it is configured with the new one; keys and
    the tokens handed out before keep working.
    """
    policy.require(actor, Permission.ROTATE_SHAREDSECRET, organization)
    with transaction.atomic():
        organization = Organization.objects.select_for_update().get(pk=organization.pk)
        _replace(organization)
        audit.record(
            actor=actor,
            action="organization.shared_secret_rotated",
            obj=organization,
            organization=organization,
        )
    return read_shared_secret(organization)


def read_shared_secret(organization: Organization) -> str:
    """Return the shared secret, to check a signature with it; empty when there is none.

    Whoever calls must not show it. Raises encryption.UnreadableError.
    """
    sealed = organization.sealed_shared_secret
    return encryption.unseal(sealed, settings.KEY_PEPPERS) if sealed else ""


def reseal_shared_secrets(*, using: str = DEFAULT_DB_ALIAS, apps=installed_apps, **kwargs) -> None:
    """Seal every shared secret with the newest pepper, so that an older one can be retired.

    Runs after each migration. What no known pepper opens stays as it is: its
    pepper may come back.
    """
    try:
        organizations = apps.get_model("keys", "Organization").objects.using(using)
    except LookupError:  # migrated back to nothing
        return
    peppers = settings.KEY_PEPPERS
    for organization in organizations.exclude(sealed_shared_secret=""):
        sealed = organization.sealed_shared_secret
        if encryption.is_sealed_by_newest(sealed, peppers):
            continue
        with suppress(encryption.UnreadableError):
            again = encryption.seal(encryption.unseal(sealed, peppers), peppers)
            # Not over a rotation that happens meanwhile.
            organizations.filter(pk=organization.pk, sealed_shared_secret=sealed).update(
                sealed_shared_secret=again
            )


def _replace(organization: Organization) -> None:
    shared_secret = secrets.generate_shared_secret()
    organization.sealed_shared_secret = encryption.seal(shared_secret, settings.KEY_PEPPERS)
    organization.save(update_fields=["sealed_shared_secret"])
