"""Log lines are structured, name their request, and hold no secret whoever logs it."""

import json
import logging
import sys
import time
from contextlib import closing

import pytest
import structlog
from django.urls import reverse

from keys import logs, secrets
from tests import logged, servers
from tests.conftest import PASSWORD
from tests.key_pages import sign_in


@pytest.fixture
def lines():
    """What a logger of one's own writes, as the portal would write it."""
    written = []

    class Keeping(logging.Handler):
        def emit(self, record):
            written.append(self.format(record))

    handler = Keeping()
    handler.setFormatter(logs.formatter(as_json=True, secrets=["pepper-of-this-installation"]))
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    yield written
    root.setLevel(level)
    root.removeHandler(handler)


log = logging.getLogger("keys.tests")


@pytest.mark.parametrize("dialect", secrets.FORMATS)
def test_secret_of_a_key_is_hidden_whole_and_in_part(dialect, lines):
    secret = secrets.generate(dialect)
    log.warning("Who is %s? /v1/%s/x, %s…", secret, secret, secret[:-9])
    (line,) = lines
    assert secrets.find_format(secret).prefix in line
    assert secret[len(secrets.FORMATS[dialect].prefix) :][:12] not in line


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("{'HTTP_AUTHORIZATION': 'Basic dXNlcjpwYXNz', 'x': 1}", "dXNlcjpwYXNz"),
        ("x-api-key: 0123456789abcdef", "0123456789abcdef"),
        ("PRIVATE-TOKEN=0123456789abcdef", "0123456789abcdef"),
        ("Cookie: sessionid=abcdefghijk; csrftoken=lmnop", "lmnop"),
        ("password=hunter2&x=1", "hunter2"),
        ("KEYHAVEN_OLD-EMAIL_PASSWORD=hunter2", "hunter2"),
        ('{"old_password": "correct horse", "a": 1}', "correct horse"),
        ("NETOSECRET secret: 'abcdef'", "abcdef"),
        ("GET /accounts/invitation/Qx3-_abc/ HTTP", "Qx3-_abc"),
        ("/accounts/password/reset/key/1-set-abc123/", "1-set-abc123"),
        ("/accounts/confirm-email/MQ:1abc:def/", "MQ:1abc:def"),
        ("postgres://keyhaven:s3cret@db:5432/x", "s3cret"),
        ("token eyJhbGciOi.eyJzdWIiOi.c2lnbmF0", "eyJzdWIiOi"),
        ("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8"),
        ("it is pepper-of-this-installation", "pepper-of"),
    ],
)
def test_whatever_lets_somebody_in_is_hidden(text, hidden, lines):
    log.error("Odd: %s", text)
    assert hidden not in lines[0]
    assert logs.HIDDEN in lines[0]


