"""Keys of other systems that were taken over leak as ours do, and are handed in alike."""

import hashlib
import json
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from keys import policy, secrets, services
from keys.models import APIKey, FoundSecret, ImportedFormat, KeySecret, LeakReport
from keys.moves.columns import Format
from keys.services import ImportOptions, leaks
from keys.verification import Code

pytestmark = pytest.mark.django_db

PLAIN = "tok-5f9d1c7b3a2e8d4f6b0a"
UNKEY = "live_3ZQx9Yw8Vu7Ts6Rq5Po4Nm"
KNOX = "9b4e0f5d6a71c28340f1e2d3c4b5a69788f0e1d2c3b4a5968778695a4b3c2d1e"
ROWS = {
    PLAIN: (Format.PLAIN, {"name": "Cron", "secret": PLAIN}),
    UNKEY: (
        Format.UNKEY,
        {"name": "Shop", "start": "live_3ZQx", "hash": hashlib.sha256(UNKEY.encode()).hexdigest()},
    ),
    KNOX: (
        Format.KNOX,
        {"token_key": KNOX[:15], "digest": hashlib.sha512(KNOX.encode()).hexdigest()},
    ),
}
# Of the same shapes, and nobody's.
UNKNOWN = {PLAIN: "tok-" + "0" * 20, UNKEY: "live_" + "Z" * 22, KNOX: "0" * 64}


def bring(organization, secret: str) -> None:
    file_format, row = ROWS[secret]
    services.import_keys(
        actor=policy.OPERATOR,
        organization=organization,
        source=lambda: [json.dumps(row).encode() + b"\n"],
        options=ImportOptions(file_format),
    )


def code_of(secret: str) -> Code:
    return services.verify_key(secret=secret, address=None).code


def by_form(client, secret: str) -> tuple[int, str]:
    reply = client.post("/found/", {"secret": secret})
    return reply.status_code, re.sub(r'value="\w{64}"', "", reply.text)


def by_api(client, secret: str) -> tuple[int, str]:
    reply = client.post("/v1/leaks", {"secret": secret}, content_type="application/json")
    return reply.status_code, reply.text


@pytest.mark.parametrize("secret", ROWS)
@pytest.mark.parametrize("hand_in", [by_form, by_api])
class TestFinder:
    def test_hears_the_same_of_a_known_and_an_unknown_one(self, client, acme, secret, hand_in):
        bring(acme, secret)
        known, unknown = hand_in(client, secret), hand_in(client, UNKNOWN[secret])
        assert known == unknown
        assert known[0] in (200, 202)
        assert "Thank" in known[1]
        report = LeakReport.objects.get()
        assert (report.key, report.label) == (APIKey.objects.get(), KeySecret.objects.get().label)
        assert not FoundSecret.objects.exists()

    def test_hears_the_same_where_nothing_was_imported(self, client, acme, secret, hand_in):
        before = hand_in(client, secret)
        bring(acme, secret)
        assert hand_in(client, secret) == before
        assert LeakReport.objects.get().times == 1


@pytest.mark.parametrize("secret", ROWS)
def test_until_the_answer_the_same_is_done_whatever_was_imported(acme, secret):
    def hand_in(text: str) -> tuple[list[str], int]:
        with CaptureQueriesContext(connection) as queries:
            found = services.hand_in_secret(secret=text)
        return [each["sql"].partition(" ")[0] for each in queries], len(found.digests)

    before = hand_in(secret)
    bring(acme, secret)
    assert hand_in(secret) == hand_in(UNKNOWN[secret]) == before


@pytest.mark.parametrize("secret", ROWS)
def test_the_organizations_wish_is_done_before_and_after_the_first_use(acme, owner, secret):
    services.update_policy(actor=owner, organization=acme, leak_action="rotate")
    bring(acme, secret)
    assert leaks.look_up(services.hand_in_secret(secret=secret)).action == "rotate"
    assert code_of(secret) is not Code.VALID


@pytest.mark.parametrize("secret", ROWS)
def test_one_that_was_used_is_found_as_well(acme, owner, secret):
    services.update_policy(actor=owner, organization=acme, leak_action="disable")
    bring(acme, secret)
    assert code_of(secret) is Code.VALID
    assert leaks.look_up(services.hand_in_secret(secret=secret)).action == "disable"
    assert code_of(secret) is Code.DISABLED


@pytest.mark.parametrize(
    "text",
    [
        "too-short-for-1",
        "no key has spaces in it",
        "schlüssel-von-anderswo",
        "kh_" + "a" * 47,
        "kh_of-another-shape-altogether",
        "x" * 513,
    ],
)
def test_noise_is_still_refused_whatever_was_imported(client, acme, text):
    for secret in ROWS:
        bring(acme, secret)
    assert ImportedFormat.objects.count() == len(ROWS)
    assert "Thank you" not in by_form(client, text)[1]
    assert by_api(client, text)[0] == 400
    assert not FoundSecret.objects.exists()


def test_a_key_of_ours_is_looked_for_as_ours_alone(acme, settings):
    found = services.hand_in_secret(secret=secrets.generate("native"))
    assert len(found.digests) == len(settings.KEY_PEPPERS)


def test_it_does_not_belong_into_the_other_fields(client, acme):
    for name in ("source_url", "comment"):
        reply = client.post("/found/", {"secret": PLAIN, name: f"https://paste.example/{PLAIN}"})
        assert "Leave out the key itself here." in reply.text
    assert not FoundSecret.objects.exists()
