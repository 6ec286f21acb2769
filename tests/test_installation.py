"""The secrets that a trial generates for itself, once."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from portal import installation
from portal.settings import parse_peppers


@pytest.fixture
def var(tmp_path, monkeypatch):
    """A folder of an installation that is not there yet."""
    monkeypatch.setattr(installation, "VAR_DIR", tmp_path / "var")
    return tmp_path / "var"


def test_nothing_is_there_before(var):
    assert installation.read_secret("secret_key") is None


def test_secrets_are_generated_once(var):
    installation.ensure_secrets()
    first = {name: installation.read_secret(name) for name in installation.GENERATED_SECRETS}
    assert all(first.values())
    installation.ensure_secrets()
    assert first == {name: installation.read_secret(name) for name in first}


def test_they_are_readable_by_their_owner_alone(var):
    before = os.umask(0)
    try:
        installation.ensure_secrets()
    finally:
        os.umask(before)
    assert stat.S_IMODE(var.stat().st_mode) == 0o700
    for name in installation.GENERATED_SECRETS:
        assert stat.S_IMODE((var / name).stat().st_mode) == 0o600


def test_they_are_long_and_differ_between_installations(var, tmp_path, monkeypatch):
    installation.ensure_secrets()
    secret_key = installation.read_secret("secret_key")
    pepper = parse_peppers(installation.read_secret("key_peppers"))[1]
    assert len(secret_key) >= 50
    assert len(pepper) >= 32
    monkeypatch.setattr(installation, "VAR_DIR", tmp_path / "another")
    installation.ensure_secrets()
    assert installation.read_secret("secret_key") != secret_key


def test_one_that_an_operator_wrote_is_kept(var):
    var.mkdir()
    (var / "secret_key").write_text("of the operator\n")
    installation.ensure_secrets()
    assert installation.read_secret("secret_key") == "of the operator"


def test_nothing_else_is_left_behind(var):
    installation.ensure_secrets()
    assert {path.name for path in var.iterdir()} == set(installation.GENERATED_SECRETS)


def test_starting_twice_at_once_agrees_on_one_secret(var):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: installation.ensure_secrets(), range(8)))
    assert parse_peppers(installation.read_secret("key_peppers"))
