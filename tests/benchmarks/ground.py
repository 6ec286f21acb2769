"""Make the database that is verified against, and files of the keys in it.

Run as a program of its own, `python -m tests.benchmarks.ground FOLDER KEYS`, with the
environment of the portal that it is for.
"""

import os
import random
import secrets as random_source
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keys.models import APIKey

# So many good keys are asked with in turn, and of so many there are files.
HOT_KEYS = 1_000
# Of each of the peers.
PEER_KEYS = 200
WRITTEN_KEYS = 100_000
# Well-formed secrets that nobody has.
UNKNOWN_KEYS = 100_000


def main() -> None:
    """Migrate and fill the database that the environment names."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.peers.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import transaction

    from tests.benchmarks.writing import settle

    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    call_command("migrate", verbosity=0)
    good = _fill(count)
    _write(folder / "hot", good[:HOT_KEYS])
    _write(folder / "good", good[:WRITTEN_KEYS])
    _write(folder / "garbage", (f"{key[:-1]}-" for key in good[:HOT_KEYS]))
    _write(folder / "unknown", _new_secrets(UNKNOWN_KEYS))
    if "--peers" in sys.argv:
        with transaction.atomic():
            _make_peers(folder)
    settle()


def _fill(count: int) -> list[str]:
    """Store so many keys; return the secrets of all, or of WRITTEN_KEYS spread over them.

    Each is confined in every way that the question can satisfy.
    """
    from django.utils import timezone

    from keys.models import User
    from keys.policy import OPERATOR
    from keys.services import create_organization, issue_key

    owner = User.objects.create_user("owner@bench.example", "not to sign in with")
    organization = create_organization(actor=OPERATOR, name="Bench", slug="bench", owner=owner)

    def issue(**fields) -> "APIKey":
        return issue_key(actor=OPERATOR, organization=organization, scopes=["READ"], **fields)

    # Of whoever asks about keys.
    _write(Path(sys.argv[1]) / "asker", [issue(name="Asker").secret])
    first = issue(
        name="Service",
        owner=owner,
        expires_at=timezone.now() + timedelta(days=365),
        allowed_ips=["127.0.0.0/8"],
    )
    _copy(first, count - 1)
    written = min(count, WRITTEN_KEYS)
    good = list(_new_secrets(written))
    _give_secrets([first.pk + index * count // written for index in range(written)], good)
    return good


def _copy(key: "APIKey", copies: int) -> None:
    from keys.models import AllowedIP, APIKey, KeySecret, KeyUsage
    from tests.benchmarks.writing import multiply, numbered

    names = {
        "id": "id + n",
        "identifier": numbered("identifier", 16, 8),
        "hash": numbered("hash", 56, 8),
        "name": "name || ' ' || n",
        "slug": "slug || '-' || n",
    }
    multiply(APIKey, copies, names, f"id = {key.pk}")
    of_key = {"key_id": "key_id + n"}
    multiply(KeySecret, copies, {**of_key, "digest": _any_digest()}, f"key_id = {key.pk}")
    multiply(KeyUsage, copies, of_key, f"key_id = {key.pk}")
    multiply(AllowedIP, copies, of_key, f"key_id = {key.pk}")
    listed = APIKey.scopes.through
    multiply(listed, copies, {"apikey_id": "apikey_id + n"}, f"apikey_id = {key.pk}")


def _any_digest() -> str:
    from django.db import connection

    if connection.vendor == "postgresql":
        return "md5(random()::text) || md5(random()::text)"
    return "lower(hex(randomblob(32)))"


def _give_secrets(keys: list[int], good: list[str]) -> None:
    from django.conf import settings
    from django.db import connection, transaction

    from keys import secrets

    _number, pepper = max(settings.KEY_PEPPERS.items())
    rows = [
        (secrets.digest(secret, pepper), secrets.label(secret), key)
        for key, secret in zip(keys, good, strict=True)
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE keys_keysecret SET digest = %s, label = %s WHERE key_id = %s", rows
        )


def _new_secrets(count: int) -> Iterator[str]:
    """Make secrets faster than keys.secrets does, for nobody to guess but everybody to see."""
    from keys.secrets import FORMATS

    source = random.Random(random_source.token_bytes(32))  # noqa: S311
    native = FORMATS["native"]
    for _number in range(count):
        body = native.prefix + "".join(source.choices(native.alphabet, k=native.random_length))
        yield body + native.checksum(body)


def _make_peers(folder: Path) -> None:
    from knox.models import AuthToken
    from rest_framework.authtoken.models import Token
    from rest_framework_api_key.models import APIKey

    from keys.models import User

    people = User.objects.bulk_create(
        User(email=f"person{number}@bench.example") for number in range(PEER_KEYS)
    )
    tokens = Token.objects.bulk_create(Token(user=one, key=Token.generate_key()) for one in people)
    _write(folder / "token", (token.key for token in tokens))
    _write(folder / "knox", (AuthToken.objects.create(one)[1] for one in people))
    made = (APIKey.objects.create_key(name=str(number))[1] for number in range(PEER_KEYS))
    _write(folder / "api-key", made)


def _write(file: Path, lines: Iterable[str]) -> None:
    file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
