"""Ask for what takes a second person, and decide on it.

Nothing that was asked for exists before it was approved. Then whoever asked issues the key
themselves: nobody else ever sees its secret. What is approved is carried out in the name of
whoever asked, by the services and rules of that moment.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from keys import generations, policy
from keys.models import APIKey, ApprovalRequest, Membership, Organization, Role, User
from keys.models.approvals import OPEN_AFTER_APPROVAL, WAITS, ApprovalKind, ApprovalStatus
from keys.policy import Actor
from keys.roles import Permission
from keys.services import agreements, approval_terms, audit, grants
from keys.services.allowed_ips import Entry
from keys.services.approval_reasons import Reason
from keys.services.changes import open_key
from keys.services.enforcing import ApprovalRequiredError, person_behind
from keys.services.keys import UNSAID, issue_key, update_key
from keys.services.members import update_member
from keys.services.validation import save, validate

# Of one person in one organization.
MOST_WAITING = 50


def request_key(
    *, actor: Actor, organization: Organization, reason: str, **terms: Any
) -> ApprovalRequest:
    """Ask for a new key by arguments of issue_key.

    Raises as that does; ValidationError also for `reason`, and where nobody has to approve.
    """

    def issue() -> None:
        issue_key(actor=actor, organization=organization, **terms)

    return _ask(
        actor,
        ApprovalRequest(
            organization=organization,
            kind=ApprovalKind.ISSUE,
            terms=approval_terms.pack(terms),
            reason=reason,
        ),
        issue,
    )


def request_change(*, actor: Actor, key: APIKey, reason: str, **changes: Any) -> ApprovalRequest:
    """Ask that a key may do more, by arguments of update_key. Raises as request_key does."""

    def change() -> None:
        update_key(actor=actor, key=key, **changes)

    return _ask(
        actor,
        ApprovalRequest(
            organization=key.organization,
            kind=ApprovalKind.WIDEN,
            key=key,
            terms={
                **approval_terms.pack(changes),
                approval_terms.SCOPES_BEFORE: sorted(key.scope_codes),
            },
            reason=reason,
        ),
        change,
    )


def request_role(
    *, actor: Actor, membership: Membership, role: Role, reason: str
) -> ApprovalRequest:
    """Ask that a member gets a role. Raises as update_member and request_key do."""

    def give() -> None:
        update_member(actor=actor, membership=membership, role=role)

    return _ask(
        actor,
        ApprovalRequest(
            organization=membership.organization,
            kind=ApprovalKind.ROLE,
            terms={
                "person": membership.user.email,
                "membership": membership.pk,
                "role": role.pk,
                "role_name": role.name,
            },
            reason=reason,
        ),
        give,
    )


def approve_request(
    *,
    actor: Actor,
    request: ApprovalRequest,
    note: str = "",
    scopes: Iterable[str] = UNSAID,
    expires_at: datetime | None = UNSAID,
    allowed_ips: Iterable[Entry] = UNSAID,
) -> ApprovalRequest:
    """Agree to a request, or to less: fewer scopes, an earlier end, from fewer addresses.

    A role is given as a whole.

    A change is made at once; a new key waits a week for whoever asked to issue it. Raises
    PermissionDenied, also when the actor does not hold what is given, asked for it themselves,
    or the person who asked may no longer do it; ValidationError by field.
    """
    with _deciding(actor, request, note) as request:
        if request.key is not None:
            request.key = open_key(actor, request.key, Permission.CHANGE_APIKEY)
        terms = agreements.narrowed(
            request, scopes=scopes, expires_at=expires_at, allowed_ips=allowed_ips
        )
        codes = approval_terms.scopes_of(request.organization, terms)
        grants.refuse_beyond(actor, request.organization, codes)
        _refuse_giving_back(request, codes)
        request.approved_terms = approval_terms.settle(request.organization, terms)
        request.status = ApprovalStatus.APPROVED
        request.ends_at = timezone.now() + OPEN_AFTER_APPROVAL
        if request.kind == ApprovalKind.ISSUE:
            _rehearse(lambda: _issue(request.requester, request))
        else:
            _carry_out(request)
            request.status = ApprovalStatus.DONE
        noted = {"note": request.note} if request.note else {}
        _record(actor, "approval.approved", request, {**_narrowings(request), **noted})
    return request


def deny_request(*, actor: Actor, request: ApprovalRequest, note: str) -> ApprovalRequest:
    """Refuse a request, with a note to whoever asked. Raises as approve_request does."""
    with _deciding(actor, request, note) as request:
        if not request.note:
            raise ValidationError({"note": _("Say why, for whoever asked.")})
        request.status = ApprovalStatus.DENIED
        _record(actor, "approval.denied", request, {"note": note})
    return request


def withdraw_request(*, actor: Actor, request: ApprovalRequest) -> ApprovalRequest:
    """Take back what one asked for, or leave an approval unused.

    Raises PermissionDenied; ValidationError when it is decided against, or carried out.
    """
    with _opened(actor, request, Permission.CHANGE_APPROVALREQUEST) as request:
        _require_requester(actor, request)
        _require_state(request, ApprovalStatus.PENDING, ApprovalStatus.APPROVED)
        request.status = ApprovalStatus.WITHDRAWN
        _record(actor, "approval.withdrawn", request)
    return request


def issue_approved_key(*, actor: Actor, request: ApprovalRequest) -> APIKey:
    """Issue the key that was asked for and approved, and return it with its secret, once.

    For whoever asked. Raises as issue_key does: what they may not do any more, they may not
    in spite of the approval, nor give what its role came to give after that; ValidationError
    when it was not approved or is over.
    """
    with _opened(actor, request, Permission.CHANGE_APPROVALREQUEST) as request:
        _require_requester(actor, request)
        _require_state(request, ApprovalStatus.APPROVED)
        key = _issue(actor, request)
        request.key = key
        request.status = ApprovalStatus.DONE
        _record(actor, "approval.issued", request, {"key": key.name})
    return key


def _ask(actor: Actor, request: ApprovalRequest, act: Callable[[], None]) -> ApprovalRequest:
    person = person_behind(actor)
    if person is None:
        raise PermissionDenied(_("A person has to ask for this, or a key that acts for one."))
    with transaction.atomic():
        now = timezone.now()
        request.requester = person
        request.ends_at = now + WAITS
        request.needed_for = [each.pack() for each in _reasons(act)]
        waiting = person.approval_requests.filter(organization=request.organization)
        if waiting.with_status(ApprovalStatus.PENDING, now).count() >= MOST_WAITING:
            raise ValidationError(_("You wait for many answers already; withdraw some requests."))
        validate(request)
        save(request)
        _record(actor, "approval.requested", request, {"reason": request.reason})
    return request


def _reasons(act: Callable[[], None]) -> list[Reason]:
    """Return why `act` needs approval, having seen that nothing else is against it."""
    try:
        _rehearse(act)
    except ApprovalRequiredError as refusal:
        return refusal.reasons
    raise ValidationError(_("Nobody has to approve this: you may do it yourself."))


class _RehearsedError(Exception):
    """Takes back what was done to see whether it can be."""


def _rehearse(act: Callable[[], Any]) -> None:
    """Do something and take it back. Raises what that raises."""
    try:
        with transaction.atomic():
            act()
            raise _RehearsedError
    except _RehearsedError:
        pass


@contextmanager
def _opened(
    actor: Actor, request: ApprovalRequest, permission: Permission
) -> Iterator[ApprovalRequest]:
    """Yield a request as it is now, which nobody else changes meanwhile, then write it."""
    with transaction.atomic():
        policy.require(actor, permission, request)
        # Who decides or issues at the same moment comes after this, and finds it done.
        request = ApprovalRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
        yield request
        validate(request)
        save(request)


@contextmanager
def _deciding(actor: Actor, request: ApprovalRequest, note: str) -> Iterator[ApprovalRequest]:
    person = person_behind(actor)
    if person is None:
        raise PermissionDenied(_("A person has to decide this, or a key that acts for one."))
    if person.pk == request.requester_id:
        raise PermissionDenied(_("You asked for this yourself; somebody else has to decide."))
    with _opened(actor, request, Permission.APPROVE_APPROVALREQUEST) as request:
        _require_state(request, ApprovalStatus.PENDING)
        request.decided_by, request.decided_at = person, timezone.now()
        request.note = note.strip()
        yield request


def _require_requester(actor: Actor, request: ApprovalRequest) -> None:
    person = person_behind(actor)
    if person is None or person.pk != request.requester_id:
        raise PermissionDenied(_("Only whoever asked for this may do that."))


def _require_state(request: ApprovalRequest, *states: ApprovalStatus) -> None:
    if request.state not in states:
        label = ApprovalStatus(request.state).label
        raise ValidationError(_("This request is over: %(state)s.") % {"state": label})


def _refuse_giving_back(request: ApprovalRequest, codes: set[str]) -> None:
    """Raise ValidationError where a key would have again what was taken from it meanwhile.

    Whoever asked listed all that the key had then; nobody asked for that anew.
    """
    if request.key is None:
        return
    before = set(request.terms.get(approval_terms.SCOPES_BEFORE, ()))
    back = sorted(codes & before - set(request.key.scope_codes))
    if back:
        problem = _("The key lost %(codes)s after this was asked for: leave that out, or deny it.")
        raise ValidationError({"scopes": problem % {"codes": ", ".join(back)}})


def _issue(actor: Actor, request: ApprovalRequest) -> APIKey:
    terms = approval_terms.unpack(request.organization, request.approved_terms or {})
    return issue_key(actor=actor, organization=request.organization, approval=request, **terms)


def _carry_out(request: ApprovalRequest) -> None:
    """Make the change that was approved, in the name of whoever asked for it."""
    requester: User = request.requester
    if request.kind == ApprovalKind.WIDEN:
        changes = approval_terms.unpack(request.organization, request.approved_terms or {})
        # Who widens one names it.
        assert request.key is not None  # noqa: S101
        update_key(actor=requester, key=request.key, approval=request, **changes)
        return
    generations.note_organization(request.organization_id)
    membership = request.organization.memberships.filter(pk=request.terms["membership"]).first()
    role = Role.objects.available_to(request.organization).filter(pk=request.terms["role"]).first()
    if membership is None or role is None:
        raise ValidationError(_("The member or the role is gone."))
    update_member(actor=requester, membership=membership, role=role, approval=request)


def _narrowings(request: ApprovalRequest) -> dict[str, list[Any]]:
    """Return what was agreed to otherwise, with addresses as the trail has those of keys."""
    changed = approval_terms.narrowings(request)
    if "allowed_ips" in changed:
        entries = (request.terms.get("allowed_ips"), changed["allowed_ips"][1])
        changed["allowed_ips"] = [approval_terms.in_lines(each) for each in entries]
    return changed


def _record(
    actor: Actor, action: str, request: ApprovalRequest, changes: dict[str, Any] | None = None
) -> None:
    audit.record(
        actor=actor,
        action=action,
        obj=request,
        organization=request.organization,
        changes=changes,
    )
