"""Whatever is sent to whichever door: no failure of ours, and nothing written by what is refused.

Pages, accounts, staff, documentation, the five dialects and the gate, through the application
that servers run. Each request is made up of right and odd parts and is undone afterwards, so
that all meet the same installation. A failure names its request; the seed that is printed
brings the same requests again: `pytest -m endurance tests/test_fuzz.py --hypothesis-seed=…`.
"""

import base64
import json
import secrets as randomness
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import quote, unquote_to_bytes, urlencode

import hypothesis
import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import got_request_exception
from django.db import connection, connections
from django.test import Client, RequestFactory
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from keys import generations, services, snapshots
from keys.api.urls import DOCUMENTED
from keys.gate import Gate
from tests import tables
from tests.api.test_schemathesis import one_connection
from tests.test_doors import ANYTHING, API, DIALECTS, PAGES, ROUTES, path_of, target, undone  # noqa: F401
from tests.test_odd_input import ODD, right_values

# A hundred thousand together; each slice is half a minute or so.
SLICES, SLICE = 80, 1_300

READS = {"SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK", "PRAGMA", "EXPLAIN", "SHOW"}

METHODS = ["GET", "POST", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
HEADERS = [
    *("Accept", "Accept-Language", "Authorization", "Content-Encoding", "Cookie", "Forwarded"),
    *("Host", "HX-Request", "HX-Target", "If-None-Match", "If-Modified-Since", "Origin", "Range"),
    *("PRIVATE-TOKEN", "Referer", "User-Agent", "X-API-Key", "X-Forwarded-For", "X-Request-Id"),
    *("X-Forwarded-Host", "X-HTTP-Method-Override", "X-Original-URI", "X-Real-IP"),
]
CONTENT_TYPES = [
    *("application/json", "application/json; charset=utf-16", "text/plain", "", "a/b; c=\xff"),
    *("multipart/form-data", "multipart/form-data; boundary=X", "application/octet-stream"),
    *("application/x-www-form-urlencoded", "application/jwt", "text/csv"),
]
CSRF = "c" * 32

ODD_TEXT = st.one_of(
    st.sampled_from(ODD), st.text(max_size=30), st.integers().map(str), st.floats().map(str)
)
ODD_BYTES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"{", b"[" * 3_000, b'{"key": "\xff"}', b"\xff\xfe{\x00}\x00", b"null", b"1"]),
)
ODD_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
    max_leaves=6,
)
# Header values as servers pass them on.
ODD_HEADER = st.one_of(
    ODD_TEXT.map(lambda text: text.encode().decode("latin-1").replace("\n", "").replace("\r", "")),
    st.sampled_from(
        ["Bearer", "Bearer  ", "Basic ===", "Basic Og==", "sessionid=; ;=;", "*/*;q=x"]
    ),
)


@dataclass
class Sent:
    """A request as it was sent."""

    door: str
    method: str
    path: str
    headers: dict[str, str]
    content_type: str
    body: bytes
    is_known: bool  # presents a credential that is good

    def __str__(self) -> str:
        body = self.body[:600]
        return f"{self.method} {self.path[:300]!r} {self.headers} {self.content_type!r} {body!r}"


@dataclass
class Found:
    """What came of it all."""

    answers: Counter = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)

    def table(self) -> str:
        """Return how many requests each door got, and how it answered."""
        statuses = sorted({status for _door, status in self.answers})
        lines = ["".join(["door".ljust(12), "all".rjust(8), *(str(s).rjust(7) for s in statuses)])]
        for door in sorted({door for door, _status in self.answers}):
            counts = [self.answers[door, status] for status in statuses]
            lines.append(
                "".join(
                    [door.ljust(12), str(sum(counts)).rjust(8), *(str(n).rjust(7) for n in counts)]
                )
            )
        return "\n".join([*lines, f"{self.answers.total()} requests"])


