"""Issue one API key from the command line, for scripts and for whoever runs the installation."""

import json
import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, transaction

from keys import policy, services
from keys.management.arguments import find_organization, find_person, find_role, one_line
from keys.management.arguments import text as _text
from keys.models import APIKey
from keys.models.keys import Dialect
from keys.models.rates import Period
from keys.models.usage import LimitReset


class Command(BaseCommand):
    """Issues the key as the operator, who is refused nothing but nonsense."""

    help = "Issue an API key and print it with its secret, which is shown only now."
    # Warnings about the installation have no place in an answer that scripts read.
    requires_system_checks = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # A wrong option then raises CommandError too, instead of printing several lines.
        parser.called_from_command_line = False
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--organization", required=True, type=_text, metavar="SLUG", help="its short name"
        )
        parser.add_argument("--name", required=True, type=_text, help="what the key is for")
        parser.add_argument(
            "--dialect", choices=Dialect.values, default="native", help="how it looks"
        )
        parser.add_argument(
            "--owner",
            type=_text,
            metavar="EMAIL",
            help="the member whom the key acts for; without one it is the organization's own",
        )
        grant = parser.add_mutually_exclusive_group()
        grant.add_argument("--role", type=_text, help="the role that the key follows")
        grant.add_argument(
            "--scope", nargs="+", action="extend", default=[], type=_text, metavar="CODE"
        )
        parser.add_argument("--limit", type=_amount, help="how much may be spent in one period")
        parser.add_argument("--limit-reset", choices=LimitReset.values)
        parser.add_argument(
            "--rate",
            nargs="+",
            action="extend",
            default=[],
            type=_rate,
            metavar="N/PERIOD",
            help="how often it may be used, such as 600/minute; one for each period",
        )
        parser.add_argument(
            "--allowed-ip", nargs="+", action="extend", default=[], type=_text, metavar="CIDR"
        )
        parser.add_argument(
            "--expires", type=_instant, metavar="ISO", help="2027-01-31T12:00:00Z; UTC if unsaid"
        )
        parser.add_argument(
            "--url",
            type=_address,
            default=settings.PUBLIC_URL,
            help="the portal's address in a Netography client's NETOSECRET; %(default)s if unsaid",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
        except CommandError as error:  # raised by the parser
            self.stderr.write(f"CommandError: {error}")
            sys.exit(error.returncode)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            issued = self._issue(options)
        except ValidationError as error:
            raise CommandError(one_line(error)) from None
        except PermissionDenied as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"The database refused: {' '.join(str(error).split())}") from None
        if options["json"]:
            self.stdout.write(json.dumps(issued))
        else:
            for name, value in issued.items():
                self.stdout.write(f"{name}: {value}")

    @transaction.atomic
    def _issue(self, options: dict[str, Any]) -> dict[str, Any]:
        organization = find_organization(options["organization"])
        key = services.issue_key(
            actor=policy.OPERATOR,
            organization=organization,
            name=options["name"],
            dialect=Dialect(options["dialect"]),
            owner=find_person(options["owner"]),
            role=find_role(organization, options["role"]),
            scopes=options["scope"],
            limit=options["limit"],
            limit_reset=options["limit_reset"],
            rate_limits=options["rate"],
            allowed_ips=options["allowed_ip"],
            expires_at=options["expires"],
        )
        issued = _describe(key)
        if key.dialect == Dialect.NETOGRAPHY:
            issued["netosecret"] = services.assemble_netosecret(
                actor=policy.OPERATOR, key=key, portal_url=options["url"]
            )
        return issued


def _describe(key: APIKey) -> dict[str, Any]:
    return {
        "id": key.pk,
        "identifier": key.identifier,
        "hash": key.hash,
        "slug": key.slug,
        "label": key.label,
        "secret": key.secret,
    }


def _address(text: str) -> str:
    parts = urlsplit(_text(text))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ArgumentTypeError(f"{text!r} is no address such as https://keys.example")
    return text


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise ArgumentTypeError(f"{text!r} is not an amount such as 25 or 2.50")
    return amount


def _rate(text: str) -> dict[str, Any]:
    amount, _slash, period = text.partition("/")
    if not (amount.isascii() and amount.isdecimal() and period in Period.values):
        raise ArgumentTypeError(f"{text!r} is not a rate such as 600/minute")
    return {"amount": int(amount), "period": period}


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a moment such as 2027-01-31T12:00:00Z") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
