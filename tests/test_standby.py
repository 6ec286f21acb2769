"""Exports and reports come from a standby where there is one; nothing else does."""

import pytest
from django.db import DEFAULT_DB_ALIAS, OperationalError, router

from keys import standby
from keys.models import APIKey


@pytest.fixture
def has_standby(settings, monkeypatch):
    """An installation with a standby."""
    databases = {**settings.DATABASES, standby.ALIAS: settings.DATABASES["default"]}
    monkeypatch.setattr("keys.standby.settings", type("Settings", (), {"DATABASES": databases}))


def asked_databases():
    """Yield the database that would be read at each moment."""
    yield router.db_for_read(APIKey)
    yield router.db_for_read(APIKey)


@pytest.mark.usefixtures("has_standby")
def test_only_the_rows_themselves_are_read_there():
    between = []
    for asked in standby.rows(asked_databases):
        assert asked == standby.ALIAS
        between.append(router.db_for_read(APIKey))
    assert between == [DEFAULT_DB_ALIAS] * 2
    assert router.db_for_write(APIKey) == DEFAULT_DB_ALIAS


@pytest.mark.usefixtures("has_standby")
def test_the_primary_is_asked_where_the_standby_does_not_answer(caplog, monkeypatch):
    monkeypatch.setattr(standby.logger, "disabled", False)

    def find():
        if (asked := router.db_for_read(APIKey)) == standby.ALIAS:
            raise OperationalError("gone")
        yield asked

    with caplog.at_level("WARNING", logger="keys.standby"):
        assert list(standby.rows(find)) == [DEFAULT_DB_ALIAS]
    assert "gone" in caplog.text


@pytest.mark.usefixtures("has_standby")
def test_half_a_table_is_an_error():
    def find():
        yield 1
        raise OperationalError("gone")

    with pytest.raises(OperationalError):
        list(standby.rows(find))


def test_without_a_standby_everything_is_the_primarys():
    assert set(standby.rows(asked_databases)) == {DEFAULT_DB_ALIAS}
