"""Settings come from the environment, and nonsense in it fails at start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from portal import settings as portal_settings
from portal.settings import parse_networks, parse_peppers

ROOT = Path(portal_settings.__file__).resolve().parent.parent
GOOD = {"SECRET_KEY": "s" * 50, "KEY_PEPPERS": "1:" + "p" * 32}


def start(**environment) -> subprocess.CompletedProcess:
    """Read the settings in a fresh process and print what a test asks for."""
    show = "from portal import settings as s; print(s.HTTPS, s.DEBUG, s.TRUSTED_PROXIES)"
    return subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", show],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_by_default_everything_is_strict():
    started = start(**GOOD)
    assert started.stdout.strip() == "True False []", started.stderr


def test_a_file_may_hold_a_secret(tmp_path):
    for name, value in GOOD.items():
        (tmp_path / name).write_text(value + "\n")
    files = {f"{name}_FILE": str(tmp_path / name) for name in GOOD}
    assert start(**files).returncode == 0


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({**GOOD, "KEY_PEPPERS": "x" * 40}, "KEY_PEPPERS is a list"),
        ({**GOOD, "KEY_PEPPERS": "1:short"}, "fewer than 32"),
        ({**GOOD, "TRUSTED_PROXIES": "10.1.2.3/8"}, "TRUSTED_PROXIES"),
        (
            {**GOOD, "OIDC_ISSUER": "https://id.example.com"},
            "Set OIDC_CLIENT_ID, OIDC_CLIENT_SECRET",
        ),
        ({**GOOD, "OIDC_ISSUER": "http://id.example.com"}, "set HTTPS=off, for the worker as well"),
    ],
)
def test_nonsense_fails_at_start(environment, told):
    started = start(**environment)
    assert started.returncode == 1
    assert told in started.stderr
    assert "p" * 32 not in started.stderr


@pytest.mark.parametrize(
    ("text", "peppers"),
    [
        ("1:" + "a" * 32, {1: b"a" * 32}),
        ("1:" + "a" * 32 + ", 2:" + "b" * 40, {1: b"a" * 32, 2: b"b" * 40}),
        ("32767:" + "a:b" * 20, {32767: b"a:b" * 20}),
    ],
)
def test_peppers_are_numbered(text, peppers):
    assert parse_peppers(text) == peppers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1:",
        "a" * 40,
        "0:" + "a" * 32,
        "-1:" + "a" * 32,
        "32768:" + "a" * 32,
        "1:" + "a" * 31,
        "1:" + "a" * 32 + ",1:" + "b" * 32,
        "1:" + "a" * 32 + ",",
        "x:" + "a" * 32,
    ],
)
def test_other_peppers_are_refused(text):
    with pytest.raises(ImproperlyConfigured, match="KEY_PEPPERS"):
        parse_peppers(text)


def test_networks_are_read_in_their_one_spelling(monkeypatch):
    monkeypatch.setenv("SOME_NETWORKS", "::ffff:10.0.0.1, 192.0.2.0/24")
    assert parse_networks("SOME_NETWORKS") == ["10.0.0.1", "192.0.2.0/24"]
    monkeypatch.setenv("SOME_NETWORKS", "acme.example")
    with pytest.raises(ImproperlyConfigured, match=r"SOME_NETWORKS: “acme\.example”"):
        parse_networks("SOME_NETWORKS")


def test_peoples_passwords_are_hashed_with_argon2():
    assert portal_settings.PASSWORD_HASHERS[0].endswith("Argon2PasswordHasher")


def test_nobody_is_let_in_by_default():
    assert "django.contrib.auth.middleware.LoginRequiredMiddleware" in portal_settings.MIDDLEWARE
    assert portal_settings.ACCOUNT_OPEN_SIGNUP is False
    assert portal_settings.TRUSTED_PROXIES == []
