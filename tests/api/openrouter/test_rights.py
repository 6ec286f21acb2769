"""Who may do what over OpenRouter's wire, and what others learn."""

import re
import uuid

import pytest

from keys import services
from keys.models import APIKey
from tests.api.openrouter.wire import KEY, KEYS, NOT_FOUND, names, refusal


def test_a_native_management_key_works_and_keys_born_here_hold_nothing(create):
    key = APIKey.objects.get(hash=create()["data"]["hash"])
    assert key.dialect == "openrouter"
    assert key.scope_codes == []
    assert key.role is None


@pytest.mark.parametrize("field", ["user", "owner", "organization_id", "workspaceID", "scopes"])
def test_nobody_issues_keys_for_others_by_naming_them(
    field, ask, acme, owner, strangers_key, create
):
    """T1: anonymous, ordinary and foreign callers with owner-like fields get nothing of acme."""
    ordinary = create()["key"]
    before = set(APIKey.objects.values_list("pk", flat=True))
    value = acme.pk if field == "organization_id" else owner.pk
    body = {"name": "Mine", field: value}
    assert ask("post", KEYS, None, body).status_code == 401
    response = ask("post", KEYS, ordinary, body)
    assert response.status_code == 403
    assert refusal(response) == "Only management keys can perform this operation"
    assert set(APIKey.objects.values_list("pk", flat=True)) == before
    # What nobody knows is ignored: the key is the caller's, with nothing of acme.
    assert ask("post", KEYS, strangers_key.secret, body).status_code in (201, 403)
    assert set(acme.api_keys.values_list("pk", flat=True)) <= before


def test_nobody_issues_keys_into_another_organization(ask, acme, owner, other, stranger):
    """T1, T10: a foreign workspace or person is refused just as one that does not exist."""
    foreign = services.issue_key(
        actor=stranger, organization=other, name="M", scopes=["MANAGE", "CREATE"], owner=None
    )
    workspace = acme.workspaces.get()
    refusals = []
    for body in (
        {"workspace_id": str(workspace.pk)},
        {"workspace_id": str(uuid.uuid4())},
        {"creator_user_id": str(owner.pk)},
        {"creator_user_id": "987654321"},
    ):
        response = ask("post", KEYS, foreign.secret, {"name": "Mine", **body})
        assert response.status_code == 400
        refusals.append(re.sub(r'"[^"]*"', "", refusal(response)))
    assert refusals[0] == refusals[1]
    assert refusals[2] == refusals[3]
    assert APIKey.objects.filter(name="Mine").count() == 0


@pytest.mark.parametrize(
    ("method", "body"), [("get", None), ("patch", {"name": "x"}), ("delete", None)]
)
def test_an_ordinary_key_gets_401_everywhere_but_on_post(method, body, ask, create):
    made = create()
    paths = [f"{KEYS}/{made['data']['hash']}"] + ([KEYS] if method == "get" else [])
    for path in paths:
        response = ask(method, path, made["key"], body)
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Bearer")
        assert refusal(response) == "Only management keys can perform this operation"
    assert APIKey.objects.get(hash=made["data"]["hash"]).name == "Worker"


def test_a_key_of_another_dialect_may_what_its_scopes_allow(ask, read_only_key, key, create):
    """It sees the keys of its owner; the rest it is refused as any ordinary key is."""
    made = create()["data"]["hash"]
    assert names(ask("get", KEYS, read_only_key.secret)) == ["Backend", "Dashboard"]
    assert ask("get", f"{KEYS}/{made}", read_only_key.secret).json() == NOT_FOUND
    assert ask("get", f"{KEYS}/{key.hash}", read_only_key.secret).status_code == 200
    assert ask("delete", f"{KEYS}/{key.hash}", read_only_key.secret).status_code == 401
    assert ask("post", KEYS, read_only_key.secret, {"name": "x"}).status_code == 403


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key", "PRIVATE-TOKEN"])
def test_the_decision_is_the_same_however_a_key_is_presented(header, ask, manage_key, create):
    """T19."""
    for secret, status in ((manage_key.secret, 200), (create()["key"], 401), ("nonsense", 401)):
        value = f"Bearer {secret}" if header == "Authorization" else secret
        assert ask("get", KEYS, headers={header: value}).status_code == status


def test_without_or_with_a_wrong_key_it_is_401_in_the_vendors_words(ask, db):
    assert refusal(ask("get", KEY)) == "Missing Authentication header"
    assert refusal(ask("get", KEY, "sk-or-v1-" + "0" * 64)) == "User not found."
    basic = ask("get", KEY, headers={"Authorization": "Basic dTpw"})
    assert basic.status_code == 401


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_another_organizations_hash_is_as_missing(method, ask, manage_key, strangers_key):
    """T10: one answer for foreign, unknown, odd and revoked hashes, and for management keys."""
    body = {"name": "Stolen"} if method == "patch" else None
    odd = [
        "0" * 64,
        "x",
        "0" * 5000,
        "%00",
        "..%2F",
        "%F0%9F%94%91",
        "A" * 64,
        "1" * 63,
        "' OR 1=1",
    ]
    known = [strangers_key.hash, manage_key.hash, strangers_key.identifier, str(strangers_key.pk)]
    for each in [*known, *odd]:
        response = ask(method, f"{KEYS}/{each}", manage_key.secret, body)
        assert response.status_code == 404
        assert response.json() == NOT_FOUND
    strangers_key.refresh_from_db()
    assert (strangers_key.name, strangers_key.revoked_at) == ("Elsewhere", None)
