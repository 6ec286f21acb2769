"""Templates of new keys: what they fill in, and for whom."""

import pytest
from django.test import Client
from django.urls import reverse

from keys.presets import PRESETS
from keys.roles import BuiltInScope

pytestmark = pytest.mark.django_db


def open_form(person, acme, template: str):
    client = Client()
    client.force_login(person)
    return client.get(reverse("keys:create", args=["acme"]), {"template": template})


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_owner_starts_with_all_that_a_template_says(preset, owner, acme):
    response = open_form(owner, acme, preset.slug)
    form = response.context["form"]
    values = {name: form[name].value() for name in ("expiry", "limit", "limit_reset", "scopes")}
    assert values == {
        "expiry": str(preset.expiry_days),
        "limit": preset.limit,
        "limit_reset": preset.limit_reset or "",
        "scopes": preset.codes,
    }
    page = response.content.decode()
    assert f'value="{preset.name}"' in page
    assert str(preset.advice).replace("'", "&#x27;") in page
    assert f'/keys/new/?template={preset.slug}" aria-current="true"' in page
    assert dict(form.fields["expiry"].choices)[str(preset.expiry_days)]


def test_developer_gets_a_template_without_what_they_cannot_give(developer, acme):
    response = open_form(developer, acme, "management")
    assert response.context["form"]["scopes"].value() == ["READ", "CREATE", "UPDATE", "DELETE"]
    page = response.content.decode()
    assert "Without MANAGE, which you cannot give" in page
    assert "It is meant to have MANAGE, too" in page


def test_only_what_is_narrowed_says_so(developer, acme):
    page = open_form(developer, acme, "ai-agent").content.decode()
    assert "It is meant to have" not in page
    assert page.count("which you cannot give") == 1


@pytest.mark.parametrize("template", ["nonsense", "", "\0", "../etc", "x" * 5000])
def test_template_that_does_not_exist_is_the_plain_page(template, developer, acme):
    response = open_form(developer, acme, template)
    form = response.context["form"]
    assert response.status_code == 200
    assert (form["scopes"].value(), form["expiry"].value()) == (["READ"], "90")
    assert form.preset is None


def test_no_template_gives_more_than_the_one_named_so():
    for preset in PRESETS.values():
        assert (BuiltInScope.MANAGE in preset.scopes) == (preset.slug == "management")
        assert preset.expiry_days <= 365
