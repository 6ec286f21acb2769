"""Which addresses are read, which are refused, and what a list of networks holds."""

import ipaddress

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from keys import networks

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None)


def mapped(address: ipaddress.IPv4Address) -> str:
    """Write an IPv4 address as IPv6 does when a socket serves both."""
    return f"::ffff:{address}"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("  192.0.2.1\n", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:db8::1/128", "2001:db8::1"),
        ("::", "::"),
        ("::/0", "::/0"),
        # T29: IPv4 in IPv6's clothes is IPv4.
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("::ffff:a01:203", "10.1.2.3"),
        ("::FFFF:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_a_network_has_one_spelling(text, canonical):
    assert networks.canonical_network(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "/",
        "/24",
        "localhost",
        "acme.example",
        # T28: what other software reads as octal, hexadecimal or one integer.
        "010.1.2.3",
        "10.01.2.3",
        "10.1.2.03/32",
        "0x0a.1.2.3",
        "0x0a010203",
        "167838211",
        "10.1",
        "10.1.2",
        "10.1.2.3.4",
        "10.1.2.256",
        "-1.2.3.4",
        "1 0.1.2.3",
        "10.1.2.3\x00",
        "10.1.2.3:443",
        "[2001:db8::1]",
        "[2001:db8::1]:443",
        "fe80::1%eth0",
        "fe80::%eth0/64",
        "2001:db8:::1",
        "2001:db8::12345",
        "１９２.0.2.1",
        "١٩٢.0.2.1",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "10.0.0.0/8/8",
        "10.0.0.0/",
        "10.0.0.0/８",
        "10.0.0.0/255.0.0.0",
        "2001:db8::/129",
        "10.1.2.3/8",
        "2001:db8::1/32",
        "::ffff:10.1.2.3/104",
        "\ud800",
        "1" * 10_000,
    ],
)
def test_what_is_no_plain_address_or_range_is_refused(text):
    """T28."""
    with pytest.raises(ValueError, match="“"):
        networks.canonical_network(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10.1.2.3/8", "“10.1.2.3/8” has host bits set; did you mean 10.0.0.0/8?"),
        ("2001:db8::1/32", "“2001:db8::1/32” has host bits set; did you mean 2001:db8::/32?"),
        (
            "010.1.2.3",
            "“010.1.2.3” has leading zeros, which some software reads as octal; leave them out.",
        ),
        ("10.0.0.300", "“10.0.0.300” is not an IP address or range."),
        ("2001:0db8::00::1", "“2001:0db8::00::1” is not an IP address or range."),
        ("fe80::1%eth0", "“fe80::1%eth0” names a zone; give the address without it."),
        (
            "10.0.0.0/255.0.0.0",
            "“10.0.0.0/255.0.0.0”: write the size of a range as a number, as in 192.0.2.0/24.",
        ),
        (
            " acme.example ",
            (
                "“acme.example” is not an IP address or range; use the form 192.0.2.1, "
                "192.0.2.0/24 or 2001:db8::/32."
            ),
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_write_instead(text, sentence):
    with pytest.raises(networks.AddressError) as refusal:
        networks.canonical_network(text)
    assert str(refusal.value) == sentence


@given(st.text())
def test_any_text_is_a_network_or_refused_with_a_sentence(text):
    try:
        canonical = networks.canonical_network(text)
    except ValueError as refusal:
        sentence = str(refusal)
    else:
        sentence = "“"
        assert networks.canonical_network(canonical) == canonical
    assert sentence.startswith("“")


@given(st.one_of(IPV4, IPV6), st.data())
def test_the_canonical_spelling_of_a_range_keeps_its_addresses(address, data):
    prefix = data.draw(st.integers(0, address.max_prefixlen))
    network = ipaddress.ip_network((address, prefix), strict=False)
    canonical = networks.canonical_network(str(network))
    # An IPv6 range wider than all mapped addresses stays IPv6.
    assert networks.contains([canonical], network.network_address)
    assert networks.contains([canonical], network.broadcast_address)


def test_one_address_is_no_range():
    with pytest.raises(ValueError, match=r"^“10\.0\.0\.0/8” is a range; give one address\.$"):
        networks.parse_address(" 10.0.0.0/8 ")
    with pytest.raises(ValueError, match="range"):
        networks.parse_address("10.0.0.1/32")


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.300", "2001:0db8::00::1"])
def test_who_is_asked_for_one_address_is_told_of_no_range(text):
    with pytest.raises(networks.AddressError) as refusal:
        networks.parse_address(text)
    wanted = f"“{text}” is not an IP address; use the form 192.0.2.1 or 2001:db8::1."
    assert str(refusal.value) == wanted


@given(IPV4, st.integers(0, 32), st.one_of(IPV4, st.none()))
def test_ipv4_and_mapped_ipv4_get_the_same_answer(address, prefix, other):
    """T29: for lists that allow and lists that deny alike, and for lists written mapped."""
    network = ipaddress.ip_network((address, prefix), strict=False)
    plain = [networks.canonical_network(str(network))]
    as_ipv6 = f"{mapped(network.network_address)}/{prefix + 96}"
    asked = other or address
    for listed in (plain, [networks.canonical_network(as_ipv6)]):
        for text in (str(asked), mapped(asked)):
            assert networks.contains(listed, networks.parse_address(text)) == (asked in network)


@given(IPV6, st.integers(0, 128), IPV6)
def test_an_ipv6_range_holds_what_it_says(address, prefix, other):
    network = ipaddress.ip_network((address, prefix), strict=False)
    listed = [networks.canonical_network(str(network))]
    assert networks.contains(listed, other) == (other in network)
    assert networks.contains(listed, address)


@pytest.mark.parametrize(
    ("networks_", "network", "is_covered", "is_met"),
    [
        (["10.0.0.0/8"], "10.1.0.0/16", True, True),
        (["192.0.2.1", "10.0.0.0/8"], "10.0.0.0/8", True, True),
        (["10.1.0.0/16"], "10.0.0.0/8", False, True),
        (["10.1.0.0/16", "192.0.2.0/24"], "10.2.0.0/16", False, False),
        (["::/0"], "10.0.0.0/8", False, False),
        (["10.0.0.0/8", "::/0"], "2001:db8::/32", True, True),
        ([], "10.0.0.0/8", False, False),
    ],
)
def test_a_list_covers_or_meets_a_network(networks_, network, is_covered, is_met):
    assert networks.covers(networks_, network) is is_covered
    assert networks.meets(networks_, network) is is_met


@pytest.mark.parametrize(
    ("network", "is_everywhere"),
    [("0.0.0.0/0", True), ("::/0", True), ("10.0.0.0/8", False), ("192.0.2.1", False)],
)
def test_everywhere_is_every_address_of_a_kind(network, is_everywhere):
    assert networks.is_everywhere(network) is is_everywhere


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:5:7::1", "2001:db8:5:7::/64"),
        ("2001:db8:5:7:ffff::3", "2001:db8:5:7::/64"),
    ],
)
def test_a_subscriber_has_one_address_of_ipv4_and_a_64_of_ipv6(address, network):
    assert str(networks.subscriber(networks.parse_address(address))) == network


@pytest.mark.parametrize(
    ("peer", "is_proxy"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("198.51.100.1", False),
        ("", False),
        ("unix:", False),
        (None, False),
    ],
)
def test_a_proxy_is_known_by_the_peer_of_the_connection_alone(peer, is_proxy):
    meta = {"HTTP_X_FORWARDED_FOR": "192.0.2.7"} | ({} if peer is None else {"REMOTE_ADDR": peer})
    assert networks.source(meta, ["192.0.2.0/24"]).is_proxied is is_proxy


def test_ipv4_is_not_in_an_ipv6_range():
    assert not networks.contains(["::/0"], networks.parse_address("10.1.2.3"))
    assert not networks.contains(["0.0.0.0/0"], networks.parse_address("2001:db8::1"))


def test_an_empty_list_holds_nothing():
    assert not networks.contains([], networks.parse_address("10.1.2.3"))


class TestClientAddress:
    """T24: which address a request is taken to come from."""

    def ask(self, peer, forwarded=None, trusted=()):
        meta = {"REMOTE_ADDR": peer}
        if forwarded is not None:
            meta["HTTP_X_FORWARDED_FOR"] = forwarded
        found = networks.client_address(meta, trusted)
        return str(found) if found else None

    def test_without_trusted_proxies_no_header_is_believed(self):
        assert self.ask("203.0.113.9", "10.1.2.3") == "203.0.113.9"

    def test_a_header_from_somebody_who_is_no_proxy_is_not_believed(self):
        assert self.ask("203.0.113.9", "10.1.2.3", ["192.0.2.0/24"]) == "203.0.113.9"

    def test_a_trusted_proxy_names_the_client(self):
        assert self.ask("192.0.2.1", "203.0.113.9", ["192.0.2.0/24"]) == "203.0.113.9"

    def test_what_the_client_wrote_itself_is_left_of_what_the_proxy_added(self):
        forwarded = "10.1.2.3, 203.0.113.9"
        assert self.ask("192.0.2.1", forwarded, ["192.0.2.0/24"]) == "203.0.113.9"

    def test_two_trusted_hops_are_both_passed(self):
        forwarded = "10.1.2.3, 203.0.113.9, 198.51.100.7"
        trusted = ["192.0.2.1", "198.51.100.0/24"]
        assert self.ask("192.0.2.1", forwarded, trusted) == "203.0.113.9"

    def test_a_proxy_without_the_header_is_itself_the_client(self):
        assert self.ask("192.0.2.1", None, ["192.0.2.1"]) == "192.0.2.1"

    def test_a_header_that_could_not_be_decoded_makes_the_address_unknown(self):
        """The proxy named somebody, so it is not the proxy itself; servers say "" of such."""
        assert self.ask("192.0.2.1", "", ["192.0.2.1"]) is None
        assert self.ask("203.0.113.9", "", ["192.0.2.1"]) == "203.0.113.9"

    def test_when_every_hop_is_ours_the_first_is_the_client(self):
        assert self.ask("192.0.2.1", "192.0.2.8, 192.0.2.7", ["192.0.2.0/24"]) == "192.0.2.8"

    def test_a_mapped_peer_is_recognised_as_the_trusted_proxy(self):
        assert self.ask("::ffff:192.0.2.1", "203.0.113.9", ["192.0.2.1"]) == "203.0.113.9"

    @pytest.mark.parametrize("hop", ["", "unknown", "_hidden", "203.0.113.9:443", "010.1.2.3"])
    def test_a_malformed_hop_makes_the_address_unknown(self, hop):
        assert self.ask("192.0.2.1", f"10.1.2.3, {hop}", ["192.0.2.1"]) is None

    @pytest.mark.parametrize("peer", ["", "unix:", "fe80::1%eth0"])
    def test_a_peer_without_a_plain_address_is_unknown(self, peer):
        assert self.ask(peer, "10.1.2.3", ["192.0.2.1"]) is None

    def test_an_environment_without_a_peer_is_unknown(self):
        assert networks.client_address({}, ["192.0.2.1"]) is None

    def test_no_other_header_is_believed(self):
        """T26: neither Forwarded nor X-Real-IP nor a twin with an underscore."""
        meta = {
            "REMOTE_ADDR": "192.0.2.1",
            "HTTP_FORWARDED": "for=10.1.2.3",
            "HTTP_X_REAL_IP": "10.1.2.3",
            "HTTP_CLIENT_IP": "10.1.2.3",
            "X_FORWARDED_FOR": "10.1.2.3",
        }
        assert str(networks.client_address(meta, ["192.0.2.1"])) == "192.0.2.1"

    @given(st.text(alphabet="0123456789abcdef.:,% \x00x"), st.ip_addresses())
    def test_any_header_gives_an_address_or_none(self, forwarded, peer):
        meta = {"REMOTE_ADDR": str(peer), "HTTP_X_FORWARDED_FOR": forwarded}
        networks.client_address(meta, ["0.0.0.0/0", "::/0"])


class TestSpannedNetwork:
    """A range told by its ends."""

    def ask(self, first, last):
        return networks.spanned_network(networks.parse_address(first), networks.parse_address(last))

    @pytest.mark.parametrize(
        ("first", "last", "network"),
        [
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("192.0.2.0", "192.0.2.255", "192.0.2.0/24"),
            ("0.0.0.0", "255.255.255.255", "0.0.0.0/0"),  # noqa: S104
            ("::ffff:192.0.2.0", "192.0.2.3", "192.0.2.0/30"),
            ("2001:db8::", "2001:db8::ffff", "2001:db8::/112"),
        ],
    )
    def test_ends_of_one_network_name_it(self, first, last, network):
        assert self.ask(first, last) == network

    @pytest.mark.parametrize(
        ("first", "last", "names"),
        [
            ("192.0.2.1", "192.0.2.3", "192.0.2.1/32, 192.0.2.2/31"),
            # As many as a sentence names, and one more.
            (
                "192.0.2.1",
                "192.0.2.15",
                "192.0.2.1/32, 192.0.2.2/31, 192.0.2.4/30, 192.0.2.8/29",
            ),
            (
                "10.0.0.1",
                "10.0.0.63",
                "10.0.0.1/32, 10.0.0.2/31, 10.0.0.4/30, 10.0.0.8/29, 10.0.0.16/28, 10.0.0.32/27",
            ),
            (
                "10.0.0.1",
                "10.0.0.127",
                "10.0.0.1/32, 10.0.0.2/31, 10.0.0.4/30, 10.0.0.8/29, 10.0.0.16/28, 10.0.0.32/27, …",
            ),
        ],
    )
    def test_ends_of_several_networks_name_them(self, first, last, names):
        with pytest.raises(networks.AddressError) as refusal:
            self.ask(first, last)
        assert str(refusal.value) == (
            f"{first} to {last} is no one CIDR range; list each of {names}."
        )

    def test_no_more_networks_are_made_than_a_sentence_names(self, monkeypatch):
        made = []

        def summarize(first, last):
            for network in ipaddress_summary(first, last):
                made.append(network)
                yield network

        ipaddress_summary = ipaddress.summarize_address_range
        monkeypatch.setattr(ipaddress, "summarize_address_range", summarize)
        with pytest.raises(ValueError, match=r", …\.$"):
            self.ask("::1", "ffff::")
        assert len(made) == 7

    @pytest.mark.parametrize("last", ["192.0.2.0", "::1"])
    def test_no_range_goes_backwards_or_across_versions(self, last):
        with pytest.raises(networks.AddressError) as refusal:
            self.ask("192.0.2.1", last)
        assert str(refusal.value) == f"No range goes from 192.0.2.1 to {last}."

    @given(st.ip_addresses(v=4), st.ip_addresses(v=4))
    def test_what_is_spanned_begins_and_ends_there(self, one, another):
        first, last = sorted((one, another))
        try:
            network = networks.parse_network(networks.spanned_network(first, last))
        except ValueError:
            return
        assert (network[0], network[-1]) == (first, last)


def test_mistake_is_explained_in_the_readers_language_and_in_english_to_the_settings():
    with translation.override("de"), pytest.raises(networks.AddressError) as refusal:
        networks.canonical_network("10.1.2.3/8")
    with translation.override("de"):
        assert str(refusal.value).endswith("meinten Sie 10.0.0.0/8?")
    assert refusal.value.english.endswith("did you mean 10.0.0.0/8?")
