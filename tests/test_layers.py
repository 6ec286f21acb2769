"""Imports point downwards: the contracts of pyproject.toml hold."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_import_contracts_hold(capsys, monkeypatch):
    use_cases = pytest.importorskip("importlinter.application.use_cases")
    cli = pytest.importorskip("importlinter.cli")
    assert use_cases
    # It would take the log away from everybody else in this process.
    monkeypatch.setattr(cli, "_configure_logging", lambda verbose: None)
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    status = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == os.EX_OK, capsys.readouterr().out