class Installation:
    """An application with people and rows in it, asked one request at a time."""

    def __init__(self, values, acme, people, keys) -> None:
        self.values = values
        self.sessions = {name: _session_of(person) for name, person in people.items()}
        self.secrets = [key.secret for key in keys]
        self.right = right_values(values, acme)
        self.names = sorted(self.right)
        self.bodies = _bodies_of_documents()
        self.routes = _routes_by_door()
        self.methods = _methods_by_route()
        self.objects = _some_of_everything()
        self.application = Gate(WSGIHandler())
        self.factory = RequestFactory()
        self.state = tables.state()
        self.failures: list[str] = []
        self.writes = 0

    def note_failure(self, sender, **more) -> None:
        """Keep why the application answered 500."""
        self.failures.append(traceback.format_exc(limit=-4))

    def note_write(self, execute, sql, parameters, many, context):
        """Count the statements that are no reads."""
        self.writes += sql.split(None, 1)[0].upper() not in READS
        return execute(sql, parameters, many, context)

    def answer(self, sent: Sent) -> tuple[int, str]:
        """Send a request, undo it; return its status and what is wrong, if anything."""
        environ = self.factory.generic(
            sent.method, "/", sent.body, sent.content_type, headers=sent.headers
        ).environ
        path, _mark, environ["QUERY_STRING"] = sent.path.partition("?")
        environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
        kept: dict[str, object] = {}

        def start_response(status, headers, exc_info=None):
            kept.update(status=int(status[:3]), headers=dict(headers))

        self.failures.clear()
        self.writes = 0
        with undone():
            reply = self.application(environ, start_response)
            try:
                body = b"".join(reply)
            finally:
                if hasattr(reply, "close"):
                    reply.close()
            status, location = kept["status"], kept["headers"].get("Location", "")
            problem = self._problem(sent, status, location, body)
        return status, problem

    def _problem(self, sent, status, location, body) -> str:
        if status >= 500:
            return self.failures[-1] if self.failures else f"status {status}: {body[:300]!r}"
        if sent.door == "gate" and status < 300 and not sent.is_known:
            return "somebody passed without a credential"
        is_refused = status >= 400 or (status in (301, 302, 303) and "/login/" in location)
        if is_refused and self.writes:
            state = tables.state()
            changed = [name for name, rows in self.state.items() if rows != state[name]]
            return f"refused, yet wrote to {', '.join(changed)}" if changed else ""
        return ""


def _session_of(person) -> str:
    client = Client()
    client.force_login(person)
    return client.cookies["sessionid"].value


def _some_of_everything() -> dict[str, list]:
    return {
        model._meta.model_name: list(model._base_manager.values_list("pk", flat=True)[:5])
        for model in apps.get_app_config("keys").get_models()
    }


def _routes_by_door() -> dict[str, list[tuple[str, str]]]:
    routes: dict[str, list[tuple[str, str]]] = {}
    for where, name, _view in ROUTES:
        door = _door_of(where, name)
        routes.setdefault(door, []).append((where.replace("^", "").replace("$", ""), name))
    routes["gate"] = [("v1/auth", "native:auth"), ("v1/verify", "native:verify")]
    return routes


def _methods_by_route() -> dict[str, list[str]]:
    methods: dict[str, list[str]] = {}
    for row in [*API, *PAGES]:
        method, _space, name = row.partition(" ")
        methods.setdefault(name, []).append(method)
        methods.setdefault(name.replace(":", "-prefixed:"), []).append(method)
    return methods


def _door_of(where: str, name: str) -> str:
    namespace = name.partition(":")[0].removesuffix("-prefixed")
    if namespace in DIALECTS:
        return namespace
    if name.startswith("keys:"):
        return "pages"
    if where.startswith(("admin/", "status/")):
        return "staff"
    return "accounts" if where.startswith("accounts/") else "public"


def _bodies_of_documents() -> list[str]:
    """Return the names of what bodies have, in any dialect."""
    names: set[str] = set()
    for module in DOCUMENTED:
        document = Client().get(f"/docs/{module.DIALECT.dialect}/openapi.json").json()
        for schema in document.get("components", {}).get("schemas", {}).values():
            names.update(schema.get("properties", {}))
    return sorted(names)


