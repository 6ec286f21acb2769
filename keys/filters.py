"""Which keys of a list are shown, in which order, which page of them.

Names are canonical; a dialect derives its own filter and renames. What an actor may see
at all is the policy's question: the queryset comes narrowed already.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import Exists, Expression, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Lower
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys import hygiene, policy, secrets
from keys.hygiene import is_confined
from keys.models import APIKey, KeySecret, Role, Scope, User, Workspace
from keys.models.keys import Dialect, Status

PAGE_SIZE = 25
MAX_SEARCH_LENGTH = 200

# Of a whole number that a key could have.
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_LAST_FOUR = re.compile(r"[0-9A-Za-z]{4}")
# Of a person's name; each is a condition of the query.
_MAX_WORDS = 5
# So many characters of a secret's end does every label show.
_LABEL_END = min(each.shown[1] for each in secrets.FORMATS.values())

_BEFORE_ALL = Value(datetime(1970, 1, 1, tzinfo=UTC))
_AFTER_ALL = Value(datetime(9999, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Ordering:
    """An order of keys: by an expression that is never null, then by age."""

    label: str | Promise
    position: Callable[[], Expression | F]
    descending: bool = False

    def sort(self, keys: QuerySet[APIKey], *, backwards: bool = False) -> QuerySet[APIKey]:
        """Return the keys with `position`, in this order or in its reverse."""
        sign = "-" if self.descending is not backwards else ""
        return keys.annotate(position=self.position()).order_by(f"{sign}position", f"{sign}pk")

    def beyond(self, position: object, pk: int, *, backwards: bool = False) -> Q:
        """Return the condition that keys come after that place, or before it."""
        side = "lt" if self.descending is not backwards else "gt"
        return Q(**{f"position__{side}": position}) | Q(**{"position": position, f"pk__{side}": pk})


def _last_used() -> Expression:
    return Coalesce("totals__last_used_at", _BEFORE_ALL)


def _expires() -> Expression:
    return Coalesce("expires_at", _AFTER_ALL)


ORDERINGS = {
    "-created_at": Ordering(_("Newest first"), lambda: F("pk"), descending=True),
    "created_at": Ordering(_("Oldest first"), lambda: F("pk")),
    "name": Ordering(_("Name, A to Z"), lambda: Lower("name")),
    "-name": Ordering(_("Name, Z to A"), lambda: Lower("name"), descending=True),
    "-last_used_at": Ordering(_("Last used first"), _last_used, descending=True),
    "last_used_at": Ordering(_("Longest unused first"), _last_used),
    "expires_at": Ordering(_("Expiring first"), _expires),
    "-expires_at": Ordering(_("Expiring last"), _expires, descending=True),
}
DEFAULT_ORDERING = "-created_at"


class KeyFilter(django_filters.FilterSet):
    """Narrows a list of keys. `request.user` says whose keys are one's own."""

    search = django_filters.CharFilter(
        method="filter_search", max_length=MAX_SEARCH_LENGTH, label=_("Search")
    )
    status = django_filters.ChoiceFilter(
        choices=Status.choices, method="filter_status", empty_label=_("Any"), label=_("Status")
    )
    scope = django_filters.CharFilter(method="filter_scope", max_length=100, label=_("Scope"))
    owner = django_filters.ChoiceFilter(
        choices=[("mine", _("Mine")), ("organization", _("The organization's"))],
        method="filter_owner",
        empty_label=_("Anybody"),
        label=_("Owner"),
    )
    dialect = django_filters.ChoiceFilter(
        choices=Dialect.choices, empty_label=_("Any"), label=_("Format")
    )
    workspace = django_filters.ModelChoiceFilter(
        queryset=lambda request: policy.visible(request.user, Workspace.objects.all()),
        empty_label=_("Any"),
        label=_("Workspace"),
    )
    expiring = django_filters.BooleanFilter(
        method="filter_expiring", label=_("Expires within 14 days")
    )
    unused = django_filters.BooleanFilter(
        field_name="totals__last_used_at", lookup_expr="isnull", label=_("Never used")
    )
    unrestricted = django_filters.BooleanFilter(
        method="filter_unrestricted", label=_("Usable from anywhere")
    )
    ordering = django_filters.ChoiceFilter(
        choices=[(name, ordering.label) for name, ordering in ORDERINGS.items()],
        method="keep",
        label=_("Order"),
    )

    class Meta:
        model = APIKey
        fields: list[str] = []

    @property
    def chosen_ordering(self) -> Ordering:
        """The order asked for; the newest first when none is, or none that exists."""
        # `errors` validates, so that cleaned_data is there.
        chosen = "" if self.errors.get("ordering") else self.form.cleaned_data.get("ordering")
        return ORDERINGS[chosen or DEFAULT_ORDERING]

    def keep(self, queryset, name, value):
        """Leave the rows as they are: paging sorts them."""
        return queryset

    def filter_search(self, queryset, name, value):
        return queryset.filter(self.search_condition(value))

    def search_condition(self, value: str) -> Q:
        """Find by what people see of a key: name, short name, identifier, label of a secret."""
        labelled = KeySecret.objects.filter(key=OuterRef("pk"), label__icontains=value)
        return (
            Q(name__icontains=value)
            | Q(slug__icontains=value)
            | Q(identifier=value.lower())
            | Q(hash=value.lower())
            | Q(Exists(labelled))
        )

    def filter_status(self, queryset, name, value):
        return queryset.with_status(value, timezone.now())

    def filter_scope(self, queryset, name, value):
        """Find the keys that were given a scope, on themselves or through their role."""
        listed = APIKey.scopes.through.objects.filter(apikey=OuterRef("pk"), scope__code=value)
        through_role = Scope.objects.filter(roles=OuterRef("role"), code=value)
        return queryset.filter(Exists(listed) | Exists(through_role))

    def filter_owner(self, queryset, name, value):
        if value == "organization":
            return queryset.filter(owner=None)
        actor = self.request.user
        return queryset.filter(owner=actor.owner if isinstance(actor, APIKey) else actor)

    def filter_expiring(self, queryset, name, value):
        soon = APIKey.objects.expiring_soon(timezone.now())
        return queryset.filter(pk__in=soon) if value else queryset.exclude(pk__in=soon)

    def filter_unrestricted(self, queryset, name, value):
        return queryset.exclude(is_confined()) if value else queryset.filter(is_confined())


