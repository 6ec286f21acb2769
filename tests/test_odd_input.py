"""Nothing that a browser or a script can send to a page makes it fail.

Every page × odd values in its path, its query and its form: the answer has some status, and
where the page itself did not foresee them the test fails. Most fields are filled in rightly,
so that the odd ones get past the others.
"""

import random
import traceback
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.test import Client

from keys import services
from keys.models import APIKey
from tests.test_doors import ROUTES, path_of, target, undone  # noqa: F401 - one is a fixture

PAGES = [where for where, name, _view in ROUTES if name.startswith("keys:")]

ODD = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\r\nSet-Cookie: a=b",
    "\u202e\ufeff\u2028",
    "\U0010ffff",
    "💥" * 70,
    "é" * 300,
    "x" * 20_000,
    "1" * 5_000,
    "-1",
    "0",
    "1.5",
    "1e400",
    "NaN",
    "-Infinity",
    "٣",
    "²",
    str(2**31),
    str(2**63),
    str(2**64),
    str(-(2**63) - 1),
    "9" * 17,
    "9" * 18,
    "0001-01-01",
    "0001-01-01T00:00",
    "9999-12-31",
    "9999-12-31T23:59",
    "9999-12-31T23:59:59",
    "2026-02-30",
    "99999-01-01",
    "true",
    "null",
    "None",
    "[]",
    "{}",
    "%s%(x)s%",
    "{0.__class__}",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "//evil.example/",
    "/\\evil.example",
    "javascript:alert(1)",
    "http://[",
    "/\n/evil.example",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
    "10.0.0.0/99",
    "0.0.0.0/0",
    "!10.0.0.0/8",
    "a:b:c:d",
    "00000000-0000-0000-0000-000000000000",
    "not-a-uuid",
]

BOX = ["on", ""]


def right_values(values, acme) -> dict[str, list[str]]:
    """Return what is right in a field of that name, somewhere."""
    identifier = values["identifier"]
    numbers = [str(number) for number in (*acme.memberships.values_list("role", flat=True), 1, 3)]
    return {
        "key": [identifier, f"{identifier}:{'0' * 16}", str(values["key_id"])],
        "action": ["disable", "enable", "revoke", "expire", "allow", "narrow", "apikey.issued",
                   "reveal", "replace"],
        "step": ["", "ask", "preview", "confirm"],
        "token": ["a" * 32, "b" * 32],
        "next": ["/", "/organizations/acme/hygiene/"],
        "name": ["Name"], "code": ["orders:write"], "description": ["", "Words"],
        "slug": ["", "short"], "email": ["stranger@other.example"],
        "workspace": [str(acme.workspaces.first().pk)],
        "access": ["role", "scopes"], "role": numbers, "scopes": ["READ"], "scope": ["READ"],
        "allowed_ips": ["", "192.0.2.0/24 # Office"], "addresses": ["192.0.2.77"],
        "network": ["192.0.2.66"], "effect": ["allow", "deny"], "address": ["192.0.2.1", ""],
        "expiry": ["30", "custom", "never"], "expires_at": ["", "2100-01-01T00:00"],
        "not_before": ["", "2090-01-01T00:00"], "limit": ["", "10", "0.000001"],
        "limit_reset": ["", "daily", "monthly"], "overlap": ["0", "1h", "quiet"],
        "quiet_hours": ["1"], "hours": ["1"], "dialect": ["native", "netography"],
        "owner": ["mine", "organization"], "rotation": ["90", "custom", ""],
        "limiter_failure": ["allow", "refuse"], "rate_minute": ["60", "0", ""],
        "rotation_days": ["30"], "reason": ["", "Leaked"], "comment": ["", "Office"],
        "method": ["", "GET", "POST"], "cost": ["", "1"], "at": ["", "2090-01-01T00:00"],
        "range": ["day", "month"], "status": ["active", "any", "limit_reached"],
        "ordering": ["name", "-expires_at"], "hygiene": ["idle"], "search": ["", "Target"],
        "expiring": ["true"], "unused": ["true"], "unrestricted": ["true"],
        "since": ["2026-01-01"], "until": ["2030-01-01"], "door": ["page"], "actor": ["a"],
        "object": ["b"], "outcome": ["refused", "VALID"], "page": ["1"],
        "after": [identifier, "5"], "before": [identifier, "5"], "seen": ["waiting"],
        "template": ["ci"], "agreed": [""],
        "confirm_lockout": BOX, "confirm_wider": BOX, "confirm_slug": BOX, "confirmed": BOX,
        "add_own_address": BOX, "assign_server_ips": BOX, "include_byok_in_limit": BOX,
        "is_owner": BOX, "may_lock_out": BOX,
    }  # fmt: skip


