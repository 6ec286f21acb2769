"""Who and what the tests begin with is written past the services, and yet as these write it."""

import pytest

from keys import policy, services
from keys.models import APIKey, KeySecret, KeyUsage, Membership, Role
from tests.conftest import join, make_key, make_person

# What is drawn by lot, or counted up.
OWN = {"id", "identifier", "hash", "digest", "label", "nonce", "key_id", "user_id", "slug"}


def rows_of(model, **which) -> list[dict]:
    """Return the rows of a table without what is theirs alone, moments to whether there is one."""
    names = [each.attname for each in model._meta.concrete_fields if each.attname not in OWN]
    return [
        {name: bool(row[name]) if name.endswith("_at") else row[name] for name in names}
        for row in model.objects.filter(**which).order_by("pk").values(*names)
    ]


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_key_is_as_it_would_be_issued(acme, owner, is_shared):
    codes = ["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"]
    whose = {"owner": None} if is_shared else {}
    made = make_key(acme, owner, "Night run", " ".join(codes), **whose)
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
    assert services.verify_key(secret=made.secret, address=None).is_valid


def test_a_member_joined_as_by_the_service(acme):
    first, second = (make_person(f"{name}@acme.example") for name in ("first", "second"))
    join(acme, first, "developer")
    role = Role.objects.get(organization=None, name="developer")
    services.add_member(actor=policy.OPERATOR, organization=acme, user=second, role=role)
    assert rows_of(Membership, user=first) == rows_of(Membership, user=second)
