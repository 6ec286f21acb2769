"""Clients that a public generator makes of a vendor's OpenAPI document, as its users would."""

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

# Nothing is run over what it generates.
_CONFIGURATION = "post_hooks: []\n"


class GeneratedClient:
    """A client package made by `openapi-python-client`, in a directory of its own."""

    def __init__(self, document: dict[str, Any], directory: Path, name: str) -> None:
        self.name = name
        (directory / "openapi.json").write_text(json.dumps(document))
        (directory / "configuration.yaml").write_text(_CONFIGURATION)
        subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-m", "openapi_python_client", "generate"),
                *("--path", "openapi.json", "--config", "configuration.yaml"),
                *("--meta", "none", "--output-path", name, "--fail-on-warning"),
            ],
            cwd=directory,
            check=True,
            capture_output=True,
        )
        start = directory / name / "__init__.py"
        spec = importlib.util.spec_from_file_location(
            name, start, submodule_search_locations=[str(start.parent)]
        )
        self.package = importlib.util.module_from_spec(spec)
        sys.modules[name] = self.package
        spec.loader.exec_module(self.package)

    def module(self, path: str) -> ModuleType:
        """Return a module of the package, such as `models`."""
        return importlib.import_module(f"{self.name}.{path}")

    def operation(self, tag: str, operation_id: str) -> Callable:
        """Return an operation's function, which returns status, headers and parsed body."""
        return self.module(f"api.{tag}.{operation_id}").sync_detailed
