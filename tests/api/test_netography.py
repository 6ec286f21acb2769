"""Netography's wire, byte by byte, with Django's client."""

import time
from datetime import UTC, datetime
from urllib.parse import quote

import jwt
import pytest
from django.utils import timezone

from keys import policy, services
from keys.models import APIKey, AuditEvent, KeySecret, Role, Scope

KEYS = "/api/v1/api-keys"
TOKEN = "/api/v1/auth/token"
REFRESH = "/api/auth/bearer/refresh"
PASSWORD = "/api/auth/bearer/token"
FORM = "application/x-www-form-urlencoded"
NOW = datetime(2026, 11, 19, 15, 30, tzinfo=UTC)

NAMES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


def path(appname: str, action: str = "") -> str:
    return f"{KEYS}/{quote(appname, safe='')}{action}"


def refusal(response, status: int) -> str:
    """Return the message of a reply that refuses, having checked its envelope."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert set(body) == {"status", "name", "message"}
    assert body["status"] == status
    assert body["name"] == NAMES[status]
    assert body["message"]
    return body["message"]


def data(response, status: int = 200):
    """Return the data of a good reply, having checked its envelope."""
    assert response.status_code == status, response.content
    body = response.json()
    assert set(body) == {"meta", "data"}
    count = len(body["data"]) if isinstance(body["data"], list) else 1
    assert body["meta"] == {"code": status, "count": count}
    return body["data"]


@pytest.fixture
def create(ask, manage_key):
    """Create a key over the wire and return the reply's data."""

    def create(appname="ci", roles=("developer",), **more):
        body = {"appname": appname, "roles": list(roles), **more}
        return data(ask("post", KEYS, manage_key.secret, body), 201)

    return create


@pytest.fixture
def exchange(ask, acme):
    """Exchange a key for tokens, as a client of `acme` does, and return the response."""
    shared_secret = services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme)

    def exchange(appname, appkey, headers=None, **claims):
        said = {"appname": appname, "appkey": appkey, "shortname": "acme", "jti": "d41d8cd9"}
        said |= {"iat": int(time.time()), **claims}
        request_token = jwt.encode(said, shared_secret, algorithm="HS256")
        return ask("post", TOKEN, body={"jwt": request_token}, headers=headers or {})

    return exchange


def stored(appname: str) -> APIKey:
    return APIKey.objects.live().get(slug=appname)


def test_a_created_key_is_shown_whole_once(ask, create, manage_key):
    """T40: the secret of a creation verifies; T6: no later reply has it."""
    created = create(description="Builds")
    appkey = created.pop("appkey")
    assert created == {"appname": "ci", "description": "Builds", "roles": ["developer"]}
    assert data(ask("get", path("ci"), appkey)) == created
    for reply in (ask("get", path("ci"), manage_key.secret), ask("get", KEYS, manage_key.secret)):
        assert appkey not in reply.content.decode()
        assert "appkey" not in reply.content.decode()
    assert KeySecret.objects.get(key=stored("ci")).digest not in reply.content.decode()


def test_a_created_key_is_named_after_its_appname(create):
    create("CI_Runner 2.0", description="Builds")
    key = stored("CI_Runner 2.0")
    assert (key.name, key.description, key.dialect) == ("CI_Runner 2.0", "Builds", "netography")


def test_a_list_has_every_key_and_leaves_out_what_there_is_not(ask, create, manage_key):
    """T21: these members and no others."""
    create("one", [])
    create("two", ["readonly"], description="Second")
    rows = {row["appname"]: row for row in data(ask("get", KEYS, manage_key.secret))}
    assert rows["one"] == {"appname": "one", "description": "", "roles": []}
    assert rows["two"] == {"appname": "two", "description": "Second", "roles": ["readonly"]}
    assert rows["management"]["roles"] == []


def test_a_list_costs_the_same_however_many_keys(
    ask, create, manage_key, django_assert_max_num_queries
):
    for number in range(5):
        create(f"key-{number}")
    with django_assert_max_num_queries(30):
        assert len(data(ask("get", KEYS, manage_key.secret))) == 6


