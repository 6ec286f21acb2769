"""What went wrong elsewhere, by number: for each there is a test that names it."""

import re
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from keys import policy, services
from keys.models import APIKey
from keys.models.keys import Dialect

NAMED = re.compile(r"\bT(\d{1,2})\b|\bdef test_t(\d{2})_")


def test_every_incident_is_named_by_a_test():
    text = "".join(each.read_text() for each in Path(__file__).parent.rglob("test_*.py"))
    named = {int(one or other) for one, other in NAMED.findall(text)}
    assert set(range(1, 46)) - named == set()


@pytest.mark.parametrize("dialect", Dialect.values)
def test_t41_a_rule_on_lifetimes_binds_keys_of_every_format(dialect, acme, owner):
    """T41: the second kind of token was forgotten."""
    services.update_policy(actor=owner, organization=acme, person_key_days=30, shared_key_days=30)
    # Who asks next found the organization after that.
    acme._state.fields_cache.pop("policy", None)
    for actor, whose in ((owner, {}), (owner, {"owner": None}), (policy.OPERATOR, {})):
        with pytest.raises(ValidationError) as refusal:
            services.issue_key(
                actor=actor, organization=acme, name="Endless", dialect=dialect, **whose
            )
        assert set(refusal.value.message_dict) == {"expires_at"}
    assert not APIKey.objects.exists()
