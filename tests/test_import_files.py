"""Whatever file somebody imports, they are told what is wrong with which row."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from keys import services
from keys.models import APIKey, AuditEvent, ImportedFormat, KeyUsage, Role, Workspace
from keys.moves.candidates import Problem
from keys.moves.columns import ColumnError, Columns, Format
from keys.moves.parsing import parse
from keys.moves.reading import MAX_LINE_BYTES, read
from keys.rules import RoleTerms
from keys.services import audit
from keys.services.importing.numbers import Numbers
from keys.services.importing.report import ImportReport
from keys.verification import Code
from tests.test_importing import ROWS, ask, take

SECRET = "tok-0123456789abcdef{:04}"
HEADER = b"name,secret\n"


def rows_of(*chunks):
    return list(read(chunks))


def problems_of(*chunks):
    return [row for row in read(chunks) if isinstance(row, Problem)]


def parsed(row, record, file_format):
    return parse(row, record, Columns(file_format), file_format)


class TestReading:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_any_usual_separator_is_recognised(self, separator):
        text = f"name{separator}secret\nA{separator}B\n"
        assert rows_of(text.encode()) == [(2, {"name": "A", "secret": "B"})]

    def test_a_mark_of_byte_order_is_no_part_of_a_name(self):
        assert rows_of(b"\xef\xbb\xbfname\nA\n") == [(2, {"name": "A"})]

    def test_lines_may_come_in_any_pieces_and_with_any_end(self):
        whole = b'{"name": "A"}\r\n\r\n{"name": "B"}'
        assert rows_of(*(bytes([each]) for each in whole)) == [
            (1, {"name": "A"}), (3, {"name": "B"})]  # fmt: skip

    def test_cells_may_hold_lines_and_quotes(self):
        found = rows_of(b'name,description\nA,"one\ntwo ""three"""\nB,\n')
        assert found == [
            (2, {"name": "A", "description": 'one\ntwo "three"'}),
            (4, {"name": "B", "description": ""}),
        ]

    @pytest.mark.parametrize(
        ("content", "word"),
        [
            (b"", "empty"),
            (b"\n\n", "empty"),
            ("name\n".encode("utf-16"), "UTF-16"),
            (b"name\nM\xfcller\n", "UTF-8"),
            (b'[{"name": "A"}]', "JSON list"),
            (b'{"name": \n', "no JSON"),
            (b'{"a": 1}\n[1]\n', "no JSON object"),
            (b'{"a": NaN}\n', "no JSON"),
            (b'{"a": ' + b"[" * 100_000 + b"\n", "no JSON"),
            (b'{"a": ' + b"9" * 100_000 + b"}\n", "no JSON"),
            (b'name,secret\n"A,B\n', "quotes"),
            (b"name,secret\nA,B,C\n", "more cells"),
            (b"name,name\nA,B\n", "one name"),
            (b"\x00\x01,\x02\nA,B\n", "no header"),
            (b"a," * 300 + b"\n", "too many columns"),
            (b"x" * 10_000_000, "longer"),
            (HEADER + b"x" * 10_000_000 + b"\nA,B\n", "longer"),
            (b'{"a": "' + b"x" * 10_000_000 + b'"}\n', "longer"),
        ],
        ids=range(18),
    )
    def test_a_bad_file_is_explained(self, content, word):
        pieces = [content[at : at + 65536] for at in range(0, len(content), 65536)]
        [problem] = problems_of(*pieces)
        assert word in problem.problem
        assert problem.fix

    def test_rows_after_a_bad_line_are_read(self):
        long = b"x" * (MAX_LINE_BYTES + 1)
        found = rows_of(HEADER, long, b"\n", b"A,B\nM\xfc,C\nD,E\n")
        assert [type(each) for each in found] == [Problem, tuple, Problem, tuple]
        assert [each.row for each in found if isinstance(each, Problem)] == [2, 4]
        assert found[-1] == (5, {"name": "D", "secret": "E"})

    @given(st.lists(st.binary(max_size=200), max_size=5))
    def test_no_bytes_bring_it_down(self, chunks):
        for row in read(chunks):
            if isinstance(row, Problem):
                assert row.problem
                continue
            for file_format in Format:
                parsed(*row, file_format)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