@pytest.mark.parametrize(
    "appname",
    ["ci", "CI", "My_App", "build.agent~1", "a b", "-dash-", "me@acme", "a+b", "9", "regen"],
)
def test_an_appname_survives_the_path(ask, create, manage_key, appname):
    """T10 in passing: a name of any permitted form finds exactly its own key."""
    create(appname)
    assert data(ask("get", path(appname), manage_key.secret))["appname"] == appname
    assert data(ask("get", path(appname) + "/", manage_key.secret))["appname"] == appname
    assert "appkey" in data(ask("put", path(appname, "/regen"), manage_key.secret, {}))
    assert ask("delete", path(appname), manage_key.secret).status_code == 204
    assert not APIKey.objects.live().filter(slug=appname).exists()


def test_appnames_that_differ_in_case_are_two(create):
    create("ci", description="lower")
    create("CI", description="upper")
    assert (stored("ci").description, stored("CI").description) == ("lower", "upper")


@pytest.mark.parametrize(
    "appname",
    [
        "",
        " ",
        " ci",
        "ci ",
        "a/b",
        "..",
        ".",
        "ci\n",
        "a\tb",
        "ключ",
        "x" * 64,
        "a\x00b",
        None,
        5,
        [],
    ],
)
def test_an_appname_that_cannot_be_kept_is_refused(ask, manage_key, appname):
    """What is stored is what was said, or nothing is."""
    response = ask("post", KEYS, manage_key.secret, {"appname": appname, "roles": []})
    assert refusal(response, 400).startswith("appname: ")
    assert APIKey.objects.count() == 1


def test_an_appname_is_taken_once(ask, create, manage_key):
    create("ci", description="first")
    response = ask("post", KEYS, manage_key.secret, {"appname": "ci", "roles": []})
    assert refusal(response, 409) == "An API key with this appname exists already."
    assert stored("ci").description == "first"


def test_an_appname_is_free_again_after_its_key_is_deleted(ask, create, manage_key):
    first = create("ci")
    assert ask("delete", path("ci"), manage_key.secret).status_code == 204
    second = create("ci")
    assert first["appkey"] != second["appkey"]
    assert refusal(ask("get", KEYS, first["appkey"]), 401)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"appname": "ci"}, "roles"),
        ({"roles": []}, "appname"),
        ({"appname": "ci", "roles": "admin"}, "roles"),
        ({"appname": "ci", "roles": None}, "roles"),
        ({"appname": "ci", "roles": ["admin", "developer"]}, "roles"),
        ({"appname": "ci", "roles": ["nobody"]}, "roles"),
        ({"appname": "ci", "roles": ["Admin"]}, "roles"),
        ({"appname": "ci", "roles": [1]}, "roles"),
        ({"appname": "ci", "roles": [["admin"]]}, "roles"),
        ({"appname": "ci", "roles": ["a\x00"]}, "roles"),
        ({"appname": "ci", "roles": [], "description": None}, "description"),
        ({"appname": "ci", "roles": [], "description": "x" * 501}, "description"),
        ({"appname": "ci", "roles": [], "description": 5}, "description"),
    ],
)
def test_a_wrong_body_is_refused_naming_the_field(ask, manage_key, body, field):
    message = refusal(ask("post", KEYS, manage_key.secret, body), 400)
    assert field in message
    assert APIKey.objects.count() == 1


def test_an_unknown_role_is_refused_naming_the_known(ask, manage_key, other):
    services.create_role(actor=policy.OPERATOR, organization=other, name="theirs")
    body = {"appname": "ci", "roles": ["theirs"]}
    message = refusal(ask("post", KEYS, manage_key.secret, body), 400)
    assert "admin, developer, readonly" in message


def test_a_role_of_the_organization_is_followed(ask, acme, manage_key, create):
    scope = services.create_scope(actor=policy.OPERATOR, organization=acme, code="orders:read")
    services.create_role(
        actor=policy.OPERATOR, organization=acme, name="Order desk", scopes=[scope]
    )
    body = {"appname": "orders", "roles": ["Order desk"]}
    refused = ask("post", KEYS, manage_key.secret, body)
    assert "orders:read" in refusal(refused, 403)  # the management key does not hold it
    owned = services.issue_key(
        actor=policy.OPERATOR, organization=acme, name="All", scopes=[*Scope.objects.all()]
    )
    assert data(ask("post", KEYS, owned.secret, body), 201)["roles"] == ["Order desk"]


