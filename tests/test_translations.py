"""The German catalogue says everything that the English text says."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polib
import pytest

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "keys" / "locale" / "de" / "LC_MESSAGES" / "django.po"

_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd%]|\{\w*\}|<[^>]+>")


def messages() -> list[polib.POEntry]:
    return [entry for entry in polib.pofile(CATALOGUE) if not entry.obsolete]


def texts(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_nothing_is_left_in_english():
    assert len(messages()) > 500
    unfinished = [entry.msgid for entry in messages() if entry.fuzzy or not all(texts(entry))]
    assert unfinished == []


def test_placeholders_and_tags_of_a_sentence_are_those_of_its_original():
    for entry in messages():
        originals = {entry.msgid, entry.msgid_plural or entry.msgid}
        allowed = [sorted(_PLACEHOLDER.findall(original)) for original in originals]
        for text in texts(entry):
            assert sorted(_PLACEHOLDER.findall(text)) in allowed, entry.msgid


def plurals() -> list[tuple[str, str]]:
    """Return both forms of each sentence that the code says of one and of many."""
    calls = (
        node
        for folder in ("keys", "portal")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("ngettext")
    )
    return [tuple(map(ast.literal_eval, call.args[:2])) for call in calls]


def test_sentence_about_one_names_nothing_that_the_one_about_many_lacks():
    """Else msgfmt refuses the catalogue: it looks for the values of the one in the other."""
    assert len(plurals()) > 20
    for one, many in plurals():
        assert set(_PLACEHOLDER.findall(one)) <= set(_PLACEHOLDER.findall(many)), one


def test_compiled_catalogue_is_the_one_that_people_read(tmp_path):
    compiled = tmp_path / "django.mo"
    polib.pofile(CATALOGUE).save_as_mofile(compiled)
    inside = {(e.msgctxt, e.msgid): e.msgstr or e.msgstr_plural for e in polib.mofile(compiled)}
    served = polib.mofile(CATALOGUE.with_suffix(".mo"))
    assert {(e.msgctxt, e.msgid): e.msgstr or e.msgstr_plural for e in served} == inside


@pytest.mark.wide
@pytest.mark.skipif(not shutil.which("xgettext"), reason="GNU gettext is not on this machine.")
def test_catalogue_knows_every_text_of_the_product(tmp_path):
    for folder in ("keys", "portal", "templates"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "manage.py", tmp_path)
    subprocess.run(
        [sys.executable, "manage.py", "makemessages", "--locale=de", "--no-obsolete", "-v0"],
        cwd=tmp_path,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "portal.settings"},
        check=True,
    )
    extracted = polib.pofile(tmp_path / CATALOGUE.relative_to(ROOT))
    known = {(entry.msgctxt, entry.msgid) for entry in messages()}
    assert {(entry.msgctxt, entry.msgid) for entry in extracted} == known
