"""Which keys of a list are shown.

Names are canonical; a dialect derives its own filter and renames. What an actor may see
at all is the policy's question: the queryset comes narrowed already.
"""

import re
from collections.abc import Iterator
from datetime import datetime

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from keys import hygiene, policy, search, secrets
from keys.hygiene import is_confined
from keys.models import APIKey, Role, Scope, Workspace
from keys.models.keys import Dialect, Status, ends_by, ends_soon
from keys.orderings import DEFAULT_ORDERING, ORDERINGS, Ordering
from keys.search import Sign

# Of a whole number that a key could have.
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_LAST_FOUR = re.compile(r"[0-9A-Za-z]{4}")
# So many characters of a secret's end does every label show.
_LABEL_END = min(each.shown[1] for each in secrets.FORMATS.values())


class KeyFilter(django_filters.FilterSet):
    """Narrows a list of keys. `request.user` says whose keys are one's own."""

    search = django_filters.CharFilter(
        method="filter_search", max_length=search.MAX_LENGTH, label=_("Search")
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
        ordering = ORDERINGS[chosen or DEFAULT_ORDERING]
        check = self.form.cleaned_data.get("hygiene")
        if check and hygiene.CHECKS[check].is_looked_for:
            # Those whose name somebody remembers are found first, all of them.
            is_bounded = not self.form.cleaned_data.get("search")
            return hygiene.order_of(check, ordering) if is_bounded else ordering.of_old()
        ends = self._ends_asked_for(timezone.now())
        if ends is None or not ordering.is_of_number or not self.has_many:
            return ordering
        # Keys end long after they are issued: the newest and the oldest are others.
        return ordering.apart() if search.ends_of_few(self.queryset, ends) else ordering

    def _ends_asked_for(self, now: datetime) -> Q | None:
        """Return which ends a filter asks for that lets few keys through, or None."""
        asked = self.form.cleaned_data
        if asked.get("status") == Status.EXPIRED:
            return ends_by(now)
        is_expiring = asked.get("expiring") or asked.get("hygiene") == "expiring"
        return ends_soon(now) if is_expiring else None

    @cached_property
    def has_many(self) -> bool:
        """Whether the list is of very many keys, before it is narrowed."""
        return search.has_many(self.queryset)

    def keep(self, queryset, name, value):
        """Leave the rows as they are: paging sorts them."""
        return queryset

    def filter_search(self, queryset, name, value):
        return search.narrow(queryset, self.signs(value), are_many=self.has_many)

    def signs(self, value: str) -> Iterator[Sign]:
        """Find by what people see of a key: name, short name, identifier, label of a secret."""
        yield search.by_identifier(value)
        yield search.by_label(value)
        yield search.by_name(value)

    def filter_status(self, queryset, name, value):
        return queryset.with_status(value, timezone.now())

    def filter_scope(self, queryset, name, value):
        """Find the keys that were given a scope, on themselves or through their role."""
        return search.narrow(queryset, [search.by_scope(value)], are_many=self.has_many)

    def filter_owner(self, queryset, name, value):
        if value == "organization":
            return queryset.filter(owner=None)
        actor = self.request.user
        return queryset.filter(owner=actor.owner if isinstance(actor, APIKey) else actor)

    def filter_expiring(self, queryset, name, value):
        soon = Q(revoked_at=None) & ends_soon(timezone.now())
        return queryset.filter(soon) if value else queryset.exclude(soon)

    def filter_unrestricted(self, queryset, name, value):
        return queryset.exclude(is_confined()) if value else queryset.filter(is_confined())


def _refuse_what_is_not_looked_for(text: str) -> None:
    if problem := search.problem_of(text):
        raise ValidationError(problem)


class KeyListFilter(KeyFilter):
    """The filter of the pages: revoked keys are left out unless they are asked for.

    `request.organization` says what there is to choose from.
    """

    LIMIT_REACHED = "limit_reached"
    ANY_STATUS = "any"
    OF_NONE = "unknown"
    _PANEL_CHOICES = ("status", "hygiene", "owner", "scope", "role", "workspace", "dialect")

    search = django_filters.CharFilter(
        method="filter_search",
        label=_("Search"),
        validators=[_refuse_what_is_not_looked_for],
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
    # So the list is empty after somebody looked for a secret that none of its keys has.
    secret = django_filters.ChoiceFilter(
        choices=[(OF_NONE, _("of none of these keys"))], method="filter_secret", label=_("Secret")
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

    def signs(self, value: str) -> Iterator[Sign]:
        """Find also by number, the owner, and the last four characters of a secret.

        Of these four, labels show the last ones.
        """
        value = value.replace("…", "...")
        number = value.removeprefix("#")
        if _NUMBER.fullmatch(number):
            yield search.by_number(int(number))
        if _LAST_FOUR.fullmatch(value):
            yield search.by_label_end(value[-_LABEL_END:])
        yield search.by_owner(value)
        yield from super().signs(value)

    def filter_status(self, queryset, name, value):
        now = timezone.now()
        if value == self.ANY_STATUS:
            return queryset
        if value == self.LIMIT_REACHED:
            active = queryset.with_status(Status.ACTIVE, now)
            return search.narrow(active, [search.by_spent_limit(now)], are_many=self.has_many)
        return queryset.with_status(value, now)

    def filter_secret(self, queryset, name, value):
        return queryset.none()

    def filter_hygiene(self, queryset, name, value):
        return hygiene.keys_failing(
            value, queryset, organization=self.request.organization, now=timezone.now()
        )
