"""Rate limits: what is counted, what a refusal says, and a store that dies in the middle."""

import logging
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import redis
import time_machine

from keys import rates
from keys.rates import Rate
from tests.servers import free_port

MINUTE = Rate("key", 7, 3, "minute")
HOUR = Rate("key", 7, 5, "hour")
SHARED = Rate("organization", 7, 4, "minute")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_memory(settings):
    settings.RATE_LIMIT_STORAGE = "memory://"


@pytest.fixture
def clock():
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


def take(*bounds: Rate, failure: str = "refuse") -> bool:
    return rates.take(bounds, failure).is_within


def left(*bounds: Rate) -> list[int]:
    return [window.remaining for window in rates.look(bounds)]


class TestCounting:
    def test_a_key_without_rate_limits_is_free_whatever_the_store_does(self, settings):
        settings.RATE_LIMIT_STORAGE = "redis://127.0.0.1:1/0"
        assert rates.take((), "refuse") is rates.FREE
        assert rates.headers(rates.FREE) == {}

    def test_so_many_uses_and_no_more(self, clock):
        assert [take(MINUTE) for _ in range(5)] == [True, True, True, False, False]

    def test_a_window_slides(self, clock):
        assert [take(MINUTE) for _ in range(3)] == [True] * 3
        clock.shift(60)
        assert not take(MINUTE)  # the three are just a minute old
        clock.shift(21)  # two thirds of them still count, in whole uses one
        assert [take(MINUTE) for _ in range(3)] == [True, True, False]

    def test_a_refused_use_eats_nothing_of_the_other_windows(self, clock):
        for _ in range(10):
            take(HOUR, MINUTE)
        assert left(HOUR, MINUTE) == [2, 0]
        for _ in range(10):
            take(MINUTE, HOUR)
        assert left(HOUR, MINUTE) == [2, 0]

    def test_a_key_and_its_organization_bound_a_use_together(self, clock):
        colleague = Rate("key", 8, 3, "minute")
        assert [take(MINUTE, SHARED) for _ in range(3)] == [True] * 3
        assert [take(colleague, SHARED) for _ in range(3)] == [True, False, False]
        assert left(colleague) == [2]

    def test_an_organization_and_a_key_of_one_number_are_told_apart(self, clock):
        take(MINUTE)
        assert left(MINUTE, SHARED) == [2, 4]

    def test_a_limit_that_is_lowered_goes_on_counting(self, clock):
        assert [take(MINUTE) for _ in range(3)] == [True] * 3
        assert not take(MINUTE._replace(amount=2))
        assert take(MINUTE._replace(amount=4))

    def test_looking_counts_nothing(self, clock):
        assert [left(MINUTE), left(MINUTE)] == [[3], [3]]


class TestHeaders:
    def test_every_window_is_told(self, clock):
        told = rates.headers(rates.take([MINUTE, SHARED], "refuse"))
        assert told == {
            "RateLimit-Policy": '"key-minute";q=3;w=60, "organization-minute";q=4;w=60',
            "RateLimit": '"key-minute";r=2;t=60, "organization-minute";r=3;t=60',
        }

    @pytest.mark.parametrize("amount", [1, 3, 7])
    @pytest.mark.parametrize("period", ["second", "minute", "day"])
    def test_after_retry_after_the_use_is_let_in_and_not_a_second_earlier(
        self, clock, amount, period
    ):
        rate = Rate("key", 7, amount, period)
        clock.shift(rate.seconds * 0.25)
        while take(rate):
            pass
        for _ in range(amount + 2):
            refused = rates.take([rate], "refuse")
            wait = refused.retry_after
            assert rates.headers(refused)["Retry-After"] == str(wait)
            clock.shift(wait - 1)
            assert wait == 1 or not take(rate)
            clock.shift(1)
            assert take(rate)
            while take(rate):
                pass

    def test_the_longest_wait_counts(self, clock):
        while take(MINUTE, HOUR):
            clock.shift(40)
        assert rates.take([MINUTE, HOUR], "refuse").retry_after > 60