@st.composite
def requests(draw, installation: Installation) -> Sent:
    """Make up a request: most of it right, some of it odd."""
    door = draw(st.sampled_from(sorted(installation.routes)))
    where, name = draw(st.sampled_from(installation.routes[door]))
    method = draw(st.sampled_from(installation.methods.get(name, METHODS) * 3 + METHODS))
    path = draw(_paths(installation, where))
    nth = draw(st.integers(0, 5))
    fields = {each: values[nth % len(values)] for each, values in installation.right.items()}
    if draw(st.booleans()):
        fields = {each: fields[each] for each in draw(_some(installation.names))}
    if door in DIALECTS or door == "gate":
        known, headers = draw(_credentials(installation))
        body, content_type = draw(_json_bodies(installation, f"{method} {name}", fields))
    else:
        known, headers = False, draw(_cookies(installation, door))
        odd = {each: draw(ODD_TEXT) for each in draw(_some(installation.names))}
        body, content_type = draw(_forms({**fields, **odd}))
        if method in ("GET", "HEAD"):
            path += "?" + urlencode({**fields, **odd}, errors="replace")[:8_000]
    if not draw(st.integers(0, 9)):
        body, content_type = draw(ODD_BYTES), draw(st.sampled_from(CONTENT_TYPES))
    if draw(st.integers(0, 3)) == 0:
        path += ("&" if "?" in path else "?") + draw(_queries(installation))
    for each in draw(st.lists(st.sampled_from(HEADERS), max_size=2)):
        headers[each] = draw(ODD_HEADER)
    if method in ("GET", "HEAD") and draw(st.booleans()):
        body = b""
    return Sent(door, method, path, headers, content_type, body, known)


def _some(names):
    return st.lists(st.sampled_from(names), max_size=4)


@st.composite
def _paths(draw, installation, where):
    values = {**ANYTHING, **installation.values, "pk": installation.values["allowed_ip_id"]}
    for model, rows in installation.objects.items():
        if f"/{model}/" in where and rows:
            values["object_id"] = values["id"] = draw(st.sampled_from(rows))
    values["button"] = draw(st.sampled_from(["lock", "unlock", "revoke", "suspend", "resume", "x"]))
    if draw(st.integers(0, 7)) == 0:
        values[draw(st.sampled_from(sorted(values)))] = draw(ODD_TEXT)
    quoted = {each: quote(str(value), safe="") for each, value in values.items()}
    return path_of(where.replace(r"\Z", ""), quoted)


@st.composite
def _credentials(draw, installation):
    secret = draw(st.sampled_from([*installation.secrets, *installation.secrets, None, ""]))
    if secret is None:
        return False, {}
    known = bool(secret)
    if not known:
        secret = draw(st.one_of(ODD_HEADER, st.sampled_from(installation.secrets).map(_spoilt)))
    plain = base64.b64encode(f"user:{secret}".encode()).decode()
    header = draw(
        st.sampled_from(
            [
                ("Authorization", f"Bearer {secret}"),
                ("X-API-Key", secret),
                ("PRIVATE-TOKEN", secret),
                ("Authorization", f"Basic {plain}"),
            ]
        )
    )
    return known, dict([header])


def _spoilt(secret: str) -> str:
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")


@st.composite
def _cookies(draw, installation, door):
    sessions = [None, *installation.sessions.values()]
    if door == "staff":
        sessions += [installation.sessions[name] for name in ("staff", "superuser")] * 3
    session = draw(st.sampled_from(sessions))
    cookies = SimpleCookie()
    if session:
        cookies["sessionid"] = session
    headers = {}
    if draw(st.integers(0, 9)):
        cookies["csrftoken"] = headers["X-CSRFToken"] = CSRF
    return {**headers, "Cookie": cookies.output(header="", sep=";").strip()}