OUR_NAMES = sorted(Columns(Format.NATIVE)._names.values())


@given(st.dictionaries(st.sampled_from(OUR_NAMES), json_values, max_size=6))
def test_no_value_brings_it_down(record):
    for file_format in Format:
        parsed(1, record, file_format)


class TestValues:
    def parsed(self, **values):
        candidate = self.read(**values)
        assert candidate.troubles == []
        return candidate

    def read(self, **values):
        return parsed(1, {"name": "A", "secret": SECRET.format(1), **values}, Format.PLAIN)

    @pytest.mark.parametrize(
        "value",
        ["2030-01-31T12:00:00Z", "2030-01-31T13:00:00+01:00", "2030-01-31 12:00:00",
         1_896_091_200, "1896091200", 1_896_091_200_000, "1896091200000"],
    )  # fmt: skip
    def test_a_moment_is_written_in_many_ways(self, value):
        assert self.parsed(expires=None, expiresAt=value).expires_at == datetime(
            2030, 1, 31, 12, tzinfo=UTC
        )

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("expires_at", "soon"), ("expires_at", 1e300), ("expires_at", "2030-02-30"),
            ("expires_at", True), ("expires_at", 10**40), ("disabled", "perhaps"),
            ("limit", -1), ("limit", "1e400000"), ("limit", "much"), ("limit", [1]),
            ("rate_limits", "often"), ("rate_limits", "1/"), ("allowed_ips", 1.5),
            ("allowed_ips", '[{"network": {}}]'), ("scopes", {"READ": 1}), ("name", ["A"]),
        ],
    )  # fmt: skip
    def test_what_is_no_such_value_is_named(self, field, value):
        [trouble] = self.read(**{field: value}).troubles
        assert trouble.field == field
        assert trouble.fix

    def test_all_that_is_wrong_with_a_row_is_told(self):
        read = self.read(secret="short", limit="much", expires_at="soon", scopes={"READ": 1})
        told = {trouble.field for trouble in read.troubles}
        assert told == {"secret", "limit", "expires_at", "scopes"}

    def test_lists_are_words_or_json(self):
        for value in ("READ CREATE", "READ,CREATE", ["READ", "CREATE"], '["READ", "CREATE"]'):
            assert self.parsed(scopes=value).scopes == ("READ", "CREATE")

    @pytest.mark.parametrize("secret", ["short", "with a space in it", "käse" * 8, "x" * 513])
    def test_what_nobody_should_present_is_no_secret(self, secret):
        [trouble] = self.read(secret=secret).troubles
        assert secret not in f"{trouble.problem} {trouble.fix}"

    def test_a_slow_hash_is_refused_with_the_way_out(self):
        """T15, T16: it would have to be worked out for each guess."""
        row = {"name": "Old", "prefix": "abcdefgh", "hashed_key": "pbkdf2_sha256$260000$s$aGFzaA=="}
        [trouble] = parsed(1, row, Format.DRF_API_KEY).troubles
        assert "slow" in trouble.problem
        assert "SHA-512" in trouble.fix

    def test_labels_show_the_beginning_alone(self):
        for file_format, (secret, row) in ROWS.items():
            label = parse(1, row, Columns(file_format), file_format).secrets[0].label
            assert len(label) < len(secret) / 1.5
            assert label.rstrip(".")[:4] == secret[:4]

    def test_columns_can_be_called_otherwise(self):
        columns = Columns(Format.PLAIN, {"Kunde": "external_user", "Key": "-"})
        assert [columns.of(each) for each in ("kunde", "key", "Expires At", "x")] == [
            "external_user", "-", "expires_at", "-"]  # fmt: skip
        assert columns.unread == ["key", "x"]
        with pytest.raises(ColumnError):
            Columns(Format.PLAIN, {"a": "nonsense"})


def plain(number, **more):
    return {"name": f"Key {number}", "secret": SECRET.format(number), **more}


