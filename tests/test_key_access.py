"""What a key may do and from where, on its page."""

import pytest

from keys import policy, services
from keys.models import AllowedIP, AuditEvent
from keys.networks import parse_address
from keys.verification import Code
from tests.key_pages import (
    ELSEWHERE,
    demote,
    issue,
    page_of,
    sign_in,
    text_of,
    verdict_on,
    words_of,
)

pytestmark = pytest.mark.django_db

OFFICE = parse_address("192.0.2.7")


def networks_of(key) -> list[str]:
    """Return what is on the list of a key now, switched off or not."""
    return list(AllowedIP.objects.filter(key=key).values_list("network", flat=True))


# Access: scopes


def scopes_on(response) -> dict[str, dict]:
    return {each["scope"].code: each for each in response.context["scopes"]}


def test_scopes_are_told_with_their_use(developer, key):
    for _time in range(3):
        verdict_on(key, scopes=["READ"])
    response = sign_in(developer).get(page_of(key, "access"))
    scopes = scopes_on(response)
    assert scopes["READ"]["use"].requests == 3
    assert scopes["DELETE"]["use"] is None
    assert "Never used" in words_of(response)
    # What is used has no "Remove" beside it; the three others do.
    assert text_of(response).count('#id_access">Remove') == 3


def test_scopes_that_the_owner_lost_are_told_not_effective(developer, acme, key):
    """A key narrows with its owner."""
    demote(developer, acme)
    response = sign_in(developer).get(page_of(key, "access"))
    effective = {code: each["is_effective"] for code, each in scopes_on(response).items()}
    assert effective == {"READ": True, "CREATE": False, "UPDATE": False, "DELETE": False}
    assert words_of(response).count("Not effective") == 4  # thrice, and once explained


# Access: allowed IPs


def row_of(key, network):
    return key.allowed_ips.get(network=network)


def test_developer_adds_a_row(developer, key):
    client = sign_in(developer)
    row = {"network": "127.0.0.0/8", "effect": "allow", "comment": "this machine"}
    response = client.post(page_of(key, "access"), row, follow=True)
    assert "127.0.0.0/8 is on the list" in words_of(response)
    row = key.allowed_ips.get()
    assert (row.network, row.deny, row.comment) == ("127.0.0.0/8", False, "this machine")
    assert AuditEvent.objects.filter(action="apikey.updated").count() == 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("network", "10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("network", "0.0.0.0/0", "means everywhere"),
        ("network", "100%s", "names a zone"),
        ("network", "\0", "Null characters"),
        ("network", "", "required"),
        ("network", "127.0.0.1", "listed already"),
        ("effect", "maybe", "valid choice"),
        ("comment", "x" * 201, "at most 200"),
    ],
)
def test_odd_row_is_named_at_its_field_and_not_added(field, value, words, developer, acme):
    key = issue(developer, acme, allowed_ips=["127.0.0.1"])
    row = {"network": "192.0.2.1", "effect": "allow", "comment": "", field: value}
    response = sign_in(developer).post(page_of(key, "access"), row)
    assert words in " ".join(response.context["form"].errors[field])
    assert len(networks_of(key)) == 1


@pytest.mark.parametrize(
    ("listed", "row"),
    [
        ([], {"network": "192.0.2.1", "effect": "allow"}),
        (["127.0.0.1"], {"network": "127.0.0.0/8", "effect": "deny"}),
    ],
)
def test_row_that_shuts_out_who_adds_it_is_asked_about(listed, row, developer, acme):
    key = issue(developer, acme, allowed_ips=listed)
    client = sign_in(developer)
    row = {**row, "comment": ""}
    response = client.post(page_of(key, "access"), row)
    assert "Your own address, 127.0.0.1, is then not let through" in words_of(response)
    assert len(networks_of(key)) == len(listed)
    client.post(page_of(key, "access"), {**row, "confirm_lockout": "on"})
    assert len(networks_of(key)) == len(listed) + 1


