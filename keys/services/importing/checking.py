"""May this row of a file become a key, as far as can be told without writing it?"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys import secrets
from keys.models import (
    AllowedIP,
    APIKey,
    ImportedSecret,
    KeySecret,
    KeyUsage,
    Organization,
    RateLimit,
    Role,
    Scope,
    User,
    Workspace,
)
from keys.models.keys import Dialect
from keys.models.usage import LimitReset
from keys.moves.candidates import Candidate, Found, Problem, TroubleError
from keys.policy import Actor
from keys.services import grants
from keys.services.allowed_ips import build_allowed_ips
from keys.services.importing.numbers import Numbers
from keys.services.importing.report import ImportOptions, ImportReport, Sample
from keys.services.importing.secrets_given import PlannedSecret, Planner
from keys.services.importing.shapes import Shapes
from keys.services.keys import choose_owner, short_name_for
from keys.services.rate_limits import build_rate_limits
from keys.services.validation import refuse_unstorable

_MISSING = {
    "role": gettext_lazy("There is no such role here."),
    "scopes": gettext_lazy("There is no such scope here."),
    "workspace": gettext_lazy("There is no such workspace here."),
}
# Field of a key -> what files call it.
_COLUMNS = {"slug": "short_name", "dialect": "format", "assign_server_ips": "server_addresses"}
# What is chosen or drawn here, and looked at where that happens.
_CHOSEN = frozenset(
    {"organization", "workspace", "owner", "creator", "role", "identifier", "hash", "updated_at"}
)
_CHOSEN_OF_SECRET = frozenset({"key", "digest", "pepper_id", "nonce"})
_OF_TOTALS = frozenset(each.name for each in KeyUsage._meta.fields)


@dataclass(slots=True)
class Plan:
    """A key as it is to be written, with all that belongs to it."""

    candidate: Candidate
    key: APIKey
    secrets: list[PlannedSecret]
    scopes: list[Scope]
    codes: frozenset[str]
    allowed_ips: list[AllowedIP]
    rate_limits: list[RateLimit]
    # Of KeyUsage, by field.
    totals: dict[str, Any]
    workspace: Workspace
    owner: User | None
    role: Role | None
    has_own_slug: bool


@dataclass
class _Seen:
    """What the file has had so far; numbers made of digests, since there may be millions."""

    names: Numbers = field(default_factory=Numbers)
    slugs: Numbers = field(default_factory=Numbers)


class Checker:
    """Checks the rows of one file for one organization."""

    def __init__(
        self, actor: Actor, organization: Organization, options: ImportOptions, report: ImportReport
    ) -> None:
        self._actor, self._organization, self._options = actor, organization, options
        self._report = report
        self.shapes = Shapes()
        self._planner = Planner()
        self._seen = _Seen()
        self._now = timezone.now()
        self._creator = actor.pk if isinstance(actor, User) else None
        self._workspaces = {row.name: row for row in organization.workspaces.all()}
        self._workspace = options.workspace or organization.workspaces.get(is_default=True)
        available = Role.objects.available_to(organization).prefetch_related("scopes")
        self._roles: dict[str, Role] = {row.name: row for row in available}
        # What each gives is read once.
        self._given_by = {
            row.pk: frozenset(scope.code for scope in row.scopes.all())
            for row in self._roles.values()
        }
        self._scopes: dict[str, Scope] = {
            row.code: row for row in Scope.objects.available_to(organization)
        }
        self._people: dict[str, User | None] = {}
        self._owners: dict[User | None, User | None] = {}
        self._granted: set[frozenset[str]] = set()

    def check(self, candidates: Sequence[Candidate]) -> list[Plan]:
        """Return the plans of those that can be keys, and report the others."""
        plans = []
        for candidate in candidates:
            plan = self._plan(candidate)
            if candidate.troubles:
                self._refuse(candidate, *candidate.troubles)
            else:
                plans.append(plan)
        return self._drop_known(plans)

    def _refuse(self, candidate: Candidate, *troubles: TroubleError) -> None:
        self._report.refuse(
            *(Problem(candidate.row, each.field, each.problem, each.fix) for each in troubles)
        )

    def _plan(self, candidate: Candidate) -> Plan:
        """Return the key that a candidate would be; what is against it is noted there."""
        role, scopes, codes = _noting(candidate, self._grant) or (None, [], frozenset())
        owner = _noting(candidate, self._owner)
        workspace = _noting(candidate, self._workspace_of) or self._workspace
        # By their numbers: to tie the rows themselves together takes longer than all the rest.
        key = APIKey(
            organization_id=self._organization.pk,
            owner_id=owner.pk if owner else None,
            creator_id=self._creator,
            workspace_id=workspace.pk,
            name=candidate.name,
            slug=candidate.slug or short_name_for(candidate.name),
            description=candidate.description,
            dialect=candidate.dialect or Dialect.NATIVE,
            role_id=role.pk if role else None,
            not_before=candidate.not_before,
            expires_at=candidate.expires_at,
            disabled=candidate.disabled,
            locked_at=candidate.locked_at,
            lock_reason=candidate.lock_reason,
            revoked_at=candidate.revoked_at,
            limit=candidate.limit,
            limit_reset=candidate.limit_reset,
            include_byok_in_limit=candidate.include_byok_in_limit,
            assign_server_ips=candidate.assign_server_ips,
            external_user=candidate.external_user,
            created_at=candidate.created_at or self._now,
        )
        _noting(candidate, _identify, key)
        _noting(candidate, _recognise, key)
        _noting(candidate, _validate, key, _CHOSEN)
        if key.expires_at and key.not_before and key.expires_at <= key.not_before:
            problem = _("The key would expire before it becomes valid.")
            candidate.troubles.append(TroubleError("expires_at", problem, _("Choose a later end.")))
        planned = [
            each
            for given in candidate.secrets
            if (each := candidate.troubles.reading(self._planner.plan, given))
        ]
        for each in planned:
            _noting(candidate, _validate, each.row, _CHOSEN_OF_SECRET)
        totals = _noting(candidate, self._totals) or {}
        return Plan(
            candidate=candidate,
            key=key,
            secrets=planned,
            scopes=scopes,
            codes=codes,
            allowed_ips=_noting(candidate, _allowed_ips, key) or [],
            rate_limits=_noting(candidate, _rate_limits, key) or [],
            totals=totals,
            workspace=workspace,
            owner=owner,
            role=role,
            has_own_slug=bool(candidate.slug),
        )

    def _grant(self, candidate: Candidate) -> tuple[Role | None, list[Scope], frozenset[str]]:
        """Return what a key follows or lists, and all that it is given by that."""
        codes: Iterable[str] = candidate.scopes
        role: Role | None = None
        if candidate.role is not None:
            # A list of what its role gives may stand beside it.
            role = _found(self._roles, candidate.role, "role")
            codes = ()
        elif not codes:
            role, codes = self._options.role, self._options.scopes
        scopes = [_found(self._scopes, code, "scopes") for code in sorted(set(codes))]
        given = self._given_by[role.pk] if role else frozenset(row.code for row in scopes)
        if given not in self._granted:
            grants.refuse_beyond(self._actor, self._organization, given)
            self._granted.add(given)
        return role, scopes, given

    def _owner(self, candidate: Candidate) -> User | None:
        person = self._options.owner
        if candidate.owner is not None:
            address = candidate.owner.lower()
            if address not in self._people:
                members = self._organization.members.filter(email__iexact=address)
                self._people[address] = members.first()
            person = self._people[address]
            if person is None:
                raise TroubleError(
                    "owner",
                    _("No member of this organization has that address."),
                    _("Add them first, or leave the column out; it holds email addresses."),
                )
        if person not in self._owners:
            self._owners[person] = choose_owner(self._actor, self._organization, person)
        return self._owners[person]

    def _workspace_of(self, candidate: Candidate) -> Workspace:
        if candidate.workspace is None:
            return self._workspace
        return _found(self._workspaces, candidate.workspace, "workspace")

    def _totals(self, candidate: Candidate) -> dict[str, Any]:
        totals = dict(candidate.totals)
        left, limit = candidate.limit_remaining, candidate.limit
        if left is not None and limit is not None and "period_cost" not in totals:
            totals["period_cost"] = max(limit - left, limit * 0)
            totals["period_start"] = LimitReset.period_start(candidate.limit_reset, self._now)
        if not totals:
            return {}
        usage = KeyUsage(**totals)
        _validate(candidate, usage, _OF_TOTALS - totals.keys())
        return {name: getattr(usage, name) for name in totals}

    def _drop_known(self, plans: list[Plan]) -> list[Plan]:
        """Leave out what is here already, and refuse what somebody else has."""
        known = _holders(name for plan in plans for each in plan.secrets for name in each.names)
        named = _named(plans)
        slugs = self._taken_slugs(plans)
        kept = []
        for plan in plans:
            names = [name for each in plan.secrets for name in each.names]
            holders = {known[name] for name in names if name in known}
            holders |= {
                named[name]
                for name in (plan.candidate.identifier, plan.candidate.hash)
                if name in named
            }
            if holders - {self._organization.pk}:
                # Whose it is concerns nobody.
                problem = _("This key cannot be imported.")
                fix = _("Issue a new key instead.")
                self._refuse(plan.candidate, TroubleError("secret", problem, fix))
            elif not self._is_first(names):
                problem = _("Another row of this file has the same secret.")
                fix = _("Leave one of them out.")
                self._refuse(plan.candidate, TroubleError("secret", problem, fix))
            elif holders:
                self._report.present += 1
            elif self._settle_slug(plan, slugs):
                self._settle_shapes(plan)
                self._report.show(_sample(plan))
                kept.append(plan)
        return kept

    def _is_first(self, names: list[str]) -> bool:
        numbers = [int(name[:16], 16) for name in names]
        if any(number in self._seen.names for number in numbers):
            return False
        for number in numbers:
            self._seen.names.add(number)
        return True

    def _taken_slugs(self, plans: list[Plan]) -> set[str]:
        live = self._organization.api_keys.live()
        wanted = [plan.key.slug for plan in plans]
        return set(live.filter(slug__in=wanted).values_list("slug", flat=True))

    def _settle_slug(self, plan: Plan, taken: set[str]) -> bool:
        """See to a short name that no other live key has; say whether there is one."""
        key = plan.key
        if key.revoked_at is not None:
            return True
        if key.slug in taken or _number_of(key.slug) in self._seen.slugs:
            if plan.has_own_slug:
                problem = _("This organization has a key of that short name.")
                trouble = TroubleError("short_name", problem, _("Choose another."))
                self._refuse(plan.candidate, trouble)
                return False
            key.slug = short_name_for(key.name, is_spare=True)
        self._seen.slugs.add(_number_of(key.slug))
        return True

    def _settle_shapes(self, plan: Plan) -> None:
        for each in plan.secrets:
            if each.shape is not None:
                self.shapes.settle(each.shape)


def _noting(candidate: Candidate, read: Callable[..., Found], *args: Any) -> Found | None:
    """Return what `read` returns of a candidate; None where it objects, which is noted there."""
    troubles = candidate.troubles
    try:
        return read(candidate, *args)
    except TroubleError as trouble:
        troubles.append(trouble)
    except PermissionDenied as error:
        troubles.append(TroubleError("", str(error), ""))
    except ValidationError as error:
        told = {trouble.field for trouble in troubles}
        named = {_COLUMNS.get(name, name): each[0] for name, each in _messages(error).items()}
        # A moment may be one of the key and of its secret.
        troubles += [
            TroubleError(name, text, "") for name, text in named.items() if name not in told
        ]
    return None


def _identify(candidate: Candidate, key: APIKey) -> None:
    if candidate.identifier is None:
        return
    if not (len(candidate.identifier) <= 24 and candidate.identifier.isalnum()):
        problem = _("This is no identifier.")
        raise TroubleError("identifier", problem, _("Leave the column out."))
    key.identifier = candidate.identifier


def _recognise(candidate: Candidate, key: APIKey) -> None:
    if candidate.hash is None:
        return
    if len(candidate.hash) != 64 or candidate.hash.strip(secrets.HEXADECIMAL):
        raise TroubleError("hash", _("This is no hash."), _("Leave the column out."))
    key.hash = candidate.hash


def _allowed_ips(candidate: Candidate, key: APIKey) -> list[AllowedIP]:
    return build_allowed_ips(key, candidate.networks)


def _rate_limits(candidate: Candidate, key: APIKey) -> list[RateLimit]:
    return build_rate_limits(key, candidate.rate_limits)


def _validate(candidate: Candidate, row: Any, exclude: Collection[str]) -> None:
    refuse_unstorable(row)
    row.clean_fields(exclude=exclude)


def _found(rows: dict[str, Found], name: str, column: str) -> Found:
    if name not in rows:
        fix = _("Create it first, or leave the column out.")
        raise TroubleError(column, str(_MISSING[column]), fix)
    return rows[name]


def _number_of(text: str) -> int:
    return hash(text) % 2**64


def _holders(names: Iterable[str]) -> dict[str, int]:
    """Return {digest: number of the organization} of those that are stored."""
    wanted = list(names)
    stored = KeySecret.objects.filter(digest__in=wanted)
    origins = ImportedSecret.objects.filter(digest__in=wanted)
    holders = dict(stored.values_list("digest", "key__organization"))
    for digest, organization in origins.values_list("digest", "secret__key__organization"):
        holders[digest or ""] = organization
    return holders


def _named(plans: list[Plan]) -> dict[str, int]:
    """Return {identifier or hash: number of the organization} of the keys that have one."""
    identifiers = [plan.candidate.identifier for plan in plans if plan.candidate.identifier]
    hashes = [plan.candidate.hash for plan in plans if plan.candidate.hash]
    if not identifiers and not hashes:
        return {}
    rows = APIKey.objects.filter(Q(identifier__in=identifiers) | Q(hash__in=hashes))
    found: dict[str, int] = {}
    for identifier, public_hash, organization in rows.values_list(
        "identifier", "hash", "organization"
    ):
        found |= {identifier: organization, public_hash: organization}
    return found


def _sample(plan: Plan) -> Sample:
    key = plan.key
    given = str(plan.role) if plan.role else " ".join(row.code for row in plan.scopes)
    label = plan.secrets[-1].row.label
    return Sample(plan.candidate.row, key.name, label, str(plan.owner or ""), given)


def _messages(error: ValidationError) -> dict[str, list[str]]:
    return error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
