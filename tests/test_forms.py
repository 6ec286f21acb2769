"""What people type, and what services get of it."""

import pytest
from django.core.exceptions import ValidationError
from django.http import QueryDict

from keys import secrets
from keys.forms.fields import AddressesField, AddressLine
from keys.forms.search import SearchForm


def parse(text: str) -> list[AddressLine]:
    return AddressesField(required=False).clean(text)


def test_addresses_are_read_a_line_each_in_their_one_spelling():
    assert parse("192.0.2.7\n\n  !2001:DB8::/32  # the lab\n::ffff:10.0.0.0/104\r\n") == [
        AddressLine("192.0.2.7", deny=False, comment=""),
        AddressLine("2001:db8::/32", deny=True, comment="the lab"),
        AddressLine("10.0.0.0/8", deny=False, comment=""),
    ]
    assert parse("") == parse(" \n ") == []


def test_every_bad_line_is_named_by_its_number():
    with pytest.raises(ValidationError) as problem:
        parse("192.0.2.7\n10.0.0.1/8\n# only a comment\n010.1.2.3")
    assert [message.partition(":")[0] for message in problem.value.messages] == [
        "Line 2",
        "Line 3",
        "Line 4",
    ]
    assert "did you mean 10.0.0.0/8?" in problem.value.messages[0]


@pytest.mark.parametrize(
    "text", ["fe80::1%eth0", "10.1", "0x0a000001", "１０.0.0.1", "!", "!!10.0.0.1", "1.2.3.4:80"]
)
def test_what_is_no_plain_address_is_refused(text):
    """T28: forms of writing an address that other software reads differently."""
    with pytest.raises(ValidationError):
        parse(text)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0"])
def test_everywhere_is_said_by_an_empty_list(text):
    with pytest.raises(ValidationError, match="means everywhere"):
        parse(text)
    assert parse("!" + text)[0].deny


def test_line_is_written_as_it_is_read():
    for text in ("192.0.2.7", "!192.0.2.0/24", "2001:db8::/32  # the lab"):
        assert str(parse(text)[0]) == text


@pytest.mark.django_db
@pytest.mark.parametrize("dialect", secrets.FORMATS)
def test_search_keeps_any_good_part_of_a_secret_out_of_addresses(dialect):
    secret = secrets.generate(dialect)
    label = secrets.label(secret)
    shown = (secret, secret[:-1], secret[:-20], f" {secret} ")
    pasted = (f"Bearer {secret}", f"X-API-Key:{secret[:-1]}", f'"{secret}"', f"key={secret}")
    for text in (*shown, *pasted):
        form = SearchForm(QueryDict(mutable=True) | {"search": text})
        assert form.is_sensitive, text
    for text in (label, label[-3:], label.partition("...")[0], "billing"):
        form = SearchForm({"search": text})
        assert form.is_valid()
        assert not form.is_sensitive, text
        assert form.secret is None
    for text in (f" {secret}\n", f"Authorization: Bearer {secret}", f"\u200b'{secret}'"):
        form = SearchForm({"search": text})
        assert form.is_valid()
        assert form.secret == secret


def test_endless_search_is_kept_out_of_addresses_too():
    form = SearchForm({"search": "x" * 100_000})
    assert not form.is_valid()
    assert form.is_sensitive
