"""Lists of a row's other rows, found with the row itself: one query instead of one for each."""

from functools import cache
from typing import Any

from django.db.models import Case, Func, JSONField, OuterRef, QuerySet, Subquery, When

from keys.models.keys import APIKey
from keys.models.organizations import Scope
from keys.models.rates import RateLimit
from keys.models.secrets import KeySecret


class _List(Func):
    """All values of a subquery as a JSON list."""

    function = "JSON_GROUP_ARRAY"
    output_field = JSONField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler,
            connection,
            template="COALESCE(JSON_AGG(%(expressions)s)::text, '[]')",
            **context,
        )


class _Pair(Func):
    """Two values as a JSON list."""

    function = "JSON_ARRAY"
    output_field = JSONField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="JSON_BUILD_ARRAY", **context)


def with_lists(keys: QuerySet[APIKey]) -> QuerySet[APIKey]:
    """Return the keys with what their list shows of them, in two queries however many they are.

    `scope_codes`, `label` and `known_rate_limits` then need none of their own.
    """
    keys = keys.select_related("owner", "role", "totals").prefetch_related("allowed_ips")
    return keys.annotate(**_known())


@cache
def _known() -> dict[str, Any]:
    labels = KeySecret.objects.filter(key=OuterRef("pk")).order_by("-pk").values("label")
    own = Scope.objects.filter(api_keys=OuterRef("pk"))
    followed = Scope.objects.filter(roles=OuterRef("role"))
    limits = RateLimit.objects.filter(key=OuterRef("pk"))
    return {
        "known_label": Subquery(labels[:1]),
        "known_scopes": Case(
            When(role=None, then=_listed(own, "id", "code")),
            default=_listed(followed, "id", "code"),
            output_field=JSONField(),
        ),
        "known_rate_limits": _listed(limits, "amount", "period"),
    }


def _listed(rows: QuerySet, *columns: str) -> Subquery:
    listed = rows.order_by().annotate(listed=_List(_Pair(*columns))).values("listed")
    return Subquery(listed, output_field=JSONField())