def test_a_put_replaces_all_there_is(ask, create, manage_key):
    create("ci", description="Builds")
    changed = data(ask("put", path("ci"), manage_key.secret, {"roles": ["readonly"]}))
    assert changed == {"appname": "ci", "description": "", "roles": ["readonly"]}
    changed = data(ask("put", path("ci"), manage_key.secret, {"description": "Nightly"}))
    assert changed == {"appname": "ci", "description": "Nightly", "roles": []}
    assert stored("ci").scope_codes == []


def test_a_put_without_a_role_takes_listed_scopes_too(ask, acme, owner, manage_key):
    services.issue_key(
        actor=owner, organization=acme, name="Old", slug="old", scopes=["READ", "CREATE"]
    )
    ask("put", path("old"), manage_key.secret, {"description": "x", "roles": []})
    assert stored("old").scope_codes == []


def test_a_put_of_what_was_read_changes_nothing(ask, create, manage_key, exchange):
    appkey = create("ci", description="Builds")["appkey"]
    exchange("ci", appkey)
    read = data(ask("get", path("ci"), manage_key.secret))
    assert "last_login" in read
    events = AuditEvent.objects.count()
    assert data(ask("put", path("ci"), manage_key.secret, read)) == read
    assert AuditEvent.objects.count() == events


def test_a_put_keeps_the_appname(ask, create, manage_key):
    create("ci")
    response = ask("put", path("ci"), manage_key.secret, {"appname": "cd", "roles": []})
    assert "appname" in refusal(response, 400)
    assert stored("ci").role.name == "developer"


def test_a_put_of_nothing_is_refused(ask, create, manage_key):
    create("ci", description="Builds")
    refusal(ask("put", path("ci"), manage_key.secret), 400)
    assert stored("ci").description == "Builds"


def test_a_role_said_again_need_not_be_ones_own_to_give(ask, key, create, acme, developer):
    services.issue_key(
        actor=policy.OPERATOR,
        organization=acme,
        owner=developer,
        name="Strong",
        slug="strong",
        role=Role.objects.get(name="admin"),
    )
    body = {"description": "Renamed", "roles": ["admin"]}
    assert data(ask("put", path("strong"), key.secret, body))["description"] == "Renamed"
    create("weak", ["readonly"])
    mine = services.issue_key(
        actor=developer, organization=acme, name="Mine", slug="mine", scopes=["READ"]
    )
    refusal(ask("put", path("mine"), key.secret, body), 403)
    assert mine.role is None


def test_a_regeneration_ends_the_old_key_at_once(ask, create, manage_key, exchange):
    old = create("ci", description="Builds")["appkey"]
    token = exchange("ci", old).json()["access_token"]
    regenerated = data(ask("put", path("ci", "/regen"), manage_key.secret, {}))
    new = regenerated.pop("appkey")
    assert regenerated.pop("last_ip") == "127.0.0.1"
    assert regenerated.pop("last_login") == pytest.approx(time.time(), abs=30)
    assert regenerated == {"appname": "ci", "description": "Builds", "roles": ["developer"]}
    for dead in (old, token):
        refusal(ask("get", KEYS, dead), 401)
    refusal(exchange("ci", old), 401)
    assert exchange("ci", new).status_code == 200


def test_a_regeneration_changes_what_it_says_and_keeps_the_rest(ask, create, manage_key):
    create("ci", description="Builds")
    said = {"roles": ["readonly"]}
    changed = data(ask("put", path("ci", "/regen"), manage_key.secret, said))
    assert (changed["description"], changed["roles"]) == ("Builds", ["readonly"])
    said = {"description": ""}
    changed = data(ask("put", path("ci", "/regen"), manage_key.secret, said))
    assert (changed["description"], changed["roles"]) == ("", ["readonly"])


