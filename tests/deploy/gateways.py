"""Gateways run from the files that operators copy, with ports and folders of a test."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import servers

DEPLOY = servers.ROOT / "portal" / "deploy"
# Where the gateways listen for both names.
PORTAL, GUARDED = "keys.example.com", "api.example.com"


@dataclass(frozen=True)
class Ports:
    """Of the gateway itself, the portal and the service that it guards."""

    gateway: int
    portal: int
    service: int


def command_path(name: str) -> str | None:
    """Return the program of a gateway: of this environment, or of the machine."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


@contextmanager
def gateway(name: str, ports: Ports, directory: Path) -> Iterator[None]:
    """Run one of GATEWAYS until the block ends."""
    arguments = GATEWAYS[name](ports, directory)
    # Caddy keeps things in its user's home.
    env = os.environ | dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(directory))
    with servers.running(
        [command_path(name), *arguments], port=ports.gateway, directory=directory, env=env
    ):
        yield


def shipped(name: str, ports: Ports, *changes: tuple[str, str]) -> str:
    """Return a shipped file with its addresses replaced, and these (pattern, text) as well.

    Each pattern has to be there: what a test relies on is not silently absent.
    """
    text = (DEPLOY / name).read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text)
        assert count, f"{name} has no {pattern}"
    return text.replace("127.0.0.1:8000", f"127.0.0.1:{ports.portal}").replace(
        "127.0.0.1:9000", f"127.0.0.1:{ports.service}"
    )


def nginx(ports: Ports, directory: Path, *changes: tuple[str, str], workers: int = 1) -> list[str]:
    """Write nginx's files; return its arguments."""
    listen = (r"listen 80;", f"listen 127.0.0.1:{ports.gateway};")
    (directory / "keyhaven.conf").write_text(shipped("nginx.conf", ports, listen, *changes))
    # Started by root, it would give up what it needs to write into this folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(f"""
        {user}
        worker_processes {workers};
        pid {directory}/nginx.pid;
        error_log {directory}/error.log;
        events {{ worker_connections 1024; }}
        http {{
            access_log off;
            client_body_temp_path {directory};
            proxy_temp_path {directory};
            fastcgi_temp_path {directory};
            uwsgi_temp_path {directory};
            scgi_temp_path {directory};
            include keyhaven.conf;
        }}
    """)
    return ["-p", str(directory), "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"]


def caddy(ports: Ports, directory: Path) -> list[str]:
    text = shipped(
        "Caddyfile",
        ports,
        (rf"(?m)^({PORTAL}|{GUARDED}) ", rf"http://\1:{ports.gateway} "),
    )
    # No admin socket: another one may run on this machine.
    (directory / "Caddyfile").write_text("{\n admin off\n}\n" + text)
    return ["run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]


def traefik(ports: Ports, directory: Path) -> list[str]:
    dynamic = directory / "dynamic"
    dynamic.mkdir()
    (dynamic / "keyhaven.yml").write_text(shipped("traefik-keyhaven.yml", ports))
    static = shipped(
        "traefik.yml",
        ports,
        (r'":80"', f'"127.0.0.1:{ports.gateway}"'),
        (r"/etc/traefik/dynamic", str(dynamic)),
    )
    (directory / "traefik.yml").write_text(static)
    return [f"--configFile={directory / 'traefik.yml'}"]


def envoy(ports: Ports, directory: Path) -> list[str]:
    text = shipped(
        "envoy.yaml",
        ports,
        (
            r"address: 0\.0\.0\.0, port_value: 80",
            f"address: 127.0.0.1, port_value: {ports.gateway}",
        ),
        (r"port_value: 8000", f"port_value: {ports.portal}"),
        (r"port_value: 9000", f"port_value: {ports.service}"),
    )
    (directory / "envoy.yaml").write_text(text)
    return ["-c", str(directory / "envoy.yaml"), "--concurrency", "1", "--use-dynamic-base-id"]


GATEWAYS: dict[str, Callable[[Ports, Path], list[str]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "traefik": traefik,
    "envoy": envoy,
}
