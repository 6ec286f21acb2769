"""Policy and approvals over the native API, and how the other dialects refuse."""

from datetime import timedelta

import pytest
from django.utils import timezone

from keys import services
from keys.models import ApprovalRequest, Role
from keys.rules import RoleTerms

pytestmark = pytest.mark.django_db

KEYS, REQUESTS = "/v1/api-keys", "/v1/approval-requests"


@pytest.fixture
def ask(client):
    """Call the API with a key and a JSON body."""

    def call(method, path, key, body=None):
        return getattr(client, method)(
            path,
            body,
            content_type="application/json",
            headers={"Authorization": f"Bearer {key.secret}"},
        )

    return call


@pytest.fixture
def owners_key(acme, owner):
    """A key that acts for the owner."""
    return services.issue_key(
        actor=owner, organization=acme, name="Mine", scopes=["READ", "CREATE", "DELETE", "MANAGE"]
    )


@pytest.fixture
def strict(acme, owner, key):
    """Developers need approval for DELETE."""
    developer = Role.objects.get(organization=None, name="developer")
    terms = RoleTerms(developer, approval_scopes=frozenset({"DELETE"}))
    services.update_policy(actor=owner, organization=acme, roles=[terms])


@pytest.fixture
def wanted(acme):
    return {"key_name": "Cleaner", "key_scope": ["DELETE"], "organization_id": acme.pk}


class TestPolicy:
    """Read by members, changed by who manages."""

    def test_it_is_read_and_changed(self, ask, acme, key, manage_key):
        path = f"/v1/organizations/{acme.pk}/policy"
        before = ask("get", path, key).json()
        assert before == {
            "person_key_days": None,
            "shared_key_days": None,
            "confined_scopes": [],
            "name_pattern": "",
            "idle_days": None,
            "requires_second_factor": False,
            "leak_action": "notify",
            "two_person_rule": False,
            "roles": [],
        }
        terms = {
            "role": "developer",
            "key_scope": ["READ"],
            "approval_scope": ["UPDATE", "DELETE"],
            "approval_days": 30,
        }
        changes = {"person_key_days": 90, "confined_scopes": ["MANAGE"], "roles": [terms]}
        assert ask("patch", path, key, changes).status_code == 403
        changed = ask("patch", path, manage_key, changes)
        assert changed.status_code == 200, changed.content
        terms["approval_scope"] = ["DELETE", "UPDATE"]
        assert changed.json() == {**before, **changes, "roles": [terms]}
        assert ask("get", path, key).json() == changed.json()

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"person_key_days": 0}, "person_key_days"),
            ({"person_key_days": "90"}, "person_key_days"),
            ({"name_pattern": "****"}, "name_pattern"),
            ({"confined_scopes": ["NOTHING"]}, "confined_scopes"),
            ({"confined_scopes": "READ"}, "confined_scopes"),
            ({"roles": [{"key_scope": ["READ"]}]}, "roles.0.role"),
            ({"roles": [{"role": "nobody"}]}, "roles.0.role"),
            ({"roles": [{"role": "developer", "key_scope": ["NO"]}]}, "roles"),
            ({"leak_action": None}, "leak_action"),
            ({"nothing": 1}, "nothing"),
        ],
    )
    def test_nonsense_is_named(self, ask, acme, manage_key, body, field):
        path = f"/v1/organizations/{acme.pk}/policy"
        for response in (
            ask("patch", path, manage_key, body),
            ask("post", f"{path}/preview", manage_key, body),
        ):
            assert response.status_code == 400, response.content
            assert list(response.json()["errors"]) == [field]

    def test_it_is_seen_beforehand_which_keys_would_break_it(
        self, ask, acme, key, manage_key, time_machine
    ):
        path = f"/v1/organizations/{acme.pk}/policy"
        before = ask("get", path, manage_key).json()
        changes = {"person_key_days": 90, "name_pattern": "*end", "idle_days": 30}
        assert ask("post", f"{path}/preview", key, changes).status_code == 403
        time_machine.move_to(timezone.now() + timedelta(days=60))
        seen = ask("post", f"{path}/preview", manage_key, changes)
        assert seen.status_code == 200, seen.content
        backend = {"id": key.pk, "key_name": "Backend"}
        management = {"id": manage_key.pk, "key_name": "Management"}
        assert seen.json() == {
            "breaches": [
                {"rule": "lifetime", "broken_by": {"count": 1, "keys": [backend]}},
                {"rule": "name", "broken_by": {"count": 1, "keys": [management]}},
            ],
            "idle": {"count": 1, "keys": [backend]},
        }
        assert ask("get", path, manage_key).json() == before

    def test_a_broken_rule_is_told_by_its_name_on_the_wire(self, ask, acme, owner, key):
        services.update_policy(
            actor=owner, organization=acme, name_pattern="prod-*", person_key_days=9
        )
        body = {"key_name": "x", "key_scope": ["READ"], "organization_id": acme.pk}
        errors = ask("post", KEYS, key, body).json()["errors"]
        assert errors.keys() == {"key_name", "expires_at"}


