"""Keys are found by what people see of them, however many there are."""

import pytest
from django.db import connection

from keys import search, services, trigrams
from keys.models import APIKey, KeySecret, Role
from tests.conftest import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def among_many(monkeypatch):
    """Let any key at all count as very many."""
    monkeypatch.setattr(search, "FEW_KEYS", 0)


@pytest.fixture
def keys(acme, key, manage_key):
    """Some keys whose names are easily confused."""
    for name in ('Größe "50%"', "Backend of the shop", "back_end"):
        services.issue_key(actor=key.owner, organization=acme, name=name, scopes=["READ"])
    return acme.api_keys.all()


def signs(text: str) -> list[search.Sign]:
    return [
        search.by_name(text),
        search.by_identifier(text),
        search.by_label(text),
        search.by_owner(text),
    ]


def narrow(keys, signs):
    return search.narrow(keys, signs, are_many=search.has_many(keys))


def find(keys, text: str) -> list[str]:
    return sorted(key.name for key in narrow(keys, signs(text)))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("backend", ["Backend", "Backend of the shop"]),
        ("OF THE SHO", ["Backend of the shop"]),
        ("röße", ['Größe "50%"']),
        ('"50%"', ['Größe "50%"']),
        ("back_end", ["back_end"]),
        ("ba", ["Backend", "Backend of the shop", "back_end"]),
        ("frontend", []),
    ],
)
def test_very_many_keys_are_searched_as_few_are(keys, text, names, monkeypatch):
    assert find(keys, text) == names
    monkeypatch.setattr(search, "FEW_KEYS", 0)
    assert find(keys, text) == names


def test_each_sign_finds_its_key_among_many(keys, key, among_many):
    key.owner.first_name = "Dorothea"
    key.owner.save()
    texts = [key.identifier.upper(), key.hash, key.label, key.label[:6], "dorothea"]
    assert all(key in narrow(keys, signs(text)) for text in texts)
    assert list(narrow(keys, [search.by_number(key.pk)])) == [key]
    assert key in narrow(keys, [search.by_label_end(key.label[-3:])])


def test_what_others_have_is_not_found(keys, strangers_key, among_many):
    assert find(keys, strangers_key.name) == []


def test_texts_that_very_many_hold_are_found_too(keys, among_many, monkeypatch):
    monkeypatch.setattr(search, "_MOST", 1)
    assert find(keys, "backend") == ["Backend", "Backend of the shop"]


def test_a_search_of_what_few_hold_reads_no_other_key(keys, among_many, monkeypatch):
    """What else would be read row by row is left out by the numbers of what indexes found."""
    rows = narrow(keys, [search.by_name("of the shop")])
    assert str(rows.query).count('"keys_apikey"."id" IN (') == 1


def test_renamed_and_deleted_keys_are_found_by_what_they_are(key):
    key.name = "Shopfront"
    key.save()
    assert trigrams.find(APIKey, "shopfr", most=5) == [key.pk]
    assert trigrams.find(APIKey, "Backend", most=5) == [key.pk]  # by its short name, still
    APIKey.objects.filter(pk=key.pk).update(slug="front")
    assert trigrams.find(APIKey, "Backend", most=5) == []
    label = key.label
    assert trigrams.find(KeySecret, label, most=5) == [key.current_secret.pk]
    KeySecret.objects.all().delete()
    assert trigrams.find(KeySecret, label, most=5) == []


def test_too_many_and_too_short_texts_are_left_to_others(keys):
    assert trigrams.find(APIKey, "backend", most=1) is None
    assert trigrams.find(APIKey, "ba", most=100) is None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="Only SQLite loses triggers.")
def test_lost_triggers_are_made_again_by_the_next_migration(key):
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER keys_apikey_trigrams_changed")
    APIKey.objects.filter(pk=key.pk).update(name="Shopfront")
    trigrams.prepare()
    assert trigrams.find(APIKey, "shopfront", most=5) == [key.pk]


def test_people_are_found_by_every_word_of_their_name(keys, key, among_many):
    key.owner.first_name, key.owner.last_name = "Ada", "Lovelace"
    key.owner.save()
    make_person("ada@other.example", first_name="Ada", last_name="Byron")
    assert key in narrow(keys, [search.by_owner("ada lovelace")])
    assert not narrow(keys, [search.by_owner("ada byron")])
    assert key in narrow(keys, [search.by_owner(key.owner.email)])


def test_keys_are_found_by_a_scope_of_their_own_or_their_role(acme, key, developer, among_many):
    role = Role.objects.get(organization=None, name="developer")
    follower = services.issue_key(actor=developer, organization=acme, name="Follower", role=role)
    services.issue_key(actor=developer, organization=acme, name="Reader", scopes=["READ"])
    assert set(narrow(acme.api_keys.all(), [search.by_scope("UPDATE")])) == {key, follower}
