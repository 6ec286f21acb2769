"""The code that the page of a new key offers, run as it stands against a live server."""

import os
import shutil
import subprocess

import pytest

from keys import services
from keys.models.keys import Dialect
from keys.snippets import Language, snippets_of

pytestmark = pytest.mark.django_db(transaction=True)

# Seconds: a busy machine is no failure.
PATIENCE = 120

PROGRAMS = {
    Language.CURL: ("bash", "call.sh"),
    Language.PYTHON: ("python3", "call.py"),
    Language.JAVASCRIPT: ("node", "call.mjs"),
    Language.GO: ("go", "run", "call.go"),
}


def run(snippet, directory, **variables) -> str:
    """Return what a snippet prints."""
    *program, name = PROGRAMS[snippet.language]
    (directory / name).write_text(snippet.code)
    done = subprocess.run(  # noqa: S603
        [*program, name],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, (snippet, done.stderr)
    return done.stdout


def says_yes(snippet, output: str) -> bool:
    if snippet.language is Language.CURL:
        return output.startswith(("HTTP/1.1 200", "HTTP/1.1 204"))
    return output.startswith(("200", "204"))


@pytest.fixture(params=list(Language), ids=list(Language))
def language(request) -> Language:
    if shutil.which(PROGRAMS[request.param][0]) is None:
        pytest.skip(f"There is no {PROGRAMS[request.param][0]} on this machine.")
    return request.param


@pytest.mark.parametrize("scopes", [["READ"], []], ids=["reading", "proving"])
def test_every_dialect_answers_its_snippet(
    live_server, developer, acme, tmp_path, language, scopes
):
    key = services.issue_key(actor=developer, organization=acme, name="Try", scopes=scopes)
    snippets = snippets_of(live_server.url, key.dialect, is_reading=bool(scopes))
    for snippet in [each for each in snippets if each.language is language]:
        assert key.secret not in snippet.code
        output = run(snippet, tmp_path, KEYHAVEN_API_KEY=key.secret)
        assert says_yes(snippet, output), (snippet.dialect, output)


def test_token_is_exchanged_with_netosecret(live_server, developer, acme, tmp_path, language):
    key = services.issue_key(
        actor=developer, organization=acme, name="Try", scopes=["READ"], dialect="netography"
    )
    netosecret = services.assemble_netosecret(actor=developer, key=key, portal_url=live_server.url)
    snippets = snippets_of(live_server.url, key.dialect, is_reading=True)
    assert snippets[0].dialect is Dialect.NETOGRAPHY
    snippet = next(each for each in snippets if each.language is language)
    assert snippet.variable == "NETOSECRET"
    output = run(snippet, tmp_path, NETOSECRET=netosecret)
    # Python's client raises at any other status.
    assert language is Language.PYTHON or says_yes(snippet, output), output
    assert ("access_token" if language is Language.CURL else "appname") in output