@st.composite
def _json_bodies(draw, installation, row, fields):
    _statuses, right = API.get(row.replace("-prefixed:", ":"), ("", None))
    body = dict(right or {})
    if draw(st.booleans()):
        body.update(fields)
    for each in draw(_some(installation.bodies)):
        values = [*installation.right.get(each, []), *installation.values.values()]
        body[each] = draw(ODD_JSON | st.sampled_from(values))
    if "key" in body and draw(st.booleans()):
        body["key"] = draw(st.sampled_from(installation.secrets))
    whole = draw(st.integers(0, 14))
    odd = draw(ODD_JSON) if whole == 0 else [body] if whole == 1 else body
    return json.dumps(odd, default=str).encode(), "application/json"


@st.composite
def _forms(draw, fields):
    if draw(st.booleans()):
        return urlencode(fields, errors="replace").encode(), "application/x-www-form-urlencoded"
    content = draw(ODD_BYTES | st.just(b"name,secret\nImported,abcdefghijklmnopqrstuvwxyz\n"))
    upload = SimpleUploadedFile(draw(st.sampled_from(["a.csv", "b.json", "c", "é.jsonl"])), content)
    return encode_multipart(BOUNDARY, {**fields, "file": upload}), MULTIPART_CONTENT


@st.composite
def _queries(draw, installation):
    names = [*installation.names, *installation.bodies, "scope", "cost", "ip", "limit", "offset"]
    odd = {each: draw(ODD_TEXT) for each in draw(_some(names))}
    return draw(st.sampled_from([urlencode(odd), "%ff=%00&&=", "a=%", ";"]))[:8_000]


@pytest.fixture
def installation(settings, target, acme, other, developer, viewer, staff, superuser, key,  # noqa: F811
                 read_only_key, manage_key, strangers_key, owner, stranger):  # fmt: skip
    """The cast with sessions and keys, every row of acme, and no limits on how often one asks."""
    settings.API_RATE = settings.LEAK_REPORT_RATE = "1000000/second"
    settings.ALLOWED_HOSTS = ["testserver"]
    services.add_allowed_ip(actor=developer, key=key, network="127.0.0.0/8")
    people = {"owner": owner, "developer": developer, "viewer": viewer, "staff": staff,
              "superuser": superuser, "stranger": stranger}  # fmt: skip
    keys = [key, read_only_key, manage_key, strangers_key]
    made = Installation(target, acme, people, keys)
    with ExitStack() as stack:
        stack.enter_context(one_connection())
        # It is inside of the test's transaction, which ends after all requests.
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(connections["default"], "close_if_unusable_or_obsolete", lambda: None)
        stack.enter_context(connection.execute_wrapper(made.note_write))
        got_request_exception.connect(made.note_failure)
        stack.callback(got_request_exception.disconnect, made.note_failure)
        generations.trust_until(2**63)
        stack.callback(snapshots.forget)
        stack.callback(generations.trust_until, 0)
        yield made


def send_many(installation: Installation, count: int, seed: object) -> Found:
    """Send so many made-up requests."""
    found = Found()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        phases=[Phase.generate],
        derandomize=False,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(sent=requests(installation))
    def send(sent):
        status, problem = installation.answer(sent)
        found.answers[sent.door, status] += 1
        if problem:
            found.problems.setdefault(problem, str(sent))

    send()
    return found


def _chosen_seed(config) -> str:
    return config.getoption("--hypothesis-seed") or str(randomness.randbelow(2**32))


@pytest.mark.parametrize(
    ("count", "number"),
    [
        pytest.param(400, None, marks=pytest.mark.wide),
        *(pytest.param(SLICE, each, marks=pytest.mark.endurance) for each in range(SLICES)),
    ],
)
def test_no_request_fails_and_none_that_is_refused_writes(
    installation, count, number, request, capsys
):
    """Slices of a hundred thousand requests, or a few that are always the same."""
    seed = "always" if number is None else _chosen_seed(request.config)
    found = send_many(installation, count, f"{seed} {number}")
    told = "\n\n".join(f"{sent}\n{why}" for why, sent in found.problems.items())
    with capsys.disabled():
        print(f"\nseed {seed}, slice {number}\n{found.table()}\n{told}", flush=True)  # noqa: T201
    assert not found.problems, told
