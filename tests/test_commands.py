"""What operators do from the command line: `issue_key`."""

import base64
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from keys import policy, services, snapshots
from keys.models import APIKey, AuditEvent
from keys.networks import parse_address


def issue(capsys, *options: str) -> dict:
    """Run issue_key with --json and return the object that it printed."""
    call_command("issue_key", "--organization", "acme", "--name", "Script", "--json", *options)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    return json.loads(printed.out)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run issue_key as from a shell."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "manage.py", "issue_key", *arguments],
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_prints_one_json_object_with_the_secret(acme, capsys):
    printed = issue(capsys, "--scope", "READ")

    assert list(printed) == ["id", "identifier", "hash", "slug", "label", "secret"]
    key = APIKey.objects.get(pk=printed["id"])
    assert (key.identifier, key.hash, key.slug, key.label) == (
        printed["identifier"],
        printed["hash"],
        printed["slug"],
        printed["label"],
    )
    assert snapshots.find_secret(printed["secret"]).key == key


def test_prints_lines_for_people_without_json(acme, capsys):
    call_command("issue_key", "--organization", "acme", "--name", "Script")

    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines][-1] == "secret"


def test_the_issued_key_works_from_where_it_is_allowed(acme, capsys):
    printed = issue(
        capsys, "--scope", "READ", "CREATE", "--scope", "UPDATE", "--allowed-ip", "10.0.0.0/8"
    )

    inside = services.verify_key(secret=printed["secret"], address=parse_address("10.1.2.3"))
    outside = services.verify_key(secret=printed["secret"], address=parse_address("11.1.2.3"))
    assert inside.is_valid
    assert inside.snapshot.scopes == {"READ", "CREATE", "UPDATE"}
    assert not outside.is_valid


def test_every_option_reaches_the_key(acme, developer, capsys):
    printed = issue(
        capsys,
        *("--dialect", "openrouter", "--owner", "Developer@acme.example", "--role", "readonly"),
        *("--limit", "12.50", "--limit-reset", "monthly", "--expires", "2030-01-31T12:00:00+01:00"),
        *("--allowed-ip", "192.0.2.1", "2001:db8::/32"),
    )

    key = APIKey.objects.get(pk=printed["id"])
    assert printed["secret"].startswith("sk-or-v1-")
    assert key.owner == developer
    assert key.role.name == "readonly"
    assert str(key.limit) == "12.5"
    assert key.limit_reset == "monthly"
    assert key.expires_at == datetime(2030, 1, 31, 11, tzinfo=UTC)
    assert [row.network for row in key.allowed_ips.all()] == ["192.0.2.1", "2001:db8::/32"]


def test_a_netography_key_comes_with_what_its_client_is_configured_with(acme, capsys, settings):
    settings.PUBLIC_URL = "https://keys.example"
    printed = issue(capsys, "--dialect", "netography", "--url", "https://keys.example/netography/")

    assert json.loads(base64.b64decode(printed["netosecret"], validate=True)) == {
        "url": "https://keys.example/netography/api/v1",
        "shortname": "acme",
        "appname": printed["slug"],
        "sharedsecret": services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme),
        "appkey": printed["secret"],
    }
    unsaid = issue(capsys, "--dialect", "netography")
    assert (
        json.loads(base64.b64decode(unsaid["netosecret"]))["url"] == "https://keys.example/api/v1"
    )
    assert "netosecret" not in issue(capsys, "--dialect", "i3d")


def test_a_netography_key_is_not_issued_when_its_client_cannot_be_configured(acme, settings):
    services.reveal_shared_secret(actor=policy.OPERATOR, organization=acme)
    settings.KEY_PEPPERS = {2: b"another pepper of thirty-two bytes."}
    options = ("--organization", "acme", "--name", "CI", "--dialect", "netography")
    with pytest.raises(CommandError, match="replace the shared secret"):
        call_command("issue_key", *options)
    assert not APIKey.objects.exists()


def test_without_an_owner_the_key_is_the_organizations(acme, capsys):
    assert APIKey.objects.get(pk=issue(capsys)["id"]).owner is None


