"""How secrets look, and what their checksum, label and digest are worth."""

import hashlib
import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import secrets

FORMATS = [
    # dialect, shape, bits of randomness
    ("native", r"kh_[0-9A-Za-z]{47}", 244),
    ("openrouter", r"sk-or-v1-[0-9a-f]{64}", 224),
    ("i3d", r"i3d_[0-9A-Za-z]{47}", 244),
    ("netography", r"neto_[0-9A-Za-z]{47}", 244),
    ("xyra", r"xyp_[0-9A-Za-z]{47}", 244),
]
dialects = pytest.mark.parametrize("dialect", secrets.FORMATS)


def test_every_dialect_has_its_format():
    assert set(secrets.FORMATS) == {dialect for dialect, _, _ in FORMATS}


@pytest.mark.parametrize(("dialect", "shape", "bits"), FORMATS)
def test_a_secret_has_the_vendors_shape(dialect, shape, bits):
    assert re.fullmatch(shape, secrets.generate(dialect))


@pytest.mark.parametrize(("dialect", "shape", "bits"), FORMATS)
def test_a_secret_carries_at_least_192_random_bits(dialect, shape, bits):
    secret_format = secrets.FORMATS[dialect]
    drawn = secret_format.random_length * math.log2(len(secret_format.alphabet))
    assert int(drawn) == bits >= 192


def test_no_formats_prefix_begins_anothers():
    """The first format whose prefix a text has decides about it."""
    for first, second in itertools.permutations(secrets.FORMATS.values(), 2):
        assert not second.prefix.startswith(first.prefix)


@dialects
def test_a_checksum_has_an_even_number_of_characters_that_hold_all_of_it(dialect):
    """They are written and compared two at a time."""
    secret_format = secrets.FORMATS[dialect]
    assert secret_format.checksum_length % 2 == 0
    assert len(secret_format.alphabet) ** secret_format.checksum_length >= 2**32


@dialects
def test_no_character_of_the_random_part_is_constant(dialect):
    secret_format = secrets.FORMATS[dialect]
    start = len(secret_format.prefix)
    drawn = [secrets.generate(dialect) for _ in range(200)]
    for position in range(start, start + secret_format.random_length):
        assert len({secret[position] for secret in drawn}) > 5


@dialects
def test_a_generated_secret_is_recognised_as_its_own_format(dialect):
    assert secrets.find_format(secrets.generate(dialect)) is secrets.FORMATS[dialect]


@given(data=st.data(), dialect=st.sampled_from(sorted(secrets.FORMATS)))
def test_any_single_wrong_character_is_refused(data, dialect):
    secret = secrets.generate(dialect)
    position = data.draw(st.integers(0, len(secret) - 1))
    wrong = data.draw(st.characters().filter(lambda character: character != secret[position]))
    assert secrets.find_format(secret[:position] + wrong + secret[position + 1 :]) is None


@dialects
def test_every_single_wrong_character_of_the_alphabet_is_refused(dialect):
    secret = secrets.generate(dialect)
    for position in range(len(secret)):
        for wrong in set(secrets.BASE62) - {secret[position]}:
            assert secrets.find_format(secret[:position] + wrong + secret[position + 1 :]) is None


@dialects
def test_two_swapped_characters_are_refused(dialect):
    secret = secrets.generate(dialect)
    body = len(secret) - secrets.FORMATS[dialect].checksum_length
    for position in range(body - 1):
        left, right = secret[position : position + 2]
        if left != right:
            swapped = secret[:position] + right + left + secret[position + 2 :]
            assert secrets.find_format(swapped) is None


@dialects
def test_a_secret_cut_short_or_with_something_around_it_is_refused(dialect):
    secret = secrets.generate(dialect)
    for text in (secret[:-1], secret[1:], secret + "0", " " + secret, secret + "\n", secret * 2):
        assert secrets.find_format(text) is None


@given(st.text())
def test_any_text_is_looked_at_without_an_error(text):
    assert secrets.find_format(text) is None