def test_a_regeneration_that_says_nonsense_regenerates_nothing(ask, create, manage_key):
    appkey = create("ci", ["admin"])["appkey"]
    refusal(ask("put", path("ci", "/regen"), manage_key.secret, {"roles": ["nobody"]}), 400)
    assert ask("get", KEYS, appkey).status_code == 200


def test_nobody_regenerates_another_persons_key(ask, key, manage_key):
    """Whoever sees a secret can act as the key's owner; MANAGE does not reach so far."""
    refusal(ask("put", path(key.slug, "/regen"), manage_key.secret, {"description": "x"}), 403)
    assert stored(key.slug).description == ""
    assert ask("get", KEYS, key.secret).status_code == 200


def test_a_deleted_key_is_refused_and_gone(ask, create, manage_key):
    appkey = create("ci")["appkey"]
    response = ask("delete", path("ci"), manage_key.secret)
    assert (response.status_code, response.content) == (204, b"")
    assert "Content-Type" not in response
    refusal(ask("get", KEYS, appkey), 401)
    refusal(ask("get", path("ci"), manage_key.secret), 404)
    refusal(ask("delete", path("ci"), manage_key.secret), 404)


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [
        ("get", "", None),
        ("put", "", {"roles": []}),
        ("put", "/regen", {}),
        ("delete", "", None),
    ],
)
@pytest.mark.parametrize("appname", ["elsewhere", "nowhere", "%00", "%ff", "a%2Fb", "é"])
def test_another_organizations_key_is_not_there(
    ask, manage_key, strangers_key, method, action, body, appname
):
    """T10: theirs and nobody's get the same answer."""
    response = ask(method, f"{KEYS}/{appname}{action}", manage_key.secret, body)
    assert refusal(response, 404) == "Not found."
    strangers_key.refresh_from_db()
    assert strangers_key.revoked_at is None
    assert strangers_key.secrets.count() == 1


@pytest.mark.parametrize(("method", "action"), [("put", ""), ("put", "/regen"), ("delete", "")])
def test_a_key_that_only_reads_changes_nothing(ask, key, read_only_key, method, action):
    refusal(ask(method, path(key.slug, action), read_only_key.secret, {"roles": []}), 403)
    refusal(ask("post", KEYS, read_only_key.secret, {"appname": "x", "roles": []}), 403)
    assert ask("get", path(key.slug), read_only_key.secret).status_code == 200


@pytest.mark.parametrize("secret", [None, "", "neto_nonsense", "a.b.c", "eyJ.eyJ.x", "x" * 9000])
@pytest.mark.parametrize(
    "more",
    [{}, {"user": 1}, {"owner": 1}, {"organization_id": 1}, {"creator": 1}, {"workspaceID": "x"}],
)
def test_whoever_has_no_key_creates_none(ask, acme, secret, more):
    """T1: whatever the body says of owners."""
    response = ask("post", KEYS, secret, {"appname": "ci", "roles": ["admin"], **more})
    refusal(response, 401)
    assert response["WWW-Authenticate"]
    assert not APIKey.objects.exists()


@pytest.mark.parametrize("field", ["user", "owner", "organization_id", "creator", "organization"])
def test_what_a_body_says_of_owners_changes_nothing(ask, key, other, stranger, field):
    """T1: a key is its caller's owner's, in its caller's organization."""
    body = {"appname": "ci", "roles": ["readonly"], field: stranger.pk}
    data(ask("post", KEYS, key.secret, body), 201)
    assert (stored("ci").owner, stored("ci").organization) == (key.owner, key.organization)


def test_a_key_gives_no_more_than_it_holds(ask, key):
    """T3, T5: nor can it raise itself."""
    refusal(ask("post", KEYS, key.secret, {"appname": "x", "roles": ["admin"]}), 403)
    refusal(ask("put", path(key.slug), key.secret, {"roles": ["developer"]}), 403)
    refusal(ask("put", path(key.slug, "/regen"), key.secret, {"roles": ["admin"]}), 403)
    assert stored(key.slug).role is None