@pytest.fixture
def server(settings, tmp_path):
    """A Redis of one's own, which can be killed; `start` brings up another in its place."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("No Redis server is installed.")
    port = free_port()
    server = _Server(program, port, tmp_path)
    server.start()
    settings.RATE_LIMIT_STORAGE = f"redis://127.0.0.1:{port}/0"
    yield server
    server.process.kill()
    server.process.wait()


class _Server:
    def __init__(self, program, port, directory):
        self.command = [program, "--port", str(port), "--save", "", "--dir", str(directory)]
        self.client = redis.Redis(port=port)

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)  # noqa: S603
        for _attempt in range(100):
            try:
                self.client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("Redis does not start.")


class TestThisHost:
    """`local://`: a file that all processes of the host share."""

    @pytest.fixture(autouse=True)
    def _in_a_file(self, settings, tmp_path):
        settings.RATE_LIMIT_STORAGE = "local://"
        settings.STATE_DIR = tmp_path / "state"

    def test_it_counts_as_the_others_do(self, clock):
        assert [take(MINUTE) for _ in range(4)] == [True, True, True, False]
        clock.shift(81)
        assert [take(MINUTE) for _ in range(3)] == [True, True, False]
        clock.shift(3600)
        assert left(MINUTE, HOUR) == [3, 5]

    def test_it_tells_when_to_come_back(self, clock):
        while take(MINUTE):
            pass
        refused = rates.take([MINUTE], "refuse")
        clock.shift(refused.retry_after - 1)
        assert not take(MINUTE)
        clock.shift(1)
        assert take(MINUTE)

    def test_counts_survive_a_restart(self, clock):
        assert [take(MINUTE) for _ in range(3)] == [True] * 3
        rates._store.cache_clear()
        assert not take(MINUTE)

    def test_processes_share_it_to_the_last_use(self, settings):
        script = (
            "import sys; from keys.local_counts import LocalStorage;"
            "counts = LocalStorage(path=sys.argv[1], timeout=30);"
            "print(sum(counts.acquire_sliding_window_entry('key', 100, 10**9) for _ in range(80)))"
        )
        command = [sys.executable, "-c", script, str(settings.STATE_DIR / "rates.sqlite3")]
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603
            for _ in range(2)
        ]
        assert sum(int(process.communicate()[0]) for process in processes) == 100

    def test_t45_a_file_that_cannot_be_written_is_a_store_that_is_away(self, settings, tmp_path):
        """T45."""
        (tmp_path / "state").write_text("no directory")
        assert not take(MINUTE, failure="refuse")
        assert take(MINUTE, failure="allow")


class TestStoreAway:
    def test_t45_the_organization_says_what_a_dead_store_means(self, server, caplog, monkeypatch):
        """T45: the store is killed in the middle of a run; then it comes back."""
        monkeypatch.setattr(rates.logger, "disabled", False)
        assert take(MINUTE, failure="refuse")
        assert take(MINUTE, failure="allow")
        server.process.kill()
        server.process.wait()
        with caplog.at_level(logging.WARNING, logger="keys.rates"):
            assert [take(MINUTE, failure="refuse") for _ in range(20)] == [False] * 20
            assert [take(MINUTE, failure="allow") for _ in range(20)] == [True] * 20
        assert [record.message for record in caplog.records] == [
            "Rate limits cannot be counted: their store does not answer."
        ]
        assert rates.headers(rates.take([MINUTE], "refuse")) == {"Retry-After": "1"}
        with pytest.raises(rates.StoreAwayError):
            rates.look([MINUTE])

        server.start()
        time.sleep(rates.STORE_PAUSE_SECONDS)
        assert [take(MINUTE) for _ in range(4)] == [True, True, True, False]
        assert caplog.records[-1].message == "Rate limits are counted again: their store answers."

    def test_t45_a_store_that_hangs_does_not_hang_verification(self, server):
        """T45: it accepts connections and says nothing."""
        assert take(MINUTE)
        server.process.send_signal(subprocess.signal.SIGSTOP)
        began = time.monotonic()
        answers = [take(MINUTE, failure="allow") for _ in range(100)]
        assert answers == [True] * 100
        assert time.monotonic() - began < 1

    def test_two_hundred_at_once_are_let_in_as_often_as_the_limit_says(self, server):
        rate = Rate("key", 7, 100, "hour")
        barrier = threading.Barrier(20)

        def ask(_number: int) -> list[bool]:
            barrier.wait()
            return [take(rate, MINUTE._replace(amount=1000)) for _ in range(10)]

        with ThreadPoolExecutor(20) as pool:
            answers = [each for some in pool.map(ask, range(20)) for each in some]
        assert answers.count(True) == 100
