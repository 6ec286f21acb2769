"""A plugin of pytest that imports one file with a mutant in it: `-p tests.mutation.plant`."""

import json
import os
from importlib.machinery import SourceFileLoader
from pathlib import Path

from tests.mutation.mutants import Mutant

_mutant = Mutant(**json.loads(os.environ["MUTANT"]))
_path = str(Path(_mutant.path).absolute())
_get_code = SourceFileLoader.get_code


def _get_mutated_code(loader, name):
    if loader.path != _path:
        return _get_code(loader, name)
    return compile(_mutant.apply(Path(_path).read_bytes()), _path, "exec")


SourceFileLoader.get_code = _get_mutated_code