def test_rates_are_one_for_each_period(acme, capsys):
    key = APIKey.objects.get(pk=issue(capsys, "--rate", "600/minute", "5/second")["id"])

    rates = {(row.amount, row.period) for row in key.rate_limits.all()}
    assert rates == {(600, "minute"), (5, "second")}


@pytest.mark.parametrize("rate", ["600", "600/fortnight", "-1/minute", "0/minute", "½/minute"])
def test_a_rate_that_is_none_is_refused(acme, rate):
    options = ("--organization", "acme", "--name", "CI", f"--rate={rate}")
    with pytest.raises(CommandError, match="rate"):
        call_command("issue_key", *options)
    assert not APIKey.objects.exists()


def test_a_rule_of_the_organization_binds_the_operator(acme, owner):
    services.update_policy(actor=owner, organization=acme, shared_key_days=90)
    options = ("--organization", "acme", "--name", "CI")
    with pytest.raises(CommandError, match="expires_at: Keys of Acme live at most 90 days"):
        call_command("issue_key", *options)


def test_a_date_alone_means_midnight_utc(acme, capsys):
    key = APIKey.objects.get(pk=issue(capsys, "--expires", "2030-02-01")["id"])

    assert key.expires_at == datetime(2030, 2, 1, tzinfo=UTC)


def test_the_audit_trail_names_the_operator_and_the_command_line(acme, capsys):
    secret = issue(capsys)["secret"]

    event = AuditEvent.objects.get(action="apikey.issued")
    assert (event.actor_label, event.door) == ("operator", "command")
    assert secret not in json.dumps(event.changes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scope", "NOPE"], "scopes: Unknown scope: NOPE."),
        (["--role", "nobody"], "role: This organization has no role 'nobody'."),
        (["--role", "admin", "--scope", "READ"], "not allowed with"),
        (["--owner", "ghost@acme.example"], "owner: Nobody here has the address"),
        (["--owner", "stranger@other.example"], "owner: The owner is not a member"),
        (["--allowed-ip", "10.0.0.1/8"], "did you mean 10.0.0.0/8?"),
        (["--allowed-ip", "010.1.2.3"], "leading zeros"),  # T28
        (["--expires", "2020-01-01"], "expires_at: Choose a moment in the future"),
        (["--expires", "soon"], "'soon' is not a moment"),
        (["--limit", "NaN"], "'NaN' is not an amount"),
        (["--limit", "1e30"], "limit:"),
        (["--limit", "-1"], "A limit is zero or more."),
        (["--limit-reset", "hourly"], "invalid choice: 'hourly'"),
        (["--dialect", "klingon"], "invalid choice: 'klingon'"),
        (["--dialect", "netography", "--url", "keys.example"], "'keys.example' is no address"),
        (["--name", ""], "name: This field cannot be blank."),
        (["--name", "\udcff"], "is not UTF-8"),
        (["--organization", "nowhere"], "organization: There is no organization"),
        (["--secret", "mine"], "unrecognized arguments"),
    ],
)
def test_nonsense_is_refused_in_one_line(acme, other, capsys, options, words):
    with pytest.raises(CommandError) as refused:
        call_command("issue_key", "--organization", "acme", "--name", "Script", *options)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capsys.readouterr().out == ""
    assert not APIKey.objects.exists()


def test_in_a_shell_a_wrong_option_is_one_line_and_status_1():
    finished = run("--organization", "acme")

    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == (
        "CommandError: Error: the following arguments are required: --name\n"
    )


def test_in_a_shell_a_database_that_is_not_ready_is_one_line_and_status_1(tmp_path):
    address = f"sqlite:///{tmp_path / 'empty.sqlite3'}"

    finished = run("--organization", "acme", "--name", "Script", DATABASE_URL=address)

    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith("CommandError: The database refused: ")
    assert finished.stderr.count("\n") == 1


def test_in_a_shell_a_nonsensical_setting_is_one_line_and_status_1():
    finished = run("--organization", "acme", "--name", "Script", KEY_PEPPERS="short")

    assert (finished.returncode, finished.stdout) == (1, "")
    assert "KEY_PEPPERS" in finished.stderr
    assert finished.stderr.count("\n") == 1


def test_called_from_code_it_raises(acme):
    with pytest.raises(CommandError, match="Unknown scope"):
        call_command("issue_key", organization="acme", name="Script", scope=["NOPE"])
