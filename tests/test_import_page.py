"""Somebody brings their keys along on a page: they see first what would become of them."""

import csv
import io
import json
import re
from datetime import timedelta

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from keys.forms.importing import MAX_FILE_BYTES
from keys.models import APIKey, AuditEvent
from keys.moves.columns import Format
from keys.verification import Code
from tests.test_exporting import forget_keys, take_back
from tests.test_importing import DRF_SECRET, ROWS, ask

PAGE = "/organizations/acme/settings/import/"
PLAIN = "tok-0123456789abcdef{}"


def upload(client, content, file_format="plain", owner="organization", **more):
    file = SimpleUploadedFile(
        "keys.csv", content if isinstance(content, bytes) else content.encode()
    )
    wishes = {"file": file, "file_format": file_format, "owner": owner, **more}
    return client.post(PAGE, wishes)


def sealed_in(response):
    found = re.search(r'name="sealed" value="([^"]+)"', response.content.decode())
    return found and found[1]


@pytest.fixture
def as_admin(client, admin):
    client.force_login(admin)
    return client


def test_an_admin_imports_what_they_saw(as_admin, acme, admin):
    row = json.dumps({**ROWS[Format.DRF_API_KEY][1], "name": "Partner <b>"})
    response = upload(as_admin, row, "drf-api-key", role="readonly")
    page = response.content.decode()
    assert "Import 1 key" in page
    assert "Partner &lt;b&gt;" in page
    assert "fK3v9Q..." in page
    assert not APIKey.objects.exists()
    response = as_admin.post(PAGE, {"sealed": sealed_in(response)}, follow=True)
    assert "1 key was imported." in response.content.decode()
    key = APIKey.objects.get()
    assert (key.owner, key.creator, key.role.name) == (None, admin, "readonly")
    assert ask(DRF_SECRET, scopes=["READ"]).code is Code.VALID
    assert AuditEvent.objects.latest("pk").actor_user == admin


def test_problems_are_listed_and_the_rest_comes_in_on_wish(as_admin, acme):
    text = f"name,secret,limit\nA,{PLAIN.format(1)},much\nB,{PLAIN.format(2)},5\nC,short,\n"
    response = upload(as_admin, text)
    page = response.content.decode()
    assert "This is no amount." in page
    assert "Write a number such as 25 or 2.50, zero or more." in page
    assert "Import the one row without problems" in page
    as_admin.post(PAGE, {"sealed": sealed_in(response), "skips_invalid": "true"})
    assert [key.name for key in APIKey.objects.all()] == ["B"]


def test_which_line_is_meant_and_what_is_passed_over_is_said(as_admin, acme):
    good, again = f"A,{PLAIN.format(1)},5\n", f"B,{PLAIN.format(2)},5\n"
    take = {"skips_invalid": "true"}
    first = upload(as_admin, f"name,secret,limit\n{good}")
    as_admin.post(PAGE, {"sealed": sealed_in(first), **take})
    response = upload(as_admin, f"name,secret,limit\n{good}\n,,\n{again}C,short,\n")
    page = response.content.decode()
    assert response.context["report"].empty == 2
    assert "<dt>Empty lines</dt><dd>2</dd>" in page
    # The header is line 1, as in an editor.
    assert re.search(r'data-label="Line">6</th>', page)
    response = as_admin.post(PAGE, {"sealed": sealed_in(response), **take}, follow=True)
    assert "1 key was imported. 1 was here already." in response.content.decode()


def test_a_file_that_came_in_meanwhile_brings_nothing(as_admin, acme):
    sealed = sealed_in(upload(as_admin, f"name,secret\nA,{PLAIN.format(1)}\n"))
    as_admin.post(PAGE, {"sealed": sealed})
    page = as_admin.post(PAGE, {"sealed": sealed}, follow=True).content.decode()
    assert "Nothing was imported. 1 was here already." in page


