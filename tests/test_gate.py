"""Ahead of Django the same is answered as by the views, only sooner."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import hypothesis
import pytest
import time_machine
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from rest_framework.request import Request

from keys import generations, outcomes, secrets, services, snapshots, usage
from keys.api.authentication import KeyAuthentication
from keys.gate import Gate
from keys.models import APIKey, Decision, KeyUsage, ScopeUse, UsageBucket

AUTH, VERIFY = "/v1/auth", "/v1/verify"
NOW = datetime(2026, 11, 19, 15, 30, tzinfo=UTC)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def memory(own_board):
    """An empty memory that is trusted, as in a worker."""
    snapshots.forget()
    generations.trust_until(2**63)
    yield
    snapshots.forget()
    generations.trust_until(0)


def refuse_to_answer(environ, start_response):
    raise AssertionError("The gate left the request to Django.")


def send(application, method="GET", path=AUTH, body=b"", **environ):
    """Send a request through a WSGI application; return its status, headers and body."""
    kept = {}
    content_type = environ.pop("content_type", "application/json" if body else "")
    request = RequestFactory().generic(method, path, body, content_type, **environ)

    def start_response(status, headers, exc_info=None):
        kept.update(status=status, headers={name.title(): value for name, value in headers})

    reply = b"".join(application(request.environ, start_response))
    return int(kept["status"][:3]), kept["headers"], reply


TOLD = ("Cache-Control", "Content-Type", "Www-Authenticate", "Retry-After", "Ratelimit",
        "Ratelimit-Policy")  # fmt: skip


def told(answer, method):
    """Return what of an answer both doors have to agree about."""
    status, headers, body = answer
    kept = {
        name: value
        for name, value in headers.items()
        if name in TOLD or name.startswith("X-Keyhaven-")
    }
    return status, kept, b"" if method == "HEAD" else body


def asking(key: APIKey, **extra) -> dict:
    return {"HTTP_X_API_KEY": key.secret, **extra}


def question(secret: str, **members) -> bytes:
    return json.dumps({"key": secret, **members}).encode()


# What fails is short as it is.
LOOKING_EVERYWHERE = hypothesis.settings(
    suppress_health_check=list(HealthCheck), phases=[hypothesis.Phase.generate]
)


class TestSameAnswers:
    """T27, T31: whatever is asked, the gate says what the view says."""

    @pytest.fixture
    def cast(self, acme, owner, developer, staff, manage_key, strangers_key):
        """Secrets by what became of their keys, and some that are no key's."""

        def issue(name, actor=developer, **fields):
            return services.issue_key(actor=actor, organization=acme, name=name, **fields)

        with time_machine.travel(NOW, tick=False):
            soon = NOW + timedelta(seconds=30)
            later = NOW + timedelta(days=900)
            keys = {
                "good": issue("Good", scopes=["READ", "UPDATE"], external_user="Größe 7"),
                "confined": issue("Confined", allowed_ips=["10.0.0.0/8", "2001:db8::/32"]),
                "denied": issue("D", allowed_ips=[{"network": "127.0.0.1", "deny": True}]),
                "ending": issue("Ending", scopes=["READ"], expires_at=soon),
                "coming": issue("Coming", scopes=["READ"], not_before=soon, expires_at=later),
                "disabled": issue("Disabled", disabled=True),
                "limited": issue("Limited", limit=Decimal(5), limit_reset="daily"),
                "spent": issue("Spent", limit=Decimal(0), limit_reset="weekly"),
                "resetting": issue("Resetting", limit_reset="monthly"),
                "blind": issue("Blind", actor=owner, owner=None, scopes=["CREATE"]),
                "revoked": issue("Revoked"),
                "locked": issue("Locked"),
                "rotated": issue("Rotated", scopes=["READ"]),
                "quiet": issue("Quiet", scopes=["READ"]),
            }
            services.revoke_key(actor=developer, key=keys["revoked"])
            services.lock_key(actor=staff, key=keys["locked"])
            services.rotate_key(actor=developer, key=keys["rotated"], overlap=timedelta(seconds=30))
            services.rotate_key(actor=developer, key=keys["quiet"], quiet_hours=1)
        known = {name: key.secret for name, key in keys.items()}
        return {**known, "manager": manage_key.secret, "foreign": strangers_key.secret,
                "unknown": secrets.generate("native"), "typo": known["good"][:-1],
                "none": "", "token": "abc.def.ghi", "odd": "é\x00 \x7f", "long": "x" * 600,
                "twice": f"{known['good']},{known['blind']}"}  # fmt: skip

    WAYS = (
        lambda text: {"HTTP_X_API_KEY": text},
        lambda text: {"HTTP_PRIVATE_TOKEN": f" {text}\t"},
        lambda text: {"HTTP_AUTHORIZATION": f"Bearer {text}"},
        lambda text: {"HTTP_AUTHORIZATION": f"bEARER   {text} "},
        lambda text: {"HTTP_AUTHORIZATION": f"Basic {text}", "HTTP_COOKIE": "a=;b\x7f"},
        lambda text: {"HTTP_X_API_KEY": " ", "HTTP_AUTHORIZATION": f"Bearer {text}"},
    )
    QUERIES = (
        "", "scope=READ", "scope=READ&scope=UPDATE", "scope=MANAGE", "scope=", "scope=%FF%00é",
        "cost=0", "cost=2.5", "cost=-1", "cost=9999999", "cost=1&cost=x", "status=200",
        "status=204&scope=READ", "status=201", "status=200&status=200", "scopes=READ", "&&=&",
        "x" * 3000, "%", "scope=READ;cost=0",
    )  # fmt: skip
    BODIES = (
        {}, {}, {}, {"ip": "10.1.2.3"}, {"scopes": ["READ"]},
        {"ip": "127.0.0.1", "scopes": ["READ"]}, {"scopes": ["MANAGE"]},
        {"scopes": ["READ", "orders:read"], "ip": "2001:db8::7"}, {"scopes": []},
        {"cost": 0}, {"cost": 1.5, "byok_cost": 2}, {"cost": True}, {"cost": 1e9}, {"cost": "1"},
        {"scopes": "READ"}, {"scopes": [" READ "]}, {"scopes": ["a b"]}, {"scopes": None},
        {"ip": " 10.1.2.3 "}, {"ip": "010.1.2.3"}, {"ip": None}, {"unknown": 1}, {"key": None},
        {"key": " "}, {"key": ["x"]}, {"scopes": ["READ"] * 1001},
    )  # fmt: skip
    ODD_BODIES = (b"", b"[]", b"{", b"\xff", b'{"key": NaN}', b"[" * 3000, b'{"key": "\\ud800"}',
                  "﻿{}".encode(), b"x" * 70_000)  # fmt: skip

    requests = st.fixed_dictionaries(
        {
            "secret": st.integers(0, 100),
            "asked": st.integers(0, 100),
            "way": st.sampled_from(WAYS),
            "seconds": st.sampled_from([0, 0, 29.999, 30, 30.001, 90_000]),
            "REMOTE_ADDR": st.sampled_from(["127.0.0.1", "10.1.2.3", "2001:db8::1", "", "x"]),
            "HTTP_X_FORWARDED_FOR": st.sampled_from(
                [None, None, "", "10.9.9.9", "10.9.9.9, 127.0.0.1", "fe80::1%eth0", "a\x00,"]
            ),
            "HTTP_HOST": st.sampled_from(["testserver"] * 8 + ["evil", "?"]),
            "HTTP_USER_AGENT": st.sampled_from([None, "curl/8", "é\x00\x1b"]),
        }
    )

    def compare(self, settings, cast, kept, method, path, body=b"", **request):
        secret_names = sorted(cast)
        with time_machine.travel(NOW + timedelta(seconds=request.pop("seconds")), tick=False):
            request.pop("asked")
            presented = cast[secret_names[request.pop("secret") % len(cast)]]
            environ = {**request.pop("way")(presented)}
            environ |= {name: value for name, value in request.items() if value is not None}
            kept.asked += 1
            gate = kept.gates[bool(settings.TRUSTED_PROXIES)]
            here = send(gate, method, path, body, **environ)
            there = send(kept.django, method, path, body, **environ)
        assert told(here, method) == told(there, method), (method, path, environ, body)
        if path.startswith(AUTH) and here[0] < 300:
            assert here[1]["X-Keyhaven-Key-Id"]

    @pytest.fixture(params=["journal", "tables"])
    def kept(self, request, settings):
        """How many requests were asked, and how many the gate left to Django."""
        settings.ALLOWED_HOSTS = ["testserver"]
        if request.param == "journal":
            request.getfixturevalue("journal")
        django = WSGIHandler()
        kept = SimpleNamespace(django=django, asked=0, left=0)

        def view(environ, start_response):
            kept.left += 1
            return django(environ, start_response)

        # One for each setting of the proxies.
        kept.gates = (Gate(view), Gate(view))
        kept.has_journal = request.param == "journal"
        return kept

    @pytest.mark.parametrize(
        "examples", [60, pytest.param(10_000, marks=pytest.mark.endurance)], ids=["short", "long"]
    )
    def test_for_proxies(self, settings, cast, kept, examples):
        @hypothesis.settings(LOOKING_EVERYWHERE, max_examples=examples)
        @given(
            request=self.requests,
            query=st.sampled_from(self.QUERIES),
            method=st.sampled_from(["GET", "HEAD", "GET", "HEAD", "POST", "OPTIONS", "TRACE"]),
            proxies=st.sampled_from([[], ["127.0.0.1"]]),
        )
        def compare(request, query, method, proxies):
            settings.TRUSTED_PROXIES = proxies
            # A charge would be spent by the first of the two.
            if "cost" not in query and "x" not in query:
                query = f"{query}&cost=0" if query else "cost=0"
            self.compare(settings, cast, kept, method, f"{AUTH}?{query}", **request)

        compare()
        assert kept.asked - kept.left >= examples // 20

    @pytest.mark.parametrize(
        "examples", [60, pytest.param(10_000, marks=pytest.mark.endurance)], ids=["short", "long"]
    )
    def test_for_services(self, settings, cast, kept, examples):
        @hypothesis.settings(LOOKING_EVERYWHERE, max_examples=examples)
        @given(
            request=self.requests,
            members=st.sampled_from(self.BODIES),
            odd=st.sampled_from([None] * 20 + list(self.ODD_BODIES)),
            method=st.sampled_from(["POST"] * 8 + ["GET", "HEAD"]),
            content_type=st.sampled_from(
                ["application/json"] * 8 + ["application/json; charset=latin-1", "text/plain", ""]
            ),
        )
        def compare(request, members, odd, method, content_type):
            names = sorted(cast)
            about = cast[names[request["asked"] % len(cast)]]
            if about == cast["limited"]:
                # What it costs would be spent by the first of the two.
                members = {**members, "cost": 0, "byok_cost": 0}
            body = question(about, **{"cost": 0, **members}) if odd is None else odd
            # Mostly by who may ask.
            if request["secret"] % 3:
                request = {**request, "secret": names.index("manager")}
            request = {**request, "content_type": content_type}
            self.compare(settings, cast, kept, method, VERIFY, body, **request)

        compare()
        assert kept.asked - kept.left >= (examples // 20 if kept.has_journal else 0)


class TestCounting:
    """What the gate answers is counted as if the view had."""

    def test_each_use_is_counted_once(self, key, manage_key, journal):
        gate = Gate(refuse_to_answer)
        for _ in range(3):
            assert send(gate, **asking(key))[0] == 204
        assert send(gate, path=f"{AUTH}?scope=MANAGE", **asking(key))[0] == 403
        answer = send(gate, "POST", VERIFY, question(key.secret, cost=2), **asking(manage_key))
        assert json.loads(answer[2])["valid"] is True
        journal.fold()
        totals = KeyUsage.objects.get(key=key)
        assert (totals.requests, totals.refused, totals.cost) == (4, 1, 5)
        outcomes = {row.outcome: row.requests for row in UsageBucket.objects.filter(key=key)}
        assert outcomes == {"VALID": 4, "INSUFFICIENT_SCOPES": 1}
        assert KeyUsage.objects.get(key=manage_key).requests == 1
        assert ScopeUse.objects.get(key=manage_key).code == "READ"
        # It asked for none: that one let it through.
        call = Decision.objects.get(key=manage_key)
        assert (call.door, call.method, call.scopes) == (Decision.Door.API, "POST", [])

    def test_a_limit_is_charged(self, developer, key, journal):
        services.update_key(actor=developer, key=key, limit=Decimal(2))
        gate = Gate(refuse_to_answer)
        assert [send(gate, **asking(key))[0] for _ in range(3)] == [204, 204, 429]

    def test_what_cannot_be_counted_is_not_let_through(self, key, journal, monkeypatch):
        """T27: a full disk."""

        def fail(*args):
            raise usage.journals.JournalFull

        assert send(Gate(refuse_to_answer), **asking(key))[0] == 204
        monkeypatch.setattr(type(usage.journal), "append", fail)
        status, headers, body = send(Gate(refuse_to_answer), **asking(key))
        assert (status, headers["Retry-After"]) == (503, "5")
        assert json.loads(body)["message"]
        assert not any(name.startswith("X-Keyhaven") for name in headers)


class TestNext:
    """What changes is seen by the next answer."""

    def test_a_known_key_is_answered_without_the_database(
        self, key, manage_key, journal, django_assert_num_queries
    ):
        """T14: and so is garbage; a well-formed unknown key asks once, and pushes none out."""
        gate = Gate(refuse_to_answer)
        body = question(key.secret, scopes=["READ"])
        for _ in range(2):
            send(gate, **asking(key))
            send(gate, "POST", VERIFY, body, **asking(manage_key))
            # Which tells a process that nothing was imported, until something changes.
            send(gate, HTTP_X_API_KEY="nonsense")
        with django_assert_num_queries(0):
            assert send(gate, **asking(key))[0] == 204
            assert send(gate, "POST", VERIFY, body, **asking(manage_key))[0] == 200
            for garbage in ("nonsense", key.secret[:-1], "x" * 9999, "é"):
                assert send(gate, HTTP_X_API_KEY=garbage)[0] == 401
                assert send(gate, "POST", VERIFY, body, HTTP_X_API_KEY=garbage)[0] == 401
        with django_assert_num_queries(1):
            assert send(gate, HTTP_X_API_KEY=secrets.generate("native"))[0] == 401
        with django_assert_num_queries(0):
            assert send(gate, **asking(key))[0] == 204

    def test_a_known_key_authenticates_a_call_without_the_database(
        self, key, journal, django_assert_num_queries
    ):
        """The portal's own API; and no call gets what another may change."""
        request = RequestFactory().get("/v1/api-keys", **asking(key))
        request.client_address = None
        callers = [KeyAuthentication().authenticate(Request(request))[0]]
        with django_assert_num_queries(0):
            callers.append(KeyAuthentication().authenticate(Request(request))[0])
            assert callers[1] == key
            assert callers[1].organization.slug == "acme"
        assert callers[0] is not callers[1]
        assert callers[0].organization is not callers[1].organization

    def test_who_holds_keys_cannot_fill_the_memory(
        self, key, manage_key, read_only_key, journal, monkeypatch
    ):
        """T14: with questions that nobody asked before, of one key or of several."""
        monkeypatch.setattr(outcomes, "_kept", 0)
        monkeypatch.setattr(outcomes, "_MOST_ANYWAY", 90)
        gate = Gate(refuse_to_answer)
        held = []
        for number in range(60):
            for each in (key, manage_key, read_only_key):
                send(gate, path=f"{AUTH}?scope=orders:{number}", **asking(each))
                entry = snapshots.find(each.secret)
                held.append(sum(len(one.memory) for one in snapshots.remembered()))
                assert len(entry.memory) <= 64
        assert max(held) <= 90 + 4 * 3
        assert send(gate, **asking(key))[0] == 204

    def test_an_accepted_address_says_nothing_of_another(self, developer, key, journal):
        """T44."""
        services.update_key(actor=developer, key=key, allowed_ips=["10.0.0.0/8"])
        gate = Gate(refuse_to_answer)
        for _ in range(2):
            assert send(gate, REMOTE_ADDR="10.1.2.3", **asking(key))[0] == 204
            assert send(gate, REMOTE_ADDR="192.0.2.1", **asking(key))[0] == 403

    def test_an_unknown_address_is_not_the_one_of_only_zeros(
        self, acme, developer, manage_key, journal
    ):
        key = services.issue_key(
            actor=developer,
            organization=acme,
            name="Not from there",
            allowed_ips=[{"network": "192.0.2.1", "deny": True}],
        )
        gate = Gate(refuse_to_answer)
        codes = [
            json.loads(send(gate, "POST", VERIFY, body, **asking(manage_key))[2])["code"]
            for body in (question(key.secret, ip="::"), question(key.secret))
        ]
        assert codes == ["VALID", "FORBIDDEN_ADDRESS"]

    def test_a_rotation_ends_to_the_millisecond(self, developer, key, journal):
        """T33: through memory, and after a restart."""
        end = NOW + timedelta(hours=1)
        with time_machine.travel(NOW, tick=False) as clock:
            new = services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
            gate = Gate(refuse_to_answer)
            for is_restarted in (False, True):
                for milliseconds, status in ((-1, 204), (0, 401), (1, 401), (-1, 204)):
                    clock.move_to(end + timedelta(milliseconds=milliseconds), tick=False)
                    assert send(gate, **asking(key))[0] == status
                    assert send(gate, **asking(new))[0] == 204
                    if is_restarted:
                        snapshots.forget()

    def test_the_first_request_begins_what_a_worker_does(self, key):
        started = []
        gate = Gate(WSGIHandler(), start=lambda: started.append(True))
        assert not started
        send(gate, **asking(key))
        send(gate, **asking(key))
        assert started == [True]

    def test_it_answers_nobody_before_it_could_start(self, manage_key):
        """A full disk at the first start."""
        attempts = iter([OSError("No space left on device"), None])

        def start():
            if (problem := next(attempts)) is not None:
                raise problem

        gate = Gate(refuse_to_answer, start=start)
        status, headers, _body = send(gate, **asking(manage_key))
        assert (status, headers["Retry-After"]) == (503, "5")
        assert send(gate, **asking(manage_key))[0] == 204
