"""A key of somebody who is gone is not enabled: it would be theirs again as soon as they are."""

import json

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from keys import policy, services
from keys.models import APIKey
from keys.models.keys import Status
from keys.networks import parse_address
from keys.services import bulk
from keys.verification import Code
from tests.conftest import join
from tests.key_pages import words_of

HERE = parse_address("192.0.2.7")


def code(key) -> Code:
    return services.verify_key(secret=key.secret, address=HERE).code


@pytest.fixture
def left(acme, admin, developer, key):
    """A key whose owner was removed."""
    services.remove_member(actor=admin, membership=acme.memberships.get(user=developer))
    return key


def is_disabled(key) -> bool:
    return APIKey.objects.get(pk=key.pk).status is Status.DISABLED


@pytest.mark.parametrize("name", ["owner", "admin", "superuser", "manage_key"])
def test_nobody_enables_a_key_of_who_left(name, left, request):
    actor = request.getfixturevalue(name)
    with pytest.raises(ValidationError, match="Hand it over first") as refusal:
        services.enable_key(actor=actor, key=left)
    assert set(refusal.value.message_dict) == {"disabled"}
    with pytest.raises(ValidationError, match="Hand it over first"):
        services.update_key(actor=policy.OPERATOR, key=left, name="Renamed", disabled=False)
    assert is_disabled(left)
    assert APIKey.objects.get(pk=left.pk).name == left.name


def test_so_it_does_not_work_when_they_are_back(acme, admin, developer, left):
    with pytest.raises(ValidationError):
        services.enable_key(actor=admin, key=left)
    join(acme, developer, "developer", is_told=True)
    assert code(left) is Code.DISABLED
    services.enable_key(actor=admin, key=left)
    assert code(left) is Code.VALID


def test_nor_one_of_who_may_not_sign_in(admin, developer, key):
    services.disable_key(actor=developer, key=key)
    services.update_person(actor=policy.OPERATOR, person=developer, is_active=False)
    with pytest.raises(ValidationError, match="Hand it over first"):
        services.enable_key(actor=admin, key=key)
    services.update_person(actor=policy.OPERATOR, person=developer, is_active=True)
    services.enable_key(actor=admin, key=key)
    assert code(key) is Code.VALID


def test_what_else_it_is_may_be_changed(admin, left):
    services.update_key(actor=admin, key=left, name="Left behind", disabled=True)
    assert APIKey.objects.get(pk=left.pk).name == "Left behind"


def test_handed_over_it_is_enabled_as_any_other(admin, left):
    given = services.hand_over_key(actor=admin, key=left, owner=None)
    assert code(given) is Code.DISABLED
    services.enable_key(actor=admin, key=given)
    assert code(given) is Code.VALID


def test_its_page_says_so_and_leads_to_the_hand_over(client, admin, left):
    client.force_login(admin)
    arguments = ["acme", left.identifier]
    enable, hand_over = (
        reverse(f"keys:{name}", args=arguments) for name in ("enable", "hand-over")
    )
    page = client.get(enable)
    assert "Hand it over first" in words_of(page)
    assert "use it again at once" not in words_of(page)
    assert hand_over in page.text
    answer = client.post(enable, follow=True)
    assert "works again" not in words_of(answer)
    assert is_disabled(left)
    for name in ("detail", "danger"):
        page = client.get(reverse(f"keys:{name}", args=arguments)).text
        assert hand_over in page
        assert enable not in page


def test_its_page_offers_to_hand_it_over_or_to_revoke_it(client, admin, left):
    client.force_login(admin)
    page = client.get(reverse("keys:detail", args=["acme", left.identifier])).text
    found = page.partition('id="findings"')[2].partition("</ul>")[0]
    assert "Owner left" in found
    for name in ("hand-over", "revoke"):
        assert reverse(f"keys:{name}", args=["acme", left.identifier]) in found


def test_among_many_keys_it_is_left_alone_as_foreseen(acme, admin, left, manage_key):
    services.disable_key(actor=admin, key=manage_key)
    chosen = {"organization": acme, "actor": admin, "change": bulk.Enable()}
    both = [left.identifier, manage_key.identifier]
    plan = bulk.plan_change(identifiers=both, **chosen)
    assert [item.key for item in plan.changing] == [manage_key]
    [skipped] = plan.skipped
    assert "Hand it over first" in skipped.reason
    bulk.change_keys(seen={item.key.identifier: item.fingerprint for item in plan.items}, **chosen)
    assert is_disabled(left)
    assert not is_disabled(manage_key)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/api-keys/{key.pk}/enable", {}),
        ("PATCH", "/api/v1/keys/{key.hash}", {"disabled": False}),
    ],
)
def test_programs_are_told_the_same(client, manage_key, left, method, path, body):
    answer = client.generic(
        method,
        path.format(key=left),
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {manage_key.secret}"},
    )
    assert answer.status_code in (400, 422), answer.text
    assert "Hand it over first" in answer.text
    assert is_disabled(left)
