"""Keys by what few of them have: a name, a number, an owner, the mask of a secret, a scope.

Where there are few keys, each is looked at. Among very many, indexes first tell the few that
can be meant. When those are many as well, the keys are read in their order until a page is
full, which is soon. All three find the same.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from keys import secrets, trigrams
from keys.figures import FEW_KEYS
from keys.models import APIKey, KeySecret, KeyUsage, Organization, Role, User
from keys.models.keys import is_spent

# Of a text that is looked for.
MAX_LENGTH = 200

# So many are looked up by their numbers.
_MOST = 4_000
# Of so many that are found by their end, the first are sorted out sooner than met on the way.
_MOST_ENDS = 30_000
# So many are sorted at once.
_FEW = 1_000
# Of a person's name; each is a condition of the query.
_MAX_WORDS = 5


def problem_of(text: str) -> str:
    """Say why a text is not looked for in lists, nor put into a URL; empty: it may be."""
    if secrets.holds_part(text):
        return _("That looks like a part of a secret. Paste all of it to find its key.")
    # Long texts may hold a secret in some way that nobody knows.
    return problem_of_length(text)


def problem_of_length(text: str, *, most: int = MAX_LENGTH) -> str:
    """Say what is wrong with a longer text than lists are searched for; empty: nothing."""
    if len(text) <= most:
        return ""
    return _("Search for at most %(most)d characters; this has %(count)d.") % {
        "most": most,
        "count": len(text),
    }


@dataclass(frozen=True)
class Sign:
    """One way to recognise a key: a condition, and how to find the keys that may fulfil it.

    `find` returns numbers of keys, none left out, in one or two queries; None: too many.
    """

    condition: Q
    find: Callable[[QuerySet[APIKey]], Iterable[int] | None]


def narrow(keys: QuerySet[APIKey], signs: Iterable[Sign], *, are_many: bool) -> QuerySet[APIKey]:
    """Return those of the keys that bear any of the signs.

    `are_many` is what `has_many` says of the list before it is narrowed.
    """
    signs = list(signs)
    condition = Q(*(sign.condition for sign in signs), _connector=Q.OR)
    few = _few(keys, signs) if are_many else None
    return keys.filter(condition) if few is None else keys.filter(condition, pk__in=few)


def has_many(keys: QuerySet) -> bool:
    """Say whether these are more keys than anybody would notice being read. One query."""
    return keys.order_by()[FEW_KEYS : FEW_KEYS + 1].exists()


def numbers_of_few(keys: QuerySet, *, from_oldest: bool = False) -> list[int] | None:
    """Return the numbers of these keys if they are few, in no order; else None. One query.

    `from_oldest` says where it soon turns out that they are not few, if no index tells them.
    """
    return _numbers(keys, most=_FEW, order=("pk",) if from_oldest else ())


def ends_of_few(keys: QuerySet[APIKey], ends: Q) -> bool:
    """Say whether so few keys end then that they are better found by their end. One query."""
    return not keys.filter(ends).order_by()[_MOST_ENDS : _MOST_ENDS + 1].exists()


def by_name(text: str) -> Sign:
    """The text is somewhere in the name or the short name."""
    return Sign(
        Q(name__icontains=text) | Q(slug__icontains=text),
        lambda keys: trigrams.find(APIKey, text, most=_MOST),
    )


def by_identifier(text: str) -> Sign:
    """The text is the whole identifier or public hash."""
    condition = Q(identifier=text.lower()) | Q(hash=text.lower())
    return Sign(condition, lambda keys: _numbers(APIKey.objects.filter(condition)))


def by_number(number: int) -> Sign:
    """The key has this number."""
    return Sign(Q(pk=number), lambda keys: [number])


def by_label(text: str) -> Sign:
    """The text is somewhere in the mask of one of the secrets."""
    labelled = KeySecret.objects.filter(key=OuterRef("pk"), label__icontains=text)
    return Sign(Q(Exists(labelled)), lambda keys: _keys_labelled(text))


def by_label_end(text: str) -> Sign:
    """The mask of one of the secrets ends so."""
    labelled = KeySecret.objects.filter(key=OuterRef("pk"), label__endswith=text)
    return Sign(Q(Exists(labelled)), lambda keys: _keys_labelled(text))


def people_named(text: str) -> QuerySet[User]:
    """Return the people in whose name is every word."""
    people = User.objects.all()
    for word in text.split()[:_MAX_WORDS]:
        people = people.filter(Q(first_name__icontains=word) | Q(last_name__icontains=word))
    return people


def by_owner(text: str) -> Sign:
    """Every word is in the owner's name; or the text, where it has an `@`, in their address."""
    people = people_named(text)
    if "@" in text:
        people |= User.objects.filter(email__icontains=text)
    return Sign(Q(owner__in=people.values("pk")), lambda keys: _keys_of(people, keys))


def by_spent_limit(now: datetime) -> Sign:
    """Nothing is left of the key's limit at that moment."""
    totals = KeyUsage.objects.filter(period_cost__gte=F("limit"))
    return Sign(is_spent(now), lambda keys: _numbers(totals))


def by_lost_owner(organization: Organization) -> Sign:
    """The key is of somebody who left the organization or may not sign in any more."""
    members = organization.memberships.filter(user__is_active=True)
    gone = User.objects.exclude(pk__in=members.values("user"))
    owned = APIKey.objects.filter(organization=organization, owner=OuterRef("pk"))
    return Sign(
        # By people, who are fewer than keys.
        Q(owner__in=gone.values("pk")),
        lambda keys: _keys_of(gone.filter(Exists(owned)), keys),
    )


def by_scope(code: str) -> Sign:
    """The key was given this scope, on itself or through its role."""
    lists = APIKey.scopes.through.objects.filter(scope__code=code)
    roles = Role.objects.filter(scopes__code=code)
    condition = Exists(lists.filter(apikey=OuterRef("pk"))) | Exists(
        roles.filter(pk=OuterRef("role"))
    )
    return Sign(Q(condition), lambda keys: _keys_holding(lists, roles))


def _few(keys: QuerySet[APIKey], signs: Iterable[Sign]) -> list[int] | None:
    found: set[int] = set()
    for sign in signs:
        numbers = sign.find(keys)
        if numbers is None:
            return None
        found.update(numbers)
    return sorted(found) if len(found) <= _MOST else None


def _numbers(rows: QuerySet, *, most: int = _MOST, order: Iterable[str] = ()) -> list[int] | None:
    found = list(rows.order_by(*order).values_list("pk", flat=True)[: most + 1])
    return found if len(found) <= most else None


def _keys_of(people: QuerySet[User], keys: QuerySet[APIKey]) -> list[int] | None:
    owners = _numbers(people)
    return None if owners is None else _numbers(keys.filter(owner__in=owners))


def _keys_holding(lists: QuerySet, roles: QuerySet[Role]) -> list[int] | None:
    listed = list(lists.values_list("apikey", flat=True)[: _MOST + 1])
    if len(listed) > _MOST:
        return None
    followers = _numbers(APIKey.objects.filter(role__in=roles))
    return None if followers is None else listed + followers


def _keys_labelled(text: str) -> Iterator[int] | None:
    secrets = trigrams.find(KeySecret, text, most=_MOST)
    if secrets is None:
        return None
    return KeySecret.objects.filter(pk__in=secrets).values_list("key", flat=True).iterator()