class TestReport:
    def test_all_problems_of_a_row_are_told_with_their_fields(self, acme):
        bad = plain(1, owner="nobody@acme.example", role="emperor", workspace="Moon",
                    limit="much", allowed_ips="10.0.0.1/8", limit_reset="hourly",
                    expires_at="2030-01-01", not_before="2031-01-01")  # fmt: skip
        report = take(acme, "plain", plain(0), bad, is_trial=True)
        assert (report.rows, report.imported, report.refused) == (2, 1, 1)
        assert {problem.row for problem in report.problems} == {2}
        assert [problem.field for problem in report.problems] == [
            "limit", "role", "owner", "workspace", "limit_reset", "expires_at", "allowed_ips",
        ]  # fmt: skip

    def test_a_key_that_ends_as_it_begins_is_refused_by_its_end(self, acme):
        moment = "2031-01-01T00:00:00Z"
        report = take(acme, "plain", plain(0, not_before=moment, expires_at=moment), is_trial=True)
        assert [problem.field for problem in report.problems] == ["expires_at"]

    def test_the_trail_says_what_became_of_a_file(self, acme):
        take(acme, "plain", plain(0))
        report = take(acme, "plain", plain(0), plain(1), plain(2, role="emperor"),
                      skips_invalid=True)  # fmt: skip
        assert AuditEvent.objects.filter(action="apikey.import_finished").latest("pk").changes == {
            "format": "plain", "rows": 3, "imported": 1, "present": 1, "refused": 1,
            "file_sha256": report.sha256,
        }  # fmt: skip

    def test_problems_are_told_by_line_whatever_is_looked_at_first(self, acme):
        rows = [
            plain(0),
            plain(0),
            plain(1),
            plain(2, role="emperor"),
            plain(1),
            plain(3, limit=-1),
        ]
        report = take(acme, "plain", *rows, is_trial=True)
        assert [problem.row for problem in report.problems] == [2, 4, 5, 6]

    def test_a_row_that_is_twice_in_a_file_is_so_the_next_time_too(self, acme):
        rows = [plain(0), plain(1), plain(0)]
        first = take(acme, "plain", *rows, skips_invalid=True)
        again = take(acme, "plain", *rows, skips_invalid=True)
        assert (first.imported, first.present, first.refused) == (2, 0, 1)
        assert (again.imported, again.present, again.refused) == (0, 2, 1)
        assert first.problems == again.problems

    def test_of_one_row_ten_problems_are_listed_and_the_others_counted(self):
        report = ImportReport()
        report.refuse(*(Problem(1, str(number), "Wrong.", "") for number in range(12)))
        assert (report.refused, len(report.problems), report.unlisted) == (1, 10, 2)


