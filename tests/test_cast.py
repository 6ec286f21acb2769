"""Who and what the tests begin with is written past the services, and yet as these write it."""

import pytest
from django.test import Client

from keys import policy, services
from keys.models import APIKey, KeySecret, KeyUsage, Membership, Organization, Role, Workspace
from tests import conftest
from tests.conftest import join, make_key, make_organization, make_person

# What is drawn by lot, or counted up.
OWN = {"id", "identifier", "hash", "digest", "label", "nonce", "key_id", "user_id", "slug"}


def rows_of(model, **which) -> list[dict]:
    """Return the rows of a table without what is theirs alone, moments to whether there is one."""
    names = [each.attname for each in model._meta.concrete_fields if each.attname not in OWN]
    return [
        {name: bool(row[name]) if name.endswith("_at") else row[name] for name in names}
        for row in model.objects.filter(**which).order_by("pk").values(*names)
    ]


def contents_of(row) -> dict:
    """Return what an object has in memory, each as it would be printed."""
    return {
        name: str(value)
        for name, value in vars(row or object).items()
        if not name.startswith("_") and name != "secret"
    }


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_key_is_as_it_would_be_issued(acme, owner, is_shared):
    codes = ["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"]
    whose = {"owner": None} if is_shared else {}
    made = make_key(acme, owner, "Night run", " ".join(codes), **whose)
    read = APIKey.objects.with_details().get(pk=made.pk)
    # Its short name is free for the other.
    APIKey.objects.filter(pk=made.pk).update(slug="another")
    issued = services.issue_key(
        actor=owner, organization=acme, name="Night run", scopes=codes, **whose
    )
    assert made.slug == issued.slug
    for model, which in (APIKey, "pk"), (KeySecret, "key"), (KeyUsage, "key"):
        assert rows_of(model, **{which: made.pk}) == rows_of(model, **{which: issued.pk})
    assert list(made.scopes.all()) == list(issued.scopes.all())
    assert vars(made).keys() == vars(issued).keys()
    assert contents_of(made) == contents_of(read)
    for part in "organization", "workspace", "owner", "creator", "totals":
        assert contents_of(getattr(made, part)) == contents_of(getattr(read, part))
    for part in "scopes", "allowed_ips", "rate_limits", "secrets":
        assert [contents_of(each) for each in getattr(made, part).all()] == [
            contents_of(each) for each in getattr(read, part).all()
        ]
    assert services.verify_key(secret=made.secret, address=None).is_valid


def test_a_member_joined_as_by_the_service(acme):
    first, second = (make_person(f"{name}@acme.example") for name in ("first", "second"))
    join(acme, first, "developer")
    role = Role.objects.get(organization=None, name="developer")
    services.add_member(actor=policy.OPERATOR, organization=acme, user=second, role=role)
    assert rows_of(Membership, user=first) == rows_of(Membership, user=second)


def test_an_organization_is_as_the_service_creates_it(owner):
    made, created = (
        make_organization(slug, owner, is_told=is_told)
        for slug, is_told in (("made", False), ("created", True))
    )
    assert made.name == "Made"
    for model in Organization, Workspace, Membership:
        which = "pk" if model is Organization else "organization"
        of_made, of_created = (
            [{**row, "organization_id": 0, "name": ""} for row in rows_of(model, **{which: each})]
            for each in (made.pk, created.pk)
        )
        assert of_made == of_created
    assert made.workspaces.get().name == created.workspaces.get().name


def test_a_person_is_signed_in_as_by_django(owner, settings):
    """Whose browser it is has one session with the same contents, and a cookie of it."""
    quick, slow = Client(), Client()
    quick.force_login(owner)
    conftest._sign_in_anew(slow, owner)
    first, second = dict(quick.session.items()), dict(slow.session.items())
    for session in first, second:
        (how,) = session["account_authentication_methods"]
        assert how.pop("at")
    assert first == second
    name = settings.SESSION_COOKIE_NAME
    assert dict(quick.cookies[name]) == dict(slow.cookies[name])
    assert owner.last_login is not None


def test_who_signs_in_after_another_is_nobody_else(client, owner, stranger):
    client.force_login(owner)
    before = client.session.session_key
    client.force_login(stranger)
    assert client.session["_auth_user_id"] == str(stranger.pk)
    assert client.session.session_key != before
