"""Import a file of keys: look through all of it first, then write all of it or nothing."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from keys import policy
from keys.models import Organization, User
from keys.moves.candidates import Candidate, Problem
from keys.moves.columns import Columns
from keys.moves.parsing import parse
from keys.moves.reading import read
from keys.policy import Actor
from keys.roles import Permission
from keys.rules import Rules, rules_of
from keys.services import audit
from keys.services.audit import Subject
from keys.services.importing.checking import Checker, Plan
from keys.services.importing.events import collected
from keys.services.importing.report import ImportOptions, ImportReport
from keys.services.importing.writing import Record, Referred, write

BATCH = 500

Source = Callable[[], Iterable[bytes]]
Progress = Callable[[int], object]


class _StoppedError(Exception):
    """A problem showed while writing; nothing of it stays."""


def import_keys(
    *,
    actor: Actor,
    organization: Organization,
    source: Source,
    options: ImportOptions,
    progress: Progress = lambda rows: None,
) -> ImportReport:
    """Import keys from a file, and return a report that says of each bad row what is wrong.

    `source` opens the file anew each time, `progress` hears how many more rows were read. All
    keys are written or none, unless the options say to skip bad rows: then the good ones are,
    each batch by itself. What the organization has already is passed over, so that a file may
    be imported again. Raises PermissionDenied; ColumnError for columns mapped to nothing known.
    """
    policy.require(actor, Permission.ADD_APIKEY, organization)
    if not isinstance(actor, User) and actor is not policy.OPERATOR:
        # Where it may be used from and how much it may spend would not bind what it brings in.
        raise PermissionDenied(_("A key cannot import keys."))
    run = _Run(actor, organization, source, options, progress)
    if options.skips_invalid and not options.is_trial:
        return run.write_good_rows()
    report = run.look_through()
    if options.is_trial or not report.is_clean:
        return report
    return run.write_all()


class _Run:
    def __init__(
        self,
        actor: Actor,
        organization: Organization,
        source: Source,
        options: ImportOptions,
        progress: Progress,
    ) -> None:
        self._actor, self._organization, self._source = actor, organization, source
        self._options, self._progress = options, progress
        self._rules = rules_of(organization)
        self._referred = Referred()
        self._start()

    def _start(self) -> None:
        self._report = ImportReport()
        self._columns = Columns(self._options.file_format, self._options.mapped)
        self._checker = Checker(self._actor, self._organization, self._options, self._report)

    def look_through(self) -> ImportReport:
        """Report on the whole file, and write nothing."""
        for plans in self._batches():
            self._referred.add(plans)
            self._report.imported += len(plans) - len(self._objections(plans))
        return self._report

    def write_all(self) -> ImportReport:
        """Write the file, which was looked through, in one transaction.

        What its keys refer to is held first, so that nobody who holds some of it waits for us
        while we wait for them. The audit trail is held last: the organization goes on meanwhile.
        """
        shapes = self._checker.shapes
        self._start()
        self._checker.shapes = shapes
        shapes.store()
        try:
            with collected() as events, transaction.atomic():
                self._referred.hold()
                for plans in self._batches():
                    if not self._report.is_clean or self._write(plans, events.add):
                        raise _StoppedError
                for rows in events.batches(BATCH):
                    self._record_keys(rows)
                self._record()
        except (_StoppedError, IntegrityError, ValidationError):
            self._report.imported, self._report.is_written = 0, False
            if self._report.is_clean:
                self._refuse_race()
        finally:
            shapes.drop_unused()
        return self._report

    def write_good_rows(self) -> ImportReport:
        """Write what can be written, each batch in a transaction of its own."""
        shapes = self._checker.shapes
        try:
            for plans in self._batches():
                shapes.store()
                self._write_good(plans)
        finally:
            shapes.drop_unused()
        self._record()
        return self._report

    def _write_good(self, plans: list[Plan]) -> None:
        try:
            bad = {problem.row for problem in self._write(plans, self._record_keys)}
            if bad:
                good = [plan for plan in plans if plan.candidate.row not in bad]
                self._write(good, self._record_keys)
        except (IntegrityError, ValidationError):
            self._refuse_race()

    def _write(self, plans: list[Plan], record: Record) -> list[Problem]:
        """Write a batch; none of it where rules object, and that is reported."""
        problems = self._try(plans, record, is_trial=False)
        if not problems:
            self._report.imported += len(plans)
            self._report.is_written = True
        return problems

    def _objections(self, plans: list[Plan]) -> list[Problem]:
        if self._rules == Rules(self._organization):
            return []
        return self._try(plans, self._record_keys, is_trial=True)

    def _try(self, plans: list[Plan], record: Record, *, is_trial: bool) -> list[Problem]:
        shapes = self._checker.shapes
        problems = write(self._actor, plans, shapes, self._rules, record, is_trial=is_trial)
        for problem in problems:
            self._report.refuse(problem)
        return problems

    def _refuse_race(self) -> None:
        problem = _("Somebody changed what these keys refer to at the same moment.")
        self._report.refuse(Problem(0, "", problem, _("Import the file again.")))

    def _record_keys(self, rows: Iterable[tuple[Subject, dict[str, Any]]]) -> None:
        audit.record_many(
            actor=self._actor,
            action="apikey.imported",
            organization=self._organization,
            rows=rows,
        )

    def _record(self) -> None:
        if not self._report.rows:
            return
        audit.record(
            actor=self._actor,
            action="apikey.import_finished",
            obj=self._organization,
            organization=self._organization,
            changes={
                "format": self._options.file_format.value,
                "rows": self._report.rows,
                "imported": self._report.imported,
                "present": self._report.present,
                "refused": self._report.refused,
                "file_sha256": self._report.sha256,
            },
        )

    def _batches(self) -> Iterator[list[Plan]]:
        """Yield plans of the rows by the batch; what cannot be a key is reported."""
        batch: list[Candidate] = []
        for candidate in self._candidates():
            batch.append(candidate)
            if len(batch) == BATCH:
                yield self._checker.check(batch)
                self._progress(len(batch))
                batch = []
        if batch:
            yield self._checker.check(batch)
            self._progress(len(batch))
        self._report.unread_columns = self._columns.unread

    def _candidates(self) -> Iterator[Candidate]:
        for row in read(self._hashed(), self._report.pass_over):
            self._report.rows += 1
            if isinstance(row, Problem):
                self._report.refuse(row)
                continue
            number, record = row
            yield parse(number, record, self._columns, self._options.file_format)

    def _hashed(self) -> Iterator[bytes]:
        whole = hashlib.sha256()
        for chunk in self._source():
            whole.update(chunk)
            yield chunk
        self._report.sha256 = whole.hexdigest()
