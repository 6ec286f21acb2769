"""What only nginx's file promises: open connections, a proxy in front of it, no answer is no."""

import pytest

from tests import servers
from tests.deploy.clients import CountingLine, ask
from tests.deploy.conftest import needs, presenting
from tests.deploy.gateways import GATEWAYS, Ports, command_path, gateway, nginx

pytestmark = pytest.mark.usefixtures("_nginx")


@pytest.fixture(scope="module")
def _nginx():
    needs("nginx")


def test_it_keeps_its_connections_to_the_portal(portal_port, service_port, secrets, tmp_path):
    """Yes and no alike are answered without a body, so that none of them is closed."""
    line = CountingLine(portal_port)
    ports = Ports(servers.free_port(), line.port, service_port)
    with gateway("nginx", ports, tmp_path):
        for name in ("open", "without READ", "revoked", "spent") * 10:
            ask(ports.gateway, "/", [presenting(secrets[name])])
            ask(ports.gateway, "/", [presenting(secrets[name])], method="POST", body=b"x" * 50_000)
    line.close()
    assert line.connections == 1


def test_the_question_cannot_be_asked_from_outside(portal_port, service_port, secrets, tmp_path):
    ports = Ports(servers.free_port(), portal_port, service_port)
    with gateway("nginx", ports, tmp_path):
        for path in ("/keyhaven-auth", "/%6beyhaven-auth", "/x/../keyhaven-auth"):
            assert ask(ports.gateway, path, [presenting(secrets["open"])]).status == 404


def test_t24_behind_another_proxy_the_client_is_whom_that_one_names(
    portal_port, service_port, secrets, tmp_path
):
    """T24: with the lines for that taken in, for the proxy that they name and for no other."""
    ports = Ports(servers.free_port(), portal_port, service_port)
    uncommented = [
        (r"# set_real_ip_from 192\.0\.2\.10;", "set_real_ip_from 127.0.0.9;"),
        (r"# real_ip_", "real_ip_"),
    ]
    command = [command_path("nginx"), *nginx(ports, tmp_path, *uncommented)]
    with servers.running(command, port=ports.gateway, directory=tmp_path):
        key = presenting(secrets["of client 7"])

        def status(forwarded: str, source: str) -> int:
            headers = [("X-Forwarded-For", forwarded), key]
            return ask(ports.gateway, "/", headers, source=source).status

        assert status("127.0.0.7", source="127.0.0.9") == 200
        assert status("127.0.0.7, 127.0.0.8", source="127.0.0.9") == 403
        assert status("127.0.0.7", source="127.0.0.8") == 403


@pytest.mark.parametrize("name", GATEWAYS)
def test_t27_no_answer_of_the_portal_is_no(name, service_port, secrets, tmp_path):
    """T27: through every gateway."""
    needs(name)
    ports = Ports(servers.free_port(), servers.free_port(), service_port)
    with gateway(name, ports, tmp_path):
        answer = ask(ports.gateway, "/", [presenting(secrets["open"])])
        assert answer.status >= 500 or answer.status == 404  # not read yet what it guards
        assert "x-service" not in answer.headers
