"""The journal: what is appended is there, whatever becomes of who appended it."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from keys import journal, secrets
from keys.journal import DETAIL, DOORS, GROUP, MINUTE, OUTCOMES, RECORD, SPLIT
from keys.models import Decision
from keys.networks import parse_address
from keys.verification import Code

AT = 1_790_000_000_123_456
NOWHERE = bytes(16)
SMALL = 4096

# Appends until it is ended, and says after each use how many there were.
APPEND_IN_A_PROCESS = """
import os, sys
from pathlib import Path
from django.conf import settings
settings.configure()
from keys import journal
kept = journal.open(Path(sys.argv[1]), int(sys.argv[2]))
text = kept.text("curl/8.5", frozenset({"READ"}))
for number in range(1, 10**9):
    kept.append(number, number, number, 1, 2, text, 0, 0, bytes(16), bytes(16))
    os.write(1, b"%d\\n" % number)
"""


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def kept(directory):
    kept = journal.open(directory, SMALL)
    yield kept
    kept.close()


def append(kept, number=1, text=None, address=NOWHERE):
    text = text or kept.text("curl/8.5", frozenset({"READ"}))
    kept.append(number, number + 1000, AT + number, 1, 2, text, 7, 8, address, NOWHERE, 1)


def read_all(directory):
    """Return the numbers of all secrets that were counted, with what their texts say."""
    found = []
    for path in journal.segments(directory):
        with journal.reading(path) as segment:
            for group, _detail in SPLIT.iter_unpack(segment.records(0, 10**6)):
                number, *_others, text, _outcome, _door, _flags = GROUP.unpack(group)
                found.append((number, segment.wording(text)))
    return found


class TestAppending:
    """Every field of every use, in the order of the uses."""

    def test_what_is_appended_is_what_is_read(self, kept, directory):
        text = kept.text("curl/8.5", frozenset({"READ", "orders:read"}), "GET", "/v1/api-keys")
        address, request = parse_address("203.0.113.9"), bytes(range(16))
        packed = journal.pack_address(address)
        kept.append(5, 6, AT, OUTCOMES["REVOKED"], DOORS["api"], text, 7, 8, packed, request, 1)
        with journal.reading(journal.segments(directory)[0]) as segment:
            [(group, detail)] = SPLIT.iter_unpack(segment.records(0, 10))
            *counted, number, outcome, door, flags = GROUP.unpack(group)
            said = segment.wording(number)
        assert counted == [5, 6, 7, 8, AT // MINUTE]
        assert (outcome, door, flags) == (OUTCOMES["REVOKED"], DOORS["api"], 1)
        assert DETAIL.unpack(detail) == (AT, packed, request)
        assert journal.unpack_address(packed) == "203.0.113.9"
        assert (said.user_agent, said.scopes) == ("curl/8.5", ("READ", "orders:read"))
        assert (said.method, said.path) == ("GET", "/v1/api-keys")

    @pytest.mark.parametrize("text", ["203.0.113.9", "2001:db8::7", "::1", None])
    def test_an_address_comes_back_as_it_was(self, text):
        address = parse_address(text) if text else None
        assert journal.unpack_address(journal.pack_address(address)) == text

    def test_a_full_segment_is_followed_by_another(self, kept, directory):
        """With its texts: each segment can be read without the ones before it."""
        text = kept.text("curl/8.5", frozenset({"READ"}))
        for number in range(150):
            append(kept, number, text)
        found = read_all(directory)
        assert [number for number, _said in found] == list(range(150))
        assert {said.user_agent for _number, said in found} == {"curl/8.5"}
        assert len(journal.segments(directory)) == 4

    def test_texts_fill_segments_too(self, kept, directory):
        for number in range(60):
            append(kept, number, kept.text(f"agent {number} " + "x" * 150, frozenset()))
        found = read_all(directory)
        assert [said.user_agent.split()[1] for _number, said in found] == [
            str(number) for number in range(60)
        ]

    def test_no_text_is_too_long_for_a_segment(self, kept, directory):
        scopes = frozenset(f"orders:{number}" for number in range(1000))
        append(kept, 1, kept.text("curl/8.5", scopes))
        [(_number, said)] = read_all(directory)
        assert (said.user_agent, said.scopes) == ("curl/8.5", ())

    @pytest.mark.parametrize(
        "asked",
        [
            ("x" * 2000, frozenset()),
            ("", frozenset({"?" * 2000})),
            ("", frozenset(f"?{number}" for number in range(100))),
            ("", frozenset(), "x" * 2000),
            ("", frozenset(), "GET", "x" * 2000),
        ],
    )
    def test_only_short_texts_are_remembered(self, kept, asked):
        """By what was sent, of which no more than a part may be written."""
        assert kept.text(*asked) is not kept.text(*asked)
        short = ("curl/8.5", frozenset({"READ"}), "GET", "/v1/api-keys")
        assert kept.text(*short) is kept.text(*short)

    def test_threads_lose_nothing_to_each_other(self, kept, directory):
        def append_some(first):
            for number in range(first, first + 400):
                append(kept, number)

        threads = [threading.Thread(target=append_some, args=[first]) for first in (0, 400, 800)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(number for number, _said in read_all(directory)) == list(range(1200))

    def test_every_outcome_and_door_has_a_number_of_its_own(self):
        assert set(OUTCOMES) == set(Code)
        assert set(DOORS) == set(Decision.Door.values)
        assert len(set(OUTCOMES.values())) == len(OUTCOMES)


class TestWhoMayReadIt:
    """Neither secrets nor strangers get in."""

    def test_a_secret_never_gets_in(self, kept, directory):
        secret = secrets.generate("native")
        text = kept.text(f"app ({secret})", frozenset({secret}), "GET", f"/v1/{secret}/x")
        append(kept, 1, text)
        [path] = journal.segments(directory)
        assert secret[6:-6].encode() not in path.read_bytes()
        [(_number, said)] = read_all(directory)
        assert (said.user_agent, said.scopes, said.path) == ("app (…)", (), "/v1/…/x")

    @pytest.mark.parametrize("dialect", secrets.FORMATS)
    def test_a_secret_is_found_in_the_middle_of_a_word(self, dialect):
        secret = secrets.generate(dialect)
        said = journal.presentable(f"client_{secret} 1{secret}-kh_{secret}/x {secret}", 200)
        assert said == "client_… 1…/x …"

    def test_files_are_their_owners_alone(self, kept, directory):
        append(kept)
        [path] = journal.segments(directory)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


class TestEnds:
    """What a process leaves is complete, and known to be."""

    def test_a_segment_is_complete_when_its_writer_is_gone(self, kept, directory):
        append(kept)
        [path] = journal.segments(directory)
        with journal.reading(path) as segment:
            assert (segment.is_complete, segment.count) == (False, 1)
        kept.close()
        with journal.reading(path) as segment:
            assert (segment.is_complete, segment.count) == (True, 1)

    @pytest.mark.parametrize("segment_bytes", [SMALL, journal.SEGMENT_BYTES])
    def test_a_killed_process_loses_nothing(self, directory, segment_bytes):
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", APPEND_IN_A_PROCESS, str(directory), str(segment_bytes)],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        killer = threading.Timer(0.1, process.send_signal, [signal.SIGKILL])
        killer.start()
        said = int(process.communicate(timeout=30)[0].split()[-1])
        numbers = [number for number, _said in read_all(directory)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) - said in (0, 1)

    def test_a_fork_writes_a_journal_of_its_own(self, kept, directory):
        append(kept, 1)
        child = os.fork()
        if child == 0:
            append(kept, 2)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        append(kept, 3)
        by_file = []
        for path in journal.segments(directory):
            with journal.reading(path) as segment:
                groups = [group for group, _ in SPLIT.iter_unpack(segment.records(0, 10))]
                numbers = [GROUP.unpack(group)[0] for group in groups]
                by_file.append((numbers, segment.is_complete))
        assert by_file == [([1, 3], False), ([2], True)]

    def test_what_somebody_only_began_is_removed_when_it_is_old(self, kept, directory):
        old, fresh = directory / "a.new", directory / "b.new"
        for path in (old, fresh):
            path.touch()
        os.utime(old, (time.time() - 3600,) * 2)
        journal.remove_abandoned(directory)
        assert list(directory.iterdir()) == [fresh]

    def test_a_damaged_file_holds_nothing(self, kept, directory):
        path = directory / "damaged.journal"
        path.write_bytes(b"?" * 500)
        with journal.reading(path) as segment:
            assert (segment.count, segment.records(0, 10)) == (0, b"")
            assert segment.wording(3).user_agent == ""

    def test_a_file_holds_no_more_records_than_have_room_in_it(self, kept, directory):
        append(kept)
        [path] = journal.segments(directory)
        with path.open("r+b") as file:
            file.seek(8)
            file.write((10**6).to_bytes(8, "little"))
        with journal.reading(path) as segment:
            assert segment.count == (SMALL - 64) // RECORD.size


class TestFullDisk:
    """Blocks are reserved before they are written, so that a full disk is an answer."""

    def test_a_use_that_can_be_written_nowhere_is_none(self, kept, directory, monkeypatch):
        text = kept.text("curl/8.5", frozenset())
        append(kept, 0, text)

        def fail(*args):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", fail)
        room = (SMALL - 64) // RECORD.size

        def append_too_many():
            for number in range(1, 2 * room):
                append(kept, number, text)

        with pytest.raises(journal.JournalFull, match="No space left"):
            append_too_many()
        counted = [number for number, _said in read_all(directory)]
        assert room - 2 <= len(counted) <= room
        assert len(list(directory.iterdir())) == 1
        monkeypatch.undo()
        append(kept, len(counted), text)
        assert [number for number, _said in read_all(directory)] == [*counted, len(counted)]
