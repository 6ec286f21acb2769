"""By what the native dialect knows who calls."""

import pytest
from django.utils import timezone

from keys import policy, services
from keys.models import APIKey, Membership
from tests.api.native.wire import KEYS, refused


@pytest.mark.parametrize(
    "headers",
    [
        lambda secret: {"Authorization": f"Bearer {secret}"},
        lambda secret: {"Authorization": f"bearer  {secret}"},
        lambda secret: {"X-API-Key": secret},
        lambda secret: {"PRIVATE-TOKEN": secret},
    ],
    ids=["bearer", "lower case", "x-api-key", "private-token"],
)
def test_a_key_decides_the_same_however_it_is_presented(ask, read_only_key, body, headers):
    """T19, T32."""
    presented = headers(read_only_key.secret)
    assert ask("get", KEYS, headers=presented).status_code == 200
    assert ask("post", KEYS, body=body, headers=presented).status_code == 403
    assert ask("get", KEYS, headers=headers(read_only_key.secret + "x")).status_code == 401


def test_without_a_credential_the_answer_is_401_and_says_how(ask, acme):
    response = ask("get", KEYS)
    assert refused(response, 401) == {}
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_session_is_no_credential_here(client, owner, acme):
    client.force_login(owner)
    assert client.get(KEYS).status_code == 401


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key, owner: services.disable_key(actor=owner, key=key),
        lambda key, owner: services.revoke_key(actor=owner, key=key),
        lambda key, owner: Membership.objects.filter(user=key.owner).delete(),
        lambda key, owner: APIKey.objects.filter(pk=key.pk).update(expires_at=timezone.now()),
        lambda key, owner: services.add_allowed_ip(actor=owner, key=key, network="10.0.0.1"),
        lambda key, owner: services.suspend_organization(
            actor=policy.OPERATOR, organization=key.organization
        ),
    ],
    ids=["disabled", "revoked", "owner gone", "expired", "elsewhere", "suspended"],
)
def test_a_key_that_is_not_good_any_more_is_refused_at_its_next_use(ask, key, owner, spoil):
    """T22: each with the same words, which tell nothing to whoever found the key."""
    assert ask("get", KEYS, key.secret).status_code == 200
    spoil(key, owner)
    answer = ask("get", KEYS, key.secret)
    assert refused(answer, 401) == {}
    assert answer.json()["message"] == "This API key is not valid."
