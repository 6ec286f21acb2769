"""A new secret for a key, the page that shows it, and its first use."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from keys import services
from keys.models import APIKey, KeySecret
from keys.verification import Code
from tests.key_pages import (
    ELSEWHERE,
    HERE,
    HTMX,
    fill,
    listing,
    page_of,
    secret_on,
    sign_in,
    text_of,
    token_of,
)

pytestmark = pytest.mark.django_db


def test_rotation_leaves_the_old_secret_working_for_the_overlap(developer, acme, key):
    """T33: old and new both verify until the overlap is over."""
    client = sign_in(developer)
    form = {"token": token_of(client.get(page_of(key, "rotate"))), "overlap": "1h"}
    response = client.post(page_of(key, "rotate"), form)
    new = secret_on(response)
    assert new != key.secret
    assert "no-store" in response["Cache-Control"]
    for secret in (key.secret, new):
        assert services.verify_key(secret=secret, address=HERE).is_valid
    assert "already shown" in text_of(client.post(page_of(key, "rotate"), form))
    assert KeySecret.objects.filter(key=key).count() == 2


def test_admin_rotates_no_key_of_another_person(admin, acme, key):
    """T7: whoever sees a secret can act as its owner."""
    client = sign_in(admin)
    assert page_of(key, "rotate") not in text_of(client.get(page_of(key)))
    assert client.get(page_of(key, "rotate")).status_code == 403
    assert client.post(page_of(key, "rotate"), {"overlap": "0"}).status_code == 403


@pytest.mark.parametrize("overlap", ["", "1y", "\0", "-1"])
def test_odd_overlap_rotates_nothing(overlap, developer, acme, key):
    client = sign_in(developer)
    form = {"token": token_of(client.get(page_of(key, "rotate"))), "overlap": overlap}
    response = client.post(page_of(key, "rotate"), form)
    assert response.context["form"].errors["overlap"]
    assert key.secrets.count() == 1


def test_old_secret_works_until_it_is_quiet(developer, acme, key):
    client = sign_in(developer)
    form = {"token": token_of(client.get(page_of(key, "rotate"))), "overlap": "quiet"}
    errors = client.post(page_of(key, "rotate"), form).context["form"].errors
    assert "how many hours" in errors["quiet_hours"][0]
    for hours in ("0", "721", "x", "\0", "1" * 400):
        response = client.post(page_of(key, "rotate"), form | {"quiet_hours": hours})
        assert response.context["form"].errors["quiet_hours"], hours
    assert key.secrets.count() == 1
    secret_on(client.post(page_of(key, "rotate"), form | {"quiet_hours": "6"}))
    old = key.secrets.get(superseded_at__isnull=False)
    assert (old.quiet_hours, old.revoked_at) == (6, None)
    assert old.ends_at == old.superseded_at + timedelta(hours=6)
    assert services.verify_key(secret=key.secret, address=HERE).is_valid
    # Its end moves with each use, at once.
    used = key.secrets.get(pk=old.pk)
    assert used.last_used_at > old.superseded_at
    assert used.ends_at == used.last_used_at + timedelta(hours=6)


def test_hours_do_not_matter_for_another_overlap(developer, acme, key):
    client = sign_in(developer)
    form = {"token": token_of(client.get(page_of(key, "rotate"))), "overlap": "0"}
    secret_on(client.post(page_of(key, "rotate"), form | {"quiet_hours": "nonsense"}))
    assert services.verify_key(secret=key.secret, address=HERE).code is Code.SECRET_RETIRED


def test_rotation_says_who_uses_the_old_secret(developer, acme, key):
    services.verify_key(secret=key.secret, address=ELSEWHERE, user_agent="deploy/7")
    page = text_of(sign_in(developer).get(page_of(key, "rotate")))
    assert key.label in page
    assert "was last used" in page
    assert "203.0.113.50" in page
    assert "deploy/7" in page


# The secret's own page


def test_secret_is_in_the_page_alone(developer, acme):
    client = sign_in(developer)
    response = client.post(listing(acme, "create"), fill(client, acme))
    secret, page = secret_on(response), text_of(response)
    hidden = re.sub(r'<(span|code) class="reveal__value"[^>]*>[^<]*</\1>', "", page)
    assert secret in page
    assert secret not in hidden
    assert f'hx-get="{page_of(APIKey.objects.get(), "first-use")}"' in page


@pytest.mark.parametrize(
    ("scopes", "dialects"),
    [
        (["READ"], ["native", "openrouter", "i3d", "netography", "xyra"]),
        ([], ["native", "openrouter"]),
    ],
)
def test_code_is_offered_in_the_dialects_that_would_answer(scopes, dialects, developer, acme):
    client = sign_in(developer)
    response = client.post(listing(acme, "create"), fill(client, acme, scopes=scopes))
    offered = {snippet.dialect: snippet for snippet in response.context["snippets"]}
    assert list(offered) == dialects
    assert len(response.context["snippets"]) == 4 * len(dialects)


def test_first_use_is_told_while_it_is_waited_for(developer, acme, key):
    client = sign_in(developer)
    address = page_of(key, "first-use")
    assert "No call yet" in text_of(client.get(address))
    assert client.get(address, {"seen": "waiting"}, headers=HTMX).status_code == 204
    services.update_key(actor=developer, key=key, allowed_ips=["127.0.0.1"])
    services.verify_key(secret=key.secret, address=ELSEWHERE)
    refused = client.get(address, {"seen": "waiting"}, headers=HTMX)
    assert "A call was refused: the address is not allowed" in text_of(refused)
    assert client.get(address, {"seen": "refused"}, headers=HTMX).status_code == 204
    services.verify_key(secret=key.secret, address=HERE)
    used = client.get(address, {"seen": "refused"}, headers=HTMX)
    assert used.status_code == 286  # htmx asks no more
    assert "It works." in text_of(used)
    assert key.secret not in text_of(used)
    assert "no-store" in used["Cache-Control"]


def test_first_use_is_that_of_the_newest_secret(developer, acme, key):
    services.verify_key(secret=key.secret, address=HERE)
    services.rotate_key(actor=developer, key=key, overlap=timedelta(hours=1))
    services.verify_key(secret=key.secret, address=HERE)
    assert "No call yet" in text_of(sign_in(developer).get(page_of(key, "first-use")))


def test_first_use_is_not_waited_for_all_day(developer, acme, key):
    KeySecret.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    response = sign_in(developer).get(page_of(key, "first-use"), headers=HTMX)
    assert response.status_code == 286
    assert "Check again" in text_of(response)
