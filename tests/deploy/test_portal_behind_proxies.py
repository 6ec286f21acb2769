"""The portal's own server: which of the addresses that proxies name counts (T24)."""

from functools import partial

import pytest

from tests.deploy.clients import ask
from tests.deploy.conftest import presenting

# The portal's proxies. Clients are others.
FIRST, SECOND = "127.0.0.1", "127.0.0.2"
CLIENT, STRANGER = "127.0.0.7", "127.0.0.8"


@pytest.fixture
def status(portal_port, secrets):
    """Presents the key that is confined to client 7; returns the status."""

    def status(*forwarded: str, peer: str, header: str = "X-Forwarded-For") -> int:
        headers = [presenting(secrets["of client 7"]), *((header, value) for value in forwarded)]
        return ask(portal_port, "/v1/auth", headers, source=peer).status

    return status


def test_t24_without_a_proxy_the_peer_counts(status):
    assert status(peer=CLIENT) == 204
    assert status(peer=STRANGER) == 403
    assert status(CLIENT, peer=STRANGER) == 403
    assert status(STRANGER, peer=CLIENT) == 204


def test_t24_behind_one_proxy_its_last_word_counts(status):
    assert status(CLIENT, peer=FIRST) == 204
    assert status(f"{CLIENT}, {STRANGER}", peer=FIRST) == 403
    assert status(f"{STRANGER}, {CLIENT}", peer=FIRST) == 204
    # As a proxy sends it that adds a header of its own.
    assert status(CLIENT, STRANGER, peer=FIRST) == 403


def test_t24_behind_two_proxies_the_word_of_the_outer_one_counts(status):
    assert status(f"{CLIENT}, {SECOND}", peer=FIRST) == 204
    assert status(f"{STRANGER}, {SECOND}", peer=FIRST) == 403
    assert status(f"{CLIENT}, {STRANGER}, {SECOND}", peer=FIRST) == 403
    assert status(CLIENT, SECOND, peer=FIRST) == 204
    # Three hops of two proxies: the third is not ours.
    assert status(f"{CLIENT}, {STRANGER}, {FIRST}, {SECOND}", peer=FIRST) == 403


@pytest.mark.parametrize(
    "last", ["", "unknown", "_hidden", f"{CLIENT}:4711", f'"{CLIENT}"', "\xff"]
)
def test_t24_a_hop_that_cannot_be_read_ends_the_reading(status, last):
    assert status(f"{CLIENT}, {last}", peer=FIRST) == 403


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("X-Real-IP", "{}"),
        ("Forwarded", "for={}"),
        ("X-Client-IP", "{}"),
        ("True-Client-IP", "{}"),
        ("X.Forwarded.For", "{}"),
        ("X-Forwarded-For-", "{}"),
        ("X-Forwarded", "for={}"),
    ],
)
def test_t24_no_other_header_names_the_client(status, header, form):
    """Not even of a proxy that is believed."""
    for peer in (FIRST, STRANGER):
        assert status(form.format(CLIENT), peer=peer, header=header) == 403


def test_t24_by_default_no_proxy_is_believed(installation, secrets, tmp_path):
    from tests import servers

    directory, _secrets = installation
    port = servers.free_port()
    command = servers.granian("portal.wsgi:application", port)
    env = servers.portal_settings(directory, STATE_DIR=str(tmp_path / "state"))
    with servers.running(command, port=port, directory=tmp_path, env=env):
        present = partial(ask, port, "/v1/auth", source=FIRST)
        for claims in ([], [("X-Forwarded-For", CLIENT)], [("X_Forwarded_For", CLIENT)]):
            assert present([presenting(secrets["of client 7"]), *claims]).status == 403
            assert present([presenting(secrets["of the gateway"]), *claims]).status == 204
