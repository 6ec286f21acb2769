"""Keys that were issued elsewhere come along, and go on working as their holders know them."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection
from django.utils import timezone

from keys import foreign, generations, imported_formats, policy, services, snapshots
from keys.admin.reports import peppers
from keys.models import APIKey, AuditEvent, ImportedFormat, ImportedSecret, KeySecret
from keys.moves.columns import Format
from keys.services import ImportOptions, chores
from keys.services.importing import shapes
from keys.services.importing.shapes import Shapes, drop_abandoned
from keys.verification import Code

# As each system would have issued them, and what it would have kept.
DRF_SECRET = "fK3v9QpL.a8XcVb1nMq2WzE4rT6yU0iOpLkJh5gFd"
KNOX_SECRET = "9b4e0f5d6a71c28340f1e2d3c4b5a69788f0e1d2c3b4a5968778695a4b3c2d1e"
NETBOX_SECRET = "nbt_Qw3rTy7uIoP1.zX9cV8bN7mA6sD5fG4hJ3kL2pO1iU0yT9rE8wQ7a"
UNKEY_SECRET = "live_3ZQx9Yw8Vu7Ts6Rq5Po4Nm"
BETTER_AUTH_SECRET = "shop_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh"
PLAIN_SECRET = "tok-5f9d1c7b3a2e8d4f6b0a"
NETBOX_PEPPER = "a pepper, of another system; with, commas: and 50 characters"


def sha512(secret):
    return hashlib.sha512(secret.encode()).hexdigest()


def sha256(secret):
    return hashlib.sha256(secret.encode()).digest()


def netbox_row(secret=NETBOX_SECRET, **more):
    name, _dot, token = secret.removeprefix("nbt_").partition(".")
    digest = hmac.new(NETBOX_PEPPER.encode(), token.encode(), "sha256").hexdigest()
    return {"key": name, "hmac_digest": digest, "pepper_id": 7, "description": "Rack", **more}


ROWS = {
    Format.DRF_API_KEY: (
        DRF_SECRET,
        {
            "id": f"fK3v9QpL.sha512$${sha512(DRF_SECRET)}",
            "prefix": "fK3v9QpL",
            "hashed_key": f"sha512$${sha512(DRF_SECRET)}",
            "created": "2024-03-01T12:00:00Z",
            "name": "Partner",
            "revoked": False,
            "expiry_date": "2099-01-01T00:00:00Z",
        },
    ),
    Format.KNOX: (
        KNOX_SECRET,
        {"digest": sha512(KNOX_SECRET), "token_key": KNOX_SECRET[:15], "user": "", "expiry": ""},
    ),
    Format.NETBOX: (NETBOX_SECRET, netbox_row()),
    Format.UNKEY: (
        UNKEY_SECRET,
        {
            "hash": base64.b64encode(sha256(UNKEY_SECRET)).decode(),
            "start": "live_3ZQx",
            "name": "Shop",
            "createdAt": 1_700_000_000_000,
            "enabled": True,
        },
    ),
    Format.BETTER_AUTH: (
        BETTER_AUTH_SECRET,
        {
            "key": base64.urlsafe_b64encode(sha256(BETTER_AUTH_SECRET)).decode().rstrip("="),
            "prefix": "shop_",
            "start": "shop_A",
            "name": "Till",
            "enabled": True,
            "expiresAt": None,
        },
    ),
    Format.PLAIN: (PLAIN_SECRET, {"name": "Cron", "secret": PLAIN_SECRET}),
}


@pytest.fixture(autouse=True)
def _netbox_pepper(settings):
    settings.IMPORTED_PEPPERS = {7: NETBOX_PEPPER.encode()}


def lines(*rows):
    return lambda: [json.dumps(row).encode() + b"\n" for row in rows]


def take(organization, file_format, *rows, actor=policy.OPERATOR, source=None, **options):
    return services.import_keys(
        actor=actor,
        organization=organization,
        source=source or lines(*rows),
        options=ImportOptions(Format(file_format), **options),
    )


def ask(secret, **more):
    return services.verify_key(secret=secret, address=None, **more)


@pytest.mark.parametrize("file_format", ROWS, ids=str)
class TestEachSystem:
    def test_its_keys_go_on_working(self, acme, file_format):
        secret, row = ROWS[file_format]
        assert ask(secret).code is Code.NOT_FOUND
        report = take(acme, file_format, row, scopes=("READ",))
        assert (report.imported, report.problems) == (1, [])
        verdict = ask(secret, scopes=["READ"])
        assert verdict.code is Code.VALID
        assert verdict.entry.organization_id == acme.pk

    def test_they_are_rewrapped_at_the_first_use(self, acme, file_format, settings):
        secret, row = ROWS[file_format]
        take(acme, file_format, row)
        assert ask(secret).code is Code.VALID
        stored = KeySecret.objects.get()
        assert stored.pepper_id == 1
        # Nothing of the other system is needed any more.
        settings.IMPORTED_PEPPERS = {}
        assert ask(secret).code is Code.VALID

    def test_a_second_import_adds_nothing(self, acme, file_format):
        secret, row = ROWS[file_format]
        take(acme, file_format, row)
        assert take(acme, file_format, row).present == 1
        ask(secret)
        again = take(acme, file_format, row)
        assert (again.present, again.imported, again.refused) == (1, 0, 0)
        assert APIKey.objects.count() == 1

    def test_another_organization_cannot_have_them_and_learns_nothing(
        self, acme, other, file_format
    ):
        """T42: the same raw key resolves for one organization only."""
        secret, row = ROWS[file_format]
        take(acme, file_format, row)
        for _time in range(2):
            report = take(other, file_format, row)
            assert report.refused == 1
            told = str(report.problems)
            assert acme.slug not in told
            assert acme.name not in told
            assert secret not in told
            assert ask(secret).entry.organization_id == acme.pk

    def test_what_the_other_system_kept_opens_nothing(self, acme, file_format):
        """A dump of the old database is worth nothing here."""
        _secret, row = ROWS[file_format]
        take(acme, file_format, row)
        kept = [str(value) for name, value in row.items() if name != "secret"]
        stored = [row.digest for row in KeySecret.objects.all()]
        for text in [*kept, *stored]:
            assert ask(text).code is Code.NOT_FOUND

    def test_nobody_reads_the_secret_in_the_database(self, acme, file_format):
        secret, row = ROWS[file_format]
        take(acme, file_format, row)
        ask(secret)
        every = [*KeySecret.objects.values(), *ImportedSecret.objects.values(),
                 *ImportedFormat.objects.values(), *APIKey.objects.values(),
                 *AuditEvent.objects.values("changes", "object_label")]  # fmt: skip
        known = {secret, sha512(secret), sha256(secret).hex()}
        assert not any(each in str(every) for each in known)


@pytest.fixture
def trusting():
    """What a host does that hears of the others' changes."""
    generations.trust_until(2**63)
    yield
    generations.trust_until(0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("trusting")
class TestWhatItCosts:
    def test_nothing_imported_nothing_asked(self, acme, django_assert_num_queries):
        ask("a-warm-process-knows")
        with django_assert_num_queries(0):
            for secret, _row in ROWS.values():
                assert snapshots.find(secret) is None

    def test_what_looks_otherwise_costs_no_query(self, acme, django_assert_num_queries):
        secret, row = ROWS[Format.KNOX]
        take(acme, Format.KNOX, row)
        assert ask(secret).is_valid
        ask("a-warm-process-knows")
        with django_assert_num_queries(0):
            for text in (DRF_SECRET, "kh_typo", secret.upper(), f"{secret} ", f"{secret}\xff"):
                assert snapshots.find(text) is None
        with django_assert_num_queries(1):
            assert snapshots.find(secret[:-1] + "0") is None

    def test_an_unknown_secret_of_an_imported_shape_costs_one_query(
        self, acme, django_assert_num_queries
    ):
        for file_format, (_secret, row) in ROWS.items():
            take(acme, file_format, row)
        ask("a-warm-process-knows")
        with django_assert_num_queries(1):
            assert snapshots.find("d1" * 32) is None

    def test_no_import_makes_mistyped_keys_of_others_cost_a_query(
        self, acme, key, django_assert_num_queries
    ):
        """What one organization imports, the secrets of all are held against."""
        for row in (
            {"hash": sha256("x").hex(), "start": "kh_a"},
            {"hash": sha256("x").hex(), "start": "kh_"},
            {"secret": "kh_" + "a" * 20},
        ):
            report = take(acme, "unkey" if "hash" in row else "plain", row)
            assert "keys of this portal" in report.problems[0].problem
        # It has no prefix, and any character.
        take(acme, "plain", {"secret": "!" * 16}, {"secret": "!" * 200})
        ask("a-warm-process-knows")
        with django_assert_num_queries(0):
            assert snapshots.find(key.secret[:-1]) is None
        with django_assert_num_queries(1):
            assert snapshots.find(key.secret).key_id == key.pk

    @pytest.mark.skipif(connection.vendor == "sqlite", reason="there is no server to be lost")
    def test_a_lost_connection_is_opened_again(self, acme, monkeypatch):
        monkeypatch.setattr(imported_formats, "_remembered", {})
        connection.ensure_connection()
        connection.connection.close()
        assert snapshots.find("nonsense") is None

    def test_while_the_database_is_away_garbage_is_still_refused(self, acme, monkeypatch):
        snapshots.find("nonsense")
        generations.forget_everything()

        def away(is_inside):
            raise OperationalError

        monkeypatch.setattr(imported_formats, "_read", away)
        assert snapshots.find("nonsense") is None

    def test_an_import_makes_nobody_forget_what_they_remember(self, acme, key):
        """A million keys take minutes; all others are judged from memory meanwhile."""
        row = {"name": "A", "secret": "tok-0123456789abcdef", "scopes": "READ",
               "allowed_ips": "192.0.2.1", "rate_limits": "5/second"}  # fmt: skip
        take(acme, Format.PLAIN, row)
        for _time in range(2):
            snapshots.find(key.secret)
        misses = snapshots.counts().from_database
        take(acme, Format.PLAIN, {**row, "secret": "tok-fedcba9876543210"})
        assert snapshots.find(key.secret).key_id == key.pk
        assert snapshots.counts().from_database == misses


class TestLooking:
    def test_a_lengthened_secret_is_another(self, acme):
        """Extending a message whose plain hash is known extends no secret here."""
        secret, row = ROWS[Format.UNKEY]
        take(acme, Format.UNKEY, row)
        assert ask(secret + "x").code is Code.NOT_FOUND
        assert ask(secret[:-1]).code is Code.NOT_FOUND

    def test_the_same_token_under_another_public_part_is_none(self, acme):
        take(acme, Format.NETBOX, netbox_row())
        assert ask(NETBOX_SECRET.replace("Qw3r", "Qw4r")).code is Code.NOT_FOUND

    def test_of_two_organizations_that_know_one_secret_the_first_has_it(self, acme, other):
        """By digests of different kinds nobody can tell that they are the same."""
        row = {"hash": sha256(KNOX_SECRET).hex(), "start": KNOX_SECRET[:4], "name": "First"}
        take(acme, Format.UNKEY, row)
        take(other, Format.KNOX, ROWS[Format.KNOX][1])
        for _use in range(3):
            verdict = ask(KNOX_SECRET)
            assert (verdict.code, verdict.entry.organization_id) == (Code.VALID, acme.pk)

    def test_a_new_pepper_takes_over_what_is_imported(self, acme, settings):
        for file_format, (_secret, row) in ROWS.items():
            take(acme, file_format, row)
        settings.KEY_PEPPERS = {**settings.KEY_PEPPERS, 9: b"the new pepper " * 3}
        for secret, _row in ROWS.values():
            assert ask(secret).code is Code.VALID
        settings.KEY_PEPPERS = {9: settings.KEY_PEPPERS[9]}
        for file_format, (secret, row) in ROWS.items():
            assert ask(secret).code is Code.VALID
            assert take(acme, file_format, row).present == 1

    def test_a_pepper_stays_as_long_as_imported_secrets_lie_under_it(self, acme, staff, settings):
        take(acme, Format.KNOX, ROWS[Format.KNOX][1])
        settings.KEY_PEPPERS = {**settings.KEY_PEPPERS, 9: b"the new pepper " * 3}
        usable = {row["pepper"]: row["usable"] for row in peppers(staff, timezone.now())}
        assert usable == {9: 0, 1: 1}
        ask(KNOX_SECRET)
        usable = {row["pepper"]: row["usable"] for row in peppers(staff, timezone.now())}
        assert usable == {9: 1, 1: 0}

    def test_a_revoked_one_stays_revoked_and_is_not_rewrapped(self, acme):
        secret, row = ROWS[Format.DRF_API_KEY]
        take(acme, Format.DRF_API_KEY, {**row, "revoked": True})
        assert ask(secret).code is Code.REVOKED
        assert KeySecret.objects.get().pepper_id == foreign.WRAPPED

    def test_it_is_found_where_people_paste_it(self, acme, owner):
        secret, row = ROWS[Format.KNOX]
        take(acme, Format.KNOX, row)
        found = services.find_secret(actor=owner, organization=acme, text=secret)
        assert found.key == APIKey.objects.get()


@pytest.mark.parametrize(
    ("file_format", "scheme"),
    [(Format.DRF_API_KEY, "Api-Key"), (Format.KNOX, "Token"), (Format.NETBOX, "Bearer")],
)
def test_clients_present_them_as_they_always_did(client, acme, file_format, scheme):
    secret, row = ROWS[file_format]
    take(acme, file_format, row)
    for path in ("/v1/auth", "/v1/keys/self"):
        answer = client.get(path, HTTP_AUTHORIZATION=f"{scheme} {secret}")
        assert answer.status_code in (200, 204), path


@pytest.mark.wide
def test_what_the_packages_themselves_make_is_taken(acme):
    """The other tests have what they document; this asks their own code."""
    api_keys = pytest.importorskip("rest_framework_api_key.crypto")
    knox = pytest.importorskip("knox.crypto")
    for _time in range(20):
        secret, prefix, digest = api_keys.KeyGenerator().generate()
        row = {"prefix": prefix, "hashed_key": digest, "name": "A"}
        assert take(acme, Format.DRF_API_KEY, row).imported == 1
        token = knox.create_token_string()
        row = {"token_key": token[:15], "digest": knox.hash_token(token)}
        assert take(acme, Format.KNOX, row).imported == 1
        assert {ask(secret).code, ask(token).code} == {Code.VALID}


class TestBeginnings:
    """By its digest nobody can tell whether a key begins as only keys of this portal do."""

    SECRET = "kh_AbCdEfGhIjKlMnOpQrStUv"

    @pytest.mark.parametrize(
        ("file_format", "row", "column"),
        [
            (Format.UNKEY, {"hash": sha256(SECRET).hex()}, "start"),
            (Format.BETTER_AUTH, {"key": sha256(SECRET).hex(), "start": None}, "prefix"),
            (Format.KNOX, {"digest": sha512(SECRET), "token_key": ""}, "token_key"),
        ],
    )
    def test_a_key_that_might_never_be_let_in_is_refused(self, acme, file_format, row, column):
        report = take(acme, file_format, {**row, "name": "A"})
        [problem] = report.problems
        assert (report.imported, problem.field) == (0, "start")
        assert "how this key begins" in problem.problem
        assert column in problem.fix

    def test_so_is_one_that_begins_so(self, acme):
        row = {"key": sha256(self.SECRET).hex(), "prefix": "kh_", "start": None}
        [problem] = take(acme, Format.BETTER_AUTH, row).problems
        assert "begins as keys of this portal" in problem.problem

    @pytest.mark.parametrize("prefix", ["shop_", ""])
    def test_the_prefix_says_enough(self, acme, prefix):
        secret = f"{prefix}AbCdEfGhIjKlMnOpQrStUv"
        row = {"key": sha256(secret).hex(), "prefix": prefix, "start": None}
        assert take(acme, Format.BETTER_AUTH, row).imported == 1
        assert ask(secret).code is Code.VALID


class TestShapes:
    """How imported secrets look is stored before the first of them is."""

    SECRET, ROW = ROWS[Format.PLAIN]

    def begun(self):
        """Return the shapes of an import that goes on to fail."""
        shapes = Shapes()
        shapes.settle(foreign.shape_of(self.SECRET))
        shapes.store()
        return shapes

    def test_an_import_that_fails_leaves_none(self, acme):
        self.begun().drop_unused()
        assert not ImportedFormat.objects.exists()

    @pytest.mark.parametrize("beginning", ["before the other", "while the other is looked through"])
    def test_an_import_that_fails_takes_none_from_another(self, acme, beginning):
        failing = [self.begun()] if beginning == "before the other" else []
        openings = []

        def source():
            openings.append(None)
            is_written = len(openings) == 2
            if is_written:
                failing[0].drop_unused()
            elif not failing:
                failing.append(self.begun())
            return lines(self.ROW)()

        report = take(acme, Format.PLAIN, source=source)
        assert (report.imported, report.problems) == (1, [])
        assert ask(self.SECRET).code is Code.VALID

    def a_day_later(self):
        with time_machine.travel(timezone.now() + timedelta(days=1, minutes=1), tick=False):
            assert "shapes of imported secrets" in chores.run_due()

    def test_what_two_failing_imports_left_to_each_other_goes_within_two_days(self, acme):
        both = [self.begun(), self.begun()]
        for each in both:
            each.drop_unused()
        chores.run_due()
        assert ImportedFormat.objects.exists()
        self.a_day_later()
        assert not ImportedFormat.objects.exists()

    def test_what_is_used_or_about_to_be_stays(self, acme):
        secret, row = ROWS[Format.KNOX]
        take(acme, Format.KNOX, row)
        self.begun()
        ImportedFormat.objects.update(created_at=timezone.now() - timedelta(days=9))
        self.begun()
        assert drop_abandoned(now=timezone.now()) == 0
        assert ImportedFormat.objects.count() == 2
        self.a_day_later()
        assert ImportedFormat.objects.get().secrets.exists()
        assert ask(secret).code is Code.VALID

    def test_it_is_said_how_many_went(self, acme):
        self.begun()
        assert drop_abandoned(now=timezone.now() + timedelta(days=1, minutes=1)) == 1

    def test_beyond_so_many_prefixes_the_rest_have_none(self, acme, monkeypatch):
        monkeypatch.setattr(shapes, "MOST_SHAPES", 2)
        rows = [{"name": name, "secret": f"{name}_0123456789abcdef"} for name in "abcd"]
        assert take(acme, Format.PLAIN, *rows).imported == 4
        kept = ImportedFormat.objects.values_list("prefix", flat=True)
        assert sorted(kept) == ["", "a_", "b_"]
        assert {ask(row["secret"]).code for row in rows} == {Code.VALID}


class TestWhoMay:
    def test_a_key_imports_no_keys(self, acme, manage_key):
        with pytest.raises(PermissionDenied):
            take(acme, Format.PLAIN, ROWS[Format.PLAIN][1], actor=manage_key)

    def test_a_viewer_imports_nothing(self, acme, viewer):
        with pytest.raises(PermissionDenied):
            take(acme, Format.PLAIN, ROWS[Format.PLAIN][1], actor=viewer)

    def test_nobody_gives_what_they_do_not_hold(self, acme, developer):
        row = {**ROWS[Format.PLAIN][1], "scopes": "MANAGE", "owner": developer.email}
        report = take(acme, Format.PLAIN, row, actor=developer)
        assert report.refused == 1
        assert not APIKey.objects.exists()

    def test_nobody_brings_a_key_in_somebody_elses_name(self, acme, owner, developer):
        row = {**ROWS[Format.PLAIN][1], "owner": developer.email}
        assert take(acme, Format.PLAIN, row, actor=owner).refused == 1
        assert take(acme, Format.PLAIN, row).imported == 1
        assert APIKey.objects.get().owner == developer
