"""Everything that the suite logs is kept as it would be written, and searched for secrets."""

import logging
import re
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from keys import secrets

# Longer than any label, shorter than any secret.
_WORD = re.compile(r"[0-9A-Za-z_+/-]{20,}")
_MAKERS = ("generate", "generate_shared_secret", "generate_link_token", "generate_webhook_secret")


# Who keeps what is logged now, the latest last.
_keepers: "list[Keeper]" = []


class Once(logging.Formatter):
    """Makes one line of a record, whichever of its handlers asks."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.formatter = formatter
        # Not the record itself: its exception would hold all that led there. Both in one, since
        # threads log at the same time.
        self._latest: tuple[Callable[[], logging.LogRecord | None], str] = (lambda: None, "")

    def format(self, record: logging.LogRecord) -> str:
        find, line = self._latest
        if find() is not record:
            line = self.formatter.format(record)
            self._latest = weakref.ref(record), line
        return line


class Keeper(logging.Handler):
    """Writes each line to a file that nobody else reads."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.file.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self.file.close()
        super().close()

    def lines(self) -> Iterator[str]:
        self.file.seek(0)
        return iter(self.file)


@contextmanager
def kept(made: set[str]) -> Iterator[Keeper]:
    """Keep what is logged, as the portal's handler writes it, and each secret made meanwhile."""
    root = logging.getLogger()
    (portal,) = [each for each in root.handlers if type(each) is logging.StreamHandler]
    formatter = portal.formatter
    portal.setFormatter(Once(formatter))
    keeper = Keeper(portal.formatter)
    makers = {name: getattr(secrets, name) for name in _MAKERS}

    def remembering(make):
        def make_and_remember(*arguments):
            secret = make(*arguments)
            made.add(secret)
            return secret

        return make_and_remember

    for name, make in makers.items():
        setattr(secrets, name, remembering(make))
    root.addHandler(keeper)
    _keepers.append(keeper)
    try:
        yield keeper
    finally:
        _keepers.remove(keeper)
        root.removeHandler(keeper)
        portal.setFormatter(formatter)
        for name, make in makers.items():
            setattr(secrets, name, make)


def keep_file(log: Path) -> None:
    """Keep what a process of its own wrote into a file beside what is logged here."""
    if _keepers:
        _keepers[-1].file.write(log.read_text(encoding="utf-8", errors="replace") + "\n")


def secrets_in(lines: Iterable[str], made: Collection[str], passwords: Iterable[str]) -> list[str]:
    """Return the lines that hold a secret: one that was made, one by its looks, a password."""
    always = [
        settings.SECRET_KEY,
        *(pepper.decode() for pepper in settings.KEY_PEPPERS.values()),
        *passwords,
    ]
    words = {secret.rstrip("=") for secret in made}
    return [
        line
        for line in lines
        if secrets.holds_part(line)
        or any(word in words for word in _WORD.findall(line))
        or any(text in line for text in always)
    ]
