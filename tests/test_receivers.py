"""Whom the portal asks on behalf of others: real servers, names that lead where they must not."""

import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from keys import receivers
from keys.networks import parse_address
from keys.receivers import NoAnswerError, NotAllowedError

HERE = ["127.0.0.0/8", "::1"]


@contextmanager
def receiver(answer, port=0):
    """A server on this machine that answers with what `answer(handler)` writes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers.get("Content-Length", 0))
            server.seen.append((self.path, dict(self.headers), self.rfile.read(size)))
            answer(self)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def url_of(server, host="127.0.0.1", path="/hook") -> str:
    return f"http://{host}:{server.server_address[1]}{path}"


def say(status, text=b"", **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    return answer


NOT_PUBLIC = [
    *(
        "0.0.0.0",  # noqa: S104 - nothing is bound
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
    ),
    *("169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1", "2001:db8::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "100::1", "5f00::1", "3fff::1"),
]


def test_no_address_of_a_machine_or_a_house_is_public():
    for text in NOT_PUBLIC:
        assert not receivers.is_public(parse_address(text)), text


def test_other_addresses_are():
    for text in ("1.1.1.1", "8.8.8.8", "192.1.1.1", "2606:4700:4700::1111", "2a00:1450::1"):
        assert receivers.is_public(parse_address(text)), text


def test_an_allowed_network_need_not_be_public():
    assert receivers.is_allowed(parse_address("10.1.2.3"), ["10.1.0.0/16"])
    assert not receivers.is_allowed(parse_address("10.2.2.3"), ["10.1.0.0/16"])


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "example.com",
        "https://", "https:///x", "https://user:pass@example.com/", "https://a@example.com/",
        "https://example.com/#x", "https://example.com:22/", "https://example.com:99999/",
        "https://example.com:x/", "https://127.0.0.1/", "https://[::1]/", "https://[::1/",
        "https://[::ffff:10.0.0.1]/", "https://10.0.0.1/", "https://169.254.169.254/latest",
        "https://exa mple.com/", "https://example.com\\@10.0.0.1/", "https://exämple.com/",
        "https://example.com/\r\nX: y", "https://example.com/" + "x" * 500, "javascript:alert(1)",
    ],
)  # fmt: skip
def test_an_address_that_can_be_told_to_be_wrong_is_refused_at_once(url):
    with pytest.raises(NotAllowedError):
        receivers.check_url(url, [])


@pytest.mark.parametrize("url", ["https://example.com/hooks?a=b", "https://example.com:8443/",
                                 "https://1.1.1.1/", "https://example.com:443"])  # fmt: skip
def test_an_address_on_the_internet_is_taken(url):
    assert receivers.check_url(url, [])


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f.1", "127.1", "0", "localhost.", "017700000001"]
)
def test_a_name_that_leads_home_is_not_asked(host):
    """Whatever spells it: what counts is where it leads."""
    with receiver(say(200)) as server:
        secured = url_of(server, host).replace("http:", "https:")
        with pytest.raises(NotAllowedError):
            receivers.post(secured, b"x", {}, [])
        assert server.seen == []


def test_a_name_that_leads_elsewhere_the_second_time_gains_nothing(monkeypatch):
    """The connection goes to the address that was looked at, not to the name."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    asked = []
    genuine = socket.getaddrinfo

    def resolver(host, *args, **options):
        if host != "rebinding.example":
            return genuine(host, *args, **options)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 0)) for text in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with receiver(say(204)) as server:
        answer = receivers.post(url_of(server, "rebinding.example"), b"{}", {}, ["127.0.0.1"])
    assert answer.status == 204
    assert asked == ["rebinding.example"]
    port = server.server_address[1]
    assert server.seen[0][1]["Host"] == f"rebinding.example:{port}"


def test_one_private_address_spoils_a_name(monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 0)) for text in
             ("127.0.0.1", "10.0.0.1")]  # fmt: skip
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
    with receiver(say(204)) as server:
        with pytest.raises(NotAllowedError):
            receivers.post(url_of(server, "two.example"), b"{}", {}, ["127.0.0.1"])
        assert server.seen == []


def test_a_name_that_takes_long_to_look_up_is_not_waited_for(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: [over.wait(5)][1:])
    monkeypatch.setattr(receivers, "CONNECT_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(NoAnswerError) as problem:
        receivers.post("http://slow.example/", b"{}", {}, HERE)
    assert problem.value.reason == "timeout"
    assert time.monotonic() - started < 4
    over.set()


def test_what_is_not_secured_goes_to_allowed_networks_only():
    with pytest.raises(NotAllowedError):
        receivers.post("http://1.1.1.1/", b"", {}, HERE)


def test_a_receiver_gets_what_is_sent():
    with receiver(say(200, b"thanks")) as server:
        answer = receivers.post(url_of(server), b'{"a": 1}', {"X-One": "1"}, HERE)
    assert (answer.status, answer.text) == (200, "thanks")
    path, headers, body = server.seen[0]
    assert (path, headers["X-One"], body) == ("/hook", "1", b'{"a": 1}')


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(status):
    with receiver(say(200)) as inner:
        with receiver(say(status, Location=url_of(inner, path="/secret"))) as server:
            assert receivers.post(url_of(server), b"", {}, HERE).status == status
        assert inner.seen == []


def test_the_environments_proxies_are_not_asked(monkeypatch):
    with receiver(say(200)) as proxy, receiver(say(201)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, url_of(proxy, path=""))
        assert receivers.post(url_of(server), b"", {}, HERE).status == 201
        assert proxy.seen == []


def test_a_huge_answer_is_cut():
    def flood(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(b"x" * 65536)
        except OSError:
            server.stopped = True

    with receiver(flood) as server:
        answer = receivers.post(url_of(server), b"", {}, HERE)
        assert answer.text == "x" * receivers.MAX_ANSWER_BYTES


def test_a_slow_receiver_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(receivers, "TOTAL_SECONDS", 0.3)
    with receiver(lambda handler: time.sleep(1)) as server:
        started = time.monotonic()
        with pytest.raises(NoAnswerError) as error:
            receivers.post(url_of(server), b"", {}, HERE)
        assert error.value.reason == "timeout"
        assert time.monotonic() - started < 0.9


def test_one_that_drips_is_not_waited_for_either(monkeypatch):
    """A byte now and then keeps no connection open."""
    monkeypatch.setattr(receivers, "TOTAL_SECONDS", 0.4)

    def drip(handler):
        try:
            for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 50:
                handler.wfile.write(bytes([letter]))
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    with receiver(drip) as server:
        started = time.monotonic()
        with pytest.raises(NoAnswerError) as error:
            receivers.post(url_of(server), b"", {}, HERE)
        assert error.value.reason == "timeout"
        assert time.monotonic() - started < 1


def test_a_receiver_that_is_away_says_so():
    with receiver(say(200)) as server:
        url = url_of(server)
    with pytest.raises(NoAnswerError) as error:
        receivers.post(url, b"", {}, HERE)
    assert error.value.reason == "unreachable"


def test_one_that_does_not_secure_the_connection_says_so():
    with receiver(say(200)) as server:
        with pytest.raises(NoAnswerError) as error:
            receivers.post(url_of(server).replace("http:", "https:"), b"", {}, HERE)
        assert error.value.reason == "tls"


def test_what_answers_nonsense_is_broken():
    with receiver(lambda handler: handler.wfile.write(b"SSH-2.0-nothing\r\n")) as server:
        with pytest.raises(NoAnswerError) as error:
            receivers.post(url_of(server), b"", {}, HERE)
        assert error.value.reason == "broken"