def test_the_exchange_gives_a_token_to_call_with(ask, create, exchange):
    appkey = create("ci", ["admin"], description="")["appkey"]
    reply = exchange("ci", appkey)
    assert reply.status_code == 200
    assert reply["Cache-Control"] == "no-store"
    body = reply.json()
    assert set(body) == {
        "access_token", "expires_in", "refresh_token", "refresh_expires_in", "token_type",
        "not-before-policy", "session-state", "scope",
    }  # fmt: skip
    assert (body["token_type"], body["not-before-policy"]) == ("bearer", 0)
    assert (body["expires_in"], body["refresh_expires_in"]) == (86400, 86400)
    assert body["scope"] == "CREATE DELETE MANAGE READ UPDATE"
    assert appkey not in reply.content.decode()
    rows = data(ask("get", KEYS, body["access_token"]))
    assert {row["appname"] for row in rows} == {"ci", "management"}


def test_a_login_is_told_from_then_on(ask, create, exchange, manage_key, time_machine):
    appkey = create("ci")["appkey"]
    ask("get", KEYS, appkey)  # use, but no login
    assert "last_login" not in data(ask("get", path("ci"), manage_key.secret))
    time_machine.move_to(NOW, tick=False)
    exchange("ci", appkey)
    shown = data(ask("get", path("ci"), manage_key.secret))
    assert (shown["last_login"], shown["last_ip"]) == (int(NOW.timestamp()), "127.0.0.1")


def test_a_refresh_gives_the_next_tokens_of_the_session(ask, create, exchange):
    first = exchange("ci", create("ci", ["admin"])["appkey"]).json()
    reply = ask("post", REFRESH, data=f"refresh_token={first['refresh_token']}", content_type=FORM)
    assert reply.status_code == 200, reply.content
    assert set(reply.json()) == set(first)
    assert reply.json()["session-state"] == first["session-state"]
    assert len(data(ask("get", KEYS, reply.json()["access_token"]))) == 2


@pytest.mark.parametrize(
    "form", ["", "refresh_token=", "refresh_token=x", "refresh_token=a.b.c", "token=x",
             "refresh_token=%00", "refresh_token=%ff", "refresh_token=" + "x" * 5000],
)  # fmt: skip
def test_a_wrong_refresh_token_is_a_bad_request(ask, acme, form):
    refusal(ask("post", REFRESH, data=form, content_type=FORM), 400)


def test_each_token_is_good_for_one_thing(ask, create, exchange):
    tokens = exchange("ci", create("ci")["appkey"]).json()
    refusal(ask("get", KEYS, tokens["refresh_token"]), 401)
    form = f"refresh_token={tokens['access_token']}"
    refusal(ask("post", REFRESH, data=form, content_type=FORM), 400)


def test_a_removed_key_is_refreshed_no_more(ask, create, exchange, manage_key):
    tokens = exchange("ci", create("ci")["appkey"]).json()
    ask("delete", path("ci"), manage_key.secret)
    form = f"refresh_token={tokens['refresh_token']}"
    refusal(ask("post", REFRESH, data=form, content_type=FORM), 400)
    refusal(ask("get", KEYS, tokens["access_token"]), 401)


@pytest.mark.parametrize("body", [{}, {"jwt": None}, {"jwt": 5}, {"jwt": ""}, {"jwt": ["x"]}, []])
def test_an_exchange_without_a_token_is_a_bad_request(ask, db, body):
    refusal(ask("post", TOKEN, body=body), 400)


@pytest.mark.parametrize(
    "claims",
    [
        {"appname": "other"},
        {"appname": 5},
        {"shortname": "other"},
        {"shortname": "nobody"},
        {"shortname": "\ud800"},
        {"shortname": "a\x00"},
        {"shortname": ["acme"]},
        {"appkey": "neto_nonsense"},
        {"appkey": None},
        {"iat": None},
        {"iat": 0},
        {"iat": 10**400},
        {"iat": float("nan")},
        {"iat": "now"},
        {"exp": 1},
        {"exp": float("inf")},
        {"nbf": []},
    ],
)
def test_a_wrong_request_token_gets_one_answer(exchange, create, other, claims):
    appkey = create("ci")["appkey"]
    said = {"appname": "ci", "appkey": appkey} | claims
    response = exchange(**said)
    assert refusal(response, 401).startswith("The request token was refused")


