"""Ask people by mail to join an organization.

The mail's link holds a token that is stored nowhere, but sealed while the mail waits to be sent;
whoever has it is taken for who reads the mail of that address. It is good once, for some days, and
only for an account with that address. So it opens no door for whom it was passed on to when there
is such an account; when there is none, they can open it, as a link that confirms an address always
does. Who invited must still be allowed to when it is accepted.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models.functions import Lower
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import policy, secrets
from keys.models import APIKey, Invitation, Letter, Membership, Organization, Role, User
from keys.models.keys import Status
from keys.policy import Actor
from keys.roles import Permission
from keys.services import audit, letters, rows
from keys.services.members import hold_role, join, refuse_membership_beyond
from keys.services.validation import save, validate

# So many at a time, and so many of one organization that nobody answered: it sends mail to
# whom it likes, and is no means to flood them.
MAX_AT_ONCE = 50
MAX_UNANSWERED = 500


def invite(
    *,
    actor: Actor,
    organization: Organization,
    emails: Iterable[str],
    role: Role,
    is_owner: bool = False,
) -> list[Invitation]:
    """Ask the people of these addresses to join in this role; an address asked before is again.

    Whether somebody has an account makes no difference to be seen. Raises PermissionDenied,
    also when the actor lacks a scope of the role; ValidationError by field.
    """
    policy.require(actor, Permission.ADD_MEMBERSHIP, organization)
    wanted = {email.lower(): email for email in emails}
    with transaction.atomic():
        # Two who invite the same address meet here.
        organization = rows.lock(organization)
        unanswered = organization.invitations.unanswered().select_related("role")
        known = {each.email.lower(): each for each in unanswered if each.email.lower() in wanted}
        role = hold_role(role, *(each.role for each in known.values()))
        refuse_membership_beyond(actor, organization, role, is_owner=is_owner)
        _refuse_members(organization, wanted)
        _refuse_many(organization, wanted)
        written = [
            _write(
                actor,
                known.get(lowered) or Invitation(organization=organization, email=email),
                role=role,
                is_owner=is_owner,
            )
            for lowered, email in wanted.items()
        ]
        return _send(written)


def resend_invitation(*, actor: Actor, invitation: Invitation) -> Invitation:
    """Ask again: a new link for as long as the first one had; the old one is dead.

    From then on it is the actor's invitation. Raises as `invite`.
    """
    with transaction.atomic():
        invitation = _open(invitation)
        refuse_membership_beyond(
            actor, invitation.organization, invitation.role, is_owner=invitation.is_owner
        )
        letter = _write(actor, invitation, role=invitation.role, is_owner=invitation.is_owner)
        return _send([letter])[0]


def revoke_invitation(*, actor: Actor, invitation: Invitation) -> None:
    """Take an invitation back. Raises PermissionDenied; Invitation.DoesNotExist if answered."""
    policy.require(actor, Permission.DELETE_INVITATION, invitation)
    with transaction.atomic():
        _void(actor, _open(invitation), "invitation.revoked")


def find_invitation(*, token: str) -> Invitation | None:
    """Return the invitation of which this is the link's token, if it can be accepted now."""
    found = Invitation.objects.open_at(timezone.now())
    return found.filter(token_digest=secrets.digest_link_token(token)).first()


def find_joined(*, token: str, person: User) -> Organization | None:
    """Return the organization that the person joined by this link and is still a member of."""
    used = Invitation.objects.filter(
        token_digest=secrets.digest_link_token(token),
        accepted_by=person,
        organization__memberships__user=person,
    )
    found = used.select_related("organization").first()
    return found.organization if found else None


def find_invitation_for(*, email: str) -> Invitation | None:
    """Return the newest invitation of who reads the mail of this address that can be accepted.

    Ask for an address only of which that is proved.
    """
    found = Invitation.objects.open_at(timezone.now()).filter(email__iexact=email)
    rows_of = found.select_related("organization", "role", "invited_by", "invited_by_key")
    acceptable = (each for each in rows_of.order_by("-pk") if not reason_against_invitation(each))
    return next(acceptable, None)


def find_invitations_of(*, person: User) -> list[Invitation]:
    """Return those that can be accepted of the invitations to addresses the person confirmed."""
    confirmed = EmailAddress.objects.filter(user=person, verified=True)
    open_now = Invitation.objects.open_at(timezone.now()).alias(address=Lower("email"))
    found = open_now.filter(address__in=confirmed.values_list(Lower("email")))
    rows_of = found.select_related("organization", "role", "invited_by", "invited_by_key")
    return [each for each in rows_of if not reason_against_invitation(each)]


def accept_invitation(*, actor: User, invitation: Invitation) -> Membership:
    """Become a member, as an invitation says.

    Raises PermissionDenied for who has not confirmed its address; ValidationError when it was
    answered, is too old, who invited may no longer do so, or the actor is a member already.
    """
    _require_address(actor, invitation)
    with transaction.atomic():
        invitation = _lock(invitation)
        reason = reason_against_invitation(invitation)
        if reason:
            raise ValidationError(reason)
        membership = join(
            actor=actor,
            organization=invitation.organization,
            user=actor,
            role=invitation.role,
            is_owner=invitation.is_owner,
            invited_by=invitation.inviter,
        )
        invitation.accepted_at, invitation.accepted_by = timezone.now(), actor
        invitation.save(update_fields=["accepted_at", "accepted_by"])
    return membership


