"""What is stored, by aggregate: fields, constraints, facts about a row, querysets.

Nothing here decides who may do what (policy.py) or changes more than its own
instance (services/).
"""

from keys.models.audit import AuditEvent
from keys.models.keys import AllowedIP, APIKey, KeySecret
from keys.models.organizations import (
    Membership,
    Organization,
    Role,
    Scope,
    ServerAddress,
    Workspace,
)
from keys.models.people import User
from keys.models.usage import Decision, KeyUsage, MinuteBucket, ScopeUse, UsageBucket

__all__ = [
    "APIKey",
    "AllowedIP",
    "AuditEvent",
    "Decision",
    "KeySecret",
    "KeyUsage",
    "Membership",
    "MinuteBucket",
    "Organization",
    "Role",
    "Scope",
    "ScopeUse",
    "ServerAddress",
    "UsageBucket",
    "User",
    "Workspace",
]
