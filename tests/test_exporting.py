"""What goes out comes back: the same keys, the same secrets, the same facts."""

import io
import json
import stat
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from keys import policy, services
from keys.models import APIKey, AuditEvent, ImportedFormat, ImportedSecret, KeySecret, KeyUsage
from keys.models.keys import Dialect
from keys.moves import portable
from keys.moves.columns import Format
from keys.moves.guards import guard, unguard
from keys.services import ImportOptions
from keys.verification import Code
from tests.conftest import join, make_organization, make_person
from tests.test_importing import ROWS, ask, take

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def export(organization, file_format="jsonl", *more):
    out = io.StringIO()
    command = ["export_keys", "--organization", organization.slug, "--format", file_format, *more]
    call_command(*command, stdout=out)
    return out.getvalue()


def take_back(organization, text, **options):
    return services.import_keys(
        actor=policy.OPERATOR,
        organization=organization,
        source=lambda: [text.encode()],
        options=ImportOptions(Format.NATIVE, **options),
    )


def facts(organization):
    """Return all that is known of the organization's keys, by name."""
    keys = organization.api_keys.with_details().prefetch_related("secrets__imported__format")
    return {
        key.name: (
            portable.record_of(key, NOW),
            portable.secrets_of(key, {0: "?", 1: "one", 9: "nine"}),
        )
        for key in keys
    }


def forget_keys():
    """Leave nothing of any key, as in a database that is new."""
    ImportedSecret.objects.all().delete()
    ImportedFormat.objects.all().delete()
    KeySecret.objects.all().delete()
    for model in (KeyUsage, APIKey):
        model.objects.all().delete()


@pytest.fixture
def full(acme, owner, developer):
    """Keys with all that a key can have; secrets of the portal's own and of others."""
    services.create_scope(actor=owner, organization=acme, code="orders:read")
    services.create_workspace(actor=owner, organization=acme, name="Lab")
    confined = services.issue_key(
        actor=developer,
        organization=acme,
        name="=cmd|' /C calc'!A0",
        description="-1; =2+3, \"quotes\"\n and lines",
        scopes=["READ"],
        workspace=acme.workspaces.get(name="Lab"),
        dialect=Dialect.OPENROUTER,
        expires_at=datetime(2099, 1, 1, tzinfo=UTC),
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
        limit=Decimal("12.5"),
        limit_reset="monthly",
        allowed_ips=["10.0.0.0/8", {"network": "10.1.0.0/16", "deny": True, "comment": "Lab"},
                     {"network": "2001:db8::/32", "active": False}],
        rate_limits=[{"amount": 100, "period": "minute"}, {"amount": 5, "period": "second"}],
        external_user="customer 7",
    )  # fmt: skip
    rotated = services.issue_key(actor=owner, organization=acme, name="Rotated", owner=None,
                                 scopes=["orders:read"])  # fmt: skip
    again = services.rotate_key(actor=owner, key=rotated, overlap=timedelta(days=3), quiet_hours=48)
    services.lock_key(
        actor=policy.OPERATOR,
        key=services.issue_key(actor=owner, organization=acme, name="Locked"),
        reason="Found on a forum",
    )
    services.revoke_key(
        actor=owner, key=services.issue_key(actor=owner, organization=acme, name="Revoked")
    )
    for file_format, (_secret, row) in ROWS.items():
        take(acme, file_format, {**row, "name": file_format.value})
    assert ask(ROWS[Format.KNOX][0]).code is Code.VALID
    secrets = [confined.secret, rotated.secret, again.secret]
    return secrets + [secret for secret, _row in ROWS.values()]


@pytest.fixture(autouse=True)
def _netbox_pepper(settings):
    settings.IMPORTED_PEPPERS = {7: b"a pepper, of another system; with, commas: and 50 characters"}


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
class TestRoundTrip:
    def test_an_empty_installation_gets_the_same_keys(self, acme, full, file_format):
        verdicts = [ask(secret).code for secret in full]
        text = export(acme, file_format, "--with-digests")
        before = facts(acme)
        forget_keys()
        assert [ask(secret).code for secret in full] == [Code.NOT_FOUND] * len(full)
        report = take_back(acme, text)
        assert report.problems == []
        assert facts(acme) == before
        assert [ask(secret).code for secret in full] == verdicts

    def test_what_is_there_already_stays_as_it_is(self, acme, full, file_format):
        text, before = export(acme, file_format, "--with-digests"), facts(acme)
        report = take_back(acme, text)
        assert (report.present, report.imported, report.refused) == (len(before), 0, 0)
        assert facts(acme) == before

    def test_another_organization_gets_none_of_them(self, acme, full, other, file_format):
        report = take_back(other, export(acme, file_format, "--with-digests"))
        assert report.imported == 0
        assert not other.api_keys.exists()

    def test_without_digests_nothing_opens_anything(self, acme, full, file_format):
        text = export(acme, file_format)
        assert not any(row.digest in text for row in KeySecret.objects.all())
        forget_keys()
        report = take_back(acme, text)
        assert report.imported == 0
        assert "--with-digests" in str(report.problems[0])

    def test_no_secret_is_in_it(self, acme, full, file_format):
        text = export(acme, file_format, "--with-digests")
        assert not any(secret in text for secret in full)