def decline_invitation(*, actor: User, invitation: Invitation) -> None:
    """Answer that one does not want to join; the invitation is over, its link dead.

    The organization hears that of the address that it invited, and not whose account that is.
    Raises PermissionDenied for who has not confirmed its address; ValidationError when it was
    answered, taken back or is too old.
    """
    _require_address(actor, invitation)
    with transaction.atomic():
        invitation = _lock(invitation)
        if not invitation.is_open_at(timezone.now()):
            raise ValidationError(_over())
        _void(actor, invitation, "invitation.declined", known_as=invitation.email)


def reason_against_invitation(invitation: Invitation) -> str:
    """Return why an invitation cannot be accepted now; empty when it can."""
    if not invitation.is_open_at(timezone.now()):
        return _over()
    try:
        _refuse_void(invitation)
    except (PermissionDenied, ValidationError):
        return _("Who invited you may no longer do so. Ask somebody else of the organization.")
    return ""


def has_address(person: User, email: str) -> bool:
    """Say whether the person confirmed that this is an address of theirs."""
    return EmailAddress.objects.filter(user=person, email__iexact=email, verified=True).exists()


def _require_address(person: User, invitation: Invitation) -> None:
    if not has_address(person, invitation.email):
        raise PermissionDenied(_("This invitation is for another address."))


def _over() -> str:
    return _("This invitation was used, declined, taken back, or is too old. Ask for a new one.")


def _void(actor: Actor, invitation: Invitation, action: str, *, known_as: str = "") -> None:
    """End an invitation that is locked, unanswered; which way, the trail says."""
    invitation.revoked_at = timezone.now()
    invitation.save(update_fields=["revoked_at"])
    letters.withdraw_letters(invitation)
    audit.record(
        actor=actor,
        action=action,
        obj=invitation,
        organization=invitation.organization,
        known_as=known_as,
    )


def _refuse_void(invitation: Invitation) -> None:
    """Raise unless who invited could do it now: they may have left, or hold less than then."""
    inviter: Actor = invitation.invited_by or invitation.invited_by_key or policy.OPERATOR
    if isinstance(inviter, APIKey) and inviter.status is not Status.ACTIVE:
        raise PermissionDenied
    refuse_membership_beyond(
        inviter, invitation.organization, invitation.role, is_owner=invitation.is_owner
    )


def _send(written: list[Letter]) -> list[Invitation]:
    """Send these letters once they are stored; return what they invite to."""
    transaction.on_commit(lambda: letters.send_letters(written), robust=True)
    return [each.invitation for each in written if each.invitation is not None]


def _write(actor: Actor, invitation: Invitation, *, role: Role, is_owner: bool) -> Letter:
    """Write an invitation of this actor with a new token, and the letter with that."""
    is_new = invitation.pk is None
    token, now = secrets.generate_link_token(), timezone.now()
    invitation.role, invitation.is_owner = role, is_owner
    invitation.token_digest = secrets.digest_link_token(token)
    invitation.invited_by = actor if isinstance(actor, User) else None
    invitation.invited_by_key = actor if isinstance(actor, APIKey) else None
    invitation.expires_at = now + timedelta(seconds=settings.INVITATION_SECONDS)
    invitation.sent_at = None
    validate(invitation)
    save(invitation)
    audit.record(
        actor=actor,
        action="invitation.sent" if is_new else "invitation.sent_again",
        obj=invitation,
        organization=invitation.organization,
        changes={"role": str(role), "is_owner": is_owner, "expires_at": invitation.expires_at},
    )
    context = {
        "invitation": invitation,
        "organization": invitation.organization,
        "url": f"{settings.PUBLIC_URL}{reverse('keys:invitation-link', args=[token])}",
    }
    subject = render_to_string("keys/mail/invitation_subject.txt", context)
    return letters.write_letter(
        to=invitation.email,
        about="invitation",
        subject=f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}{' '.join(subject.split())}",
        text=render_to_string("keys/mail/invitation.txt", context),
        page=render_to_string("keys/mail/invitation.html", context),
        good_for=timedelta(seconds=settings.INVITATION_SECONDS),
        invitation=invitation,
    )


def _open(invitation: Invitation) -> Invitation:
    invitation = _lock(invitation)
    if invitation.accepted_at or invitation.revoked_at:
        raise Invitation.DoesNotExist
    return invitation


def _lock(invitation: Invitation) -> Invitation:
    # In the order in which `invite` takes them; and whoever deletes a role has that before they
    # take its invitations along.
    rows.lock(invitation.organization)
    rows_of = Invitation.objects.select_related("organization", "role")
    with suppress(ValidationError):  # its role is gone, and so is it
        rows.hold("role", [rows_of.get(pk=invitation.pk).role])
    return rows_of.select_for_update(no_key=True, of=("self",)).get(pk=invitation.pk)


def _refuse_members(organization: Organization, wanted: dict[str, Any]) -> None:
    # By the address that members see of each other; another one of theirs is not told.
    members = organization.memberships.values_list("user__email", flat=True)
    present = sorted(email for email in members if email.lower() in wanted)
    if present:
        raise ValidationError(
            {"emails": _("A member already: %(emails)s.") % {"emails": ", ".join(present)}}
        )


def _refuse_many(organization: Organization, wanted: dict[str, Any]) -> None:
    if len(wanted) > MAX_AT_ONCE:
        problem = _("Invite at most %(max)d people at a time.") % {"max": MAX_AT_ONCE}
        raise ValidationError({"emails": problem})
    if organization.invitations.unanswered().count() + len(wanted) > MAX_UNANSWERED:
        problem = _("Too many invitations are unanswered; revoke some first.")
        raise ValidationError({"emails": problem})