@pytest.mark.parametrize("text", ["", "\x00", "kh_", "\ud800" * 50, "kh_" + "é" * 47, "x" * 10**6])
def test_nonsense_is_no_secret(text):
    assert secrets.find_format(text) is None


def test_a_secret_in_capitals_is_another_secret():
    secret = secrets.generate("openrouter")
    assert secrets.find_format(secret.upper()) is None


@dialects
def test_the_label_shows_three_random_characters_and_three_of_the_end(dialect):
    secret = secrets.generate(dialect)
    prefix = secrets.FORMATS[dialect].prefix
    assert secrets.label(secret) == f"{secret[: len(prefix) + 3]}...{secret[-3:]}"


@dialects
def test_the_label_leaves_at_least_192_bits_hidden(dialect):
    """T6: what everybody may see brings nobody nearer to the secret."""
    secret_format = secrets.FORMATS[dialect]
    # The end of the secret is checksum: counted as if it told as many random characters.
    hidden = secret_format.random_length - sum(secret_format.shown)
    assert hidden * math.log2(len(secret_format.alphabet)) >= 192


def test_there_is_no_label_of_what_is_no_secret():
    with pytest.raises(ValueError, match="well-formed"):
        secrets.label("hunter2")


def test_the_digest_is_keyed():
    """T17, T18: 256 bits that depend on the secret and on the pepper."""
    secret = secrets.generate("native")
    digest = secrets.digest(secret, b"first pepper")
    assert re.fullmatch(r"[0-9a-f]{64}", digest)
    assert digest != secrets.digest(secret, b"second pepper")
    assert digest != secrets.digest(secrets.generate("native"), b"first pepper")


@pytest.mark.parametrize("position", [0, 20, 49])
def test_the_digest_covers_the_whole_secret(position):
    """T13: secrets that share all but one character share no digest."""
    secret = secrets.generate("native")
    sibling = secret[:position] + ("a" if secret[position] != "a" else "b") + secret[position + 1 :]
    assert secrets.digest(secret, b"pepper") != secrets.digest(sibling, b"pepper")


def test_a_presented_secret_is_looked_for_under_every_pepper():
    secret = secrets.generate("native")
    assert secrets.digests(secret, {1: b"old", 2: b"new"}) == {
        secrets.digest(secret, b"old"): 1,
        secrets.digest(secret, b"new"): 2,
    }


def test_new_digests_use_the_highest_pepper():
    assert secrets.current_pepper({2: b"new", 10: b"newest", 1: b"old"}) == (10, b"newest")


def test_public_identifiers_are_drawn_independently():
    assert re.fullmatch(r"[0-9a-f]{64}", secrets.generate_public_hash())
    assert re.fullmatch(r"[a-z][a-z0-9]{23}", secrets.generate_identifier())
    assert secrets.generate_public_hash() != secrets.generate_public_hash()
    assert secrets.generate_identifier() != secrets.generate_identifier()


@pytest.mark.parametrize(
    ("generate", "shape"),
    [
        (secrets.generate_shared_secret, r"[0-9a-f]{64}"),
        (secrets.generate_link_token, r"[\w-]{43}"),
        (secrets.generate_nonce, r"[0-9a-f]{32}"),
        (secrets.generate_identifier, r"[a-z][a-z0-9]{23}"),
    ],
)
def test_what_else_is_drawn_by_lot_has_its_shape_and_never_comes_twice(generate, shape):
    drawn = {generate() for _ in range(20)}
    assert len(drawn) == 20
    assert all(re.fullmatch(shape, each) for each in drawn)


def test_a_links_token_is_found_by_its_sha256():
    assert secrets.digest_link_token("token") == hashlib.sha256(b"token").hexdigest()


@dialects
def test_more_of_a_secret_than_its_label_shows_is_noticed_anywhere(dialect):
    secret = secrets.generate(dialect)
    assert secrets.holds_part(secret)
    assert secrets.holds_part(f"key={secret[:-4]} and more")
    assert not secrets.holds_part(secrets.label(secret))
    assert not secrets.holds_part("nightly backup")
