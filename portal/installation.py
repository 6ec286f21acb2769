"""What is generated once for an installation, and where it lies.

Settings come from the environment. For those who only try the portal out,
`quickstart` writes the secrets an operator would set into `var/`, readable by
its owner alone, and settings fall back to these files.
"""

import os
import secrets
import tempfile
from pathlib import Path

VAR_DIR = Path(__file__).resolve().parent.parent / "var"

# File name in VAR_DIR -> how its content is made.
GENERATED_SECRETS = {
    "secret_key": lambda: secrets.token_urlsafe(50),
    "key_peppers": lambda: f"1:{secrets.token_urlsafe(32)}",
}


def prepare_trial() -> None:
    """Make the secrets and the plain settings with which `quickstart` runs."""
    ensure_secrets()
    os.environ.setdefault("HTTPS", "0")
    os.environ.setdefault("SERVE_STATIC_SOURCES", "1")
    os.environ.setdefault("LOG_FORMAT", "text")


def ensure_secrets() -> None:
    """Write each secret that is missing from VAR_DIR; existing ones are kept."""
    VAR_DIR.mkdir(mode=0o700, exist_ok=True)
    for name, generate in GENERATED_SECRETS.items():
        _write_once(VAR_DIR / name, generate())


def read_secret(name: str) -> str | None:
    """Return the generated secret of that file name, or None when there is none."""
    try:
        return (VAR_DIR / name).read_text().strip()
    except FileNotFoundError:
        return None


def _write_once(path: Path, content: str) -> None:
    # Written aside and linked into place, so that a second process starting at the
    # same moment sees either nothing or the whole secret, and never replaces it.
    # Made so, it is readable by its owner alone.
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(content + "\n")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
