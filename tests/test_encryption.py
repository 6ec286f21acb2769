"""Sealed secrets open with the peppers that sealed them, and with nothing else."""

import pytest

from keys import encryption

FIRST = {1: b"the first pepper of an installation"}
SECOND = {2: b"another pepper, of the same length"}


def test_what_was_sealed_is_read_again():
    sealed = encryption.seal("swordfish", FIRST)
    assert "swordfish" not in sealed
    assert encryption.unseal(sealed, FIRST) == "swordfish"


def test_sealing_twice_looks_different():
    assert encryption.seal("swordfish", FIRST) != encryption.seal("swordfish", FIRST)


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-2] + "A=", lambda text: "", lambda text: "é"]
)
def test_what_was_altered_is_not_read(spoil):
    sealed = encryption.seal("swordfish", FIRST)
    with pytest.raises(encryption.UnreadableError):
        encryption.unseal(spoil(sealed), FIRST)


def test_another_pepper_opens_nothing():
    with pytest.raises(encryption.UnreadableError):
        encryption.unseal(encryption.seal("swordfish", FIRST), SECOND)


def test_a_new_pepper_seals_and_the_old_one_still_opens():
    sealed = encryption.seal("swordfish", FIRST)
    both = FIRST | SECOND
    assert encryption.unseal(sealed, both) == "swordfish"
    assert not encryption.is_sealed_by_newest(sealed, both)
    again = encryption.seal("swordfish", both)
    assert encryption.is_sealed_by_newest(again, both)
    assert encryption.unseal(again, SECOND) == "swordfish"


def test_keys_of_two_purposes_have_nothing_in_common():
    secret = FIRST[1]
    keys = {encryption.derive_key(secret, purpose) for purpose in ("one", "two", "")}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}
    assert encryption.derive_key(secret, "one") == encryption.derive_key(secret, "one")