@pytest.mark.parametrize(
    "piece",
    [
        *("a-", "a", "-", "_", "password", 'password="', "secret ", "token-", "eyJ-", "eyJa."),
        *("kh_", "whsec_", "x://", "x://a:", "cookie:\n", "set-cookie ", "Bearer ", "/accounts/"),
    ],
)
def test_a_long_path_of_a_stranger_costs_no_more_than_its_length(piece):
    text = "Not Found: /" + piece * (40_000 // len(piece))
    clean = logs.Redaction(["pepper-of-this-installation"]).clean
    started = time.thread_time()
    clean(text)
    # A pattern that begins anew within what it has read takes seconds for it.
    assert time.thread_time() - started < 0.4


def test_exceptions_and_details_are_cleaned_too(lines):
    secret = secrets.generate("native")
    try:
        raise ValueError(f"no such key: {secret}")
    except ValueError:
        log.exception("It failed.", extra={"details": {"path": [f"/x/{secret}"], "count": 3}})
    line = json.loads(lines[0])
    assert secret not in lines[0]
    assert "ValueError: no such key: kh_[hidden]" in line["exception"]
    assert (line["count"], line["path"]) == (3, ["/x/kh_[hidden]"])


def test_labels_and_innocent_words_stay(lines):
    text = "kh_abc...xyz of acme: keys 12, tokens 3, the secret is hidden, 1:2"
    log.info("%s", text)
    line = json.loads(lines[0])
    assert line["event"] == text
    assert (line["level"], line["logger"]) == ("info", "keys.tests")
    assert line["timestamp"].endswith("Z")


def test_lines_for_people_hold_the_same(caplog):
    record = log.makeRecord(log.name, logging.INFO, "", 0, "Hello %s", ("kh_" + "a" * 47,), None)
    with structlog.contextvars.bound_contextvars(request_id="f" * 32):
        text = logs.formatter(as_json=False).format(record)
    assert text.endswith(f"info keys.tests Hello kh_[hidden] request_id={'f' * 32}")


@pytest.mark.django_db
def test_requests_are_told_with_their_id_by_route_and_without_what_they_ask(lines, owner, acme):
    client = sign_in(owner)
    url = reverse("keys:audit", args=["acme"])
    response = client.get(url, {"actor": PASSWORD})
    told = [json.loads(line) for line in lines if "keys.requests" in line]
    (request,) = [each for each in told if each["request_id"] == response["X-Request-Id"]]
    assert request["route"] == "organizations/<slug:organization>/audit/"
    assert (request["method"], request["status"], request["door"]) == ("GET", 200, "page")
    assert request["seconds"] > 0
    assert PASSWORD not in str(told)
    # What is logged outside of a request has none.
    lines.clear()
    log.info("Outside")
    assert "request_id" not in json.loads(lines[0])


@pytest.mark.django_db
def test_requests_are_told_with_the_door_through_which_they_come(lines, client, staff, key):
    client.get("/v1/keys/self", headers={"Authorization": f"Bearer {key.secret}"})
    client.get("/v1/nothing")
    sign_in(staff).get(reverse("admin:index"))
    client.get(reverse("account_login"))
    told = [json.loads(line) for line in lines if "keys.requests" in line]
    assert [each["door"] for each in told] == ["api", "api", "admin", "page"]


@pytest.mark.django_db
def test_what_somebody_may_not_do_is_one_line(lines, viewer, acme):
    refused = sign_in(viewer).post(reverse("keys:policy", args=["acme"]), {"idle_days": "5"})
    missing = sign_in(viewer).get(reverse("keys:audit", args=["elsewhere"]))
    assert (refused.status_code, missing.status_code) == (403, 404)
    forbidden, not_found = [json.loads(line) for line in lines if '"django.request"' in line]
    assert forbidden["error"] == "PermissionDenied: You do not have permission to do this."
    assert not {"exception", "exc_info"} & (forbidden.keys() | not_found.keys())


@pytest.mark.django_db
def test_what_fails_keeps_all_that_led_there(lines, owner, acme, monkeypatch):
    def fail(*arguments, **more):
        raise RuntimeError("The disk is gone.")

    client = sign_in(owner)
    client.raise_request_exception = False
    monkeypatch.setattr("keys.views.audit.render_page", fail)
    assert client.get(reverse("keys:audit", args=["acme"])).status_code == 500
    (failure,) = [json.loads(line) for line in lines if '"django.request"' in line]
    assert "RuntimeError: The disk is gone." in failure["exception"]


def test_search_of_what_the_suite_logged_would_find_a_secret():
    made: set[str] = set()
    with logged.kept(made) as keeper:
        secret, shared = secrets.generate("i3d"), secrets.generate_shared_secret()
        # Past what takes them out.
        keeper.setFormatter(logging.Formatter())
        for text in (secret, secret[:-9], f"x={shared}.", PASSWORD, "harmless", "f" * 64):
            keeper.handle(log.makeRecord(log.name, logging.INFO, "", 0, text, (), None))
    assert made == {secret, shared}
    with closing(keeper):
        found = logged.secrets_in(keeper.lines(), made, [PASSWORD])
    assert [line.strip() for line in found] == [secret, secret[:-9], f"x={shared}.", PASSWORD]


def test_what_servers_of_tests_say_is_searched_too(tmp_path):
    port, secret = servers.free_port(), secrets.generate("native")
    serve = (
        f"import socket, time; print('Who is {secret}?', flush=True); "
        f"held = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    )
    with (
        logged.kept(set()) as keeper,
        servers.running([sys.executable, "-c", serve], port=port, directory=tmp_path),
    ):
        pass
    with closing(keeper):
        (found,) = logged.secrets_in(keeper.lines(), set(), [])
    assert secret in found
