"""Whatever is sent to the native dialect, it is refused by name."""

import pytest

from keys import policy, services
from keys.models import APIKey, AuditEvent
from tests.api.native.wire import KEYS, NOT_FOUND, path_of, refused

BAD_MEMBERS = [
    ("key_name", ""), ("key_name", None), ("key_name", 5), ("key_name", ["a"]),
    ("key_name", "x" * 201), ("key_name", "a\x00b"), ("key_name", {"a": 1}),
    ("key_scope", ["FLY"]), ("key_scope", ["read"]), ("key_scope", "READ,,CREATE"),
    ("key_scope", ""), ("key_scope", None), ("key_scope", 5), ("key_scope", [5]),
    ("key_scope", ["READ", None]), ("key_scope", {"READ": True}), ("key_scope", ["a\x00b"]),
    ("key_scope", ["*"]),
    ("organization_id", None), ("organization_id", "acme"), ("organization_id", True),
    ("organization_id", 1.5), ("organization_id", ["1"]), ("organization_id", "١"),
    ("slug", "a\x00b"), ("slug", ""), ("slug", "x" * 64), ("slug", None),
    ("description", "x" * 501), ("description", 7), ("description", "a\x00"),
    ("disabled", "yes"), ("disabled", 1), ("disabled", None),
    ("role", "emperor"), ("role", 1), ("role", {"name": "admin"}), ("role", "a\x00b"),
    ("workspace_id", "default"), ("workspace_id", 7),
    ("workspace_id", "00000000-0000-4000-8000-000000000000"), ("workspace_id", None),
    ("owner_id", "me"), ("owner_id", True), ("owner_id", 1.0),
    ("not_before", "tomorrow"), ("not_before", 5),
    ("expires_at", "2020-01-01T00:00:00Z"), ("expires_at", "2099-01-01T00:00:00"),
    ("expires_at", "2099-02-30T00:00:00Z"), ("expires_at", 4102444800), ("expires_at", "never"),
    ("expires_at", "0001-01-01T00:00:00+23:59"), ("expires_at", "٢٠٩٩-01-01T00:00:00Z"),
    ("limit", -1), ("limit", "5"), ("limit", True), ("limit", 1e300), ("limit", 10**40),
    ("limit", 0.0000001), ("limit", []),
    ("limit_reset", "hourly"), ("limit_reset", 1),
    ("include_byok_in_limit", "false"), ("assign_server_ips", 0),
    ("allowed_ips", "10.0.0.1"), ("allowed_ips", {"network": "10.0.0.1"}), ("allowed_ips", None),
    ("external_user", 5), ("external_user", "x" * 201),
]  # fmt: skip


@pytest.mark.parametrize("member", sorted({member for member, _value in BAD_MEMBERS}))
@pytest.mark.wide
def test_a_bad_value_is_refused_by_the_name_of_its_member(ask, manage_key, body, member):
    """No 500, nothing written, at creation and at change alike."""
    target = services.issue_key(actor=policy.OPERATOR, organization=manage_key.organization,
                                name="Target", scopes=["READ"])  # fmt: skip
    keys, events = APIKey.objects.count(), AuditEvent.objects.count()
    for value in [value for name, value in BAD_MEMBERS if name == member]:
        created = ask("post", KEYS, manage_key.secret, {**body, member: value})
        errors = refused(created, 400)
        assert member in {name.split(".")[0] for name in errors}
        assert created.json()["message"].startswith(member)
        changed = ask("patch", path_of(target), manage_key.secret, {member: value})
        refused(changed, 400)
        assert (APIKey.objects.count(), AuditEvent.objects.count()) == (keys, events)


