"""Which mistakes are tried out, and which texts are left alone."""

import ast

import pytest

from tests.mutation.mutants import find


def written(tmp_path, source: str) -> set[str]:
    """Return what a file with this source could become."""
    file = tmp_path / "some.py"
    file.write_text(source)
    changed = {mutant.apply(file.read_bytes()).decode() for mutant in find(file)}
    for each in changed:
        ast.parse(each)
    return changed


@pytest.mark.parametrize(
    ("source", "mistakes"),
    [
        ("x = a < b", {"x = (a <= b)"}),
        ("x = a and not b", {"x = (a or not b)", "x = a and (b)"}),
        ("x = a + 1", {"x = (a - 1)", "x = a + (2)"}),
        ("x = [a for a in b if c]", {f"x = [a for a in b if ({c})]" for c in (True, False)}),
        ("def f():\n    return g(a)", {"def f():\n    return None"}),
        ("f(a)\nb.c = d", {"pass\nb.c = d", "f(a)\npass"}),
        ("while a:\n    break", {"while a:\n    pass"}),
        ("x = '–', y('no')", {"x = ('–x'), y('no')", "x = '–', y(('nox'))"}),
    ],
)
def test_what_somebody_could_have_written_instead(tmp_path, source, mistakes):
    assert written(tmp_path, source) == mistakes


@pytest.mark.parametrize(
    "source",
    [
        "x = _('Revoked')",
        "logger.warning('gone')",
        "x: 'int | None'",
        "@lru_cache(maxsize=1)\ndef f(a: b | c): ...",
        "'''Says what.'''\nx = 'two words'",
        "from a import b",
    ],
)
def test_wording_log_and_annotations_stay_as_they_are(tmp_path, source):
    assert written(tmp_path, source) == set()
