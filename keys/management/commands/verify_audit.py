"""`manage.py verify_audit`: is the audit trail whole?"""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from keys import audit_checks, policy
from keys.audit_checks import Finding
from keys.models import INSTALLATION, AuditHead, Organization
from keys.services import audit


class Command(BaseCommand):
    """Finds audit events that were altered, removed, inserted or moved."""

    help = (
        "Say whether the audit trail is as the portal wrote it, and which events are not. "
        "Ends with 1 when something is wrong. `--head` prints the signed heads: kept elsewhere, "
        "`--expect` finds later whether both a trail and its head were set back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="of this one alone")
        parser.add_argument("--json", action="store_true", help="one JSON object for each chain")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--head", action="store_true", help="print the signed heads, check nothing"
        )
        what.add_argument(
            "--expect",
            metavar="FILE",
            help="check against heads that were printed before; - is stdin",
        )
        what.add_argument(
            "--file",
            metavar="FILE",
            help="check an exported trail (JSON lines) instead; - is stdin",
        )
        what.add_argument(
            "--adopt",
            action="store_true",
            help="add events to the chains that a release before them wrote during an upgrade",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        numbers = _chains(options["organization"])
        if options["head"]:
            self._print_heads(numbers)
        elif options["file"]:
            self._check_file(options["file"], as_json=options["json"])
        else:
            if options["adopt"]:
                self._adopt(numbers)
            expected = list(_heads_in(options["expect"])) if options["expect"] else []
            self._check(numbers, expected, as_json=options["json"])

    def _check(self, numbers: list[int], expected: list[Any], *, as_json: bool) -> None:
        names = _names(numbers)
        are_whole = True
        for number in numbers:
            found = audit_checks.check(number)
            found += [
                finding
                for head in expected
                if head["chain"] == number and (finding := audit_checks.compare(head))
            ]
            are_whole = are_whole and not found
            head = AuditHead.objects.filter(chain=number).first()
            self._report(names[number], head.sequence if head else 0, found, as_json=as_json)
        lost = {head["chain"] for head in expected} - set(names)
        for number in sorted(lost):
            self._report(str(number), 0, [Finding(number, audit_checks.Kind.HEAD_MISSING)], as_json)
        if lost or not are_whole:
            sys.exit(1)

    def _check_file(self, name: str, *, as_json: bool) -> None:
        count = 0

        def counted() -> Iterator[Any]:
            nonlocal count
            for event in _lines_of(name):
                count += 1
                yield event

        try:
            found = list(audit_checks.check_file(counted()))
        except (KeyError, TypeError, AttributeError):
            raise CommandError(f"Line {count} of {name} is no event of a trail.") from None
        self._report(name, count, found, as_json=as_json)
        if found:
            sys.exit(1)

    def _report(self, name: str, events: int, found: list[Finding], as_json: bool) -> None:
        if as_json:
            findings = [
                {
                    "kind": each.kind.name.lower(),
                    "sequence": each.sequence,
                    "until": each.until,
                    "event_id": each.event_id,
                    "message": str(each),
                }
                for each in found
            ]
            line = {"chain": name, "events": events, "whole": not found, "findings": findings}
            self.stdout.write(json.dumps(line))
        elif found:
            for each in found:
                self.stdout.write(f"{name}: {each}")
        else:
            self.stdout.write(f"{name}: whole, {events} events")

    def _print_heads(self, numbers: list[int]) -> None:
        names = _names(numbers)
        for head in AuditHead.objects.filter(chain__in=numbers).order_by("chain"):
            witness = {"name": names[head.chain], **audit_checks.witness_of(head)}
            self.stdout.write(json.dumps(witness))

    def _adopt(self, numbers: list[int]) -> None:
        organizations = Organization.objects.in_bulk([each for each in numbers if each])
        for number in numbers:
            count = audit_checks.adopt(number)
            if count:
                organization = organizations.get(number)
                audit.record(
                    actor=policy.OPERATOR,
                    action="audit.adopted",
                    obj=organization or AuditHead.objects.get(chain=number),
                    organization=organization,
                    changes={"events": count},
                )


def _chains(slug: str | None) -> list[int]:
    if slug is None:
        return audit_checks.chains()
    number = Organization.objects.filter(slug=slug).values_list("pk", flat=True).first()
    if number is None:
        raise CommandError(f"There is no organization {slug!r}.")
    return [number]


def _names(numbers: list[int]) -> dict[int, str]:
    slugs = dict(Organization.objects.filter(pk__in=numbers).values_list("pk", "slug"))
    return {
        number: "(installation)" if number == INSTALLATION else slugs.get(number, str(number))
        for number in numbers
    }


def _heads_in(name: str) -> Iterator[Any]:
    for number, head in enumerate(_lines_of(name), start=1):
        try:
            if {"chain", "sequence", "hash", "signed_under", "signature"} <= head.keys():
                yield head
                continue
        except AttributeError:
            pass
        raise CommandError(f"Line {number} of {name} is no head: print one with --head.")


def _lines_of(name: str) -> Iterator[Any]:
    try:
        with nullcontext(sys.stdin) if name == "-" else Path(name).open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                yield _parsed(line, f"Line {number} of {name} is no JSON.")
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{name} is no text.") from None


def _parsed(line: str, otherwise: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise CommandError(otherwise) from None
