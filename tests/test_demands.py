"""From where whoever approved a key lets it be used, whoever changes it then."""

# ruff: noqa: F811 (fixtures of a neighbour's, which tests have as arguments)

import re

import pytest
from django.utils import timezone

from keys import services
from keys.models import APIKey
from keys.services.approval_reasons import Reason
from keys.services.enforcing import ApprovalRequiredError
from tests.test_approvals import DAY, ask, asked, fresh, strict  # noqa: F401

pytestmark = pytest.mark.django_db

OFFICE = "198.51.100.0/24"


def bind(request, owner, *networks) -> APIKey:
    """Let whoever asked issue the key for these addresses only, and return it."""
    approved = services.approve_request(actor=owner, request=request, allowed_ips=networks)
    return services.issue_approved_key(actor=request.requester, request=approved)


def networks_of(key) -> list[str]:
    return [row.network for row in fresh(key).allowed_ips.all()]


@pytest.fixture
def bound(asked, owner) -> APIKey:
    """A developer's key that deletes, and was approved for use from the office."""
    return bind(asked, owner, OFFICE)


def test_it_holds_until_somebody_else_agrees_to_more(bound, acme, owner, admin, developer):
    services.add_server_address(actor=owner, organization=acme, network="192.0.2.1")
    wider = (
        {"allowed_ips": []},
        {"allowed_ips": ["198.51.0.0/16"]},
        {"assign_server_ips": True},
    )
    for changes in wider:
        with pytest.raises(ApprovalRequiredError, match="approved this key for use from"):
            services.update_key(actor=developer, key=bound, **changes)
    with pytest.raises(ApprovalRequiredError):
        services.remove_allowed_ip(actor=developer, allowed_ip=bound.allowed_ips.get())
    services.update_key(actor=developer, key=bound, allowed_ips=["198.51.100.7"], name="Mop")
    more = services.request_change(
        actor=developer, key=bound, reason="We moved.", allowed_ips=["203.0.113.0/24"]
    )
    assert "approved this key for use from" in str(Reason.unpack(more.needed_for[0]))
    services.approve_request(actor=admin, request=more)
    assert networks_of(bound) == ["203.0.113.0/24"]
    services.update_key(actor=developer, key=fresh(bound), allowed_ips=["203.0.113.7"])
    # That is what they agreed to, and not to everywhere.
    with pytest.raises(ApprovalRequiredError, match=r"from 203\.0\.113\.0/24 only"):
        services.update_key(actor=developer, key=fresh(bound), allowed_ips=[])


@pytest.mark.parametrize("again", [OFFICE, "198.51.100.7"])
def test_who_asks_for_something_else_and_names_it_again_is_not_rid_of_it(
    bound, owner, developer, again
):
    longer = services.request_change(
        actor=developer, key=bound, reason="It goes on.",
        expires_at=timezone.now() + 60 * DAY, allowed_ips=[again],
    )  # fmt: skip
    services.approve_request(actor=owner, request=longer)
    with pytest.raises(ApprovalRequiredError, match=re.escape(f"from {again} only")):
        services.update_key(actor=developer, key=fresh(bound), allowed_ips=[])


def test_somebody_may_agree_that_it_holds_no_more(bound, owner, developer):
    free = services.request_change(actor=developer, key=bound, reason="It travels.", allowed_ips=[])
    services.approve_request(actor=owner, request=free)
    services.update_key(actor=developer, key=fresh(bound), allowed_ips=["203.0.113.7"])
    services.update_key(actor=developer, key=fresh(bound), allowed_ips=[])
    assert networks_of(bound) == []


def test_a_list_that_was_approved_as_it_was_asked_for_demands_nothing(
    strict, acme, owner, developer
):
    request = services.approve_request(
        actor=owner, request=ask(developer, acme, allowed_ips=[OFFICE])
    )
    key = services.issue_approved_key(actor=developer, request=request)
    services.update_key(actor=developer, key=key, allowed_ips=[])
    assert networks_of(key) == []


def test_where_servers_are_demanded_and_there_are_none_nowhere_else_will_do(
    strict, acme, owner, developer
):
    request = ask(developer, acme, assign_server_ips=True, allowed_ips=[OFFICE])
    key = bind(request, owner)
    for changes in ({"allowed_ips": [OFFICE]}, {"assign_server_ips": False}):
        with pytest.raises(ApprovalRequiredError, match="from server addresses only"):
            services.update_key(actor=developer, key=key, **changes)


def test_servers_that_were_agreed_to_later_count(strict, acme, owner, developer):
    services.add_server_address(actor=owner, organization=acme, network="192.0.2.1")
    key = bind(ask(developer, acme, assign_server_ips=False), owner, OFFICE)
    servers = services.request_change(
        actor=developer, key=key, reason="It runs there.", assign_server_ips=True
    )
    services.approve_request(actor=owner, request=servers)
    services.update_key(actor=developer, key=fresh(key), allowed_ips=["198.51.100.7"])
    assert fresh(key).assign_server_ips


def test_who_might_have_approved_it_may_go_beyond(bound, admin):
    services.update_key(actor=admin, key=bound, allowed_ips=[])
    assert networks_of(bound) == []
