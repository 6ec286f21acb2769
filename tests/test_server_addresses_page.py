"""The page of an organization's server addresses."""

import pytest
from django.urls import reverse

from keys import services
from keys.networks import parse_address
from keys.verification import Code


@pytest.fixture
def address(acme) -> str:
    return reverse("keys:server-addresses", args=[acme.slug])


def test_an_admin_adds_an_address_from_which_a_following_key_then_works(
    client, admin, acme, address
):
    key = services.issue_key(actor=admin, organization=acme, name="Pool", assign_server_ips=True)
    client.force_login(admin)

    def verdict() -> Code:
        return services.verify_key(secret=key.secret, address=parse_address("192.0.2.7")).code

    assert verdict() is Code.FORBIDDEN_ADDRESS
    reply = client.post(address, {"network": "192.0.2.0/24", "comment": "Frankfurt"}, follow=True)
    assert "192.0.2.0/24 is now a server address." in reply.text
    assert "Pool" in reply.text
    assert verdict() is Code.VALID

    remove = reverse("keys:server-address-remove", args=[acme.slug, acme.server_addresses.get().pk])
    client.post(remove)
    assert verdict() is Code.FORBIDDEN_ADDRESS


@pytest.mark.parametrize(
    ("network", "fix"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("010.1.2.3", "leading zeros"),
        ("fe80::1%eth0", "zone"),
        ("", "required"),
    ],
)
def test_bad_input_is_named_with_its_fix_and_nothing_is_written(
    client, admin, acme, address, network, fix
):
    """T28: on this page too."""
    client.force_login(admin)
    reply = client.post(address, {"network": network, "comment": "Frankfurt"})
    assert fix in reply.text
    assert "Frankfurt" in reply.text
    assert not acme.server_addresses.exists()


def test_an_address_listed_already_is_not_listed_twice(client, admin, acme, address):
    client.force_login(admin)
    for _ in range(2):
        reply = client.post(address, {"network": "192.0.2.7"}, follow=True)
    assert "listed already" in reply.text
    assert acme.server_addresses.count() == 1


def test_a_developer_sees_the_pool_and_no_way_to_change_it(client, admin, developer, acme, address):
    services.add_server_address(actor=admin, organization=acme, network="192.0.2.7")
    client.force_login(developer)
    reply = client.get(address)
    assert "192.0.2.7" in reply.text
    assert "Remove" not in reply.text
    assert "Add address" not in reply.text


def test_a_stranger_removes_nothing_under_their_own_organizations_address(
    client, admin, stranger, acme, other
):
    """T10: the row is looked for in the organization of the path."""
    row = services.add_server_address(actor=admin, organization=acme, network="192.0.2.7")
    client.force_login(stranger)
    remove = reverse("keys:server-address-remove", args=[other.slug, row.pk])
    assert client.post(remove).status_code == 404
    assert acme.server_addresses.exists()