class TestRefusals:
    """Nothing is written, and programs are told what to do."""

    def test_the_native_dialect_has_a_code_for_it(self, ask, acme, key, strict, wanted):
        response = ask("post", KEYS, key, wanted)
        assert response.status_code == 403
        assert response.json()["code"] == "approval_required"
        assert "giving DELETE to a key needs approval" in response.json()["message"]
        assert acme.api_keys.count() == 1

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/v3/account/apiKey", {"note": "New"}, 403),
            ("/api/v1/api-keys", {"appname": "new", "roles": ["developer"]}, 403),
            ("/api/v1/keys", {"name": "New"}, 403),
            ("/api/account/api-keys", {"memo": "New"}, 403),
        ],
    )
    def test_the_others_refuse_in_their_words(self, ask, acme, owner, key, path, body, status):
        developer = Role.objects.get(organization=None, name="developer")
        terms = RoleTerms(developer, approval_scopes=frozenset({"READ"}), approval_days=1)
        services.update_policy(actor=owner, organization=acme, roles=[terms])
        response = ask("post", path, key, body)
        assert response.status_code == status, response.content
        assert b"approval" in response.content
        assert acme.api_keys.count() == 1


class TestRequests:
    """Asked for, decided on and used by programs that act for people."""

    def test_from_the_question_to_the_secret(self, ask, key, owners_key, strict, wanted):
        asked = ask("post", REQUESTS, key, {"reason": "Old files.", "key": wanted})
        assert asked.status_code == 201, asked.content
        row = asked.json()
        assert (row["kind"], row["status"], row["terms"]["name"]) == ("issue", "pending", "Cleaner")
        path = f"{REQUESTS}/{row['id']}"
        assert ask("post", f"{path}/issue", key, {}).status_code == 400
        assert ask("post", f"{path}/approve", key, {}).status_code == 403
        [waiting] = ask("get", f"{REQUESTS}?status=pending", owners_key).json()
        assert waiting == row
        approved = ask("post", f"{path}/approve", owners_key, {"note": "Fine."})
        assert approved.json()["status"] == "approved", approved.content
        made = ask("post", f"{path}/issue", key, {})
        assert made.status_code == 201, made.content
        assert services.authenticate_key(secret=made.json()["api_key"], address=None).is_valid
        assert ask("get", path, key).json()["key_id"] == made.json()["id"]
        assert made.json()["api_key"] not in ask("get", path, owners_key).content.decode()

    def test_more_for_a_key(self, ask, acme, developer, key, owners_key, strict, read_only_key):
        changes = {"key_scope": ["READ", "DELETE"]}
        body = {"reason": "It cleans.", "key_id": read_only_key.pk, "changes": changes}
        row = ask("post", REQUESTS, key, body).json()
        assert row["kind"] == "widen"
        done = ask("post", f"{REQUESTS}/{row['id']}/approve", owners_key, {}).json()
        assert done["status"] == "done"
        assert sorted(acme.api_keys.get(pk=read_only_key.pk).scope_codes) == ["DELETE", "READ"]

    def test_who_approves_may_demand_addresses(self, ask, key, owners_key, strict, wanted):
        wanted = {**wanted, "allowed_ips": ["192.0.2.0/24"]}
        row = ask("post", REQUESTS, key, {"reason": "Old files.", "key": wanted}).json()
        path = f"{REQUESTS}/{row['id']}/approve"
        for wrong in (["198.51.100.7"], ["nowhere"], "192.0.2.7", [{"deny": True}], [7]):
            refused = ask("post", path, owners_key, {"allowed_ips": wrong})
            assert refused.status_code == 400, refused.content
            assert all(each.startswith("allowed_ips") for each in refused.json()["errors"])
        approved = ask("post", path, owners_key, {"allowed_ips": ["192.0.2.7"]}).json()
        assert [each["network"] for each in approved["approved_terms"]["allowed_ips"]] == [
            "192.0.2.7"
        ]
        made = ask("post", f"{REQUESTS}/{row['id']}/issue", key, {}).json()
        assert [each["network"] for each in made["allowed_ips"]] == ["192.0.2.7"]

    def test_it_is_denied_with_a_note(self, ask, key, owners_key, strict, wanted):
        row = ask("post", REQUESTS, key, {"reason": "Old files.", "key": wanted}).json()
        path = f"{REQUESTS}/{row['id']}"
        assert list(ask("post", f"{path}/deny", owners_key, {}).json()["errors"]) == ["note"]
        denied = ask("post", f"{path}/deny", owners_key, {"note": "Use the other."}).json()
        assert (denied["status"], denied["note"]) == ("denied", "Use the other.")
        assert ask("post", f"{path}/withdraw", key, {}).status_code == 400

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"key": {}}, "reason"),
            ({"reason": "x"}, "key"),
            ({"reason": "x", "key": {}, "key_id": 1}, "key"),
            ({"reason": "x", "key_id": 1}, "key"),
            ({"reason": "x", "key": {"key_name": "x"}}, "key.organization_id"),
            ({"reason": "x", "key": "x"}, "key"),
            ({"reason": "x", "key_id": "1", "changes": {}}, "key_id"),
            ({"reason": 5, "key": {}}, "reason"),
        ],
    )
    def test_nonsense_is_named_and_writes_nothing(self, ask, key, strict, body, field):
        response = ask("post", REQUESTS, key, body)
        assert response.status_code == 400, response.content
        assert field in response.json()["errors"]
        assert not ApprovalRequest.objects.exists()

    def test_a_key_that_nobody_sees_is_not_there(self, ask, key, strict, strangers_key):
        body = {"reason": "x", "key_id": strangers_key.pk, "changes": {"key_name": "x"}}
        assert ask("post", REQUESTS, key, body).status_code == 404
