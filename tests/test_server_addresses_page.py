"""The page of the organization's server addresses."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from keys import services
from keys.models import ServerAddress
from keys.networks import parse_address
from keys.verification import Code


def page(name: str, *more) -> str:
    return reverse(f"keys:{name}", args=["acme", *more])


@pytest.fixture
def following(acme, owner):
    """A key that follows the pool."""
    return services.issue_key(
        actor=owner, organization=acme, name="Kiosk", owner=None, assign_server_ips=True
    )


@pytest.fixture
def frankfurt(acme, owner):
    return services.add_server_address(
        actor=owner, organization=acme, network="192.0.2.0/24", comment="Frankfurt"
    )


def verdict_on(key) -> Code:
    return services.verify_key(secret=key.secret, address=parse_address("192.0.2.7")).code


class TestAdding:
    """Several at once, or none."""

    def test_a_following_key_then_works_from_there(self, client, admin, following):
        client.force_login(admin)
        assert verdict_on(following) is Code.FORBIDDEN_ADDRESS
        reply = client.post(
            page("server-addresses"), {"addresses": "192.0.2.0/24  # Frankfurt"}, follow=True
        )
        assert "192.0.2.0/24 is now a server address." in reply.text
        assert "Kiosk" in reply.text
        assert verdict_on(following) is Code.VALID

    def test_each_line_is_one_with_its_comment(self, client, admin, acme):
        client.force_login(admin)
        typed = "192.0.2.7\n\n 2001:db8::/32 # Backup \r\n198.51.100.1#Old"
        reply = client.post(page("server-addresses"), {"addresses": typed}, follow=True)
        assert "3 addresses are now server addresses." in reply.text
        rows = acme.server_addresses.values_list("network", "comment")
        assert list(rows) == [
            ("192.0.2.7", ""),
            ("2001:db8::/32", "Backup"),
            ("198.51.100.1", "Old"),
        ]

    @pytest.mark.parametrize(
        ("typed", "fix"),
        [
            ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
            ("192.0.2.1\n10.0.0.1/8", "Line 2"),
            ("010.1.2.3", "leading zeros"),
            ("fe80::1%eth0", "zone"),
            ("0.0.0.0/0", "means everywhere"),
            ("!192.0.2.1", "The pool only allows"),
            ("192.0.2.1 # " + "x" * 201, "longer than 200 characters"),
            ("192.0.2.1\n198.51.100.1", "198.51.100.1: This address is listed already."),
            ("192.0.2.1\n192.0.2.1", "192.0.2.1: This address is listed already."),
            ("", "required"),
            ("\n".join(f"10.0.0.{number}" for number in range(101)), "at most 100 addresses"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_fix_and_nothing_is_written(
        self, client, admin, acme, typed, fix
    ):
        """T28: on this page too."""
        services.add_server_address(actor=admin, organization=acme, network="198.51.100.1")
        client.force_login(admin)
        reply = client.post(page("server-addresses"), {"addresses": typed})
        assert reply.status_code == 200
        assert fix in reply.text
        assert reply.context["form"]["addresses"].value() == typed
        assert acme.server_addresses.count() == 1

    def test_an_organization_has_no_more_than_its_keys_can_be_checked_against(
        self, client, admin, acme
    ):
        ServerAddress.objects.bulk_create(
            ServerAddress(organization=acme, network=f"10.0.{number // 256}.{number % 256}")
            for number in range(999)
        )
        services.add_server_address(actor=admin, organization=acme, network="192.0.2.1")
        client.force_login(admin)
        reply = client.post(page("server-addresses"), {"addresses": "192.0.2.2"})
        assert "An organization has at most 1000 server addresses." in reply.text
        with pytest.raises(ValidationError, match="at most 1000") as refusal:
            services.add_server_address(actor=admin, organization=acme, network="192.0.2.2")
        assert acme.server_addresses.count() == 1000
        assert set(refusal.value.message_dict) == {"network"}

    def test_ones_own_address_is_offered(self, client, admin, acme):
        client.force_login(admin)
        assert 'data-insert="127.0.0.1"' in client.get(page("server-addresses")).text


class TestRemoving:
    """Having said what stops."""

    def test_asks_first_and_names_the_keys_that_follow(self, client, admin, following, frankfurt):
        client.force_login(admin)
        remove = page("server-address-remove", frankfurt.pk)
        text = client.get(remove).text
        assert "1 key follows the pool and stops working from there" in text
        assert "Kiosk" in text
        assert "It is the last of the pool" in text
        assert verdict_on(following) is Code.VALID
        reply = client.post(remove, follow=True)
        assert "192.0.2.0/24 is no longer a server address." in reply.text
        assert verdict_on(following) is Code.FORBIDDEN_ADDRESS
        assert client.post(remove).status_code == 404

    def test_names_ten_keys_and_counts_the_rest(self, client, admin, acme, frankfurt):
        for number in range(13):
            services.issue_key(
                actor=admin,
                organization=acme,
                name=f"Follower {number}",
                owner=None,
                assign_server_ips=True,
            )
        client.force_login(admin)
        text = client.get(page("server-address-remove", frankfurt.pk)).text
        assert "13 keys follow the pool" in text
        assert text.count("Follower ") == 10
        assert "and 3 more" in text

    def test_says_when_nothing_stops(self, client, admin, frankfurt):
        client.force_login(admin)
        text = client.get(page("server-address-remove", frankfurt.pk)).text
        assert "No key follows the pool" in text


def test_its_comment_changes(client, admin, frankfurt):
    client.force_login(admin)
    edit = page("server-address-edit", frankfurt.pk)
    assert "Frankfurt" in client.get(edit).text
    too_long = client.post(edit, {"comment": "x" * 201})
    assert "at most 200 characters" in too_long.text
    client.post(edit, {"comment": "Berlin", "network": "203.0.113.1"})
    frankfurt.refresh_from_db()
    assert (frankfurt.network, frankfurt.comment) == ("192.0.2.0/24", "Berlin")


def test_without_any_it_says_what_they_are_for(client, admin, acme):
    client.force_login(admin)
    text = client.get(page("server-addresses")).text
    assert "No server addresses yet" in text
    assert "None that you can see" in text


def test_a_developer_sees_the_pool_and_no_way_to_change_it(client, developer, frankfurt, following):
    client.force_login(developer)
    text = client.get(page("server-addresses")).text
    assert "192.0.2.0/24" in text
    assert "Frankfurt" in text
    for hidden in ("Remove", "Edit comment", "Add to the pool", "Kiosk"):
        assert hidden not in text


def test_a_stranger_reaches_nothing_under_their_own_organizations_address(
    client, stranger, acme, other, frankfurt
):
    """T10: the row is looked for in the organization of the path."""
    client.force_login(stranger)
    for name in ("server-address-remove", "server-address-edit"):
        foreign = reverse(f"keys:{name}", args=[other.slug, frankfurt.pk])
        assert client.post(foreign, {"comment": "mine"}).status_code == 404
    frankfurt.refresh_from_db()
    assert frankfurt.comment == "Frankfurt"


def test_it_asks_the_database_equally_often_however_many_there_are(
    client, admin, acme, following, django_assert_max_num_queries
):
    for number in range(60):
        services.add_server_address(actor=admin, organization=acme, network=f"192.0.2.{number}")
    client.force_login(admin)
    with django_assert_max_num_queries(12):
        text = client.get(page("server-addresses")).text
    assert "Page 1 of 2" in text
