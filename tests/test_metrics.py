"""Measures lie in files that are mapped into memory, and harm nobody when a disk is full."""

import errno
import os

import pytest

from keys import metrics
from keys.metrics import ReservedFile


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that gives no room any more."""

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)


def test_a_full_disk_keeps_a_process_from_measuring_and_leaves_nothing_unreadable(
    full_disk, tmp_path
):
    with pytest.raises(OSError, match="No space"):
        ReservedFile(str(tmp_path / "counter_1.db"))
    assert list(tmp_path.iterdir()) == []


def test_what_was_measured_before_the_disk_was_full_stays(tmp_path, monkeypatch):
    file = ReservedFile(str(tmp_path / "counter_1.db"))
    file.write_value("first", 1.0, 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", lambda *args: (_ for _ in ()).throw(OSError()))
        with pytest.raises(OSError):  # noqa: PT011 - there is nothing to it
            file.write_value("x" * 70_000, 1.0, 0.0)
    file.write_value("x" * 70_000, 2.0, 0.0)
    file.close()
    found = ReservedFile.read_all_values_from_file(str(tmp_path / "counter_1.db"))
    assert {key.strip()[:5]: value for key, value, *_more in found} == {"first": 1.0, "xxxxx": 2.0}


def test_no_part_of_a_file_is_without_room_on_the_disk(tmp_path):
    """A store into a hole of a full disk would end the process."""
    path = tmp_path / "counter_1.db"
    file = ReservedFile(str(path))
    for number in range(2_000):
        file.write_value(f"{number}{'x' * 100}", 1.0, 0.0)
    file.close()
    found = path.stat()
    assert found.st_blocks * 512 >= found.st_size > 2_000 * 100


def test_requests_are_answered_while_nothing_can_be_measured(monkeypatch, client, db):
    def fail(*labels):
        raise OSError(errno.ENOSPC, "No space left on device")

    for each in (metrics.REQUESTS, metrics.VERIFICATIONS, metrics.WORK):
        monkeypatch.setattr(each, "labels", fail)
    assert client.get("/v1/api-keys").status_code == 401
    metrics.note_verifications("VALID", 1)
    with metrics.measured("fold"):
        pass
