"""Which host this is, as all processes that share one STATE_DIR agree on it."""

import hashlib
import socket
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def this_host(directory: Path) -> str:
    """Return the name of the host whose state lies in this directory, as `web-1/3f2a9c1e`.

    The second half tells apart what has one name: a directory is one host's state only on
    one kernel, so it is made of both. Machines cloned with their state differ, and so do
    containers of one machine. Raises OSError when there is no such directory.
    """
    found = directory.stat()
    kernel = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else socket.gethostname()
    identity = f"{kernel} {found.st_dev} {found.st_ino}"
    return f"{socket.gethostname()[:40]}/{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
