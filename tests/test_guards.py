"""Mistakes that others made, looked for in the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for folder in ("keys", "portal") for path in (ROOT / folder).rglob("*.py"))
ON_THE_WAY = [
    "keys/secrets.py",
    "keys/snapshots.py",
    "keys/verification.py",
    "keys/usage.py",
    "keys/services/verifying.py",
]


def nodes(path: Path, kind) -> Iterator:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kind))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    modules = set()
    for node in nodes(path, ast.Import | ast.ImportFrom):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        else:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return modules


def test_no_module_draws_from_a_guessable_source():
    """T39: `random` is for games. A demonstration may play."""
    for path in SOURCES:
        if name(path).startswith("keys/management/"):
            continue
        modules = {module.split(".")[0] for module in imported(path) if module}
        assert "random" not in modules, name(path)
        calls = [ast.unparse(node.func) for node in nodes(path, ast.Call)]
        assert not [call for call in calls if call.endswith("uuid1")], name(path)


def test_secrets_of_keys_are_made_in_one_place():
    """T39: whoever needs one asks keys.secrets."""
    drawing = {
        name(path)
        for path in SOURCES
        if "secrets" in {node.name for imp in nodes(path, ast.Import) for node in imp.names}
    }
    assert "keys/secrets.py" in drawing
    assert not {path for path in drawing if path.startswith("keys/services/")}


# Parts of comparisons of a row with a row, or of a number with a number.
_HARMLESS = ("current_secret", "pepper_id", "secret_id", "token_type", ".length")


def test_nothing_secret_is_compared_character_by_character():
    """T39: `hmac.compare_digest`, or a look-up by digest; never `==`."""
    suspicious = ("secret", "digest", "token", "password", "nonce", "pepper", "signature")
    for path in SOURCES:
        for node in nodes(path, ast.Compare):
            text = ast.unparse(node)
            if _is_no_comparison_of_two(node) or any(word in text for word in _HARMLESS):
                continue
            found = any(word in text.lower() for word in suspicious)
            assert not found, f"{name(path)}:{node.lineno}: {text}"


def _is_no_comparison_of_two(node: ast.Compare) -> bool:
    is_equality = any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
    sides = [node.left, *node.comparators]
    return not is_equality or any(isinstance(side, ast.Constant) for side in sides)


@pytest.mark.parametrize("path", [ROOT / each for each in ON_THE_WAY], ids=name)
def test_no_secret_is_cut_before_it_is_looked_up(path):
    """T13: two keys that share a beginning or an end share nothing else."""
    for node in nodes(path, ast.Subscript):
        if isinstance(node.slice, ast.Slice):
            sliced = ast.unparse(node.value)
            # The format's own checksum and label, text without secrets, some of many rows.
            allowed = (
                name(path) == "keys/secrets.py"
                or sliced == "presentable"
                or ".values_list(" in sliced
                or sliced.endswith("judgement.scopes))")
            )
            assert allowed, f"{name(path)}:{node.lineno}: {ast.unparse(node)}"
    for function in nodes(path, ast.FunctionDef):
        if function.name in ("digest", "digests", "find", "find_secret"):
            assert not [node for node in ast.walk(function) if isinstance(node, ast.Slice)]


@pytest.mark.parametrize("path", [ROOT / each for each in ON_THE_WAY], ids=name)
def test_no_slow_hash_is_on_the_way_of_a_verification(path):
    """T16: a slow hash of a random secret adds nothing and invites floods."""
    slow = ("hashers", "argon2", "bcrypt", "scrypt", "pbkdf2")
    assert not [module for module in imported(path) if module and any(s in module for s in slow)]
    assert not [
        node.attr for node in nodes(path, ast.Attribute) if any(s in node.attr for s in slow)
    ]


def test_only_the_policy_knows_how_far_scopes_reach():
    """One rule, one place: no door looks into the grant table, but to show it to people."""
    showing = {
        "keys/matrix.py",
        "keys/templatetags/grants.py",
        "keys/summaries/sentences.py",
    }
    readers = {
        name(path)
        for path in SOURCES
        if {"keys.roles.GRANTS", "keys.roles.scopes_granting"} & imported(path)
    }
    assert readers == {"keys/policy.py"} | showing
