"""The cast: people and credentials around the organization `acme`.

`owner`, `admin`, `developer` and `viewer` belong to it, `stranger` to another one,
`staff` to the installation. `key` is the developer's, `read_only_key` too,
`manage_key` is the organization's own.
"""

import hypothesis
import pytest
from django.core.cache import cache

from keys import policy, services
from keys.models import APIKey, Membership, Organization, Role, User

# Of a test with more cases than this, the rest is for the wide run.
CASES_ALWAYS_RUN = 6
# Every row of these tables counts each time.
TABLES = {"test_doors.py", "test_policy.py", "test_contract.py", "test_guards.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let the first cases of a test stand for all of them, but where each is a row of a table."""
    for item in items:
        if not hasattr(item, "callspec") or item.path.name in TABLES:
            continue
        if max(item.callspec.indices.values(), default=0) >= CASES_ALWAYS_RUN:
            item.add_marker(pytest.mark.wide)


PASSWORD = "correct horse battery staple"

# Property tests: few examples a run, no deadline (the databases differ in speed), no files.
hypothesis.settings.register_profile("suite", max_examples=40, deadline=None, database=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _fresh_cache():
    # Sign-in limits are counted there.
    cache.clear()


def make_person(email: str, **fields) -> User:
    """Return a new person with a verified address, who can sign in with PASSWORD."""
    from allauth.account.models import EmailAddress

    person = User.objects.create_user(email, PASSWORD, **fields)
    EmailAddress.objects.create(user=person, email=email, verified=True, primary=True)
    return person


def make_organization(slug: str, owner: User) -> Organization:
    """Return a new organization that this person owns."""
    return services.create_organization(
        actor=policy.OPERATOR, name=slug.title(), slug=slug, owner=owner
    )


def join(organization: Organization, person: User, role_name: str) -> Membership:
    """Make a person a member in a built-in role."""
    return services.add_member(
        actor=policy.OPERATOR,
        organization=organization,
        user=person,
        role=Role.objects.get(organization=None, name=role_name),
    )


@pytest.fixture
def owner(db) -> User:
    return make_person("owner@acme.example")


@pytest.fixture
def acme(owner) -> Organization:
    return make_organization("acme", owner)


@pytest.fixture
def admin(acme) -> User:
    return join(acme, make_person("admin@acme.example"), "admin").user


@pytest.fixture
def developer(acme) -> User:
    return join(acme, make_person("developer@acme.example"), "developer").user


@pytest.fixture
def viewer(acme) -> User:
    return join(acme, make_person("viewer@acme.example"), "readonly").user


@pytest.fixture
def stranger(db) -> User:
    return make_person("stranger@other.example")


@pytest.fixture
def other(stranger) -> Organization:
    return make_organization("other", stranger)


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
def key(acme, developer) -> APIKey:
    """The developer's key, with all that a developer holds."""
    return services.issue_key(
        actor=developer,
        organization=acme,
        name="Backend",
        scopes=["READ", "CREATE", "UPDATE", "DELETE"],
    )


@pytest.fixture
def read_only_key(acme, developer) -> APIKey:
    """A key of the developer that only reads."""
    return services.issue_key(actor=developer, organization=acme, name="Dashboard", scopes=["READ"])


@pytest.fixture
def manage_key(acme, owner) -> APIKey:
    """The organization's own key with every built-in scope."""
    return services.issue_key(
        actor=owner,
        organization=acme,
        name="Management",
        owner=None,
        scopes=["READ", "CREATE", "UPDATE", "DELETE", "MANAGE"],
    )


@pytest.fixture
def strangers_key(other, stranger) -> APIKey:
    """A key of another organization."""
    return services.issue_key(
        actor=stranger, organization=other, name="Elsewhere", scopes=["READ", "MANAGE"]
    )
