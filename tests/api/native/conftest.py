"""What the tests of the wire of the native dialect start from."""

from datetime import UTC, datetime

import pytest

from keys import services
from keys.models import APIKey


@pytest.fixture
def body(acme) -> dict:
    """What the seed's create asks for, and nothing else."""
    return {"key_name": "Backend API Key", "key_scope": ["READ"], "organization_id": acme.pk}


@pytest.fixture
def owners_key(acme, owner) -> APIKey:
    """A key of the owner's own with every built-in scope."""
    return services.issue_key(
        actor=owner,
        organization=acme,
        name="Owner's",
        scopes=["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"],
    )


@pytest.fixture
def strangers_things(strangers_key, other, stranger) -> APIKey:
    """The stranger's key, in an organization that has one of everything."""
    services.add_allowed_ip(actor=stranger, key=strangers_key, network="192.0.2.7")
    services.add_server_address(actor=stranger, organization=other, network="192.0.2.8")
    services.create_scope(actor=stranger, organization=other, code="orders:read")
    services.create_role(actor=stranger, organization=other, name="clerk")
    return strangers_key


@pytest.fixture
def many(acme, owner) -> list[APIKey]:
    """Seven more keys of the organization, with and without an expiry."""
    return [
        services.issue_key(
            actor=owner,
            organization=acme,
            name=f"Worker {number % 3}",
            owner=None,
            scopes=["READ"],
            expires_at=datetime(2090 + number, 1, 1, tzinfo=UTC) if number % 2 else None,
        )
        for number in range(7)
    ]
