"""The portal on a host whose clock is wrong by as many seconds as the file CLOCK says.

`tests.faults.clocked:application` serves; `python -m tests.faults.clocked work` is a command.
Only what tells the time of day is moved: the clocks that measure lengths of time go on.
"""

import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import time_machine

_LOOK_SECONDS = 0.05


class Clock:
    """The time of day of this process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._text = ""
        self._wrong: time_machine.travel | None = None

    def look(self) -> None:
        """Be as wrong as the file says by now."""
        text = self._file.read_text()
        if text == self._text:
            return
        with self._lock:
            if self._wrong is not None:
                self._wrong.stop()
            self._wrong = time_machine.travel(
                datetime.now(UTC) + timedelta(seconds=float(text)), tick=True
            )
            self._wrong.start()
            self._text = text

    def keep_looking(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            time.sleep(_LOOK_SECONDS)


def application(environ, start_response):
    """Answer a request by the time that it is on this host."""
    clock.look()
    return _portal(environ, start_response)


clock = Clock(Path(os.environ["CLOCK"]))
clock.look()
if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    threading.Thread(target=clock.keep_looking, daemon=True).start()
    execute_from_command_line(["manage.py", *sys.argv[1:]])
else:
    from keys import journal
    from portal.wsgi import application as _portal

    # So that a disk that is full is noticed within a test.
    if "SEGMENT_BYTES" in os.environ:
        journal.open = partial(journal.open, segment_bytes=int(os.environ["SEGMENT_BYTES"]))