def odd_requests(dice, values, acme) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield (method, path, query or form) without end."""
    right = right_values(values, acme)
    while True:
        parameters = dict(values)
        if dice.random() < 0.1:
            parameters[dice.choice(sorted(parameters))] = dice.choice(ODD)
        path = path_of(dice.choice(PAGES), parameters)
        odd_share = dice.choice([0, 0.05, 0.2, 0.6])
        names = right if dice.random() < 0.7 else dice.sample(sorted(right), 3)
        fields = {
            name: dice.choice(ODD if dice.random() < odd_share else right[name]) for name in names
        }
        yield dice.choice(["get", "post"]), path, fields


def problem_with(client, method, path, fields, headers) -> str:
    """Send a request and undo it; return how the page failed, empty: it did not."""
    with undone():
        try:
            response = getattr(client, method)(path, fields, headers=headers)
            b"".join(response)
        except Exception:
            return traceback.format_exc(limit=-5)
    return "" if response.status_code < 500 else f"status {response.status_code}"


@pytest.mark.parametrize("count", [80, pytest.param(400, marks=pytest.mark.wide)])
def test_no_page_fails_at_odd_input(count, acme, owner, developer, superuser, target):  # noqa: F811
    key = APIKey.objects.get(pk=target["key_id"])
    services.update_key(actor=developer, key=key, limit=Decimal(5), limit_reset="monthly")
    dice = random.Random(count)  # noqa: S311 - the same every time, so that a failure comes back
    clients = [Client(), Client(), Client()]
    for client, person in zip(clients, (owner, developer, superuser), strict=True):
        client.force_login(person)
    failed: dict[str, str] = {}
    requests = odd_requests(dice, target, acme)
    for _ in range(count):
        method, path, fields = next(requests)
        headers = dice.choice([{}, {}, {"HX-Request": "true"}])
        problem = problem_with(dice.choice(clients), method, path, fields, headers)
        if problem:
            odd = {name: value[:50] for name, value in fields.items() if value in ODD}
            failed.setdefault(problem, f"{method} {path[:200]} {odd}")
    assert not failed


HALF_CHARACTERS = b"+2AA- \\ud800"
FORM = b"""--X\r
Content-Disposition: form-data; name="search"\r
\r
%b\r
--X--\r
"""


@pytest.mark.parametrize(
    "charset", ["utf-7", "unicode_escape", "rot13", "zlib", "idna", "undefined", "latin-1"]
)
def test_form_that_is_not_in_utf8_is_refused(charset, acme, owner):
    client = Client()
    client.force_login(owner)

    response = client.generic(
        "POST",
        "/organizations/acme/keys/search/",
        FORM % HALF_CHARACTERS,
        content_type=f"multipart/form-data; boundary=X; charset={charset}",
    )

    assert response.status_code == 400


def test_form_that_cannot_be_read_is_sent_to_no_page(db):
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrftoken"] = "c" * 32

    response = client.generic("POST", "/nowhere/", b"x", content_type="multipart/form-data")

    assert response.status_code == 404


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "rot13", "undefined"])
def test_query_is_utf8_whatever_its_content_type_says(charset, acme, owner):
    client = Client()
    client.force_login(owner)

    for path in ("keys/", "audit/", "settings/members/", "explain/"):
        response = client.generic(
            "GET",
            f"/organizations/acme/{path}",
            content_type=f"text/plain; charset={charset}",
            QUERY_STRING="search=%2B2AA-%5Cud800&actor=%2B2AA-%5Cud800&key=%2B2AA-%5Cud800",
        )
        assert response.status_code == 200


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "nonsense"])
def test_form_in_utf8_is_taken_however_that_is_spelled(charset, acme, owner):
    client = Client()
    client.force_login(owner)

    response = client.generic(
        "POST",
        "/organizations/acme/keys/search/",
        FORM % "Schlüssel".encode(),
        content_type=f"multipart/form-data; boundary=X; charset={charset}",
    )

    assert response.url == "/organizations/acme/keys/?search=Schl%C3%BCssel"
