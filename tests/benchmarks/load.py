"""Load on one server by wrk: requests over a few connections, as fast as they are answered."""

import http.client
import json
import os
import shutil
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.machine import pinned

_SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Request:
    """What is asked: `KEY` in the body, and the end of the header, is each key of a file."""

    keys: Path
    path: str
    method: str = "GET"
    header: str = "X-API-Key: "
    body: str = ""
    # Who asks, where the key itself is only asked about.
    authorization: str = ""
    host: str = "localhost"
    is_good: bool = True
    # Whether a key that nobody has is answered with a refusal.
    tells_by_status: bool = True


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests that were answered, over so many seconds, and how soon."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    broken: int
    refused: int


def require_wrk() -> None:
    """Raise SystemExit with advice where wrk is not installed."""
    if shutil.which("wrk") is None:
        raise SystemExit(
            "This benchmark loads its servers with wrk, which is not here; "
            "on Debian: apt-get install wrk nginx-light"
        )


def status(request: Request, port: int, key: str) -> int:
    """Ask once, with this key; return the status of the answer."""
    headers = {"Host": request.host}
    for header in (request.header + key if request.header else "", request.authorization):
        if header:
            name, _colon, value = header.partition(": ")
            headers[name] = value
    if request.body:
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        body = request.body.replace("KEY", key)
        connection.request(request.method, request.path, body or None, headers)
        return connection.getresponse().status


def start(
    request: Request,
    port: int,
    seconds: int,
    *,
    connections: int,
    processor: int | None,
    first: int = 0,
) -> subprocess.Popen:
    """Begin to ask, from the key of this number on; `result` waits for the end."""
    command = [
        "wrk",
        "--threads=1",
        f"--connections={connections}",
        f"--duration={seconds}s",
        "--latency",
        "--timeout=5s",
        f"--script={_SCRIPT}",
        f"http://127.0.0.1:{port}{request.path}",
    ]
    env = {
        "LOAD_METHOD": request.method,
        "LOAD_PATH": request.path,
        "LOAD_HEADER": request.header,
        "LOAD_BODY": request.body,
        "LOAD_AUTHORIZATION": request.authorization,
        "LOAD_HOST": request.host,
        "LOAD_KEYS": str(request.keys),
        "LOAD_START": str(first),
    }
    return subprocess.Popen(  # noqa: S603
        pinned(command, processor), env=os.environ | env, stdout=subprocess.PIPE, text=True
    )


def result(process: subprocess.Popen) -> Load:
    """Wait for the end of a load, and return what wrk saw."""
    said, _errors = process.communicate()
    for line in said.splitlines():
        if line.startswith("RESULT "):
            seen = json.loads(line.removeprefix("RESULT "))
            return Load(
                seen["requests"],
                seen["microseconds"] / 1e6,
                seen["p50"] / 1e3,
                seen["p99"] / 1e3,
                seen["broken"],
                seen["refused"],
            )
    raise RuntimeError(f"wrk failed: {said[-1000:]}")
