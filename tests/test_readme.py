"""What the README promises is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()

# Functions of settings.py that read the variable which is their first argument.
READERS = {
    "count_of",
    "days_kept",
    "one_of",
    "parse_audit_keys",
    "parse_imported_peppers",
    "parse_issuer",
    "parse_lease",
    "parse_networks",
    "positive_seconds",
    "required_secret",
}


def variables_read() -> set[str]:
    """Return the environment variables that settings.py reads."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / "portal" / "settings.py").read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function, first = node.func, node.args[0]
        is_env = isinstance(function, ast.Attribute) and ast.unparse(function.value) == "env"
        is_reader = isinstance(function, ast.Name) and function.id in READERS
        if (is_env or is_reader) and isinstance(first, ast.Constant):
            names.add(first.value)
    return names


def test_the_table_of_settings_names_every_variable_and_no_other():
    table = README.partition("### Settings")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) == variables_read()


def test_the_sample_of_an_environment_names_only_variables_there_are():
    sample = (ROOT / "portal" / "deploy" / "keyhaven.env.sample").read_text()

    named = set(re.findall(r"^([A-Z_]+)=", sample, re.MULTILINE))
    assert {name for name in named if not name.startswith("GRANIAN_")} <= variables_read()


@pytest.mark.parametrize(
    ("lock", "end"),
    [("run", ".venv/bin/python manage.py quickstart"), ("test", ".venv/bin/python -m pytest")],
)
def test_the_two_commands_stand_on_one_line_each(lock, end):
    command = (
        f"python3 -m venv .venv && .venv/bin/pip install -r portal/requirements/{lock}.txt && {end}"
    )

    assert README.splitlines().count(command) == 1


def test_every_place_on_the_map_is_there():
    block = README.partition("## The map of the house")[2].split("```")[1]
    names = re.findall(r"^(?:  )?([\w/.]+(?: [\w.]+\.py)?)  ", block, re.MULTILINE)
    places = [place for name in names for place in name.split()]

    assert len(places) > 10
    for place in places:
        assert (ROOT / place).exists() or (ROOT / "keys" / place).exists(), place


@pytest.mark.parametrize("name", ["run", "test", "dev"])
def test_lock_files_are_hashed_and_hold_no_addresses(name):
    lock = (ROOT / "portal" / "requirements" / f"{name}.txt").read_text()

    assert "://" not in lock
    pinned = re.findall(r"^[a-z0-9-]+(?:\[[a-z,]+\])?==", lock, re.MULTILINE)
    assert len(pinned) > 20
    assert lock.count("--hash=sha256:") >= len(pinned)