class TestAllOrNothing:
    BAD = [
        {"owner": "nobody@acme.example"},
        {"role": "emperor"},
        {"scopes": "emperor:crown"},
        {"workspace": "Moon"},
        {"allowed_ips": "10.0.0.1/8"},
        {"rate_limits": "5/fortnight"},
        {"rate_limits": "5/second 6/second"},
        {"limit_reset": "hourly"},
        {"limit": "0.1234567"},
        {"not_before": "2031-01-01", "expires_at": "2030-01-01"},
        {"name": "x" * 201},
        {"name": "A\x00B"},
        {"description": "x" * 501},
        {"short_name": "a/b"},
        {"format": "emperor"},
        {"secret": SECRET.format(0)},
        {"last_used_at": "0001-01-01T00:00:00+14:00"},
        {"external_user": "x" * 201},
    ]

    @pytest.mark.parametrize("bad", BAD, ids=lambda bad: next(iter(bad)))
    def test_one_bad_row_keeps_all_out(self, acme, bad):
        before = AuditEvent.objects.count()
        report = take(acme, "plain", plain(0), plain(1, **bad), plain(2))
        assert (report.rows, report.refused) == (3, 1)
        assert {problem.row for problem in report.problems} == {2}
        assert all(problem.problem for problem in report.problems)
        assert not APIKey.objects.exists()
        assert AuditEvent.objects.count() == before

    def test_the_others_come_in_where_that_is_wished(self, acme):
        report = take(acme, "plain", plain(0), plain(1, role="emperor"), plain(2),
                      skips_invalid=True)  # fmt: skip
        assert (report.imported, report.refused, report.is_written) == (2, 1, True)
        assert [ask(SECRET.format(each)).code for each in range(3)] == [
            Code.VALID, Code.NOT_FOUND, Code.VALID]  # fmt: skip

    def test_a_dry_run_says_the_same_and_writes_nothing(self, acme):
        rows = [plain(0), plain(1), plain(0, short_name="x"), plain(3, role="emperor")]
        dry = take(acme, "plain", *rows, is_trial=True)
        assert not APIKey.objects.exists()
        wet = take(acme, "plain", *rows, skips_invalid=True)
        assert (dry.imported, dry.problems) == (wet.imported, wet.problems)
        assert dry.imported == 2
        assert not dry.is_written

    def test_what_fails_at_its_last_step_leaves_nothing(self, acme, monkeypatch):
        def crash(**kwargs):
            raise RuntimeError

        monkeypatch.setattr(audit, "record", crash)
        with pytest.raises(RuntimeError):
            take(acme, "plain", plain(0))
        assert not APIKey.objects.exists()

    @pytest.mark.parametrize("skips_invalid", [False, True])
    def test_what_fails_unforeseen_leaves_nothing_either(self, acme, monkeypatch, skips_invalid):
        def crash(**kwargs):
            raise RuntimeError

        monkeypatch.setattr(audit, "record_many", crash)
        with pytest.raises(RuntimeError):
            take(acme, "plain", plain(0), skips_invalid=skips_invalid)
        assert not APIKey.objects.exists()
        assert not ImportedFormat.objects.exists()

    @pytest.mark.parametrize("model", [Role, Workspace])
    def test_what_is_deleted_while_the_file_is_looked_through_is_told(self, acme, owner, model):
        make = {Role: services.create_role, Workspace: services.create_workspace}[model]
        row = make(actor=owner, organization=acme, name="Till")

        def source():
            yield json.dumps(plain(0, **{model._meta.model_name: "Till"})).encode() + b"\n"
            model.objects.filter(pk=row.pk).delete()

        report = take(acme, "plain", source=source)
        assert (report.imported, report.is_written) == (0, False)
        assert ["at the same moment" in each.problem for each in report.problems] == [True]
        assert not APIKey.objects.exists()

    @pytest.mark.parametrize("at_once", [True, False], ids=["one file", "two files"])
    def test_keys_of_one_name_get_short_names_of_their_own(self, acme, at_once):
        rows = [plain(each, name="Till") for each in range(3)]
        files = [rows] if at_once else [[row] for row in rows]
        assert sum(take(acme, "plain", *some).imported for some in files) == 3
        assert len(set(acme.api_keys.values_list("slug", flat=True))) == 3

    def test_a_member_imports_no_scopes_that_their_role_does_not_give(self, acme, owner, admin):
        """Issuing refuses the same of keys of the organization, whose owner has no role."""
        terms = RoleTerms(Role.objects.get(organization=None, name="admin"), frozenset({"READ"}))
        services.update_policy(actor=owner, organization=acme, roles=[terms])
        report = take(acme, "plain", plain(0), actor=admin, scopes=("READ", "DELETE"))
        assert (report.imported, len(report.problems)) == (0, 1)
        assert "keys get only READ; not DELETE" in report.problems[0].problem
        assert take(acme, "plain", plain(0), actor=admin, scopes=("READ",)).imported == 1
        assert acme.api_keys.get().scope_codes == ["READ"]

    def test_rules_of_the_organization_hold_for_what_is_imported(self, acme, owner):
        services.update_policy(actor=owner, organization=acme, shared_key_days=30)
        report = take(acme, "plain", plain(0), is_trial=True)
        assert report.refused == 1
        assert take(acme, "plain", plain(0)).imported == 0
        good = plain(1, expires_at=datetime.now(UTC).replace(microsecond=0).isoformat())
        report = take(acme, "plain", plain(0), good, skips_invalid=True)
        assert (report.imported, report.refused) == (1, 1)
        assert APIKey.objects.get().name == "Key 1"


