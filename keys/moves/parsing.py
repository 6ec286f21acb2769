"""From a row of a file to a candidate: each value under the name that we have for it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from keys import foreign
from keys.foreign import DigestError, Scheme, Shape
from keys.moves import values
from keys.moves.candidates import Candidate, GivenSecret, TroubleError
from keys.moves.columns import NOTHING, Columns, Format
from keys.moves.guards import unguard
from keys.moves.portable import SECRET_FACTS, TOTALS, read_secrets
from keys.secrets import find_format

# Somebody can guess what is shorter.
# As much of a secret that is known by its beginning alone is shown.
_SHOWN = 6
_LONGEST_LABEL = 40

# That it is empty says something, too: such a secret has none.
_PREFIX = "prefix"

# What is known of secrets where only their digests are: alphabet, shortest, longest.
_SHAPES = {
    Format.DRF_API_KEY: (Scheme.SHA512, "dotted", 18, 151),
    Format.KNOX: (Scheme.SHA512, "hex", 16, 266),
    Format.NETBOX: (Scheme.NETBOX, "dotted", 24, 120),
    Format.UNKEY: (Scheme.SHA256, "base62", 16, 400),
    Format.BETTER_AUTH: (Scheme.SHA256, "urlsafe", 16, 400),
}


def parse(row: int, record: Mapping[str, Any], columns: Columns, file_format: Format) -> Candidate:
    """Return what a row of a file says of a key, and what of it cannot be read."""
    said: dict[str, Any] = {}
    is_ours = file_format is Format.NATIVE
    for column, value in record.items():
        name = columns.of(column or "")
        if name == NOTHING or (values.is_nothing(value) and name != _PREFIX):
            continue
        if is_ours and isinstance(value, str):
            value = unguard(value)
        said[name] = value
    candidate = Candidate(row=row)
    reading = candidate.troubles.reading
    for name, value in said.items():
        reading(_read_value, candidate, name, value, is_ours)
    for read in (_read_state, _read_networks, _read_totals):
        reading(read, candidate, said)
    reading(_read_secrets, candidate, said, file_format)
    if file_format is Format.NETBOX and "write_enabled" in said and not candidate.scopes:
        writes = reading(values.flag, "write_enabled", said["write_enabled"])
        candidate.scopes = () if writes else ("READ",)
    if file_format is Format.UNKEY and "refill" in said:
        reading(_read_refill, candidate, said["refill"])
    candidate.name = candidate.name or (candidate.secrets[0].label if candidate.secrets else "?")
    return candidate


def _read_value(candidate: Candidate, name: str, value: Any, is_ours: bool) -> None:
    if name in _TEXTS:
        text = values.text(name, value)
        setattr(candidate, _TEXTS[name], text if is_ours else text.strip())
    elif name in _READERS:
        attribute, reader = _READERS[name]
        setattr(candidate, attribute, reader(name, value))


def _read_secrets(candidate: Candidate, said: Mapping[str, Any], file_format: Format) -> None:
    if file_format is Format.NATIVE and "secrets" in said:
        candidate.secrets = read_secrets(said["secrets"])
        return
    secret = _read_secret(said, file_format)
    candidate.secrets = [secret]
    _read_uses(secret, said)


_TEXTS = {
    "name": "name",
    "identifier": "identifier",
    "hash": "hash",
    "short_name": "slug",
    "description": "description",
    "format": "dialect",
    "workspace": "workspace",
    "owner": "owner",
    "external_user": "external_user",
    "role": "role",
    "limit_reset": "limit_reset",
    "lock_reason": "lock_reason",
}
_READERS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "scopes": ("scopes", values.words),
    "not_before": ("not_before", values.moment),
    "expires_at": ("expires_at", values.moment),
    "disabled": ("disabled", values.flag),
    "revoked_at": ("revoked_at", values.moment),
    "locked_at": ("locked_at", values.moment),
    "created_at": ("created_at", values.moment),
    "limit": ("limit", values.amount),
    "limit_remaining": ("limit_remaining", values.amount),
    "include_byok_in_limit": ("include_byok_in_limit", values.flag),
    "server_addresses": ("assign_server_ips", values.flag),
    "rate_limits": ("rate_limits", values.rate_limits),
}


def _read_state(candidate: Candidate, said: Mapping[str, Any]) -> None:
    now = datetime.now(UTC)
    if "enabled" in said:
        candidate.disabled |= not values.flag("enabled", said["enabled"])
    if "revoked" in said and values.flag("revoked", said["revoked"]):
        candidate.revoked_at = candidate.revoked_at or now
    status = said.get("status")
    candidate.disabled |= status == "disabled"
    if status == "locked":
        candidate.locked_at = candidate.locked_at or now
    if candidate.limit is None and candidate.limit_remaining is not None:
        candidate.limit = candidate.limit_remaining


def _read_networks(candidate: Candidate, said: Mapping[str, Any]) -> None:
    if "networks" in said:
        candidate.networks = values.networks("networks", said["networks"])
        return
    for name, deny in (("allowed_ips", False), ("denied_ips", True)):
        if name in said:
            candidate.networks += values.networks(name, said[name], deny=deny)


def _read_totals(candidate: Candidate, said: Mapping[str, Any]) -> None:
    if "usage" in said:
        given = values.mapping("usage", said["usage"])
        candidate.totals = {
            name: reader(name, given[name])
            for name, reader in TOTALS.items()
            if not values.is_nothing(given.get(name))
        }
        return
    named = {
        "accepted_requests": ("requests", values.count),
        "refused_requests": ("refused", values.count),
        "last_used_at": ("last_used_at", values.moment),
        "last_address": ("last_address", values.text),
    }
    for name, (attribute, reader) in named.items():
        if name in said:
            candidate.totals[attribute] = reader(name, said[name])


def _read_uses(secret: GivenSecret, said: Mapping[str, Any]) -> None:
    for name in ("created_at", "last_used_at"):
        if name in said:
            secret.facts[name] = SECRET_FACTS[name](name, said[name])


def _read_refill(candidate: Candidate, value: Any) -> None:
    refill = values.mapping("refill", value)
    interval = refill.get("interval")
    if interval in ("daily", "monthly") and not values.is_nothing(refill.get("amount")):
        candidate.limit = values.amount("refill", refill["amount"])
        candidate.limit_reset = interval


def _read_secret(said: Mapping[str, Any], file_format: Format) -> GivenSecret:
    if "secret" in said:
        return _given_as_such(values.text("secret", said["secret"]).strip())
    if "digest" not in said or file_format not in _SHAPES:
        raise TroubleError(
            "secret",
            _("The file does not say by what this key is known."),
            _NEEDS_DIGEST.get(file_format, _NEEDS_SECRET)(),
        )
    digest = said["digest"]
    if isinstance(digest, dict):  # as Unkey takes it: {"value": …, "variant": …}
        digest = digest.get("value", "")
    scheme, alphabet, shortest, longest = _SHAPES[file_format]
    start = _read_start(said, file_format)
    found = _parse_digest(scheme, values.text("digest", digest).strip(), start, said)
    if scheme is Scheme.NETBOX:
        start = f"nbt_{start.removeprefix('nbt_')}"
    prefix = "nbt_" if scheme is Scheme.NETBOX else foreign.prefix_of(start)
    _refuse_ours(start)
    if file_format is Format.KNOX and start.removeprefix(prefix).strip("0123456789abcdef"):
        alphabet = "urlsafe"
    return GivenSecret(
        label=_label_of(start, prefix),
        scheme=scheme,
        shape=Shape(scheme, prefix, alphabet, max(shortest, len(prefix) + 1), longest),
        digest=found,
    )


def _read_start(said: Mapping[str, Any], file_format: Format) -> str:
    """Return how a secret begins, as far as that is said."""
    start = values.text("start", said.get("start") or said.get(_PREFIX) or "").strip()
    if not start and file_format in _NEEDS_START and _PREFIX not in said:
        # People choose there how keys begin. What begins as only keys of this portal do is
        # looked for nowhere else, and what has a prefix that we do not know looks otherwise.
        problem = _("The file does not say how this key begins.")
        raise TroubleError("start", problem, _NEEDS_START[file_format]())
    return start


def _given_as_such(secret: str) -> GivenSecret:
    own = find_format(secret)
    if own is not None:
        return GivenSecret(label=own.label(secret), text=secret)
    if len(secret) < foreign.MIN_SECRET_LENGTH or not foreign.is_presentable(secret):
        raise TroubleError(
            "secret",
            _("This cannot be presented as a key, or is too easily guessed."),
            _("A secret has 16 to 512 visible ASCII characters. Issue a new key instead."),
        )
    _refuse_ours(secret)
    shape = foreign.shape_of(secret)
    label = f"{secret[: len(shape.prefix) + 3]}...{secret[-3:]}"
    return GivenSecret(label=label, text=secret, scheme=Scheme.PLAIN, shape=shape)


def _refuse_ours(beginning: str) -> None:
    if beginning.startswith(foreign.NEVER_FOREIGN):
        raise TroubleError(
            "secret",
            _("This begins as keys of this portal do, and is none."),
            _("Check that nothing is cut off; keys of another Keyhaven come in as “native”."),
        )


def _parse_digest(scheme: Scheme, text: str, start: str, said: Mapping[str, Any]) -> bytes:
    try:
        match scheme:
            case Scheme.SHA512:
                return foreign.parse_sha512(text)
            case Scheme.NETBOX:
                number = values.count("pepper_id", said.get("pepper_id", 1))
                return foreign.parse_netbox(start.removeprefix("nbt_"), text, number)
        return foreign.parse_sha256(text)
    except DigestError as error:
        match str(error):
            case "slow":
                problem = _("This is a slow hash, made for passwords.")
                fix = _(
                    "Use the key once with djangorestframework-api-key 3, which then keeps "
                    "SHA-512, and export again; or issue a new key."
                )
            case "name":
                problem = _("The public part of this token is missing.")
                fix = _("Export the column “key” too.")
            case _other:
                problem = _("This is no such digest.")
                fix = _("Check the format that you chose, and that nothing is cut off.")
        raise TroubleError("digest", problem, fix) from None


def _label_of(start: str, prefix: str) -> str:
    # Nothing of which more is shown than a mask shows of a secret of ours.
    shown = start[: len(prefix) + _SHOWN]
    return f"{shown}..."[:_LONGEST_LABEL] if shown and shown.isprintable() else "imported"


def _needs_secret() -> str:
    return _("Add a column “secret”, or export with --with-digests where the key is from.")


_NEEDS_SECRET: Callable[[], str] = _needs_secret
_NEEDS_DIGEST: dict[Format, Callable[[], str]] = {
    Format.DRF_API_KEY: lambda: _("Export the column “hashed_key”."),
    Format.KNOX: lambda: _("Export the column “digest”."),
    Format.NETBOX: lambda: _("Export the columns “key”, “hmac_digest” and “pepper_id”."),
    Format.UNKEY: lambda: _("Export the column “hash”."),
    Format.BETTER_AUTH: lambda: _("Export the column “key”, which holds the digest."),
    Format.PLAIN: lambda: _("Add a column “secret”."),
}
_NEEDS_START: dict[Format, Callable[[], str]] = {
    Format.KNOX: lambda: _("Export the column “token_key” too."),
    Format.UNKEY: lambda: _("Export the column “start” too."),
    Format.BETTER_AUTH: lambda: _("Export the columns “start” and “prefix” too."),
}
