"""What the system checks say about an installation."""

import pytest
from django.core import checks
from django.core.checks import Tags

from keys.checks import _file_system


@pytest.fixture
def proper(settings, monkeypatch):
    """The settings of an installation as it should be."""
    settings.HTTPS = True
    settings.TRUSTED_PROXIES = ["10.0.0.5"]
    settings.RATE_LIMIT_STORAGE = "redis://127.0.0.1:6379/1"
    settings.API_RATE = "600/minute"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache"}}
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.GENERATED_SECRETS_IN_USE = []
    monkeypatch.setenv("GRANIAN_WORKERS", "2")
    monkeypatch.delenv("GRANIAN_SSL_CERTIFICATE", raising=False)
    return settings


def found() -> set[str]:
    """Return the ids of what our checks find under --deploy."""
    messages = checks.run_checks(include_deployment_checks=True)
    return {message.id for message in messages if message.id.startswith("keys.")}


def test_a_proper_installation_has_nothing_to_be_said(proper):
    assert found() == set()
    # Whatever an operator calls would begin with what Django warns of.
    assert checks.run_checks() == []


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_trusting_everybody_as_a_proxy_is_an_error(proper, network):
    """T24: any caller could then write the address that it likes."""
    proper.TRUSTED_PROXIES = ["10.0.0.5", network]

    assert found() == {"keys.E001"}


@pytest.mark.parametrize("rate", ["", "many", "600"])
def test_a_rate_that_is_none_is_an_error(proper, rate):
    proper.API_RATE = rate

    assert found() == {"keys.E002"}


def test_an_unknown_storage_is_an_error(proper):
    proper.RATE_LIMIT_STORAGE = "floppy://a"

    assert found() == {"keys.E003"}


def test_errors_are_found_without_deploy_too(proper):
    proper.API_RATE = "many"

    assert "keys.E002" in {message.id for message in checks.run_checks()}


def test_counting_in_memory_with_several_processes_is_warned_about(proper):
    proper.RATE_LIMIT_STORAGE = "memory://"
    proper.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

    assert found() == {"keys.W001", "keys.W002"}


def test_one_process_on_sqlite_may_count_in_memory(proper, monkeypatch):
    proper.RATE_LIMIT_STORAGE = "memory://"
    sqlite = "django.db.backends.sqlite3"
    monkeypatch.setitem(proper.DATABASES["default"], "ENGINE", sqlite)
    monkeypatch.delenv("GRANIAN_WORKERS")

    assert "keys.W001" not in found()


def test_secrets_of_the_trial_are_warned_about(proper):
    proper.GENERATED_SECRETS_IN_USE = ["SECRET_KEY", "KEY_PEPPERS"]

    messages = checks.run_checks(tags=[Tags.security], include_deployment_checks=True)
    warned = [message.msg for message in messages if message.id == "keys.W003"]
    assert len(warned) == 2
    assert "KEY_PEPPERS" in warned[1]


def test_mail_on_the_console_is_warned_about(proper):
    proper.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

    assert found() == {"keys.W004"}


def test_https_that_nobody_ends_is_warned_about(proper, monkeypatch):
    proper.TRUSTED_PROXIES = []
    assert found() == {"keys.W005"}

    monkeypatch.setenv("GRANIAN_SSL_CERTIFICATE", "/etc/ssl/portal.pem")
    assert found() == set()


def test_a_state_directory_that_cannot_be_written_to_is_an_error(proper, tmp_path):
    (tmp_path / "file").touch()
    proper.STATE_DIR = tmp_path / "file" / "state"

    assert found() == {"keys.E004"}


def test_a_state_directory_on_a_network_is_warned_about(proper, tmp_path, monkeypatch):
    """Two hosts would take each other's marks for their own, or not see them."""
    monkeypatch.setattr("keys.checks._NETWORK_FILE_SYSTEMS", {_file_system(tmp_path)})
    proper.STATE_DIR = tmp_path

    assert found() == {"keys.W006"}


def test_a_pooler_in_front_of_the_feed_is_warned_about(proper, monkeypatch):
    monkeypatch.setitem(proper.DATABASES["default"], "PORT", "6432")

    assert found() == {"keys.W007"}

    proper.FEED_DATABASE_URL = "postgres://keyhaven@db:5432/keyhaven"

    assert found() == set()
