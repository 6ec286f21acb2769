"""What log lines look like, and what none of them may hold. Pure.

Lines are JSON, one object each, or text for people who only try the portal out. Whatever is
logged goes through one processor that knows what secrets look like and takes them out: not
because anything would log one, but because a library, an address or an exception may.
"""

import logging
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import structlog

from keys.secrets import FORMATS

HIDDEN = "[hidden]"
# Shorter values are found in innocent words.
_SHORTEST_VALUE = 12

_HEADERS = "authorization|proxy-authorization|x-api-key|private-token|cookie|set-cookie"
# Words in which the name of a field ends, whatever it begins with.
_FIELDS = (
    r"password\d?|secret(?:_key)?|token|pepper"
    r"|\b(?:passwd|api_?key|sessionid|otp|recovery_code)"
)
# Strangers choose what is logged, such as paths. So none of these begins with a run of
# characters, or may begin within one: each text is read once, not once from each of its words.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Secrets of keys, whole or a part of one that is longer than what labels show.
    *(
        (
            re.compile(
                rf"(?<![0-9A-Za-z])({re.escape(each.prefix)})"
                rf"[0-9A-Za-z]{{{2 * sum(each.shown) + 1},}}"
            ),
            rf"\1{HIDDEN}",
        )
        for each in FORMATS.values()
    ),
    (re.compile(r"\bwhsec_[0-9A-Za-z+/=]+"), f"whsec_{HIDDEN}"),
    # Tokens of the exchange.
    (re.compile(r"(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),
    # Links that let in whoever has them.
    (
        re.compile(r"(/accounts/(?:invitation|confirm-email|password/reset/key)/)[^\s\"'<>?]+"),
        rf"\1{HIDDEN}",
    ),
    # Passwords in addresses of databases and mail servers.
    (re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(
            rf"\b((?:http_)?(?:{_HEADERS})[\"']?\s*[:=]\s*)[\"']?[^\r\n\"',}}]+", re.IGNORECASE
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            rf"((?:{_FIELDS})[\"']?\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s\"'&,;}}]+)",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
)


class Redaction:
    """Takes secrets out of all that a line says: by how they look, and these values themselves."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = sorted({value for value in values if len(value) >= _SHORTEST_VALUE}, key=len)
        self._values = re.compile("|".join(map(re.escape, reversed(known)))) if known else None

    def __call__(
        self, logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Work as a processor of structlog."""
        return {name: self.clean(value) for name, value in event.items()}

    def clean(self, value: Any) -> Any:
        """Return what may be logged of a value."""
        match value:
            case None | bool() | int() | float():
                return value
            case Mapping():
                return {str(name): self.clean(each) for name, each in value.items()}
            case list() | tuple() | set():
                return [self.clean(each) for each in value]
        text = str(value)
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def formatter(*, as_json: bool, secrets: Iterable[str] = ()) -> logging.Formatter:
    """Return what turns records into lines, with what is known of the request at hand."""
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=["status_code", "details"]),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = structlog.processors.JSONRenderer(sort_keys=True) if as_json else _as_text
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _shorten,
            structlog.processors.format_exc_info,
            _unfold,
            Redaction(secrets),
            last,
        ],
    )


def _shorten(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name what a request was refused for; where we failed, leave all that led there."""
    problem = event.get("exc_info")
    if problem and event.get("status_code", 500) < 500:
        kind, error, _trace = event.pop("exc_info")
        event["error"] = f"{kind.__name__}: {error}"
    return event


def _unfold(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put what a record details beside the rest."""
    details = event.pop("details", None)
    return {**(details if isinstance(details, Mapping) else {}), **event}


def _as_text(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    first = " ".join(str(event.pop(name, "")) for name in ("timestamp", "level", "logger", "event"))
    trace = event.pop("exception", "")
    rest = "".join(f" {name}={value}" for name, value in sorted(event.items()))
    return f"{first}{rest}" + (f"\n{trace}" if trace else "")