def test_what_went_wrong_meanwhile_is_said_and_nothing_is_imported(as_admin, acme):
    text = f"name,secret,short_name\nA,{PLAIN.format(1)},till\nB,{PLAIN.format(2)},shop\n"
    first, second = upload(as_admin, text), upload(as_admin, text.replace("abcdef", "fedcba"))
    as_admin.post(PAGE, {"sealed": sealed_in(first)})
    response = as_admin.post(PAGE, {"sealed": sealed_in(second)})
    assert "Nothing was imported" in response.content.decode()
    assert APIKey.objects.count() == 2


def test_nothing_of_the_file_is_kept_or_shown(as_admin, acme):
    response = upload(as_admin, f"name,secret\nA,{PLAIN.format(1)}\nB,{PLAIN.format(1)}\n")
    page = response.content.decode()
    assert PLAIN.format(1) not in page
    assert PLAIN.format(1) not in str(dict(as_admin.session))
    assert "no-store" in response["Cache-Control"]


def test_a_file_that_was_looked_through_is_for_who_did(client, admin, owner, developer, acme):
    client.force_login(admin)
    sealed = sealed_in(upload(client, f"name,secret\nA,{PLAIN.format(1)}\n"))
    for person in (owner, developer):
        client.force_login(person)
        response = client.post(PAGE, {"sealed": sealed}, follow=True)
        assert "Choose it again" in response.content.decode()
    client.force_login(admin)
    for other in (sealed[:-9] + "AAAAAAAAA", "nonsense", ""):
        client.post(PAGE, {"sealed": other})
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        client.force_login(admin)
        client.post(PAGE, {"sealed": sealed})
    assert not APIKey.objects.exists()


def test_a_developer_brings_in_their_own_alone(client, developer, acme):
    client.force_login(developer)
    content = f"name,secret\nA,{PLAIN.format(1)}\n"
    page = upload(client, content).content.decode()
    assert "Select a valid choice" in page
    response = upload(client, content, owner="own")
    client.post(PAGE, {"sealed": sealed_in(response)})
    assert APIKey.objects.get().owner == developer


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"x" * (MAX_FILE_BYTES + 1), "larger than 1 MB"),
        (b"\xff\xfe\x00", "UTF-16"),
        (b"[" * 1000, "JSON list"),
        (b'{"a":' * 1000, "no JSON"),
        (b'a,"b\n', "quotes"),
        (b"\x00", "no header"),
    ],
)
def test_a_bad_file_is_explained(as_admin, acme, content, word):
    response = upload(as_admin, content)
    assert response.status_code == 200
    assert word in response.content.decode()
    assert not sealed_in(response) or "Import 0" not in response.content.decode()


def test_a_form_without_a_file_or_format_says_so(as_admin, acme):
    assert "This field is required" in as_admin.post(PAGE, {"owner": "own"}).content.decode()
    response = upload(as_admin, f"name,secret\nA,{PLAIN.format(1)}\n", "emperor")
    assert "Select a valid choice" in response.content.decode()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_the_page_downloads_comes_back_with_its_secrets(client, owner, acme, key, kind):
    """Who still has the secrets adds them; the page gives none away."""
    client.force_login(owner)
    response = client.get(f"/organizations/acme/keys/export/?as={kind}")
    text = b"".join(response.streaming_content).decode()
    assert key.secrets.get().digest not in text
    secret = key.secret
    if kind == "csv":
        [row] = csv.DictReader(io.StringIO(text))
    else:
        row = json.loads(text)
    forget_keys()
    report = take_back(acme, json.dumps({**row, "secret": secret}))
    assert report.problems == []
    twin = APIKey.objects.get()
    assert (twin.identifier, twin.hash, twin.owner) == (key.identifier, key.hash, key.owner)
    assert sorted(twin.scope_codes) == sorted(key.scope_codes)
    assert ask(secret).code is Code.VALID