def test_amounts_may_end_in_zeros(acme):
    """What was spent is then a zero of as many places, which is to be stored as one."""
    said = [("10.00", "10.00"), ("10.5", "10.50"), ("0.00", "0.00"), ("0e3", None), ("9.0", "8.50")]
    rows = (plain(at, limit=limit, limit_remaining=left) for at, (limit, left) in enumerate(said))
    report = take(acme, "plain", *rows)
    assert (report.imported, report.problems) == (5, [])
    stored = KeyUsage.objects.order_by("pk").values_list("limit", "period_cost")
    assert list(stored) == [(10, 0), (Decimal("10.5"), 0), (0, 0), (0, 0), (9, Decimal("0.5"))]
    assert [row.limit for row in APIKey.objects.order_by("pk")] == [limit for limit, _ in stored]


@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**52, 2**64 - 1])))
def test_numbers_are_remembered_as_by_a_set(numbers):
    seen, known = Numbers(), set()
    for number in numbers:
        assert (number in seen) is (number in known)
        seen.add(number)
        known.add(number)
        assert number in seen


class TestTrail:
    def test_each_key_and_the_file_are_in_it(self, acme, owner):
        report = take(acme, "plain", plain(0), plain(1), actor=owner, owner=owner)
        actions = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
        assert actions[-3:] == ["apikey.imported", "apikey.imported", "apikey.import_finished"]
        last = AuditEvent.objects.latest("pk")
        assert last.changes["imported"] == 2
        assert last.changes["file_sha256"] == report.sha256
        assert last.actor_user == owner
        call_command("verify_audit", verbosity=0)


class TestCommand:
    def run(self, path, *more, file_format="plain"):
        call_command(
            "import_keys", str(path), "--organization", "acme", "--format", file_format, *more
        )

    def test_it_says_what_it_did(self, acme, tmp_path, capsys):
        path = tmp_path / "keys.csv"
        path.write_text(f"Name;Key;Extra\nA;{SECRET.format(1)};x\nB;{SECRET.format(2)};y\n")
        self.run(path, "--dry-run", "--scope", "READ")
        assert "2 rows: 2 to import, 0 here already, 0 with problems." in capsys.readouterr().out
        self.run(path, "--scope", "READ", "--map", "Extra=description")
        assert "2 imported" in capsys.readouterr().out
        assert ask(SECRET.format(1), scopes=["READ"]).code is Code.VALID
        assert set(APIKey.objects.values_list("description", flat=True)) == {"x", "y"}

    def test_it_says_what_it_passed_over(self, acme, tmp_path, capsys):
        path = tmp_path / "keys.csv"
        path.write_text(f"name,secret\nA,{SECRET.format(1)}\n")
        self.run(path)
        assert "empty" not in capsys.readouterr().out
        path.write_text(f"\nname,secret\nA,{SECRET.format(1)}\n\n,\nB,{SECRET.format(2)}\n")
        self.run(path)
        told = capsys.readouterr().out
        assert "2 rows: 1 imported, 1 here already, 0 with problems." in told
        assert "Passed over: 3 empty lines." in told

    def test_it_names_each_bad_row(self, acme, tmp_path, capsys):
        path = tmp_path / "keys.jsonl"
        path.write_text("\n".join(json.dumps(plain(n, limit="much")) for n in range(1200)))
        with pytest.raises(CommandError, match="Nothing was imported"):
            self.run(path)
        told = capsys.readouterr()
        assert "Line 1: limit: This is no amount. Write a number" in told.err
        assert "200 more" in told.err
        assert "1200 rows: 0 to import" in told.out

    @pytest.mark.parametrize(
        ("more", "word"),
        [
            (["--owner", "nobody@acme.example"], "owner"),
            (["--role", "emperor"], "role"),
            (["--workspace", "Moon"], "workspace"),
            (["--map", "a=nonsense"], "--map"),
        ],
    )
    def test_a_wrong_option_is_named(self, acme, tmp_path, more, word):
        path = tmp_path / "keys.csv"
        path.write_bytes(HEADER)
        with pytest.raises(CommandError, match=word):
            self.run(path, *more)

    def test_a_file_that_is_not_there_is_named(self, acme, tmp_path):
        with pytest.raises(CommandError, match="nothing"):
            self.run(tmp_path / "nothing.csv")
        with pytest.raises(CommandError, match="directory"):
            self.run(tmp_path)
