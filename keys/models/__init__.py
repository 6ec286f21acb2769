"""What is stored, by aggregate: fields, constraints, facts about a row, querysets.

Nothing here decides who may do what (policy.py) or changes more than its own
instance (services/).
"""

from keys.models.approvals import ApprovalRequest
from keys.models.audit import INSTALLATION, AuditEvent, AuditHead
from keys.models.imports import ImportedFormat, ImportedSecret
from keys.models.invitations import Invitation
from keys.models.keys import APIKey
from keys.models.leaks import FoundSecret, LeakReport
from keys.models.messages import Chore, KeyNotice, Letter, Message, NotificationSettings
from keys.models.organizations import (
    Membership,
    Organization,
    Role,
    Scope,
    ServerAddress,
    Workspace,
)
from keys.models.people import User
from keys.models.policies import OrganizationPolicy, RoleRule
from keys.models.rates import RateLimit
from keys.models.secrets import AllowedIP, KeySecret
from keys.models.usage import (
    Decision,
    KeyUsage,
    MinuteBucket,
    OrganizationBucket,
    OrganizationMinute,
    ScopeUse,
    UsageBucket,
)
from keys.models.webhooks import Webhook, WebhookDelivery
from keys.models.workers import JournalSegment, Worker

__all__ = [
    "INSTALLATION",
    "APIKey",
    "AllowedIP",
    "ApprovalRequest",
    "AuditEvent",
    "AuditHead",
    "Chore",
    "Decision",
    "FoundSecret",
    "ImportedFormat",
    "ImportedSecret",
    "Invitation",
    "JournalSegment",
    "KeyNotice",
    "KeySecret",
    "KeyUsage",
    "LeakReport",
    "Letter",
    "Membership",
    "Message",
    "MinuteBucket",
    "NotificationSettings",
    "Organization",
    "OrganizationBucket",
    "OrganizationMinute",
    "OrganizationPolicy",
    "RateLimit",
    "Role",
    "RoleRule",
    "Scope",
    "ScopeUse",
    "ServerAddress",
    "UsageBucket",
    "User",
    "Webhook",
    "WebhookDelivery",
    "Worker",
    "Workspace",
]
