"""Scanners for leaked secrets find this installation's keys, and nothing else."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from django.core.management import call_command

from keys import scanner_rules, secrets

NOISE = ["kh_abc", "sk-or-v1-" + "g" * 64, "akh_" + "a" * 47, "kh_" + "a" * 60, "neto_short"]


@pytest.fixture(scope="module")
def issued() -> dict[str, str]:
    return {dialect: secrets.generate(dialect) for dialect in secrets.FORMATS}


def with_wrong_checksum(secret: str) -> str:
    return secret[:-1] + ("0" if secret[-1] != "0" else "1")


def test_gitleaks_has_a_rule_for_each_format(issued):
    """By Python's engine: no registry has the scanner itself."""
    rules = tomllib.loads(scanner_rules.for_gitleaks())["rules"]
    assert [each["id"] for each in rules] == [f"keyhaven-{dialect}" for dialect in issued]
    for rule, secret in zip(rules, issued.values(), strict=True):
        assert re.search(rule["regex"], f'token = "{secret}"')[0] == secret
        assert all(each in secret for each in rule["keywords"])
        assert not any(re.search(rule["regex"], each) for each in NOISE)


def test_trufflehog_has_a_detector_for_each_format(issued):
    """By Python's engine, as above."""
    text = scanner_rules.for_trufflehog()
    found = re.findall(r"key: '(.+)'", text)
    for regex, secret in zip(found, issued.values(), strict=True):
        assert re.search(regex, f"x={secret};")[0] == secret
        assert not any(re.search(regex, each) for each in NOISE)
    assert text.count("  - name: keyhaven-") == len(issued)


def test_no_rule_needs_what_re2_lacks():
    for secret_format in secrets.FORMATS.values():
        assert not re.search(r"\(\?|\\[1-9]|\+\+", scanner_rules.pattern(secret_format))


def test_the_real_detect_secrets_finds_keys_and_no_noise(tmp_path, issued):
    pytest.importorskip("detect_secrets")
    plugin = tmp_path / "keyhaven_detector.py"
    plugin.write_text(scanner_rules.for_detect_secrets())
    typos = [with_wrong_checksum(each) for each in issued.values()]
    lines = [f"value = '{each}'" for each in [*issued.values(), *typos, *NOISE]]
    (tmp_path / "code.py").write_text("\n".join(lines))
    done = subprocess.run(  # noqa: S603
        [Path(sys.executable).with_name("detect-secrets"), "scan", "-p", plugin, "code.py"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)["results"]["code.py"]
    ours = {each["line_number"] for each in found if each["type"] == "Keyhaven API key"}
    assert ours == set(range(1, len(issued) + 1))


@pytest.mark.parametrize("scanner", list(scanner_rules.SCANNERS))
def test_command_and_page_give_the_same(client, db, capsys, scanner):
    call_command("scanner_rules", "--format", scanner)
    reply = client.get(f"/found/rules/{scanner}/")
    assert reply.text == capsys.readouterr().out
    assert scanner_rules.SCANNERS[scanner][0] in reply["Content-Disposition"]


def test_a_scanner_nobody_knows_is_not_found(client, db):
    assert client.get("/found/rules/nothing/").status_code == 404
