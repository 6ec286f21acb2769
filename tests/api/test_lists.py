"""What a list of many keys costs, and that it says of each what the key itself does."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from keys import generations, services, usage
from keys.models import Role
from tests.conftest import make_many

pytestmark = pytest.mark.django_db

KEYS = "/v1/api-keys"


def test_a_list_says_of_each_key_what_the_key_itself_does(ask, acme, owner, manage_key):
    services.issue_key(
        actor=owner,
        organization=acme,
        name="Follower",
        role=Role.objects.get(organization=None, name="developer"),
        allowed_ips=[{"network": "192.0.2.0/24", "comment": "Office"}],
        rate_limits=[{"amount": 5, "period": "minute"}, {"amount": 1, "period": "second"}],
        limit=10,
        limit_reset="daily",
    )
    services.rotate_key(actor=owner, key=manage_key)
    secret = services.issue_key(
        actor=owner, organization=acme, name="Reader", owner=None, scopes=["READ", "MANAGE"]
    ).secret
    rows = ask("get", KEYS, secret).json()
    assert [row["key_name"] for row in rows] == ["Reader", "Follower", "Management"]
    for row in rows[1:]:
        assert ask("get", f"{KEYS}/{row['id']}", secret).json() == row


@pytest.mark.django_db(transaction=True)
def test_a_list_of_a_hundred_keys_asks_the_database_five_times(
    ask, acme, owner, manage_key, tmp_path
):
    make_many(acme, owner, 99)
    # As a server does: what is known of the caller is remembered, its uses are kept in a file.
    usage.keep_journal(tmp_path)
    generations.trust_until(2**63)
    try:
        ask("get", KEYS, manage_key.secret)
        with CaptureQueriesContext(connection) as asked:
            assert len(ask("get", KEYS, manage_key.secret).json()) == 100
    finally:
        generations.trust_until(0)
        usage.drop_journal()
    assert len(asked) <= 5, "\n".join(each["sql"] for each in asked)
