"""A portal, a service that it guards, and each gateway between them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests import servers
from tests.deploy.clients import Answer, ask, echo_service
from tests.deploy.gateways import GATEWAYS, Ports, command_path, gateway

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let one worker start these servers, once."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("deploy"))
            item.add_marker(pytest.mark.wide)


@pytest.fixture(scope="session")
def installation(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A folder with a portal's database, and the secrets of the keys in it by their names."""
    directory = tmp_path_factory.mktemp("portal")
    made = subprocess.run(
        [sys.executable, "-m", "tests.deploy.seed"],
        cwd=servers.ROOT,
        env=servers.portal_settings(directory),
        stdout=subprocess.PIPE,
        check=True,
    )
    return directory, json.loads(made.stdout)


@pytest.fixture(scope="session")
def secrets(installation) -> dict[str, str]:
    """Name of a key -> its secret."""
    return installation[1]


@pytest.fixture(scope="session")
def portal_port(installation) -> int:
    """A portal behind two proxies, 127.0.0.1 and 127.0.0.2."""
    directory, _secrets = installation
    env = servers.portal_settings(directory, TRUSTED_PROXIES="127.0.0.1,127.0.0.2")
    port = servers.free_port()
    command = servers.granian("portal.wsgi:application", port)
    with servers.running(command, port=port, directory=directory, env=env):
        yield port


@pytest.fixture(scope="session")
def service_port() -> int:
    """A service that answers with what it heard."""
    with echo_service() as port:
        yield port


@pytest.fixture(scope="session", params=GATEWAYS)
def guarded(request, portal_port, service_port, tmp_path_factory) -> Callable[..., Answer]:
    """Asks the guarded service through one of the gateways."""
    needs(request.param)
    ports = Ports(servers.free_port(), portal_port, service_port)
    with gateway(request.param, ports, tmp_path_factory.mktemp(request.param)):
        # It listens before it has read what it guards.
        wait_until(lambda: ask(ports.gateway).status != 404)
        yield partial(ask, ports.gateway)


def needs(program: str) -> None:
    """Skip the test where the program is not installed."""
    if command_path(program) is None:
        pytest.skip(f"{program} is not on this machine.")


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Return as soon as this holds; after so many seconds the test fails."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "It never came about."
        time.sleep(0.05)


def presenting(secret: str) -> tuple[str, str]:
    """Return the header that presents a key."""
    return ("Authorization", f"Bearer {secret}")
