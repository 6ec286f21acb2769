"""The cast: people and credentials around the organization `acme`.

`owner`, `admin`, `developer` and `viewer` belong to it, `stranger` to another one,
`staff` to the installation. `key` is the developer's, `read_only_key` too,
`manage_key` is the organization's own.
"""

import gc
import sqlite3
from contextlib import closing, contextmanager
from types import SimpleNamespace

import hypothesis
import pytest
from allauth.account.internal.flows.login import (
    AUTHENTICATION_METHODS_SESSION_KEY,
    record_authentication,
)
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.signals import user_logged_in
from django.core.cache import cache
from django.db import connection, transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.test import Client, TransactionTestCase
from django.utils import timezone, translation
from django.utils.text import slugify

from keys import folding, generations, imported_formats, policy, rates, services, usage
from keys.models import (
    AllowedIP,
    APIKey,
    KeySecret,
    KeyUsage,
    Membership,
    Organization,
    Role,
    Scope,
    User,
)
from keys.models.keys import know
from keys.services.organizations import DEFAULT_WORKSPACE_NAME
from keys.services.rotation import add_secret, with_secret
from portal.sessions import SessionStore
from tests import logged

# Of a test with more cases than this, the rest is for the wide run.
CASES_ALWAYS_RUN = 2
# Every row of these tables counts each time.
TABLES = {
    "test_doors.py",
    "test_policy.py",
    "test_contract.py",
    "test_guards.py",
    "test_step_up.py",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let the first cases of a test stand for all of them, but where each is a row of a table."""
    for item in items:
        if not hasattr(item, "callspec") or item.path.name in TABLES:
            continue
        if max(item.callspec.indices.values(), default=0) >= CASES_ALWAYS_RUN:
            item.add_marker(pytest.mark.wide)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the garbage collector from what stays until the end: modules and tests."""
    with _without_collector():
        return (yield)


@contextmanager
def _without_collector():
    """Make what stays until the end, and never look through it again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
        # What a test leaves is little; it is looked for less often.
        gc.set_threshold(20_000, 20, 20)


PASSWORD = "correct horse battery staple"

# Property tests: no deadline (the databases differ in speed), no files. The same code gets the
# same examples each time, as it gets the same order of tests: a run that fails is about the
# change. `--hypothesis-profile=explore --randomly-seed=$RANDOM` looks elsewhere each time.
always = hypothesis.settings(deadline=None, database=None)
hypothesis.settings.register_profile("suite", always, max_examples=15, derandomize=True)
hypothesis.settings.register_profile("wide", always, max_examples=60, derandomize=True)
hypothesis.settings.register_profile("explore", always, max_examples=500)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Let property tests look further where the wide tests run, too; fix the order of tests."""
    if config.getoption("randomly_seed", None) == "default":
        config.option.randomly_seed = 1
    if config.getoption("--hypothesis-profile") is None:
        is_short = "not wide" in config.option.markexpr
        hypothesis.settings.load_profile("suite" if is_short else "wide")


@pytest.fixture(autouse=True, scope="session")
def _no_secret_is_logged():
    """Search everything that this process logged for every secret that it made."""
    made: set[str] = set()
    with logged.kept(made) as keeper:
        yield
    with closing(keeper):
        found = logged.secrets_in(keeper.lines(), made, [PASSWORD])
    assert not found, f"{len(found)} lines hold a secret, the first: {found[0]}"


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    """Do without the garbage collector as well while the database is migrated, once."""
    if fixturedef.argname != "django_db_setup":
        return (yield)
    with _without_collector():
        return (yield)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Let SQLite begin anew after a test that commits: from a copy of what was migrated.

    To empty each table takes fifty times as long, and the guard of audit events would be in
    the way. PostgreSQL truncates them, which no trigger hears of.
    """
    if connection.vendor != "sqlite":
        yield
        return
    with closing(sqlite3.connect(":memory:")) as migrated, pytest.MonkeyPatch.context() as patch:
        with django_db_blocker.unblock():
            connection.ensure_connection()
            connection.connection.backup(migrated)

        def begin_anew(_case):
            connection.ensure_connection()
            migrated.backup(connection.connection)
            generations.forget_everything()

        patch.setattr(TransactionTestCase, "_fixture_teardown", begin_anew)
        yield


@pytest.fixture(autouse=True)
def _in_english():
    # A page that was read in German leaves its language to the thread.
    translation.activate("en")


@receiver(user_logged_in)
def _note_sign_in(sender, request, user, **more):
    """Whom `force_login` signs in did so just now, as by a password."""
    if not request.session.get(AUTHENTICATION_METHODS_SESSION_KEY):
        record_authentication(request, user, method="password")


_sign_in_anew = Client._login


def _sign_in(client, user, backend=None):
    """Sign in as a client of Django does, with one write of a session instead of three."""
    if settings.SESSION_COOKIE_NAME in client.cookies:
        _sign_in_anew(client, user, backend)
        return
    request = HttpRequest()
    request.session = SessionStore()
    # Nobody has the key of this one yet.
    request.session.cycle_key = lambda: None
    login(request, user, backend)
    request.session.save()
    client._set_login_cookies(request)


@pytest.fixture(autouse=True, scope="session")
def _signed_in_at_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "_login", _sign_in)
        yield


@pytest.fixture(autouse=True)
def _fresh_cache():
    # Sign-in limits are counted there.
    cache.clear()


@pytest.fixture(autouse=True)
def _fresh_rates():
    # The next test's keys have the numbers of this one's.
    yield
    rates._store.cache_clear()


def make_person(email: str, **fields) -> User:
    """Return a new person with a verified address, who can sign in with PASSWORD."""
    from allauth.account.models import EmailAddress

    person = User.objects.create_user(email, PASSWORD, **fields)
    EmailAddress.objects.create(user=person, email=email, verified=True, primary=True)
    return person


def make_organization(slug: str, owner: User, *, is_told: bool = False) -> Organization:
    """Return a new organization that this person owns; by the services if it is to be told."""
    name = slug.title()
    if is_told:
        return services.create_organization(
            actor=policy.OPERATOR, name=name, slug=slug, owner=owner
        )
    role = Role.objects.get(organization=None, name="admin")
    with transaction.atomic():
        organization = Organization.objects.create(name=name, slug=slug)
        generations.note_organization(organization.pk)
        organization.workspaces.create(name=DEFAULT_WORKSPACE_NAME, is_default=True)
        organization.memberships.create(user=owner, role=role, is_owner=True)
    return organization


def join(
    organization: Organization, person: User, role_name: str, *, is_told: bool = False
) -> Membership:
    """Make a person a member in a built-in role; by the services if it is to be told."""
    role = Role.objects.get(organization=None, name=role_name)
    if is_told:
        return services.add_member(
            actor=policy.OPERATOR, organization=organization, user=person, role=role
        )
    with transaction.atomic():
        generations.note_organization(organization.pk)
        return organization.memberships.create(user=person, role=role)


def make_key(
    organization: Organization,
    creator: User,
    name: str,
    scopes: str,
    *,
    is_told: bool = False,
    **fields,
) -> APIKey:
    """Return a new key of its creator with its secret; by the services if it is to be told.

    `scopes` are codes with blanks between.
    """
    if is_told:
        return services.issue_key(
            actor=creator, organization=organization, name=name, scopes=scopes.split(), **fields
        )
    owner = fields.pop("owner", creator)
    scope_rows = list(Scope.objects.filter(organization=None, code__in=scopes.split()))
    with transaction.atomic():
        key = APIKey.objects.create(
            organization=_as_read(organization),
            workspace=organization.workspaces.get(is_default=True),
            owner=_as_read(owner),
            creator=_as_read(creator),
            name=name,
            **{"role": None, "slug": slugify(name), **fields},
        )
        generations.note_key(key.pk)
        key.scopes.add(*scope_rows)
        KeyUsage.objects.create(key=key)
        secret_row, secret = add_secret(key)
    lists = {
        "scopes": scope_rows,
        "allowed_ips": [],
        "rate_limits": [],
        "secrets": [secret_row],
    }
    if fields:
        # These may be read otherwise than they were written: 1 as 1.00.
        return with_secret(key, secret, **lists)
    for list_name, rows in lists.items():
        know(key, list_name, rows)
    key.secret = secret
    return key


def _as_read(row):
    """Return a row as if it were read anew: what becomes of the one is not of the other."""
    if row is None:
        return None
    names = [field.attname for field in row._meta.concrete_fields]
    return type(row).from_db(row._state.db, names, [getattr(row, name) for name in names])


def make_many(organization: Organization, owner: User, count: int, name="Key") -> list[APIKey]:
    """Write keys past the services, quickly: each used, with a scope and a secret.

    Every second one is confined, each fifth has a limit; they are named `Key 0` and so on.
    """
    now = timezone.now()
    role = Role.objects.get(organization=None, name="developer")
    workspace = organization.workspaces.get()
    keys = APIKey.objects.bulk_create(
        APIKey(
            organization=organization,
            workspace=workspace,
            owner=owner,
            name=f"{name} {number}",
            slug=f"key-{number}",
            role=role if number % 3 == 0 else None,
            limit=1 if number % 5 == 0 else None,
        )
        for number in range(count)
    )
    KeyUsage.objects.bulk_create(
        KeyUsage(key=key, limit=key.limit, last_used_at=now) for key in keys
    )
    KeySecret.objects.bulk_create(
        KeySecret(key=key, digest=f"{key.pk:064}", pepper_id=1, label="kh_abc...xyz")
        for key in keys
    )
    AllowedIP.objects.bulk_create(AllowedIP(key=key, network="192.0.2.1") for key in keys[1::2])
    read = role.scopes.get(code="READ")
    through = APIKey.scopes.through
    through.objects.bulk_create(through(apikey=key, scope=read) for key in keys if not key.role)
    return keys


@pytest.fixture
def is_told(request) -> bool:
    """Whether the cast is in the audit trail, and people had mail of its keys and members.

    Where a module says IS_TOLD they come by the services. Elsewhere the same rows (test_cast.py)
    are written past these, in a third of the time.
    """
    return getattr(request.module, "IS_TOLD", False)


@pytest.fixture
def owner(db) -> User:
    return make_person("owner@acme.example")


@pytest.fixture
def acme(owner, is_told) -> Organization:
    return make_organization("acme", owner, is_told=is_told)


@pytest.fixture
def admin(acme, is_told) -> User:
    return join(acme, make_person("admin@acme.example"), "admin", is_told=is_told).user


@pytest.fixture
def developer(acme, is_told) -> User:
    return join(acme, make_person("developer@acme.example"), "developer", is_told=is_told).user


@pytest.fixture
def viewer(acme, is_told) -> User:
    return join(acme, make_person("viewer@acme.example"), "readonly", is_told=is_told).user


@pytest.fixture
def stranger(db) -> User:
    return make_person("stranger@other.example")


@pytest.fixture
def other(stranger, is_told) -> Organization:
    return make_organization("other", stranger, is_told=is_told)


@pytest.fixture
def staff(db) -> User:
    return make_person("staff@keyhaven.example", is_staff=True)


@pytest.fixture
def superuser(db) -> User:
    return make_person("root@keyhaven.example", is_staff=True, is_superuser=True)


@pytest.fixture
def as_staff(client, staff):
    """A client that staff signed in with."""
    client.force_login(staff)
    return client


@pytest.fixture
def as_superuser(client, superuser):
    """A client that a superuser signed in with."""
    client.force_login(superuser)
    return client


@pytest.fixture
def key(acme, developer, is_told) -> APIKey:
    """The developer's key, with all that a developer holds."""
    return make_key(acme, developer, "Backend", "READ CREATE UPDATE DELETE", is_told=is_told)


@pytest.fixture
def read_only_key(acme, developer, is_told) -> APIKey:
    """A key of the developer that only reads."""
    return make_key(acme, developer, "Dashboard", "READ", is_told=is_told)


@pytest.fixture
def manage_key(acme, owner, is_told) -> APIKey:
    """The organization's own key with every built-in scope."""
    codes = "READ CREATE UPDATE DELETE MANAGE"
    return make_key(acme, owner, "Management", codes, owner=None, is_told=is_told)


@pytest.fixture
def strangers_key(other, stranger, is_told) -> APIKey:
    """A key of another organization."""
    return make_key(other, stranger, "Elsewhere", "READ MANAGE", is_told=is_told)


@pytest.fixture
def own_board(settings, tmp_path, monkeypatch):
    """Slots of this test alone: on those of all tests, another's change may be under way still."""
    settings.STATE_DIR = tmp_path / "own"
    monkeypatch.setattr(generations, "_board", None)
    monkeypatch.setattr(imported_formats, "_remembered", {})


@pytest.fixture
def journal(tmp_path):
    """A journal of uses, as servers keep one; `fold` adds it to the tables."""
    usage.keep_journal(tmp_path)
    yield SimpleNamespace(fold=lambda: folding.fold_once(tmp_path))
    usage.drop_journal()
