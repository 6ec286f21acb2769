"""`manage.py work`: send mails and webhooks, and do what has to be done now and then."""

import signal
import threading
from collections.abc import Callable
from functools import partial

from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from keys import workers
from keys.services import chores, letters, mails, webhook_sending

_MAILS_SECONDS = 1.0
_WEBHOOKS_SECONDS = 1.0
_CHORES_SECONDS = 5.0
# What is being sent when the order to stop comes is sent to its end.
_STOP_SECONDS = 30.0


class Command(BaseCommand):
    """Works until it is told to stop, or with `--once` until nothing is due."""

    help = (
        "Send mails and webhooks that wait, remind of keys that expire, and do other periodic "
        "work, until SIGTERM or Ctrl-C. Any number may run, on any number of hosts: each thing "
        "is done by one of them. With --once it does what is due now and ends, for cron."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Do what is due now, and end.")
        parser.add_argument(
            "--webhook-threads",
            type=int,
            default=2,
            metavar="N",
            help="To how many receivers at once webhooks are sent (default: 2).",
        )

    def handle(self, *args, **options) -> None:
        if options["once"]:
            done = chores.run_due()
            sent, tried = _send_mails(), webhook_sending.send_due()
            self.stdout.write(f"{len(done)} chores, {sent} mails, {tried} webhook deliveries.")
            return
        stop = threading.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: stop.set())
        threads = [
            threading.Thread(target=_run, args=(name, work, stop, seconds), name=name, daemon=True)
            for name, work, seconds in _tasks(stop, max(1, options["webhook_threads"]))
        ]
        for thread in threads:
            thread.start()
        self.stdout.write("At work until SIGTERM or Ctrl-C.")
        stop.wait()
        for thread in threads:
            thread.join(_STOP_SECONDS)


def _tasks(
    stop: threading.Event, webhook_threads: int
) -> list[tuple[str, Callable[[], object], float]]:
    # Others' receivers have at least half of the threads, however slow one organization's are.
    at_once = max(1, webhook_threads // 2)
    sending = partial(webhook_sending.send_due, should_stop=stop.is_set, at_once=at_once)
    return [
        ("keyhaven-chores", chores.run_due, _CHORES_SECONDS),
        ("keyhaven-mails", partial(_send_mails, stop.is_set), _MAILS_SECONDS),
        *(
            (f"keyhaven-webhooks-{number}", sending, _WEBHOOKS_SECONDS)
            for number in range(webhook_threads)
        ),
    ]


def _send_mails(should_stop: Callable[[], bool] = lambda: False) -> int:
    return letters.send_due(should_stop) + mails.send_due(should_stop)


def _run(name: str, work: Callable[[], object], stop: threading.Event, seconds: float) -> None:
    try:
        workers.repeat(work, stop, seconds)
    finally:
        connection.close()
