"""Finding anything by any name it has. Posted, so that a pasted key stays out of every log."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from keys import policy, secrets, services, snapshots
from keys.admin.rows import visible_people
from keys.forms.search import SearchForm
from keys.models import APIKey, AuditEvent, KeySecret, Organization, User
from keys.search import problem_of_length

# Of each kind; who needs more narrows the list of that kind.
SHOWN = 20

# The shortest text that is looked for inside of names.
_SHORTEST = 2
# How much of the end of a secret its label shows; people often quote four characters.
_QUOTED = {secret_format.shown[1] for secret_format in secrets.FORMATS.values()} | {4}
_REQUEST_ID = re.compile(r"[0-9a-f]{32}\Z")
_NUMBER = re.compile(r"[0-9]{1,18}\Z")


@dataclass(frozen=True)
class Hit:
    """One thing that was found."""

    name: str
    url: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """What was found of one kind; of many, the first."""

    title: str
    hits: list[Hit]
    is_more: bool


@sensitive_post_parameters("term")
def search(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show what a term finds, by kind, or go to the one thing that it finds."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "POST"])
    term = request.POST.get("term", "").replace("\x00", "").strip()
    if term:
        # Not for what: it may be a secret.
        services.note_read(
            actor=request.user,
            obj=request.user,
            organization=None,
            action="installation.searched",
        )
    groups = [group for group in _find(request.user, term) if group.hits]
    hits = [hit for group in groups for hit in group.hits]
    if len(hits) == 1:
        return redirect(hits[0].url)
    return TemplateResponse(
        request,
        "admin/search.html",
        {
            **context,
            "title": _("Search"),
            "groups": groups,
            "is_searched": bool(term),
            # What may be a secret is not repeated on a page.
            "term": "" if _looks_secret(term) else term,
            "is_secret": _looks_secret(term),
            "problem": problem_of_length(term),
        },
    )


def _looks_secret(term: str) -> bool:
    """Say whether the term may be a key, whole or mistyped, or a line that holds one.

    A label of a key is none.
    """
    begins_so = term.startswith(tuple(each.prefix for each in secrets.FORMATS.values()))
    return (begins_so and "..." not in term) or secrets.holds_part(term)


def _find(actor: User, term: str) -> Iterator[Group]:
    if _looks_secret(term):
        yield _group(_("API keys"), _keys_with_secret(actor, term), _describe_key)
        return
    if not term or problem_of_length(term):
        return
    yield _group(_("API keys"), _keys(actor, term), _describe_key)
    yield _group(_("Organizations"), _organizations(actor, term), _describe_organization)
    yield _group(_("People"), _people(actor, term), lambda person: _describe_person(actor, person))
    yield _group(_("Audit events"), _events(actor, term), _describe_event)


def _group(title: str, rows: QuerySet, describe: Any) -> Group:
    found = list(rows[: SHOWN + 1])
    return Group(title, [describe(row) for row in found[:SHOWN]], len(found) > SHOWN)


def _keys_with_secret(actor: User, term: str) -> QuerySet[APIKey]:
    form = SearchForm({"search": term})
    secret = form.secret if form.is_valid() else None
    row = snapshots.find_secret(secret) if secret else None
    return _visible_keys(actor).filter(pk=row.key_id if row else None)


def _keys(actor: User, term: str) -> QuerySet[APIKey]:
    rule = Q(identifier=term) | Q(hash=term) | _numbered(term)
    labels = KeySecret.objects.filter(label=term)
    if len(term) in _QUOTED:
        labels |= KeySecret.objects.filter(label__endswith=term[-min(_QUOTED) :])
    rule |= Q(pk__in=labels.values("key"))
    if len(term) >= _SHORTEST:
        rule |= Q(name__icontains=term) | Q(slug__icontains=term)
    return _visible_keys(actor).filter(rule)


def _organizations(actor: User, term: str) -> QuerySet[Organization]:
    rule = Q(slug=term) | _numbered(term)
    if len(term) >= _SHORTEST:
        rule |= Q(name__icontains=term)
    return policy.visible(actor, Organization.objects.filter(rule))


def _people(actor: User, term: str) -> QuerySet[User]:
    rule = Q(email__iexact=term)
    if len(term) >= _SHORTEST:
        rule |= Q(email__icontains=term) | Q(first_name__iexact=term) | Q(last_name__iexact=term)
    return visible_people(actor).filter(rule).order_by("email")


def _events(actor: User, term: str) -> QuerySet[AuditEvent]:
    # Without an index, so asked only of what is a request's id.
    is_request = _REQUEST_ID.match(term)
    events = AuditEvent.objects.filter(request_id=term) if is_request else AuditEvent.objects.none()
    return policy.visible(actor, events.select_related("organization"))


def _numbered(term: str) -> Q:
    return Q(pk=int(term)) if _NUMBER.match(term) else Q(pk=None)


def _visible_keys(actor: User) -> QuerySet[APIKey]:
    keys = APIKey.objects.select_related("organization").prefetch_related("secrets")
    return policy.visible(actor, keys)


def _describe_key(key: APIKey) -> Hit:
    details = (key.label, str(key.organization), str(key.status.label))
    return Hit(key.name, reverse("admin:keys_apikey_change", args=[key.pk]), details)


def _describe_organization(organization: Organization) -> Hit:
    state = _("Suspended") if organization.is_suspended else _("Active")
    url = reverse("admin:keys_organization_change", args=[organization.pk])
    return Hit(organization.name, url, (organization.slug, state))


def _describe_person(actor: User, person: User) -> Hit:
    if actor.has_perm("keys.view_user"):
        url = reverse("admin:keys_user_change", args=[person.pk])
    else:  # who may not see accounts is shown what the account holds
        url = reverse("admin:keys_apikey_changelist", query={"owner__id__exact": person.pk})
    return Hit(person.email, url, (person.get_full_name(),) if person.get_full_name() else ())


def _describe_event(event: AuditEvent) -> Hit:
    url = reverse("admin:keys_auditevent_change", args=[event.pk])
    details = (str(event.organization),) if event.organization else ()
    return Hit(str(event), url, details)
