"""The token exchange: a client proves that it has a key and gets tokens to call with.

The wire facts are Netography's: which claims the request token has, and what NETOSECRET
holds. There is no memory of request tokens seen: each carries the key itself in clear,
so whoever captured one needs no replay, and a client that repeats a request whose reply
got lost must not be refused. Their age is bounded instead.
"""

import base64
import json

from django.db import transaction
from django.utils import timezone

from keys import encryption, snapshots, tokens, usage
from keys.entries import Entry
from keys.models import APIKey, Decision, Organization
from keys.models.organizations import SLUG_PATTERN
from keys.networks import Address
from keys.policy import Actor
from keys.services import sessions
from keys.services.sessions import SessionTokens
from keys.services.shared_secrets import read_shared_secret, reveal_shared_secret
from keys.services.verifying import Verdict, settle

# Where clients of the exchange find the API, under the address of the portal.
API_PATH = "/api/v1"


class ExchangeRefusedError(Exception):
    """The client gets no tokens; why is for the log and the key's owners, not for it."""


def assemble_netosecret(*, actor: Actor, key: APIKey, portal_url: str) -> str:
    """Return NETOSECRET for a key just issued or rotated: all that a client is configured with.

    Standard base64 with padding of a JSON object of five members. `portal_url` is the
    portal's address, perhaps with a dialect's prefix. Raises as reveal_shared_secret does.
    """
    members = {
        "url": portal_url.rstrip("/") + API_PATH,
        "shortname": key.organization.slug,
        "appname": key.slug,
        "sharedsecret": reveal_shared_secret(actor=actor, organization=key.organization),
        "appkey": key.secret,
    }
    return base64.b64encode(json.dumps(members).encode()).decode()


def exchange_request_token(
    *, token: str, address: Address | None, user_agent: str = ""
) -> tuple[SessionTokens, Verdict]:
    """Return the tokens of a new session for a request token, and how its key was judged.

    Raises ExchangeRefusedError.
    """
    now = timezone.now()
    try:
        organization = _find_organization(tokens.read_shortname(token))
        request = tokens.read_request_token(
            token, shared_secret=_shared_secret(organization), now=now
        )
    except tokens.InvalidTokenError as error:
        raise ExchangeRefusedError(str(error)) from None
    entry = snapshots.find(request.appkey)
    if entry is None or not _is_named(entry, organization, request):
        raise ExchangeRefusedError("The organization has no such key of that name.")
    with transaction.atomic():
        verdict = settle(
            entry,
            door=Decision.Door.EXCHANGE,
            presented=request.appkey,
            address=address,
            user_agent=user_agent,
        )
        if verdict.is_valid:
            usage.note_login(entry.key_id, now=now, address=str(address) if address else None)
    return sessions.open_session(_usable(entry, verdict), now=now), verdict


def refresh_session(
    *, token: str, address: Address | None, user_agent: str = ""
) -> tuple[SessionTokens, Verdict]:
    """Return the next tokens of a session, and how its key was judged.

    Raises ExchangeRefusedError.
    """
    try:
        entry, session_id = sessions.find_session(token, tokens.Kind.REFRESH)
    except tokens.InvalidTokenError as error:
        raise ExchangeRefusedError(str(error)) from None
    verdict = settle(
        entry,
        door=Decision.Door.EXCHANGE,
        presented=None,
        address=address,
        user_agent=user_agent,
    )
    issued = sessions.open_session(
        _usable(entry, verdict), now=timezone.now(), session_id=session_id
    )
    return issued, verdict


def _find_organization(shortname: str) -> Organization:
    # Checked first: no database takes just any text.
    if SLUG_PATTERN.fullmatch(shortname):
        organization = Organization.objects.filter(slug=shortname).first()
        if organization is not None:
            return organization
    raise tokens.InvalidTokenError("There is no such organization.")


def _shared_secret(organization: Organization) -> str:
    try:
        shared_secret = read_shared_secret(organization)
    except encryption.UnreadableError as error:
        raise tokens.InvalidTokenError(str(error)) from None
    if not shared_secret:
        raise tokens.InvalidTokenError("The organization has no shared secret yet.")
    return shared_secret


def _is_named(entry: Entry, organization: Organization, request: tokens.RequestToken) -> bool:
    return entry.organization_id == organization.pk and entry.slug == request.appname


def _usable(entry: Entry, verdict: Verdict) -> Entry:
    if not verdict.is_valid:
        raise ExchangeRefusedError(f"The key was judged {verdict.code}.")
    return entry
