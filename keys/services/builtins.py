"""The rows that every installation has: the built-in scopes and roles of roles.py."""

from django.apps import apps as installed_apps
from django.db import DEFAULT_DB_ALIAS, transaction

from keys import roles


def sync_built_ins(*, using: str = DEFAULT_DB_ALIAS, apps=installed_apps, **kwargs) -> None:
    """Bring the built-in scopes and roles in the database to what roles.py says.

    Runs after each migration (and after the tests empty the database), so that a
    change of the vocabulary needs no migration of its own.
    """
    try:
        scope_model = apps.get_model("keys", "Scope")
        role_model = apps.get_model("keys", "Role")
    except LookupError:  # migrated back to nothing
        return
    with transaction.atomic(using=using):
        scopes = {
            code: scope_model.objects.using(using).update_or_create(
                organization=None, code=code.value, defaults={"description": description}
            )[0]
            for code, description in roles.SCOPE_DESCRIPTIONS.items()
        }
        for each in roles.BUILT_IN_ROLES:
            role, _ = role_model.objects.using(using).update_or_create(
                organization=None, number=each.number, defaults={"name": each.name}
            )
            role.scopes.set([scopes[code] for code in each.scopes])
