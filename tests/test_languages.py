"""People are answered in their language, programs always in English."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.utils import translation

from keys.api.openapi import build_document
from keys.models import Scope
from keys.templatetags.dates import exact, relative
from tests.test_audit import stored, story  # noqa: F401 (a fixture)

pytestmark = pytest.mark.django_db

GERMAN = {"HTTP_ACCEPT_LANGUAGE": "de-AT,de;q=0.9,en;q=0.5"}


def test_page_is_in_the_language_that_the_browser_asks_for(client):
    page = client.get("/accounts/login/", **GERMAN)
    assert page["Content-Language"] == "de"
    assert '<html lang="de">' in page.text
    assert "Accept-Language" in page["Vary"]


def test_page_is_in_english_for_a_language_that_there_is_not(client):
    page = client.get("/accounts/login/", HTTP_ACCEPT_LANGUAGE="fr")
    assert '<html lang="en">' in page.text


def test_person_chooses_a_language_against_the_browser(client):
    answer = client.post("/language/", {"language": "de", "next": "/accounts/login/"})
    assert answer["Location"] == "/accounts/login/"
    page = client.get("/accounts/login/", HTTP_ACCEPT_LANGUAGE="en")
    assert '<html lang="de">' in page.text


def test_choice_of_a_language_leads_to_no_other_host(client):
    answer = client.post("/language/", {"language": "de", "next": "https://elsewhere.example/"})
    assert answer["Location"] == "/"


@pytest.mark.parametrize("path", ["/v1/api-keys", "/v3/account/apiKey", "/api/v1/keys", "/nowhere"])
def test_program_is_answered_in_english_whatever_it_asks_for(client, path):
    client.get("/accounts/login/", **GERMAN)
    answer = client.get(path, **GERMAN)
    assert answer.text == client.get(path).text
    assert "Content-Language" not in answer


def test_document_for_programs_is_in_english_whoever_asks_for_it_first(client):
    build_document.cache_clear()
    first = client.get("/docs/native/openapi.json", **GERMAN)
    assert first["Content-Language"] == "en"
    build_document.cache_clear()
    assert client.get("/docs/native/openapi.json").content == first.content


def test_error_in_a_form_is_in_german_and_the_same_error_at_the_api_is_not(
    client, owner, manage_key
):
    body = {"key_name": "", "key_scope": ["READ"], "organization_id": manage_key.organization_id}
    answer = client.post(
        "/v1/api-keys",
        body,
        content_type="application/json",
        HTTP_AUTHORIZATION=f"Bearer {manage_key.secret}",
        **GERMAN,
    )
    assert answer.status_code == 400
    assert "may not be blank" in answer.text
    client.force_login(owner)
    page = client.post("/organizations/acme/keys/new/", {"name": ""}, **GERMAN)
    assert "Dieses Feld ist erforderlich." in page.text


def test_moments_are_written_as_germans_do():
    now = datetime(2026, 11, 21, 14, 3, tzinfo=UTC)
    with translation.override("de"):
        assert relative(now - timedelta(days=3), now) == "vor 3 Tagen"
        assert relative(now + timedelta(days=61), now) == "in 2 Monaten"
        assert exact(now) == "21. Nov. 2026, 14:03 UTC"


def test_built_in_scopes_are_explained_in_german_and_an_organizations_own_as_it_did(acme):
    own = acme.scopes.create(code="orders:read", description="Issue keys.")
    built_in = Scope.objects.get(organization=None, code="CREATE")
    with translation.override("de"):
        assert built_in.meaning == "Schlüssel ausstellen."
        assert own.meaning == "Issue keys."
    assert built_in.description == "Issue keys."


def test_nothing_is_stored_in_the_language_of_who_wrote_it(story):  # noqa: F811 (the fixture)
    with translation.override("de"):
        for _action, _actor, call in story[1]:
            call()
    texts = set(texts_in(stored()))
    assert "Backend" in texts
    assert texts & german_texts() == set()


def german_texts() -> set[str]:
    """Return what only German says: every text of the catalogue that is no English one too."""
    folder = Path(settings.LOCALE_PATHS[0]) / "de" / "LC_MESSAGES"
    entries = list(polib.mofile(folder / "django.mo"))
    german = {text for entry in entries for text in [entry.msgstr, *entry.msgstr_plural.values()]}
    return german - {text for entry in entries for text in (entry.msgid, entry.msgid_plural)}


def texts_in(value: object) -> Iterator[str]:
    """Yield every text of what rows hold, inside JSON as well."""
    match value:
        case str():
            yield value
        case list() | tuple():
            for each in value:
                yield from texts_in(each)
        case dict():
            for each in value.values():
                yield from texts_in(each)
