"""REST framework's permission hooks ask the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Model
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from keys import policy, services
from keys.models import APIKey
from keys.roles import Permission, Reach

if TYPE_CHECKING:
    # REST framework imports this module while it is still loading its views.
    from rest_framework.views import APIView

ANYONE = "anyone"
ANY_KEY = "any key"


class PolicyPermission(BasePermission):
    """Asks the policy for the permission that the view declares for its action.

    A view says so in `permissions = {action: Permission}`, where ANY_KEY stands for
    every valid credential and ANYONE for the public. What is not declared is refused.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        declared = declared_permission(view)
        if declared == ANYONE or _is_unknown_method(request, view):
            return True
        if declared is None or not isinstance(request.user, APIKey):
            return False
        if declared == ANY_KEY:
            return True
        permission = Permission(declared)
        if not policy.allows(request.user, permission, request.user.organization):
            return False
        # A list holds what the widest of the caller's scopes reaches.
        is_list = getattr(view, "action", None) == "list"
        reaches = (Reach.OWN, Reach.ORGANIZATION) if is_list else (Reach.OWN,)
        services.note_grant(verdict=request.auth, permission=permission, reaches=reaches)
        return True

    def has_object_permission(self, request: Request, view: APIView, obj: Model) -> bool:
        permission = Permission(declared_permission(view))
        if not policy.allows(request.user, permission, obj):
            return False
        reach = policy.reach_needed(request.user, obj)
        if reach is not Reach.OWN:
            services.note_grant(verdict=request.auth, permission=permission, reaches=[reach])
        return True


def declared_permission(view: APIView) -> str | None:
    """Return what the view declares for the action (or method) under way."""
    method = view.request.method.lower()
    action = getattr(view, "action", None) or ("get" if method == "head" else method)
    return view.permissions.get(action)


def _is_unknown_method(request: Request, view: APIView) -> bool:
    # Answered 405 a moment later; permission is asked for before that.
    method = request.method.lower()
    is_known = method in view.http_method_names and hasattr(view, method)
    return not is_known and request.user.is_authenticated
