"""Short ways for tests to the pages of keys, as somebody who signed in."""

import re

from django.test import Client
from django.urls import reverse

from keys import policy, services
from keys.models import APIKey, Role
from keys.networks import parse_address
from keys.verification import Code

HERE = parse_address("127.0.0.1")
ELSEWHERE = parse_address("203.0.113.50")
HTMX = {"HX-Request": "true"}


def sign_in(person) -> Client:
    """Return a browser in which this person is signed in."""
    client = Client()
    client.force_login(person)
    return client


def page_of(key, page="detail", *more) -> str:
    """Return the address of a page of one key, by its URL name."""
    return reverse(f"keys:{page}", args=[key.organization.slug, key.identifier, *more])


def listing(organization, page="list") -> str:
    """Return the address of a page of an organization, by its URL name."""
    return reverse(f"keys:{page}", args=[organization.slug])


def text_of(response) -> str:
    """Return the page that was answered."""
    return response.content.decode()


def words_of(response) -> str:
    """Return what a page says, without its tags."""
    assert response.status_code == 200, response.status_code
    text = re.sub(r"<[^>]+>", " ", text_of(response))
    return re.sub(r"\s+([.,]?)", lambda space: space[1] or " ", text)


def token_of(response) -> str:
    """Return the token by which the form on the page is carried out once."""
    return re.search(r'name="token" value="(\w+)"', text_of(response))[1]


def fill(client, organization, **changes) -> dict:
    """Return the new-key form as a browser would send it, with these changes."""
    response = client.get(listing(organization, "create"))
    form = response.context["form"]
    values = {
        "token": token_of(response),
        "name": "Billing server",
        "description": "",
        "owner": "mine",
        "workspace": str(form["workspace"].value()),
        "access": "scopes",
        "scopes": ["READ"],
        "allowed_ips": "",
        "expiry": "90",
        "limit": "",
        "limit_reset": "",
        "dialect": "native",
        "slug": "",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def secret_on(response) -> str:
    """Return the secret that the page shows."""
    found = re.search(r'id="secret">([^<]+)<', text_of(response))
    assert found, text_of(response)
    return found[1]


def issue(actor, organization, name="Office", **fields) -> APIKey:
    """Issue a key past the pages."""
    return services.issue_key(actor=actor, organization=organization, name=name, **fields)


def demote(person, organization) -> None:
    """Make somebody a mere reader."""
    services.update_member(
        actor=policy.OPERATOR,
        membership=organization.memberships.get(user=person),
        role=Role.objects.get(organization=None, name="readonly"),
    )


def verdict_on(key, address=HERE, **question) -> Code:
    """Present the secret of a key that was just issued; return how it was judged."""
    return services.verify_key(secret=key.secret, address=address, **question).code
