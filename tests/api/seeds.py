"""The vendors' own documents, when they lie beside the project as `shared/seeds`."""

import json
import re
from typing import Any

import pytest
from django.conf import settings

SEEDS = settings.BASE_DIR.parent / "shared" / "seeds"


def seed_text(number: int) -> str:
    """Return a vendor's document by its number; skip the test where there is none."""
    found = sorted(SEEDS.glob(f"{number:03}_*.txt"))
    if not found:
        pytest.skip(f"The vendor's document is not at {SEEDS}/{number:03}_*.txt.")
    return found[0].read_text()


def seed_openapi(number: int) -> dict[str, Any]:
    """Return as one the OpenAPI documents of single operations in a vendor's document."""
    blocks = re.findall(r"^```json\n(.*?)^```", seed_text(number), flags=re.DOTALL | re.MULTILINE)
    first, *rest = (json.loads(block) for block in blocks)
    for each in rest:
        for path, operations in each["paths"].items():
            first["paths"].setdefault(path, {}).update(operations)
        for kind, components in each["components"].items():
            first["components"].setdefault(kind, {}).update(components)
    return first
