"""What webhooks may be told of: audited actions that concern keys and who holds them."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# Action -> what it means.
PUBLISHED: dict[str, str | Promise] = {
    "apikey.issued": _("A key was issued"),
    "apikey.updated": _("A key was changed"),
    "apikey.disabled": _("A key was disabled"),
    "apikey.enabled": _("A key was enabled"),
    "apikey.rotated": _("A key got a new secret"),
    "apikey.handed_over": _("A key was handed over to the organization or another person"),
    "apikey.secret_retired": _("An old secret was ended"),
    "apikey.revoked": _("A key was revoked"),
    "apikey.locked": _("Staff locked a key"),
    "apikey.unlocked": _("Staff unlocked a key"),
    "apikey.expiring": _("A key expires in 14, 7 or 1 days, or today"),
    "apikey.expired": _("A key expired"),
    "apikey.old_secret_used": _("A replaced secret is still used"),
    "leak.reported": _("Somebody found a key"),
    "membership.created": _("Somebody became a member"),
    "membership.updated": _("The role of a member changed"),
    "membership.deleted": _("Somebody is no longer a member"),
    "approval.requested": _("Somebody asks for a key"),
    "approval.approved": _("A request for a key was granted"),
    "approval.denied": _("A request for a key was denied"),
    "policy.updated": _("The rules for keys changed"),
}
# Sent to try a webhook out, whatever it wants.
TEST = "webhook.test"
