"""Asking for approval, deciding and issuing in the browser."""

# ruff: noqa: F811 (fixtures of a neighbour's, which tests have as arguments)

import re
from decimal import Decimal
from html import unescape

import pytest
from django.utils import timezone

from keys import policy, services, summaries
from keys.models import APIKey, ApprovalRequest, Scope
from keys.rules import RoleTerms
from tests.key_pages import HTMX, fill, page_of, sign_in, text_of, words_of
from tests.test_approvals import DAY, ask, asked, role, strict, url  # noqa: F401

pytestmark = pytest.mark.django_db


class TestPages:
    """Asking, deciding and issuing in the browser."""

    def test_the_form_says_beforehand_that_somebody_has_to_approve(self, strict, acme, developer):
        client = sign_in(developer)
        data = fill(client, acme, scopes=["READ", "DELETE"], expiry="30")
        preview = client.post(url("create"), {**data, "preview": "1"})
        assert "giving DELETE to a key needs approval" in words_of(preview)
        free = client.post(url("create"), {**data, "scopes": ["READ"], "preview": "1"})
        assert "Somebody else has to approve" not in words_of(free)

    def test_from_the_question_to_the_secret(self, strict, acme, owner, developer):
        asking, deciding = sign_in(developer), sign_in(owner)
        data = fill(asking, acme, scopes=["READ", "DELETE"], expiry="30")
        page = asking.post(url("create"), data)
        assert "say why you need it" in words_of(page)
        data = fill(asking, acme, scopes=["READ", "DELETE"], expiry="30", reason="Old files.")
        response = asking.post(url("create"), data)
        request = ApprovalRequest.objects.get()
        assert response.url == url("approval", request.pk)
        assert not acme.api_keys.exists()
        home = deciding.get(url("overview"))
        assert "Waiting for you" in words_of(home)
        page = deciding.get(response.url)
        assert "Old files." in words_of(page)
        assert "giving DELETE to a key needs approval" in words_of(page)
        sent = {"action": "approve", "scopes": ["DELETE"], "expires_at": "", "note": "Fine."}
        sent["expires_at"] = page.context["form"]["expires_at"].value().strftime("%Y-%m-%dT%H:%M")
        deciding.post(response.url, sent)
        page = asking.get(response.url)
        assert "(approved)" in words_of(page)
        token = page.content.decode().split('name="token" value="')[1].split('"')[0]
        shown = asking.post(url("approval-issue", request.pk), {"token": token})
        key = acme.api_keys.get()
        assert key.scope_codes == ["DELETE"]
        assert shown.context["key"].secret in text_of(shown)
        again = asking.post(url("approval-issue", request.pk), {"token": token})
        assert shown.context["key"].secret not in text_of(again)

    def test_who_denies_what_somebody_approved_meanwhile_is_told_that(self, asked, owner):
        client = sign_in(owner)
        services.approve_request(actor=owner, request=asked)
        page = words_of(client.post(url("approval", asked.pk), {"action": "deny", "note": ""}))
        assert "This request is over" in page
        assert "Say why" not in page

    def test_what_is_asked_for_stands_in_the_order_of_the_form(self, strict, acme, developer):
        terms = {"dialect": "native", "expires_at": None, "owner": developer}
        request = ask(developer, acme, **terms)
        page = words_of(sign_in(developer).get(url("approval", request.pk)))
        places = [page.index(word) for word in ("Name Cleaner", "Owner", "Scopes", "Expires")]
        assert places == sorted(places)
        assert "Format Keyhaven" in page
        assert "asked before" not in page

    def test_who_decides_reads_what_the_key_could_and_who_sees_its_secret(
        self, asked, owner, developer
    ):
        page = words_of(sign_in(owner).get(url("approval", asked.pk)))
        for sentence in (
            "The key in words, as asked for",
            "It can revoke the keys of developer@acme.example.",
            "It works from anywhere.",
            "for 10 days.",
            "It may spend without limit.",
            "Only developer@acme.example, once, when issuing the key.",
        ):
            assert sentence in page, sentence
        services.approve_request(actor=owner, request=asked, scopes=["READ"])
        page = words_of(sign_in(developer).get(url("approval", asked.pk)))
        assert "The key in words, as approved" in page
        assert "It can revoke the keys" not in page

    def test_all_that_is_asked_for_is_told_in_words(self, acme, owner, developer, strict):
        services.add_server_address(actor=owner, organization=acme, network="203.0.113.9")
        terms = {
            "scopes": (), "role": role("developer"), "owner": developer,
            "expires_at": None, "limit": Decimal("2.5"), "limit_reset": "daily",
            "allowed_ips": ["198.51.100.7", {"network": "198.51.100.8", "deny": True}],
            "assign_server_ips": True,
            "rate_limits": [{"amount": 90, "period": "hour"}, {"amount": 3, "period": "second"}],
        }  # fmt: skip
        request = ask(developer, acme, **terms)
        page = unescape(words_of(sign_in(owner).get(url("approval", request.pk))))
        services.approve_request(actor=owner, request=request)
        key = services.issue_approved_key(actor=developer, request=request)
        facts = summaries.facts_of(APIKey.objects.with_details().get(pk=key.pk))
        summary = summaries.summarize(facts, now=timezone.now())
        told = [*summary.abilities, *summary.origin, *summary.period, *summary.credit]
        assert [each for each in told if each not in page] == []

    def test_more_for_a_key_is_told_with_what_it_has(self, acme, owner, developer, strict):
        key = services.issue_key(
            actor=developer, organization=acme, name="New", scopes=["READ"],
            expires_at=timezone.now() + DAY, allowed_ips=["198.51.100.7"],
        )  # fmt: skip
        request = services.request_change(
            actor=developer, key=key, reason="It cleans.", scopes=["READ", "DELETE"]
        )
        page = words_of(sign_in(owner).get(url("approval", request.pk)))
        assert "It works from 198.51.100.7 only." in page
        assert "It can revoke the keys of developer@acme.example." in page
        assert "Nobody anew: the key keeps the secret that it has." in page

    def test_of_a_key_whose_role_is_gone_nothing_is_told(self, acme, owner, admin):
        scopes = policy.grantable_scopes(owner, acme).filter(code="DELETE")
        mops = services.create_role(actor=owner, organization=acme, name="mops", scopes=scopes)
        services.update_policy(
            actor=owner, organization=acme,
            roles=[RoleTerms(role("admin"), approval_scopes=frozenset({"DELETE"}))],
        )  # fmt: skip
        request = ask(admin, acme, role=mops, scopes=())
        services.delete_role(actor=owner, role=mops)
        page = words_of(sign_in(owner).get(url("approval", request.pk)))
        assert "Cleaner" in page
        assert "If it leaks" not in page
        assert "The key in words" not in page

    def test_the_button_says_that_it_asks(self, strict, acme, developer):
        client = sign_in(developer)
        data = {**fill(client, acme, expiry="30"), "preview": "1"}

        def button_of(response) -> str:
            found = re.search(
                r'id="submit-button"[^>]*>(.*?)</(?:button|span)>', text_of(response), re.DOTALL
            )
            return re.sub(r"<[^>]+>", "", found[1]).strip()

        assert button_of(client.post(url("create"), data)) == "Issue key"
        data["scopes"] = ["DELETE"]
        assert button_of(client.post(url("create"), data)) == "Ask for approval"
        assert button_of(client.post(url("create"), data, headers=HTMX)) == "Ask for approval"
        assert "the button asks them instead" in words_of(client.get(url("create")))

    def test_where_nobody_approves_nothing_is_said_of_it(self, acme, developer):
        assert "asks them" not in words_of(sign_in(developer).get(url("create")))

    def test_who_decides_sees_the_summary_of_what_they_ticked(self, asked, owner):
        client, page = sign_in(owner), url("approval", asked.pk)
        end = (timezone.now() + 3 * DAY).strftime("%Y-%m-%dT%H:%M")
        sent = {"scopes": ["READ"], "expires_at": end, "allowed_ips": "192.0.2.7", "preview": "1"}
        for answer in (client.post(page, sent), client.post(page, sent, headers=HTMX)):
            words = words_of(answer)
            assert "The key in words, as you would approve it" in words
            assert "It works from 192.0.2.7 only." in words
            assert "for 3 days." in words
            assert "It can revoke the keys" not in words
        assert "<form" not in text_of(client.post(page, sent, headers=HTMX))
        asked.refresh_from_db()
        assert asked.state == "pending"

    def test_what_is_half_typed_is_not_told_and_no_mistake_yet(self, asked, owner):
        sent = {"scopes": ["READ", "DELETE"], "allowed_ips": "192.0.", "preview": "1"}
        words = words_of(sign_in(owner).post(url("approval", asked.pk), sent))
        assert "From where cannot be told yet" in words
        assert "is not an IP address" not in words

    def test_of_a_role_that_is_gone_there_is_no_summary(self, strict, acme, owner, developer):
        scopes = Scope.objects.filter(organization=None, code__in=["READ", "DELETE"])
        mopping = services.create_role(
            actor=owner, organization=acme, name="Mopping", scopes=scopes
        )
        request = ask(developer, acme, role=mopping, scopes=[])
        services.delete_role(actor=owner, role=mopping)
        client, page = sign_in(owner), url("approval", request.pk)
        for answer in (
            client.get(page),
            client.post(page, {"preview": "1", "note": "Hm"}),
            client.post(page, {"preview": "1"}, headers=HTMX),
        ):
            assert answer.status_code == 200
            assert "The key in words" not in words_of(answer)

    def test_only_who_decides_gets_such_a_summary(self, asked, developer):
        answer = sign_in(developer).post(url("approval", asked.pk), {"preview": "1"})
        assert answer.status_code == 403

    def test_who_asked_reads_from_where_the_key_may_be_used_only(self, asked, owner, developer):
        sent = {
            "action": "approve", "scopes": ["READ", "DELETE"], "note": "",
            "expires_at": asked.terms["expires_at"][:16],
            "allowed_ips": "192.0.2.0/24 # Office",
        }  # fmt: skip
        answer = sign_in(owner).post(url("approval", asked.pk), sent)
        assert answer.status_code == 302, words_of(answer)
        words = words_of(sign_in(developer).get(answer.url))
        assert "Allowed IPs not said 192.0.2.0/24 (approved)" in words
        assert "It works from 192.0.2.0/24 only." in words

    def test_pages_say_that_a_demand_holds_and_ask_for_more(self, asked, owner, developer):
        services.approve_request(actor=owner, request=asked, allowed_ips=["192.0.2.7"])
        key = services.issue_approved_key(actor=developer, request=asked)
        client, row = sign_in(developer), key.allowed_ips.get()
        remove = page_of(key, "allowed-ip-remove", row.pk)
        answer = client.post(remove, {"confirmed": "yes"}, follow=True)
        assert "for use from 192.0.2.7 only" in words_of(answer)
        answer = client.post(page_of(key, "access"), {"network": "198.51.100.7", "effect": "allow"})
        assert "for use from 192.0.2.7 only" in words_of(answer)
        form = client.get(page_of(key, "edit")).context["form"]
        values = ((each.name, each.value()) for each in form)
        data = {name: value for name, value in values if value not in (None, False)}
        data |= {"allowed_ips": "", "confirm_wider": "on", "confirm_lockout": "on"}
        preview = words_of(client.post(page_of(key, "edit"), {**data, "preview": "1"}))
        assert "Somebody else has to approve this" in preview
        assert "for use from 192.0.2.7 only" in preview
        answer = client.post(page_of(key, "edit"), {**data, "reason": "We moved."})
        assert answer.status_code == 302, answer.context["form"].errors
        assert ApprovalRequest.objects.first().kind == "widen"

    def test_more_addresses_than_were_asked_for_are_refused_at_their_field(
        self, strict, acme, owner, developer
    ):
        off = {"network": "198.51.100.8", "active": False}
        request = ask(developer, acme, allowed_ips=["198.51.100.7", off])
        client, page = sign_in(owner), url("approval", request.pk)
        form = client.get(page).context["form"]
        assert form["allowed_ips"].value() == "198.51.100.7"
        sent = {"action": "approve", "scopes": ["READ", "DELETE"], "allowed_ips": "192.0.2.7"}
        sent["expires_at"] = request.terms["expires_at"][:16]
        refused = client.post(page, sent)
        assert refused.context["form"].errors.keys() == {"allowed_ips"}
        client.post(page, {**sent, "allowed_ips": "198.51.100.7"})
        assert ApprovalRequest.objects.get().approved_terms == request.terms

    def test_a_denial_without_a_note_says_what_is_missing(self, asked, owner):
        page = sign_in(owner).post(url("approval", asked.pk), {"action": "deny"})
        assert "Say why, for whoever asked" in words_of(page)

    def test_what_the_requester_lost_is_said_to_who_decides(self, asked, acme, owner, developer):
        services.update_member(
            actor=owner, membership=acme.memberships.get(user=developer), role=role("readonly")
        )
        end = asked.terms["expires_at"][:16]
        sent = {"action": "approve", "scopes": ["READ", "DELETE"], "expires_at": end}
        page = sign_in(owner).post(url("approval", asked.pk), sent)
        assert "do not have permission" in words_of(page)

    def test_widening_asks_on_the_page_of_the_key(self, strict, acme, owner, developer):
        key = services.issue_key(
            actor=developer, organization=acme, name="New", scopes=["READ"],
            expires_at=timezone.now() + DAY,
        )  # fmt: skip
        client = sign_in(developer)
        form = client.get(page_of(key, "edit")).context["form"]
        data = {
            name: value
            for name, value in ((each.name, each.value()) for each in form)
            if value not in (None, False)
        }
        data |= {"scopes": ["READ", "DELETE"], "confirm_wider": "on", "reason": "It cleans."}
        response = client.post(page_of(key, "edit"), data)
        assert response.status_code == 302, response.context["form"].errors
        assert ApprovalRequest.objects.get().kind == "widen"
        page = sign_in(owner).get(response.url)
        assert "READ → READ, DELETE" in words_of(page)
        assert "scopes_before" not in words_of(page)

    def test_a_viewer_sees_no_requests_of_others(self, asked, viewer):
        page = sign_in(viewer).get(url("approvals"))
        assert "Cleaner" not in words_of(page)
