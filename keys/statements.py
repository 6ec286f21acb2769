"""Which rows a statement of SQL may change, of those that verdicts depend on. Pure.

What is not understood counts as a change of everything: that costs time, never a verdict.
"""

import re
from enum import Enum
from functools import lru_cache


class Concern(Enum):
    """Whose rows a table holds."""

    KEY = "key"
    ORGANIZATION = "organization"
    KEY_OR_ORGANIZATION = "key or organization"
    EVERYTHING = "everything"


# Table -> whose rows it holds. Tables of usage, sessions or the audit trail decide nothing.
TABLES = {
    "keys_apikey": Concern.KEY,
    "keys_apikey_scopes": Concern.KEY,
    "keys_keysecret": Concern.KEY,
    "keys_allowedip": Concern.KEY,
    "keys_ratelimit": Concern.KEY_OR_ORGANIZATION,
    "keys_organization": Concern.ORGANIZATION,
    "keys_workspace": Concern.ORGANIZATION,
    "keys_serveraddress": Concern.ORGANIZATION,
    "keys_membership": Concern.ORGANIZATION,
    "keys_role": Concern.ORGANIZATION,
    "keys_role_scopes": Concern.ORGANIZATION,
    "keys_scope": Concern.ORGANIZATION,
    # A person may belong to several organizations.
    "keys_user": Concern.EVERYTHING,
    # Without one, what looks so is asked of no database.
    "keys_importedformat": Concern.EVERYTHING,
}

# Nothing that anybody remembers can depend on a row that was not there.
_BORN_ALONE = frozenset(
    {
        "keys_apikey",
        "keys_keysecret",
        "keys_organization",
        "keys_workspace",
        "keys_role",
        "keys_scope",
        "keys_user",
    }
)

# Columns that no verdict depends on. A digest changes only to the same secret's under
# another pepper.
_IDLE_COLUMNS = {
    "keys_user": frozenset({"last_login", "password"}),
    "keys_keysecret": frozenset({"last_used_at", "digest", "pepper_id"}),
}

# Columns of people that verdicts only mention, for organizations whose keys they own.
_MENTIONED_COLUMNS = {"keys_user": frozenset({"first_name", "last_name"})}

_NAMES = re.compile(rf"\b(?:{'|'.join(TABLES)})\b", re.IGNORECASE)
_WRITE = re.compile(
    r"\s*(?P<verb>INSERT(?: OR IGNORE)? INTO|UPDATE|DELETE FROM)\s+(?:ONLY\s+)?"
    r'(?:(?:"\w+"|\w+)\.)?(?P<table>"\w+"|\w+)(?=[\s(;]|\Z)'
)
# How the names of our tables begin.
_OURS = ("keys_", "django_", "auth_", "account_", "mfa_", "socialaccount_", "usersessions_")
_READ = re.compile(
    r"\s*\(?\s*(?:SELECT|EXPLAIN|PRAGMA|LOCK|SHOW|VACUUM|ANALYZE|REINDEX|CREATE INDEX)\b",
    re.IGNORECASE,
)
_WRITING_WORD = re.compile(
    r"\b(?:INSERT|DELETE|MERGE|TRUNCATE|(?<!FOR )(?<!FOR NO KEY )(?<!DO )UPDATE)\b|;",
    re.IGNORECASE,
)
_ROLLBACK = re.compile(r"\s*ROLLBACK\b", re.IGNORECASE)
_UPSERT = re.compile(r"\bON CONFLICT\b.*\bDO UPDATE\b", re.IGNORECASE | re.DOTALL)
_ASSIGNMENT = re.compile(r'\s*"(\w+)" = ')
# Where the list of assignments ends, outside of any parentheses.
_PIECE = re.compile(r"[(),]|\bWHERE\b|\bFROM\b|\bRETURNING\b|\bCASE\b|\bEND\b|'|\Z")


@lru_cache(maxsize=2048)
def concern_of(sql: str) -> Concern | None:
    """Say what a statement may change of that on which verdicts depend; None: nothing."""
    if not _NAMES.search(sql):
        return None
    if _READ.match(sql) and not _WRITING_WORD.search(sql):
        return None
    write = _WRITE.match(sql)
    if write is None or _WRITING_WORD.search(sql.rstrip("; \n"), write.end()):
        return Concern.EVERYTHING
    table = write["table"].strip('"')
    if table not in TABLES:
        return None if table.startswith(_OURS) else Concern.EVERYTHING
    if table in _BORN_ALONE and is_insert(sql):
        return None
    if write["verb"] == "UPDATE" and table in _IDLE_COLUMNS:
        columns = _assigned_columns(sql[write.end() :])
        if columns is not None and columns <= _IDLE_COLUMNS[table]:
            return None
        if columns is not None and columns <= _MENTIONED_COLUMNS.get(table, frozenset()):
            return Concern.ORGANIZATION
    return TABLES[table]


def is_insert(sql: str) -> bool:
    """Say whether a statement adds rows and changes none."""
    write = _WRITE.match(sql)
    return write is not None and write["verb"].startswith("INSERT") and not _UPSERT.search(sql)


def is_rollback(sql: str) -> bool:
    """Say whether a statement takes back others of its transaction, back to a savepoint."""
    return _ROLLBACK.match(sql) is not None


def _assigned_columns(tail: str) -> set[str] | None:
    """Return the columns that an UPDATE sets, told by what follows its table; None: unclear."""
    if not tail.startswith(" SET "):
        return None
    columns, depth, start = set(), 0, len(" SET ")
    for piece in _PIECE.finditer(tail, start):
        if piece[0] == "'":
            return None
        if piece[0] in ("(", "CASE"):
            depth += 1
        elif piece[0] in (")", "END"):
            depth -= 1
        elif depth == 0:
            assignment = _ASSIGNMENT.match(tail, start)
            if assignment is None:
                return None
            columns.add(assignment[1])
            if piece[0] != ",":
                return columns
            start = piece.end()
    return None
