"""An organization's shared secret: what its clients sign with in the token exchange.

It opens nothing alone: the token that it signs carries a key, which is judged as ever.
"""

from contextlib import suppress

from django.apps import apps as installed_apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import QuerySet
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
        # Locked only to make one: beside a key that was just issued the trail is held already,
        # and whoever has the organization waits for that.
        organization = Organization.objects.get(pk=organization.pk)
        if not organization.sealed_shared_secret:
            organization = _made(organization)
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
        organization = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
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


# What is sealed: where it is stored, and the columns that hold it.
_SEALED = {
    "Letter": ("sealed_content",),
    "Organization": ("sealed_shared_secret",),
    "Webhook": ("sealed_secret", "sealed_old_secret"),
}


def reseal_secrets(*, using: str = DEFAULT_DB_ALIAS, apps=installed_apps, **kwargs) -> None:
    """Seal every stored secret with the newest pepper, so that an older one can be retired.

    Runs after each migration. What no known pepper opens stays as it is: its
    pepper may come back.
    """
    for name, columns in _SEALED.items():
        try:
            rows = apps.get_model("keys", name).objects.using(using)
        except LookupError:  # migrated back to before it
            continue
        for column in columns:
            _reseal(rows, column)


def _reseal(rows: QuerySet, column: str) -> None:
    peppers = settings.KEY_PEPPERS
    for pk, sealed in rows.exclude(**{column: ""}).values_list("pk", column):
        if encryption.is_sealed_by_newest(sealed, peppers):
            continue
        with suppress(encryption.UnreadableError):
            again = encryption.seal(encryption.unseal(sealed, peppers), peppers)
            # Not over a rotation that happens meanwhile.
            rows.filter(pk=pk, **{column: sealed}).update(**{column: again})


def _made(organization: Organization) -> Organization:
    """Return the organization with a shared secret, unless somebody made one at this moment."""
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if not organization.sealed_shared_secret:
        _replace(organization)
    return organization


def _replace(organization: Organization) -> None:
    shared_secret = secrets.generate_shared_secret()
    organization.sealed_shared_secret = encryption.seal(shared_secret, settings.KEY_PEPPERS)
    organization.save(update_fields=["sealed_shared_secret"])
