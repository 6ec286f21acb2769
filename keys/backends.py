"""`user.has_perm()`, `{{ perms }}` and the admin ask the policy."""

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model

from keys import policy
from keys.models import Organization, User
from keys.roles import Permission


class PolicyBackend(BaseBackend):
    """Answers Django's questions about permission from the policy alone."""

    def has_perm(self, user_obj: User | AnonymousUser, perm: str, obj: Model | None = None) -> bool:
        """Say whether the person has the permission: on `obj`, or without one, anywhere."""
        if perm not in set(Permission):
            return False
        if obj is None:
            return policy.visible(user_obj, Organization.objects.all(), perm).exists()
        return policy.allows(user_obj, perm, obj)

    def has_module_perms(self, user_obj: User, app_label: str) -> bool:
        return app_label == "keys" and user_obj.is_active and user_obj.is_staff