@pytest.mark.parametrize(
    "network",
    [
        "10.0.0.1/8", "010.1.2.3", "10.1", "0x7f000001", "2130706433", "10.0.0.1:80", "[::1]",
        "fe80::1%eth0", "１０.0.0.1", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", "", " ",
        "localhost", "10.0.0.1, 10.0.0.2", "a\x00b", 5, None, True, {"net": "10.0.0.1"},
        {"network": "10.0.0.1", "deny": "no"}, {"network": "10.0.0.1", "comment": "x" * 201}, {},
    ],
)  # fmt: skip
def test_a_bad_address_is_refused_by_its_place_in_the_list(ask, manage_key, body, network):
    """T28."""
    keys = APIKey.objects.count()
    listed = {**body, "allowed_ips": ["192.0.2.1", network]}
    errors = refused(ask("post", KEYS, manage_key.secret, listed), 400)
    assert all(name.startswith("allowed_ips.1") for name in errors), errors
    assert errors
    assert APIKey.objects.count() == keys
    if not isinstance(network, dict):
        base = path_of(manage_key, "/allowed-ips")
        owner = services.issue_key(actor=policy.OPERATOR, organization=manage_key.organization,
                                   name="Second", scopes=["READ", "MANAGE"])  # fmt: skip
        assert "network" in refused(ask("post", base, owner.secret, {"network": network}), 400)


def test_a_host_bit_is_answered_with_the_likely_fix(ask, key, body):
    answer = ask("post", KEYS, key.secret, {**body, "allowed_ips": ["10.0.0.1/8"]})
    assert "10.0.0.0/8" in answer.json()["message"]


@pytest.mark.parametrize("missing", ["key_name", "key_scope", "organization_id"])
def test_the_seeds_required_members_are_required(ask, key, body, missing):
    del body[missing]
    assert refused(ask("post", KEYS, key.secret, body), 400) == {
        missing: ["This field is required."]
    }


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"{", 400), (b"", 400), (b"[]", 400), (b"null", 400), (b'"text"', 400), (b"5", 400),
        (b'{"key_name": NaN}', 400), (b"\xff\xfe", 400), (b'{"key_name": "\\ud800"}', 400),
        (b"[" * 50000, 400), (b'{"limit": ' + b"9" * 6000 + b"}", 400), (b"x" * 70000, 413),
        (b"x" * 10_000_000, 413),
    ],
    ids=["half", "none", "array", "null", "text", "number", "NaN", "not UTF-8", "surrogate", "deep",
         "huge number", "70 kB", "10 MB"],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(ask, key, sent, status):
    keys = APIKey.objects.count()
    refused(ask("post", KEYS, key.secret, sent), status)
    assert APIKey.objects.count() == keys


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/xml", "", "nonsense", "application/json2",
    ],
)  # fmt: skip
def test_another_content_type_is_415(ask, key, body, content_type):
    refused(ask("post", KEYS, key.secret, body, content_type=content_type), 415)


@pytest.mark.parametrize("charset", ["utf-16", "zlib", "rot13", "nonsense", "idna"])
def test_json_is_utf8_whatever_its_content_type_says(ask, key, body, charset):
    sent = ask("post", KEYS, key.secret, body, content_type=f"application/json; charset={charset}")
    assert sent.status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [("put", KEYS), ("delete", KEYS), ("patch", KEYS), ("options", KEYS), ("trace", KEYS),
     ("put", f"{KEYS}/1"), ("post", f"{KEYS}/1"), ("get", f"{KEYS}/1/rotate"),
     ("post", "/v1/audit-events"), ("delete", "/v1/organizations/1"), ("post", "/v1/members")],
)  # fmt: skip
def test_a_method_that_is_not_there_is_405(ask, key, method, path):
    answer = ask(method, path, key.secret)
    refused(answer, 405)
    assert "GET" in answer["Allow"] or "POST" in answer["Allow"]
    assert ask(method, path).status_code == 401


@pytest.mark.parametrize("path", ["/v1/", "/v1/nothing", "/v1/api-keys/x/y", "/native/v1/nothing"])
def test_a_path_that_is_nothing_answers_in_the_envelope(ask, key, path):
    for secret in (None, key.secret):
        answer = ask("get", path, secret)
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


def test_an_error_of_ours_is_a_500_in_the_envelope(ask, key, monkeypatch, client):
    def fail(*args, **kwargs):
        raise RuntimeError("boom kh_secret")

    monkeypatch.setattr("keys.api.dialects.native.keys.with_lists", fail)
    client.raise_request_exception = False
    answer = ask("get", KEYS, key.secret)
    assert refused(answer, 500) == {}
    assert "boom" not in answer.content.decode()


def test_a_wrong_host_is_400_in_the_envelope(ask, key):
    refused(ask("get", KEYS, key.secret, headers={"Host": "evil.example"}), 400)
