"""What a browser has to fetch: little, and the next page less."""

import gzip
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

from keys import services

pytestmark = pytest.mark.django_db

# In bytes on the wire: the first page with all its files, and another one when these are kept.
FIRST_PAGE, NEXT_PAGE = 300_000, 100_000
PAGES = ("", "keys/", "keys/new/", "hygiene/", "audit/", "explain/", "settings/roles/")


@pytest.fixture
def full_page_of_keys(owner, acme):
    for number in range(30):
        services.issue_key(
            actor=owner,
            organization=acme,
            name=f"Service {number}",
            scopes=["READ", "CREATE", "UPDATE"],
            allowed_ips=["192.0.2.0/24"],
        )


@pytest.mark.parametrize("path", PAGES)
def test_page_is_light(client, owner, full_page_of_keys, path):
    client.force_login(owner)
    response = client.get(f"/organizations/acme/{path}", HTTP_ACCEPT_ENCODING="gzip")
    is_compressed = "Content-Encoding" in response
    html = (gzip.decompress(response.content) if is_compressed else response.content).decode()
    files = set(re.findall(r'(?:href|src)="/static/([^"?]+)"', html))
    assert any(file.endswith(".css") for file in files)
    # As collected files are served: compressed.
    weight = sum(len(gzip.compress(Path(finders.find(file)).read_bytes())) for file in files)
    assert len(response.content) <= NEXT_PAGE
    assert len(response.content) + weight <= FIRST_PAGE


def test_page_that_shows_a_secret_is_not_compressed(client, owner, acme):
    client.force_login(owner)
    packed = client.get("/organizations/acme/keys/", HTTP_ACCEPT_ENCODING="gzip")
    plain = client.get("/organizations/acme/keys/new/", HTTP_ACCEPT_ENCODING="gzip")
    assert packed["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain


def test_answer_to_a_program_is_not_compressed(client, key):
    answer = client.get(
        "/v1/api-keys",
        HTTP_ACCEPT_ENCODING="gzip",
        HTTP_AUTHORIZATION=f"Bearer {key.secret}",
    )
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer
