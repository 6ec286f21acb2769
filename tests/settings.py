"""The portal's own settings, with secrets and shortcuts for tests."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("SECRET_KEY", "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz")
os.environ.setdefault("KEY_PEPPERS", "1:only-for-tests-0123456789-abcdefghijklmnop")
os.environ.setdefault("HTTPS", "0")
os.environ.setdefault("SERVE_STATIC_SOURCES", "1")

from portal.settings import *  # noqa: F403
from portal.settings import DATABASES

# People's passwords are hashed cheaply here; that Argon2 is in use is tested by itself.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Files are looked up when asked for, not listed anew by each test client.
WHITENOISE_AUTOREFRESH = True

STATE_DIR = Path(tempfile.mkdtemp(prefix="keyhaven-state-"))

EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# The suite asks much of one caller; the limit itself is tested with one of its own.
API_RATE = "100000/minute"
# The next test starts anew.
RATE_LIMIT_STORAGE = "memory://"

# A connection that outlives its thread would keep the test database from being dropped.
DATABASES["default"]["CONN_MAX_AGE"] = 0

# A file, not memory: threads and processes then meet each other as they would in use.
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    directory = tempfile.mkdtemp(prefix="keyhaven-tests-")
    DATABASES["default"]["TEST"] = {"NAME": str(Path(directory) / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"]["init_command"] = (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-32000;"
    )
else:
    # No test survives a crash of the server, so none waits for its disk.
    DATABASES["default"].setdefault("OPTIONS", {})["options"] = "-c synchronous_commit=off"