def test_removing_the_last_row_asks_since_it_opens_the_key(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1"])
    client = sign_in(developer)
    address = page_of(key, "allowed-ip-remove", row_of(key, "192.0.2.1").pk)
    assert "the key works from anywhere" in words_of(client.post(address))
    assert len(networks_of(key)) == 1
    assert "is off the list" in words_of(client.post(address, {"confirmed": "on"}, follow=True))
    assert networks_of(key) == []


def test_removing_one_of_several_asks_nothing(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    client = sign_in(developer)
    client.post(page_of(key, "allowed-ip-remove", row_of(key, "192.0.2.1").pk))
    assert networks_of(key) == ["127.0.0.1"]


@pytest.mark.parametrize("action", ["allowed-ip-remove", "allowed-ip-switch"])
def test_taking_away_ones_own_address_is_asked_about(action, developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    client = sign_in(developer)
    address = page_of(key, action, row_of(key, "127.0.0.1").pk)
    page = words_of(client.post(address))
    assert "Your own address, 127.0.0.1, is not let through any more" in page
    assert "works from anywhere" not in page
    assert key.allowed_ips.filter(active=True).count() == 2
    client.post(address, {"confirmed": "on"})
    assert key.allowed_ips.filter(active=True).count() == 1


def test_row_is_switched_off_and_on(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    client = sign_in(developer)
    row = row_of(key, "192.0.2.1")
    address = page_of(key, "allowed-ip-switch", row.pk)
    assert "is switched off" in words_of(client.post(address, follow=True))
    assert verdict_on(key, parse_address("192.0.2.1")) is Code.FORBIDDEN_ADDRESS
    assert "counts again" in words_of(client.post(address, follow=True))
    assert verdict_on(key, parse_address("192.0.2.1")) is Code.VALID


def test_switching_off_the_last_row_asks_too(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1"])
    address = page_of(key, "allowed-ip-switch", row_of(key, "192.0.2.1").pk)
    assert "works from anywhere" in words_of(sign_in(developer).post(address))
    assert key.allowed_ips.get().active


def test_key_that_follows_the_servers_is_not_opened_by_its_last_row(developer, acme):
    services.add_server_address(actor=policy.OPERATOR, organization=acme, network="127.0.0.1")
    key = issue(developer, acme, allowed_ips=["192.0.2.1"], assign_server_ips=True)
    sign_in(developer).post(page_of(key, "allowed-ip-remove", row_of(key, "192.0.2.1").pk))
    assert networks_of(key) == []
    assert verdict_on(key, ELSEWHERE) is Code.FORBIDDEN_ADDRESS


def test_row_of_another_key_is_not_found(developer, acme, key):
    other = issue(developer, acme, allowed_ips=["192.0.2.1"])
    client = sign_in(developer)
    for action in ("allowed-ip-remove", "allowed-ip-switch"):
        address = page_of(key, action, other.allowed_ips.get().pk)
        assert client.post(address, {"confirmed": "on"}).status_code == 404
    assert other.allowed_ips.get().active


def test_row_of_a_locked_key_stays(developer, staff, acme):
    """T9: a locked key is not loosened by its people."""
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    services.lock_key(actor=staff, key=key)
    client = sign_in(developer)
    for action in ("allowed-ip-remove", "allowed-ip-switch"):
        address = page_of(key, action, row_of(key, "192.0.2.1").pk)
        assert client.post(address, {"confirmed": "on"}).status_code == 403
    row = {"network": "127.0.0.0/8", "effect": "allow"}
    assert client.post(page_of(key, "access"), row).status_code == 403
    assert key.allowed_ips.filter(active=True).count() == 2


def test_row_of_a_key_revoked_meanwhile_stays(developer, acme):
    key = issue(developer, acme, allowed_ips=["192.0.2.1", "127.0.0.1"])
    services.revoke_key(actor=developer, key=key)
    client = sign_in(developer)
    row = {"network": "127.0.0.0/8", "effect": "allow", "comment": ""}
    for address, data in (
        (page_of(key, "allowed-ip-remove", row_of(key, "192.0.2.1").pk), {"confirmed": "on"}),
        (page_of(key, "access"), row),
    ):
        assert "nothing brings it back" in words_of(client.post(address, data, follow=True))
    assert len(networks_of(key)) == 2


def test_address_is_tested_by_what_enforces_it(owner, acme):
    key = issue(owner, acme, allowed_ips=["192.0.2.0/24"])
    client = sign_in(owner)
    access = page_of(key, "access")
    assert "is accepted" in words_of(client.get(access, {"address": "192.0.2.7"}))
    refused = words_of(client.get(access, {"address": "198.51.100.1"}))
    assert "the address is not allowed" in refused
    assert Code.FORBIDDEN_ADDRESS in refused
    for nonsense in ("10.1", "192.0.2.0/24", "fe80::1%eth0", "\0", "x" * 100):
        response = client.get(access, {"address": nonsense})
        assert response.status_code == 200
        assert response.context["address_form"].errors
    key.totals.refresh_from_db()
    assert (key.totals.requests, key.totals.refused) == (0, 0)
