"""A client that says what it likes, a service that says what it heard, a line that counts."""

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

# Name and value, in order and as often as they are to be sent.
Headers = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def heard(self) -> dict:
        """What the guarded service heard. Raises where the request did not reach it."""
        assert self.headers.get("x-service") == "reached", (self.status, self.body)
        return json.loads(self.body)

    def told(self, name: str) -> list[str]:
        """Return what the service was told under this name, in whatever spelling."""
        return [value for key, value in self.heard["headers"] if _plain(key) == _plain(name)]


def ask(
    port: int,
    path: str = "/",
    headers: Headers = (),
    *,
    host: str = "api.example.com",
    method: str = "GET",
    body: bytes = b"",
    source: str = "127.0.0.8",
) -> Answer:
    """Send one request, byte for byte as said, from an address of this machine."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: " + host.encode()]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    for name, value in headers:
        lines.append(_bytes(name) + b": " + _bytes(value))
    with socket.create_connection(("127.0.0.1", port), 20, (source, 0)) as connection:
        connection.sendall(b"\r\n".join([*lines, b"", body]) if lines else body)
        return _read(connection, method)


def _read(connection: socket.socket, method: str) -> Answer:
    stream = connection.makefile("rb")
    status = int((stream.readline() or b"- 400").split()[1])
    headers = {}
    while line := stream.readline().strip():
        name, _colon, value = line.partition(b":")
        headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
    body = b""
    if method != "HEAD" and status not in (204, 304):
        if headers.get("transfer-encoding") == "chunked":
            while size := int(stream.readline() or b"0", 16):
                body += stream.read(size)
                stream.readline()
        else:
            body = stream.read(int(headers.get("content-length", 0)))
    return Answer(status, headers, body)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        heard = {
            "method": self.command,
            "path": self.path,
            "headers": self.headers.items(),
            "body": body.decode("latin-1"),
        }
        answer = json.dumps(heard).encode()
        self.send_response(200)
        self.send_header("X-Service", "reached")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _answer  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Service(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def echo_service() -> Iterator[int]:
    """Run a service that answers with what it heard; yield its port."""
    server = _Service(("127.0.0.1", 0), _Echo)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class CountingLine:
    """Passes connections on to a port, and counts them."""

    def __init__(self, target: int) -> None:
        self.target, self.connections = target, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _peer = self._listener.accept()
                self.connections += 1
                there = socket.create_connection(("127.0.0.1", self.target))
                Thread(target=_pump, args=(here, there), daemon=True).start()
                Thread(target=_pump, args=(there, here), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