def _refuse_secret(text: str) -> None:
    if secrets.holds_part(text):
        raise ValidationError(
            _("That looks like a part of a secret. Paste all of it to find its key.")
        )


class KeyListFilter(KeyFilter):
    """The filter of the pages: revoked keys are left out unless they are asked for.

    `request.organization` says what there is to choose from.
    """

    LIMIT_REACHED = "limit_reached"
    ANY_STATUS = "any"
    _PANEL_CHOICES = ("status", "hygiene", "owner", "scope", "role", "workspace", "dialect")

    search = django_filters.CharFilter(
        method="filter_search",
        max_length=MAX_SEARCH_LENGTH,
        label=_("Search"),
        validators=[_refuse_secret],
    )
    status = django_filters.ChoiceFilter(
        choices=[
            (Status.ACTIVE.value, Status.ACTIVE.label),
            (LIMIT_REACHED, _("Limit reached")),
            *((each.value, each.label) for each in reversed(Status) if each is not Status.ACTIVE),
            (ANY_STATUS, _("Any, revoked too")),
        ],
        method="filter_status",
        empty_label=_("Any but revoked"),
        label=_("Status"),
    )
    scope = django_filters.ChoiceFilter(
        method="filter_scope", empty_label=_("Any"), label=_("Scope")
    )
    role = django_filters.ChoiceFilter(empty_label=_("Any"), label=_("Role"))
    workspace = django_filters.ChoiceFilter(empty_label=_("Any"), label=_("Workspace"))
    hygiene = django_filters.ChoiceFilter(
        choices=[(check.name, check.label) for check in hygiene.CHECKS.values()],
        method="filter_hygiene",
        empty_label=_("Any"),
        label=_("Keys that"),
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        actor, organization = self.request.user, self.request.organization
        workspaces = policy.visible(actor, organization.workspaces.all())
        scopes = policy.visible(actor, Scope.objects.available_to(organization))
        roles = policy.visible(actor, Role.objects.available_to(organization))
        self.filters["role"].extra["choices"] = [
            (str(pk), name) for pk, name in roles.values_list("pk", "name")
        ]
        self.filters["workspace"].extra["choices"] = [
            (str(pk), name) for pk, name in workspaces.values_list("pk", "name")
        ]
        self.filters["scope"].extra["choices"] = [
            (code, code) for code in scopes.values_list("code", flat=True)
        ]

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the order was asked for."""
        return bool(self.asked_for.keys() - {"ordering"})

    @property
    def asked_for(self) -> dict[str, str]:
        """What was asked for and understood, by the names of a query string."""
        self.errors  # noqa: B018 - validates, so that cleaned_data is there
        return {
            name: str(value)
            for name, value in self.form.cleaned_data.items()
            if value not in (None, "")
        }

    @property
    def panel_choices(self):
        """The fields of the filter panel that offer choices."""
        return [self.form[name] for name in self._PANEL_CHOICES]

    @property
    def panel_switches(self):
        """The fields of the filter panel that are on or off."""
        return [self.form[name] for name in ("expiring", "unused", "unrestricted")]

    def filter_queryset(self, queryset):
        queryset = super().filter_queryset(queryset)
        return queryset if self.form.cleaned_data.get("status") else queryset.live()

    def search_condition(self, value: str) -> Q:
        """Find also by number, the owner, and the last four characters of a secret.

        Of these four, labels show the last ones. An address is what holds an `@`; of a name
        every word has to be there.
        """
        value = value.replace("…", "...")
        condition = super().search_condition(value)
        people = User.objects.all()
        for word in value.split()[:_MAX_WORDS]:
            people = people.filter(Q(first_name__icontains=word) | Q(last_name__icontains=word))
        condition |= Q(owner__in=people.values("pk"))
        if "@" in value:
            condition |= Q(owner__email__icontains=value)
        number = value.removeprefix("#")
        if _NUMBER.fullmatch(number):
            condition |= Q(pk=int(number))
        if _LAST_FOUR.fullmatch(value):
            end = value[-_LABEL_END:]
            labelled = KeySecret.objects.filter(key=OuterRef("pk"), label__endswith=end)
            condition |= Q(Exists(labelled))
        return condition

    def filter_status(self, queryset, name, value):
        now = timezone.now()
        if value == self.ANY_STATUS:
            return queryset
        if value == self.LIMIT_REACHED:
            return queryset.with_status(Status.ACTIVE, now).spent(now)
        return queryset.with_status(value, now)

    def filter_hygiene(self, queryset, name, value):
        return hygiene.keys_failing(
            value, queryset, organization=self.request.organization, now=timezone.now()
        )


@dataclass(frozen=True)
class Page:
    """Some keys of a list, and the places from which its neighbours are reached."""

    keys: list[APIKey]
    # Identifiers of the first and last key when there is something before or after them.
    before: str | None
    after: str | None


_IDENTIFIER = re.compile(r"[a-z0-9]{24}")


def take_page(
    keys: QuerySet[APIKey],
    ordering: Ordering,
    *,
    after: str = "",
    before: str = "",
    size: int = PAGE_SIZE,
) -> Page:
    """Return the keys next to the one with that identifier, without counting them all.

    Without an identifier, or with one that the list does not hold, it is the first page.
    """
    backwards = bool(before)
    anchor = _find_place(keys, ordering, before or after)
    is_backwards = backwards and anchor is not None
    rows = ordering.sort(keys, backwards=is_backwards)
    if anchor:
        rows = rows.filter(ordering.beyond(*anchor, backwards=backwards))
    # Sorted as numbers alone: databases sort whole rows far slower.
    places = rows.values("pk")[: size + 1]
    found = list(ordering.sort(keys.filter(pk__in=places), backwards=is_backwards))
    has_more = len(found) > size
    found = found[:size]
    if not anchor:
        has_before, has_after = False, has_more
    elif backwards:
        found.reverse()
        has_before, has_after = has_more, True
    else:
        has_before, has_after = True, has_more
    return Page(
        found,
        before=found[0].identifier if found and has_before else None,
        after=found[-1].identifier if found and has_after else None,
    )


def _find_place(
    keys: QuerySet[APIKey], ordering: Ordering, identifier: str
) -> tuple[object, int] | None:
    if not _IDENTIFIER.fullmatch(identifier):
        return None
    rows = ordering.sort(keys).filter(identifier=identifier)
    return rows.values_list("position", "pk").first()
