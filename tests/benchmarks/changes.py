"""A process that changes keys through the services while others ask about them.

Run as a program of its own with the environment of a portal, it reads orders from its
input: `go 100` begins to change so many keys a second, `stop` ends that and says how many
there were.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests import servers


class Changer:
    """Such a process, from here."""

    def __init__(self, env: Mapping[str, str], command: list[str | os.PathLike]) -> None:
        self.changes = 0
        self._process = subprocess.Popen(  # noqa: S603
            [str(part) for part in command],
            cwd=servers.ROOT,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._hear()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    @contextmanager
    def changing(self, per_second: int) -> Iterator[int]:
        """Change so many keys a second until the block ends; yield the process id."""
        self._say(f"go {per_second}")
        try:
            yield self._process.pid
        finally:
            self._say("stop")
            self.changes += int(self._hear())

    def _say(self, order: str) -> None:
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        return self._process.stdout.readline()


def main() -> None:
    """Obey until the input ends."""
    import django

    django.setup()
    from keys import services
    from keys.models import APIKey
    from keys.policy import OPERATOR

    keys = list(APIKey.objects.order_by("pk")[:1000])
    turn = 0

    def change() -> None:
        nonlocal turn
        key = keys[turn % len(keys)]
        services.update_key(actor=OPERATOR, key=key, name=f"Renamed {turn}")
        turn += 1

    change()
    _answer("ready")
    for order in sys.stdin:
        if order.startswith("go"):
            _answer(_change_until_told(change, 1 / int(order.split()[1])))


def _change_until_told(change, interval: float) -> int:
    done, due = 0, time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        change()
        done += 1
        due += interval
    sys.stdin.readline()
    return done


def _answer(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