def test_an_exchange_does_not_mind_an_old_token_beside_it(create, exchange):
    """Clients keep sending the header of a session that is over."""
    appkey = create("ci")["appkey"]
    assert exchange("ci", appkey, headers={"Authorization": "Bearer a.b.c"}).status_code == 200


def test_a_password_signs_nobody_in(ask, owner):
    """The pages ask for a second factor; here there is none to ask for."""
    form = "username=owner%40acme.example&password=correct+horse+battery+staple"
    response = ask("post", PASSWORD, data=form, content_type=FORM)
    assert "second factor" in refusal(response, 401)
    assert response["WWW-Authenticate"]
    owner.refresh_from_db()
    assert owner.last_login is None


@pytest.mark.parametrize("header", ["X-API-Key", "PRIVATE-TOKEN", "Authorization"])
def test_a_credential_is_judged_alike_in_every_header(client, create, exchange, header):
    """T19, T32: one authenticator, however a key or its token is presented."""
    appkey = create("ci")["appkey"]
    token = exchange("ci", appkey).json()["access_token"]
    for credential, status in ((appkey, 200), (token, 200), (appkey[:-1] + "!", 401)):
        value = f"Bearer {credential}" if header == "Authorization" else credential
        assert client.get(KEYS, headers={header: value}).status_code == status


@pytest.mark.parametrize("prefix", ["", "/netography"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_path_answers_with_and_without_prefix_and_slash(ask, manage_key, prefix, slash):
    data(ask("get", f"{prefix}{KEYS}{slash}", manage_key.secret))
    refusal(ask("post", f"{prefix}{TOKEN}{slash}", body={"jwt": "a.b.c"}), 401)
    refusal(ask("post", f"{prefix}{REFRESH}{slash}", data="", content_type=FORM), 400)
    refusal(ask("post", f"{prefix}{PASSWORD}{slash}"), 401)


@pytest.mark.parametrize(
    "unknown",
    [f"{KEYS}/ci/other", f"{KEYS}/ci/regen/x", f"{TOKEN}/x", "/api/auth/bearer", "/netography/x"],
)
def test_what_is_not_there_is_told_in_the_vendors_words(ask, db, unknown):
    refusal(ask("get", unknown), 404)


@pytest.mark.parametrize(
    ("method", "where"),
    [("patch", KEYS), ("delete", KEYS), ("post", f"{KEYS}/ci"), ("get", f"{KEYS}/ci/regen")],
)
def test_a_wrong_method_is_told_in_the_vendors_words(ask, manage_key, method, where):
    refusal(ask(method, where, manage_key.secret), 405)


def test_what_cannot_be_read_is_told_in_the_vendors_words(ask, manage_key, settings):
    secret = manage_key.secret
    refusal(ask("post", KEYS, secret, "{"), 400)
    refusal(ask("post", KEYS, secret, "[]"), 400)
    refusal(ask("post", KEYS, secret, "[" * 30000), 400)
    refusal(ask("post", KEYS, secret, data="a=b", content_type=FORM), 415)
    refusal(ask("post", REFRESH, body={"refresh_token": "x"}), 415)
    settings.API_MAX_BODY_BYTES = 10
    refusal(ask("post", KEYS, secret, {"appname": "ci", "roles": []}), 413)
    refusal(ask("post", REFRESH, data="refresh_token=x", content_type=FORM), 413)


def test_too_many_exchanges_are_told_when_to_come_back(ask, db, settings):
    """Guessing is slowed down where nobody is known yet."""
    settings.API_RATE = "2/minute"
    for _attempt in range(2):
        refusal(ask("post", TOKEN, body={"jwt": "a.b.c"}), 401)
    response = ask("post", TOKEN, body={"jwt": "a.b.c"})
    refusal(response, 429)
    assert int(response["Retry-After"]) >= 1


def test_an_expired_key_tells_nothing_more_than_a_wrong_one(ask, create, manage_key):
    appkey = create("ci")["appkey"]
    APIKey.objects.filter(slug="ci").update(expires_at=timezone.now())
    assert ask("get", KEYS, appkey).content == ask("get", KEYS, "neto_nonsense").content