def test_with_another_pepper_nothing_is_imported(acme, key, settings):
    """The digests are worth nothing without it, so a silent import would make dead keys."""
    text = export(acme, "jsonl", "--with-digests")
    forget_keys()
    settings.KEY_PEPPERS = {1: b"another installation's own pepper"}
    report = take_back(acme, text)
    assert report.imported == 0
    assert "KEY_PEPPERS" in report.problems[0].fix
    old = {"1": "only-for-tests-0123456789-abcdefghijklmnop"}
    settings.KEY_PEPPERS = {7: b"another installation's own pepper", 3: old["1"].encode()}
    assert take_back(acme, text).imported == 1
    assert ask(key.secret).code is Code.VALID
    assert KeySecret.objects.get().pepper_id == 7


def test_the_file_is_for_the_operator_alone(acme, key, tmp_path):
    path = tmp_path / "keys.jsonl"
    call_command("export_keys", "--organization", "acme", "--output", str(path), "--with-digests")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["identifier"] == key.identifier
    with pytest.raises(CommandError, match="already"):
        call_command("export_keys", "--organization", "acme", "--output", str(path))


def test_an_export_is_in_the_trail(acme, key):
    export(acme, "jsonl", "--with-digests")
    event = AuditEvent.objects.latest("pk")
    assert event.action == "apikey.exported"
    assert event.changes == {"keys": 1, "digests": "true"}


@pytest.mark.parametrize("count", [0, 501])
def test_an_export_asks_few_questions_however_many_keys_there_are(
    acme, owner, django_assert_max_num_queries, count
):
    from tests.conftest import make_many

    make_many(acme, owner, count)
    with django_assert_max_num_queries(50):
        text = export(acme, "jsonl", "--with-digests")
    assert text.count("\n") == count


@given(st.text(alphabet=st.sampled_from("'=+-@;\t\r\n \"ab＝"), max_size=12))
def test_a_guarded_cell_gives_its_text_back(text):
    assert unguard(guard(text)) == text


moments = st.integers(946_684_800, 3_786_912_000).map(lambda at: datetime.fromtimestamp(at, UTC))
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=30)
wishes = st.fixed_dictionaries(
    {"name": words.filter(lambda text: text.strip() == text and text)},
    optional={
        "description": words.map(str.strip),
        "scopes": st.lists(st.sampled_from(["READ", "CREATE", "UPDATE"]), unique=True),
        "not_before": st.none() | moments,
        "disabled": st.booleans(),
        "limit": st.none() | st.decimals(0, 10**9, places=6),
        "limit_reset": st.none() | st.sampled_from(["daily", "weekly", "monthly"]),
        "assign_server_ips": st.booleans(),
        "allowed_ips": st.lists(
            st.fixed_dictionaries(
                {
                    "network": st.ip_addresses().map(str),
                    "deny": st.booleans(),
                    "comment": words.map(str.strip),
                    "active": st.booleans(),
                }
            ),
            max_size=3,
        ),
        "external_user": st.none() | words.map(str.strip).filter(bool),
    },
)


@pytest.mark.wide
class TestRandomKeys(TestCase):
    @given(st.lists(wishes, min_size=1, max_size=4), st.sampled_from(["jsonl", "csv"]))
    def test_random_keys_come_back_as_they_were(self, wanted, file_format):
        owner = make_person("owner@acme.example")
        acme = make_organization("acme", owner)
        join(acme, make_person("developer@acme.example"), "developer")
        issued = []
        for wish in wanted:
            if wish.get("limit") is None:
                wish = {**wish, "limit_reset": None}
            issued.append(services.issue_key(actor=owner, organization=acme, **wish))
        issued += [
            services.rotate_key(actor=owner, key=key, overlap=timedelta(hours=5))
            for key in issued[::2]
        ]
        for key in issued:
            ask(key.secret)
        verdicts = [_ask_for_nothing(key) for key in issued]
        text = export(acme, file_format, "--with-digests")
        before = sorted(map(repr, _everything(acme)))
        forget_keys()
        assert take_back(acme, text).problems == []
        assert sorted(map(repr, _everything(acme))) == before
        assert [_ask_for_nothing(key) for key in issued] == verdicts


def _ask_for_nothing(key):
    """Ask about a key without using up what is left of its limit."""
    return ask(key.secret, cost=Decimal(0)).code


def _everything(organization):
    keys = organization.api_keys.with_details()
    return [(portable.record_of(key, NOW), portable.secrets_of(key, {1: "one"})) for key in keys]
