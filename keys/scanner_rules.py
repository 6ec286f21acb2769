"""Rules by which scanners for leaked secrets know this installation's keys. Pure.

They come from the formats of the keys. gitleaks and trufflehog look for the form alone;
detect-secrets runs Python, and computes the checksum as well, so that it finds nothing else.
"""

import json
import re
from collections.abc import Callable

from keys.models.keys import Dialect
from keys.secrets import FORMATS, Format

_DETECTOR = '''"""Finds API keys of Keyhaven, for detect-secrets: `detect-secrets scan -p FILE`."""

import re
import zlib

from detect_secrets.plugins.base import RegexBasedDetector

# Prefix -> (the alphabet of what follows, its length, the length of the checksum at its end).
FORMATS = {formats}


class KeyhavenDetector(RegexBasedDetector):
    """Finds what begins and ends as a key does: the end is a checksum of the rest."""

    secret_type = "Keyhaven API key"

    denylist = [
        re.compile(pattern)
        for pattern in {patterns}
    ]

    def analyze_string(self, string):
        for found in super().analyze_string(string):
            if is_key(found):
                yield found


def is_key(text):
    """Say whether a text of the right form has the right checksum."""
    for prefix, (alphabet, length, size) in FORMATS.items():
        if text.startswith(prefix) and len(text) == len(prefix) + length:
            return text[-size:] == checksum(text[:-size], alphabet, size)
    return False


def checksum(body, alphabet, size):
    """Return the CRC-32 of a text in an alphabet, zero-padded."""
    number, characters = zlib.crc32(body.encode()), []
    for _ in range(size):
        number, remainder = divmod(number, len(alphabet))
        characters.append(alphabet[remainder])
    return "".join(reversed(characters))
'''


def pattern(secret_format: Format) -> str:
    """Return the regular expression of a format, in what RE2 and Python understand alike."""
    letters = "0-9a-f" if len(secret_format.alphabet) == 16 else "0-9A-Za-z"
    length = secret_format.random_length + secret_format.checksum_length
    return rf"\b{re.escape(secret_format.prefix)}[{letters}]{{{length}}}\b"


def for_gitleaks() -> str:
    """Return a configuration of gitleaks (`--config FILE`), in TOML, beside its own rules."""
    parts = ['title = "Keyhaven"\n\n[extend]\nuseDefault = true\n']
    for dialect, secret_format in FORMATS.items():
        parts.append(
            "\n[[rules]]\n"
            f'id = "keyhaven-{dialect}"\n'
            f'description = "API key of Keyhaven ({Dialect(dialect).label})"\n'
            f"regex = '''{_plain(pattern(secret_format))}'''\n"
            f'keywords = ["{secret_format.prefix}"]\n'
        )
    return "".join(parts)


def for_trufflehog() -> str:
    """Return custom detectors of trufflehog (`--config FILE`), in YAML."""
    parts = ["detectors:\n"]
    for dialect, secret_format in FORMATS.items():
        parts.append(
            f"  - name: keyhaven-{dialect}\n"
            f'    keywords: ["{secret_format.prefix}"]\n'
            "    regex:\n"
            f"      key: '{_plain(pattern(secret_format))}'\n"
        )
    return "".join(parts)


def for_detect_secrets() -> str:
    """Return a plugin of detect-secrets (`-p FILE`), in Python."""
    formats = {
        each.prefix: (
            each.alphabet,
            each.random_length + each.checksum_length,
            each.checksum_length,
        )
        for each in FORMATS.values()
    }
    patterns = [_plain(pattern(each)) for each in FORMATS.values()]
    return _DETECTOR.replace("{formats}", json.dumps(formats, indent=4)).replace(
        "{patterns}", repr(patterns)
    )


# Scanner -> (the name of its file, what is in it).
SCANNERS: dict[str, tuple[str, Callable[[], str]]] = {
    "gitleaks": ("keyhaven-gitleaks.toml", for_gitleaks),
    "trufflehog": ("keyhaven-trufflehog.yml", for_trufflehog),
    "detect-secrets": ("keyhaven_detector.py", for_detect_secrets),
}


def _plain(regex: str) -> str:
    # Python escapes hyphens, which RE2 takes as well but nobody reads.
    return regex.replace("\\-", "-")
